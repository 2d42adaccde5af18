package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// alice logs in.
func (s *served) alice(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), "postgres://alice:alice-password@"+address+"/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the test ends most of them
	return conn
}

// TestAPIContains lists and ends sessions and keeps users out over HTTP.
func TestAPIContains(t *testing.T) {
	server, dir := newServer(t, false), t.TempDir()
	tokens := ""
	for user, token := range map[string]string{"ed": edsToken, "petra": petrasToken, "alice": strings.Repeat("a", 32)} {
		digest := sha256.Sum256([]byte(token))
		tokens += user + " " + hex.EncodeToString(digest[:]) + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "tokens"), []byte(tokens), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serving(t, dir, fmt.Sprintf(`
listen: ["127.0.0.1:0"]
api: {listen: "127.0.0.1:0", tokens_file: tokens}
server: {host: 127.0.0.1, port: %d, tls: disable, login: pgveil, password_file: password_file}`, server.Port()))
	address := s.wait(t, "listening address=")
	url := "http://" + s.wait(t, "msg=api address=")
	before := s.alice(t, address) // from now on the policy's files are watched
	const officers = "version: 1\nroles: {all: {unrestricted: true}, officer: {privacy: [contain]}}\n" +
		"users: {alice: {roles: [all]}, ed: {roles: [officer]}, petra: {roles: [officer]}}\n"
	if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(officers), 0o600); err != nil {
		t.Fatal(err)
	}
	s.wait(t, "reloaded")
	if err := before.Close(t.Context()); err != nil {
		t.Error(err)
	}
	ends := func(conn *pgx.Conn, why string) {
		t.Helper()
		if _, err := conn.WaitForNotification(t.Context()); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("the session ends with %v, want %s", err, why)
		}
	}
	one := s.alice(t, address)
	_, sessions := ask(t, "GET", url+"/v1/sessions", edsToken, "")
	id := regexp.MustCompile(`"session":"(\w+)","since":"[^"]+","state":"idle","user":"alice"`).FindStringSubmatch(sessions)
	if id == nil {
		t.Fatalf("there is no session of alice's in %s", sessions)
	}
	for _, tt := range []struct {
		method, path, token, body string
		status                    int
		want                      string
	}{
		{"GET", "/v1/sessions", strings.Repeat("a", 32), "", 403, "42501"},
		{"DELETE", "/v1/sessions/" + id[1], strings.Repeat("a", 32), "", 403, "42501"},
		{"DELETE", "/v1/sessions/" + id[1], edsToken, `{"user": "alice"}`, 400, "42601"},
		{"DELETE", "/v1/sessions/" + id[1], edsToken, `{"reason": "x"}`, 200, `"ended":"1"`},
		{"DELETE", "/v1/sessions/" + id[1], edsToken, "", 404, "P0002"},
		{"DELETE", "/v1/users/bob/sessions", edsToken, "", 404, "P0002"},
		{"POST", "/v1/quarantines", edsToken, `{"user": "alice"}`, 400, "a reason is missing"},
		{"POST", "/v1/quarantines", edsToken, `{"reason": "x"}`, 400, "who is meant"},
		{"POST", "/v1/quarantines", edsToken, "", 400, "42601"},
		{"POST", "/v1/quarantines", edsToken, `{"user": "alice", "login": "alice", "reason": "x"}`, 400, "42601"},
		{"POST", "/v1/quarantines", edsToken, `{"user": "alice", "reason": "x", "for": "1"}`, 400, "not a time"},
		{"POST", "/v1/quarantines", edsToken, `{"user": "alice", "reason": "x", "for": "-1h"}`, 400, "not as long"},
		{"POST", "/v1/quarantines", edsToken, `{"address": "nowhere", "reason": "x"}`, 400, "22P02"},
		{"POST", "/v1/quarantines", edsToken, `{"user": "ed", "reason": "x"}`, 403, "nobody puts themselves"},
		{"POST", "/v1/quarantines", edsToken, `{"address": "127.0.0.0/8", "reason": "x"}`, 403, "nobody puts themselves"},
		{"POST", "/v1/quarantines", edsToken, `{"user": "petra", "reason": "x", "for": "1h"}`, 200, `"name":"petra"`},
		{"GET", "/v1/quarantines", petrasToken, "", 403, "user petra is in quarantine"},
		{"DELETE", "/v1/quarantines", petrasToken, `{"user": "petra"}`, 403, "user petra is in quarantine"},
		{"GET", "/v1/quarantines", edsToken, "", 200, `"reason":"x"`},
		{"DELETE", "/v1/quarantines", edsToken, `{"user": "petra", "reason": "a mistake"}`, 200, `"state":"released"`},
		{"GET", "/v1/quarantines", petrasToken, "", 200, `"rows":[]`},
		{"GET", "/v1/sessions/" + id[1], edsToken, "", 404, "no such address"},
	} {
		if status, got := ask(t, tt.method, url+tt.path, tt.token, tt.body); status != tt.status || !strings.Contains(got, tt.want) {
			t.Errorf("%s %s %s = %d %s; want %d %q", tt.method, tt.path, tt.body, status, got, tt.status, tt.want)
		}
	}
	ends(one, "by the command of somebody")
	two := s.alice(t, address)
	if status, got := ask(t, "POST", url+"/v1/quarantines", edsToken, `{"login": "alice", "reason": "x"}`); status != 200 || !strings.Contains(got, "at this proxy alone") {
		t.Errorf("without tables: %d %s", status, got)
	}
	ends(two, "login alice is in quarantine")
}
