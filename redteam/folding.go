package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// folding brings many customers into few rows.
func folding() []evasion {
	const part = " FROM customers WHERE number BETWEEN $a AND $b"
	return []evasion{
		texts("string_agg", append(steps(100, "SELECT string_agg(email, ',')"+part), "SELECT string_agg(email, ',') FROM customers")...),
		texts("array_agg", append(steps(100, "SELECT array_agg(email)"+part), "SELECT array_agg(c) FROM customers c")...),
		texts("json_agg", append(steps(100, "SELECT json_agg(customers)"+part), "SELECT jsonb_agg(to_jsonb(c)) FROM customers c")...),
		texts("jsonb_object_agg", append(steps(100, "SELECT jsonb_object_agg(number, email)"+part), "SELECT json_object_agg(id, phone) FROM customers")...),
		texts("xmlagg", append(steps(100, "SELECT xmlagg(xmlelement(name c, email))"+part), "SELECT xmlagg(xmlforest(email, phone)) FROM customers")...),
		texts("an aggregate of other tables", append(steps(100, "SELECT string_agg(body, ',') FROM tickets WHERE id BETWEEN $a AND $b"), "SELECT string_agg(customer_id::text, ',') FROM orders")...),
		texts("aggregates BY group", append(steps(200, "SELECT city, string_agg(email, ',')"+part+" GROUP BY city"), "SELECT number / 10, array_agg(email) FROM customers GROUP BY 1")...),
		texts("GROUP BY what is everybody's own", append(steps(50, "SELECT email, count(*)"+part+" GROUP BY email"), "SELECT id, email, count(*) FROM customers GROUP BY id")...),
		texts("GROUP BY, each group of very many", append(steps(50, "SELECT c.email, count(*) FROM customers c, generate_series(1, 50) WHERE number BETWEEN $a AND $b GROUP BY c.email"), "SELECT c.email, count(*) FROM customers c, generate_series(1, 50) GROUP BY c.email")...),
		texts("GROUPING SETS, ROLLUP and CUBE", append(steps(50, "SELECT email, phone, count(*)"+part+" GROUP BY ROLLUP (email, phone)"), steps(200, "SELECT email, count(*)"+part+" GROUP BY GROUPING SETS ((email), ())")...)...),
		texts("HAVING", steps(50, "SELECT min(email)"+part+" GROUP BY number HAVING count(*) > 0")...),
		{name: "min and max walking", take: walk},
		texts("min and max by group", append(steps(50, "SELECT min(email), max(phone)"+part+" GROUP BY number"), "SELECT max(email) FROM customers GROUP BY number")...),
		texts("max of one among many", some(1500, steps(1, "SELECT max(CASE WHEN number = $a THEN email END) FROM customers"))...),
		texts("FILTER, one each column", steps(100, "SELECT "+many(100, "max(email) FILTER (WHERE number = $a + $i)")+" FROM customers")...),
		texts("sum of one among many", steps(100, "SELECT "+many(100, "sum(id) FILTER (WHERE number = $a + $i)")+" FROM customers WHERE number BETWEEN $a AND $b")...),
		texts("sum of one, by CASE", some(20, steps(100, "SELECT "+many(100, "sum(CASE WHEN number = $a + $i THEN id ELSE 0 END)")+" FROM customers"))...),
		texts("customers packed into one number", steps(100, "SELECT sum(id * ('1' || repeat('0', 12 * (number - $a)))::numeric) FROM customers WHERE number BETWEEN $a AND $b")...),
		{name: "differences of sums", take: differences},
		texts("the average of one", steps(100, "SELECT "+many(100, "avg(id) FILTER (WHERE number = $a + $i)")+" FROM customers WHERE number BETWEEN $a AND $b")...),
		texts("bits of keys", steps(100, "SELECT "+many(100, "bit_or(CASE WHEN number = $a + $i THEN id ELSE 0 END)")+" FROM customers WHERE number BETWEEN $a AND $b")...),
		texts("percentiles and modes", steps(50, "SELECT percentile_disc(ARRAY["+many(50, "$i / 50.0")+"]) WITHIN GROUP (ORDER BY email), mode() WITHIN GROUP (ORDER BY phone) FROM customers WHERE number BETWEEN $a AND $b")...),
		texts("ordered aggregates, the first", steps(20, "SELECT (array_agg(email ORDER BY id))[1], (array_agg(email ORDER BY id DESC))[1] FROM customers WHERE number BETWEEN $a AND $b")...),
		texts("lag and lead", steps(100, "SELECT "+many(10, "lead(email, $i) OVER (ORDER BY number)")+" FROM customers WHERE number BETWEEN $a AND $b")...),
		texts("aggregates over a window", append(steps(100, "SELECT number, string_agg(email, ',') OVER (ORDER BY number ROWS BETWEEN 50 PRECEDING AND CURRENT ROW) FROM customers WHERE number BETWEEN $a AND $b"), "SELECT array_agg(email) OVER () FROM customers LIMIT 1")...),
		texts("first and nth values", steps(50, "SELECT "+many(50, "nth_value(email, $i + 1) OVER (ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)")+" FROM customers WHERE number BETWEEN $a AND $b LIMIT 1")...),
		texts("row_number and page", steps(50, "SELECT * FROM (SELECT email, row_number() OVER (ORDER BY id) AS n FROM customers) x WHERE n BETWEEN $a AND $b")...),
		{name: "values disguised", view: backwards, take: texts("", steps(50, "SELECT reverse(email), reverse(remark)"+part)...).take},
		texts("words of all texts", "SELECT unnest(tsvector_to_array(to_tsvector('simple', string_agg(remark, ' ')))) FROM customers", "SELECT regexp_split_to_table(string_agg(email, ' '), ' ') FROM customers"),
	}
}

