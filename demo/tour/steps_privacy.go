package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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
