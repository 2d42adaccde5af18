package main

// sidelong are ways in which answers tell of rows that they are not made of.
func sidelong() []evasion {
	closed := func(e evasion) evasion {
		e.closed = true
		return e
	}
	spends := func(e evasion) evasion {
		e.spends = true
		return e
	}
	return []evasion{
		spends(texts("errors that carry values", some(1500, steps(1, "SELECT (SELECT email FROM customers WHERE number = $a + 1)::integer"))...)),
		spends(texts("errors of conversions in conditions", some(1500, steps(1, "SELECT 1 FROM customers WHERE number = $a + 1 AND remark::integer = 1"))...)),
		spends(texts("errors of dates, arrays and documents", some(1500, steps(1, "SELECT email::date FROM customers WHERE number = $a; SELECT ('{' || remark)::int[] FROM customers WHERE number = $a"))...)),
		spends(texts("failing rows of checks", some(1500, steps(1, "UPDATE customers SET balance = -1 WHERE number = $a"))...)),
		spends(texts("failing rows of NOT NULL", some(1500, steps(1, "UPDATE customers SET name = null WHERE number = $a"))...)),
		spends(texts("keys that are taken", some(1500, steps(1, "INSERT INTO customers SELECT * FROM customers WHERE number = $a + 1"))...)),
		spends(texts("keys that are taken, by UPDATE", some(1500, steps(1, "UPDATE customers SET email = (SELECT email FROM customers WHERE number = $a + 1) WHERE number = $a + 2"))...)),
		spends(texts("keys that are referred to", some(1500, steps(1, "DELETE FROM customers WHERE number = $a"))...)),
		texts("notices that carry values", some(200, steps(10, "DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM customers WHERE number BETWEEN $a AND $b LOOP RAISE NOTICE '%', r.email; END LOOP; END $$"))...),
		texts("exceptions that carry values", some(1500, steps(1, "DO $$ BEGIN RAISE EXCEPTION '%', (SELECT email FROM customers WHERE number = $a + 1); END $$"))...),
		closed(texts("EXPLAIN ANALYZE", some(500, steps(1, "EXPLAIN (ANALYZE, VERBOSE) SELECT email FROM customers WHERE number = $a"))...)),
		closed(texts("statistics of the planner", "SELECT histogram_bounds, most_common_vals FROM pg_stats WHERE tablename = 'customers'", "SELECT * FROM pg_stats", "SELECT stavalues1 FROM pg_statistic")),
		closed(texts("what others send", "SELECT query FROM pg_stat_activity", "SELECT * FROM pg_prepared_statements", "SELECT * FROM pg_cursors")),
		texts("XML of tables and queries", "SELECT query_to_xml('SELECT email FROM customers', true, false, '')", "SELECT table_to_xml('customers', true, false, '')", "SELECT schema_to_xml('public', true, false, '')", "SELECT database_to_xml(true, false, '')"),
		texts("words by ts_stat", "SELECT word FROM ts_stat('SELECT to_tsvector(''simple'', remark) FROM customers')"),
		closed(texts("files and programs", "COPY customers TO PROGRAM 'cat >&2'", "COPY customers TO '/tmp/pgveil-redteam-customers'", "SELECT pg_read_file('/etc/hostname')")),
		closed(texts("functions of one's own", "CREATE FUNCTION f() RETURNS SETOF text LANGUAGE sql AS 'SELECT email FROM customers'; SELECT f()")),
	}
}
