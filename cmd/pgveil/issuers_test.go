package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pgveil/pgveil/config"
)

// provider is an OpenID provider of our own.
type provider struct {
	*httptest.Server
	key    *ecdsa.PrivateKey
	issuer string // what it calls itself
	keys   string // where it says that its keys are
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, doc any) {
		if err := json.NewEncoder(w).Encode(doc); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]string{"issuer": p.issuer, "jwks_uri": p.keys})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Use: "sig", Algorithm: "ES256"}}})
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys", http.StatusFound) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", maxKeysText+1)) })
	mux.HandleFunc("/private", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "1"}}})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	p.issuer, p.keys = p.URL, p.URL+"/keys"
	return p
}

func (p *provider) token(t *testing.T, kid string) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	claims := fmt.Sprintf(`{"iss":%q,"aud":"pgveil","sub":"anna","iat":%d,"exp":%d}`, p.URL, time.Now().Unix(), time.Now().Unix()+60)
	signed, err := s.Sign([]byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (p *provider) config() config.Token {
	return config.Token{Issuer: p.URL, Use: "login", Audience: "pgveil", Algorithms: []string{"ES256"}, Discover: true}
}

func TestKeysFromTheNetwork(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(p *provider, c *config.Token)
		want   string
	}{
		{"discovered", func(*provider, *config.Token) {}, ""},
		{"by address", func(p *provider, c *config.Token) { c.Discover, c.SetURL = false, p.keys }, ""},
		{"of another issuer", func(p *provider, _ *config.Token) { p.issuer += "/" }, "of another issuer"},
		{"keys in clear", func(p *provider, _ *config.Token) { p.keys = "http://keys.example/keys" }, "not by https"},
		{"keys in a file", func(p *provider, _ *config.Token) { p.keys = "file:///etc/passwd" }, "not an address like"},
		{"keys that moved", func(p *provider, _ *config.Token) { p.keys = p.URL + "/moved" }, "302"},
		{"no keys there", func(p *provider, _ *config.Token) { p.keys = p.URL + "/none" }, "404"},
		{"an endless answer", func(p *provider, _ *config.Token) { p.keys = p.URL + "/huge" }, "more than"},
		{"private keys", func(p *provider, _ *config.Token) { p.keys = p.URL + "/private" }, "secret"},
		{"keys for other algorithms", func(_ *provider, c *config.Token) { c.Algorithms = []string{"RS256"} }, "no key is for"},
		{"a provider that is away", func(p *provider, _ *config.Token) { p.Close() }, "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			c := p.config()
			tt.change(p, &c)
			is, err := newIssuers([]config.Token{c})
			if err != nil {
				t.Fatal(err)
			}
			err = is.all[0].renew(t.Context())
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("renew = %v, want %q", err, tt.want)
			}
			if _, verr := is.logins.Verify(p.token(t, "1"), time.Now()); (verr == nil) != (err == nil) {
				t.Errorf("after renew = %v, Verify = %v", err, verr)
			}
			if _, verr := is.context.Verify(p.token(t, "1"), time.Now()); verr == nil {
				t.Error("a login token passes for context")
			}
		})
	}
}

// TestKeysAreWanted verifies a token with a key id that is not known: whoever
// fetches is woken once, and keys that are there stay.
func TestKeysAreWanted(t *testing.T) {
	p := newProvider(t)
	is, err := newIssuers([]config.Token{p.config()})
	if err != nil {
		t.Fatal(err)
	}
	i := is.all[0]
	if err := i.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := is.logins.Verify(p.token(t, "2"), time.Now()); err == nil {
			t.Fatal("a token with an unknown key is accepted")
		}
	}
	if len(i.wake) != 1 {
		t.Errorf("%d wakes after three unknown keys, want 1", len(i.wake))
	}
	p.Close()
	if err := i.renew(t.Context()); err == nil {
		t.Error("keys are fetched from nobody")
	}
	if _, err := is.logins.Verify(p.token(t, "1"), time.Now()); err != nil {
		t.Errorf("a key that was known is gone after a failure: %v", err)
	}
}

// TestKeyFiles reads files again, as SIGHUP does: all of them, or none.
func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := strings.Repeat("1", 32), strings.Repeat("2", 32)
	token := func(name, file string) config.Token {
		return config.Token{Issuer: name, Use: "context", Audience: "pgveil", Algorithms: []string{"HS256"}, KeyFile: file}
	}
	is, err := newIssuers([]config.Token{token("a", write("a", one)), token("b", write("b", one))})
	if err != nil {
		t.Fatal(err)
	}
	signed := func(issuer, file string) error {
		now := time.Now().Unix()
		text, err := signToken(filepath.Join(dir, file), "", map[string]any{"iss": issuer, "sub": "anna", "aud": "pgveil", "jti": "1", "iat": now, "exp": now + 60})
		if err != nil {
			t.Fatal(err)
		}
		_, err = is.context.Verify(text, time.Now())
		return err
	}
	write("one", one)
	write("two", two)
	if err := is.load(); err != nil || signed("a", "one") != nil || signed("b", "one") != nil {
		t.Fatalf("load = %v, and the keys are not in force", err)
	}
	write("a", two)
	write("b", "short")
	if err := is.load(); err == nil || signed("a", "one") != nil || signed("a", "two") == nil {
		t.Errorf("load with one bad file = %v; the old keys are not all in force", err)
	}
	write("b", two)
	if err := is.load(); err != nil || signed("a", "two") != nil || signed("a", "one") == nil || signed("b", "two") != nil {
		t.Errorf("load = %v; the new keys are not in force alone", err)
	}
}
