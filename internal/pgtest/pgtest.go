// Package pgtest gives tests a real PostgreSQL: one server for a test binary,
// started when the first test asks for it, and as many databases on it as
// tests want, each a copy of a fixture.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestX(t *testing.T) {
//		db := pgtest.Database(t, "shop")
//		conn := pgtest.Connect(t, pgtest.Server(t).DSN(db, "alice"))
//
// A machine without PostgreSQL fails the tests: a test that is skipped where
// nobody looks proves nothing. PGVEIL_TEST_POSTGRES_BIN names the folder of
// another version's server programs.
//
// A fixture is a folder of testdata/fixtures. Its database is made from
// schema.sql, roles.sql and rows.sql; the fixture's twin ("shop/twin") has
// twin.sql in the place of rows.sql; an empty name is an empty database.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// EnvBin names the environment variable that chooses the PostgreSQL under
// test, for a matrix of versions.
const EnvBin = "PGVEIL_TEST_POSTGRES_BIN"

// shared is the binary's server, once a test has asked for it. Tests that want
// to change a server's settings start one of their own with pgserver.
var shared struct {
	once   sync.Once
	server *server // nil when there is none
	err    error   // why
}

func start() {
	s, err := pgserver.Start(context.Background(), pgserver.Options{
		BinDir:     os.Getenv(EnvBin),
		FastUnsafe: true,
		Settings:   map[string]string{"max_connections": "200"},
	})
	if err != nil {
		shared.err = err
		return
	}
	shared.server = &server{Server: s, templates: map[string]string{}}
}

// Main runs the tests of a package and stops the server, if any test asked for
// one. Without it the server ends all the same, shortly after the process.
func Main(m *testing.M) {
	code := m.Run()
	shared.once.Do(func() {}) // too late to start one
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// Server gives the binary's server.
func Server(t testing.TB) *pgserver.Server {
	t.Helper()
	return use(t).Server
}

func use(t testing.TB) *server {
	t.Helper()
	shared.once.Do(start)
	if errors.Is(shared.err, pgserver.ErrNotFound) {
		t.Fatalf("this test needs PostgreSQL's server programs: apt-get install postgresql, or set %s", EnvBin)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// Database gives the name of a database of the test's own, a copy of the
// fixture's, and drops it when the test ends.
func Database(t testing.TB, fixture string) string {
	t.Helper()
	s := use(t)
	name, err := s.clone(t.Context(), fixture)
	if err != nil {
		t.Fatalf("making a database of fixture %q: %v", fixture, err)
	}
	t.Cleanup(func() {
		// The test's context is over by now.
		if err := s.drop(context.Background(), name); err != nil {
			t.Errorf("dropping the test's database: %v", err)
		}
	})
	return name
}

// Connect logs in and closes the connection when the test ends.
func Connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Errorf("closing a connection: %v", err)
		}
	})
	return conn
}
