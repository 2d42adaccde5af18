package dsar

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// TestConnectionsAreKept: a command has the connection of the one before where
// nothing of that is left in it, and nobody else has it meanwhile.
func TestConnectionsAreKept(t *testing.T) {
	s := service(t)
	s.Keep = 1
	set, cat := s.Current()
	s.Current = func() (*policy.Set, *catalog.Snapshot) { return set, cat }
	ctx := t.Context()
	var last *pgx.Conn
	had := func(ctx context.Context, f func(*pgx.Conn)) (same bool) {
		t.Helper()
		err := s.connected(ctx, func(conn *pgx.Conn) error {
			same, last = conn == last, conn
			f(conn)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return same
	}
	sql := func(text string) func(*pgx.Conn) {
		return func(conn *pgx.Conn) { _, _ = conn.Exec(ctx, text) } // some of it fails
	}
	over, end := context.WithCancel(ctx)
	for _, before := range []struct {
		what string
		ctx  context.Context
		do   func(*pgx.Conn)
		kept bool
	}{
		{"a command", ctx, sql("SELECT 1"), true},
		{"an error", ctx, sql("SELECT 1 / 0"), true},
		{"a transaction that is open", ctx, sql("BEGIN"), false},
		{"one that has failed", ctx, sql("BEGIN; SELECT 1 / 0"), false},
		{"a session that was ended", ctx, sql("SELECT pg_terminate_backend(pg_backend_pid())"), false},
		{"a caller who has gone", over, func(*pgx.Conn) { end() }, false},
		{"another catalog", ctx, func(*pgx.Conn) { cat = catalog.New(catalog.Parts{}) }, false},
	} {
		had(before.ctx, before.do)
		if kept := had(ctx, func(*pgx.Conn) {}); kept != before.kept {
			t.Errorf("after %s the connection is kept: %v", before.what, kept)
		}
	}
	had(ctx, func(outer *pgx.Conn) {
		if had(ctx, func(*pgx.Conn) {}) {
			t.Error("two commands have one connection at once")
		}
		last = outer
	})
	if len(s.idle) != 1 {
		t.Errorf("%d connections wait", len(s.idle))
	}
	if err := s.Close(ctx); err != nil || len(s.idle) != 0 {
		t.Errorf("Close = %v, %d connections wait", err, len(s.idle))
	}
	s.Connect = func(context.Context) (*pgx.Conn, error) { return nil, errors.New("no server") }
	if err := s.connected(ctx, nil); err == nil {
		t.Error("connected without a server")
	}
}
