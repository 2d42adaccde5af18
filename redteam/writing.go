package main

import "fmt"

// writing gets at rows by changing them.
func writing() []evasion {
	const part = " WHERE number BETWEEN $a AND $b"
	return []evasion{
		changing("UPDATE … RETURNING", steps(50, "UPDATE customers SET city = city"+part+" RETURNING *")...),
		texts("UPDATE … RETURNING, rolled back", steps(50, "BEGIN; UPDATE customers SET city = ''"+part+" RETURNING email; ROLLBACK")...),
		texts("DELETE … RETURNING, rolled back", steps(50, "BEGIN; DELETE FROM tickets WHERE id BETWEEN $a AND $b RETURNING body; ROLLBACK")...),
		changing("UPDATE … FROM … RETURNING", steps(50, "UPDATE orders o SET status = o.status FROM customers c WHERE c.id = o.customer_id AND c.number BETWEEN $a AND $b RETURNING c.email")...),
		changing("INSERT … SELECT … RETURNING", steps(50, "INSERT INTO notes (customer_id, body) SELECT id, remark FROM customers"+part+" RETURNING body")...),
		changing("INSERT … ON CONFLICT … RETURNING", steps(50, "INSERT INTO customers SELECT * FROM customers"+part+" ON CONFLICT (id) DO UPDATE SET city = customers.city RETURNING customers.email")...),
		changing("a write in a CTE", steps(50, "WITH x AS (UPDATE customers SET city = city"+part+" RETURNING email) SELECT * FROM x")...),
		changing("a write in a CTE, gathered", steps(50, "WITH x AS (UPDATE customers SET city = city"+part+" RETURNING email) SELECT string_agg(email, ',') FROM x")...),
		{name: "MERGE … RETURNING", since: 17, writes: true, take: texts("", steps(50, "MERGE INTO customers c USING (SELECT id FROM customers WHERE number BETWEEN $a AND $b) x ON x.id = c.id WHEN MATCHED THEN UPDATE SET city = c.city RETURNING c.email")...).take},
		texts("SELECT … FOR UPDATE", steps(50, "SELECT email FROM customers"+part+" FOR UPDATE")...),
		texts("CREATE TEMPORARY TABLE AS", steps(500, "BEGIN; CREATE TEMPORARY TABLE x ON COMMIT DROP AS SELECT email, phone FROM customers"+part+"; SELECT * FROM x; COMMIT")...),
		texts("SELECT INTO a temporary table", steps(500, "BEGIN; SELECT email, phone INTO TEMPORARY x FROM customers"+part+"; SELECT * FROM x; ROLLBACK")...),
		texts("INSERT into a temporary table", steps(500, "BEGIN; CREATE TEMPORARY TABLE x (e text) ON COMMIT DROP; INSERT INTO x SELECT email FROM customers"+part+"; SELECT string_agg(e, ',') FROM x; COMMIT")...),
		texts("one by one into a temporary table", times(workers, "BEGIN; CREATE TEMPORARY TABLE x (e text) ON COMMIT DROP; "+ones(700, "INSERT INTO x SELECT email FROM customers WHERE number = %d; ")+"SELECT * FROM x; COMMIT")...),
		texts("COPY of a temporary table", steps(500, "BEGIN; CREATE TEMPORARY TABLE x ON COMMIT DROP AS SELECT email FROM customers"+part+"; COPY x TO STDOUT; COMMIT")...),
	}
}

// ones fills numbers into a statement, and puts the statements after one another.
func ones(n int, format string) (text string) {
	for i := range n {
		text += fmt.Sprintf(format, i+1)
	}
	return text
}

