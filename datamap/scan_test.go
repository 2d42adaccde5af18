package datamap_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/datamap"
	"github.com/pgveil/pgveil/demo"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
)

func connect(t *testing.T, fixture string) *pgx.Conn {
	t.Helper()
	return pgtest.Connect(t, pgtest.Server(t).DSN(pgtest.Database(t, fixture), pgserver.Superuser))
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

func catalogOf(t *testing.T, conn *pgx.Conn) *catalog.Snapshot {
	t.Helper()
	cat, err := pgload.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

// compiles wants the proposed policy to be one for the catalog.
func compiles(t *testing.T, m *datamap.Map, cat *catalog.Snapshot) *policy.Document {
	t.Helper()
	doc, err := policy.Parse(m.Policy()...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := policy.Compile(doc, cat); err != nil {
		t.Fatal(err)
	}
	return doc
}

// column finds what was found of a column.
func column(t *testing.T, m *datamap.Map, table, name string) datamap.Column {
	t.Helper()
	for _, of := range m.Tables {
		i := slices.IndexFunc(of.Columns, func(c datamap.Column) bool { return of.Name == table && c.Name == name })
		if i >= 0 {
			return of.Columns[i]
		}
	}
	t.Fatalf("%s.%s was not looked at", table, name)
	return datamap.Column{}
}

// fixtureOf connects to a database of a fixture, of which some have no logins.
func fixtureOf(t *testing.T, fixture string) *pgx.Conn {
	t.Helper()
	if fixture != "hr" && fixture != "odd" && fixture != "desk" {
		return connect(t, fixture)
	}
	conn := connect(t, "")
	for _, file := range []string{"schema.sql", "rows.sql"} {
		text, err := os.ReadFile(filepath.Join(pgtest.Fixture(t, fixture), file))
		if err != nil {
			t.Fatal(err)
		}
		execute(t, conn, string(text))
	}
	return conn
}

// What is proposed is a policy for the very database, by samples or by the schema
// alone, and then differs from it in undecided columns only.
func TestProposalsCompile(t *testing.T) {
	for _, fixture := range []string{"", "audit", "crm", "desk", "hr", "ledger", "odd", "sales", "shop"} {
		t.Run(fixture, func(t *testing.T) {
			conn := fixtureOf(t, fixture)
			cat := catalogOf(t, conn)
			for _, m := range []*datamap.Map{scan(t, conn, datamap.Options{}), datamap.Read(cat)} {
				doc := compiles(t, m, cat)
				all, err := m.Diff(doc, cat)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range all {
					if d.Kind != datamap.Unclassified || d.Found != datamap.Undecided && d.Column != "" {
						t.Errorf("%s: %s %s", d.Kind, d.Name(), d.Says)
					}
				}
			}
		})
	}
}

const strange = `
CREATE SCHEMA "Odd ""S."; CREATE SCHEMA app;
CREATE TABLE "Odd ""S."."Kunden: # -
{x}" (id int PRIMARY KEY, "E-Mail
" text, "null" text, "true" int, "first name" text, "a.b" text, "*" text, "ünïcode" text, "'" text, "\u0085" text);
INSERT INTO "Odd ""S."."Kunden: # -
{x}" SELECT i, 'a' || i || '@example.com', 'x', i, 'Anna', 'b', 'c', 'd', 'e', 'f' FROM generate_series(1, 50) i;
CREATE TABLE app.empty (); CREATE TABLE app.nothing (id int, note text);
CREATE TABLE app.big (id int PRIMARY KEY, huge text, raw bytea, doc jsonb, words text[], comp app.nothing, wrong int, mail text);
INSERT INTO app.big SELECT i, repeat('x', 3000000), convert_to('carl' || i || '@example.com', 'UTF8'), jsonb_build_object('email', 'd' || i || '@example.com'),
  ARRAY['e' || i || '@example.com', NULL, 'x"y,{z}'], ROW(i, 'Please call Anna Smith at +44 20 7946 0' || 100 + i)::app.nothing, i, 'not an address' FROM generate_series(1, 30) i;
INSERT INTO app.big VALUES (0, NULL, '\x00ff', ('{"a": ' || repeat('[', 1000) || repeat(']', 1000) || '}')::jsonb, '{}', NULL, NULL, NULL);
UPDATE app.big SET doc = jsonb_build_object('k', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 40000) i)) WHERE id = 1;
CREATE TABLE app.parts (id int, at date, email text) PARTITION BY RANGE (at);
CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE app.parts_2 (email text, id int, at date); ALTER TABLE app.parts ATTACH PARTITION app.parts_2 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO app.parts SELECT i, '2024-06-01'::date + i, 'p' || i || '@example.com' FROM generate_series(1, 400) i;
CREATE TABLE app.parent (id int, mail text); CREATE TABLE app.heir (extra text) INHERITS (app.parent);
INSERT INTO app.heir SELECT i, 'h' || i || '@example.com', 'GB29NWBK60161331926819' FROM generate_series(1, 40) i;
CREATE VIEW app.seen AS SELECT mail, (SELECT 1 FROM pg_sleep(1000)) AS slow FROM app.parent;
CREATE MATERIALIZED VIEW app.kept AS SELECT email AS x FROM app.parts; CREATE MATERIALIZED VIEW app.unkept AS SELECT 1 AS id WITH NO DATA;
CREATE EXTENSION file_fdw; CREATE SERVER f FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE app.far (email text) SERVER f OPTIONS (filename '/nonexistent');
CREATE FUNCTION app.evil(app.nothing) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''the cast was called''; END'; CREATE CAST (app.nothing AS text) WITH FUNCTION app.evil(app.nothing) AS IMPLICIT;
CREATE FUNCTION public.concat(VARIADIC text[]) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''it was called''; END';
`

func TestStrange(t *testing.T) {
	conn := connect(t, "")
	execute(t, conn, strange)
	m := scan(t, conn, datamap.Options{})
	compiles(t, m, catalogOf(t, conn))
	odd := "Odd \"S..Kunden: # -\n{x}"
	for _, tt := range []struct {
		table, column string
		want          datamap.Class
	}{
		{odd, "E-Mail\n", datamap.Email},
		{odd, "first name", datamap.Name},
		{"app.big", "huge", datamap.Open},
		{"app.big", "raw", datamap.Email},
		{"app.big", "doc", datamap.Profile},
		{"app.big", "words", datamap.Email},
		{"app.big", "comp", datamap.FreeText},
		{"app.big", "mail", datamap.Undecided},
		{"app.parts", "email", datamap.Email},
		{"app.parent", "mail", datamap.Email},
		{"app.heir", "extra", datamap.Account},
		{"app.kept", "x", datamap.Email},
		{"app.far", "email", datamap.Email},
		{"app.nothing", "note", datamap.FreeText},
	} {
		if got := column(t, m, tt.table, tt.column); got.Class != tt.want {
			t.Errorf("%s.%s is %q, want %q: %+v", tt.table, tt.column, got.Class, tt.want, got.Evidence)
		}
	}
	for _, of := range m.Tables {
		if of.Name == "app.parts_1" || of.Name == "app.seen" || of.Name == "app.heir" && len(of.Columns) != 1 {
			t.Errorf("%s has %d columns of its own", of.Name, len(of.Columns))
		}
	}
	if len(m.Unread) != 1 || m.Unread[0].Table != "app.unkept" {
		t.Errorf("unread: %+v", m.Unread)
	}
}

// No value is in what a scan says.
func TestNoValues(t *testing.T) {
	conn := connect(t, "")
	execute(t, conn, `CREATE TABLE people (id int PRIMARY KEY, first_name text, email text, notes text, data jsonb, tags text[]);
		INSERT INTO people SELECT i, 'Anna-secretvalue', 'secretvalue' || i || '@example.com', 'Anna secretvalue called us about the order ' || i,
			jsonb_build_object('secretvalue' || i || '@example.com', 'secretvalue@example.com', 'secretvalue', 'Anna secretvalue'), ARRAY['secretvalue'] FROM generate_series(1, 100) i`)
	cat := catalogOf(t, conn)
	m := scan(t, conn, datamap.Options{})
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Policy() {
		text = append(text, f.Text...)
	}
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: "version: 1\nclasses: {open: [public.people.*]}"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := m.Diff(doc, cat)
	if err != nil || len(all) == 0 {
		t.Fatalf("%d differences, %v", len(all), err)
	}
	for _, d := range all {
		text = append(text, d.Says...)
	}
	if strings.Contains(strings.ToLower(string(text)), "secretvalue") {
		t.Errorf("a value is in what the scan says: %s", text)
	}
}

// What the login may not read, or must wait for, is told; the rest is read.
func TestUnread(t *testing.T) {
	s := pgtest.Server(t)
	database := pgtest.Database(t, "")
	admin := pgtest.Connect(t, s.DSN(database, pgserver.Superuser))
	execute(t, admin, `
		CREATE ROLE scanner_of_tests LOGIN; CREATE SCHEMA closed;
		CREATE TABLE public.open (id int, email text); INSERT INTO public.open SELECT i, 'a' || i || '@example.com' FROM generate_series(1, 30) i; GRANT SELECT ON public.open TO scanner_of_tests;
		CREATE TABLE public.denied (id int, email text); CREATE TABLE public.some (id int, email text, iban text); GRANT SELECT (id, email) ON public.some TO scanner_of_tests;
		CREATE TABLE closed.t (email text); GRANT SELECT ON closed.t TO scanner_of_tests;
		CREATE TABLE public.rows (id int, email text); ALTER TABLE public.rows ENABLE ROW LEVEL SECURITY; GRANT SELECT ON public.rows TO scanner_of_tests;
		CREATE TABLE public.locked (id int, email text); GRANT SELECT ON public.locked TO scanner_of_tests`)
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), "DROP OWNED BY scanner_of_tests; DROP ROLE scanner_of_tests"); err != nil {
			t.Error(err)
		}
	})
	holder := pgtest.Connect(t, s.DSN(database, pgserver.Superuser))
	execute(t, holder, "BEGIN; LOCK TABLE public.locked")
	conn := pgtest.Connect(t, s.DSN(database, "scanner_of_tests"))
	m := scan(t, conn, datamap.Options{})
	execute(t, holder, "ROLLBACK")
	var got []string
	for _, u := range m.Unread {
		got = append(got, u.Table+" "+strings.Join(u.Columns, ",")+": "+u.Why)
	}
	want := []string{"closed.t : permission denied", "public.denied : permission denied", "public.locked : it is locked", "public.rows : row security would leave rows out", "public.some iban: permission denied"}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("unread: %q, want %q", got, want)
	}
	if c := column(t, m, "public.open", "email"); c.Samples != 30 || c.Class != datamap.Email {
		t.Errorf("public.open.email: %+v", c)
	}
	if c := column(t, m, "public.denied", "email"); c.Samples != 0 || c.Class != datamap.Email {
		t.Errorf("public.denied.email is judged by its name: %+v", c)
	}
}

