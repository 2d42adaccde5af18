package proxy_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newAuthorityOf(t, key, 0)
}

// newAuthorityOf makes one that signs with that key, and with that algorithm
// its own certificate, which is one for 127.0.0.1 as well.
func newAuthorityOf(t testing.TB, key crypto.Signer, algorithm x509.SignatureAlgorithm) *authority {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, SignatureAlgorithm: algorithm,
	}
	a := &authority{key: key}
	a.cert = a.sign(t, template, template, key.Public())
	return a
}

func (a *authority) sign(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// own gives the authority's own certificate as a server's.
func (a *authority) own() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key, Leaf: a.cert}
}

// client gives a client's certificate.
func (a *authority) client(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.cert, key.Public())
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func (a *authority) roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return roots
}

// dialTLS logs in under TLS and tells how that ended: "", the SQLSTATE, or
// "TLS" for everything below PostgreSQL's protocol.
func (f *front) dialTLS(t *testing.T, database, query string, config *tls.Config) string {
	t.Helper()
	c, err := pgx.ParseConfig(fmt.Sprintf("postgres://alice:alice-password@%s/%s?%s", f.Addr, database, query))
	if err != nil {
		t.Fatal(err)
	}
	c.Fallbacks = nil
	if config != nil {
		c.TLSConfig = config.Clone()
		c.TLSConfig.ServerName, c.TLSConfig.NextProtos = "127.0.0.1", []string{"postgresql"}
	}
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err != nil {
		if got := code(err); len(got) == 5 {
			return got
		}
		t.Log(err)
		return "TLS"
	}
	defer conn.Close(t.Context())
	return strings.TrimSpace(strings.Replace(text(t.Context(), conn, "SELECT current_user"), "alice\n", "", 1))
}

// TestClientCertificates logs in with certificates of clients, and without.
func TestClientCertificates(t *testing.T) {
	database := pgtest.Database(t, "shop")
	ours, others := newAuthority(t), newAuthority(t)
	for _, tt := range []struct {
		name  string
		certs proxy.Certs
		shown []tls.Certificate
		want  string
	}{
		{"optional, none", proxy.CertsOptional, nil, ""},
		{"optional, any name", proxy.CertsOptional, []tls.Certificate{ours.client(t, "bob")}, ""},
		{"optional, of another authority", proxy.CertsOptional, []tls.Certificate{others.client(t, "alice")}, "TLS"},
		{"of the authority, none", proxy.CertsOfCA, nil, "28000"},
		{"of the authority, any name", proxy.CertsOfCA, []tls.Certificate{ours.client(t, "bob")}, ""},
		{"of the authority, of another", proxy.CertsOfCA, []tls.Certificate{others.client(t, "alice")}, "TLS"},
		{"of the login, none", proxy.CertsOfLogin, nil, "28000"},
		{"of the login, its own", proxy.CertsOfLogin, []tls.Certificate{ours.client(t, "alice")}, ""},
		{"of the login, another's", proxy.CertsOfLogin, []tls.Certificate{ours.client(t, "bob")}, "28000"},
		{"of the login, with capitals", proxy.CertsOfLogin, []tls.Certificate{ours.client(t, "Alice")}, "28000"},
		{"of the login, without a name", proxy.CertsOfLogin, []tls.Certificate{ours.client(t, "")}, "28000"},
		{"a demand that nobody knows", 99, []tls.Certificate{ours.client(t, "alice")}, "28000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, database, shopPolicy, scram(t), overTCP(t), func(o *proxy.Options) {
				o.TLS = &tls.Config{Certificates: []tls.Certificate{ours.own()}, ClientCAs: ours.roots(), ClientAuth: tls.VerifyClientCertIfGiven}
				o.Certs = tt.certs
			})
			// A client leaves out a certificate that no authority asks for; this
			// one shows it all the same.
			config := &tls.Config{RootCAs: ours.roots(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if tt.shown == nil {
					return &tls.Certificate{}, nil
				}
				return &tt.shown[0], nil
			}}
			if got := f.dialTLS(t, database, "sslmode=require", config); got != tt.want {
				t.Errorf("login: %q, want %q", got, tt.want)
			}
			if got := f.dialTLS(t, database, "sslmode=disable", nil); got != "28000" {
				t.Errorf("login in clear: %q, want 28000", got)
			}
		})
	}
}

