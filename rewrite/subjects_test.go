package rewrite_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// named gives what a plan says of subjects, one statement after the other.
func named(p *rewrite.Plan) string {
	var all []string
	for _, n := range p.Subjects {
		if n == nil {
			all = append(all, "nobody")
			continue
		}
		var words []string
		for _, r := range n.Reached {
			words = append(words, strings.ReplaceAll(fmt.Sprintf("%s %d", r.Kind, r.Each), "-1", "any"))
		}
		if len(n.Added) > 0 {
			words = append(words, "added "+strings.Join(n.Added, ","))
		}
		if n.Counted {
			words = append(words, "counted")
		}
		if n.Silent {
			words = append(words, "silent")
		}
		if n.Uncounted {
			words = append(words, "uncounted")
		}
		all = append(all, strings.Join(words, ", "))
	}
	return strings.Join(all, "; ")
}

// addition gives what a plan's text has of columns that name subjects.
func addition(p *rewrite.Plan) string {
	start := strings.Index(p.SQL, "::pg_catalog.text AS pgveil_key_0")
	if counted := strings.Index(p.SQL, "(pg_catalog.count(*))::pg_catalog.text AS pgveil_key_0"); counted >= 0 {
		return "count(*)"
	}
	if start < 0 {
		return ""
	}
	from := strings.LastIndex(p.SQL[:start], ", (")
	if returning := strings.LastIndex(p.SQL[:start], " RETURNING ("); returning > from {
		from = returning
	}
	text := p.SQL[max(from, 0):]
	text, _, _ = strings.Cut(text, " FROM (")
	text, _, _ = strings.Cut(text, " FROM public")
	return strings.ReplaceAll(strings.TrimLeft(text, ", "), "::pg_catalog.text AS pgveil_key_", ":")
}