// laundering makes what is about many stand in rows that are about one, or nobody.
func laundering() []evasion {
	const mine = "(SELECT id FROM customers WHERE number = 77)"
	return []evasion{
		phases("all into a note about one", []string{"INSERT INTO notes (customer_id, body) SELECT " + mine + ", string_agg(email, ',') FROM customers"}, "SELECT body FROM notes WHERE customer_id = "+mine),
		phases("each into a note about one", steps(200, "INSERT INTO notes (customer_id, body) SELECT "+mine+", remark FROM customers WHERE number BETWEEN $a AND $b"), "SELECT body FROM notes WHERE customer_id = "+mine),
		phases("each into a note about one, by VALUES", some(1500, steps(1, "INSERT INTO notes (customer_id, body) VALUES ("+mine+", (SELECT remark FROM customers WHERE number = $a + 1))")), "SELECT body FROM notes WHERE customer_id = "+mine),
		phases("into a note about nobody", steps(200, "INSERT INTO notes (customer_id, body) SELECT null, email FROM customers WHERE number BETWEEN $a AND $b AND email IS NOT NULL"), "SELECT body FROM notes WHERE customer_id IS NULL"),
		phases("into a column that is open, of a guest's order", steps(200, "INSERT INTO orders (customer_id, status, total) SELECT null, email, 1 FROM customers WHERE number BETWEEN $a AND $b AND email IS NOT NULL"), "SELECT status FROM orders WHERE customer_id IS NULL"),
		changing("a column of one set to another's", some(1500, steps(1, "BEGIN; UPDATE customers SET city = coalesce((SELECT email FROM customers WHERE number = $a), '') WHERE number = 77; SELECT city FROM customers WHERE number = 77; ROLLBACK"))...),
		changing("a column of one set to all others'", "BEGIN; UPDATE customers SET remark = (SELECT string_agg(email, ',') FROM customers) WHERE number = 77; SELECT remark FROM customers WHERE number = 77; ROLLBACK"),
		changing("UPDATE … FROM another row", some(1500, steps(1, "BEGIN; UPDATE customers c SET remark = x.remark FROM customers x WHERE c.number = 77 AND x.number = $a; SELECT remark FROM customers WHERE number = 77; ROLLBACK"))...),
		texts("tickets made another's, rolled back", times(workers, "BEGIN; UPDATE tickets SET customer_id = "+mine+"; SELECT body FROM tickets; ROLLBACK")...),
		texts("tickets made another's, and counted as theirs", steps(500, "BEGIN; UPDATE tickets SET customer_id = "+mine+" WHERE id BETWEEN $a AND $b; SELECT customer_id, body FROM tickets WHERE customer_id = "+mine+"; ROLLBACK")...),
		texts("tickets made another's by a key that is known", times(workers, "BEGIN; UPDATE tickets SET customer_id = $own; SELECT body FROM tickets; ROLLBACK")...),
		texts("an upsert that moves rows", times(workers, "BEGIN; INSERT INTO tickets (id, customer_id, subject, body) SELECT n, $own, '', '' FROM generate_series(1, 8000) n ON CONFLICT (id) DO UPDATE SET customer_id = excluded.customer_id; SELECT body FROM tickets; ROLLBACK")...),
		texts("notes made nobody's, rolled back", times(workers, "BEGIN; UPDATE notes SET customer_id = null; SELECT body FROM notes; ROLLBACK")...),
		texts("keys changed, rolled back", some(1500, steps(5, "BEGIN; UPDATE customers SET id = 1 WHERE number = $b; SELECT email, remark FROM customers WHERE id = 1; ROLLBACK"))...),
		texts("keys exchanged, rolled back", some(1500, steps(5, "BEGIN; UPDATE customers SET id = 5 WHERE number = $b; SELECT id, email FROM customers WHERE number = $b; ROLLBACK"))...),
		texts("DELETE of one and INSERT of another under its key", some(1500, steps(5, "BEGIN; INSERT INTO customers SELECT 5, -5, name, null, phone, city, 0, remark FROM customers WHERE number = $b; SELECT * FROM customers WHERE id = 5; ROLLBACK"))...),
		texts("a setting that holds values", append(steps(200, "SELECT set_config('x.y', (SELECT string_agg(email, ',') FROM customers WHERE number BETWEEN $a AND $b), false) IS NULL; SHOW x.y"), times(workers, "SELECT count(set_config('x.y', coalesce(current_setting('x.y', true), '') || email, false)) FROM customers; SHOW x.y")...)...),
		texts("a notification that holds values", steps(100, "LISTEN x; SELECT count(pg_notify('x', email)) FROM customers WHERE number BETWEEN $a AND $b; SELECT 1")...),
		phases("a large object that holds values", steps(1000, "SELECT lo_from_bytea($b, string_agg(email, ',')::bytea) FROM customers WHERE number BETWEEN $a AND $b"), steps(1000, "SELECT convert_from(lo_get($b), 'UTF8')")...),
		texts("a sequence that holds keys", append([]string{"CREATE TEMPORARY SEQUENCE s"}, some(1500, steps(1, "SELECT setval('orders_id_seq', (SELECT id FROM customers WHERE number = $a + 1)) IS NULL; SELECT last_value FROM orders_id_seq"))...)...),
		phases("all into a guest's order", steps(200, "INSERT INTO orders (customer_id, status, total) SELECT null, string_agg(email, ','), 1 FROM customers WHERE number BETWEEN $a AND $b"), "SELECT * FROM orders WHERE customer_id IS NULL"),
	}
}
