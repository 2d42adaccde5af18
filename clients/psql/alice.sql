-- # what there is
\pset pager off
\dt
\d customers
\d+ orders
\d tickets
\di
\ds
\dn
\df public.*
\dT
\dp customers
\l template0
\du alice
\dx
\dC inet
\dconfig work_mem
-- # what is seen
SELECT id, first_name, last_name, email, phone, card, birth_date, loyalty_no, device_id, last_ip, postcode, credit_limit, notes FROM customers ORDER BY id;
\x
SELECT * FROM customers WHERE id = 1;
TABLE tickets ORDER BY id LIMIT 1;
\x
SELECT customers FROM customers WHERE id = 1;
SELECT to_jsonb(c) - 'created_at' FROM customers c WHERE id = 2;
SELECT id, card FROM customers WHERE card = :'card';
SELECT id FROM customers WHERE email = :'email';
SELECT status, country, count(*) FROM orders JOIN customers c ON c.id = customer_id GROUP BY 1, 2 ORDER BY 1, 2
\crosstabview status country count
SELECT *, 'more' AS more FROM customers \gdesc
SELECT max(email) AS email FROM customers \gset
\echo :email
SELECT format('SELECT count(*) AS %I FROM %I', t, t) FROM unnest(ARRAY['customers', 'orders']) t \gexec
SELECT 1 AS one \; SELECT id, email FROM customers WHERE id = 1 \; SELECT 3 AS three;
\set FETCH_COUNT 2
SELECT id, last_name FROM customers ORDER BY id;
\unset FETCH_COUNT
\copy (SELECT id, email FROM customers ORDER BY id) TO pstdout
\copy customers (id, email) TO pstdout
COPY (SELECT id, phone FROM customers ORDER BY id) TO STDOUT (FORMAT csv, HEADER);
PREPARE p (int) AS SELECT id, email FROM customers WHERE id = $1;
EXECUTE p (2);
DEALLOCATE p;
BEGIN; DECLARE c CURSOR FOR SELECT id, email FROM customers ORDER BY id; FETCH 1 FROM c; FETCH 2 FROM c; COMMIT;
-- # what is refused
SELECT ssn FROM customers;
\copy customers (id, ssn) TO pstdout
\copy customers FROM pstdin
DELETE FROM customers WHERE id = 1;
DROP TABLE customers;
SELECT 1 \; SELECT ssn FROM customers \; SELECT 3;
BEGIN;
SELECT ssn FROM customers;
\echo :SQLSTATE
SELECT 'not any more';
ROLLBACK;
SELECT 'again' AS again;
\set ON_ERROR_ROLLBACK on
BEGIN;
SELECT ssn FROM customers;
SELECT 'the transaction goes on' AS so;
COMMIT;
\set ON_ERROR_ROLLBACK off
SELECT rolname, rolpassword FROM pg_authid;
SELECT most_common_vals FROM pg_stats WHERE tablename = 'customers';
SELECT pg_read_file('postgresql.conf');
SELECT lo_import('/etc/passwd');
SET ROLE dora;
SELECT query_to_xml('SELECT * FROM customers', true, false, '');
\sf lower(text)
SELEC;
-- # what is written
UPDATE customers SET email = email, phone = '+49 30 0', notes = notes WHERE id = 2 AND false;
UPDATE customers SET country = 'IT', email = 'a***@example.de', card = '************1111' WHERE id = 1 RETURNING id, email, card, country;
INSERT INTO tickets (customer_id, region, subject, body, opened_at) VALUES (1, 'EU', 'by psql', 'Write to anna@example.org', '2026-11-22') RETURNING id, subject, body;
UPDATE customers SET region = 'US' WHERE id = 1;
