package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/internal/pgserver"
)

// vault is a Vault with one secret.
type vault struct {
	*httptest.Server
	answer atomic.Pointer[string]
}

func newVault(t *testing.T, password string) *vault {
	t.Helper()
	v := &vault{}
	v.holds(password)
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/v1/secret/data/pg":
			http.NotFound(w, r)
		case r.Header.Get("X-Vault-Token") != "the-token":
			http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
		default:
			fmt.Fprint(w, *v.answer.Load())
		}
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *vault) holds(password string) {
	text := fmt.Sprintf(`{"data":{"data":{"password":%q,"n":1},"metadata":{"version":2}}}`, password)
	v.answer.Store(&text)
}

func (v *vault) config(t *testing.T, token string) *config.Vault {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &config.Vault{Address: v.URL, Path: "secret/data/pg", Field: "password", Token: file}
}

func TestPasswordsOfServerLogins(t *testing.T) {
	v := newVault(t, "from-vault")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGVEIL_TEST_PASSWORD", "from-env")
	edit := func(f func(*config.Vault)) *config.Vault { c := v.config(t, "the-token"); f(c); return c }
	for _, tt := range []struct {
		name string
		l    config.ServerLogin
		want string
		err  string
	}{
		{"file", config.ServerLogin{Password: file}, "from-file", ""},
		{"no file", config.ServerLogin{Password: file + "2"}, "", "no such file"},
		{"environment", config.ServerLogin{Env: "PGVEIL_TEST_PASSWORD"}, "from-env", ""},
		{"nothing in the environment", config.ServerLogin{Env: "PGVEIL_TEST_NONE"}, "", "the password is empty"},
		{"vault", config.ServerLogin{Vault: v.config(t, "the-token")}, "from-vault", ""},
		{"another token", config.ServerLogin{Vault: v.config(t, "a-token")}, "", "403"},
		{"another path", config.ServerLogin{Vault: edit(func(c *config.Vault) { c.Path = "secret/data/none" })}, "", "404"},
		{"another field", config.ServerLogin{Vault: edit(func(c *config.Vault) { c.Field = "secret" })}, "", `no text "secret"`},
		{"a field that is no text", config.ServerLogin{Vault: edit(func(c *config.Vault) { c.Field = "n" })}, "", `no text "n"`},
		{"nowhere: the server asks for none", config.ServerLogin{}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.l.Users, tt.l.Databases, tt.l.As = config.Words{"all"}, config.Words{"all"}, "svc"
			all, err := newServerLogins(t.Context(), []config.ServerLogin{tt.l})
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("newServerLogins = %v, want %q", err, tt.err)
			}
			if err != nil {
				if strings.Contains(err.Error(), "the-token") || strings.Contains(err.Error(), "a-token") {
					t.Errorf("the error %q holds Vault's token", err)
				}
				return
			}
			c, err := all.credential("anna", "crm")
			if err != nil || c == nil || c.Login != "svc" || c.Secret.Password() != tt.want {
				t.Errorf("credential = %+v, %v, want svc with %q", c, err, tt.want)
			}
		})
	}
}

// TestVaultAway has the vault change its secret, and go away after that: what
// was read last stays in force.
func TestVaultAway(t *testing.T) {
	v := newVault(t, "first")
	all, err := newServerLogins(t.Context(), []config.ServerLogin{{Users: config.Words{"all"}, Databases: config.Words{"all"}, As: "same", Vault: v.config(t, "the-token")}})
	if err != nil {
		t.Fatal(err)
	}
	everyone := func(*serverLogin) bool { return true }
	check := func(want string, renewed bool) {
		t.Helper()
		err := all.renew(t.Context(), everyone)
		c, _ := all.credential("anna", "crm")
		if (err == nil) != renewed || c.Secret.Password() != want || c.Login != "" {
			t.Errorf("renew = %v; the password is %q of %q, want %q of the client's own login", err, c.Secret.Password(), c.Login, want)
		}
	}
	v.holds("second")
	check("second", true)
	empty := `{"data":{"data":{"password":""}}}`
	v.answer.Store(&empty)
	check("second", false)
	v.Close()
	check("second", false)
}

// TestTokenLogin logs in by a token whose keys are fetched from a provider, to
// a server whose passwords are in a vault.
func TestTokenLogin(t *testing.T) {
	server := newServer(t, false)
	p, v := newProvider(t), newVault(t, "alice-password")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("the-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serving(t, dir, fmt.Sprintf(`
listen: ["127.0.0.1:0"]
auth: {method: oidc}
tokens: [{issuer: %q, use: login, audience: pgveil, algorithms: [ES256], discover: true, user_map: {anna: alice}}]
server:
  host: 127.0.0.1
  port: %d
  tls: disable
  login: pgveil
  password_file: password_file
  logins: [{users: all, databases: all, as: same, vault: {address: %q, path: secret/data/pg, token_file: token}}]`, p.URL, server.Port(), v.URL))
	address := s.wait(t, "listening address=")
	enter := func(password string) error {
		conn, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://alice:%s@%s/postgres?sslmode=disable", password, address))
		if err != nil {
			return err
		}
		var who string
		if err := conn.QueryRow(t.Context(), "SELECT session_user").Scan(&who); err != nil || who != "alice" {
			t.Errorf("session_user = %q, %v", who, err)
		}
		return conn.Close(t.Context())
	}
	if err := enter(p.token(t, "1")); err != nil {
		t.Fatal(err)
	}
	if err := enter("alice-password"); err == nil {
		t.Error("the server's password gets in as a token")
	}
	admin, err := pgx.Connect(t.Context(), server.DSN("postgres", pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), "ALTER ROLE alice PASSWORD 'changed'"); err != nil {
		t.Fatal(err)
	}
	if err := admin.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := enter(p.token(t, "1")); err == nil {
		t.Error("a password that was changed on the server still gets in")
	}
	v.holds("changed")
	hangUp(t)
	s.wait(t, "reloaded")
	if err := enter(p.token(t, "1")); err != nil {
		t.Errorf("after the new password was read: %v", err)
	}
}
