package rewrite_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

const imagesSchema = `
CREATE TABLE public."Odd ""one" (code char(2), "select" int, PRIMARY KEY ("select", code));
CREATE TABLE public.keyless (a int);
CREATE TABLE public.other (id int PRIMARY KEY, ref int);
CREATE TABLE public.parent (id int PRIMARY KEY, t text);
CREATE TABLE public.child () INHERITS (public.parent);
CREATE TABLE public.parts (id int PRIMARY KEY, t text) PARTITION BY RANGE (id);
CREATE TABLE public.part PARTITION OF public.parts FOR VALUES FROM (0) TO (10);
`

const imagesPolicy = `
version: 1
purposes: {support: {basis: contract}}
classes: {open: ["public.*.*"]}
roles:
  all:    {purposes: [support], tables: [{on: ["public.*"], do: [select, insert, update, delete]}]}
  writer: {purposes: [support], tables: [{on: ["public.*"], do: [insert]}]}
users: {ann: {roles: [all]}, wes: {roles: [writer]}}
`

func imagesEngine(t *testing.T, patterns ...string) *rewrite.Engine {
	t.Helper()
	cat, err := ddl.Parse(imagesSchema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(policy.File{Name: "policy.yaml", Text: imagesPolicy})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	e := rewrite.New(cat, set, 1<<20)
	if err := e.KeepImages(patterns); err != nil {
		t.Fatal(err)
	}
	return e
}

// pictured gives what a plan says of images.
func pictured(p *rewrite.Plan) string {
	var all []string
	for _, n := range p.Subjects {
		if n == nil {
			all = append(all, "nothing")
			continue
		}
		words := []string{fmt.Sprint(n.Pictured())}
		if n.Silent {
			words = append(words, "silent")
		}
		for _, i := range n.Images {
			words = append(words, i.Relation+" "+i.Op)
			if i.Before {
				words = append(words, "before")
			}
			if i.After {
				words = append(words, "after")
			}
			if i.Why != "" {
				words = append(words, "("+i.Why+")")
			}
		}
		all = append(all, strings.Join(words, " "))
	}
	return strings.Join(all, "; ")
}

func TestWhichImagesThereAre(t *testing.T) {
	e := imagesEngine(t, `public."Odd ""one"`, "public.k*", "public.parent", "public.parts")
	for _, tt := range []struct{ login, sql, want string }{
		{"ann", `SELECT * FROM keyless`, "nothing"},
		{"ann", `UPDATE other SET ref = 1`, "nothing"},
		{"ann", `INSERT INTO keyless VALUES (1), (2)`, "1 silent public.keyless insert after"},
		{"ann", `INSERT INTO keyless VALUES (1) RETURNING a`, "1 public.keyless insert after"},
		{"ann", `INSERT INTO keyless SELECT ref FROM other ON CONFLICT DO NOTHING`, "1 silent public.keyless insert after"},
		{"ann", `DELETE FROM keyless k USING other o WHERE o.id = k.a`, "1 silent public.keyless delete before"},
		{"ann", `UPDATE keyless SET a = 2`, "1 silent public.keyless update after (rows before: the table has no primary key)"},
		{"ann", `UPDATE "Odd ""one" o SET code = 'b'`, `1 silent public.Odd "one update after (rows before: the statement sets the primary key)`},
		{"ann", `UPDATE parts SET t = 'x' FROM other, parts self WHERE self.id = other.ref AND parts.id = self.id RETURNING *`, "2 public.parts update before after"},
		{"ann", `UPDATE part SET t = 'x'`, "2 silent public.part update before after"},
		{"ann", `INSERT INTO parts VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET t = excluded.t`, "2 silent public.parts upsert before after"},
		{"ann", `INSERT INTO parts VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET id = 2`, "1 silent public.parts upsert after (rows before: the statement sets the primary key)"},
		{"ann", `UPDATE parts SET (t, id) = (SELECT 'x', 2)`, "1 silent public.parts update after (rows before: the statement sets the primary key)"},
		{"ann", `DELETE FROM keyless; DELETE FROM other; DELETE FROM parts`, "1 silent public.keyless delete before; nothing; 1 silent public.parts delete before"},
		{"ann", `WITH x AS (DELETE FROM keyless RETURNING a) INSERT INTO parts SELECT a FROM x`, "1 silent public.keyless delete (changed within WITH) public.parts insert after"},
		{"ann", `MERGE INTO parts p USING other o ON p.id = o.id WHEN MATCHED THEN DELETE`, "0 public.parts merge (MERGE gives no rows)"},
		{"ann", `PREPARE p AS DELETE FROM parts`, "0 public.parts delete (changed by a statement within another, or prepared by SQL)"},
		{"ann", `COPY parts FROM STDIN`, "0 public.parts insert (COPY gives no rows)"},
		{"ann", `UPDATE parent SET t = 'x'`, "1 silent public.parent update after (rows before: rows are in other tables, which inherit from it or are foreign)"},
		{"wes", `INSERT INTO parts VALUES (1, 'x')`, "0 public.parts insert (who changes it may not be able to read all of it)"},
	} {
		p, err := e.Plan(session(t, e, tt.login, ""), tt.sql)
		if err != nil {
			t.Errorf("%s: %v", tt.sql, err)
			continue
		}
		if got := pictured(p); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.sql, got, tt.want)
		}
		if strings.Contains(p.SQL, "pgveil_was") != strings.Contains(tt.want, "before after") {
			t.Errorf("%s: sends %s", tt.sql, p.SQL)
		}
	}
}

