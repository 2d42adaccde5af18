package valkey_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/faulty"
	"github.com/pgveil/pgveil/internal/redisserver"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/limits/valkey"
	"github.com/pgveil/pgveil/policy"
)

// TestServersClock goes by the server's own clock, for real.
func TestServersClock(t *testing.T) {
	s := start(t, redisserver.Options{})
	l := open(t, s.Addr(), nil)
	const window = 600 * time.Millisecond
	r, p := counter(policy.LimitRows, "alice", window), counter(policy.LimitSubjects, "alice", window)
	asks := []limits.Ask{{Counter: r, Most: 10, Amount: 10}, {Counter: p, Most: 1, Subjects: []limits.Subject{subject(1)}}}
	before := time.Now()
	first, err := l.Ask(context.Background(), asks)
	if err != nil || first[0].Amount != 10 || first[1].Subjects != 1 {
		t.Fatalf("at first: %+v, %v", first, err)
	}
	given := time.Now()
	if a := first[0]; a.Ends.After(given.Add(window/60)) || a.Again.Before(before.Add(window)) || a.Again.After(given.Add(window+window/60)) {
		t.Errorf("at %v a slot ends at %v and counts until %v", given, a.Ends, a.Again)
	}
	asks[1].Subjects[0] = subject(2)
	until(t, func() bool {
		a, err := l.Ask(context.Background(), asks)
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(before) < window && (a[0].Amount > 0 || a[1].Subjects > 0) {
			t.Fatalf("%v later: %+v", time.Since(before), a)
		}
		asks[0].Amount -= a[0].Amount
		asks[1].Subjects = asks[1].Subjects[a[1].Subjects:]
		return asks[0].Amount == 0 && len(asks[1].Subjects) == 0
	})
	for _, c := range []limits.Counter{r, p} {
		until(t, func() bool { return command(t, s.Addr(), "EXISTS", valkey.Name(l, c)) == ":0" })
	}
	if ttl := command(t, s.Addr(), "PTTL", l.Key()); ttl == ":-1" {
		t.Error("the process's key never expires")
	}
}

// TestNothingInClear looks at what goes over the network.
func TestNothingInClear(t *testing.T) {
	s := start(t, redisserver.Options{})
	relay, err := faulty.Listen("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	l := open(t, relay.Addr(), nil)
	var asks []limits.Ask
	for _, who := range []string{"alice@example.com", "203.0.113.77", "support_agent"} {
		c := counter(policy.LimitValues, who, day)
		c.Name = "national_id"
		asks = append(asks, limits.Ask{Counter: c, Most: 10, Amount: 1})
	}
	if _, err := l.Ask(context.Background(), asks); err != nil {
		t.Fatal(err)
	}
	sent, _ := relay.Passed()
	if !bytes.Contains(sent, []byte(valkey.Name(l, asks[0].Counter))) {
		t.Fatalf("the name of a counter is not in %q", sent)
	}
	for _, word := range []string{"alice", "203.0.113", "support", "national", "values"} {
		if bytes.Contains(sent, []byte(word)) {
			t.Errorf("%q is sent in clear", word)
		}
	}
	other := open(t, s.Addr(), func(o *valkey.Options) { o.Key = []byte("another key") })
	if valkey.Name(other, asks[0].Counter) == valkey.Name(l, asks[0].Counter) {
		t.Error("without the key a name can be computed")
	}
}

// TestNamesDiffer has each part of a counter decide its name.
func TestNamesDiffer(t *testing.T) {
	l := open(t, "127.0.0.1:1", nil)
	names := map[string]limits.Counter{}
	for _, c := range []limits.Counter{
		{},
		{Of: policy.LimitRows}, {Whose: policy.OfUser}, {Window: 1}, {Window: day},
		{Name: "ab", Who: "c"}, {Name: "a", Who: "bc"}, {Who: "abc"}, {Name: "abc"},
	} {
		name := valkey.Name(l, c)
		if was, known := names[name]; known {
			t.Errorf("%+v and %+v are both called %s", was, c, name)
		}
		names[name] = c
	}
}

// TestLogin logs in as a user, with a password that changes.
func TestLogin(t *testing.T) {
	s := start(t, redisserver.Options{Settings: []string{"--requirepass", "of the default user"}})
	password := "of the default user"
	login := func(o *valkey.Options) {
		o.Password, o.Database = func() (string, error) { return password, nil }, 3
	}
	ask := []limits.Ask{{Counter: counter(policy.LimitRows, "alice", day), Most: 100, Amount: 1}}
	l := open(t, s.Addr(), login)
	if _, err := l.Ask(context.Background(), ask); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, s.Addr(), nil).Ask(context.Background(), ask); !errors.Is(err, valkey.ErrUnreachable) {
		t.Errorf("without a password: %v", err)
	}
	user := func(name string) error {
		_, err := open(t, s.Addr(), func(o *valkey.Options) { login(o); o.User = name }).Ask(context.Background(), ask)
		return err
	}
	if err := user("default"); err != nil {
		t.Errorf("as default: %v", err)
	}
	if err := user("nobody"); !errors.Is(err, valkey.ErrUnreachable) {
		t.Errorf("as nobody: %v", err)
	}
	password = "wrong"
	if err := user("default"); !errors.Is(err, valkey.ErrUnreachable) {
		t.Errorf("with a wrong password: %v", err)
	}
}

