package dsar

import (
	"strings"
	"testing"
)

// Every kind of column gets a value that its type, its length and its
// constraints allow, and that tells of nobody.
func TestAnonymise(t *testing.T) {
	columns := []string{
		"nothing text", "email text NOT NULL UNIQUE CHECK (email ~ '^[^@]+@[^@]+$')", "mail2 varchar(30) NOT NULL", "short varchar(3) NOT NULL", "code char(12) NOT NULL UNIQUE",
		"login varchar(20) NOT NULL", "n int NOT NULL", "nu bigint NOT NULL UNIQUE", "d numeric(6,2) NOT NULL", "b bool NOT NULL", "born date NOT NULL", "seen timestamptz NOT NULL",
		"u uuid NOT NULL UNIQUE", "ip inet NOT NULL", "net cidr NOT NULL", "bin bytea NOT NULL UNIQUE", "j jsonb NOT NULL", "js json NOT NULL", "list text[] NOT NULL", "mood mood NOT NULL", "moods mood[] NOT NULL",
		"pair pair NOT NULL", "r int4range NOT NULL", "rs nummultirange NOT NULL", "dom addr NOT NULL", "strict strict", "up text GENERATED ALWAYS AS (upper(login)) STORED", `"wei""rd" text NOT NULL`,
		"years date", "first text", "kept text", "fixed text NOT NULL", "random text", "ci citext NOT NULL", "t time NOT NULL", "money money NOT NULL", "x xml NOT NULL",
	}
	conn, g := erasable(t, `
		CREATE EXTENSION citext;
		CREATE TYPE mood AS ENUM ('so so', 'good'); CREATE TYPE pair AS (a int, b text);
		CREATE DOMAIN addr AS varchar(10) CHECK (length(VALUE) > 2); CREATE DOMAIN strict AS text NOT NULL;
		CREATE TABLE customers (id int PRIMARY KEY, `+strings.Join(columns, ", ")+");"+insertPeople(columns), `
classes:
  open: ["public.customers.id"]
  person: ["public.customers.*"]
  year: {columns: [public.customers.years], erase: year}
  initial: {columns: [public.customers.first], erase: first(1)}
  known: {columns: [public.customers.kept], erase: keep}
  fixed: {columns: [public.customers.fixed], erase: constant('n/a')}
  random: {columns: [public.customers.random], erase: token}
subjects:
  customer: {table: public.customers, key: id, erase: [{on: [public.customers], do: anonymise}]}
`)
	erase(t, conn, g, EraseOptions{Request: 1}, "1")
	erase(t, conn, g, EraseOptions{Request: 2}, "2")
	for _, id := range []string{"1", "2"} {
		row := query[string](t, conn, "SELECT to_jsonb(c)::text FROM customers AS c WHERE id = "+id)[0]
		if strings.Count(row, "Ada") != 1 || strings.Contains(row, "ada@") || strings.Contains(row, "x.de") || strings.Contains(row, `"\\xada`) { // the one that is kept
			t.Errorf("customer %s is now %s", id, row)
		}
		for _, want := range []string{`"years": "1980-01-01"`, `"first": "A**"`, `"kept": "Ada"`, `"fixed": "n/a"`, `"nothing": null`, `"mood": "so so"`, `"born": "1900-01-01"`, `"up": "ANONYMISED"`} {
			if !strings.Contains(row, want) {
				t.Errorf("customer %s has no %s: %s", id, want, row)
			}
		}
	}
	for column, same := range map[string]bool{"email": false, "code": false, "nu": false, "random": false, "login": true} {
		values := query[string](t, conn, "SELECT "+column+"::text FROM customers WHERE id IN (1, 2)")
		if (values[0] == values[1]) != same {
			t.Errorf("%s is %q", column, values)
		}
	}
	if n := query[int](t, conn, `SELECT (count(*) FILTER (WHERE to_jsonb(c)::text ~ 'Ada'))::int FROM customers AS c WHERE id = 3 AND login = 'Ada'`); n[0] != 1 {
		t.Error("customer 3 was changed")
	}
}

