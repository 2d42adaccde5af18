package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// exported is what a check reads of an export.
type exported struct {
	Tables map[string][]json.RawMessage `json:"tables"`
	Counts map[string]int               `json:"counts"`
}

const shownLines = 8 // of an export

func (t *tour) privacyExport(ctx context.Context) error {
	petra, err := t.as(ctx, "petra", "privacy")
	if err != nil {
		return err
	}
	sql := "PRIVACY EXPORT customer " + t.hero + ";"
	t.out.statement(petra.name, sql)
	a, err := petra.ask(ctx, sql)
	if err != nil {
		return err
	}
	if a.err != nil {
		t.showError(a.err)
		t.fail("the privacy office gets the document", "rows", a.String())
		return nil
	}
	var document strings.Builder
	for _, r := range a.rows {
		document.WriteString(r[0])
	}
	t.beginning(document.String())
	var e exported
	if err := json.Unmarshal([]byte(document.String()), &e); err != nil {
		return fmt.Errorf("reading the export: %w", err)
	}
	if err := t.checkExport(ctx, e); err != nil {
		return err
	}
	alice, err := t.as(ctx, "alice", "support")
	if err != nil {
		return err
	}
	if a, err = alice.ask(ctx, sql); err != nil {
		return err
	}
	t.refused("support may not ask for it", a, "export")
	return nil
}

// beginning shows the first lines, each cut to the width.
func (t *tour) beginning(document string) {
	lines := strings.Split(document, "\n")
	for _, line := range lines[:min(shownLines, len(lines))] {
		if r := []rune(line); len(r) > width-4 {
			line = string(r[:width-5]) + "…"
		}
		t.out.lines(plain, "  ", line)
	}
	t.out.lines(dim, "  ", fmt.Sprintf("… %d lines in all\n", len(lines)))
}

// checkExport compares the counts with the server's.
func (t *tour) checkExport(ctx context.Context, e exported) error {
	var tables []string
	for table := range e.Counts {
		tables = append(tables, table)
	}
	slices.Sort(tables)
	var rows [][]cell
	for _, table := range tables {
		rows = append(rows, row(table, fmt.Sprint(e.Counts[table])))
	}
	t.out.table([]string{"table", "rows"}, rows)
	for _, of := range []struct{ table, sql string }{
		{"crm.customers", "SELECT count(*) FROM crm.customers WHERE id = " + t.hero},
		{"crm.orders", "SELECT count(*) FROM crm.orders WHERE customer_id = " + t.hero},
		{"crm.invoices", "SELECT count(*) FROM crm.invoices JOIN crm.orders ON orders.id = order_id WHERE customer_id = " + t.hero},
		{"crm.tickets", "SELECT count(*) FROM crm.tickets WHERE customer_id = " + t.hero},
		{"crm.activities", "SELECT count(*) FROM crm.activities WHERE customer_id = " + t.hero},
		{"crm.consents", "SELECT count(*) FROM crm.consents WHERE customer_id = " + t.hero},
	} {
		stored, err := t.stored(ctx, of.sql)
		if err != nil {
			return err
		}
		t.check("every row of "+of.table+" is in it", fmt.Sprint(e.Counts[of.table], " ", len(e.Tables[of.table])), stored[0]+" "+stored[0])
	}
	return nil
}

func (t *tour) privacyErase(ctx context.Context) error {
	petra, err := t.as(ctx, "petra", "privacy")
	if err != nil {
		return err
	}
	const count = `SELECT (SELECT count(*) FROM crm.customers), (SELECT count(*) FROM crm.orders), (SELECT count(*) FROM crm.tickets)`
	before, err := t.stored(ctx, count)
	if err != nil {
		return err
	}
	a, err := t.show(ctx, petra, "PRIVACY ERASE customer "+t.hero+" DRY RUN;")
	if err != nil {
		return err
	}
	after, err := t.stored(ctx, count)
	if err != nil {
		return err
	}
	planned := slices.ContainsFunc(a.rows, func(r []string) bool { return slices.Equal(r[:min(2, len(r))], []string{"crm.customers", "1"}) })
	t.holds("it names the customer's own row, and what would become of it", planned, "crm.customers, 1 row", a.String())
	t.check("nothing has changed", after, before)
	done, err := t.entries(ctx, "--kind", "privacy", "--user", "petra")
	if err != nil {
		return err
	}
	t.holds("the access log holds both requests", len(done) >= 2, "2 records or more", fmt.Sprint(len(done)))
	return nil
}

