package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTokens(t *testing.T) {
	path := write(t, good+`
tokens:
  - {issuer: crm, audience: pgveil, algorithms: [HS256], key_file: crm.key, logins: [crm_app], leeway: 0s}
  - {issuer: "https://id.example/realm", use: login, audience: pgveil-logins, algorithms: [RS256, ES256], discover: true, user_claim: preferred_username}
`)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	crm := c.Tokens[0]
	if want := filepath.Join(filepath.Dir(path), "crm.key"); crm.KeyFile != want || crm.Use != "context" || crm.Leeway == nil || *crm.Leeway != 0 {
		t.Errorf("the first issuer = %+v, want key file %s, for context, without leeway", crm, want)
	}
	if id := c.Tokens[1]; id.KeyFile != "" || id.CA != "" || id.Leeway != nil || id.MaxAge != time.Duration(0) {
		t.Errorf("the second issuer = %+v, want no files and defaults", id)
	}
}

func TestTokensTellEveryProblem(t *testing.T) {
	const crm = "issuer: crm, audience: pgveil, algorithms: [HS256], key_file: k"
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "{}", []string{"tokens[0].issuer: is missing", "audience: is missing", "algorithms: is missing", "key_file: or one of"}},
		{"an unknown key", "{" + crm + ", alg: HS256}", []string{"alg"}},
		{"an unknown use", "{" + crm + ", use: both}", []string{"tokens[0].use"}},
		{"none", "{issuer: crm, audience: a, algorithms: [none], key_file: k}", []string{`"none" is not one of HS256`}},
		{"secret and public key", "{issuer: crm, audience: a, algorithms: [HS256, RS256], key_file: k}", []string{"not both"}},
		{"a secret from the network", "{issuer: crm, audience: a, algorithms: [HS256], jwks_url: 'https://h/k'}", []string{"no secret"}},
		{"two places", "{" + crm + ", jwks_file: j}", []string{"only one"}},
		{"in clear", "{issuer: crm, audience: a, algorithms: [RS256], jwks_url: 'http://h.example/k'}", []string{"not by https"}},
		{"discovery without an address", "{issuer: crm, audience: a, algorithms: [RS256], discover: true}", []string{"needs an issuer that is an address"}},
		{"discovery in clear", "{issuer: 'http://h.example', audience: a, algorithms: [RS256], discover: true}", []string{"not by https"}},
		{"an authority of nobody", "{" + crm + ", ca: ca.pem}", []string{"tokens[0].ca"}},
		{"too much leeway", "{" + crm + ", leeway: 6m}", []string{"tokens[0].leeway"}},
		{"negative times", "{" + crm + ", leeway: -1s, max_age: -1s}", []string{"tokens[0].leeway", "tokens[0].max_age"}},
		{"logins of a login", "{" + crm + ", use: login, logins: [a]}", []string{"tokens[0].logins"}},
		{"claims of context", "{" + crm + ", user_claim: email}", []string{"tokens[0].user_claim"}},
		{"twice", "{" + crm + "}, {" + crm + "}", []string{`tokens[1].issuer: "crm" is there twice`}},
		{"twice, for two uses, with one audience", "{" + crm + "}, {" + crm + ", use: login}", []string{`tokens[1].issuer: "crm" is there twice with audience pgveil`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(write(t, good+"tokens: ["+tt.text+"]\n"))
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Load = %v, want %q", err, want)
				}
			}
		})
	}
}

func TestCheckURL(t *testing.T) {
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{"https://h.example/keys", true},
		{"http://127.0.0.1:8080/keys", true},
		{"http://[::1]/keys", true},
		{"http://localhost/keys", true},
		{"http://127.0.0.1.example/keys", false},
		{"http://h.example/keys", false},
		{"https://user:secret@h.example/keys", false},
		{"https:///keys", false},
		{"file:///etc/passwd", false},
		{"h.example", false},
		{"", false},
	} {
		if err := CheckURL(tt.text); (err == nil) != tt.ok {
			t.Errorf("CheckURL(%q) = %v, want ok %v", tt.text, err, tt.ok)
		}
	}
}
