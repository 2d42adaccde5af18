-- What a view's columns are, where that is plain to see.
CREATE SCHEMA app;
SET search_path = app, public;
CREATE TYPE state AS ENUM ('new', 'done');
CREATE TABLE customers (id int PRIMARY KEY, name varchar(40) NOT NULL, email text, state state, born date, credit numeric(10,2));
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id int REFERENCES customers, total numeric(12,2), items smallint, at timestamptz);
CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)';

CREATE VIEW all_customers AS SELECT * FROM customers;
ALTER TABLE customers ADD phone text;
CREATE VIEW public.contacts (who, "Where", phone) AS SELECT name, email, c.phone FROM customers AS c WHERE state = 'new';
CREATE VIEW joined AS
    SELECT c.id, o.*, c.name AS customer, o.order_id::text AS order_no, 'x' AS kind, NULL AS nothing, 1 AS one, 2.5 AS half,
           c.email IS NULL AS unreachable, coalesce(c.email, 'none') AS mail, c.born > '2000-01-01' AS young, true AS yes
      FROM customers c LEFT JOIN orders o (order_id) ON o.customer_id = c.id WHERE o.items > 1;
CREATE VIEW sums AS
    SELECT customer_id, count(*), sum(total) AS total, max(at) AS last, avg(items), sum(items) AS items,
           count(*) FILTER (WHERE total > 5) AS large, row_number() OVER (ORDER BY customer_id) AS n
      FROM orders GROUP BY customer_id;
CREATE VIEW nested AS
    WITH customers AS (SELECT id, upper(name)::varchar(9) AS name FROM customers), more (a, b) AS (SELECT * FROM customers)
    SELECT a, b, (SELECT count(*) FROM orders WHERE customer_id = more.a), EXISTS (SELECT FROM orders), x.total,
           CASE WHEN a > 1 THEN b ELSE 'none' END, shout(b), ARRAY(SELECT items FROM orders), 'new'::state, b::state::text AS c
      FROM more, LATERAL (SELECT total FROM orders o WHERE o.customer_id = a) x;
CREATE VIEW used AS SELECT * FROM orders JOIN (SELECT id AS customer_id, name FROM customers) c USING (customer_id);
CREATE VIEW both_arms AS SELECT id, name FROM customers UNION ALL SELECT 0, 'x' EXCEPT SELECT customer_id, NULL FROM orders;
CREATE VIEW literals (a) AS SELECT 'x' UNION SELECT NULL;
CREATE RECURSIVE VIEW numbers (n) AS SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10;
CREATE MATERIALIZED VIEW totals (customer, spent) AS SELECT customer_id, sum(total)::numeric(14,2) FROM orders GROUP BY 1 WITH NO DATA;
CREATE OR REPLACE VIEW all_customers AS SELECT id, name, email, state, born, credit, phone FROM customers;
CREATE VIEW catalogs AS SELECT relname, relkind, current_date, current_user FROM pg_class;
CREATE VIEW math AS SELECT total * items AS a, items + 1 AS b, id - customer_id AS c, name || ' ' || email AS d FROM orders NATURAL JOIN (SELECT name, email, id AS customer_id FROM customers) x;
INSERT INTO customers (id, name) VALUES (1, 'x');