func TestWhomRowsAreAbout(t *testing.T) {
	e := shop(t)
	e.NameSubjects()
	for _, tt := range []struct{ login, sql, added, named string }{
		{"alice", "SELECT 1", "", "nobody"},
		{"alice", "SELECT name FROM countries", "", "nobody"},
		{"alice", "SELECT first_name FROM customers", `("customers".id):0`, "customer 1, added customer"},
		{"alice", "SELECT * FROM customers", "", "customer 1"},
		{"alice", "SELECT id, first_name FROM customers c", "", "customer 1"},
		{"alice", "SELECT id + 0 FROM customers c", `("c".id):0`, "customer 1, added customer"},
		{"alice", "SELECT first_name AS id FROM customers ORDER BY id", `("customers".id):0`, "customer 1, added customer"},
		{"alice", "SELECT first_name IS DISTINCT FROM 'x' FROM customers", `("customers".id):0`, "customer 1, added customer"},
		{"alice", "SELECT DISTINCT ON (region) first_name FROM customers", `("customers".id):0`, "customer 1, added customer"},
		{"alice", "SELECT o.status FROM orders o", `("o".customer_id):0`, "customer 1, added customer"},
		{"alice", "SELECT product FROM order_items", `((SELECT pgveil_1.customer_id`, "customer 1, added customer"},
		{"alice", "SELECT o.id, c.id FROM orders o JOIN customers c ON c.id = o.customer_id", `("o".customer_id):0`, "customer 2, added customer"},
		{"alice", "SELECT a.id, b.first_name FROM customers a, customers b", `("b".id):0`, "customer 2, added customer"},
		{"alice", "SELECT first_name FROM customers AS c (key)", "", "customer 1"},
		{"alice", "SELECT first_name FROM customers WHERE EXISTS (SELECT FROM orders)", `("customers".id):0`, "customer 1, added customer"},
		{"alice", "SELECT x.first_name FROM (SELECT first_name FROM customers) x", "", "customer 1"},
		{"alice", "SELECT first_name FROM customers ORDER BY 1", `("customers".id):0`, "customer 1, added customer"},
		{"alice", "SELECT first_name FROM customers ORDER BY 2", "", "customer 1"},
		{"alice", "SELECT first_name FROM customers ORDER BY id % 5", `("customers".id):0`, "customer 1, added customer"},
		{"alice", "SELECT DISTINCT ON (2) first_name FROM customers", "", "customer 1"},
		{"alice", "SELECT region FROM customers GROUP BY ROLLUP (2)", "", "customer any"},
		{"alice", "SELECT FROM customers", `SELECT ("customers".id):0`, "customer 1, added customer"},
		{"alice", "TABLE customers", "", "customer 1"},

		// Several rows become one.
		{"alice", "SELECT count(*) FROM customers", "count(*)", "customer 1, counted"},
		{"alice", "SELECT region, max(id) FROM customers GROUP BY region HAVING count(*) > 1 ORDER BY 1", "count(*)", "customer 1, counted"},
		{"alice", "SELECT avg(o.id) FROM orders o JOIN customers c ON true", "count(*)", "customer 2, counted"},
		{"alice", "SELECT max(id), min(id) FROM customers", "", "customer any"},
		{"alice", "SELECT DISTINCT first_name FROM customers", "", "customer any"},
		{"alice", "SELECT DISTINCT count(*) FROM customers GROUP BY region", "", "customer any"},
		{"alice", "SELECT id, max(id) OVER () FROM customers", "", "customer any"},
		{"alice", "SELECT id, lag(id) OVER (ORDER BY id) FROM customers", "", "customer any"},
		{"alice", "SELECT id, row_number() OVER (), count(*) OVER () FROM customers", "", "customer 1"},
		{"alice", "SELECT count(*) FROM (SELECT first_name FROM customers) x", "", "customer any"},
		{"alice", "SELECT first_name, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) FROM customers c", `("c".id):0`, "customer any, added customer"},
		{"alice", "SELECT (SELECT max(c.id)) FROM customers c", "", "customer any"},
		{"alice", "SELECT id FROM customers UNION SELECT id FROM customers", "", "customer any"},
		{"alice", "SELECT id FROM customers UNION ALL SELECT id FROM customers", "", "customer 2"},
		{"alice", "SELECT id FROM customers INTERSECT ALL SELECT 1", "", "customer any"},
		{"alice", "WITH x AS (SELECT first_name FROM customers) SELECT * FROM x", "", "customer 1"},
		{"alice", "WITH x AS (SELECT first_name FROM customers) SELECT * FROM x a, x b", "", "customer any"},
		{"alice", "WITH x AS (SELECT first_name FROM customers), y AS (SELECT first_name FROM x) SELECT * FROM y", "", "customer 1"},
		{"alice", "WITH x AS (SELECT first_name FROM customers) SELECT y.a FROM (SELECT max(first_name) AS a FROM x) y", "", "customer any"},
		{"alice", "WITH x AS (SELECT first_name FROM customers) SELECT ARRAY(TABLE x)", "", "customer any"},
		{"alice", "SELECT (SELECT first_name FROM customers WHERE id = 1)", "", "customer 1"},
		{"alice", "SELECT ARRAY(SELECT first_name FROM customers)", "", "customer any"},
		{"alice", "SELECT 'Anna' IN (SELECT first_name FROM customers)", "", "customer any"},
		{"alice", "SELECT EXISTS (SELECT FROM customers)", "", "customer 1"},
		{"alice", "SELECT x FROM unnest(ARRAY(SELECT first_name FROM customers)) x", "", "customer any"},
		{"alice", "SELECT x FROM generate_series(1, (SELECT id FROM customers WHERE id = 1)) x", "", "customer 1"},
		{"alice", "SELECT count(*), (SELECT count(*) FROM orders) FROM customers", "", "customer any"},

		{"alice", "UPDATE customers SET first_name = 'x' WHERE id = 7", `RETURNING ("customers".id):0`, "customer 1, added customer, silent"},
		{"alice", "UPDATE customers c SET first_name = 'x' RETURNING first_name", `("c".id):0`, "customer 1, added customer"},
		{"alice", "UPDATE customers SET first_name = 'x' RETURNING *", "", "customer 1"},
		{"sam", "INSERT INTO orders (customer_id, placed_at, status, total) VALUES (1, now(), 'new', 1)", `RETURNING ("orders".customer_id):0`, "customer 1, added customer, silent"},
		{"sam", "DELETE FROM orders WHERE id = 1", `RETURNING ("orders".customer_id):0`, "customer 1, added customer, silent"},
		{"sam", "UPDATE orders SET customer_id = 2", `RETURNING ("orders".customer_id):0`, "customer 2, added customer, silent"},
		{"sam", "UPDATE orders SET status = (SELECT region FROM customers WHERE id = 1)", `RETURNING ("orders".customer_id):0`, "customer 2, added customer, silent"},
		{"sam", "INSERT INTO orders (customer_id, placed_at, status, total) VALUES (1, now(), 'new', 1) ON CONFLICT (id) DO UPDATE SET status = (SELECT region FROM customers LIMIT 1)", `RETURNING ("orders".customer_id):0`, "customer 2, added customer, silent"},
		{"sam", "MERGE INTO orders o USING (VALUES (1)) v (id) ON o.id = v.id WHEN MATCHED THEN UPDATE SET customer_id = 3, status = (SELECT region FROM customers LIMIT 1)", "", "customer 3"},
		{"sam", "EXPLAIN ANALYZE INSERT INTO orders (customer_id, placed_at, status, total) VALUES (1, now(), 'new', 1)", "", "customer any"},
		{"sam", "EXPLAIN INSERT INTO orders (customer_id, placed_at, status, total) VALUES (1, now(), 'new', 1)", "", "nobody"},
		{"sam", "CREATE TEMP TABLE mine AS SELECT count(*) FROM customers", "", "customer any"},
		{"sam", "COPY (SELECT count(*) FROM customers) TO STDOUT", "", "customer any"},
		{"alice", "DECLARE c CURSOR FOR SELECT count(*) FROM customers", "", "customer any"},
		{"sam", "CREATE TEMP TABLE mine AS SELECT first_name FROM customers", "", "customer 1"},
		{"alice", "DECLARE c CURSOR FOR SELECT first_name FROM customers", "", "customer 1"},
		{"alice", "EXPLAIN SELECT first_name FROM customers", "", "nobody"},
		{"alice", "SELECT first_name FROM customers; SELECT 1", `("customers".id):0`, "customer 1, added customer; nobody"},

		// Who has no restrictions gets what they ask for, as they ask for it.
		{"dora", "SELECT first_name FROM customers", "", "customer 1"},
		{"dora", "COPY customers TO STDOUT", "", "customer 1"},
		{"dora", "CREATE TABLE t ()", "", "nobody"},
		{"dora", "SELECT count(*) FROM customers", "", "customer any"},
		{"dora", "CREATE TABLE t AS SELECT first_name FROM customers", "", "customer 1"},
		{"dora", "CREATE MATERIALIZED VIEW t AS SELECT count(*) FROM customers", "", "customer any"},
		{"dora", "CREATE TABLE t AS EXECUTE p", "", "* any"},
		{"dora", "TRUNCATE customers", "", "customer any, uncounted"},
		{"dora", "TRUNCATE countries", "", "nobody"},
		{"dora", "TRUNCATE countries CASCADE", "", "* any, uncounted"},
		{"dora", "DO 'BEGIN DELETE FROM customers; END'", "", "* any, uncounted"},
		{"dora", "EXPLAIN ANALYZE DELETE FROM customers", "", "customer any"},
		{"dora", "EXPLAIN (ANALYZE off) DELETE FROM customers", "", "nobody"},
		{"dora", "EXPLAIN ANALYZE SELECT FROM customers", "", "nobody"},
		{"dora", "SELECT query_to_xml('TABLE customers', true, true, '')", "", "* any"},
		{"dora", "SELECT lower(name) FROM countries", "", "nobody"},
		{"dora", "SELECT virtual FROM nowhere", "", "* any"},
	} {
		p, err := e.Plan(session(t, e, tt.login, ""), tt.sql)
		if err != nil {
			t.Errorf("%s: %v", tt.sql, err)
			continue
		}
		if got := named(p); got != tt.named {
			t.Errorf("%s: %s, want %s", tt.sql, got, tt.named)
		}
		if got := addition(p); got != tt.added {
			t.Errorf("%s: adds %s, want %s\nin %s", tt.sql, got, tt.added, p.SQL)
		}
	}
}

