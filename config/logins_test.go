package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func withLogins(entries string) string {
	return strings.Replace(good, "password_file: password}", "password_file: password, logins: ["+entries+"]}", 1)
}

func TestServerLogins(t *testing.T) {
	path := write(t, withLogins(`
  {users: [dora, dan], databases: all, as: same, password_env: ADMINS},
  {users: all, databases: crm, as: svc, set_role: true, vault: {address: "https://vault:8200", path: secret/data/pg, token_file: token}}`))
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	v := c.Server.Logins[1].Vault
	if want := filepath.Join(filepath.Dir(path), "token"); v.Token != want || v.Field != "password" || v.CA != "" {
		t.Errorf("vault = %+v, want token file %s and field password", v, want)
	}
	for _, tt := range []struct {
		login, database string
		want            int
	}{
		{"dora", "crm", 0},
		{"dora", "other", 0},
		{"anna", "crm", 1},
		{"anna", "other", -1},
		{"Dora", "other", -1},
	} {
		got := -1
		for i, l := range c.Server.Logins {
			if l.Fits(tt.login, tt.database) {
				got = i
				break
			}
		}
		if got != tt.want {
			t.Errorf("%s in %s: entry %d, want %d", tt.login, tt.database, got, tt.want)
		}
	}
}

func TestServerLoginsTellEveryProblem(t *testing.T) {
	const all = "users: all, databases: all"
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "{}", []string{"server.logins[0].users: is missing", "databases: is missing", "as: is missing"}},
		{"an unknown key", "{" + all + ", as: svc, password: x}", []string{"password"}},
		{"a role of oneself", "{" + all + ", as: same, set_role: true}", []string{"server.logins[0].set_role"}},
		{"a long name", "{" + all + ", as: " + strings.Repeat("a", 64) + "}", []string{"longer than 63"}},
		{"two places", "{" + all + ", as: svc, password_file: a, password_env: B}", []string{"one of them is enough"}},
		{"a vault of nothing", "{" + all + ", as: svc, vault: {}}", []string{"vault.address", "vault.path", "vault.token_file"}},
		{"a vault in clear", "{" + all + ", as: svc, vault: {address: 'http://vault:8200', path: p, token_file: t}}", []string{"not by https"}},
		{"one that never counts", "{" + all + ", as: svc}, {users: anna, databases: all, as: same}", []string{"server.logins[1]: never counts"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(write(t, withLogins(tt.text)))
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Load = %v, want %q", err, want)
				}
			}
		})
	}
}

func TestServerLoginsNeedAProof(t *testing.T) {
	for method, ok := range map[string]bool{"scram": true, "passthrough": false, "trust": false} {
		_, err := Load(write(t, strings.Replace(withLogins("{users: all, databases: all, as: svc}"), "scram", method, 1)))
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "server.logins: are for logins") {
			t.Errorf("with %s: %v, want ok %v", method, err, ok)
		}
	}
}

// TestTokenMethods needs somebody whose tokens are believed.
func TestTokenMethods(t *testing.T) {
	const issuer = "tokens: [{issuer: id, use: login, audience: a, algorithms: [RS256], key_file: k}]\n"
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{strings.Replace(good, "scram", "oidc", 1), false},
		{strings.Replace(good, "scram", "oidc", 1) + issuer, true},
		{strings.Replace(good, "scram", "oauth", 1) + issuer, true},
		{strings.Replace(good, "scram", "oidc", 1) + strings.Replace(issuer, "login", "context", 1), false},
		{strings.Replace(good, "method: scram", "rules: [{from: all, users: all, databases: all, method: oauth}]", 1), false},
		{strings.Replace(good, "method: scram", "rules: [{from: all, users: all, databases: all, method: oauth}]", 1) + issuer, true},
	} {
		if _, err := Load(write(t, tt.text)); (err == nil) != tt.ok || err != nil && !strings.Contains(err.Error(), "whom the method") {
			t.Errorf("Load = %v, want ok %v", err, tt.ok)
		}
	}
}
