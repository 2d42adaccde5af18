package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// TestRemovedWhileConnected takes a user out of the policy, and a role's right to
// log in on the server, amid a statement that would run for long.
func TestRemovedWhileConnected(t *testing.T) {
	server := newServer(t, false)
	dir := t.TempDir()
	s := serving(t, dir, fmt.Sprintf(`
listen: ["127.0.0.1:0"]
server: {host: 127.0.0.1, port: %d, tls: disable, login: pgveil, password_file: password_file}`, server.Port()))
	address := s.wait(t, "listening address=")
	policy := filepath.Join(dir, "policy.yaml")
	was, err := os.ReadFile(policy)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	putBack := func() {
		s.wait(t, "reloaded")
		write(string(was))
		s.wait(t, "reloaded")
	}
	for _, tt := range []struct {
		name             string
		remove, putRight func()
	}{
		{"from the policy", func() { write("version: 1\nroles: {all: {unrestricted: true}}\nusers: {bob: {roles: [all]}}\n") }, putBack},
		{"a role of the policy", func() {
			write("version: 1\nroles: {all: {unrestricted: true}, none: {}}\nusers: {alice: {roles: [none]}}\n")
		}, putBack},
		{"from the server", func() { onServer(t, server, "ALTER ROLE alice NOLOGIN") }, func() { onServer(t, server, "ALTER ROLE alice LOGIN") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := pgx.Connect(t.Context(), "postgres://alice:alice-password@"+address+"/postgres?sslmode=disable")
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				_, err := conn.Exec(t.Context(), "SELECT pg_sleep(20)")
				ended <- err
			}()
			waitFor(t, server, "pg_sleep")
			removed := time.Now()
			tt.remove()
			var e *pgconn.PgError
			if err := <-ended; !errors.As(err, &e) || e.Code != "57P01" {
				t.Errorf("the statement ended by itself: %v", err)
			}
			t.Logf("out after %v", time.Since(removed))
			tt.putRight()
		})
	}
}

// waitFor waits until the server runs a statement.
func waitFor(t *testing.T, server *pgserver.Server, words string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		if onServer(t, server, "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%"+words+"%'") != "0" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the server does not run %s", words)
		}
	}
}

// onServer runs a statement beside pgveil, and gives its one value, if any.
func onServer(t *testing.T, server *pgserver.Server, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.DSN("postgres", pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return ""
	}
	return string(results[0].Rows[0][0])
}