// A big table is sampled by blocks all over it, and a scan ends with its context.
func TestBig(t *testing.T) {
	conn := connect(t, "")
	execute(t, conn, `CREATE TABLE big (id int, v text); INSERT INTO big SELECT i, CASE WHEN i > 150000 THEN 'x' || i || '@example.com' ELSE 'none of it ' || i END FROM generate_series(1, 300000) i; ANALYZE big;
		CREATE TABLE bloated (id int, email text); INSERT INTO bloated SELECT i, 'a' || i || '@example.com' FROM generate_series(1, 100000) i; DELETE FROM bloated WHERE id < 99990; ANALYZE bloated`)
	execute(t, conn, `CREATE TABLE parts (id int, email text) PARTITION BY RANGE (id); DO $$ BEGIN FOR i IN 0..99 LOOP EXECUTE format('CREATE TABLE p%s PARTITION OF parts FOR VALUES FROM (%s) TO (%s)', i, i * 10, i * 10 + 10); END LOOP; END $$;
		INSERT INTO parts SELECT i, 'a' || i || '@example.com' FROM generate_series(0, 999) i`)
	m := scan(t, conn, datamap.Options{Rows: 200})
	if c := column(t, m, "public.parts", "email"); c.Samples != 160 {
		t.Errorf("of 16 of 100 partitions: %+v", c)
	}
	if c := column(t, m, "public.big", "v"); c.Samples < 100 || c.Samples > 200 || c.Class != datamap.Email || c.Confidence > 0.9 {
		t.Errorf("of a table half of addresses: %+v", c)
	}
	if c := column(t, m, "public.bloated", "email"); c.Samples != 11 {
		t.Errorf("of a table of empty blocks: %+v", c)
	}
	again := scan(t, conn, datamap.Options{Rows: 200})
	if a, b := column(t, m, "public.big", "v"), column(t, again, "public.big", "v"); a.Samples != b.Samples || a.Confidence != b.Confidence {
		t.Errorf("two scans differ: %+v, %+v", a, b)
	}
	cat := catalogOf(t, conn)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := datamap.Scan(ctx, conn, cat, datamap.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a scan whose context is over: %v", err)
	}
}

