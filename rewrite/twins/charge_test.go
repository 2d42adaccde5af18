package twins

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// marking makes all that is about a customer say so, in each table.
const marking = `
ALTER TABLE orders DROP CONSTRAINT orders_status_check;
INSERT INTO customers (id, first_name, last_name, email, loyalty_no, postcode, region, country)
	SELECT n, '', '', n::text, '', '', CASE WHEN n % 4 = 0 THEN 'US' ELSE 'EU' END, 'DE' FROM generate_series(7000001, 7000040) n;
INSERT INTO orders (id, customer_id, placed_at, status, total) SELECT n + 1000000, n, '2026-01-01', '', n % 7 FROM generate_series(7000001, 7000040) n;
INSERT INTO orders (id, customer_id, placed_at, status, total) SELECT n + 2000000, 7000001 + n % 5, '2026-01-01', '', n % 3 FROM generate_series(7000001, 7000060) n;
INSERT INTO order_items SELECT id, 1, '', 1, total FROM orders ON CONFLICT DO NOTHING;
UPDATE customers SET first_name = 'Q' || id || 'Q', last_name = 'Q' || id || 'Q', email = 'Q' || id || 'Q', phone = 'Q' || id || 'Q', card = NULL,
	loyalty_no = 'Q' || id || 'Q', device_id = 'Q' || id || 'Q', postcode = 'Q' || id || 'Q', notes = 'Q' || id || 'Q';
UPDATE orders SET status = 'Q' || customer_id || 'Q';
UPDATE order_items i SET product = 'Q' || o.customer_id || 'Q' FROM orders o WHERE o.id = i.order_id;
UPDATE tickets SET subject = 'Q' || customer_id || 'Q', body = 'Q' || customer_id || 'Q';
`

// everything shows all there is, to somebody whose subjects are counted.
const everything = `
version: 1
purposes: {work: {basis: contract}}
subjects: {customer: {table: public.customers, key: id}}
classes:
  open: [public.countries.*, public.consents.*, public.orders.id, public.orders.customer_id, public.orders.total, public.order_items.order_id,
    public.order_items.line_no, public.order_items.quantity, public.order_items.price, public.customers.id, public.customers.region, public.customers.country,
    public.customers.created_at, public.customers.restricted, public.tickets.id, public.tickets.customer_id, public.tickets.region]
  personal: ["public.*.*"]
roles: {reader: {purposes: [work], tables: [{on: "public.*", do: [select, insert, update, delete]}]}}
rules: [{role: reader, for: work, on: personal, show: clear}]
users: {sam: {roles: [reader], limits: {subjects: 500/day}}}
unclassified: refuse
`

// mark finds whom a text tells of.
var mark = regexp.MustCompile(`(?i)q([1-9]|10|70000[0-4][0-9])q|\b(70000[0-4][0-9])\b`)

// marked gives how many customers some texts tell of, whom a statement does not
// name itself.
func marked(values [][]byte, sql string) int {
	whom := map[string]bool{}
	for _, v := range values {
		for _, found := range mark.FindAllSubmatch(v, -1) {
			who := string(found[1]) + string(found[2])
			if !strings.Contains(sql, "Q"+who+"Q") && !(len(who) == 7 && strings.Contains(sql, who)) {
				whom[who] = true
			}
		}
	}
	return len(whom)
}

// charging is a database in which everything says whom it is about, and who reads it.
type charging struct {
	t       *testing.T
	fixture *Fixture
	engine  *rewrite.Engine
	session rewrite.Session
	conn    *pgconn.PgConn

	planned, refused, unbounded, rows int
	lone                              int // rows that say that they are about one
}

