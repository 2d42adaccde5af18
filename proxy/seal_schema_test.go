package proxy_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// startOwned is startTapped for a database whose schema root may change.
func startOwned(t *testing.T) (w *wiretap, conn *pgx.Conn) {
	w = startTapped(t)
	direct := pgtest.Connect(t, pgtest.Server(t).DSN(w.database, pgserver.Superuser))
	run(t, direct, `ALTER TABLE leads OWNER TO root; ALTER TABLE people OWNER TO root; ALTER VIEW directory OWNER TO root; CREATE SCHEMA other AUTHORIZATION root`)
	return w, as(t, w.front, w.database, "root", simply)
}

// What a transaction does to the schema is not known before it is over: nothing is
// written by names that may mean something else since.
func TestSealedSchemaChanges(t *testing.T) {
	w, conn := startOwned(t)
	run(t, conn, `CREATE TABLE other.leads (id int, ssn text, source text)`)
	const into, swapped = `INSERT INTO leads VALUES (1, '` + secret + `', '')`, `INSERT INTO leads VALUES (1, '', '` + secret + `')`
	for _, tt := range []struct{ name, before, change, write, code string }{
		{"a view with other columns", "", `CREATE OR REPLACE VIEW directory AS SELECT id, ssn AS name, name AS number FROM people`, `INSERT INTO directory (id, name, number) VALUES (1, '` + secret + `', '')`, "0A000"},
		{"a view's names exchanged", "", `ALTER VIEW directory RENAME number TO x; ALTER VIEW directory RENAME name TO number; ALTER VIEW directory RENAME x TO name`, `INSERT INTO directory (id, name, number) VALUES (1, '` + secret + `', '')`, "0A000"},
		{"a view in place of a view", "", `DROP VIEW directory; CREATE VIEW directory AS SELECT id, ssn AS name, name AS number FROM people`, `INSERT INTO directory (id, name, number) VALUES (1, '` + secret + `', '')`, "0A000"},
		{"other columns", "", `ALTER TABLE leads DROP COLUMN id`, `INSERT INTO leads VALUES ('` + secret + `', '')`, "0A000"},
		{"another table", "", `DROP TABLE leads; CREATE TABLE leads (id int, source text, ssn text)`, swapped, "0A000"},
		{"another table by COPY", "", `DROP TABLE leads; CREATE TABLE leads (id int, source text, ssn text)`, `COPY leads FROM STDIN`, "0A000"},
		{"the table behind one that goes", "SET search_path = other, public", `DROP TABLE other.leads`, into, "0A000"},
		{"the table behind one that is renamed", "SET search_path = other, public", `ALTER TABLE other.leads RENAME TO x`, into, "0A000"},
		{"the table behind one that moves", "SET search_path = other, public", `CREATE SCHEMA AUTHORIZATION root; ALTER TABLE other.leads SET SCHEMA root`, into, "0A000"},
		{"the table behind a schema that goes", "SET search_path = other, public", `DROP SCHEMA other CASCADE`, into, "0A000"},
		{"a table that becomes a part", "", `CREATE TABLE l3 (id int NOT NULL, ssn text, source text); ALTER TABLE l3 INHERIT leads`, `INSERT INTO l3 VALUES (1, '` + secret + `', '')`, "0A000"},
		{"a column more", "", `ALTER TABLE leads ADD COLUMN extra text`, into, ""},
		{"another table's name", "", `CREATE TABLE t1 (a text); ALTER TABLE t1 RENAME TO t2`, into, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, conn, "SET search_path = public; "+tt.before)
			for _, text := range []string{"BEGIN", tt.change} {
				if _, err := conn.PgConn().Exec(t.Context(), text).ReadAll(); err != nil && !strings.Contains(err.Error(), "permission denied for database") {
					t.Fatal(text, err)
				}
			}
			if _, err := conn.PgConn().Exec(t.Context(), tt.write).ReadAll(); codeOf(err) != tt.code {
				t.Errorf("in a transaction: %v, want %q", err, tt.code)
			}
			run(t, conn, "ROLLBACK")
			if _, err := conn.PgConn().Exec(t.Context(), tt.change+"; "+tt.write).ReadAll(); err == nil && tt.code != "" {
				t.Errorf("in one text: %v, want %q", err, tt.code)
			} else if err == nil {
				run(t, conn, "DELETE FROM leads")
			}
			w.check(t, tt.name)
		})
	}
}

