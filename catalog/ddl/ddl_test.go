package ddl

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/builtin"
)

func TestParse(t *testing.T) {
	s, err := Parse(`
		CREATE SCHEMA crm;
		CREATE TABLE crm.customers (id int PRIMARY KEY, email varchar(80) NOT NULL);`)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := s.Relation(nil, "crm", "customers")
	if !ok {
		t.Fatal("crm.customers is missing")
	}
	int4 := catalog.Type{OID: 23, Schema: "pg_catalog", Name: "int4", Mod: -1, SQL: "integer", Kind: 'b', Base: "int4"}
	varchar := catalog.Type{OID: 1043, Schema: "pg_catalog", Name: "varchar", Mod: 84, SQL: "character varying(80)", Kind: 'b', Base: "varchar"}
	want := &catalog.Relation{
		OID: firstOID, Schema: "crm", Name: "customers", Kind: catalog.Table, PrimaryKey: []int{0},
		Columns: []catalog.Column{
			{Name: "id", Num: 1, Type: int4, NotNull: true},
			{Name: "email", Num: 2, Type: varchar, NotNull: true},
		},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("crm.customers (-want +got):\n%s", diff)
	}
	if byOID, _ := s.RelationByOID(r.OID); byOID != r {
		t.Errorf("RelationByOID(%d) = %v", r.OID, byOID)
	}
	if !s.HasType("crm", "_customers") || !s.HasType("pg_catalog", "jsonb") {
		t.Error("a row's array type or a system type is missing")
	}
}

