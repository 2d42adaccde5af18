package load_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/audit/load"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/state"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// scene is a log, and a database with the tables that it is loaded into.
type scene struct {
	dir  string
	name string // the log's
	dsn  string
	log  *audit.Log
	now  time.Time // that records are stamped with
	conn *pgx.Conn // for what only tests do
}

func newScene(t testing.TB) *scene {
	t.Helper()
	return newSceneIn(t, pgtest.Database(t, ""))
}

func newSceneIn(t testing.TB, database string) *scene {
	t.Helper()
	return newSceneOn(t, pgtest.Server(t), database)
}

func newSceneOn(t testing.TB, server *pgserver.Server, database string) *scene {
	t.Helper()
	s := &scene{dir: t.TempDir(), dsn: server.DSN(database, pgserver.Superuser), now: time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)}
	s.conn = pgtest.Connect(t, s.dsn)
	s.exec(t, "SET TimeZone = 'UTC'")
	s.exec(t, "DO $$ BEGIN CREATE ROLE auditor LOGIN; EXCEPTION WHEN duplicate_object THEN END $$") // roles are the server's
	for range 2 {                                                                                   // what is there stays
		s.exec(t, state.Schema()+state.AccessLogSchema([]string{"auditor"}))
	}
	s.open(t)
	return s
}

// open opens the log, as the next process does.
func (s *scene) open(t testing.TB) {
	t.Helper()
	log, err := audit.Open(s.dir, audit.Options{Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	s.log = log
	t.Cleanup(func() { _ = log.Close() }) // a test may have closed it
}

func (s *scene) add(t testing.TB, r audit.Record) uint64 {
	t.Helper()
	seq, err := s.log.Append(&r)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// statement adds one as the proxy does, without its outcome.
func (s *scene) statement(t testing.TB, user string) uint64 {
	return s.add(t, audit.Record{
		Kind: audit.KindStatement, Session: "s1", Login: user, User: user, Roles: []string{"agent"}, Purpose: "support",
		Command: "SELECT", Shape: "SELECT email FROM crm.customers WHERE id = $1", Decision: "mask",
		Columns: []audit.Column{{Name: "crm.customers.email", Class: "email", Show: "last(4)", Use: "read"}}, Kinds: []string{"customer"},
	})
}

func (s *scene) outcome(t testing.TB, of uint64, r audit.Record) uint64 {
	r.Kind, r.Ref, r.Tag = audit.KindOutcome, of, "SELECT 1"
	return s.add(t, r)
}

// loader gives one with a connection of its own, as every process has.
func (s *scene) loader(t testing.TB) *load.Loader {
	t.Helper()
	conn := pgtest.Connect(t, s.dsn)
	if err := load.Setup(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	return &load.Loader{
		Dir: s.dir, Name: s.name, Keep: 400, Batch: 1000, Every: time.Millisecond,
		Use:     func(_ context.Context, f func(*pgx.Conn) error) error { return f(conn) },
		Durable: func(ctx context.Context, seq uint64) error { return audit.SyncFiles(ctx, s.dir, seq) },
		Log:     slog.New(slog.NewTextHandler(t.Output(), nil)), Now: func() time.Time { return s.now },
	}
}

// load loads all that the log has.
func (s *scene) load(t testing.TB, l *load.Loader) {
	t.Helper()
	for {
		more, err := l.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return
		}
	}
}

func (s *scene) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := s.conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%.100s: %v", sql, err)
	}
}

// ask gives the rows of a query, each as one text.
func (s *scene) ask(t testing.TB, sql string, args ...any) []string {
	t.Helper()
	rows, err := s.conn.Query(t.Context(), "SELECT q::text FROM ("+sql+") AS q", args...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}