// A proposal for a schema of many columns is still one that can be read.
func TestManyColumns(t *testing.T) {
	conn := connect(t, "")
	var b strings.Builder
	for i := range 150 {
		fmt.Fprintf(&b, "CREATE TABLE a_table_of_many_columns_%d (", i)
		for j := range 100 {
			fmt.Fprintf(&b, "the_last_updated_number_%d int, ", j)
		}
		b.WriteString("email text);")
	}
	execute(t, conn, b.String())
	cat := catalogOf(t, conn)
	m := datamap.Read(cat)
	compiles(t, m, cat)
	if text := m.Policy()[0].Text; strings.Contains(text, "neither name") || !strings.Contains(text, "a_table_of_many_columns_149.email\n") {
		t.Error("the reasons are in the file, or a column is not")
	}
}

// A scan of the demo agrees with the policy that people wrote for it.
func TestDemo(t *testing.T) {
	conn := connect(t, "")
	if err := demo.Load(t.Context(), conn.PgConn(), demo.Generate(1, 2000)); err != nil {
		t.Fatal(err)
	}
	cat := catalogOf(t, conn)
	begin := time.Now()
	m, err := datamap.Scan(t.Context(), conn, cat, datamap.Options{})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	doc, err := policy.Load("../demo/policy")
	if err != nil {
		t.Fatal(err)
	}
	classes := policy.Classify(doc, cat)
	missed := 0
	for _, of := range m.Tables {
		for _, c := range of.Columns {
			theirs := classes.Class(of.Relation, c.Name)
			if open := c.Class == datamap.Open; open != (theirs == "open") {
				t.Logf("%s.%s is %s, found %q %.2f", of.Name, c.Name, theirs, c.Class, c.Confidence)
				if open {
					missed++
				}
			}
		}
	}
	same, columns := m.Agreement(doc, cat)
	t.Logf("%d columns in %s: %d agree whether they are open, %d are open in the scan alone", columns, took, same, missed)
	if missed > 2 || same < 97 {
		t.Errorf("%d of %d agree, and %d are open in the scan alone", same, columns, missed)
	}
}
