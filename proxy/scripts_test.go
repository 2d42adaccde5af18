package proxy_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/internal/wirescript"
)

// The callers of the wire scripts. They differ for pgveil only: the restricted
// one may see every column.
const (
	wireUnrestricted = `
version: 1
roles: {all: {unrestricted: true}}
users: {wire: {roles: [all]}}
`
	wireRestricted = `
version: 1
purposes: {work: {basis: contract}}
classes: {open: ["public.*.*"]}
roles: {clerk: {purposes: [work], tables: [{on: ["public.*"], do: [select, insert, update, delete]}]}}
users: {wire: {roles: [clerk]}}
`
)

// wireSchema is what the scripts run on, and wireRows what every block finds.
const (
	wireSchema = `
CREATE TABLE t (id integer PRIMARY KEY, name text, amount numeric(10,2));
CREATE TABLE parent (id integer PRIMARY KEY);
CREATE TABLE child (id integer PRIMARY KEY, parent integer REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wire') THEN CREATE ROLE wire LOGIN; END IF;
END $$;
GRANT ALL ON SCHEMA public TO wire;
GRANT ALL ON ALL TABLES IN SCHEMA public TO wire;
`
	wireRows = `
TRUNCATE t, parent, child;
INSERT INTO t SELECT g, 'name ' || g, g * 1.5 FROM generate_series(1, 10) AS g;
INSERT INTO parent VALUES (1);
`
)

// wireDatabase makes the scripts' database and gives what puts it back.
func wireDatabase(t testing.TB) (name string, reset func()) {
	t.Helper()
	name = pgtest.Database(t, "")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(name, pgserver.Superuser))
	exec(t, admin, wireSchema)
	return name, func() { exec(t, admin, wireRows) }
}

func exec(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// target gives where a block runs: over a network address, logged in as wire.
func target(network, address, database string) wirescript.Target {
	return wirescript.Target{
		Dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		},
		Parameters: map[string]string{"user": "wire", "database": database, "application_name": "wire"},
	}
}

// scripts reads every wire script.
func scripts(t testing.TB) []*wirescript.Script {
	t.Helper()
	paths, err := filepath.Glob("../testdata/wire/*/*.wire")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no wire scripts: %v", err)
	}
	var all []*wirescript.Script
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := wirescript.Parse(path, string(text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func scriptName(s *wirescript.Script) string {
	return strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(s.Path), "../testdata/wire/"), ".wire")
}

// transcript runs a block and fails the test when it cannot be run to its end.
func transcript(t *testing.T, b *wirescript.Block, to wirescript.Target) string {
	t.Helper()
	got, err := b.Run(t.Context(), to)
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	return got
}

// TestScripts runs every block straight against PostgreSQL and through pgveil,
// for a caller without restrictions and, but for blocks tagged unrestricted,
// for one who has some and may see everything that the block uses. pgveil must
// be invisible to both; the second is not told the details of errors.
func TestScripts(t *testing.T) {
	database, reset := wireDatabase(t)
	everybody := start(t, database, wireUnrestricted)
	clerk := start(t, database, wireRestricted)
	run(t, database, reset, everybody.Addr, clerk.Addr)
}

func run(t *testing.T, database string, reset func(), unrestricted, restricted string) {
	for _, s := range scripts(t) {
		for _, b := range s.Blocks {
			t.Run(scriptName(s)+"/"+b.Name, func(t *testing.T) {
				direct := target("unix", socket(pgtest.Server(t)), database)
				reset()
				want := transcript(t, b, direct)
				reset()
				if diff := cmp.Diff(want, transcript(t, b, target("tcp", unrestricted, database))); diff != "" {
					t.Errorf("unrestricted (-PostgreSQL +pgveil):\n%s", diff)
				}
				if restricted == "" || b.Has("unrestricted") {
					return
				}
				reset()
				direct.Brief = true
				want = transcript(t, b, direct)
				through := target("tcp", restricted, database)
				through.Brief = true
				reset()
				if diff := cmp.Diff(want, transcript(t, b, through)); diff != "" {
					t.Errorf("restricted (-PostgreSQL +pgveil):\n%s", diff)
				}
			})
		}
	}
}