func backwards(b []byte) []byte {
	r := make([]byte, len(b))
	for i, c := range b {
		r[len(b)-1-i] = c
	}
	return r
}

// walk goes from the least to the next one after it, each worker from elsewhere.
func walk(ctx context.Context, t *thief) error {
	return t.each(func(s *session) error {
		from := []string{"c", "ci", "cq", "cz"}[s.n]
		for range 600 {
			value, err := s.ask(ctx, fmt.Sprintf("SELECT min(email) FROM customers WHERE email > '%s'", from))
			if err != nil {
				return err
			}
			if value == "" {
				return nil
			}
			from = value
		}
		return nil
	})
}

// ask gives the first value of an answer; "" when there is none.
func (s *session) ask(ctx context.Context, sql string) (string, error) {
	conn, err := s.open(ctx)
	if err != nil {
		return "", err
	}
	results, err := conn.Exec(ctx, sql).ReadAll()
	return firstOf(results), s.t.ended(ctx, err)
}

func firstOf(results []*pgconn.Result) string {
	for _, r := range results {
		if len(r.Rows) > 0 && len(r.Rows[0]) > 0 {
			return string(r.Rows[0][0])
		}
	}
	return ""
}

// differences subtracts sums over many from sums over one more.
func differences(ctx context.Context, t *thief) error {
	return t.each(func(s *session) error {
		before := int64(0)
		for n := s.n*2500 + 20; n < s.n*2500+400; n++ {
			value, err := s.ask(ctx, fmt.Sprintf("SELECT sum(id) FROM customers WHERE number BETWEEN %d AND %d", s.n*2500+1, n))
			if err != nil {
				return err
			}
			sum, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				before = 0
				continue
			}
			if before > 0 {
				t.haul.look([]byte(strconv.FormatInt(sum-before, 10)))
			}
			before = sum
		}
		return nil
	})
}

