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
subjects: {person: {table: public.t, key: id}, parent: {table: public.parent, key: id}}
roles: {all: {unrestricted: true}}
users: {wire: {roles: [all]}}
`
	wireRestricted = `
version: 1
purposes: {work: {basis: contract}}
subjects: {person: {table: public.t, key: id}, parent: {table: public.parent, key: id}}
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
DELETE FROM child;
DELETE FROM parent;
DELETE FROM t;
INSERT INTO t SELECT g, 'name ' || g, g * 1.5 FROM generate_series(1, 10) AS g;
INSERT INTO parent VALUES (1);
`
)

// wireBase is the scripts' database.
type wireBase struct {
	name  string
	admin *pgx.Conn
}

func newWireBase(t testing.TB) *wireBase {
	t.Helper()
	name := pgtest.Database(t, "")
	w := &wireBase{name, pgtest.Connect(t, pgtest.Server(t).DSN(name, pgserver.Superuser))}
	exec(t, w.admin, wireSchema)
	return w
}

// asleep waits until a server process is in pg_sleep.
func (w *wireBase) asleep(ctx context.Context, pid uint32) (err error) {
	for asleep := false; !asleep && err == nil; {
		err = w.admin.QueryRow(ctx, "SELECT coalesce(wait_event = 'PgSleep', false) FROM pg_stat_activity WHERE pid = $1", pid).Scan(&asleep)
	}
	return err
}

func exec(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// target gives where a block runs: over a network address, logged in as wire.
func (w *wireBase) target(network, address string) wirescript.Target {
	return wirescript.Target{
		Dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		},
		Parameters: map[string]string{"user": "wire", "database": w.name, "application_name": "wire"},
		Asleep:     w.asleep,
	}
}

// direct is the target without pgveil.
func (w *wireBase) direct(t testing.TB) wirescript.Target {
	return w.target("unix", socket(pgtest.Server(t)))
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

// transcript runs a block on fresh rows and fails the test when it cannot be
// run to its end.
func (w *wireBase) transcript(t *testing.T, b *wirescript.Block, to wirescript.Target) string {
	t.Helper()
	exec(t, w.admin, wireRows)
	got, err := b.Run(t.Context(), to)
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	return got
}

// compare compares a transcript with the one straight from PostgreSQL.
func compare(t *testing.T, want, got string, brief bool) {
	t.Helper()
	if brief {
		want, got = wirescript.Brief(want), wirescript.Brief(got)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-PostgreSQL +pgveil:\n%s", diff)
	}
}

// TestScripts runs every block straight against PostgreSQL and through pgveil,
// for a caller without restrictions and, but for blocks tagged unrestricted,
// for one who has some and may see everything that the block uses. pgveil must
// be invisible to both, and name subjects all the while; the second is not told the details of errors. Blocks
// tagged brief have errors whose details are a matter of chance.
func TestScripts(t *testing.T) {
	w := newWireBase(t)
	everybody := start(t, w.name, wireUnrestricted, names(t, w.name))
	clerk := start(t, w.name, wireRestricted, names(t, w.name))
	for _, s := range scripts(t) {
		for _, b := range s.Blocks {
			t.Run(scriptName(s)+"/"+b.Name, func(t *testing.T) {
				want := w.transcript(t, b, w.direct(t))
				compare(t, want, w.transcript(t, b, w.target("tcp", everybody.Addr)), b.Has("brief"))
				if !b.Has("unrestricted") {
					compare(t, want, w.transcript(t, b, w.target("tcp", clerk.Addr)), true)
				}
			})
		}
	}
}

// script runs a block's text as one caller and gives its transcript.
func (f *front) script(t testing.TB, database, user, text string) string {
	t.Helper()
	s, err := wirescript.Parse("script", "block of a test\n"+text)
	if err != nil {
		t.Fatal(err)
	}
	to := wirescript.Target{
		Dial:       func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", f.Addr) },
		Parameters: map[string]string{"user": user, "database": database},
	}
	got, err := s.Blocks[0].Run(t.Context(), to)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, text, got)
	}
	return got
}
