package auth

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const bearerOffer = "\x00\x00\x00\x0aOAUTHBEARER\x00\x00"

// opening is what a client with a token begins with.
func opening(token string) string { return "n,,\x01auth=" + token + "\x01\x01" }

// good accepts one token.
func goodToken(token string) error {
	if token != "good" {
		return errors.New("the token has expired")
	}
	return nil
}

func TestBearer(t *testing.T) {
	provider := Provider{Configuration: "https://id.example/.well-known/openid-configuration", Scope: "openid pg"}
	const told = "\x00\x00\x00\x0b" + `{"status":"invalid_token","openid-configuration":"https://id.example/.well-known/openid-configuration","scope":"openid pg"}`
	const wait = "OAUTHBEARER\x00\xff\xff\xff\xff"
	for _, tt := range []struct {
		name    string
		answers []string
		sent    []string // after the offer
		want    string   // SQLSTATE
		text    string
	}{
		{"a token", []string{initial(bearerName, opening("Bearer good"))}, nil, "", ""},
		{"in other letters", []string{initial(bearerName, opening("bEARER   good"))}, nil, "", ""},
		{"with host and port", []string{initial(bearerName, "y,,\x01host=h\x01auth=Bearer good\x01port=1\x01\x01")}, nil, "", ""},
		{"after it was asked", []string{wait, opening("Bearer good")}, []string{"\x00\x00\x00\x0b"}, "", ""},
		{"no token", []string{initial(bearerName, opening("")), "\x01"}, []string{told}, codeRefused, "no token was sent"},
		{"a bad token", []string{initial(bearerName, opening("Bearer bad")), "\x01"}, []string{told}, codeRefused, `for user "anna": the token has expired`},
		{"a bad token, and a client that hangs up", []string{initial(bearerName, opening("Bearer bad"))}, []string{told}, codeRefused, "expired"},
		{"a bad token, and another try", []string{initial(bearerName, opening("Bearer bad")), opening("Bearer good")}, []string{told}, codeRefused, "expired"},
		{"another mechanism", []string{initial("SCRAM-SHA-256", opening("Bearer good"))}, nil, codeViolation, "mechanism"},
		{"two tokens", []string{initial(bearerName, "n,,\x01auth=Bearer good\x01auth=Bearer good\x01\x01")}, nil, codeViolation, "two tokens"},
		{"a key in capitals", []string{initial(bearerName, "n,,\x01AUTH=Bearer good\x01\x01")}, nil, codeViolation, "no auth field"},
		{"nothing", []string{initial(bearerName, "")}, nil, codeViolation, "channel binding"},
		{"a header alone", []string{initial(bearerName, "n,,")}, nil, codeViolation, "no separator"},
		{"a header without fields", []string{initial(bearerName, "n,,\x01\x01")}, nil, codeViolation, "no end"},
		{"channel binding", []string{initial(bearerName, "p=tls-server-end-point,,\x01auth=Bearer good\x01\x01")}, nil, codeViolation, "channel binding"},
		{"another identity", []string{initial(bearerName, "n,a=root,\x01auth=Bearer good\x01\x01")}, nil, codeRefused, "authorization identity"},
		{"no end", []string{initial(bearerName, "n,,\x01auth=Bearer good\x01")}, nil, codeViolation, "no end"},
		{"more after the end", []string{initial(bearerName, opening("Bearer good")+"x")}, nil, codeViolation, "no end"},
		{"an end within", []string{initial(bearerName, opening("Bearer good")+"host=h\x01\x01")}, nil, codeViolation, "key=value"},
		{"a zero byte", []string{initial(bearerName, opening("Bearer go\x00od"))}, nil, codeViolation, "key=value"},
		{"another scheme", []string{initial(bearerName, opening("Basic good"))}, nil, codeViolation, "bearer token"},
		{"no scheme", []string{initial(bearerName, opening("good"))}, nil, codeViolation, "bearer token"},
		{"a scheme alone", []string{initial(bearerName, opening("Bearer "))}, nil, codeViolation, "bearer token"},
		{"padding alone", []string{initial(bearerName, opening("Bearer ="))}, nil, codeViolation, "bearer token"},
		{"no token within", []string{initial(bearerName, opening("Bearer a b"))}, nil, codeViolation, "bearer token"},
		{"too long", []string{initial(bearerName, opening("Bearer "+strings.Repeat("a", maxBearer)))}, nil, "", "limit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &tape{}
			for _, a := range tt.answers {
				c.script = append(c.script, says(msgPassword, a))
			}
			err := Bearer(t.Context(), c, "anna", provider, goodToken)
			if tt.want != "" || tt.text == "" {
				checkCode(t, err, tt.want)
			}
			if tt.text != "" && (err == nil || !strings.Contains(err.Error(), tt.text)) {
				t.Errorf("error %v, want %q", err, tt.text)
			}
			var sent []string
			for _, m := range c.sent {
				sent = append(sent, m.body)
			}
			if diff := cmp.Diff(append([]string{bearerOffer}, tt.sent...), sent); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNoProvider names none: the answer is then as short as it can be.
func TestNoProvider(t *testing.T) {
	c := &tape{script: []func(message) message{says(msgPassword, initial(bearerName, opening(""))), says(msgPassword, "\x01")}}
	checkCode(t, Bearer(t.Context(), c, "anna", Provider{}, goodToken), codeRefused)
	if got, want := c.sent[1].body, "\x00\x00\x00\x0b"+`{"status":"invalid_token"}`; got != want {
		t.Errorf("the client is told %q, want %q", got, want)
	}
}

func FuzzBearer(f *testing.F) {
	f.Add(opening("Bearer good"))
	f.Add("y,a=x,\x01auth=Bearer good\x01\x01")
	f.Fuzz(func(t *testing.T, data string) {
		token, err := parseBearer(data)
		if err == nil && token != "" && (!isToken(token) || !strings.Contains(data, token)) {
			t.Errorf("parseBearer(%q) = %q", data, token)
		}
		if err != nil && token != "" {
			t.Errorf("parseBearer(%q) = %q, %v", data, token, err)
		}
	})
}