// SELECT INTO that looks for a sealed value makes its table.
func TestSealedSelectInto(t *testing.T) {
	w, conn := startOwned(t)
	run(t, conn, `GRANT ALL ON SCHEMA other TO root; INSERT INTO leads VALUES (7, '`+secret+`', '')`)
	for name, text := range map[string]string{
		"a": `SELECT id INTO other.a FROM leads WHERE ssn = '` + secret + `'`,
		"b": `EXPLAIN ANALYZE SELECT id INTO other.b FROM leads WHERE ssn = '` + secret + `'`,
	} {
		run(t, conn, text)
		var id int
		if err := conn.QueryRow(t.Context(), `SELECT id FROM other.`+name).Scan(&id); err != nil || id != 7 {
			t.Errorf("%s: %d, %v", text, id, err)
		}
	}
	if _, err := conn.Exec(t.Context(), `EXPLAIN ANALYZE SELECT ssn INTO other.c FROM leads`); codeOf(err) != "0A000" {
		t.Errorf("what is sealed is kept elsewhere: %v", err)
	}
	w.check(t, "SELECT INTO")
}

// A text that is too long to be read may hold values to be sealed.
func TestSealedLongText(t *testing.T) {
	w := startTapped(t)
	conn := as(t, w.front, w.database, "root")
	long := `INSERT INTO leads VALUES (1, '` + secret + `', '` + strings.Repeat("x", parse.MaxText+1<<20) + `')`
	if _, err := conn.PgConn().Exec(t.Context(), long).ReadAll(); codeOf(err) != "54000" {
		t.Errorf("Query: %v", err)
	}
	if _, err := conn.PgConn().Prepare(t.Context(), "s", long, nil); codeOf(err) != "54000" {
		t.Errorf("Parse: %v", err)
	}
	run(t, conn, `SELECT 1`)
	w.check(t, "a long text")
}

// A statement that was prepared under another search_path is not run with what was
// found out of it then.
func TestSealedPreparedElsewhere(t *testing.T) {
	w, conn := startOwned(t)
	const text = `INSERT INTO leads (id, ssn, source) VALUES ($1, $2, '')`
	run(t, conn, `CREATE TABLE other.leads (id int, ssn text, source text)`)
	run(t, conn, `SET search_path = other, public`)
	if _, err := conn.Prepare(t.Context(), "byProtocol", text); err != nil {
		t.Fatal(err)
	}
	run(t, conn, `PREPARE by_sql AS `+text)
	run(t, conn, `PREPARE plain AS SELECT 1`)
	exec := func(id string) error {
		return conn.PgConn().ExecPrepared(t.Context(), "byProtocol", [][]byte{[]byte(id), []byte(secret)}, nil, nil).Read().Err
	}
	if err := exec("1"); err != nil {
		t.Fatal(err)
	}
	run(t, conn, `EXECUTE by_sql(2, 'x')`)
	w.from = len(w.serverLog(t))
	run(t, conn, `SET search_path = public`)
	if err := exec("3"); err != nil {
		t.Error(err)
	}
	if _, err := conn.Exec(t.Context(), `EXECUTE by_sql(4, '`+secret+`')`); codeOf(err) != "0A000" {
		t.Errorf("EXECUTE: %v", err)
	}
	if _, err := conn.Exec(t.Context(), `EXECUTE "byProtocol"(5, '`+secret+`')`); codeOf(err) != "0A000" {
		t.Errorf("EXECUTE of what the protocol prepared: %v", err)
	}
	run(t, conn, `EXECUTE plain`)
	run(t, conn, `PREPARE found AS SELECT id FROM leads WHERE ssn = '`+secret+`'`)
	run(t, conn, `EXECUTE found`)
	run(t, conn, `SET search_path = other, public`)
	if _, err := conn.Exec(t.Context(), `EXECUTE found`); codeOf(err) != "42501" {
		t.Errorf("EXECUTE of what is sealed no more: %v", err)
	}
	w.check(t, "prepared under another search_path")
	var got string
	if err := conn.QueryRow(t.Context(), `SELECT ssn FROM public.leads WHERE id = 3`).Scan(&got); err != nil || got != secret {
		t.Errorf("got %q, %v", got, err)
	}
}
