package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// sealedRole makes a table that the sample CRM has not, and who pays by it. Its account
// numbers are sealed.
const sealedRole = `CREATE ROLE tess LOGIN PASSWORD 'tess-password';
CREATE TABLE crm.supplier_accounts (id integer PRIMARY KEY, name text NOT NULL, iban text UNIQUE CHECK (iban LIKE 'pgv1.%'), since text);
GRANT USAGE ON SCHEMA crm TO tess; GRANT ALL ON crm.supplier_accounts TO tess`

const sealedFile = `version: 1

classes:
  supplier: [crm.supplier_accounts.id, crm.supplier_accounts.name]
  supplier_account: {columns: [crm.supplier_accounts.iban], seal: deterministic}
  supplier_since: {columns: [crm.supplier_accounts.since], seal: randomized, type: date, bind: row}
roles:
  treasury:
    purposes: [billing]
    tables: [{on: [crm.supplier_accounts], do: [select, insert, update]}]
rules:
  - {role: treasury, for: billing, on: [supplier, supplier_account, supplier_since], show: clear}
users:
  tess: {roles: [treasury]}
`

func (t *tour) sealing(ctx context.Context) error {
	const iban, since = "DE89370400440532013000", "2019-03-01"
	tess, err := t.as(ctx, "tess", "billing")
	if err != nil {
		return err
	}
	saved, err := t.show(ctx, tess, "INSERT INTO crm.supplier_accounts VALUES (1, 'Papierhaus', $1, $2)", iban, since)
	if err != nil {
		return err
	}
	t.check("the application writes an account number as ever", saved.String(), "INSERT 0 1")
	sql := "SELECT name, iban, since FROM crm.supplier_accounts WHERE iban = '" + iban + "'"
	read, err := t.show(ctx, tess, sql)
	if err != nil {
		return err
	}
	t.check("it finds the row by it, and reads what it wrote", read.String(), "Papierhaus | "+iban+" | "+since)
	admin, err := t.show(ctx, t.around(), "SELECT name, iban, since FROM crm.supplier_accounts")
	if err != nil {
		return err
	}
	clear := func(text string) bool { return strings.Contains(text, iban) || strings.Contains(text, since) }
	sealed := admin.String()
	t.holds("the database's administrator has ciphertext", strings.Count(sealed, "pgv1.") == 2 && !clear(sealed), "two values that begin with pgv1.", sealed)
	byValue, err := t.show(ctx, t.around(), sql)
	if err != nil {
		return err
	}
	t.check("who asks the server by the value finds nothing", len(byValue.rows), 0)
	if err := t.dumped(ctx, clear); err != nil {
		return err
	}
	return t.moved(ctx, tess)
}

// moved has the administrator give one row's value to another.
func (t *tour) moved(ctx context.Context, tess *caller) error {
	if _, err := t.show(ctx, tess, "INSERT INTO crm.supplier_accounts VALUES (2, 'Tintenfass', NULL, $1)", "2001-01-01"); err != nil {
		return err
	}
	if _, err := t.show(ctx, t.around(), "UPDATE crm.supplier_accounts SET since = (SELECT since FROM crm.supplier_accounts WHERE id = 2) WHERE id = 1"); err != nil {
		return err
	}
	other, err := t.show(ctx, tess, "SELECT name, since FROM crm.supplier_accounts WHERE id = 1")
	if err != nil {
		return err
	}
	t.holds("a value that was moved to another row does not open there", other.err != nil && other.err.Code == "XX001", "SQLSTATE XX001", other.String())
	return nil
}

// dumped looks for clear values in a dump of the table.
func (t *tour) dumped(ctx context.Context, clear func(string) bool) error {
	bin, err := pgserver.Find()
	if err != nil {
		return err
	}
	dump, err := exec.CommandContext(ctx, filepath.Join(bin, "pg_dump"), "--data-only", "--table", "crm.supplier_accounts", t.stand.server.DSN(database, pgserver.Superuser)).Output()
	if err != nil {
		return err
	}
	t.out.statement("pg_dump", "--data-only --table crm.supplier_accounts")
	text := string(dump)
	for line := range strings.Lines(text) {
		if strings.Contains(line, "pgv1.") {
			t.out.lines(dim, "  ", strings.TrimSpace(line))
		}
	}
	t.holds("a dump of the database has no clear value", strings.Contains(text, "pgv1.") && !clear(text), "a dump without them", text)
	return nil
}
