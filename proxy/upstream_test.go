package proxy_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// secureServer starts a PostgreSQL that wants TLS, a password, and of clients a
// certificate that ours signed.
func secureServer(t *testing.T, ours *authority) *pgserver.Server {
	t.Helper()
	dir := t.TempDir()
	hba, ca := filepath.Join(dir, "hba.conf"), filepath.Join(dir, "ca.crt")
	for name, text := range map[string][]byte{
		hba: []byte("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"),
		ca:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.cert.Raw}),
	} {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	readable(t, dir)
	s := startServer(t, pgserver.Options{TLS: true, FastUnsafe: true, Settings: map[string]string{"hba_file": hba, "ssl_ca_file": ca}})
	admin, err := pgx.Connect(t.Context(), s.DSN("postgres", pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	exec(t, admin, "CREATE ROLE wire LOGIN PASSWORD 'wire-password'")
	return s
}

// TestTLSWithTheServer logs in to a server that wants to see a certificate,
// under every mode and under names that are its own and that are not.
func TestTLSWithTheServer(t *testing.T) {
	w := newWireBase(t)
	ours := newAuthority(t)
	server := secureServer(t, ours)
	pemCA, err := os.ReadFile(server.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pemCA)
	shown := []tls.Certificate{ours.client(t, "pgveil")}
	here := func(name string) proxy.Host { return proxy.Host{Network: "tcp", Address: server.Addr(), Name: name} }
	direct := "" // what becomes of direct TLS, which PostgreSQL knows since 17
	if versionNumber(t, server) < 170000 {
		direct = "08001"
	}
	for _, tt := range []struct {
		name   string
		mode   proxy.TLSMode
		config *tls.Config
		hosts  []proxy.Host
		direct bool
		want   string
	}{
		{"its name", proxy.VerifyFull, &tls.Config{RootCAs: roots, Certificates: shown}, []proxy.Host{here("localhost")}, false, ""},
		{"its address", proxy.VerifyFull, &tls.Config{RootCAs: roots, Certificates: shown}, []proxy.Host{here("127.0.0.1")}, false, ""},
		{"direct", proxy.VerifyFull, &tls.Config{RootCAs: roots, Certificates: shown}, []proxy.Host{here("localhost")}, true, direct},
		{"another's name", proxy.VerifyFull, &tls.Config{RootCAs: roots, Certificates: shown}, []proxy.Host{here("elsewhere")}, false, "08001"},
		{"no name", proxy.VerifyFull, &tls.Config{RootCAs: roots, Certificates: shown}, []proxy.Host{here("")}, false, "08001"},
		{"a name for each host", proxy.VerifyFull, &tls.Config{RootCAs: roots, Certificates: shown}, []proxy.Host{here("elsewhere"), here("localhost")}, false, ""},
		{"another's name, verify-ca", proxy.VerifyCA, &tls.Config{RootCAs: roots, Certificates: shown}, []proxy.Host{here("elsewhere")}, false, ""},
		{"another authority, verify-ca", proxy.VerifyCA, &tls.Config{RootCAs: ours.roots(), Certificates: shown}, []proxy.Host{here("localhost")}, false, "08001"},
		{"another authority, require", proxy.RequireTLS, &tls.Config{RootCAs: ours.roots(), Certificates: shown}, []proxy.Host{here("elsewhere")}, false, ""},
		{"no certificate to show", proxy.VerifyFull, &tls.Config{RootCAs: roots}, []proxy.Host{here("localhost")}, false, "28000"},
		{"in clear", proxy.NoTLS, nil, []proxy.Host{here("localhost")}, false, "28000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, w.name, wireUnrestricted, on(proxy.AnyServer, tt.hosts...), func(o *proxy.Options) {
				o.Method, o.Upstream.Mode, o.Upstream.TLS, o.Upstream.Direct = proxy.Passthrough, tt.mode, tt.config, tt.direct
			})
			c := f.config(t, "postgres", "wire")
			c.Password = "wire-password"
			conn, err := pgx.ConnectConfig(t.Context(), c)
			if code(err) != tt.want {
				t.Errorf("login: %v, want %q", err, tt.want)
			}
			if err == nil {
				conn.Close(t.Context())
			}
		})
	}
}

// TestBoundToTheServer logs in to a server with certificates of several
// signatures, and then through somebody who holds another certificate, whom
// this TLS mode does not notice. It is the server that refuses, for pgveil
// binds its login to what it saw.
func TestBoundToTheServer(t *testing.T) {
	w := newWireBase(t)
	ours := newAuthority(t)
	server := secureServer(t, ours)
	admin := pgtest.Connect(t, server.DSN("postgres", pgserver.Superuser))
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range []x509.SignatureAlgorithm{x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA} {
		a := newAuthorityOf(t, key, algorithm)
		serve(t, admin, server, a)
		shown := ours.client(t, "pgveil")
		between := mitm(t, newAuthorityOf(t, key, algorithm).own(), server.Addr(), shown)
		for _, tt := range []struct{ address, want string }{
			{server.Addr(), ""}, {between, "28000 SCRAM channel binding check failed"},
		} {
			f := start(t, w.name, wireUnrestricted, on(proxy.AnyServer, proxy.Host{Network: "tcp", Address: tt.address}), func(o *proxy.Options) {
				o.Method, o.Upstream.Mode = proxy.Passthrough, proxy.RequireTLS
				o.Upstream.TLS = &tls.Config{Certificates: []tls.Certificate{shown}}
			})
			c := f.config(t, "postgres", "wire")
			c.Password = "wire-password"
			conn, err := pgx.ConnectConfig(t.Context(), c)
			if err == nil {
				err = conn.Close(t.Context())
			}
			if (err == nil) != (tt.want == "") || err != nil && said(err) != tt.want {
				t.Errorf("%v, at %s: %v, want %q", algorithm, tt.address, err, tt.want)
			}
		}
	}
}

// serve makes a PostgreSQL serve the authority's own certificate, and returns
// when it does.
func serve(t *testing.T, admin *pgx.Conn, s *pgserver.Server, a *authority) {
	t.Helper()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	for setting, block := range map[string]*pem.Block{
		"ssl_cert_file": {Type: "CERTIFICATE", Bytes: a.cert.Raw}, "ssl_key_file": {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		var path string
		if err := admin.QueryRow(t.Context(), "SHOW "+setting).Scan(&path); err != nil {
			t.Fatal(err)
		}
		// Written over, the file keeps its owner.
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, admin, "SELECT pg_reload_conf()")
	c, err := pgx.ParseConfig("postgres://nobody@" + s.Addr() + "/postgres?sslmode=verify-ca")
	if err != nil {
		t.Fatal(err)
	}
	for t.Context().Err() == nil {
		seen := false
		c.TLSConfig = &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(cs tls.ConnectionState) error {
			seen = cs.PeerCertificates[0].Equal(a.cert)
			return errors.New("only looking")
		}}
		if _, _ = pgx.ConnectConfig(t.Context(), c); seen {
			return
		}
	}
}

func versionNumber(t *testing.T, s *pgserver.Server) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN("postgres", pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
