package state_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// site is a database with the tables, and what stores on it log.
type site struct {
	dsn  string
	conn *pgx.Conn // for what only tests do
	log  bytes.Buffer
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{dsn: pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser)}
	s.conn = pgtest.Connect(t, s.dsn)
	for range 2 { // what is there stays
		s.exec(t, state.Schema())
	}
	return s
}

// store gives one with a connection of its own, as every proxy has.
func (s *site) store(t *testing.T) *state.Store {
	t.Helper()
	conn := pgtest.Connect(t, s.dsn)
	return &state.Store{
		Use: func(_ context.Context, f func(*pgx.Conn) error) error { return f(conn) },
		Key: bytes.Repeat([]byte{7}, 32), Alerts: alert.Logger{Log: slog.New(slog.NewTextHandler(&s.log, nil))},
	}
}

func (s *site) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := s.conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// code gives that of a *privacy.Error: "" is for no error, and another error
// fails the test.
func code(t *testing.T, err error) privacy.Code {
	t.Helper()
	var e *privacy.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatal(err)
	}
	if e == nil {
		return ""
	}
	return e.Code
}

// together calls f for each of n stores at once, and counts the codes of what
// they answer.
func together(t *testing.T, s *site, n int, f func(i int, store *state.Store) error) map[privacy.Code]int {
	t.Helper()
	start, errs := make(chan struct{}), make(chan error, n)
	for i := range n {
		store := s.store(t)
		store.Alerts = nil
		go func() {
			<-start
			errs <- f(i, store)
		}()
	}
	close(start)
	codes := map[privacy.Code]int{}
	for range n {
		codes[code(t, <-errs)]++
	}
	return codes
}
