-- # what is seen
\pset pager off
SELECT id, first_name, last_name, email, birth_date, loyalty_no, left(device_id, 12) AS device, last_ip, postcode, credit_limit, notes, country FROM customers ORDER BY id;
SELECT country, count(*), round(avg(credit_limit)) AS credit FROM customers GROUP BY country ORDER BY country;
SELECT extract(decade FROM birth_date) AS decade, region, count(*) FROM customers GROUP BY 1, 2 ORDER BY 1, 2
\crosstabview decade region count
SELECT id FROM customers WHERE loyalty_no = :'loyalty';
SELECT status, sum(total), count(DISTINCT loyalty_no) FROM orders JOIN customers c ON c.id = customer_id GROUP BY ROLLUP (status) ORDER BY 1;
SELECT id, rank() OVER (PARTITION BY region ORDER BY credit_limit DESC, id) FROM customers ORDER BY region, 2 LIMIT 4;
SELECT id, body FROM tickets ORDER BY id LIMIT 2;
CREATE TEMP TABLE mine AS SELECT id, country FROM customers;
\copy (SELECT country, count(*) FROM customers GROUP BY 1 ORDER BY 1) TO pstdout CSV HEADER
EXPLAIN (COSTS OFF) SELECT count(*) FROM customers WHERE region = 'EU';
-- # what is refused
SELECT email FROM customers WHERE email = :'email';
SELECT card FROM customers;
SELECT count(*) FROM consents;
INSERT INTO orders (customer_id, placed_at, status, total) VALUES (1, now(), 'new', 1);
SELECT * FROM customers FOR UPDATE;
