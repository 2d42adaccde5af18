package main

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// certHBA lets roles in over TCP by certificates only, which pgveil's own
// stands for.
const certHBA = `local all postgres trust
hostssl all pgveil 127.0.0.1/32 scram-sha-256
hostssl all all 127.0.0.1/32 cert map=veil
`

// newCertServer starts a PostgreSQL that trusts certificates of an authority,
// and takes that of CN pgveil for alice.
func newCertServer(t *testing.T, ca string) *pgserver.Server {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	s, err := pgserver.Start(t.Context(), pgserver.Options{
		BinDir: os.Getenv(pgtest.EnvBin), FastUnsafe: true, TLS: true, Settings: map[string]string{
			"hba_file": put("hba.conf", certHBA), "ident_file": put("ident.conf", "veil pgveil alice\n"), "ssl_ca_file": put("ca.crt", string(text)),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	conn := pgtest.Connect(t, s.DSN("postgres", pgserver.Superuser))
	if _, err := conn.Exec(t.Context(), "CREATE ROLE alice LOGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE ROLE pgveil LOGIN PASSWORD 'pgveil-password'"); err != nil {
		t.Fatal(err)
	}
	return s
}

// authorityOf reads the authority of writeCertificate.
func authorityOf(t *testing.T, certFile, keyFile string) tls.Certificate {
	t.Helper()
	ca, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// client makes a client's certificate with the number 7.
func client(t *testing.T, ca tls.Certificate, commonName string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: commonName}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, ca.Leaf.PublicKey, ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ca.PrivateKey}
}

// writeCRL puts a list of revoked numbers into a file.
func writeCRL(t *testing.T, path string, ca tls.Certificate, serials ...int64) {
	t.Helper()
	issuer := *ca.Leaf
	issuer.KeyUsage = x509.KeyUsageCRLSign
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, &issuer, ca.PrivateKey.(crypto.Signer))
	if err == nil {
		err = os.WriteFile(path, der, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCertificatesAlone logs in by a certificate, with which a server in turn
// lets pgveil in by its own; then the certificate is revoked.
func TestCertificatesAlone(t *testing.T) {
	dir := t.TempDir()
	cert, key, crl := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "crl")
	roots := writeCertificate(t, cert, key)
	ca := authorityOf(t, cert, key)
	writeCRL(t, crl, ca, 6)
	server := newCertServer(t, cert)
	s := serving(t, dir, fmt.Sprintf(`
listen: ["127.0.0.1:0"]
tls: {cert: tls.crt, key: tls.key, client_ca: tls.crt, client_certs: optional, crl: crl, cert_users: [{match: "cn:Alice Smith", user: alice}]}
auth: {rules: [{from: all, users: alice, databases: all, method: cert}]}
server: {host: 127.0.0.1, port: %d, ca: %s, cert: tls.crt, key: tls.key, login: pgveil, password_file: password_file}`, server.Port(), server.CAFile()))
	address := s.wait(t, "listening address=")
	arrive := func(commonName string) (string, error) {
		return login(t, "tcp", address, "SELECT current_user::text", &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Certificates: []tls.Certificate{client(t, ca, commonName)}})
	}
	if got, err := arrive("Alice Smith"); err != nil || got != "alice" {
		t.Errorf("by her certificate: %q, %v", got, err)
	}
	var refused *pgconn.PgError
	if _, err := arrive("alice"); !errors.As(err, &refused) || refused.Code != "28000" {
		t.Errorf("by a certificate that is not on the list: %v, want 28000", err)
	}
	writeCRL(t, crl, ca, 6, 7)
	s.wait(t, "certificates in force")
	if _, err := arrive("Alice Smith"); err == nil || errors.As(err, new(*pgconn.PgError)) {
		t.Errorf("by a revoked certificate: %v, want an error of TLS", err)
	}
	if err := os.WriteFile(crl, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t)
	s.wait(t, "certificates not reloaded")
	if _, err := arrive("Alice Smith"); err == nil {
		t.Error("a revoked certificate lets in once the list is damaged")
	}
}
