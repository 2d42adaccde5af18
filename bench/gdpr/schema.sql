CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL, email text NOT NULL, phone text NOT NULL, city text NOT NULL);
CREATE UNIQUE INDEX ON customers (email);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer NOT NULL REFERENCES customers, total integer NOT NULL);
CREATE TABLE order_lines (id integer PRIMARY KEY, order_id integer NOT NULL REFERENCES orders, item text NOT NULL);
CREATE TABLE tickets (id integer PRIMARY KEY, customer_id integer NOT NULL REFERENCES customers, body text NOT NULL);
CREATE TABLE visits (id integer PRIMARY KEY, customer_id integer NOT NULL REFERENCES customers, page text NOT NULL, seen date NOT NULL);
