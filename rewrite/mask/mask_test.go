package mask

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var testKey = []byte("0123456789abcdef0123456789abcdef")

// connect logs in to a new database the way pgveil does: with the key in the
// startup packet.
func connect(t testing.TB) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(pgtest.Server(t).DSN(pgtest.Database(t, ""), "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := Settings(testKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range settings {
		config.RuntimeParams[name] = value
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // the same text meets other tables
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
}

// texts runs a query of one text column.
func texts(t testing.TB, conn *pgx.Conn, query string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	got, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var s *string
		if err := row.Scan(&s); err != nil || s == nil {
			return "NULL", err
		}
		return *s, nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	return got
}

// relation describes a table as the server knows it.
func relation(t testing.TB, conn *pgx.Conn, name string) *catalog.Relation {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT a.attname, ty.oid, n.nspname, ty.typname, a.atttypmod, format_type(ty.oid, a.atttypmod), ty.typtype::text,
			CASE WHEN ty.typcategory = 'A' THEN ty.typelem ELSE 0 END, coalesce(base.typname, ty.typname),
			coalesce(base.typnamespace::regnamespace::text, '')
		FROM pg_attribute a JOIN pg_type ty ON ty.oid = a.atttypid JOIN pg_namespace n ON n.oid = ty.typnamespace
			LEFT JOIN pg_type base ON base.oid = ty.typbasetype
		WHERE a.attrelid = $1::regclass AND a.attnum > 0 ORDER BY a.attnum`, name)
	if err != nil {
		t.Fatal(err)
	}
	r := &catalog.Relation{Schema: "public", Name: name}
	r.Columns, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c catalog.Column, err error) {
		var kind string
		ty := &c.Type
		err = row.Scan(&c.Name, &ty.OID, &ty.Schema, &ty.Name, &ty.Mod, &ty.SQL, &kind, &ty.Elem, &ty.Base, &ty.BaseSchema)
		if err == nil {
			ty.Kind = kind[0]
		}
		return c, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func expr(t testing.TB, m policy.Mask, r *catalog.Relation, c *catalog.Column) string {
	t.Helper()
	e, err := Expr(m, "email", r, c, "t."+quoteName(c.Name))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func parseMask(t testing.TB, s string) policy.Mask {
	t.Helper()
	m, err := policy.ParseMask(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const schema = `
	CREATE EXTENSION IF NOT EXISTS citext;
	CREATE TYPE mood AS ENUM ('sad', 'happy');
	CREATE TYPE pair AS (a int, b text);
	CREATE DOMAIN address AS text NOT NULL CHECK (VALUE ~ '^[^@*]+@[^@]+$');
	CREATE DOMAIN cents AS numeric(10,2) CHECK (VALUE > 0);
	CREATE DOMAIN born AS date CHECK (VALUE > '1900-02-02');
	CREATE DOMAIN code AS char(6);
	CREATE DOMAIN "Odd ""Name" AS varchar(9);
	CREATE DOMAIN mailbox AS citext NOT NULL CHECK (VALUE ~ '@');
	CREATE COLLATION loose (provider = icu, locale = 'und', deterministic = false);`

var nastyTexts = []string{"", " ", "a", "ab", "abc", "Ada Lovelace", "j@example.com", "jane@example.com", "@", "@@", "a@", "@b",
	"a@b@c", `"x@y"@z.org`, "+49 30 1234567", "192.0.2.7", "1.2.3.", "::", "::1", "2001:db8::1", "2001:db8:1:2:3:4:5:6", "1:2:3:",
	"日本語のテキスト", "🦄🦄🦄🦄🦄", "e\u0301\u0301", "\t\n", `back\slash`, "quo'te", "100%", strings.Repeat("x y", 3000)}

var nastyNumbers = []string{"0", "1", "-1", "5", "-5", "15", "999", "-999"}

// typeCases holds every type that masks know, some that they do not, and
// values at the edges of each.
var typeCases = []struct {
	typ    string
	values []string
}{
	{"text", nastyTexts},
	{"varchar", nastyTexts},
	{"citext", nastyTexts},
	{"varchar(40)", fitting(40)},
	{"varchar(1)", fitting(1)},
	{"char(16)", fitting(16)},
	{"char(2)", fitting(2)},
	{"bpchar", nastyTexts},
	{`text COLLATE "C"`, nastyTexts},
	{"text COLLATE loose", nastyTexts},
	{"address", []string{"a@b", "jane@example.com"}},
	{`"Odd ""Name"`, fitting(9)},
	{"code", fitting(6)},
	{"mailbox", []string{"@", "Jane@Example.com"}},
	{"int2", append(nastyNumbers, "32767", "-32768", "32765")},
	{"int4", append(nastyNumbers, "2147483647", "-2147483648")},
	{"int8", append(nastyNumbers, "9223372036854775807", "-9223372036854775808", "9007199254740993")},
	{"numeric", append(nastyNumbers, "NaN", "Infinity", "-Infinity", "99999999999999999999.9", "1e-300", "1e300", "-0.0001")},
	{"numeric(4)", append(nastyNumbers, "9999", "-9999", "NaN")},
	{"numeric(4,2)", []string{"99.99", "-99.99", "0.01", "NaN"}},
	{"numeric(3,3)", []string{"0.999", "-0.999"}},
	{"cents", []string{"0.01", "99999999.99"}},
	{"float4", append(nastyNumbers, "NaN", "Infinity", "-Infinity", "3.4028235e38", "-3.4028235e38", "1e-45")},
	{"float8", append(nastyNumbers, "NaN", "Infinity", "-Infinity", "1.7976931348623157e308", "-1.7976931348623157e308", "5e-324")},
	{"bool", []string{"true", "false"}},
	{"date", nastyDates("5874897-12-31")},
	{"born", []string{"1900-02-03", "infinity"}},
	{"timestamp", nastyDates("294276-12-31 23:59:59.999999")},
	{"timestamp(0)", nastyDates("1999-12-31 23:59:59.9")},
	{"timestamptz", nastyDates("294276-12-31 23:59:59.999999+00", "2000-01-01 00:30:00+02")},
	{"timestamptz(3)", nastyDates("2000-01-01 00:30:00+02")},
	{"uuid", []string{"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"}},
	{"inet", []string{"0.0.0.0", "192.0.2.7", "10.0.0.1/8", "0.0.0.0/0", "::", "2001:db8:1:2::7", "2001:db8::1/32", "::ffff:1.2.3.4"}},
	{"cidr", []string{"0.0.0.0/0", "192.0.2.0/28", "10.0.0.0/8", "2001:db8::/32", "2001:db8:1:2::/64"}},
	{"bytea", []string{"", `\x00ff`}},
	{"json", []string{"null", "{}", `{"a": "b"}`}},
	{"jsonb", []string{"null", "[]", `{"a": "b"}`}},
	{"text[]", []string{"{}", "{a,NULL}", "{{a},{b}}"}},
	{"varchar(3)[]", []string{"{}", "{abc}"}},
	{"bpchar[]", []string{"{abc}"}},
	{"address[]", []string{"{a@b}"}},
	{"mood", []string{"sad"}},
	{"pair", []string{"(1,a)", "(,)"}},
	{"int4range", []string{"empty", "[1,2)", "(,)"}},
	{"interval day to second(3)", []string{"1 day"}},
	{"bit", []string{"1"}},
	{"bit(3)", []string{"101"}},
	{"name", []string{"x"}},
	{`"char"`, []string{"x"}},
	{"xml", []string{"<a/>"}},
	{"money", []string{"1"}},
}

func nastyDates(more ...string) []string {
	return append(more, "infinity", "-infinity", "4714-11-24 BC", "0044-03-15 BC", "0001-12-31 BC", "0001-01-01", "0009-05-05", "1970-01-01", "1985-03-09", "2024-02-29")
}

func fitting(n int) []string {
	var fit []string
	for _, s := range nastyTexts {
		if len([]rune(s)) <= n {
			fit = append(fit, s)
		}
	}
	return fit
}

var maskCases = []string{"null", "constant('n/a')", "constant(0)", `constant('a\b''c')`, "constant(-7)", "constant(true)", "constant(2020-02-29)",
	"constant(2020-02-29 23:59:59)", "constant(11111111-1111-1111-1111-111111111111)", "constant(10.0.0.0/8)", "redact", "hash", "token", "age_band(10)",
	"age_band(3)", "year", "month", "bucket(10)", "bucket(1000000000)", "round(2)", "round(7)", "round(10)", "round(1000000000)", "ip", "initials", "prefix(1)",
	"prefix(3)", "phone", "email", "last(1)", "last(4)", "last(100)", "first(1)", "first(2)", "inner(1, 1)", "inner(0, 3)", "outer(1, 1)", "outer(3, 0)", "scrub"}

// table creates the table of a type case: its values, and NULL where the type
// allows it.
func table(t testing.TB, conn *pgx.Conn, name, typ string, values []string) *catalog.Relation {
	t.Helper()
	exec(t, conn, fmt.Sprintf("CREATE TABLE %s (id int GENERATED ALWAYS AS IDENTITY, v %s)", name, typ))
	for _, v := range values {
		exec(t, conn, fmt.Sprintf("INSERT INTO %s (v) VALUES (%s)", name, literal(v)))
	}
	if typ != "address" && typ != "mailbox" {
		exec(t, conn, fmt.Sprintf("INSERT INTO %s (v) VALUES (NULL)", name))
	}
	return relation(t, conn, name)
}

// TestEveryValue runs every mask on every type that it applies to, with values
// at the type's edges, under the settings of a hostile session as well.
func TestEveryValue(t *testing.T) {
	conn := connect(t)
	exec(t, conn, schema+shadows)
	tried := map[policy.MaskKind]bool{}
	for i, tc := range typeCases {
		t.Run(tc.typ, func(t *testing.T) {
			r := table(t, conn, fmt.Sprintf("t%d", i), tc.typ, tc.values)
			c := &r.Columns[1]
			var masks []policy.Mask
			for _, s := range maskCases {
				if m := parseMask(t, s); m.Applies(c.Type) == nil {
					masks = append(masks, m)
					tried[m.Kind] = true
				}
			}
			checkMasks(t, conn, masks, r, c)
		})
	}
	for _, k := range policy.MaskKinds() {
		if !tried[k] {
			t.Errorf("mask %s was not tried on any type", k)
		}
	}
}

// checkMasks computes a table of masked values, a column for each mask, and
// again from the deparsed expressions, and again in a hostile session.
func checkMasks(t *testing.T, conn *pgx.Conn, masks []policy.Mask, r *catalog.Relation, c *catalog.Column) {
	var plain, rewritten []string
	for i, m := range masks {
		e := expr(t, m, r, c)
		plain = append(plain, fmt.Sprintf("%s AS m%d", e, i))
		rewritten = append(rewritten, fmt.Sprintf("%s AS m%d", deparsed(t, e), i))
	}
	create := func(name string, columns []string) {
		exec(t, conn, fmt.Sprintf("CREATE TABLE public.%s_%s AS SELECT t.id, t.v, %s FROM public.%s t",
			r.Name, name, strings.Join(columns, ", "), r.Name))
		exec(t, conn, "RESET ALL; SET standard_conforming_strings = on")
	}
	create("plain", plain)
	create("rewritten", rewritten)
	exec(t, conn, hostile)
	create("hostile", rewritten)
	for i, m := range masks {
		values := func(name string) []string {
			return texts(t, conn, fmt.Sprintf("SELECT m%d::text FROM %s_%s ORDER BY id", i, r.Name, name))
		}
		want := values("plain")
		if got := values("rewritten"); !slices.Equal(got, want) {
			t.Errorf("%s after parsing and deparsing: %q, want %q", m, got, want)
		}
		if got := values("hostile"); !slices.Equal(got, want) {
			t.Errorf("%s under other settings: %q, want %q", m, got, want)
		}
		checkNulls(t, conn, m, fmt.Sprintf("SELECT v::text FROM %s_plain WHERE num_nulls(v) <> num_nulls(m%d)", r.Name, i))
	}
	for i, got := range relation(t, conn, r.Name+"_plain").Columns[2:] {
		checkType(t, masks[i], got.Type, c.Type)
	}
}

// checkNulls runs a query for the values that became NULL, or ceased to be so.
func checkNulls(t *testing.T, conn *pgx.Conn, m policy.Mask, query string) {
	t.Helper()
	got := texts(t, conn, query)
	if m.Kind == policy.MaskNull {
		if slices.Contains(got, "NULL") {
			t.Error("null makes NULL a value")
		}
		return
	}
	if len(got) > 0 {
		t.Errorf("%s makes NULL of a value, or a value of NULL: %q", m, got)
	}
}

// checkType compares the types that a new table got of the masked column and
// of the column itself.
func checkType(t *testing.T, m policy.Mask, got, want catalog.Type) {
	t.Helper()
	if want.Kind == 'd' && m.Kind != policy.MaskNull {
		if got.Name != want.Base || got.Schema != want.BaseSchema || got.Mod != -1 {
			t.Errorf("%s has type %s, want the base type %s", m, got.SQL, want.Base)
		}
		return
	}
	if got.OID != want.OID || got.Mod != want.Mod {
		t.Errorf("%s has type %s, want %s", m, got.SQL, want.SQL)
	}
}

// deparsed is what the expression becomes on its way through the rewriter.
func deparsed(t *testing.T, e string) string {
	t.Helper()
	tree, err := pg_query.Parse("SELECT " + e)
	if err != nil {
		t.Fatalf("parsing: %v\n%s", err, e)
	}
	text, err := pg_query.Deparse(tree)
	if err != nil {
		t.Fatalf("deparsing: %v\n%s", err, e)
	}
	return strings.TrimPrefix(text, "SELECT ")
}

// shadows are functions, operators and a type that stand before the built-in
// ones on the hostile search_path.
const shadows = `
	CREATE SCHEMA evil;
	CREATE FUNCTION evil.no(text, text) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT NULL::bool';
	CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.no);
	CREATE FUNCTION evil.no(int, int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT false';
	CREATE OPERATOR evil.> (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.no);
	CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.no);
	CREATE FUNCTION evil.cat(text, text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1';
	CREATE OPERATOR evil.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.cat);
	CREATE FUNCTION evil.length(text) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 0';
	CREATE FUNCTION evil.left(text, int) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1';
	CREATE DOMAIN evil.text AS pg_catalog.int4;
	CREATE DOMAIN evil.date AS pg_catalog.int4;
	CREATE DOMAIN evil.bpchar AS pg_catalog.int4;
	CREATE DOMAIN evil.mood AS pg_catalog.int4;`

const hostile = `
	SET DateStyle = 'German, DMY'; SET IntervalStyle = 'sql_standard'; SET TimeZone = 'Pacific/Apia';
	SET extra_float_digits = -15; SET bytea_output = 'escape'; SET standard_conforming_strings = off;
	SET escape_string_warning = off; SET transform_null_equals = on; SET client_encoding = 'LATIN1'; SET xmlbinary = 'hex';
	SET search_path = evil, pg_catalog, public;`