// mitm relays connections under TLS with a certificate of its own, to a place
// that is also under TLS and is shown the same certificates as by a client. It
// asks and is asked by SSLRequest.
func mitm(t *testing.T, cert tls.Certificate, to string, shown ...tls.Certificate) (address string) {
	t.Helper()
	ln := listen(t)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() { intercept(conn, cert, to, shown) })
		}
	})
	t.Cleanup(func() {
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		tasks.Wait()
	})
	return ln.Addr().String()
}

func intercept(conn net.Conn, cert tls.Certificate, to string, shown []tls.Certificate) {
	defer conn.Close()
	request := make([]byte, 8)
	if _, err := io.ReadFull(conn, request); err != nil {
		return
	}
	up, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer up.Close()
	if _, err := up.Write(request); err != nil {
		return
	}
	if _, err := io.ReadFull(up, request[:1]); err != nil {
		return
	}
	if _, err := conn.Write(request[:1]); err != nil {
		return
	}
	inner := tls.Client(up, &tls.Config{InsecureSkipVerify: true, Certificates: shown})
	outer := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
	go func() {
		_, _ = io.Copy(inner, outer)
		up.Close()
	}()
	_, _ = io.Copy(outer, inner)
}

// TestChannelBinding logs in, bound to certificates of all signatures, and then
// through somebody who holds another certificate, whom the client does not
// notice by TLS. RFC 5929 gives each signature its hash.
func TestChannelBinding(t *testing.T) {
	database := pgtest.Database(t, "shop")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		key       crypto.Signer
		algorithm x509.SignatureAlgorithm
	}{
		{key, x509.SHA256WithRSA}, {key, x509.SHA384WithRSA}, {key, x509.SHA512WithRSA}, {key, x509.SHA512WithRSAPSS},
		{curve, x509.ECDSAWithSHA256}, {curve, x509.ECDSAWithSHA384}, {curve, x509.ECDSAWithSHA512},
	} {
		t.Run(tt.algorithm.String(), func(t *testing.T) {
			a := newAuthorityOf(t, tt.key, tt.algorithm)
			f := start(t, database, shopPolicy, scram(t), overTCP(t), func(o *proxy.Options) {
				o.TLS = &tls.Config{Certificates: []tls.Certificate{a.own()}}
			})
			if got := f.dialTLS(t, database, "sslmode=require&channel_binding=require", &tls.Config{RootCAs: a.roots()}); got != "" {
				t.Errorf("login: %q", got)
			}
			f.Addr = mitm(t, newAuthorityOf(t, tt.key, tt.algorithm).own(), f.Addr)
			if got := f.dialTLS(t, database, "sslmode=require&channel_binding=require", &tls.Config{InsecureSkipVerify: true}); got != "28000" {
				t.Errorf("through another certificate: %q, want 28000", got)
			}
			if got := f.dialTLS(t, database, "sslmode=require&channel_binding=disable", &tls.Config{InsecureSkipVerify: true}); got != "" {
				t.Errorf("through another certificate, not bound: %q", got)
			}
		})
	}
}

// TestCertificatesAreReplaced puts another certificate in force: who is there
// stays, and who comes sees the new one and binds the login to it.
func TestCertificatesAreReplaced(t *testing.T) {
	database := pgtest.Database(t, "shop")
	before, after := newAuthority(t), newAuthority(t)
	f := start(t, database, shopPolicy, scram(t), overTCP(t), func(o *proxy.Options) {
		o.TLS = &tls.Config{Certificates: []tls.Certificate{before.own()}}
	})
	const bound = "sslmode=require&channel_binding=require"
	c, err := pgx.ParseConfig(fmt.Sprintf("postgres://alice:alice-password@%s/%s?%s", f.Addr, database, bound))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	f.SetTLS(&tls.Config{Certificates: []tls.Certificate{after.own()}}, nil)
	for _, tt := range []struct {
		name  string
		roots *x509.CertPool
		want  string
	}{{"the old one", before.roots(), "TLS"}, {"the new one", after.roots(), ""}} {
		if got := f.dialTLS(t, database, bound, &tls.Config{RootCAs: tt.roots}); got != tt.want {
			t.Errorf("a client that trusts %s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := text(t.Context(), conn, "SELECT 1"); got != "1\n" {
		t.Errorf("the session from before: %q", got)
	}
}
