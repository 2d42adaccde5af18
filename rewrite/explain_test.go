package rewrite_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

const explainSchema = `
CREATE TABLE people (id int PRIMARY KEY, name text, ssn text, region text);
CREATE TABLE visits (id int PRIMARY KEY, person_id int REFERENCES people, at date, fee int);
`

const explainPolicy = `
version: 1
purposes: {care: {basis: contract}}
classes:
  open: [public.people.id, public.people.region, "public.visits.*"]
  name: [public.people.name]
  national_id: [public.people.ssn]
  fee: [public.visits.fee]
roles:
  nurse:
    purposes: [care]
    tables:
      - {on: [public.people], do: [select, update], rows: "region = :region"}
      - {on: [public.visits], do: [select]}
rules:
  - {role: nurse, for: care, on: name, show: "null", because: "names stay with the doctor"}
  - {role: any, for: any, on: national_id, show: refuse, because: "national identifiers never leave"}
  - {role: nurse, for: care, on: fee, show: aggregate(min 10), because: "what one visit cost is nobody's business"}
users: {nina: {roles: [nurse], region: EU}}
subjects: {person: {table: public.people, key: id}}
`

func explainEngine(t *testing.T) (*rewrite.Engine, rewrite.Session) {
	t.Helper()
	cat, err := ddl.Parse(explainSchema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: explainPolicy})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	access, err := set.Access("nina", "")
	if err != nil {
		t.Fatal(err)
	}
	e := rewrite.New(cat, set, 1<<16)
	e.NameSubjects()
	s, err := e.Session(access, "")
	if err != nil {
		t.Fatal(err)
	}
	return e, s
}

func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		name, sql string
		refused   bool
	}{
		{"masked", "SELECT p.name FROM people p JOIN visits v ON v.person_id = p.id WHERE v.at IS DISTINCT FROM '2026-01-01'", false},
		{"refused", "SELECT ssn FROM people", true},
		{"aggregate", "SELECT at, avg(fee) FROM visits GROUP BY at", false},
		{"aggregate_refused", "SELECT max(fee) FROM visits", true},
		{"copy", "COPY people (id) TO STDOUT", false},
		{"not_sql", "SELEC", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, s := explainEngine(t)
			var b strings.Builder
			refused, err := e.Explain(&b, s, tt.sql)
			if err != nil || refused != tt.refused {
				t.Fatalf("Explain(%q) = %v, %v, want %v", tt.sql, refused, err, tt.refused)
			}
			golden := "testdata/explain/" + tt.name + ".txt"
			if os.Getenv("PGVEIL_REWRITE_GOLDEN") != "" {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("Explain(%q) (-want +got):\n%s", tt.sql, diff)
			}
		})
	}
}

func TestSessionReadsASearchPath(t *testing.T) {
	e, s := explainEngine(t)
	for _, tt := range []struct {
		path string
		want []string // nil: not a search path
	}{
		{"", []string{"pg_catalog", "public"}},
		{`"$user", public`, []string{"pg_catalog", "public"}},
		{"public, pg_catalog", []string{"public", "pg_catalog"}},
		{"nowhere", []string{"pg_catalog"}},
		{"'public', information_schema", []string{"pg_catalog", "public", "information_schema"}},
		{"public; DROP TABLE people", nil},
		{"a b", nil},
	} {
		got, err := e.Session(s.Access, tt.path)
		if (err != nil) != (tt.want == nil) || err == nil && !cmp.Equal(got.Path, tt.want) {
			t.Errorf("Session(%q).Path = %q, %v, want %q", tt.path, got.Path, err, tt.want)
		}
	}
}