// What a view means must not depend on search_path, nor a * in it on columns
// that its tables get later.
func TestDefinition(t *testing.T) {
	for _, tt := range []struct{ name, query, want string }{
		{"relation", "SELECT id FROM c", "SELECT id FROM app.c"},
		{"named columns", "SELECT x.pid FROM public.p x, c", "SELECT x.pid FROM public.p x, app.c"},
		{"star", "SELECT * FROM c, p", "SELECT c.id, c.name, p.pid FROM app.c, public.p"},
		{"star of one", "SELECT p.* FROM c, p", "SELECT p.pid FROM app.c, public.p"},
		{"star of USING", "SELECT * FROM c JOIN (SELECT id FROM c) d USING (id)",
			"SELECT id, c.name FROM app.c JOIN (SELECT id FROM app.c) d USING (id)"},
		{"system", "SELECT oid FROM pg_class", "SELECT oid FROM pg_class"},
		{"WITH hides", "WITH c AS (SELECT id FROM c) SELECT id FROM c", "WITH c AS (SELECT id FROM app.c) SELECT id FROM c"},
		{"WITH RECURSIVE", "WITH RECURSIVE c AS (SELECT 1 AS id UNION SELECT id FROM c) SELECT id FROM c",
			"WITH RECURSIVE c AS (SELECT 1 AS id UNION SELECT id FROM c) SELECT id FROM c"},
		{"WITH ends", "SELECT (WITH c AS (SELECT 1 AS one) SELECT one FROM c), id FROM c",
			"SELECT (WITH c AS (SELECT 1 AS one) SELECT one FROM c), id FROM app.c"},
		{"function", "SELECT f(), now() FROM c", "SELECT app.f(), now() FROM app.c"},
		{"type", "SELECT id::e FROM c WHERE name::text = 'x'::e::text",
			"SELECT id::app.e FROM app.c WHERE name::text = 'x'::app.e::text"},
		{"operator", "SELECT id FROM c WHERE name === 'x'", "SELECT id FROM app.c WHERE name OPERATOR(app.===) 'x'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse(`
				CREATE SCHEMA app; CREATE TABLE p (pid int); SET search_path = app, public;
				CREATE TABLE c (id int, name text); CREATE TYPE e AS ENUM ('x');
				CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
				CREATE FUNCTION eq(text, text) RETURNS bool LANGUAGE sql AS 'SELECT true';
				CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = eq);
				CREATE VIEW v AS ` + tt.query)
			if err != nil {
				t.Fatal(err)
			}
			v, _ := s.Relation(nil, "app", "v")
			if got := v.Definition; got != tt.want {
				t.Errorf("definition = %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	const tables = "CREATE TABLE t (id int PRIMARY KEY, name text);\n"
	for _, tt := range []struct{ name, sql, want string }{
		{"syntax", "SELECT 1;\nCREATE TABEL x ()", `line 2: syntax error at or near "TABEL"`},
		{"line of the statement", "-- a\n\n/* b */ -- c\nDROP TABLE x;", "line 4: DROP is not supported"},
		{"line after a statement", "CREATE SCHEMA a;\n\nDO 'x'", "line 3: DO is not supported"},
		{"zero byte", "CREATE TABLE a ()\x00; CREATE TABLE b ()", "text is not valid UTF-8 without zero bytes"},
		{"invalid text", "CREATE TABLE \xff ()", "text is not valid UTF-8 without zero bytes"},
		{"LIKE", tables + "CREATE TABLE u (LIKE t)", "line 2: TABLE LIKE CLAUSE in CREATE TABLE is not supported"},
		{"a rule", tables + "CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING", "line 2: RULE is not supported"},
		{"a rename", tables + "ALTER TABLE t RENAME id TO x", "line 2: RENAME is not supported"},
		{"a dropped column", tables + "ALTER TABLE t DROP id", "line 2: ALTER TABLE DropColumn is not supported"},
		{"another type", tables + "ALTER TABLE t ALTER id TYPE text", "line 2: ALTER TABLE AlterColumnType is not supported"},
		{"a query", tables + "SELECT id FROM t", "line 2: SELECT is not supported"},
		{"CREATE TABLE AS", tables + "CREATE TABLE u AS SELECT 1", "line 2: CREATE TABLE AS is not supported"},
		{"a temporary table", "CREATE TEMP TABLE t ()", "line 1: temporary relations are not supported"},
		{"a rollback", "BEGIN; ROLLBACK", "line 1: undoing a transaction is not supported"},
		{"twice", tables + "CREATE TABLE t ()", "line 2: relation public.t already exists"},
		{"a column twice", "CREATE TABLE t (a int, a int)", `line 1: column "a" of public.t is named twice`},
		{"unknown schema", "CREATE TABLE x.t ()", `line 1: schema "x" does not exist`},
		{"no schema", "SET search_path = x; CREATE TABLE t ()", `line 1: no schema of search_path can hold "t"`},
		{"a system schema", "CREATE TABLE pg_catalog.t ()", "line 1: pg_catalog.t would be in a schema of the system"},
		{"unknown type", "CREATE TABLE t (a strange)", `line 1: column "a": type "strange" does not exist`},
		{"unknown modifier", "CREATE TABLE t (a text(3))", `line 1: column "a": a modifier of type text is not supported`},
		{"wide numeric", "CREATE TABLE t (a numeric(2000))", `line 1: column "a": numeric(2000,0) is out of range`},
		{"two primary keys", tables + "ALTER TABLE t ADD PRIMARY KEY (name)", "line 2: public.t has two primary keys"},
		{"a key of nothing", "CREATE TABLE t (PRIMARY KEY (a))", `line 1: public.t has no column "a"`},
		{"a reference to nothing", "CREATE TABLE t (a int REFERENCES u)", `line 1: relation "u" does not exist`},
		{"a reference without key", "CREATE TABLE u (); CREATE TABLE t (a int REFERENCES u)", "line 1: public.u has no primary key to refer to"},
		{"its own partition", "CREATE TABLE p (a int) PARTITION BY LIST (a);\nALTER TABLE p ATTACH PARTITION p DEFAULT",
			"line 2: public.p cannot be a partition of public.p"},
		{"unknown extension", "CREATE EXTENSION sorcery", `line 1: extension "sorcery" is not supported`},
		{"another string syntax", "SET standard_conforming_strings = off", "line 1: standard_conforming_strings must be on"},
		{"a path for a while", "SET LOCAL search_path = x", "line 1: SET LOCAL search_path is not supported"},
		{"an untyped column", tables + "CREATE VIEW v AS SELECT id, abs(id) AS a FROM t",
			"line 2: view public.v: column 2: its type cannot be told without a server: write a cast to it"},
		{"an unnamed column", tables + "CREATE VIEW v AS SELECT id > 1 FROM t",
			"line 2: view public.v: column 1 has no certain name: give the view a list of column names"},
		{"an ambiguous column", tables + "CREATE VIEW v AS SELECT id FROM t, t u", `line 2: view public.v: column 1: column "id" is ambiguous`},
		{"an unknown column", tables + "CREATE VIEW v AS SELECT nothing FROM t", `line 2: view public.v: column 1: column "nothing" does not exist`},
		{"* of a function", "CREATE VIEW v AS SELECT * FROM generate_series(1, 2)", "line 1: view public.v: * covers columns that are not known: name them"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.sql)
			if err == nil || err.Error() != tt.want {
				t.Errorf("Parse(%q) = %v, want %s", tt.sql, err, tt.want)
			}
		})
	}
}

// The name of a row's array type is made up in the same schema as the row's.
func TestArrayNames(t *testing.T) {
	long := strings.Repeat("_", maxName)
	s, err := Parse("CREATE TABLE _a (); CREATE TABLE a (); CREATE TABLE " + long + " ()")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"__a", "_a_1", clip(long, maxName-2) + "_1"} {
		if !s.HasType("public", name) {
			t.Errorf("there is no type %q", name)
		}
	}
}

// The parser would end the process, not return an error.
func TestRefusesDepth(t *testing.T) {
	const n = 200_000
	for _, sql := range []string{
		"SELECT 1" + strings.Repeat("+1", n),
		"SELECT 1" + strings.Repeat(" ISNULL", n),
		"SELECT " + strings.Repeat("(", n),
		"SELECT a" + strings.Repeat("::int", n),
		"SELECT 1, 2" + strings.Repeat(" UNION SELECT 1, 2", n),
		"CREATE VIEW v AS SELECT * FROM (SELECT 1 FROM a" + strings.Repeat(" NATURAL JOIN a", n) + ", b)",
	} {
		if _, err := Parse(sql); err == nil || !strings.Contains(err.Error(), "nested too deeply") {
			t.Errorf("Parse(%.40q…) = %v", sql, err)
		}
	}
	if _, err := Parse("INSERT INTO t VALUES " + strings.Repeat("(1, 2),", 3000) + "(1, 2)"); err != nil {
		t.Errorf("a long list: %v", err)
	}
	if _, err := Parse(strings.Repeat(" ", maxSize+1)); err == nil {
		t.Error("a text over the limit was read")
	}
}

func FuzzParse(f *testing.F) {
	for _, sql := range []string{
		"CREATE TABLE t (id serial PRIMARY KEY, p int REFERENCES t, n numeric(3,1)[] DEFAULT NULL)",
		"CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE q PARTITION OF p DEFAULT; ALTER TABLE p ADD b int",
		"CREATE TABLE t (a int); CREATE VIEW v (x) AS WITH w AS (SELECT * FROM t) SELECT sum(a), 'x' FROM w UNION SELECT 1, NULL",
		"CREATE FUNCTION f(a int, OUT b text, VARIADIC c int[]) LANGUAGE sql AS ''",
		"CREATE TYPE e AS ENUM (); CREATE DOMAIN d AS e; CREATE TYPE c AS (a d[], b interval day to second(3))",
		"SET search_path TO a; CREATE SCHEMA b CREATE TABLE c (); SELECT pg_catalog.set_config('search_path', '', false)",
		"ALTER TABLE ONLY a ATTACH PARTITION b DEFAULT; CREATE EXTENSION citext SCHEMA public",
	} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		s, err := Parse(sql)
		if (s == nil) == (err == nil) {
			t.Errorf("Parse(%q) = %v, %v", sql, s, err)
		}
	})
}

// A later Parse must not see what an earlier one made.
func TestSystemStaysAsItIs(t *testing.T) {
	before := len(builtin.Parts().Relations)
	if _, err := Parse("CREATE TABLE t (id int)"); err != nil {
		t.Fatal(err)
	}
	s, err := Parse("CREATE TABLE u (id int)")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Relation(nil, "public", "t"); ok || len(s.Relations()) != before+1 {
		t.Errorf("the second of two texts sees the first: %d relations", len(s.Relations()))
	}
}

func BenchmarkParse(b *testing.B) {
	sql := strings.Repeat("CREATE SCHEMA IF NOT EXISTS a; CREATE TABLE IF NOT EXISTS a.t (id int PRIMARY KEY, name varchar(20));\n", 50)
	for b.Loop() {
		if _, err := Parse(sql); err != nil {
			b.Fatal(err)
		}
	}
}
