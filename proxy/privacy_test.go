package proxy_test

import (
	"context"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/requests"
)

const notesPolicy = `
version: 1
purposes: {privacy: {basis: legal_obligation}}
classes: {open: ["public.*.*"]}
subjects: {person: {table: public.persons, key: id, references: [{from: public.notes.person}]}}
roles: {officer: {purposes: [privacy], privacy: [export]}}
users: {petra: {roles: [officer]}}
`

// TestSlowReaderOfAnExport asks for a long document and does not read on: the
// rest of it waits on the server as well.
func TestSlowReaderOfAnExport(t *testing.T) {
	database := pgtest.Database(t, "")
	dsn := pgtest.Server(t).DSN(database, pgserver.Superuser)
	exec(t, pgtest.Connect(t, dsn), `CREATE TABLE persons (id integer PRIMARY KEY);
CREATE TABLE notes (id integer PRIMARY KEY, person integer REFERENCES persons, body text);
INSERT INTO persons VALUES (1);
INSERT INTO notes SELECT g, 1, repeat('x', 10000) FROM generate_series(1, 10000) AS g;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'petra') THEN CREATE ROLE petra LOGIN; END IF; END $$`)
	f := start(t, database, notesPolicy, func(o *proxy.Options) {
		enforcer := o.Enforcer
		o.Privacy = &requests.Service{Data: &dsar.Service{
			Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) },
			Current: func() (*policy.Set, *catalog.Snapshot) {
				e := enforcer.Engine()
				return e.Policy, e.Catalog
			},
		}}
	})
	before := heap()
	conn := f.loggedIn(t, database, "petra")
	if _, err := conn.Write(encode(&pgproto3.Query{String: "PRIVACY EXPORT person 1"})); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 20<<20)); err != nil {
		t.Fatal(err)
	}
	if got := text(t.Context(), f.connect(t, database, "petra"), "PRIVACY EXPORT person 1"); len(got) < 100e6 {
		t.Fatalf("a session beside it: %d bytes: %.100q", len(got), got)
	}
	if after := heap(); after > before+16<<20 {
		t.Errorf("the heap grew by %d bytes", after-before)
	}
	if n, err := io.ReadFull(conn, make([]byte, 70e6)); err != nil {
		t.Errorf("the rest: %d bytes, %v", n, err)
	}
}
