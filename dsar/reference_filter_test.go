package dsar

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/state"
)

const filterPolicy = `
version: 1
mode: enforce
classes: {open: ["public.*.*"]}
purposes: {news: {basis: consent, consent: news}, support: {basis: contract}}
roles: {r: {purposes: [news, support], tables: [{on: ["public.*"]}]}}
users: {u: {roles: r}}
subjects:
  customer:
    table: public.customers
    key: id
    ledger: true
    references:
      - {from: public.notes.owner_id, where: {owner_type: customer}}
      - {from: public.notes.owner_id, where: {owner_type: order}, to: public.orders.id}
      - {from: public.events.payload, path: customer.id}
      - {from: public.teams.members}
      - {from: public.mails.address, to: email, ignore_case: true}
      - {from: public.visits.customer_ref}
      - {from: public.tags.note_id, to: public.notes.id}
`

// What the policy says of consent and restriction holds for rows that refer in
// another way than a foreign key; where nobody can say whether all whom a row
// names consent, it is not shown.
func TestReferencesFilter(t *testing.T) {
	conn := database(t, "", `
		CREATE TABLE customers (id int PRIMARY KEY, email text);
		CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers);
		CREATE TABLE notes (id int PRIMARY KEY, owner_type text, owner_id int);
		CREATE TABLE events (id int, payload jsonb);
		CREATE TABLE teams (id int, members int[]);
		CREATE TABLE mails (id int, address text);
		CREATE TABLE visits (id int, customer_ref text);
		CREATE TABLE tags (id int, note_id int);
		INSERT INTO customers VALUES (1, 'Ada@b.c'), (2, 'bob@b.c'), (3, 'cyd@b.c');
		INSERT INTO orders VALUES (10, 1), (20, 2), (30, 3), (40, NULL);
		INSERT INTO notes SELECT 100 * row_number() OVER (), * FROM (VALUES ('customer', 1), ('customer', 2), ('customer', 3), ('order', 10), ('order', 20), ('order', 30), ('other', 1), (NULL, 2), ('order', 40)) AS v;
		INSERT INTO tags SELECT id + 1, id FROM notes;
		INSERT INTO events SELECT id, jsonb_build_object('customer', jsonb_build_object('id', id)) FROM customers;
		INSERT INTO teams VALUES (1, '{1}'), (2, '{3,2}'), (3, '{3}'), (4, '{1,2,3}');
		INSERT INTO mails VALUES (1, 'ada@b.c'), (2, 'BOB@b.c'), (3, 'nobody');
		INSERT INTO visits VALUES (1, '1'), (2, '2'), (3, '3'), (4, 'x')`)
	doc, err := policy.Parse(policy.File{Name: "filter.yaml", Text: filterPolicy})
	if err != nil {
		t.Fatal(err)
	}
	cat, err := pgload.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	cat = policy.Implied(doc, cat)
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), state.Schema(Ledgers(set)...)); err != nil {
		t.Fatal(err)
	}
	// Customer 1 consents, 2 has the processing restricted, 3 did neither.
	for _, sql := range []string{
		"INSERT INTO pgveil.customer_consents (subject, consent, until, given, record) VALUES (1, 'news', 'infinity', now(), '00000000-0000-0000-0000-000000000001')",
		"INSERT INTO pgveil.customer_restrictions (subject, purpose, kind, since, record) VALUES (2, '', 'restriction', now(), '00000000-0000-0000-0000-000000000002')",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		table, news, support string
		keys                 bool // it can be said whose a row is
	}{
		{"customers", "[1]", "[1 3]", true},
		{"visits", "[1]", "[1 3 4]", true},
		{"notes", "[100 400]", "[100 300 400 600 700 800 900]", false},
		{"tags", "[101 401]", "[101 301 401 601 701 801 901]", false},
		{"events", "[]", "[1 3]", false},
		{"teams", "[]", "[1 3]", false},
		{"mails", "[]", "[1 3]", false},
	} {
		r, _ := cat.Relation(nil, "public", tt.table)
		if _, ok := set.SubjectKeys(r); ok != tt.keys {
			t.Errorf("SubjectKeys(%s): ok is %v", tt.table, ok)
		}
		for purpose, want := range map[string]string{"news": tt.news, "support": tt.support} {
			access, err := set.Access("u", purpose)
			if err != nil {
				t.Fatal(err)
			}
			of := access.Relation(r)
			for _, form := range []func(policy.Condition) string{
				func(c policy.Condition) string { return c.ByRow },
				func(c policy.Condition) string { return c.ByIndex },
				func(c policy.Condition) string { return c.ByJoin },
			} {
				where := "true"
				for _, c := range []policy.Condition{of.Consent, of.Restriction} {
					if sql := form(c); sql != "" {
						where += " AND " + sql
					}
				}
				got := query[int](t, conn, fmt.Sprintf("SELECT id FROM public.%s AS pgveil_t WHERE %s ORDER BY id", tt.table, where))
				if diff := cmp.Diff(want, fmt.Sprint(got)); diff != "" {
					t.Errorf("%s for %s by %s: %s", tt.table, purpose, where, diff)
				}
			}
		}
	}
}
