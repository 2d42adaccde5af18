package alert

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// hostile is text that tries to be more than text.
const hostile = "a\r\nBcc: eve@example.org\r\n\r\n<13>1 x\x00\x1b[2J\u0085\u2028\u202e\"]\\ \xff{\"log\":1}\n.\nQUIT"

// cruel has hostile text wherever an event takes any.
func cruel() *Alert {
	a := &Alert{ID: "alert_1", Count: 3, Since: time.Unix(1_000_000_000, 0), Host: "veil.example", Event: Event{
		Name: "login_lockout", Severity: Warning, Time: time.Unix(1_000_000_060, 0), Message: hostile,
		Login: hostile, User: hostile, Addr: hostile, Session: hostile, App: hostile,
		Details: []slog.Attr{
			slog.String(hostile, hostile), slog.Int("n", -7), slog.Float64("nan", math.NaN()), slog.Bool("b", true), slog.Duration("d", time.Minute),
			slog.Any("names", []string{"crm.customers", hostile}), slog.Any("any", struct{ Secret string }{"row"}), slog.Group("g", slog.String("Secret", "row")),
			slog.Any("valuer", valuer{}), slog.String("long", strings.Repeat("é", 10_000)),
		},
	}}
	a.clean()
	return a
}

type valuer struct{}

func (valuer) LogValue() slog.Value { return slog.StringValue("row") }

// TestClean leaves one line of visible characters of any text, and nothing of
// what has structure.
func TestClean(t *testing.T) {
	a := cruel()
	texts := []string{a.Message, a.Login, a.User, a.Addr, a.Session, a.App}
	for _, d := range a.Details {
		texts = append(texts, d.Key, d.Value.String())
		if k := d.Value.Kind(); k == slog.KindAny || k == slog.KindGroup || k == slog.KindLogValuer || d.Value.String() == "row" {
			t.Errorf("detail %s is %s", d.Key, d.Value)
		}
	}
	for _, s := range texts {
		if strings.ContainsAny(s, "\r\n\x00\x1b\u0085\u2028\u202e\xff") || len(s) > messageMost+3 {
			t.Errorf("%q", s)
		}
	}
	if got := a.Details[9].Value.String(); got != strings.Repeat("é", 100)+"..." {
		t.Errorf("a long text is %q", got)
	}
	many := Event{Details: make([]slog.Attr, 1000)}
	if many.clean(); len(many.Details) != detailsMost {
		t.Errorf("%d details", len(many.Details))
	}
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// server gives the configuration of a server with a certificate for 127.0.0.1
// and localhost.
func (a *authority) server(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// client gives the configuration of who trusts the authority alone.
func (a *authority) client() *tls.Config {
	return &tls.Config{RootCAs: a.pool, ServerName: "localhost"}
}

// serve has every connection that comes be held by a function, until the test is
// over.
func serve(t *testing.T, ln net.Listener, hold func(net.Conn)) (address string) {
	t.Helper()
	var mu sync.Mutex
	var open []net.Conn
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			all.Go(func() { hold(conn) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return ln.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func send(t *testing.T, s Sink, a *Alert, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return s.Send(ctx, a)
}

// TestBadPeers has every kind of sink meet who takes connections and says
// nothing, who closes them, who answers with noise, and nobody. Send ends in
// time, with an error that is not the last word.
func TestBadPeers(t *testing.T) {
	nobody := listen(t)
	nobody.Close()
	peers := map[string]string{
		"hung":   serve(t, listen(t), func(net.Conn) {}),
		"closes": serve(t, listen(t), func(c net.Conn) { c.Close() }),
		"noise": serve(t, listen(t), func(c net.Conn) {
			for _, err := c.Write([]byte("\x00\xff220-")); err == nil; _, err = c.Write([]byte("\x00\xff220-")) {
			}
		}),
		"nobody": nobody.Addr().String(),
	}
	roots := newAuthority(t).client()
	for peer, address := range peers {
		host, port := split(t, address)
		mailTo := func(s Security) *Mail {
			return &Mail{Host: host, Port: port, Security: s, TLS: roots, From: "veil@example.org", To: []string{"a@example.org"}, Hello: "veil.example"}
		}
		for kind, s := range map[string]Sink{
			"webhook":       &Webhook{URL: "https://" + address + "/", TLS: roots},
			"clear webhook": &Webhook{URL: "http://" + address + "/"},
			"starttls":      mailTo(StartTLS),
			"smtps":         mailTo(ImplicitTLS),
			"clear mail":    mailTo(InClear),
			"syslog tls":    newSyslog("tls", address, roots),
		} {
			t.Run(kind+" "+peer, func(t *testing.T) {
				t.Parallel()
				begin := time.Now()
				err := send(t, s, cruel(), 300*time.Millisecond)
				if _, last := err.(*Refused); err == nil || last {
					t.Errorf("Send = %v", err)
				}
				if took := time.Since(begin); took > 3*time.Second {
					t.Errorf("it took %s", took)
				}
				_ = s.Close() // there is nothing to lose
			})
		}
	}
}
