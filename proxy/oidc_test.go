package proxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/token"
)

// provider signs login tokens.
type provider struct{ key *ecdsa.PrivateKey }

func newProvider(t testing.TB) provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return provider{key}
}

// keys gives what its tokens are verified by.
func (p provider) keys(t testing.TB) *token.Keys {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "1", Algorithm: "ES256"}}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := token.ParseSet(text, false)
	if err != nil {
		t.Fatal(err)
	}
	keys := &token.Keys{}
	keys.Put(set, time.Time{})
	return keys
}

// verifier believes the provider.
func (p provider) verifier(t testing.TB, names map[string]string) *token.Verifier {
	t.Helper()
	v, err := token.New(token.Issuer{
		Name: "https://id.example", Use: token.Login, Audience: "pgveil", Algorithms: []jose.SignatureAlgorithm{jose.ES256}, Keys: p.keys(t), Names: names,
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// sign gives a token of a user's, with claims changed.
func (p provider) sign(t testing.TB, user string, change map[string]any) string {
	t.Helper()
	now := time.Now()
	claims := map[string]any{"iss": "https://id.example", "sub": user, "aud": "pgveil", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "groups": []string{"staff"}}
	maps.Copy(claims, change)
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: "1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// bring gives how a login with a token goes, "" when it gets in.
func (f *front) bring(t *testing.T, database, user, signed string, m proxy.Method) string {
	t.Helper()
	c := f.config(t, database, user)
	c.Password = signed
	if m == proxy.OAuth {
		c.Password = ""
		c.OAuthTokenProvider = func(context.Context) (string, error) { return signed, nil }
	}
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err != nil {
		return said(err)
	}
	defer func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if got := text(t.Context(), conn, "SELECT count(email) FROM customers"); got != "10\n" {
		return got
	}
	return ""
}

// TestTokenLogins logs in by tokens, as password and by SASL.
func TestTokenLogins(t *testing.T) {
	database := pgtest.Database(t, "shop")
	p, stranger := newProvider(t), newProvider(t)
	now := time.Now()
	for _, tt := range []struct {
		name, user, token string
		want              string // in the error
	}{
		{"its user", "alice", p.sign(t, "alice", nil), ""},
		{"another user", "dora", p.sign(t, "alice", nil), "another user's"},
		{"another spelling", "ALICE", p.sign(t, "alice", nil), "another user's"},
		{"a user that the policy does not know", "mallory", p.sign(t, "mallory", nil), "mallory"},
		{"expired", "alice", p.sign(t, "alice", map[string]any{"iat": now.Unix() - 100, "exp": now.Unix() - 40}), "expired"},
		{"not valid yet", "alice", p.sign(t, "alice", map[string]any{"nbf": now.Unix() + 300}), "not valid yet"},
		{"for somebody else", "alice", p.sign(t, "alice", map[string]any{"aud": "billing"}), "somebody else"},
		{"of another issuer", "alice", p.sign(t, "alice", map[string]any{"iss": "https://evil.example"}), "issuer is not configured"},
		{"signed by somebody else", "alice", stranger.sign(t, "alice", nil), "signature"},
		{"no token at all", "alice", "alice-password", "three parts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, m := range map[string]proxy.Method{"oidc": proxy.OIDC, "oauth": proxy.OAuth} {
				f := start(t, database, shopPolicy, func(o *proxy.Options) { o.Method, o.Logins = m, p.verifier(t, nil) })
				got := f.bring(t, database, tt.user, tt.token, m)
				if strings.HasSuffix(got, "OAuth authentication failed: invalid_token") { // pgx says no more
					if err := f.close(t.Context()); err != nil {
						t.Error(err)
					}
					got = f.Log.String()
				}
				if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
					t.Errorf("%s: %q, want %q", name, got, tt.want)
				}
				if strings.Contains(f.Log.String(), tt.token) {
					t.Errorf("%s: the token is in the log", name)
				}
			}
		})
	}
}

// TestTokenNames maps a token's user to a login, and lets in nobody else.
func TestTokenNames(t *testing.T) {
	database := pgtest.Database(t, "shop")
	p := newProvider(t)
	f := start(t, database, shopPolicy, func(o *proxy.Options) {
		o.Method, o.Logins = proxy.OIDC, p.verifier(t, map[string]string{"auth0|17": "alice"})
	})
	for _, tt := range []struct{ user, sub, want string }{
		{"alice", "auth0|17", ""},
		{"alice", "alice", `28000 OAuth bearer authentication failed for user "alice": the token's claim "sub" is nobody who is known here`},
		{"auth0|17", "auth0|17", `28000 OAuth bearer authentication failed for user "auth0|17": the token is another user's`},
	} {
		if got := f.bring(t, database, tt.user, p.sign(t, tt.sub, nil), proxy.OIDC); got != tt.want {
			t.Errorf("%s as %s: %q, want %q", tt.sub, tt.user, got, tt.want)
		}
	}
}

// TestTokenInClear brings a token from another machine, as it seems.
func TestTokenInClear(t *testing.T) {
	database := pgtest.Database(t, "shop")
	p := newProvider(t)
	for _, m := range []proxy.Method{proxy.OIDC, proxy.OAuth} {
		f := startOn(t, database, shopPolicy, afar{listen(t)}, func(o *proxy.Options) { o.Method, o.Logins = m, p.verifier(t, nil) })
		if got := f.bring(t, database, "alice", p.sign(t, "alice", nil), m); got != "28000 a token may be sent under TLS only" {
			t.Errorf("method %d: %q", m, got)
		}
	}
}

// afar makes clients look like they came from another machine.
type afar struct{ net.Listener }

func (l afar) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return afarConn{c}, nil
}

