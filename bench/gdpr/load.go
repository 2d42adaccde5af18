package main

import (
	"context"
	_ "embed"

	"github.com/jackc/pgx/v5"
)

//go:embed schema.sql
var schema string

//go:embed policy.yaml
var policyText string

// What the rows beside the customers are, in shares of ten: orders, a line and a
// bit for each, tickets, and visits of the last two hundred weeks. %[1]d are the
// customers, %[2]d a tenth of the rows.
const fill = `
INSERT INTO customers SELECT g, 'name ' || g, 'user' || g || '@example.org', '+49 170 ' || 1000000 + g, 'city ' || g %% 1000 FROM generate_series(1, %[1]d) g;
INSERT INTO orders SELECT g, g::bigint * 7919 %% %[1]d + 1, g %% 1000 FROM generate_series(1, 3 * %[2]d) g;
INSERT INTO order_lines SELECT g, g::bigint * 7907 %% (3 * %[2]d) + 1, 'item ' || g %% 500 FROM generate_series(1, 4 * %[2]d) g;
INSERT INTO tickets SELECT g, g::bigint * 7901 %% %[1]d + 1, 'what was asked ' || g FROM generate_series(1, %[2]d) g;
INSERT INTO visits SELECT g, g::bigint * 7883 %% %[1]d + 1, '/page/' || g %% 90, date '2022-01-01' + g %% 1400 FROM generate_series(1, 2 * %[2]d) g;
CREATE INDEX ON orders (customer_id);
CREATE INDEX ON order_lines (order_id);
CREATE INDEX ON tickets (customer_id);
CREATE INDEX ON visits (customer_id);
CREATE INDEX ON visits (seen)`

// logins are those of the policy. They may do on the server what pgveil lets them.
const logins = `
CREATE ROLE customer LOGIN; CREATE ROLE controller LOGIN; CREATE ROLE processor LOGIN; CREATE ROLE regulator LOGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO customer, controller, processor`

// byHand is what an application keeps itself, without pgveil, to answer the same
// questions: who agreed, who objected, who was read by whom, who was erased.
const byHand = `
CREATE TABLE consents (customer_id integer PRIMARY KEY);
CREATE TABLE objections (customer_id integer PRIMARY KEY);
CREATE TABLE reads (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(), who text NOT NULL, customer_id integer NOT NULL);
CREATE INDEX ON reads (customer_id);
CREATE INDEX ON reads (at);
CREATE TABLE erased (customer_id integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`

// Who agreed and who objected before the run begins, on either side.
const (
	consented      = `INSERT INTO consents SELECT id FROM customers WHERE id % 10 < 7; INSERT INTO objections SELECT id FROM customers WHERE id % 50 = 0`
	consentedThere = `INSERT INTO pgveil.customer_consents SELECT id, 'newsletter', 'infinity', now(), gen_random_uuid() FROM customers WHERE id % 10 < 7;
INSERT INTO pgveil.customer_restrictions SELECT id, 'analytics', 'objection', now(), gen_random_uuid() FROM customers WHERE id % 50 = 0`
)

// execute runs texts of several statements.
func execute(ctx context.Context, conn *pgx.Conn, texts ...string) error {
	for _, sql := range texts {
		if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return err
		}
	}
	return nil
}
