-- # connection
\set VERBOSITY verbose
\pset pager off
\conninfo
\encoding
\c - dora
SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid();
-- # what there is
\l template*
\dn+
\d
\d+ customers
\d orders
\dt *.*s
\dt+ public.*
\di
\ds
\dv pg_catalog.pg_s*
\dT
\df public.*
\df+ pg_catalog.lower
\do+ pg_catalog.~~
\dp
\ddp
\du
\drds
\dx
\dy
\dF
\dL
\dO
\dc pg_catalog.utf8_to_w*
\dC integer
\dd
\dD
\dAc btree int*
\dconfig work_mem
\dRp
\dRs
\des
\sf pg_catalog.obj_description(oid, name)
\z customers
-- # how results are shown
\x
SELECT * FROM customers WHERE id = 1;
\x
SELECT status, region, count(*) FROM orders JOIN customers c ON c.id = customer_id GROUP BY 1, 2 ORDER BY 1, 2
\crosstabview status region count
SELECT id, email, card, birth_date, credit_limit FROM customers \gdesc
SELECT format('SELECT count(*) AS %I FROM %I', t, t) FROM unnest(ARRAY['customers', 'orders']) t \gexec
SELECT max(id) AS last FROM customers \gset
\echo :last
CREATE TEMP SEQUENCE watched;
SELECT 1 / (2 - nextval('watched')) AS once \watch 0.01
\a \t
SELECT id, status FROM orders ORDER BY id \g (format=csv)
\a \t
SELECT 1 \; SELECT 2 \; SELECT 3;
\set FETCH_COUNT 3
SELECT id, product FROM order_items JOIN orders ON id = order_id ORDER BY 1, 2;
\unset FETCH_COUNT
\timing off
-- # copying
\copy (SELECT id, name FROM (VALUES (1, 'a'), (2, NULL)) v (id, name)) TO pstdout
CREATE TEMP TABLE copied (id int, name text);
\copy copied FROM pstdin
1	one
2	\N
\.
COPY copied FROM STDIN (FORMAT csv, HEADER);
id,name
3,"three, quoted"
\.
TABLE copied;
COPY copied FROM STDIN;
not a number
\.
COPY copied TO STDOUT (FORMAT csv, FORCE_QUOTE *);
-- # transactions and errors
\set ON_ERROR_ROLLBACK on
BEGIN;
SELECT 1 / 0;
SELECT 'the transaction goes on';
INSERT INTO countries VALUES ('DE', 'again', 'EU');
\echo :SQLSTATE :ROW_COUNT :LAST_ERROR_MESSAGE
COMMIT;
\set ON_ERROR_ROLLBACK off
\set AUTOCOMMIT off
UPDATE orders SET status = 'paid' WHERE id = 9;
ROLLBACK;
\set AUTOCOMMIT on
DO $$ BEGIN RAISE NOTICE 'noticed'; RAISE WARNING 'warned' USING HINT = 'a hint'; END $$;
SELECT nosuch FROM customers;
SELEC;
-- # everything else
LISTEN birds;
SELECT pg_notify('birds', 'tit') IS NULL AS sent \g /dev/null
PREPARE p (int) AS SELECT id, status FROM orders WHERE id = $1;
EXECUTE p (3);
EXPLAIN (COSTS OFF) EXECUTE p (3);
DEALLOCATE p;
BEGIN; DECLARE c SCROLL CURSOR FOR SELECT id FROM orders ORDER BY id; FETCH 2 FROM c; FETCH LAST FROM c; FETCH PRIOR FROM c; COMMIT;
\lo_import run
SELECT count(*) AS large_objects FROM pg_largeobject_metadata;
VACUUM customers;
CREATE INDEX CONCURRENTLY ON customers (created_at);
SET statement_timeout = 50;
SELECT pg_sleep(10);
RESET ALL;