type afarConn struct{ net.Conn }

func (afarConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711} }

// TestLongTokens brings tokens that are too long for what is made of them.
func TestLongTokens(t *testing.T) {
	database := pgtest.Database(t, "shop")
	p := newProvider(t)
	for _, tt := range []struct {
		method proxy.Method
		length int
		want   string // in the answer or the log
	}{
		{proxy.OIDC, token.MaxLength + 1, "the token is longer than 8192 bytes"},
		{proxy.OIDC, 70_000, "login refused"},
		{proxy.OAuth, token.MaxLength + 1, "the token is longer than 8192 bytes"},
		{proxy.OAuth, 20_000, "login refused"},
		{proxy.OAuth, 10 << 20, "login refused"},
	} {
		f := start(t, database, shopPolicy, func(o *proxy.Options) { o.Method, o.Logins = tt.method, p.verifier(t, nil) })
		got := f.bring(t, database, "alice", strings.Repeat("a", tt.length), tt.method)
		if err := f.close(t.Context()); err != nil {
			t.Error(err)
		}
		if got == "" || !strings.Contains(got+f.Log.String(), tt.want) || strings.Contains(got+f.Log.String(), "aaaa") {
			t.Errorf("method %d, %d bytes: %q, log:\n%s", tt.method, tt.length, got, f.Log)
		}
	}
}

// TestTokenGroups gives roles to the groups that a token brings.
func TestTokenGroups(t *testing.T) {
	database := pgtest.Database(t, "shop")
	p := newProvider(t)
	byGroup := strings.Replace(shopPolicy, "  alice:   {roles: [agent]}\n", "", 1) + "groups: {staff: agent}\n"
	f := start(t, database, byGroup, func(o *proxy.Options) { o.Method, o.Logins = proxy.OIDC, p.verifier(t, nil) })
	if got := f.bring(t, database, "alice", p.sign(t, "alice", nil), proxy.OIDC); got != "" {
		t.Errorf("in a group with a role: %q", got)
	}
	if got := f.bring(t, database, "alice", p.sign(t, "alice", map[string]any{"groups": []string{"guests"}}), proxy.OIDC); !strings.HasPrefix(got, "28000 ") {
		t.Errorf("in a group without roles: %q, want 28000", got)
	}
}

// TestTokenExpires lets tokens expire amid sessions: nothing more is answered,
// whoever asks, and the sessions are ended.
func TestTokenExpires(t *testing.T) {
	database := pgtest.Database(t, "shop")
	p := newProvider(t)
	f := start(t, database, shopPolicy, func(o *proxy.Options) { o.Method, o.Logins = proxy.OIDC, p.verifier(t, nil) })
	for _, user := range []string{"alice", "dora"} {
		now := time.Now()
		soon := p.sign(t, user, map[string]any{"iat": now.Add(-time.Hour).Unix(), "exp": now.Add(2*time.Second - token.DefaultLeeway).Unix()})
		conn, err := pgx.Connect(t.Context(), "postgres://"+user+":"+soon+"@"+f.Addr+"/"+database+"?sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		const ask, over = "SELECT count(email) FROM customers", "28000 what proved this login has expired"
		got := ""
		for end := now.Add(20 * time.Second); got != over && time.Now().Before(end); {
			if got = text(t.Context(), conn, ask); got != "10\n" && got != over || got == over && time.Now().Before(now.Add(time.Second)) {
				t.Fatalf("%s, %v after the login: %q", user, time.Since(now), got)
			}
		}
		if got != over {
			t.Errorf("%s is answered after the token has expired: %q", user, got)
		}
		if n := f.ExpelLapsed(); n != 1 {
			t.Errorf("%d sessions are ended", n)
		}
		if got := text(t.Context(), conn, ask); !strings.HasPrefix(got, "57P01") && got != "EOF" {
			t.Errorf("%s goes on: %q", user, got)
		}
	}
}