// nesting hides what is read in sub-selects.
func nesting() []evasion {
	const part = "FROM customers WHERE number BETWEEN $a AND $b"
	return []evasion{
		texts("a sub-select in FROM", steps(50, "SELECT x.* FROM (SELECT email, phone "+part+") x")...),
		texts("a sub-select that renames", steps(50, "SELECT x.a, x.b FROM (SELECT email || '!', number "+part+" OFFSET 0) x (a, b)")...),
		texts("a CTE", steps(50, "WITH x AS (SELECT * "+part+") SELECT email FROM x")...),
		texts("a CTE, MATERIALIZED", steps(50, "WITH x AS MATERIALIZED (SELECT email, phone "+part+") SELECT * FROM x")...),
		texts("a CTE, read twice", steps(100, "WITH x AS (SELECT number, email "+part+") SELECT a.email, b.email FROM x a JOIN x b ON b.number = a.number + 50")...),
		texts("a recursive CTE", steps(50, "WITH RECURSIVE x (n, e) AS (SELECT $a, '' UNION ALL SELECT n + 1, e || coalesce((SELECT email FROM customers WHERE number = n + 1), '') FROM x WHERE n < $b) SELECT e FROM x ORDER BY n DESC LIMIT 1")...),
		texts("a recursive CTE over customers", steps(50, "WITH RECURSIVE x AS (SELECT number, email FROM customers WHERE number = $a + 1 UNION ALL SELECT c.number, c.email FROM x JOIN customers c ON c.number = x.number + 1 WHERE c.number < $b) SELECT email FROM x")...),
		texts("LATERAL", steps(50, "SELECT x.email FROM generate_series($a, $b) n, LATERAL (SELECT email FROM customers WHERE number = n) x")...),
		texts("LATERAL aggregates", steps(200, "SELECT n, x.e FROM generate_series($a, $b, 20) n, LATERAL (SELECT string_agg(email, ',') AS e FROM customers WHERE number BETWEEN n AND n + 20) x")...),
		texts("scalar sub-selects", steps(50, "SELECT "+many(50, "(SELECT email FROM customers WHERE number = $a + $i)"))...),
		texts("scalar sub-selects beside a row that is known", steps(50, "SELECT id, "+many(50, "(SELECT email FROM customers WHERE number = $a + $i)")+" FROM customers WHERE number = 77")...),
		texts("scalar sub-selects, put together", steps(50, "SELECT concat("+many(50, "(SELECT email FROM customers WHERE number = $a + $i)")+")")...),
		texts("ARRAY of a sub-select", steps(50, "SELECT ARRAY(SELECT email "+part+")")...),
		texts("sub-selects in VALUES", steps(50, "VALUES "+many(50, "((SELECT email FROM customers WHERE number = $a + $i))"))...),
		texts("set-returning functions", append(steps(50, "SELECT unnest(ARRAY(SELECT email "+part+"))"), steps(50, "SELECT * FROM json_array_elements((SELECT json_agg(email) "+part+"))")...)...),
		texts("XMLTABLE", steps(50, "SELECT x.* FROM XMLTABLE('/r/c' PASSING (SELECT xmlelement(name r, xmlagg(xmlelement(name c, email))) "+part+") COLUMNS e text PATH '.') x")...),
		texts("CASE and COALESCE of sub-selects", steps(50, "SELECT coalesce("+many(50, "nullif((SELECT email FROM customers WHERE number = $a + $i), '')")+"), CASE WHEN true THEN (SELECT string_agg(email, '') "+part+") END")...),
		texts("ORDER BY and LIMIT inside", steps(20, "SELECT (SELECT email FROM customers ORDER BY number LIMIT 1 OFFSET $a), (SELECT email FROM customers ORDER BY number LIMIT 1 OFFSET $b)")...),
		texts("views", append(steps(50, "SELECT * FROM directory WHERE number BETWEEN $a AND $b"), "SELECT * FROM directory", "SELECT email FROM directory ORDER BY id DESC")...),
		texts("a view that gathers", "SELECT * FROM cities", "SELECT emails FROM cities ORDER BY city DESC"),
	}
}

// rowShapes gives rows in other shapes.
func rowShapes() []evasion {
	const part = " FROM customers c WHERE number BETWEEN $a AND $b"
	return []evasion{
		texts("whole rows", steps(50, "SELECT c"+part)...),
		texts("whole rows as text", steps(50, "SELECT c::text"+part)...),
		texts("row_to_json and to_jsonb", append(steps(100, "SELECT row_to_json(c)"+part), steps(100, "SELECT to_jsonb(c) ->> 'email'"+part)...)...),
		texts("parts of a row", steps(50, "SELECT (c).email, (c).*"+part)...),
		texts("ROW and json_build_object", append(steps(100, "SELECT ROW(email, phone)"+part), steps(100, "SELECT json_build_object('e', email, 'p', phone)"+part)...)...),
		texts("format and concat", steps(50, "SELECT format('%s %s', email, phone), concat_ws(';', id, email), quote_literal(email)"+part)...),
		texts("whole rows of an alias", steps(50, "SELECT x FROM (SELECT email, phone"+part+") x")...),
		texts("keys alone", append(steps(200, "SELECT id"+part), steps(200, "SELECT id + 0, -id"+part)...)...),
		texts("keys as something else", append(steps(100, "SELECT id::text"+part), steps(100, "SELECT ARRAY[id], ROW(id)"+part)...)...),
	}
}
