package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/auth"
)

// issue signs a client's certificate as an edit of the template wants it.
func (a *authority) issue(t testing.TB, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	edit(template)
	cert := a.sign(t, template, a.cert, key.Public())
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// showing is what a client is configured with that shows a certificate whatever
// the server asks for.
func (a *authority) showing(cert *tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: a.roots(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if cert == nil {
			return &tls.Certificate{}, nil
		}
		return cert, nil
	}}
}

func named(commonName string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject.CommonName = commonName }
}

func address(t *testing.T, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestCertMethod logs in by nothing but a certificate.
func TestCertMethod(t *testing.T) {
	database := pgtest.Database(t, "shop")
	ours, others := newAuthority(t), newAuthority(t)
	user := func(kind proxy.CertKind, name, user string) proxy.CertUser {
		return proxy.CertUser{CertName: proxy.CertName{Kind: kind, Name: name}, User: user}
	}
	twice := func(c *x509.Certificate) {
		c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "bob"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "alice"}}
	}
	spiffe := func(c *x509.Certificate) { c.URIs = []*url.URL{address(t, "spiffe://crm.example/alice")} }
	rule := proxy.Rule{Anywhere: true, Users: proxy.Names{All: true}, Databases: proxy.Names{All: true}, Method: proxy.Cert}
	f := start(t, database, shopPolicy, func(o *proxy.Options) {
		o.TLS = &tls.Config{Certificates: []tls.Certificate{ours.own()}, ClientCAs: ours.roots(), ClientAuth: tls.VerifyClientCertIfGiven}
	})
	const wrong = "28000"
	for _, tt := range []struct {
		name  string
		users []proxy.CertUser
		cert  *tls.Certificate
		edit  func(*x509.Certificate) // of a certificate of ours
		want  string
	}{
		{"the login's", nil, nil, named("alice"), ""},
		{"another's", nil, nil, named("bob"), wrong},
		{"capitals", nil, nil, named("Alice"), wrong},
		{"a zero behind the name", nil, nil, named("alice\x00.evil.example"), wrong},
		{"a zero at the end", nil, nil, named("alice\x00"), wrong},
		{"a space at the end", nil, nil, named("alice "), wrong},
		{"a Cyrillic letter", nil, nil, named("аlice"), wrong},
		{"two common names", nil, nil, twice, wrong},
		{"the name elsewhere", nil, nil, func(c *x509.Certificate) { c.Subject.Organization, c.DNSNames = []string{"alice"}, []string{"alice"} }, wrong},
		{"for servers only", nil, nil, func(c *x509.Certificate) {
			c.Subject.CommonName, c.ExtKeyUsage = "alice", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}, "TLS"},
		{"too old", nil, nil, func(c *x509.Certificate) { c.Subject.CommonName, c.NotAfter = "alice", time.Now().Add(-time.Minute) }, "TLS"},
		{"of another authority", nil, new(others.client(t, "alice")), nil, "TLS"},
		{"none", nil, nil, nil, wrong},
		{"on the list by common name", []proxy.CertUser{user(proxy.CommonName, "Alice Smith", "alice")}, nil, named("Alice Smith"), ""},
		{"the login's, and not on the list", []proxy.CertUser{user(proxy.CommonName, "Alice Smith", "alice")}, nil, named("alice"), wrong},
		{"on the list for another", []proxy.CertUser{user(proxy.CommonName, "Alice Smith", "bob"), user(proxy.CommonName, "x", "alice")}, nil, named("Alice Smith"), wrong},
		{"by URI", []proxy.CertUser{user(proxy.URI, "spiffe://crm.example/alice", "alice")}, nil, spiffe, ""},
		{"by the beginning of a URI", []proxy.CertUser{user(proxy.URI, "spiffe://crm.example/", "alice")}, nil, spiffe, wrong},
		{"a URI as another kind", []proxy.CertUser{user(proxy.DNSName, "spiffe://crm.example/alice", "alice")}, nil, spiffe, wrong},
		{"by the second DNS name", []proxy.CertUser{user(proxy.DNSName, "b.example", "alice")}, nil, func(c *x509.Certificate) { c.DNSNames = []string{"a.example", "b.example"} }, ""},
		{"by a wildcard", []proxy.CertUser{user(proxy.DNSName, "b.example", "alice")}, nil, func(c *x509.Certificate) { c.DNSNames = []string{"*.example"} }, wrong},
		{"by e-mail", []proxy.CertUser{user(proxy.Email, "alice@example.com", "alice")}, nil, func(c *x509.Certificate) { c.EmailAddresses = []string{"alice@example.com"} }, ""},
		{"a list of zeros", []proxy.CertUser{{User: "alice"}}, nil, named(""), wrong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.SetRules([]proxy.Rule{rule}, tt.users)
			if tt.edit != nil {
				tt.cert = new(ours.issue(t, tt.edit))
			}
			if got := f.dialTLS(t, database, "sslmode=require", ours.showing(tt.cert)); got != tt.want {
				t.Errorf("login: %q, want %q", got, tt.want)
			}
		})
	}
}