// TestDocumentedUser gives a user what docs/counters.md says, and has all scripts run.
func TestDocumentedUser(t *testing.T) {
	text, err := os.ReadFile("../../docs/counters.md")
	if err != nil {
		t.Fatal(err)
	}
	_, line, found := strings.Cut(string(text), "    ACL SETUSER ")
	line, _, _ = strings.Cut(line, "\n")
	if !found {
		t.Fatal("docs/counters.md says no user")
	}
	s := start(t, redisserver.Options{})
	if got := command(t, s.Addr(), append([]string{"ACL", "SETUSER"}, strings.Fields(line)...)...); got != "+OK" {
		t.Fatal(got)
	}
	l := open(t, s.Addr(), func(o *valkey.Options) {
		o.User, o.Password, o.Database = "pgveil", func() (string, error) { return "PASSWORD", nil }, 2
	})
	r, p := counter(policy.LimitRows, "alice", time.Second), counter(policy.LimitSubjects, "alice", day)
	ask := func(amount, slot int64) limits.Answer {
		a, err := l.Ask(context.Background(), []limits.Ask{{Counter: r, Most: 2, Amount: amount, Slot: slot}})
		if err != nil {
			t.Fatal(err)
		}
		return a[0]
	}
	ask(-2, ask(2, 0).Slot)
	ask(1, 0)
	until(t, func() bool { return ask(0, 0).Used == 0 })
	people(t, l, p, 10, 0, 5)
	command(t, s.Addr(), "FLUSHALL")
	if given := people(t, l, p, 10, 5, 100); given != 5 || l.Stats().Lost != 1 {
		t.Errorf("after 5 of 10 were forgotten %d more are given, %+v", given, l.Stats())
	}
}

// TestFull has the server run out of memory.
func TestFull(t *testing.T) {
	s := start(t, redisserver.Options{Settings: []string{"--maxmemory", "3mb", "--maxmemory-policy", "noeviction"}})
	l := open(t, s.Addr(), nil)
	c := counter(policy.LimitSubjects, "alice", day)
	for i := 0; i < 1_000_000; i += 1000 {
		var ids []limits.Subject
		for j := range 1000 {
			ids = append(ids, subject(i+j))
		}
		if _, err := l.Ask(context.Background(), []limits.Ask{{Counter: c, Most: limits.NoLimit, Subjects: ids}}); err != nil {
			if !errors.Is(err, valkey.ErrUnreachable) || !strings.Contains(err.Error(), "OOM") {
				t.Errorf("a full server: %v", err)
			}
			return
		}
	}
	t.Error("the server is never full")
}

// certificate makes an authority and a certificate for localhost, as PEM files.
func certificate(t *testing.T) (ca, cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "counters"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, cert, key
}

func TestTLS(t *testing.T) {
	ca, cert, key := certificate(t)
	s := start(t, redisserver.Options{TLS: true, Settings: []string{"--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no"}})
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	port := strconv.Itoa(s.Port())
	for _, tt := range []struct {
		name string
		tls  *tls.Config
		ok   bool
	}{
		{"its name", &tls.Config{RootCAs: roots, ServerName: "localhost"}, true},
		{"another name", &tls.Config{RootCAs: roots, ServerName: "elsewhere"}, false},
		{"another authority", &tls.Config{ServerName: "localhost"}, false},
		{"in clear", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := open(t, net.JoinHostPort("localhost", port), func(o *valkey.Options) { o.TLS, o.Timeout = tt.tls, 2*time.Second })
			_, err := l.Ask(context.Background(), []limits.Ask{{Counter: counter(policy.LimitRows, "alice", day), Most: 1, Amount: 1}})
			if (err == nil) != tt.ok {
				t.Errorf("asked by TLS: %v", err)
			}
		})
	}
}