// TestKeysOfOtherForms names subjects by no other text than that of their own key.
func TestKeysOfOtherForms(t *testing.T) {
	for _, tt := range []struct{ key, held, added string }{
		{"integer", "bigint", `("v".person):0`},
		{"text", "varchar(10)", `("v".person):0`},
		{"char(4)", "text", `("v".person):0`},
		{"numeric(10,2)", "numeric(10,2)", `("v".person):0`},
		{"numeric(10,2)", "numeric(10,4)", ""},
		{"numeric(10,2)", "integer", ""},
		{"numeric", "numeric", ""},
		{"date", "date", ""},
	} {
		cat, err := ddl.Parse("CREATE TABLE people (id " + tt.key + " PRIMARY KEY); CREATE TABLE visits (person " + tt.held + " REFERENCES people, fee int)")
		if err != nil {
			t.Fatal(err)
		}
		doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: "version: 1\nclasses: {open: [\"public.*.*\"]}\nsubjects: {person: {table: public.people, key: id}}\n" +
			"purposes: {care: {basis: contract}}\nroles: {nurse: {purposes: [care], tables: [{on: [\"public.*\"], do: [select]}]}}\nusers: {nina: {roles: [nurse]}}"})
		if err != nil {
			t.Fatal(err)
		}
		set, err := policy.Compile(doc, cat)
		if err != nil {
			t.Fatal(err)
		}
		e := rewrite.New(cat, set, 1<<16)
		e.NameSubjects()
		p, err := e.Plan(session(t, e, "nina", ""), "SELECT v.fee FROM visits v")
		if err != nil {
			t.Fatal(err)
		}
		if got := addition(p); got != tt.added {
			t.Errorf("keys are %s, held as %s: adds %q, want %q", tt.key, tt.held, got, tt.added)
		}
		visits, _ := cat.Relation(nil, "public", "visits")
		if read := len(e.KeysOf(rewrite.Origin{Relation: visits.OID, Column: 1})) > 0; read != (tt.added != "") {
			t.Errorf("keys are %s, held as %s: are read: %t", tt.key, tt.held, read)
		}
	}
}