// forgotten is the customer who is erased: somebody with an invoice, whom no other
// step is about.
const forgotten = `SELECT id, email, phone FROM crm.customers WHERE id = (
	SELECT min(c.id) FROM crm.customers AS c JOIN crm.orders AS o ON o.customer_id = c.id JOIN crm.invoices AS i ON i.order_id = o.id
	WHERE c.id > 100 AND c.phone IS NOT NULL)`

func (t *tour) privacyErased(ctx context.Context) error {
	petra, err := t.as(ctx, "petra", "privacy")
	if err != nil {
		return err
	}
	who, err := t.stored(ctx, forgotten)
	if err != nil {
		return err
	}
	a, err := t.show(ctx, petra, "PRIVACY ERASE customer "+who[0]+" VERIFIED BY 'account' BECAUSE 'letter of 3 May';")
	if err != nil {
		return err
	}
	if a.err != nil || len(a.rows) != 1 {
		t.fail("a request is opened", "one row", a.String())
		return nil
	}
	request := a.rows[0][0]
	if err := t.await(ctx, petra, request); err != nil {
		return err
	}
	left, err := t.stored(ctx, `SELECT count(*) FILTER (WHERE c.email = $2 OR c.phone = $3 OR c.card IS NOT NULL OR c.notes IS NOT NULL), count(i.number)
		FROM crm.customers AS c LEFT JOIN crm.orders AS o ON o.customer_id = c.id LEFT JOIN crm.invoices AS i ON i.order_id = o.id WHERE c.id = $1::int`, who...)
	if err != nil {
		return err
	}
	t.check("nothing of the person is left in their row", left[0], "0")
	t.holds("their invoices are kept", left[1] != "0", "1 or more", left[1])
	return t.certificate(ctx, petra, request, who)
}

// await shows a request once it is over.
func (t *tour) await(ctx context.Context, petra *caller, request string) error {
	sql := "PRIVACY SHOW REQUEST " + request + ";"
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	for {
		a, err := petra.ask(ctx, sql)
		if err != nil {
			return err
		}
		over := slices.ContainsFunc(a.rows, func(r []string) bool { return r[2] == "now: completed" })
		if stuck := slices.ContainsFunc(a.rows, func(r []string) bool { return r[2] == "now: failed" || r[2] == "now: review" }); a.err != nil || over || stuck {
			t.out.statement(petra.name, sql)
			for _, r := range a.rows {
				t.out.lines(plain, "  ", strings.TrimSpace(fmt.Sprintf("%-12s %s %s", r[1], r[2], r[3])))
			}
			t.holds("the request is answered", over, "completed", a.String())
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// certificate has the certificate checked with nothing but the public key.
func (t *tour) certificate(ctx context.Context, petra *caller, request string, secrets []string) error {
	a, err := petra.ask(ctx, "PRIVACY SHOW CERTIFICATE "+request)
	if err != nil {
		return err
	}
	if a.err != nil || len(a.rows) != 1 {
		t.fail("there is a certificate", "one row", a.String())
		return nil
	}
	file := "request-" + request + ".json"
	if err := os.WriteFile(t.stand.path(file), []byte(a.rows[0][0]), 0o600); err != nil {
		return err
	}
	t.out.shell("pgveil dsar certificate verify", file, "--key audit.key.pub")
	out, err := t.stand.pgveil(ctx, "dsar", "certificate", "verify", t.stand.path(file), "--key", t.stand.path("audit.key.pub"))
	t.out.lines(plain, "  ", strings.TrimSpace(strings.ReplaceAll(out, t.stand.dir+"/", "")))
	t.holds("the certificate is good", err == nil, "exit status 0", out)
	names := slices.ContainsFunc(secrets[1:], func(s string) bool { return strings.Contains(a.rows[0][0], s) })
	t.holds("it does not say who it was", !names, "neither address nor telephone number", a.rows[0][0])
	return nil
}