// revokes signs a list of serial numbers.
func (a *authority) revokes(t testing.TB, edit func(*x509.RevocationList), serials ...int64) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, s := range serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: time.Now()})
	}
	if edit != nil {
		edit(template)
	}
	issuer := *a.cert
	issuer.KeyUsage = x509.KeyUsageCRLSign
	der, err := x509.CreateRevocationList(rand.Reader, template, &issuer, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestRevocation shows certificates under lists of revoked ones. That of the
// test has the number 7.
func TestRevocation(t *testing.T) {
	database := pgtest.Database(t, "shop")
	ours, second := newAuthority(t), newAuthority(t) // of one name
	old := func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(-time.Minute) }
	roots := ours.roots()
	roots.AddCert(second.cert)
	secured := &tls.Config{Certificates: []tls.Certificate{ours.own()}, ClientCAs: roots, ClientAuth: tls.VerifyClientCertIfGiven}
	f := start(t, database, shopPolicy, func(o *proxy.Options) { o.TLS = secured })
	early := func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(time.Minute) }
	for _, tt := range []struct {
		name  string
		lists [][]byte
		want  string
	}{
		{"no list", nil, "TLS"},
		{"an empty list", [][]byte{ours.revokes(t, nil)}, ""},
		{"another number", [][]byte{ours.revokes(t, nil, 77)}, ""},
		{"its number", [][]byte{ours.revokes(t, nil, 6, 7, 8)}, "TLS"},
		{"a list out of date", [][]byte{ours.revokes(t, old)}, "TLS"},
		{"a list of tomorrow", [][]byte{ours.revokes(t, early)}, "TLS"},
		{"out of date, and the next", [][]byte{ours.revokes(t, old), ours.revokes(t, nil)}, ""},
		{"on the one out of date", [][]byte{ours.revokes(t, old, 7), ours.revokes(t, nil)}, "TLS"},
		{"a list of another authority of the same name", [][]byte{second.revokes(t, nil)}, "TLS"},
		{"on that of another authority of the same name", [][]byte{ours.revokes(t, nil), second.revokes(t, nil, 7)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			revoked := &auth.Revocations{}
			for _, l := range tt.lists {
				if err := revoked.Add(l, []*x509.Certificate{second.cert, ours.cert}); err != nil {
					t.Fatal(err)
				}
			}
			checked := secured.Clone()
			checked.VerifyConnection = func(cs tls.ConnectionState) error { return revoked.Check(cs.VerifiedChains, time.Now()) }
			f.SetTLS(checked, nil)
			if got := f.dialTLS(t, database, "sslmode=require", ours.showing(new(ours.issue(t, named("alice"))))); got != tt.want {
				t.Errorf("login: %q, want %q", got, tt.want)
			}
			if got := f.dialTLS(t, database, "sslmode=require", ours.showing(nil)); got != "" {
				t.Errorf("login without a certificate: %q", got)
			}
		})
	}
}

// TestRevokedIsNotResumed takes a certificate back whose client keeps a ticket
// with which TLS is taken up again without showing it.
func TestRevokedIsNotResumed(t *testing.T) {
	database := pgtest.Database(t, "shop")
	ours := newAuthority(t)
	var revoked atomic.Bool
	var resumed atomic.Int32
	f := start(t, database, shopPolicy, func(o *proxy.Options) {
		o.TLS = &tls.Config{Certificates: []tls.Certificate{ours.own()}, ClientCAs: ours.roots(), ClientAuth: tls.RequireAndVerifyClientCert}
		o.TLS.VerifyConnection = func(cs tls.ConnectionState) error {
			if cs.DidResume {
				resumed.Add(1)
			}
			if revoked.Load() {
				return errors.New("revoked")
			}
			return nil
		}
	})
	client := ours.showing(new(ours.issue(t, named("alice"))))
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	for range 2 {
		if got := f.dialTLS(t, database, "sslmode=require", client); got != "" {
			t.Fatalf("login: %q", got)
		}
	}
	if resumed.Load() == 0 {
		t.Fatal("no session of TLS was resumed: the test tests nothing")
	}
	revoked.Store(true)
	if got := f.dialTLS(t, database, "sslmode=require", client); got != "TLS" {
		t.Errorf("login with a revoked certificate: %q, want none", got)
	}
}

// TestRevocationFiles reads lists that are not to be relied on.
func TestRevocationFiles(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	asPEM := func(typ string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
	}
	whole := ours.revokes(t, nil, 7)
	forged := append([]byte(nil), whole...)
	forged[len(forged)-1] ^= 1
	for _, tt := range []struct {
		name string
		file []byte
		ok   bool
	}{
		{"DER", whole, true},
		{"PEM", asPEM("X509 CRL", whole), true},
		{"two in a file", append(asPEM("X509 CRL", whole), asPEM("X509 CRL", ours.revokes(t, nil))...), true},
		{"nothing", nil, false},
		{"rubbish", []byte("rubbish"), false},
		{"a part", whole[:len(whole)-5], false},
		{"a certificate", asPEM("CERTIFICATE", ours.cert.Raw), false},
		{"a changed signature", forged, false},
		{"of another authority", others.revokes(t, nil), false},
		{"one of two of another authority", append(asPEM("X509 CRL", whole), asPEM("X509 CRL", others.revokes(t, nil))...), false},
		{"of a part of the certificates", ours.revokes(t, func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 0}}}
		}), false},
		{"of changes alone", ours.revokes(t, func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
		}), false},
	} {
		err := (&auth.Revocations{}).Add(tt.file, []*x509.Certificate{ours.cert})
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v, want it taken: %t", tt.name, err, tt.ok)
		}
	}
}

// TestRevocationsUntil gives the time of the first authority without a current
// list, not that of a list which another one has replaced.
func TestRevocationsUntil(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	in := func(d time.Duration) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(d) }
	}
	r := &auth.Revocations{}
	if !r.Until().IsZero() {
		t.Errorf("without lists: %v", r.Until())
	}
	for _, l := range [][]byte{first.revokes(t, in(-time.Minute)), first.revokes(t, in(3*time.Hour)), second.revokes(t, in(2*time.Hour))} {
		if err := r.Add(l, []*x509.Certificate{first.cert, second.cert}); err != nil {
			t.Fatal(err)
		}
	}
	if left := time.Until(r.Until()); left < time.Hour || left > 2*time.Hour {
		t.Errorf("the first list runs out in %v, want two hours", left)
	}
}
