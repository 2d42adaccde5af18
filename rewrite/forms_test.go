package rewrite_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/cases"
)

// A condition on a ledger becomes a join only where nothing in a statement could
// tell of a row that it hides.
func TestForms(t *testing.T) {
	fx, err := cases.LoadFixture("../testdata/fixtures/ledger", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	access, err := fx.Engine.Policy.Access("carl", "desk")
	if err != nil {
		t.Fatal(err)
	}
	s, err := fx.Engine.Session(access, "public")
	if err != nil {
		t.Fatal(err)
	}
	const row, index, join = "by row", "by index", "by join"
	for _, tt := range []struct{ sql, want string }{
		{"SELECT count(*) FROM members", join},
		{"SELECT town, sum(points), avg(points), min(name), max(name), count(email) FROM members GROUP BY town ORDER BY town", join},
		{"SELECT town, count(*) FROM members WHERE points > 10 AND name = 'Ann' GROUP BY 1 ORDER BY count DESC", join},
		{"SELECT DISTINCT town FROM members", join},
		{"SELECT * FROM members ORDER BY name LIMIT 10", join},
		{"SELECT m.name, v.spent FROM members m JOIN visits v ON v.member_id = m.id WHERE m.town = 'Bree'", join},
		{"SELECT m.name, v.spent FROM members m LEFT JOIN visits v ON v.member_id = m.id, towns", join},
		{"EXPLAIN SELECT count(*) FROM members", join},
		{"PREPARE p AS SELECT count(*) FROM members WHERE town = $1", join},

		{"SELECT name FROM members WHERE id = 1", index},
		{"SELECT upper(name) FROM members WHERE id = $1", index},
		{"UPDATE members SET points = 1 WHERE id = 1", index},
		{"DELETE FROM members WHERE id = 1", index},
		{"UPDATE members SET points = 1 WHERE id = 1 AND 1 / points > 0", index},
		{"SELECT name, points * 2 FROM members ORDER BY id LIMIT 10", index},
		{"SELECT name FROM members WHERE name > 'B' ORDER BY name LIMIT $1", index},
		{"DECLARE c CURSOR FOR SELECT name FROM members LIMIT 10", index},

		{"SELECT 1 / (id - 4) FROM members", row},
		{"SELECT name FROM members WHERE 1 / (id - 4) > 0", row},
		{"SELECT name FROM members ORDER BY 1 / (id - 4)", row},
		{"SELECT count(*) FROM members GROUP BY 1 / (id - 4)", row},
		{"SELECT count(*) FROM members HAVING max(1 / (id - 4)) > 0", row},
		{"SELECT DISTINCT ON (1 / (id - 4)) name FROM members", row},
		{"SELECT sum(points / (id - 4)) FROM members", row},
		{"SELECT sum(points) FILTER (WHERE 1 / (id - 4) > 0) FROM members", row},
		{"SELECT count(DISTINCT town) FROM members", row},
		{"SELECT string_agg(name, ',') FROM members", row},
		{"SELECT rank() OVER (ORDER BY points) FROM members", row},
		{"SELECT points::text FROM members", row},
		{"SELECT members FROM members", row},
		{"SELECT xmin FROM members", row},
		{"SELECT m.name FROM members m JOIN visits v ON 1 / (m.id - 4) > v.id", row},
		{"SELECT m.name FROM members m JOIN LATERAL (SELECT 1 / (m.id - 4) AS x) l ON true", row},
		{"SELECT m.name FROM members m, generate_series(1, 1 / (m.id - 4))", row},
		{"SELECT name FROM members WHERE EXISTS (SELECT 1 FROM towns WHERE towns.name = town)", row},
		{"SELECT (SELECT 1 / (m.id - 4)) FROM members m", row},
		{"SELECT name FROM members UNION SELECT 'a'", row},
		{"WITH m AS (SELECT name FROM members) SELECT name FROM m", row},
		{"SELECT name FROM members FOR UPDATE", row},
		{"SELECT name FROM members TABLESAMPLE system (50)", row},
		{"SELECT m.a FROM members m (a)", row},
		{"SELECT name FROM members LIMIT 1 + 1", row},
		{"SELECT name FROM members ORDER BY name FETCH FIRST 1 ROW WITH TIES", row},
		{"DECLARE c CURSOR FOR SELECT name FROM members", row},
		{"UPDATE members SET points = 1", row},
		{"INSERT INTO visits SELECT 10, id, 1 FROM members", row},
	} {
		p, err := fx.Engine.Plan(s, tt.sql)
		if err != nil {
			t.Errorf("Plan(%q): %v", tt.sql, err)
			continue
		}
		got := join
		switch {
		case strings.Contains(p.SQL, "OFFSET 0) THEN false"):
			got = index
		case strings.Contains(p.SQL, "CASE WHEN EXISTS"):
			got = row
		case !strings.Contains(p.SQL, "NOT EXISTS"):
			got = "not filtered"
		}
		if got != tt.want {
			t.Errorf("%s is filtered %s, want %s:\n%s", tt.sql, got, tt.want, p.SQL)
		}
	}
}

// What a type or a relation could fail at counts as well.
func TestFormsOfTypes(t *testing.T) {
	cat, err := ddl.Parse(`
CREATE DOMAIN cents AS int;
CREATE TABLE people (id int PRIMARY KEY, f float8, n numeric, m numeric(10,2), c cents, p point, s int4range);
CREATE TABLE computed (id int PRIMARY KEY REFERENCES people, f int, inverse int GENERATED ALWAYS AS (1 / f) STORED);
CREATE VIEW inverses AS SELECT id, 1 / n AS inverse FROM people;`)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: `
version: 1
purposes: {care: {basis: contract}}
subjects: {person: {table: public.people, key: id, ledger: true, references: [{from: public.inverses.id}]}}
discloses: [public.inverses]
classes: {open: ["public.*.*"]}
roles:
  nurse: {purposes: [care], tables: [{on: ["public.*"]}]}
users: {nina: {roles: [nurse]}}
`})
	if err != nil {
		t.Fatal(err)
	}
	cat = policy.Implied(doc, cat)
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	access, err := set.Access("nina", "care")
	if err != nil {
		t.Fatal(err)
	}
	e := rewrite.New(cat, set, 1<<16)
	s, err := e.Session(access, "public")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		sql  string
		join bool
	}{
		{"SELECT sum(m), sum(c), sum(id), avg(m) FROM people", true},
		{"SELECT count(f), max(n) FROM people", true},
		{"SELECT p, s FROM people", true},
		{"SELECT sum(f) FROM people", false},
		{"SELECT avg(n) FROM people", false},
		{"SELECT s, count(*) FROM people GROUP BY s", false},
		{"SELECT p FROM people ORDER BY id", false},
		{"SELECT f FROM computed", false},
		{"SELECT count(*) FROM people JOIN computed ON computed.id = people.id", false},
		{"SELECT inverse FROM inverses", false},
		{"SELECT count(*) FROM people JOIN inverses ON inverses.id = people.id", false},
	} {
		p, err := e.Plan(s, tt.sql)
		if err != nil {
			t.Errorf("Plan(%q): %v", tt.sql, err)
			continue
		}
		if got := !strings.Contains(p.SQL, "CASE WHEN"); got != tt.join || !strings.Contains(p.SQL, "EXISTS") {
			t.Errorf("Plan(%q) joins: %v, want %v:\n%s", tt.sql, got, tt.join, p.SQL)
		}
	}
}