// TestImageTexts shows what is sent, and that it is the statement but for the
// columns that are added to what it returns.
func TestImageTexts(t *testing.T) {
	e := imagesEngine(t, "public.*")
	for _, tt := range []struct{ sql, want string }{
		{`DELETE FROM other AS "O""x" WHERE id = 1 RETURNING ref`,
			`DELETE FROM public.other "O""x" WHERE "O""x".id = 1 RETURNING "O""x".ref AS ref, pg_catalog.encode(pg_catalog.convert_to((pg_catalog.row_to_json("O""x".*))::pg_catalog.text, pg_catalog.getdatabaseencoding()), 'base64') AS pgveil_key_0`},
		{`UPDATE other SET ref = 2 WHERE id = 1`,
			`UPDATE public.other SET ref = 2 WHERE other.id = 1 RETURNING ` +
				`(SELECT pg_catalog.concat(CASE WHEN pgveil_was.xmax OPERATOR(pg_catalog.=) (pg_catalog.pg_current_xact_id())::pg_catalog.xid THEN '' ELSE '?' END, ` +
				`pg_catalog.encode(pg_catalog.convert_to((pg_catalog.row_to_json("pgveil_was".*))::pg_catalog.text, pg_catalog.getdatabaseencoding()), 'base64')) ` +
				`FROM ONLY "public"."other" AS pgveil_was WHERE pgveil_was."id" OPERATOR(pg_catalog.=) "other"."id" LIMIT 1) AS pgveil_key_0, ` +
				`pg_catalog.encode(pg_catalog.convert_to((pg_catalog.row_to_json("other".*))::pg_catalog.text, pg_catalog.getdatabaseencoding()), 'base64') AS pgveil_key_1`},
		{`INSERT INTO "Odd ""one" ("select", code) VALUES (1, 'a')`,
			`INSERT INTO public."Odd ""one" ("select", code) VALUES (1, 'a') RETURNING ` +
				`CASE WHEN (0::pg_catalog.int8 OPERATOR(pg_catalog.+) COALESCE(pg_catalog.pg_column_size("Odd ""one"."code"), 0)) OPERATOR(pg_catalog.<=) 16384 ` +
				`THEN pg_catalog.encode(pg_catalog.convert_to((pg_catalog.row_to_json("Odd ""one".*))::pg_catalog.text, pg_catalog.getdatabaseencoding()), 'base64') ` +
				`WHEN (0::pg_catalog.int8) OPERATOR(pg_catalog.<=) 8388608 AND (0::pg_catalog.int8 OPERATOR(pg_catalog.+) COALESCE(pg_catalog.pg_column_size("Odd ""one"."code"), 0)) OPERATOR(pg_catalog.<=) 262144 ` +
				`THEN pg_catalog.concat(':', pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to((pg_catalog.row_to_json("Odd ""one".*))::pg_catalog.text, pg_catalog.getdatabaseencoding())), 'hex')) ELSE ':' END AS pgveil_key_0`},
	} {
		p, err := e.Plan(session(t, e, "ann", ""), tt.sql)
		if err != nil {
			t.Errorf("%s: %v", tt.sql, err)
		} else if p.SQL != tt.want {
			t.Errorf("%s sends\n%s, want\n%s", tt.sql, p.SQL, tt.want)
		}
	}
}

func TestImagesOfNothing(t *testing.T) {
	e := imagesEngine(t)
	for _, tt := range []struct{ pattern, want string }{
		{"public.nowhere", `there is no table "public.nowhere"`},
		{"pg_catalog.*", `there is no table "pg_catalog.*"`},
		{"keyless", `"keyless" is not schema.table`},
		{"public.(", `a name has an empty part`},
	} {
		if err := e.KeepImages([]string{tt.pattern}); err == nil || err.Error() != tt.want {
			t.Errorf("KeepImages(%s): %v, want %s", tt.pattern, err, tt.want)
		}
	}
}
