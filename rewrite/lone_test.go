package rewrite_test

import (
	"strings"
	"testing"

	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// peopleSchema and peoplePolicy are of two kinds of subject, of which a visit is
// about two of one; nina's are counted.
const (
	peopleSchema = `
CREATE TABLE people (id int PRIMARY KEY, name text, town text);
CREATE TABLE firms (code text PRIMARY KEY);
CREATE TABLE notes (id int PRIMARY KEY, person int REFERENCES people, text text);
CREATE TABLE lines (note int REFERENCES notes, words int);
CREATE TABLE bills (person int REFERENCES people, firm text REFERENCES firms, sum int);
CREATE TABLE orders (firm text REFERENCES firms, sum int);
CREATE TABLE visits (host int REFERENCES people, guest int REFERENCES people, day date);
CREATE TABLE towns (name text);`
	peoplePolicy = `
version: 1
classes: {name: [public.people.name], open: ["public.*.*"]}
subjects: {person: {table: public.people, key: id}, firm: {table: public.firms, key: code}}
purposes: {care: {basis: contract}}
roles: {nurse: {purposes: [care], tables: [{on: ["public.*"], do: [select, update]}]}}
users: {nina: {roles: [nurse], limits: {subjects: 20/day}}, otto: {roles: [nurse]}}
`
)

// TestLone has the key of the only subject that a row was made of added where that
// says whom all of it is about, and nowhere else.
func TestLone(t *testing.T) {
	cat, err := ddl.Parse(peopleSchema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: peoplePolicy})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	e := rewrite.New(cat, set, 1<<16)
	e.NameSubjects()
	for _, tt := range []struct{ login, sql, lone, key string }{
		{"nina", "SELECT count(*) FROM notes WHERE person = $1", "person", `min(("notes".person))`},
		{"nina", "SELECT sum(sum) FROM orders WHERE firm = $1", "firm", `min(("orders".firm)::pg_catalog.text COLLATE pg_catalog."C")`},
		{"nina", "SELECT text, count(*), max(id) FROM notes n WHERE person = $1 GROUP BY text", "person", `min(("n".person))`},
		{"nina", "SELECT text, count(*) FROM notes WHERE person = $1 GROUP BY GROUPING SETS ((text), ())", "person", `min(("notes".person))`},
		{"nina", "SELECT count(*) FILTER (WHERE text = 'x'), count(*) FILTER (WHERE text = 'y') FROM notes WHERE person = $1", "person", `min(("notes".person))`},
		{"nina", "SELECT string_agg(text, ',') FROM notes WHERE person = $1", "person", `min(("notes".person))`},
		{"nina", "SELECT person, count(*) FROM notes GROUP BY ROLLUP (person)", "person", `min(("notes".person))`},
		{"nina", "SELECT count(*) FROM people WHERE id = $1", "person", `min(("people".id))`},
		{"nina", "SELECT count(*) FROM notes n JOIN people p ON p.id = n.person", "person", `min(("n".person))`},
		{"nina", "SELECT count(l.words) FROM lines l JOIN notes n ON n.id = l.note", "person", `min(("n".person))`},
		{"nina", "SELECT count(*) FROM notes WHERE id IN (SELECT note FROM lines)", "person", `min(("notes".person))`},
		{"nina", "SELECT count(*) FROM people, towns", "person", `min(("people".id))`},

		{"otto", "SELECT count(*) FROM notes WHERE person = $1", "", ""},
		{"nina", "SELECT person, count(*) FROM notes GROUP BY person", "", ""},
		{"nina", "SELECT count(*) FROM lines", "", ""},
		{"nina", "SELECT count(*) FROM bills", "", ""},
		{"nina", "SELECT count(*) FROM visits", "", ""},
		{"nina", "SELECT count(*) FROM people p, notes n", "", ""},
		{"nina", "SELECT count(*) FROM people p LEFT JOIN people q ON p.id = p.id", "", ""},
		{"nina", "SELECT count(*) FROM notes WHERE person IN (SELECT max(id) FROM people)", "", ""},
		{"nina", "SELECT count(*) FROM notes WHERE id > (SELECT avg(id) FROM notes WHERE text IS NULL)", "", ""},
		{"nina", "SELECT count(*), (SELECT text FROM notes LIMIT 1) FROM notes", "", ""},
		{"nina", "SELECT string_agg(text || (SELECT town FROM people LIMIT 1), ',') FROM notes", "", ""},
		{"nina", "SELECT count(*) FROM (SELECT * FROM notes) n", "", ""},
		{"nina", "WITH n AS (SELECT * FROM notes) SELECT count(*) FROM n", "", ""},
		{"nina", "WITH u AS (UPDATE notes SET person = 2 WHERE id = 1 RETURNING id) SELECT count(*) FROM notes", "", ""},
		{"nina", "SELECT DISTINCT count(*) FROM notes GROUP BY text", "", ""},
		{"nina", "SELECT text, count(*), lag(count(*)) OVER (ORDER BY text) FROM notes GROUP BY text", "", ""},
		{"nina", "SELECT count(*) FROM notes UNION ALL SELECT count(*) FROM notes", "", ""},
		{"nina", "SELECT min(id), max(id) FROM notes", "", ""},
		{"nina", "SELECT count(*) FROM notes AS n (a, b)", "", ""},
		{"nina", "SELECT count(*) FROM towns", "", ""},
		{"nina", "COPY (SELECT count(*) FROM notes) TO STDOUT", "", ""},
		{"nina", "DECLARE c CURSOR FOR SELECT count(*) FROM notes", "", ""},
		{"nina", "SELECT text FROM notes", "", ""},
	} {
		p, err := e.Plan(session(t, e, tt.login, ""), tt.sql)
		if err != nil {
			t.Errorf("%s: %v", tt.sql, err)
			continue
		}
		n := p.Naming(0)
		if n.Lone != tt.lone || n.Lone != "" && !n.Counted {
			t.Errorf("%s: the only subject is a %q, want %q", tt.sql, n.Lone, tt.lone)
		}
		if has := strings.Contains(p.SQL, "(CASE WHEN "); has != (tt.lone != "") || !strings.Contains(p.SQL, tt.key) {
			t.Errorf("%s: is sent as %s, want %s", tt.sql, p.SQL, tt.key)
		}
	}
}
