package pgload_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgtest"
)

const versionSchema = `
	CREATE SCHEMA crm;
	CREATE TYPE crm.stage AS ENUM ('lead');
	CREATE TABLE crm.customers (id int PRIMARY KEY, name text);
	CREATE TABLE crm.orders (id int PRIMARY KEY, customer_id int);
	CREATE TABLE crm.events (id int) PARTITION BY LIST (id);
	CREATE TABLE crm.events1 (id int);
	CREATE TABLE crm.parent (id int);
	CREATE VIEW crm.names AS SELECT name FROM crm.customers;
	CREATE FUNCTION crm.f() RETURNS int LANGUAGE sql AS 'SELECT 1'`

func version(t *testing.T, conn *pgx.Conn) uint64 {
	t.Helper()
	v, err := pgload.Version(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVersionChanges(t *testing.T) {
	conn := connect(t, versionSchema)
	for _, sql := range []string{
		"CREATE TABLE crm.more (id int)",
		"ALTER TABLE crm.more RENAME TO most",
		"DROP TABLE crm.most",
		"ALTER TABLE crm.customers ADD email text",
		"ALTER TABLE crm.customers RENAME email TO mail",
		"ALTER TABLE crm.customers ALTER mail TYPE varchar(30)",
		"ALTER TABLE crm.customers ALTER mail SET NOT NULL",
		"ALTER TABLE crm.customers ALTER mail SET DEFAULT ''",
		"ALTER TABLE crm.customers ALTER mail DROP DEFAULT",
		"ALTER TABLE crm.customers DROP mail",
		"ALTER TABLE crm.orders ADD CONSTRAINT fk FOREIGN KEY (customer_id) REFERENCES crm.customers",
		"ALTER TABLE crm.orders RENAME CONSTRAINT fk TO key",
		"ALTER TABLE crm.orders DROP CONSTRAINT key, DROP CONSTRAINT orders_pkey",
		"ALTER TABLE crm.events ATTACH PARTITION crm.events1 DEFAULT",
		"ALTER TABLE crm.events DETACH PARTITION crm.events1",
		"ALTER TABLE crm.events1 INHERIT crm.parent",
		"CREATE OR REPLACE VIEW crm.names AS SELECT upper(name) AS name FROM crm.customers",
		"CREATE OR REPLACE FUNCTION crm.f() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'",
		"ALTER FUNCTION crm.f() IMMUTABLE",
		"DROP FUNCTION crm.f()",
		"ALTER TYPE crm.stage RENAME TO phase",
		"CREATE OPERATOR crm.<=> (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl)",
		"ALTER TABLE crm.orders SET SCHEMA public",
		"ALTER SCHEMA crm RENAME TO mrc",
	} {
		before := version(t, conn)
		run(t, conn, sql)
		if after := version(t, conn); after == before {
			t.Errorf("the version is the same after %s", sql)
		}
	}
}

// A transaction that began first may commit last: the greatest transaction
// number then says nothing.
func TestVersionSeesLateCommit(t *testing.T) {
	conn := connect(t, versionSchema)
	other := pgtest.Connect(t, conn.Config().ConnString())
	late, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Exec(t.Context(), "ALTER TABLE crm.customers RENAME name TO full_name"); err != nil {
		t.Fatal(err)
	}
	run(t, conn, "ALTER TABLE crm.orders ADD total int")
	before := version(t, conn)
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if version(t, conn) == before {
		t.Error("the version is the same after the commit")
	}
}

func TestVersionStays(t *testing.T) {
	conn := connect(t, versionSchema)
	before := version(t, conn)
	for _, sql := range []string{
		"SELECT 1",
		"INSERT INTO crm.customers VALUES (1, 'x')",
		"ANALYZE crm.customers",
		"VACUUM FREEZE crm.customers",
		"TRUNCATE crm.customers",
		"VACUUM FULL crm.customers",
		"CREATE TEMP TABLE passing (id int PRIMARY KEY, other int REFERENCES passing)",
		"DROP TABLE passing",
		"GRANT SELECT ON crm.customers TO PUBLIC",
		"BEGIN; CREATE TABLE crm.never (id int); ROLLBACK",
	} {
		run(t, conn, sql)
		if version(t, conn) != before {
			t.Errorf("the version changed after %s", sql)
			before = version(t, conn)
		}
	}
}

func TestVersionOfDatabases(t *testing.T) {
	a, b := connect(t, ""), connect(t, "")
	if version(t, a) == version(t, b) {
		t.Error("two databases have the same version")
	}
	if version(t, a) != version(t, pgtest.Connect(t, a.Config().ConnString())) {
		t.Error("two sessions see different versions")
	}
}
