package forecast

import (
	"strings"
	"testing"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/parse"
)

const testPolicy = `
version: 1
mode: enforce
purposes:
  support: {basis: contract}
classes:
  open: [public.people.id]
  name: [public.people.name]
  ssn: {columns: [public.people.ssn], seal: deterministic, clear: accept}
roles:
  clerk: {purposes: [support], tables: [{on: [public.*], do: [select, insert, update, delete]}]}
  root: {unrestricted: true}
rules:
  - {role: clerk, for: support, on: [name, ssn], show: clear}
users:
  carla: {roles: [clerk]}
  dora: {roles: [clerk]}
  root: {roles: [root]}
`

func testForecast(t *testing.T) *Forecast {
	t.Helper()
	cat, err := ddl.Parse("CREATE TABLE people (id int PRIMARY KEY, name text, ssn text);")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(policy.File{Name: "policy.yaml", Text: testPolicy})
	if err != nil {
		t.Fatal(err)
	}
	var engines []*rewrite.Engine
	for _, d := range []*policy.Document{doc, doc.Unsealed("ssn")} {
		set, err := policy.Compile(d, cat)
		if err != nil {
			t.Fatal(err)
		}
		engines = append(engines, rewrite.New(cat, set, 1<<20))
	}
	if !engines[0].Seals() || engines[1].Seals() {
		t.Fatal("the policies do not differ in sealing")
	}
	return New(engines[0], engines[1], "")
}

func TestForecast(t *testing.T) {
	for _, tt := range []struct {
		name, sql, user string
		refused         bool
		unplanned       bool
		why             string
	}{
		{"found by equality", "SELECT name FROM people WHERE ssn = '123'", "carla", false, false, ""},
		{"in a list", "SELECT name FROM people WHERE ssn IN ('1', '2', '3')", "carla", false, false, ""},
		{"a pattern", "SELECT name FROM people WHERE ssn LIKE '12%'", "carla", true, false, "public.people.ssn is sealed: it cannot be compared but for being equal"},
		{"a pattern, unrestricted", "SELECT name FROM people WHERE ssn LIKE '12%'", "root", true, false, "public.people.ssn is sealed"},
		{"ordered", "SELECT name FROM people ORDER BY ssn LIMIT 10", "carla", true, false, "is sealed"},
		{"a function", "SELECT upper(ssn) FROM people", "carla", true, false, "is sealed"},
		{"another column", "SELECT upper(name) FROM people ORDER BY name", "carla", false, false, ""},
		{"rows of literals", "INSERT INTO people (id, name, ssn) VALUES (1, 'a', 'b'), (2, 'c', 'd')", "carla", false, false, ""},
		{"what it computes", "INSERT INTO people (id, ssn) VALUES (1, upper('b'))", "carla", true, false, "is sealed"},
		{"a parameter beside a literal", "SELECT $1::text || 'x', name FROM people WHERE ssn > $2", "carla", true, false, "is sealed"},
		{"a type before a literal", "SELECT name FROM people WHERE DATE '2026-01-01' > now() AND ssn LIKE 'x'", "carla", true, false, "is sealed"},
		{"a name with a question mark", `SELECT name AS "who?" FROM people WHERE ssn = 'x'`, "carla", false, false, ""},
		{"not a table", "SELECT * FROM nothing", "carla", false, true, "it would be refused without sealing, too"},
		{"who is gone", "SELECT name FROM people ORDER BY ssn", "gone", false, true, "the policy does not know who asked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := testForecast(t)
			shape, _, err := parse.Shape(tt.sql)
			if err != nil {
				t.Fatal(err)
			}
			f.Add(&audit.Record{Kind: audit.KindStatement, Login: tt.user, Shape: shape, Decision: "allow"})
			f.Add(&audit.Record{Kind: audit.KindStatement, Login: tt.user, Shape: shape, Decision: "refuse"})
			f.Add(&audit.Record{Kind: audit.KindOutcome, Login: tt.user, Shape: shape})
			r := f.Report()
			all := append(r.Refused, r.Unplanned...)
			why := ""
			for _, s := range all {
				why = s.Why
			}
			if r.Statements != 1 || tt.refused != (len(r.Refused) == 1) || tt.unplanned != (len(r.Unplanned) == 1) || !strings.Contains(why, tt.why) {
				t.Errorf("%s: refused %d, unplanned %d: %q", shape, len(r.Refused), len(r.Unplanned), why)
			}
		})
	}
}

// TestCounts has statements of several users.
func TestCounts(t *testing.T) {
	f := testForecast(t)
	for _, user := range []string{"dora", "carla", "root", "carla"} {
		f.Add(&audit.Record{Kind: audit.KindStatement, Login: user, Shape: "SELECT name FROM people ORDER BY ssn", Decision: "allow"})
	}
	f.Add(&audit.Record{Kind: audit.KindStatement, Login: "dora", Shape: "SELECT id FROM people ORDER BY ssn DESC", Decision: "mask"})
	f.Add(&audit.Record{Kind: audit.KindStatement, Login: "dora", Shape: "SELECT id FROM people", Decision: "allow"})
	f.Add(&audit.Record{Kind: audit.KindStatement, Login: "dora", Decision: "allow"})
	r := f.Report()
	if r.Statements != 7 || len(r.Refused) != 2 || Count(r.Refused) != 5 || Count(r.Unplanned) != 1 {
		t.Fatalf("%+v", r)
	}
	if s := r.Refused[0]; s.Count != 4 || strings.Join(s.Users, " ") != "carla dora root" {
		t.Errorf("%+v", s)
	}
}
