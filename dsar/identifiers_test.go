package dsar

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/sweep"
)

const identifyingPolicy = `
version: 1
mode: enforce
classes:
  open: ["public.*.*"]
  phone: {columns: ["public.*.phone"], identifies: true}
subjects:
  customer:
    table: public.customers
    key: id
    find_by: [email]
    references:
      - {from: public.notes.owner_id, where: {owner_type: customer}}
      - {from: public.mails.address, to: email, ignore_case: true}
      - {from: public.events.payload, path: customer.id}
`

// What a subject is known by is collected, and found again wherever it stands.
func TestIdentifiers(t *testing.T) {
	conn := database(t, "", `
		CREATE TABLE customers (id int PRIMARY KEY, email text, phone text, name text);
		CREATE TABLE visits (customer_id int REFERENCES customers, at date) PARTITION BY RANGE (at);
		CREATE TABLE visits_26 PARTITION OF visits DEFAULT;
		CREATE TABLE phones (customer_id int NOT NULL REFERENCES customers, phone text, shared_with int REFERENCES customers);
		CREATE TABLE notes (owner_type text, owner_id int, body text);
		CREATE TABLE mails (address text, body text);
		CREATE TABLE events (payload jsonb);
		INSERT INTO customers VALUES (42, 'ada@example.com', '+49 151 1234567', 'Ada'), (43, 'bob@example.com', '', 'Bob');
		INSERT INTO visits VALUES (42, '2026-01-01'), (43, '2026-01-01');
		INSERT INTO phones VALUES (42, '+49 30 7654321', NULL), (42, '+49 30 7654321', NULL), (43, '+49 30 1111111', NULL);
		INSERT INTO notes VALUES ('customer', 42, 'x'), ('order', 42, 'x'), ('customer', 43, 'call ADA@example.com, 0151/1234567');
		INSERT INTO mails VALUES ('Ada@example.com', 'Dear Ada');
		INSERT INTO events VALUES ('{"customer": {"id": "42"}}'), ('{"quantity": 42}')`)
	doc, err := policy.Parse(policy.File{Name: "identifying.yaml", Text: identifyingPolicy})
	if err != nil {
		t.Fatal(err)
	}
	g, err := compile(t, conn, doc, "customer")
	if err != nil {
		t.Fatal(err)
	}
	var needles []sweep.Needle
	in := func(f func(tx pgx.Tx) error) {
		t.Helper()
		if err := pgx.BeginFunc(t.Context(), conn, f); err != nil {
			t.Fatal(err)
		}
	}
	in(func(tx pgx.Tx) error {
		if needles, err = g.Identifiers(t.Context(), tx, byKey("42")); err != nil {
			return err
		}
		if path := query[string](t, conn, "SHOW search_path"); path[0] == "pg_catalog" {
			t.Error("settings outlast what they are for")
		}
		_, err := g.Identifiers(t.Context(), tx, byKey("secret"))
		wantCode(t, err, privacy.BadKey, "does not fit")
		_, err = g.Identifiers(t.Context(), tx, byKey("44"))
		wantCode(t, err, privacy.NotFound, "no such customer")
		return nil // the transaction is not lost
	})
	var got []string
	for _, n := range needles {
		line := strings.ReplaceAll(n.Name, "public.", "") + " " + n.Value
		for _, c := range n.In {
			line += fmt.Sprintf(" %s.%s", strings.TrimPrefix(c.Relation, "public."), c.Name)
		}
		got = append(got, line)
	}
	want := []string{
		"customers.id 42 phones.customer_id phones.shared_with visits.customer_id visits_26.customer_id notes.owner_id events.payload",
		"customers.email ada@example.com mails.address", "customers.phone +49 151 1234567", "phones.phone +49 30 7654321",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	left := func() (hits []string) {
		t.Helper()
		cat, err := pgload.Load(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		report, err := sweep.Database(t.Context(), conn, cat, needles, sweep.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range report.Hits {
			hits = append(hits, strings.ReplaceAll(fmt.Sprintf("%s in %s.%s %d", h.Needle, h.Relation, h.Column, h.Rows), "public.", ""))
		}
		return hits
	}
	before := []string{
		"customers.email in customers.email 1", "customers.phone in customers.phone 1", "customers.id in events.payload 1",
		"customers.email in mails.address 1", "customers.email in notes.body 1", "customers.phone in notes.body 1", "customers.id in notes.owner_id 1",
		"customers.id in phones.customer_id 2", "phones.phone in phones.phone 2", "customers.id in visits_26.customer_id 1",
	}
	if diff := cmp.Diff(before, left()); diff != "" {
		t.Errorf("before: -want +got:\n%s", diff)
	}
	if _, err := conn.Exec(t.Context(), `
		DELETE FROM phones WHERE customer_id = 42; DELETE FROM visits WHERE customer_id = 42; DELETE FROM mails;
		DELETE FROM notes WHERE owner_type = 'customer' AND owner_id = 42; DELETE FROM events WHERE payload ? 'customer';
		DELETE FROM customers WHERE id = 42`); err != nil {
		t.Fatal(err)
	}
	// What no reference leads to is left, and said.
	if diff := cmp.Diff([]string{"customers.email in notes.body 1", "customers.phone in notes.body 1"}, left()); diff != "" {
		t.Errorf("after: -want +got:\n%s", diff)
	}
}
