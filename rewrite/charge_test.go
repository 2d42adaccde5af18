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
		{"sam", "SELECT 1", ""},
		{"sam", "SELECT first_name FROM customers", ""},
		{"sam", "SELECT * FROM customers", ""},
		{"sam", "SELECT c.id, o.id FROM customers c JOIN orders o ON o.customer_id = c.id", ""},
		{"sam", "SELECT c.id, o.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id", ""},
		{"sam", "SELECT c.id, o.id, i.product FROM customers c LEFT JOIN orders o ON o.customer_id = c.id LEFT JOIN order_items i ON i.order_id = o.id", ""},
		{"sam", "SELECT c.id, o.id FROM customers c LEFT JOIN orders o ON c.id = 5", ""},
		{"sam", "SELECT a.id, b.id FROM customers a, customers b", ""},
		{"sam", "SELECT a.id, b.id FROM customers a, customers b WHERE a.id = b.id", ""},
		{"sam", "SELECT a.id, b.id FROM customers a, customers b WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = a.id AND o.customer_id = b.id)", ""},
		{"sam", "SELECT c.first_name, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) FROM customers c", ""},
		{"sam", "SELECT c.first_name, (SELECT string_agg(o.status, ',') FROM orders o WHERE o.customer_id = c.id) FROM customers c", ""},
		{"sam", "SELECT c.first_name, (SELECT string_agg(o.status, ',') FROM orders o WHERE o.customer_id <> c.id) FROM customers c", ""},
		{"sam", "SELECT c.first_name FROM customers c WHERE c.id IN (SELECT o.customer_id FROM orders o WHERE o.total > 5)", ""},
		{"sam", "SELECT c.first_name FROM customers c WHERE c.id IN (SELECT customer_id FROM orders)", ""},
		{"sam", "SELECT c.first_name FROM customers c WHERE EXISTS (SELECT * FROM orders o WHERE o.customer_id = c.id)", ""},
		{"sam", "SELECT n FROM generate_series(1, 100) n WHERE n IN (SELECT id FROM customers)", ""},
		{"sam", "SELECT n FROM generate_series(1, 100) n WHERE EXISTS (SELECT FROM customers WHERE id = n)", ""},
		{"sam", "SELECT count(*) FROM customers", ""},
		{"sam", "SELECT country, count(*) FROM customers GROUP BY country", ""},
		{"sam", "SELECT country, count(*) FROM customers GROUP BY 1", ""},
		{"sam", "SELECT email, count(*) FROM customers GROUP BY email", ""},
		{"sam", "SELECT status, count(*), sum(total) FROM orders GROUP BY status", ""},
		{"sam", "SELECT status, string_agg(id::text, ',') FROM orders GROUP BY status", ""},
		{"sam", "SELECT customer_id, string_agg(id::text, ',') FROM orders GROUP BY customer_id", ""},
		{"sam", "SELECT o.id, json_agg(i.*) FROM orders o JOIN order_items i ON i.order_id = o.id GROUP BY o.id", ""},
		{"sam", "SELECT c.id, c.first_name, count(o.id), max(o.placed_at) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id", ""},
		{"sam", "SELECT min(first_name), max(first_name) FROM customers", ""},
		{"sam", "SELECT string_agg(first_name, ',') FROM customers", ""},
		{"sam", "SELECT string_agg(x.first_name, ',') FROM (SELECT first_name FROM customers) x", ""},
		{"sam", "SELECT count(*) FROM (SELECT DISTINCT c.id FROM customers c) x", ""},
		{"sam", "SELECT DISTINCT country FROM customers", ""},
		{"sam", "SELECT id FROM customers UNION ALL SELECT customer_id FROM orders", ""},
		{"sam", "SELECT id FROM customers INTERSECT SELECT customer_id FROM orders", ""},
		{"sam", "WITH x AS (SELECT * FROM customers) SELECT * FROM x", ""},
		{"sam", "WITH x AS (SELECT * FROM customers) SELECT * FROM x a, x b", ""},
		{"sam", "WITH RECURSIVE x AS (SELECT id, first_name FROM customers UNION ALL SELECT c.id, x.first_name || c.first_name FROM x JOIN customers c ON c.id = x.id + 1) SELECT * FROM x", ""},
		{"sam", "SELECT id, lag(first_name) OVER (ORDER BY id) FROM customers", ""},
		{"sam", "SELECT id, count(*) OVER () FROM customers", ""},
		{"sam", "SELECT id, string_agg(first_name, ',') OVER () FROM customers", ""},
		{"sam", "SELECT id, string_agg(status, ',') OVER (PARTITION BY customer_id) FROM orders", ""},
		{"sam", "SELECT ARRAY(SELECT first_name FROM customers)", ""},
		{"sam", "SELECT c.id, x.* FROM customers c, LATERAL (SELECT json_agg(o.*) FROM orders o WHERE o.customer_id = c.id) x", ""},
		{"sam", "SELECT c.id, x.n FROM customers c LEFT JOIN (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) x ON x.customer_id = c.id", ""},
		{"sam", "INSERT INTO orders (customer_id, placed_at, status, total) VALUES (1, now(), 'new', 1) RETURNING id", ""},
		{"sam", "INSERT INTO orders (customer_id, placed_at, status, total) SELECT id, now(), 'new', 1 FROM customers", ""},
		{"sam", "INSERT INTO orders (customer_id, placed_at, status, total) SELECT 1, now(), first_name, 1 FROM customers", ""},
		{"sam", "UPDATE orders SET status = 'x' WHERE id = 1 RETURNING *", ""},
		{"sam", "UPDATE orders SET status = (SELECT string_agg(first_name, ',') FROM customers)", ""},
		{"sam", "CREATE TEMP TABLE mine AS SELECT first_name FROM customers", ""},
		{"sam", "COPY (SELECT first_name FROM customers) TO STDOUT", ""},
		{"sam", "DECLARE c CURSOR FOR SELECT string_agg(first_name, ',') FROM customers", ""},
	} {
		p, err := e.Plan(session(t, e, tt.login, ""), tt.sql)
		if err != nil {
			t.Errorf("%s: %v", tt.sql, err)
			continue
		}
		fmt.Printf("%s\n    -> %s\n", tt.sql, charged(p))
	}
}
