package proxy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// What was prepared is analyzed anew by the server under another search_path, or when the
// policy has come to seal a column: values are sealed for what it means then.
func TestSealedPreparedBefore(t *testing.T) {
	w := startTapped(t)
	direct := pgtest.Connect(t, pgtest.Server(t).DSN(w.database, pgserver.Superuser))
	run(t, direct, `CREATE SCHEMA other; CREATE TABLE other.leads (id integer, ssn text, source text); GRANT ALL ON SCHEMA other TO PUBLIC; GRANT ALL ON other.leads TO PUBLIC`)
	if err := w.Enforcer.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	const insert = `INSERT INTO leads (id, ssn) VALUES ($1, $2)`
	stays := func(t *testing.T, conn *pgx.Conn, do func() error) {
		t.Helper()
		err := do()
		var id int
		row := direct.QueryRow(t.Context(), `SELECT count(*) FROM public.leads WHERE ssn NOT LIKE 'pgv1.%'`)
		if scanned := row.Scan(&id); scanned != nil || id != 0 {
			t.Errorf("%d values are in clear, %v; the statement gave %v", id, scanned, err)
		}
		if err != nil && codeOf(err) == "" {
			t.Errorf("the session is over: %v", err)
		}
		run(t, direct, `TRUNCATE public.leads`)
	}
	t.Run("by the protocol", func(t *testing.T) {
		conn := as(t, w.front, w.database, "root")
		run(t, conn, `SET search_path = other, public`)
		if _, err := conn.Prepare(t.Context(), "again", insert); err != nil {
			t.Fatal(err)
		}
		run(t, conn, "again", 1, "in clear")
		run(t, conn, `SET search_path = public`)
		stays(t, conn, func() error { _, err := conn.Exec(t.Context(), "again", 1, secret); return err })
	})
	t.Run("in SQL", func(t *testing.T) {
		conn := as(t, w.front, w.database, "root", simply)
		run(t, conn, `SET search_path = other, public`)
		run(t, conn, `PREPARE again (int, text) AS INSERT INTO leads (id, ssn) VALUES ($1, $2)`)
		run(t, conn, `EXECUTE again (1, 'in clear')`)
		run(t, conn, `SET search_path = public`)
		stays(t, conn, func() error { _, err := conn.Exec(t.Context(), `EXECUTE again (1, '`+secret+`')`); return err })
	})
	t.Run("a function call", func(t *testing.T) {
		conn := as(t, w.front, w.database, "root", simply)
		run(t, conn, `SET search_path = other, public`)
		front := conn.PgConn().Frontend()
		front.Send(&pgproto3.FunctionCall{Function: 2078, Arguments: [][]byte{[]byte("search_path"), []byte("public"), []byte("f")}}) // set_config
		front.SendQuery(&pgproto3.Query{String: `INSERT INTO leads (id, ssn) VALUES (1, 'not in clear')`})
		if err := front.Flush(); err != nil {
			t.Fatal(err)
		}
		for ready := 0; ready < 2; {
			m, err := front.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := m.(*pgproto3.ReadyForQuery); ok {
				ready++
			}
		}
		stays(t, conn, func() error { return nil })
	})
	t.Run("a policy", func(t *testing.T) {
		text, err := os.ReadFile(filepath.Join("..", "testdata", "fixtures", "vault", "policy.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		open := strings.Replace(strings.Replace(string(text), "public.leads.ssn, ", "", 1), "name: [public.people.name", "name: [public.leads.ssn, public.people.name", 1)
		w.reload(t, open)
		protocol, sql := as(t, w.front, w.database, "root"), as(t, w.front, w.database, "root", simply)
		if _, err := protocol.Prepare(t.Context(), "again", insert); err != nil {
			t.Fatal(err)
		}
		run(t, protocol, "again", 1, "in clear")
		run(t, sql, `PREPARE again (int, text) AS INSERT INTO leads (id, ssn) VALUES ($1, $2)`)
		run(t, sql, `EXECUTE again (2, 'in clear')`)
		run(t, direct, `TRUNCATE public.leads`)
		w.reload(t, string(text))
		stays(t, protocol, func() error { _, err := protocol.Exec(t.Context(), "again", 1, secret); return err })
		stays(t, sql, func() error { _, err := sql.Exec(t.Context(), `EXECUTE again (1, '`+secret+`')`); return err })
	})
}

// Amid a transaction that changes what names mean, nothing is sealed by what they meant.
func TestSealedAltered(t *testing.T) {
	w := startTapped(t)
	conn := as(t, w.front, w.database, "root", simply)
	for name, tt := range map[string]struct{ change, write string }{
		"a view made anew":  {`DROP VIEW directory; CREATE VIEW directory AS SELECT id, ssn AS name, name AS number FROM people`, `INSERT INTO directory (id, name, number) VALUES (1, '` + secret + `', 'x')`},
		"a view replaced":   {`CREATE OR REPLACE VIEW directory AS SELECT id, ssn AS name, name AS number FROM people`, `INSERT INTO directory (id, name, number) VALUES (1, '` + secret + `', 'x')`},
		"names that change": {`ALTER TABLE visits RENAME TO was; ALTER TABLE leads RENAME TO visits`, `INSERT INTO visits (ssn) VALUES ('` + secret + `')`},
		"a table made anew": {`DROP TABLE leads; CREATE TABLE leads (id integer, ssn text, source text)`, `INSERT INTO leads (ssn) VALUES ('` + secret + `')`},
		"another's columns": {`ALTER TABLE leads DROP COLUMN ssn; ALTER TABLE leads RENAME COLUMN source TO ssn`, `INSERT INTO leads (ssn) VALUES ('` + secret + `')`},
		"a table of rows":   {`EXPLAIN ANALYZE SELECT ssn INTO kept FROM people`, `SELECT 1 / 0`},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, conn, `BEGIN`)
			_, changed := conn.Exec(t.Context(), tt.change)
			_, err := conn.Exec(t.Context(), tt.write)
			if err == nil {
				t.Errorf("%s was taken (the change: %v)", tt.write, changed)
			}
			run(t, conn, `ROLLBACK`)
			w.check(t, name)
		})
	}
}