func newCharging(t *testing.T) *charging {
	t.Helper()
	c := &charging{t: t, fixture: newRunner(t).Fixtures[0]}
	f := c.fixture
	var conns [2]*pgx.Conn
	for i, dsn := range f.dsns {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.PgConn().Exec(t.Context(), marking).ReadAll(); err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	f.values, c.conn = map[string][]value{}, conns[0].PgConn()
	if err := f.readValues(t.Context(), conns); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.engine, err = f.engine([]policy.File{{Name: "everything.yaml", Text: everything}}); err != nil {
		t.Fatal(err)
	}
	c.engine.NameSubjects()
	access, err := c.engine.Policy.Access("sam", "")
	if err != nil {
		t.Fatal(err)
	}
	if c.session, err = c.engine.Session(access, ""); err != nil {
		t.Fatal(err)
	}
	return c
}

// check sees that no row of a statement tells of more customers than it is charged.
func (c *charging) check(sql string) {
	c.t.Helper()
	p, err := c.engine.Plan(c.session, sql)
	var refusal *rewrite.Refusal
	if errors.As(err, &refusal) {
		c.refused++
		return
	}
	if err != nil {
		c.t.Fatalf("%s: %v", sql, err)
	}
	if !p.Governed {
		return
	}
	c.planned++
	n := p.Naming(0)
	each := int64(0)
	for _, r := range n.Charged {
		if r.Each == rewrite.AnyNumber {
			c.unbounded++
			return
		}
		each += r.Each
	}
	if _, err := c.conn.Exec(c.t.Context(), "BEGIN").ReadAll(); err != nil {
		c.t.Fatal(err)
	}
	results, err := c.conn.Exec(c.t.Context(), p.SQL).ReadAll()
	if _, end := c.conn.Exec(c.t.Context(), "ROLLBACK").ReadAll(); end != nil {
		c.t.Fatal(end)
	}
	if err != nil || len(results) != 1 {
		return // of values that it does not fit
	}
	for _, row := range results[0].Rows {
		c.rows++
		own := row[:len(row)-n.Hidden()]
		most := each
		if n.Counted {
			hidden := row[len(own):]
			made, err := strconv.ParseInt(string(hidden[0]), 10, 64)
			if err != nil {
				c.t.Fatalf("%s: %v", p.SQL, err)
			}
			switch {
			case n.Lone != "" && hidden[1] != nil:
				most, c.lone = 1, c.lone+1
			case n.Statistic && made >= 10:
				most = 0
			case !n.Whole:
				most = each * made
			}
		}
		if got := marked(own, sql); int64(got) > most && !n.Silent {
			c.t.Errorf("%s\nsent %s\na row tells of %d customers, and is charged %d: %.300q", sql, p.SQL, got, most, own)
			return
		}
	}
}

// TestChargedEnough reads a database in which everything says whom it is about, by
// made-up statements and by those that were thought of to get more than is counted.
func TestChargedEnough(t *testing.T) {
	c := newCharging(t)
	for _, sql := range evasions {
		c.check(sql)
	}
	t.Logf("of %d evasions %d are refused by the policy, %d because nothing bounds them; %d rows", len(evasions), c.refused, c.unbounded, c.rows)
	who := Caller{User: "sam", engine: c.engine, session: c.session}
	for i, made := 0, 0; made < *statementsFlag; i++ {
		g := c.fixture.generate(who, *seedFlag, uint64(i))
		for range batchSize {
			s := g.next()
			if s.Kind == "select" {
				c.check(s.SQL)
				made++
			}
		}
	}
	t.Logf("%d statements planned, %d refused, %d not bounded; %d rows, %d of them of one customer's", c.planned, c.refused, c.unbounded, c.rows, c.lone)
	if c.rows < *statementsFlag || c.unbounded*2 > c.planned || c.lone == 0 {
		t.Error("hardly anything was tried")
	}
}

// evasions are ways to get customers that may not look like it.
var evasions = strings.Split(strings.TrimSpace(`
SELECT string_agg(email, ',') FROM customers
SELECT array_agg(email) FROM customers
SELECT json_agg(c) FROM customers c
SELECT jsonb_object_agg(id, email) FROM customers
SELECT xmlagg(xmlelement(name e, email)) FROM customers
SELECT country, string_agg(email, ',') FROM customers GROUP BY country
SELECT country, string_agg(email, ',') FROM customers GROUP BY ROLLUP (country)
SELECT country, region, string_agg(email, ',') FROM customers GROUP BY GROUPING SETS ((country), (region), ())
SELECT c.id, string_agg(o.status, ',') FROM customers c, orders o GROUP BY c.id
SELECT o.customer_id, string_agg(o.status, ',') FROM orders o GROUP BY ROLLUP (o.customer_id)
SELECT o.customer_id, string_agg(o.status, ',') FROM orders o GROUP BY o.customer_id
SELECT o.id, string_agg(i.product, ',') FROM orders o JOIN order_items i ON i.order_id = o.id GROUP BY o.id
SELECT o.id, string_agg(i.product, ',') FROM orders o JOIN order_items i ON i.line_no = 1 GROUP BY o.id
SELECT min(email), max(email), min(phone), max(last_name) FROM customers
SELECT min(id), max(id), min(email || phone) FROM customers
SELECT min(email) FILTER (WHERE id = 7000001), min(email) FILTER (WHERE id = 7000002), min(email) FILTER (WHERE id = 7000003) FROM customers
SELECT region, min(email), max(email) FROM customers GROUP BY region HAVING min(phone) <> ''
SELECT region, count(*) FROM customers GROUP BY region HAVING string_agg(email, ',') <> ''
SELECT region, count(*) FROM customers GROUP BY region
SELECT id, count(*) FROM customers, generate_series(1, 20) GROUP BY id
SELECT customer_id, count(*) FROM orders GROUP BY customer_id
SELECT customer_id, sum(total) FROM orders GROUP BY 1
SELECT o.customer_id, count(*) FROM orders o JOIN order_items i ON i.order_id = o.id GROUP BY o.customer_id
SELECT status, count(*) FROM orders GROUP BY status
SELECT status AS x, count(*) FROM orders GROUP BY x
SELECT max(id), count(*) FROM customers
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY email) FROM customers
SELECT percentile_disc(ARRAY[0.1, 0.5, 0.9]) WITHIN GROUP (ORDER BY email) FROM customers
SELECT mode() WITHIN GROUP (ORDER BY email) FROM customers
SELECT sum(id * power(10::numeric, (id - 7000000) * 8)) FROM customers WHERE id > 7000000
SELECT (SELECT string_agg(email, ',') FROM customers)
SELECT ARRAY(SELECT email FROM customers)
SELECT ARRAY(SELECT o.status FROM orders o WHERE o.customer_id = c.id) FROM customers c
SELECT ARRAY(SELECT o.status FROM orders o WHERE o.customer_id <> c.id) FROM customers c
SELECT ARRAY(SELECT o.status FROM orders o WHERE o.customer_id = c.id OR true) FROM customers c
SELECT (SELECT string_agg(o.status, ',') FROM orders o WHERE NOT o.customer_id = c.id) FROM customers c
SELECT (SELECT string_agg(o.status, ',') FROM orders o LEFT JOIN customers x ON o.customer_id = c.id) FROM customers c
SELECT (SELECT string_agg(o.status, ',') FROM customers x LEFT JOIN orders o ON o.customer_id = c.id) FROM customers c
SELECT (SELECT string_agg(o.status || x.email, ',') FROM customers x LEFT JOIN orders o ON o.customer_id = c.id) FROM customers c
SELECT (SELECT string_agg(c.email, ',')) FROM customers c
SELECT (SELECT string_agg(c.email, ',') FROM countries) FROM customers c
SELECT (SELECT string_agg(c.email || x.name, ',') FROM countries x) FROM customers c
SELECT (SELECT max(y.e) FROM (SELECT string_agg(c.email, ',') AS e) y) FROM customers c
SELECT to_json(c) FROM customers c
SELECT row_to_json(ROW(c, d)) FROM customers c, customers d WHERE c.id < d.id
SELECT ROW(a.email, b.email, c.email) FROM customers a, customers b, customers c WHERE a.id < b.id AND b.id < c.id LIMIT 50
SELECT a.email, b.email FROM customers a JOIN customers b ON a.id = b.id + 1
SELECT a.email, b.email FROM customers a LEFT JOIN customers b ON a.id = a.id
SELECT a.email, b.email FROM customers a LEFT JOIN customers b ON a.id = 7000001
SELECT a.email, o.status FROM customers a LEFT JOIN orders o ON a.id = o.customer_id
SELECT a.email, o.status FROM customers a FULL JOIN orders o ON a.id = o.customer_id
SELECT a.email, b.email, o.status FROM (customers a CROSS JOIN customers b) LEFT JOIN orders o ON o.customer_id = a.id
SELECT a.email, b.email, o.status FROM (customers a CROSS JOIN customers b) LEFT JOIN orders o ON a.id = b.id
SELECT a.email, b.email FROM customers a, customers b WHERE a.id = b.id
SELECT a.email, b.email FROM customers a, customers b WHERE a.id = b.id OR a.id > 0
SELECT a.email, b.email FROM customers a, customers b WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = a.id AND o.customer_id = b.id)
SELECT a.email, b.email FROM customers a, customers b WHERE a.id NOT IN (SELECT customer_id FROM tickets)
SELECT email, lag(email) OVER (ORDER BY id), lead(email) OVER (ORDER BY id), first_value(email) OVER (ORDER BY id) FROM customers
SELECT email, nth_value(email, 3) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM customers
SELECT email, string_agg(email, ',') OVER (ORDER BY id) FROM customers
SELECT id, string_agg(status, ',') OVER (PARTITION BY customer_id) FROM orders
SELECT id, string_agg(status, ',') OVER w FROM orders WINDOW w AS (PARTITION BY customer_id)
SELECT id, string_agg(status, ',') OVER w FROM orders WINDOW v AS (PARTITION BY total), w AS (v ORDER BY id)
SELECT max(email) OVER (), min(email) OVER (), email FROM customers
SELECT DISTINCT ON (country) email FROM customers
SELECT DISTINCT country, email FROM customers
SELECT email FROM customers ORDER BY id OFFSET 5 FETCH FIRST 10 ROWS ONLY
SELECT email FROM customers UNION SELECT status FROM orders
SELECT email, phone FROM customers UNION ALL SELECT a.email, b.email FROM customers a, customers b
SELECT email FROM customers INTERSECT SELECT status FROM orders
SELECT email FROM customers EXCEPT SELECT status FROM orders
SELECT 'x' || string_agg(e, ',') FROM (SELECT email AS e FROM customers UNION ALL SELECT 'y') x
VALUES ((SELECT string_agg(email, ',') FROM customers))
VALUES ((SELECT email FROM customers LIMIT 1), (SELECT email FROM customers OFFSET 1 LIMIT 1)), ('a', 'b')
WITH x AS (SELECT email FROM customers) SELECT * FROM x
WITH x AS (SELECT id, email FROM customers) SELECT a.email, b.email, c.email FROM x a, x b, x c WHERE a.id = b.id + 1 AND b.id = c.id + 1
WITH x AS (SELECT id, email FROM customers), y AS (SELECT a.id, a.email || b.email AS email FROM x a, x b WHERE a.id = b.id + 1) SELECT a.email || b.email FROM y a, y b WHERE a.id = b.id + 2
WITH x AS (SELECT string_agg(email, ',') AS e FROM customers) SELECT e FROM x
WITH x AS MATERIALIZED (SELECT customer_id, string_agg(status, ',') AS s FROM orders GROUP BY customer_id) SELECT c.email, x.s FROM customers c JOIN x ON x.customer_id = c.id
WITH x AS MATERIALIZED (SELECT customer_id, string_agg(status, ',') AS s FROM orders GROUP BY customer_id) SELECT c.email, x.s FROM customers c JOIN x ON x.customer_id <> c.id
WITH x (id, customer_id) AS (SELECT customer_id, total FROM orders) SELECT c.email, x.id FROM customers c JOIN x ON x.customer_id = c.id
WITH RECURSIVE x (n, e) AS (SELECT 7000001, '' UNION ALL SELECT n + 1, e || (SELECT email FROM customers WHERE id = n) FROM x WHERE n < 7000040) SELECT e FROM x ORDER BY n DESC LIMIT 1
WITH RECURSIVE x (n, e) AS (SELECT id, email FROM customers WHERE id = 7000001 UNION ALL SELECT c.id, x.e || c.email FROM x JOIN customers c ON c.id = x.n + 1) SELECT e FROM x
WITH RECURSIVE x (n) AS (SELECT 7000001 UNION ALL SELECT n + 1 FROM x WHERE EXISTS (SELECT FROM customers WHERE id = n + 1)) SELECT n FROM x
SELECT n FROM generate_series(7000001, 7000100) n WHERE n IN (SELECT id FROM customers)
SELECT n, m FROM generate_series(7000001, 7000010) n, generate_series(7000001, 7000010) m WHERE n IN (SELECT id FROM customers) AND m IN (SELECT id FROM customers)
SELECT n, (SELECT email FROM customers WHERE id = n) FROM generate_series(7000001, 7000040) n
SELECT n, c.email FROM generate_series(7000001, 7000040) n, LATERAL (SELECT email FROM customers WHERE id = n) c
SELECT c.id, x.s FROM customers c, LATERAL (SELECT string_agg(o.status, ',') AS s FROM orders o WHERE o.customer_id = c.id) x
SELECT c.id, x.s FROM customers c, LATERAL (SELECT string_agg(o.status, ',') AS s FROM orders o WHERE o.customer_id >= c.id) x
SELECT c.id, x.s FROM customers c CROSS JOIN (SELECT string_agg(o.status, ',') AS s FROM orders o) x
SELECT unnest(array_agg(email)) FROM customers
SELECT x FROM (SELECT array_agg(email) AS a FROM customers) y, unnest(y.a) x
SELECT json_build_object('a', a.email, 'b', b.email) FROM customers a, customers b LIMIT 100
SELECT (array_agg(email))[1] FROM customers
SELECT CASE WHEN count(*) > 0 THEN string_agg(email, ',') END FROM customers
SELECT coalesce(string_agg(email, ','), (SELECT string_agg(phone, ',') FROM customers)) FROM customers
SELECT count(*), (SELECT email FROM customers LIMIT 1), (SELECT email FROM customers OFFSET 1 LIMIT 1) FROM customers
SELECT count(*) FROM customers ORDER BY string_agg(email, ',')
SELECT region FROM customers GROUP BY region ORDER BY min(email)
SELECT o.status, c.email FROM orders o JOIN customers c USING (id)
SELECT o.status, c.email FROM orders o JOIN customers c ON c.id = o.customer_id
SELECT x.id, y.id FROM (SELECT id FROM customers) x, (SELECT id FROM customers) y WHERE x.id = y.id
SELECT x.a, y.b FROM (SELECT id, email AS a FROM customers) x, (SELECT id + 1 AS id, email AS b FROM customers) y WHERE x.id = y.id
SELECT x.a, y.b FROM (SELECT email AS a, id FROM customers) x (id, a), (SELECT id, email AS b FROM customers) y WHERE x.id = y.b
SELECT x.s, y.email FROM (SELECT max(id) AS id, string_agg(email, ',') AS s FROM customers) x JOIN customers y ON y.id = x.id
SELECT x.s, y.email FROM (SELECT id, string_agg(email, ',') OVER () AS s FROM customers) x JOIN customers y ON y.id = x.id
SELECT x.s, y.email FROM (SELECT DISTINCT id, lag(email) OVER (ORDER BY id) AS s FROM customers) x JOIN customers y ON y.id = x.id
INSERT INTO tickets (customer_id, region, subject, body, opened_at) SELECT 1, 'EU', '', string_agg(email, ','), now() FROM customers RETURNING body
INSERT INTO tickets (customer_id, region, subject, body, opened_at) VALUES (1, 'EU', '', (SELECT string_agg(email, ',') FROM customers), now()) RETURNING body
INSERT INTO orders (customer_id, placed_at, status, total) SELECT id, now(), email, 0 FROM customers RETURNING *
UPDATE tickets SET body = (SELECT string_agg(email, ',') FROM customers) WHERE id = 1 RETURNING body
UPDATE orders o SET total = 0 FROM customers c WHERE c.id = o.customer_id RETURNING o.status, c.email
UPDATE orders o SET total = 0 FROM customers c WHERE c.id > o.customer_id RETURNING o.status, c.email
DELETE FROM orders o USING customers c WHERE c.id <> o.customer_id RETURNING o.status, c.email
DELETE FROM tickets RETURNING (SELECT string_agg(email, ',') FROM customers)
WITH x AS (UPDATE orders SET total = 1 RETURNING status) SELECT string_agg(status, ',') FROM x
WITH x AS (UPDATE orders SET total = 1 RETURNING id, status) SELECT a.status, b.status FROM x a, x b WHERE a.id = b.id + 1
COPY (SELECT string_agg(email, ',') FROM customers) TO STDOUT
SELECT string_agg((SELECT email FROM customers c WHERE c.id = n), ',') OVER () FROM generate_series(1, 10) n
SELECT string_agg((SELECT email FROM customers c WHERE c.id = n), ',') FROM generate_series(1, 10) n
SELECT id, string_agg(email, ',') OVER (PARTITION BY 1) FROM customers
SELECT c.id AS x, string_agg(c.email, ',') OVER (PARTITION BY x) FROM customers c, (SELECT 1 AS x) y
SELECT max(c.id) AS x, string_agg(c.email, ',') FROM customers c, (SELECT 1 AS x) y GROUP BY x
SELECT id, count(*) FROM customers GROUP BY id, unnest(ARRAY[1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
SELECT id, count(*) FROM customers GROUP BY 1, unnest(array_fill(1, ARRAY[20]))
SELECT id, sum(n) FROM (SELECT c.id, 1 AS n FROM customers c UNION ALL SELECT c.id, 2 FROM customers c) x GROUP BY id
SELECT min(set_config('application_name', current_setting('application_name') || email, false)) FROM customers
SELECT count(pg_advisory_lock(id)) FROM customers
SELECT string_agg(status, ',') FROM orders WHERE customer_id = 1
SELECT string_agg(o.status || coalesce(c.email, ''), ',') FROM orders o LEFT JOIN customers c ON c.id = o.customer_id AND c.id = 1
SELECT string_agg(coalesce(o.status, '') || coalesce(c.email, ''), ',') FROM customers c FULL JOIN orders o ON c.id = o.customer_id AND c.id = 7000001 WHERE o.id < 1000002 OR c.id = 7000001
SELECT string_agg(o.status || c.email, ',') FROM orders o, customers c WHERE o.customer_id = 1
SELECT string_agg(c.email || coalesce(o.status, '') || coalesce(p.status, ''), ',') FROM customers c LEFT JOIN orders o ON c.id = o.customer_id LEFT JOIN orders p ON p.customer_id = o.customer_id GROUP BY c.country, c.id % 3
SELECT string_agg(t.body || o.status, ',') FROM tickets t JOIN orders o USING (customer_id) GROUP BY GROUPING SETS ((o.total), ())
SELECT max(email) || min(email), count(*) FILTER (WHERE id = 7000001) FROM customers GROUP BY GROUPING SETS ((id % 30), (country))
SELECT string_agg(email, ',') FILTER (WHERE id > 7000001) FROM customers GROUP BY id / 2
SELECT string_agg(status, ',') FROM orders WHERE customer_id = 7000001 OR customer_id IN (SELECT id FROM customers)
SELECT string_agg(status, (SELECT email FROM customers LIMIT 1)) FROM orders WHERE customer_id = 7000001
`), "\n")
