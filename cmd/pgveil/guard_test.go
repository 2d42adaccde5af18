package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// guesser logs in as alice from an address of this machine.
func guesser(t *testing.T, address, from, password string) string {
	t.Helper()
	c, err := pgx.ParseConfig("user=alice dbname=postgres sslmode=disable password=" + password)
	if err != nil {
		t.Fatal(err)
	}
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err == nil {
		conn.Close(t.Context())
		return ""
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		t.Error(err)
		return err.Error()
	}
	return refused.Code
}

// TestGuardIsOn guesses at a password under the defaults, with many at once.
func TestGuardIsOn(t *testing.T) {
	server := newServer(t, false)
	s := serving(t, t.TempDir(), fmt.Sprintf(`
listen: ["127.0.0.1:0"]
admin: 127.0.0.1:0
server: {host: 127.0.0.1, port: %d, tls: disable, login: pgveil, password_file: password_file}`, server.Port()))
	address, admin := s.wait(t, "listening address="), s.wait(t, "msg=admin address=")
	if got := guesser(t, address, "127.0.0.2", "alice-password"); got != "" {
		t.Fatalf("at first: %q", got)
	}
	var wrong atomic.Int32
	var tasks sync.WaitGroup
	for range 60 {
		tasks.Go(func() {
			if guesser(t, address, "127.0.0.1", "wrong") == "28P01" {
				wrong.Add(1)
			}
		})
	}
	tasks.Wait()
	if wrong.Load() != 60 {
		t.Errorf("%d wrong passwords were called so, want 60", wrong.Load())
	}
	s.wait(t, "alert=login_lockout")
	if got := guesser(t, address, "127.0.0.1", "alice-password"); got != "28P01" {
		t.Errorf("the right password, locked: %q, want 28P01", got)
	}
	if got := guesser(t, address, "127.0.0.2", "alice-password"); got != "" {
		t.Errorf("where she is known: %q", got)
	}
	response, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	metrics, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`pgveil_login_lockouts_total{scope="pair"} 1`, `pgveil_logins_total{outcome="refused"} 5`, `pgveil_logins_total{outcome="locked"} 56`, "pgveil_login_guard_entries "} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("the metrics have no %s:\n%s", want, metrics)
		}
	}
}
