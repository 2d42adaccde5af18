package rewrite_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/rewrite"
)

// charged gives what a plan says that limits count, one statement after the other.
func charged(p *rewrite.Plan) string {
	var all []string
	for i := range p.Subjects {
		n := p.Naming(i)
		var words []string
		for _, r := range n.Charged {
			words = append(words, strings.ReplaceAll(fmt.Sprintf("%s %d", r.Kind, r.Each), "-1", "any"))
		}
		if len(words) == 0 {
			words = append(words, "nobody")
		}
		switch {
		case n.Counted && !n.Whole:
			words = append(words, "of each row counted")
		case n.Statistic:
			words = append(words, "a statistic")
		}
		if len(n.Clear) > 0 {
			words = append(words, "clear "+strings.Join(n.Clear, ","))
		}
		all = append(all, strings.Join(words, ", "))
	}
	return strings.Join(all, "; ")
}

func TestWhatRowsDisclose(t *testing.T) {
	e := shop(t)
	e.NameSubjects()
	for _, tt := range []struct{ login, sql, want string }{
		{"sam", "SELECT 1", "nobody"},
		{"sam", "SELECT first_name FROM customers", "customer 1, clear name"},
		{"sam", "SELECT * FROM customers", "customer 1, clear loyalty,name"},
		{"sam", "SELECT c.id, o.id FROM customers c JOIN orders o ON o.customer_id = c.id", "customer 1"},
		{"sam", "SELECT c.id, o.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id", "customer 1"},
		{"sam", "SELECT c.id, o.id, i.product FROM customers c LEFT JOIN orders o ON o.customer_id = c.id LEFT JOIN order_items i ON i.order_id = o.id", "customer 1"},
		{"sam", "SELECT c.id, o.id FROM customers c LEFT JOIN orders o ON c.id = 5", "customer 2"},
		{"sam", "SELECT a.id, b.id FROM customers a, customers b", "customer 2"},
		{"sam", "SELECT a.id, b.id FROM customers a, customers b WHERE a.id = b.id", "customer 1"},
		{"sam", "SELECT a.id, b.id FROM customers a, customers b WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = a.id AND o.customer_id = b.id)", "customer 2"},
		{"sam", "SELECT c.first_name, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) FROM customers c", "customer 1, clear name"},
		{"sam", "SELECT c.first_name, (SELECT string_agg(o.status, ',') FROM orders o WHERE o.customer_id = c.id) FROM customers c", "customer 1, clear name"},
		{"sam", "SELECT c.first_name, (SELECT string_agg(o.status, ',') FROM orders o WHERE o.customer_id <> c.id) FROM customers c", "customer any, clear name"},
		{"sam", "SELECT c.first_name FROM customers c WHERE c.id IN (SELECT o.customer_id FROM orders o WHERE o.total > 5)", "customer 1, clear name"},
		{"sam", "SELECT c.first_name FROM customers c WHERE c.id IN (SELECT customer_id FROM orders)", "customer 1, clear name"},
		{"sam", "SELECT c.first_name FROM customers c WHERE EXISTS (SELECT * FROM orders o WHERE o.customer_id = c.id)", "customer 1, clear name"},
		{"sam", "SELECT n FROM generate_series(1, 100) n WHERE n IN (SELECT id FROM customers)", "customer 1"},
		{"sam", "SELECT n FROM generate_series(1, 100) n WHERE EXISTS (SELECT FROM customers WHERE id = n)", "customer 1"},
		{"sam", "SELECT count(*) FROM customers", "customer 1, a statistic"},
		{"sam", "SELECT country, count(*) FROM customers GROUP BY country", "customer 1, a statistic"},
		{"sam", "SELECT country, count(*) FROM customers GROUP BY 1", "customer 1, a statistic"},
		{"sam", "SELECT email, count(*) FROM customers GROUP BY email", "customer 1"},
		{"sam", "SELECT status, count(*), sum(total) FROM orders GROUP BY status", "customer 1"},
		{"sam", "SELECT status, string_agg(id::text, ',') FROM orders GROUP BY status", "customer 1, of each row counted"},
		{"sam", "SELECT customer_id, string_agg(id::text, ',') FROM orders GROUP BY customer_id", "customer 1"},
		{"sam", "SELECT o.id, json_agg(i.*) FROM orders o JOIN order_items i ON i.order_id = o.id GROUP BY o.id", "customer 1"},
		{"sam", "SELECT c.id, c.first_name, count(o.id), max(o.placed_at) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id", "customer 1, clear name"},
		{"sam", "SELECT min(first_name), max(first_name) FROM customers", "customer 2, clear name"},
		{"sam", "SELECT string_agg(first_name, ',') FROM customers", "customer 1, of each row counted, clear name"},
		{"sam", "SELECT count(*) FROM (SELECT DISTINCT c.id FROM customers c) x", "customer 1"},
		{"sam", "SELECT DISTINCT country FROM customers", "customer 1"},
		{"sam", "SELECT id FROM customers UNION ALL SELECT customer_id FROM orders", "customer 1"},
		{"sam", "SELECT id FROM customers INTERSECT SELECT customer_id FROM orders", "customer 2"},
		{"sam", "WITH x AS (SELECT * FROM customers) SELECT * FROM x", "customer 1, clear loyalty,name"},
		{"sam", "WITH x AS (SELECT * FROM customers) SELECT * FROM x a, x b", "customer 2, clear loyalty,name"},
		{"sam", "WITH RECURSIVE x AS (SELECT id, first_name FROM customers UNION ALL SELECT c.id, x.first_name || c.first_name FROM x JOIN customers c ON c.id = x.id + 1) SELECT * FROM x", "customer any, clear name"},
		{"sam", "SELECT id, lag(first_name) OVER (ORDER BY id) FROM customers", "customer 2, clear name"},
		{"sam", "SELECT id, count(*) OVER () FROM customers", "customer 1"},
		{"sam", "SELECT id, string_agg(first_name, ',') OVER () FROM customers", "customer any, clear name"},
		{"sam", "SELECT id, string_agg(status, ',') OVER (PARTITION BY customer_id) FROM orders", "customer 1"},
		{"sam", "SELECT ARRAY(SELECT first_name FROM customers)", "customer any, clear name"},
		{"sam", "SELECT c.id, x.* FROM customers c, LATERAL (SELECT json_agg(o.*) FROM orders o WHERE o.customer_id = c.id) x", "customer 1"},
		{"sam", "SELECT c.id, x.n FROM customers c LEFT JOIN (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) x ON x.customer_id = c.id", "customer 1"},
		{"sam", "INSERT INTO orders (customer_id, placed_at, status, total) VALUES (1, now(), 'new', 1) RETURNING id", "nobody"},
		{"sam", "INSERT INTO orders (customer_id, placed_at, status, total) SELECT id, now(), 'new', 1 FROM customers", "nobody"},
		{"sam", "INSERT INTO orders (customer_id, placed_at, status, total) SELECT 1, now(), first_name, 1 FROM customers", "customer any, clear name"},
		{"sam", "UPDATE orders SET status = 'x' WHERE id = 1 RETURNING *", "customer 1"},
		{"sam", "UPDATE orders SET customer_id = 1 WHERE id = 1", "customer 2"},
		{"sam", "EXPLAIN ANALYZE UPDATE orders SET customer_id = 1", "customer any"},
		{"sam", "PREPARE p AS UPDATE orders SET customer_id = 1", "customer any"},
		{"sam", "UPDATE orders SET customer_id = 1 WHERE id = 1 RETURNING *", "customer 2"},
		{"sam", "WITH x AS (UPDATE orders SET customer_id = 1 RETURNING id) SELECT 1", "customer any"},
		{"sam", "UPDATE orders SET customer_id = customer_id, status = 'x' WHERE id = 1", "nobody"},
		{"sam", "INSERT INTO orders (id, customer_id, placed_at, status, total) VALUES (1, 1, now(), 'new', 1) ON CONFLICT (id) DO UPDATE SET customer_id = excluded.customer_id", "customer 2"},
		{"sam", "UPDATE orders SET status = (SELECT string_agg(first_name, ',') FROM customers)", "customer any, clear name"},
		{"sam", "CREATE TEMP TABLE mine AS SELECT first_name FROM customers", "customer any, clear name"},
		{"sam", "COPY (SELECT first_name FROM customers) TO STDOUT", "customer 1, clear name"},
		{"sam", "SELECT a.id, b.id FROM customers a FULL JOIN customers b ON a.id = a.id", "customer 2"},
		{"sam", "SELECT a.id, b.id FROM customers a JOIN customers b USING (id)", "customer 1"},
		{"sam", "SELECT c.first_name FROM customers c WHERE c.id = ANY (ARRAY(SELECT customer_id FROM orders))", "customer 1, clear name"},
		{"sam", "SELECT o.id FROM orders o WHERE o.id IN (SELECT order_id FROM order_items WHERE price > 5)", "customer 1"},
		{"sam", "SELECT n FROM generate_series(1, 100) n WHERE n NOT IN (SELECT id FROM customers)", "customer 1"},
		{"sam", "SELECT (SELECT count(*) FROM order_items WHERE product = 'Teapot')", "nobody"},
		{"sam", "SELECT (SELECT sum(quantity * price) FROM order_items WHERE product = 'Teapot')", "nobody"},
		{"sam", "SELECT (SELECT sum(quantity * order_id) FROM order_items WHERE product = 'Teapot')", "customer any"},
		{"sam", "SELECT (SELECT count(*) FROM customers WHERE first_name = 'Anna')", "customer 1"},
		{"sam", "SELECT count(*) FILTER (WHERE first_name = 'Anna'), count(*) FILTER (WHERE first_name = 'Bea') FROM customers", "customer 2"},
		{"sam", "SELECT count(*) FROM customers c, generate_series(1, c.id) n", "customer 1, of each row counted"},
		{"sam", "SELECT sum(credit_limit), stddev(credit_limit) FROM customers", "customer 2"},
		{"sam", "SELECT sum(credit_limit * id) FROM customers", "customer 1, of each row counted"},
		{"sam", "SELECT status, max(id) FROM orders GROUP BY status", "customer 1"},
		{"sam", "SELECT first_name, count(*) FROM customers GROUP BY first_name", "customer 1, clear name"},
		{"sam", "SELECT c.id, count(*) FROM customers c, generate_series(1, 20) GROUP BY c.id", "customer 1"},
		{"sam", "SELECT customer_id, count(*) FROM orders GROUP BY ROLLUP (customer_id)", "customer 1"},
		{"sam", "SELECT string_agg(x.first_name, ',') FROM (SELECT first_name FROM customers) x", "customer any, clear name"},
		{"sam", "SELECT c.id FROM customers c WHERE c.id = (SELECT max(customer_id) FROM orders)", "customer 2"},
		{"sam", "SELECT c.first_name, (SELECT string_agg(c.first_name, ',')) FROM customers c", "customer any, clear name"},
		{"sam", "EXPLAIN SELECT first_name FROM customers", "nobody"},
		{"dora", "EXPLAIN ANALYZE INSERT INTO orders (customer_id, placed_at, status, total) SELECT 1, now(), first_name, 1 FROM customers", "customer any"},
		{"sam", "INSERT INTO orders (customer_id, placed_at, status, total) VALUES ((SELECT id FROM customers WHERE email = $1), now(), 'new', 1)", "nobody"},
		{"sam", "INSERT INTO orders (customer_id, placed_at, status, total) VALUES (1, now(), 'new', 1) ON CONFLICT (id) DO UPDATE SET status = 'new' RETURNING *", "customer 1"},
		{"sam", "CREATE TEMP TABLE mine AS SELECT quantity, price FROM order_items", "nobody"},
		{"sam", "DELETE FROM orders WHERE id = 1", "nobody"},
		{"alice", "SELECT email, phone FROM customers", "customer 1"},
		{"max", "SELECT email FROM customers", "customer 1, clear email"},
		{"max", "SELECT count(email) FROM customers", "customer 1, a statistic"},
		{"max", "SELECT first_name FROM customers WHERE email = 'x'", "customer 1, clear name"},
		{"max", "SELECT id FROM customers WHERE EXISTS (SELECT email FROM customers)", "customer 2"},
		{"dora", "SELECT email FROM customers", "customer 1, clear email"},
		{"dora", "SELECT string_agg(email, ',') FROM customers", "customer any, clear email"},
		{"dora", "COPY customers TO STDOUT", "customer 1, clear address,birth_date,card,credit,device,email,loyalty,name,national_id,notes,phone,postcode,surname"},
		{"dora", "COPY customers FROM STDIN", "nobody"},
		{"dora", "CREATE TABLE t AS SELECT email FROM customers", "customer any, clear email"},
		{"dora", "DO 'BEGIN DELETE FROM customers; END'", "* any"},
		{"dora", "SELECT query_to_xml('TABLE customers', true, true, '')", "* any"},
		{"sam", "DECLARE c CURSOR FOR SELECT string_agg(first_name, ',') FROM customers", "customer any, clear name"},
	} {
		p, err := e.Plan(session(t, e, tt.login, ""), tt.sql)
		if err != nil {
			t.Errorf("%s: %v", tt.sql, err)
			continue
		}
		if got := charged(p); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.sql, got, tt.want)
		}
	}
}
