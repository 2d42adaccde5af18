package token

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestLogin(t *testing.T) {
	provider := func(user, groups string) *Verifier {
		is := crm(t)
		is.Use, is.User, is.Groups = Login, user, groups
		return verifier(t, is)
	}
	for _, tt := range []struct {
		name         string
		user, groups string // the claims' names
		change       map[string]any
		want         string
		wantGroups   []string
		reason       Reason
	}{
		{"defaults", "", "", map[string]any{"groups": []string{"a"}}, "anna", []string{"a"}, ""},
		{"no groups", "", "", nil, "anna", nil, ""},
		{"claims that are nobody's business", "", "", map[string]any{"azp": "x", "purpose": 7, "sid": "provider's"}, "anna", nil, ""},
		{"a name", "preferred_username", "", map[string]any{"preferred_username": "anna.b"}, "anna.b", nil, ""},
		{"no such name", "preferred_username", "", nil, "", nil, Claim},
		{"an address", "email", "", map[string]any{"email": "a@example.org", "email_verified": true}, "a@example.org", nil, ""},
		{"an address that nobody verified", "email", "", map[string]any{"email": "a@example.org"}, "", nil, Claim},
		{"an address, verified by a string", "email", "", map[string]any{"email": "a@example.org", "email_verified": "true"}, "", nil, Claim},
		{"an address by a path", "/email", "", map[string]any{"email": "a@example.org", "email_verified": true}, "a@example.org", nil, ""},
		{"an address by a path that nobody verified", "/email", "", map[string]any{"email": "a@example.org"}, "", nil, Claim},
		{"an address farther within", "/profile/email", "", map[string]any{"profile": map[string]any{"email": "a@example.org", "email_verified": true}}, "a@example.org", nil, ""},
		{"an address farther within, another verified", "/profile/email", "", map[string]any{"email_verified": true, "profile": map[string]any{"email": "a@example.org"}}, "", nil, Claim},
		{"a path", "", "/realm_access/roles", map[string]any{"realm_access": map[string]any{"roles": []string{"r"}}}, "anna", []string{"r"}, ""},
		{"a path that ends early", "", "/realm_access/roles", map[string]any{"realm_access": map[string]any{}}, "anna", nil, ""},
		{"a path through a string", "", "/realm_access/roles", map[string]any{"realm_access": "roles"}, "", nil, Claim},
		{"a path, named twice", "", "/realm_access/roles", map[string]any{"realm_access": json.RawMessage(`{"roles":["a"],"roles":["b"]}`)}, "", nil, Claim},
		{"a name with dots", "", "https://example.org/groups", map[string]any{"https://example.org/groups": []string{"g"}}, "anna", []string{"g"}, ""},
		{"groups are a string", "", "", map[string]any{"groups": "admin"}, "", nil, Claim},
		{"no id is needed", "", "", map[string]any{"jti": nil}, "anna", nil, ""},
		{"a notice of a logout", "", "", map[string]any{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}, "", nil, Claim},
		{"bound to a key", "", "", map[string]any{"cnf": map[string]any{"jkt": "x"}}, "", nil, Claim},
		{"a day", "", "", map[string]any{"exp": start.Add(DefaultLogin).Unix()}, "anna", nil, ""},
		{"more than a day", "", "", map[string]any{"exp": start.Add(DefaultLogin + time.Second).Unix()}, "", nil, Claim},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := provider(tt.user, tt.groups).Verify(hs(t, claims(tt.change)), start)
			if reason(err) != tt.reason {
				t.Fatalf("Verify = %v, want %q", err, tt.reason)
			}
			if err != nil {
				return
			}
			if c.User != tt.want || !slices.Equal(c.Groups, tt.wantGroups) || c.Purpose != "" || c.Session != "" {
				t.Errorf("Verify = %+v, want user %q and groups %v, and no purpose or session", c, tt.want, tt.wantGroups)
			}
		})
	}
}

// TestUses has an issuer's context token shown as a login, and the reverse.
func TestUses(t *testing.T) {
	context, login := crm(t), crm(t)
	login.Use = Login
	typed := func(typ string) string {
		return sign(t, jose.HS256, []byte(secret), map[jose.HeaderKey]any{"typ": typ}, claims(nil))
	}
	for _, tt := range []struct {
		typ            string
		context, login Reason
	}{
		{"JWT", "", ""},
		{"pgveil+jwt", "", Malformed},
		{"application/pgveil+JWT", "", Malformed},
		{"at+jwt", Malformed, ""},
		{"logout+jwt", Malformed, Malformed},
	} {
		_, err := verifier(t, context).Verify(typed(tt.typ), start)
		if reason(err) != tt.context {
			t.Errorf("%s as context: %v, want %q", tt.typ, err, tt.context)
		}
		_, err = verifier(t, login).Verify(typed(tt.typ), start)
		if reason(err) != tt.login {
			t.Errorf("%s as login: %v, want %q", tt.typ, err, tt.login)
		}
	}
}
