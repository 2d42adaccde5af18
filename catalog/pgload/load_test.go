package pgload_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// connect gives a connection to an empty database in which sql has run.
func connect(t testing.TB, sql string) *pgx.Conn {
	t.Helper()
	conn := pgtest.Connect(t, pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser))
	run(t, conn, sql)
	return conn
}

func run(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func load(t testing.TB, conn *pgx.Conn) *catalog.Snapshot {
	t.Helper()
	s, err := pgload.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func find(t *testing.T, s *catalog.Snapshot, schema, name string) *catalog.Relation {
	t.Helper()
	r, ok := s.Relation(nil, schema, name)
	if !ok {
		t.Fatalf("%s.%s is missing", schema, name)
	}
	return r
}

func TestColumns(t *testing.T) {
	conn := connect(t, `
		CREATE SCHEMA crm;
		CREATE DOMAIN crm.inner_email AS varchar(80);
		CREATE DOMAIN crm.email AS crm.inner_email;
		CREATE EXTENSION citext;
		CREATE DOMAIN crm.loose AS citext;
		CREATE TYPE crm."Stage" AS ENUM ('lead');
		CREATE TABLE crm.customers (
			gone  int,
			id    bigint GENERATED ALWAYS AS IDENTITY,
			name  varchar(20) NOT NULL DEFAULT '',
			email crm.email,
			stage crm."Stage"[],
			loose crm.loose,
			upper text GENERATED ALWAYS AS (upper(name)) STORED,
			PRIMARY KEY (name, id));
		ALTER TABLE crm.customers DROP COLUMN gone`)
	r := find(t, load(t, conn), "crm", "customers")
	var got []string
	for _, c := range r.Columns {
		got = append(got, fmt.Sprintf("%d %s %s mod=%d %s %s.%s %c elem=%t null=%t default=%t generated=%t identity=%d",
			c.Num, c.Name, c.Type.Name, c.Type.Mod, c.Type.SQL, c.Type.BaseSchema, c.Type.Base, c.Type.Kind,
			c.Type.Elem != 0, !c.NotNull, c.HasDefault, c.Generated, c.Identity))
	}
	want := []string{
		`2 id int8 mod=-1 bigint .int8 b elem=false null=false default=true generated=false identity=97`,
		`3 name varchar mod=24 character varying(20) .varchar b elem=false null=false default=true generated=false identity=0`,
		`4 email email mod=-1 crm.email pg_catalog.varchar d elem=false null=true default=false generated=false identity=0`,
		`5 stage _Stage mod=-1 crm."Stage"[] ._Stage b elem=true null=true default=false generated=false identity=0`,
		`6 loose loose mod=-1 crm.loose public.citext d elem=false null=true default=false generated=false identity=0`,
		`7 upper text mod=-1 text .text b elem=false null=true default=true generated=true identity=0`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if !slices.Equal(r.PrimaryKey, []int{1, 0}) {
		t.Errorf("primary key = %v, want name, id by their indexes: [1 0]", r.PrimaryKey)
	}
}

// A schema counts that holds nothing, too.
func TestSchemas(t *testing.T) {
	conn := connect(t, `CREATE SCHEMA crm; CREATE SCHEMA "Empty"; CREATE TEMP TABLE t (i int)`)
	parts, err := pgload.Parts(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"Empty", "crm", "information_schema", "pg_catalog", "public"}; !slices.Equal(parts.Schemas, want) {
		t.Errorf("schemas = %q, want %q", parts.Schemas, want)
	}
}

// A partitioned table's foreign keys are listed once, also where PostgreSQL
// keeps a row for each partition that they point at.
func TestForeignKeys(t *testing.T) {
	conn := connect(t, `
		CREATE TABLE p (id int PRIMARY KEY) PARTITION BY LIST (id);
		CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
		CREATE TABLE q (a int, b int CONSTRAINT to_p REFERENCES p ON DELETE CASCADE) PARTITION BY LIST (a);
		CREATE TABLE q1 PARTITION OF q FOR VALUES IN (1)`)
	s := load(t, conn)
	want := []catalog.ForeignKey{{
		Name: "to_p", Columns: []string{"b"}, RefSchema: "public", RefTable: "p", RefColumns: []string{"id"}, OnDelete: 'c',
	}}
	for _, name := range []string{"q", "q1"} {
		if diff := cmp.Diff(want, find(t, s, "public", name).ForeignKeys); diff != "" {
			t.Errorf("foreign keys of %s (-want +got):\n%s", name, diff)
		}
	}
	q, q1 := find(t, s, "public", "q"), find(t, s, "public", "q1")
	if !q1.Partition || !slices.Equal(q1.Parents, []uint32{q.OID}) || q.Kind != catalog.PartitionedTable {
		t.Errorf("q1 = %+v is not a partition of %+v", q1, q)
	}
}

func TestViews(t *testing.T) {
	conn := connect(t, `
		CREATE SCHEMA crm;
		CREATE TABLE crm.customers (id int);
		SET search_path = crm;
		CREATE VIEW v AS SELECT id FROM customers;
		CREATE MATERIALIZED VIEW m AS SELECT id FROM customers`)
	s := load(t, conn)
	for name, kind := range map[string]catalog.RelKind{"v": catalog.View, "m": catalog.MaterializedView} {
		r := find(t, s, "crm", name)
		if r.Kind != kind || !strings.Contains(r.Definition, "FROM crm.customers") {
			t.Errorf("%s is of kind %c, defined as %q", name, r.Kind, r.Definition)
		}
	}
	if got := searchPath(t, conn); got != "crm" {
		t.Errorf("search_path is %s after a load, want the session's own", got)
	}
}

func searchPath(t *testing.T, conn *pgx.Conn) (path string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SHOW search_path").Scan(&path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFuncs(t *testing.T) {
	conn := connect(t, `
		CREATE TABLE customers (id int);
		CREATE TYPE pair AS (a int);
		CREATE FUNCTION f(a int, b int DEFAULT 1) RETURNS SETOF customers STABLE LANGUAGE sql AS 'TABLE customers';
		CREATE FUNCTION g(VARIADIC int[]) RETURNS pair IMMUTABLE LANGUAGE sql AS 'SELECT 1';
		CREATE FUNCTION h(INOUT x int, OUT text, OUT y date) LANGUAGE sql AS 'SELECT 1, null::text, null::date';
		CREATE OPERATOR <=> (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl)`)
	s := load(t, conn)
	customers := find(t, s, "public", "customers").OID
	for _, want := range []catalog.Func{
		{Schema: "public", Name: "f", MinArgs: 1, MaxArgs: 2, Kind: 'f', Volatility: 's', ReturnsSet: true, RowType: customers},
		{Schema: "public", Name: "g", MinArgs: 1, MaxArgs: -1, Kind: 'f', Volatility: 'i'},
		{Schema: "public", Name: "h", MinArgs: 1, MaxArgs: 1, Kind: 'f', Volatility: 'v', OutNames: []string{"x", "", "y"}},
		{Schema: "pg_catalog", Name: "count", MinArgs: 0, MaxArgs: 0, Kind: 'a', Volatility: 'i'},
		{Schema: "pg_catalog", Name: "pg_stat_get_activity", MinArgs: 1, MaxArgs: 1, Kind: 'f', Volatility: 's', ReturnsSet: true},
	} {
		t.Run(want.Name, func(t *testing.T) {
			found := s.Funcs(nil, want.Schema, want.Name)
			found = slices.DeleteFunc(found, func(f catalog.Func) bool { return f.MinArgs != want.MinArgs })
			if len(found) != 1 || found[0].OID == 0 || found[0].Returns == 0 {
				t.Fatalf("found %+v", found)
			}
			got := found[0]
			got.OID, got.Returns = 0, 0
			if want.Schema == "pg_catalog" {
				got.OutNames = nil
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("function (-want +got):\n%s", diff)
			}
		})
	}
	if got := s.OperatorSchemas("<=>"); !slices.Equal(got, []string{"public"}) {
		t.Errorf("schemas of <=> = %v", got)
	}
}

// Other sessions' temporary relations come and go and are no business of ours.
func TestLeavesOut(t *testing.T) {
	conn := connect(t, `
		CREATE TEMP TABLE mine (id int, body text);
		CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
		CREATE TABLE stored (body text)`)
	for _, r := range load(t, conn).Relations() {
		if strings.HasPrefix(r.Schema, "pg_temp") || strings.HasPrefix(r.Schema, "pg_toast") {
			t.Errorf("relation %s", r.QualifiedName())
		}
	}
}

// A user's own objects must not take the place of those that Load calls.
func TestHostileNames(t *testing.T) {
	conn := connect(t, `
		CREATE FUNCTION public.format_type(oid, int) RETURNS text LANGUAGE sql AS $$ SELECT 'forged' $$;
		CREATE TABLE public.pg_class (id int);
		SET search_path = public, pg_catalog;
		CREATE TABLE t (a varchar(3))`)
	r := find(t, load(t, conn), "public", "t")
	if got := r.Columns[0].Type.SQL; got != "character varying(3)" {
		t.Errorf("type = %q", got)
	}
}

func TestServer(t *testing.T) {
	conn := connect(t, "")
	s := load(t, conn)
	if s.Database != conn.Config().Database || s.ServerVersion < 140000 {
		t.Errorf("loaded %q of server %d", s.Database, s.ServerVersion)
	}
}

// bigSchema is SQL that makes n tables of 20 columns.
func bigSchema(n int) string {
	return fmt.Sprintf(`DO $$
		BEGIN
			FOR i IN 1..%d LOOP
				EXECUTE format('CREATE TABLE t%%s (id int PRIMARY KEY, %%s)', i,
					(SELECT string_agg(format('c%%s varchar(20)', c), ', ') FROM generate_series(2, 20) c));
			END LOOP;
		END $$`, n)
}

func BenchmarkLoad(b *testing.B) {
	conn := connect(b, bigSchema(500))
	for b.Loop() {
		load(b, conn)
	}
}

func BenchmarkVersion(b *testing.B) {
	conn := connect(b, bigSchema(500))
	for b.Loop() {
		if _, err := pgload.Version(b.Context(), conn); err != nil {
			b.Fatal(err)
		}
	}
}