// Names that differ in more than capitals do so afterwards; what an index leaves
// rows out by need not.
func TestAnonymiseComputed(t *testing.T) {
	conn, g := erasable(t, `
		CREATE TABLE customers (id int PRIMARY KEY, login text NOT NULL, active bool NOT NULL);
		CREATE UNIQUE INDEX ON customers (lower(login)) WHERE active;
		INSERT INTO customers VALUES (1, 'Ada', true), (2, 'Bob', true)`, `
classes: {open: [public.customers.id], login: [public.customers.login], flag: {columns: [public.customers.active], erase: keep}}
subjects: {customer: {table: public.customers, key: id, erase: [{on: [public.customers], do: anonymise}]}}
`)
	erase(t, conn, g, EraseOptions{Request: 1}, "1")
	erase(t, conn, g, EraseOptions{Request: 2}, "2")
	if n := query[int](t, conn, "SELECT count(DISTINCT login)::int FROM customers WHERE login NOT IN ('Ada', 'Bob')"); n[0] != 2 {
		t.Errorf("%d names differ", n[0])
	}
}

// insertPeople fills three rows with personal data, whatever the columns are.
func insertPeople(columns []string) string {
	values := map[string]string{
		"email": "'ada' || i || '@x.de'", "mail2": "'ada@x.de'", "code": "'Ada' || i", "n": "7", "nu": "i", "d": "12.34", "b": "true", "born": "'1980-05-05'", "seen": "'2020-02-02'",
		"u": "gen_random_uuid()", "ip": "'10.0.0.1'", "net": "'10.0.0.0/8'", "bin": "decode('ada' || i, 'hex')", "j": `'{"Ada": 1}'`, "js": `'{"Ada": 1}'`, "list": "'{Ada}'",
		"mood": "'good'", "moods": "'{good}'", "pair": "'(1,Ada)'", "r": "'[1,5)'", "rs": "'{[1,5)}'", "years": "'1980-05-05'", "t": "'12:34'", "money": "7", "x": "'<Ada/>'",
	}
	names, row := []string{"id"}, []string{"i"}
	for _, c := range columns {
		name, _, _ := strings.Cut(c, " ")
		if strings.Contains(c, "GENERATED") {
			continue
		}
		value, ok := values[name]
		if !ok {
			value = "'Ada'"
		}
		names, row = append(names, name), append(row, value)
	}
	return "INSERT INTO customers (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(row, ", ") + " FROM generate_series(1, 3) AS i;"
}

// What the server itself keeps of erased rows goes as well.
func TestTidy(t *testing.T) {
	conn, g := erasable(t, `
		CREATE TABLE customers (id int PRIMARY KEY, name text);
		CREATE TABLE orders (customer_id int REFERENCES customers, note text);
		INSERT INTO customers SELECT i, 'Ada Lovelace ' || i FROM generate_series(1, 20) AS i;
		INSERT INTO orders SELECT 1 + i % 2, 'note of customer ' || (1 + i % 2) FROM generate_series(1, 200) AS i;
		CREATE VIEW named AS SELECT id, name FROM customers;
		CREATE MATERIALIZED VIEW names AS SELECT id, name FROM named; CREATE UNIQUE INDEX ON names (id);
		CREATE MATERIALIZED VIEW firsts AS SELECT left(name, 14) AS first FROM names;
		CREATE MATERIALIZED VIEW others AS SELECT 1 AS one;
		ANALYZE customers; ANALYZE orders`, allOpen(""))
	const known = "SELECT count(*)::int FROM pg_stats WHERE (most_common_vals::text || coalesce(histogram_bounds::text, '') LIKE '%customer 1%' OR histogram_bounds::text LIKE '%Lovelace 1\"%')"
	if n := query[int](t, conn, known); n[0] != 2 {
		t.Fatalf("statistics tell of the customer in %d columns", n[0])
	}
	done := erase(t, conn, g, EraseOptions{Request: 1}, "1")
	if n := query[int](t, conn, known); n[0] != 0 {
		t.Errorf("statistics still tell of the customer in %d columns", n[0])
	}
	if n := query[int](t, conn, "SELECT count(*)::int FROM names WHERE id = 1"); n[0] != 0 {
		t.Error("a materialized view still has the customer")
	}
	if got := strings.Join(done.Tidied.Vacuumed, " ") + ", " + strings.Join(done.Tidied.Refreshed, " "); got != "public.orders public.customers, public.names public.firsts" {
		t.Errorf("tidied are %s", got)
	}
	if len(done.Tidied.Left) < 3 {
		t.Errorf("left are %q", done.Tidied.Left)
	}
	// A login that may erase but owns nothing is told what it leaves.
	if _, err := conn.Exec(t.Context(), "CREATE ROLE eraser LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO eraser; SET ROLE eraser"); err != nil {
		t.Fatal(err)
	}
	tidied, err := Tidy(t.Context(), conn, g, []string{"public.orders"})
	if err != nil || tidied.Vacuumed != nil || !strings.Contains(strings.Join(tidied.Left, "\n"), "may not VACUUM") {
		t.Errorf("tidied %v, %v", tidied, err)
	}
	if _, err := conn.Exec(t.Context(), "RESET ROLE; DROP OWNED BY eraser; DROP ROLE eraser"); err != nil {
		t.Fatal(err)
	}
}

// Nor does anything stay in what is a part of what was written, or made of parts
// that were, however little it is.
func TestTidyRelatives(t *testing.T) {
	conn, g := erasable(t, `
		CREATE EXTENSION pageinspect;
		CREATE SCHEMA "a.b";
		CREATE TABLE customers (id int PRIMARY KEY, email text UNIQUE);
		CREATE TABLE logs (line text, customer_id int REFERENCES customers);
		CREATE TABLE old_logs () INHERITS (logs);
		CREATE TABLE "a.b".events (what text, customer_id int REFERENCES customers) PARTITION BY LIST (customer_id);
		CREATE TABLE "a.b".events_1 PARTITION OF "a.b".events FOR VALUES IN (1);
		CREATE MATERIALIZED VIEW whats AS SELECT what FROM "a.b".events_1;
		CREATE MATERIALIZED VIEW lines AS SELECT line FROM logs;
		CREATE MATERIALIZED VIEW failing AS SELECT 1 / count(*) AS share FROM logs WHERE customer_id = 1 WITH NO DATA;
		INSERT INTO customers SELECT i, 'mail' || i || '@x' FROM generate_series(1, 9999) AS i;
		INSERT INTO old_logs SELECT 'line of ' || 1 + i / 100, 1 + i / 100 FROM generate_series(0, 199) AS i;
		INSERT INTO "a.b".events SELECT 'what of 1', 1 FROM generate_series(1, 9);
		REFRESH MATERIALIZED VIEW whats; REFRESH MATERIALIZED VIEW lines; REFRESH MATERIALIZED VIEW failing;
		ANALYZE; SET default_transaction_read_only = on`,
		"classes: {open: [\"*.*.*\"]}\nsubjects: {customer: {table: public.customers, key: id}}\n")
	done := erase(t, conn, g, EraseOptions{Request: 1}, "1")
	for _, tt := range []struct{ sql, want string }{
		{`SELECT count(*) || ' entries' FROM generate_series(1, (pg_relation_size('customers_email_key') / 8192 - 1)::int) AS b, bt_page_items('customers_email_key', b)
			WHERE replace(data, ' ', '') LIKE '%' || encode('mail1@x', 'hex') || '%'`, "0 entries"},
		{"SELECT count(*) || ' lines' FROM lines WHERE line = 'line of 1'", "0 lines"},
		{"SELECT count(*) || ' whats' FROM whats", "0 whats"},
		{"SELECT count(*) || ' statistics' FROM pg_stats WHERE most_common_vals::text LIKE '%line of 1%'", "0 statistics"},
	} {
		if got := query[string](t, conn, tt.sql); got[0] != tt.want {
			t.Errorf("%s, want %s", got[0], tt.want)
		}
	}
	left := strings.Join(done.Tidied.Left, "\n")
	for _, want := range []string{"statistics of a.b.events_1: it is empty", "failing: it could not be refreshed (SQLSTATE 22012)"} {
		if !strings.Contains(left, want) {
			t.Errorf("left are %q, without %q", left, want)
		}
	}
}
