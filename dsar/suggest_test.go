package dsar

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/policy"
)

// without is a CRM as it is without foreign keys.
const withoutKeys = `
	CREATE TABLE customers (id int PRIMARY KEY, uid uuid UNIQUE, email text, no int);
	CREATE TABLE orders (id int PRIMARY KEY, customer_id int, quantity int, state text);
	CREATE TABLE order_lines (id int PRIMARY KEY, "orderId" text, n int);
	CREATE TABLE visits (visitor uuid, page text, customer_id int);
	CREATE TABLE mails (to_email text, subject text);
	CREATE TABLE notes (id int PRIMARY KEY, owner_type varchar(60), owner_id int, body text);
	CREATE TABLE events (id int, payload jsonb, at date) PARTITION BY RANGE (at);
	CREATE TABLE events_all PARTITION OF events DEFAULT;
	CREATE TABLE teams (customer_ids int[]);
	CREATE TABLE linked (customer_id int REFERENCES customers);
	CREATE TABLE strangers (customer_id int, parent_id int);
	CREATE TABLE empty (billing_customer_id bigint, created_by_customer_id int);
	CREATE TABLE "Odd Names" ("Customer ID" int);
	INSERT INTO customers SELECT i, ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, 'secret' || i || '@example.com', 1000 + i FROM generate_series(1, 300) i;
	INSERT INTO orders SELECT 5000 + i, 1 + i % 300, i % 9, 'open' FROM generate_series(1, 1000) i;
	INSERT INTO order_lines SELECT i, 5000 + i, i FROM generate_series(1, 900) i;
	INSERT INTO visits SELECT uid, '/secret', CASE WHEN id < 250 THEN id ELSE 9000 + id END FROM customers;
	INSERT INTO mails SELECT upper(email), 'hello' FROM customers; INSERT INTO mails SELECT 'nobody' || i || '@example.org', '' FROM generate_series(1, 100) i;
	INSERT INTO notes SELECT i, CASE i % 3 WHEN 0 THEN 'App\Models\Customer' WHEN 1 THEN 'Order' ELSE 'secret value' END, CASE i % 3 WHEN 0 THEN i ELSE 5000 + i END, 'x' FROM generate_series(1, 250) i;
	INSERT INTO events SELECT i, jsonb_build_object('customer', jsonb_build_object('id', i), 'n', i, 'who', jsonb_build_array(jsonb_build_object('uid', (SELECT uid FROM customers c WHERE c.id = i))), 'secret' || i || '@example.com', jsonb_build_object('customer_id', i)), '2026-01-01' FROM generate_series(1, 100) i;
	INSERT INTO teams SELECT ARRAY[i, i + 1] FROM generate_series(1, 50) i;
	INSERT INTO linked SELECT 1; INSERT INTO strangers SELECT 90000 + i, i FROM generate_series(1, 100) i;
	CREATE TABLE raw (j json);
	INSERT INTO raw VALUES ('{"customer_id": "\u0000"}'), ('{"customer_id": 7}'), ('[[[[[[[[1]]]]]]]]'), ('null'), (NULL); INSERT INTO raw SELECT json_agg(i) FROM generate_series(1, 100000) i;
	INSERT INTO "Odd Names" SELECT i FROM generate_series(1, 100) i;
	ANALYZE`

func suggested(t *testing.T, conn *pgx.Conn, text string) []Suggestion {
	t.Helper()
	doc, err := policy.Parse(policy.File{Name: "suggest.yaml", Text: text})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	cat, err := pgload.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	all, err := Suggest(t.Context(), conn, set, cat)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

const suggestPolicy = `
version: 1
mode: enforce
classes: {open: ["public.*.*"]}
subjects:
  customer:
    table: public.customers
    key: id
    find_by: [uid, email]
    references: [%s]
`

// References that nobody declared are found, and what is found can be put into the
// policy: then what hangs on that is found, and in the end nothing more.
func TestSuggest(t *testing.T) {
	conn := database(t, "", withoutKeys)
	var declared []string
	for _, want := range [][]string{
		{
			`0.99 {from: 'public."Odd Names"."Customer ID"'}`,
			`0.99 {from: public.notes.owner_id, where: {owner_type: ['App\Models\Customer']}}`,
			`0.99 {from: public.orders.customer_id}`,
			`0.94 {from: public.events.payload, path: who.uid, to: uid}`,
			`0.94 {from: public.visits.visitor, to: uid}`,
			`0.92 {from: public.visits.customer_id}`,
			`0.89 {from: public.events.payload, path: customer.id}`,
			`0.89 {from: public.raw.j, path: customer_id}`,
			`0.89 {from: public.teams.customer_ids}`,
			`0.83 {from: public.mails.to_email, to: email, ignore_case: true}`,
			`0.45 {from: public.empty.billing_customer_id}`,
			`0.25 {from: public.empty.created_by_customer_id}`,
		},
		{
			`0.99 {from: public.notes.owner_id, where: {owner_type: [Order]}, to: public.orders.id}`,
			`0.89 {from: 'public.order_lines."orderId"', to: public.orders.id}`,
		},
		nil,
	} {
		all := suggested(t, conn, fmt.Sprintf(suggestPolicy, strings.Join(declared, ", ")))
		var got []string
		for _, s := range all {
			got = append(got, fmt.Sprintf("%.2f %s", s.Confidence, s.Reference))
			declared = append(declared, s.Reference)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
		if text := fmt.Sprint(all) + Paste(all, 0); strings.Contains(text, "secret") {
			t.Errorf("suggestions tell values: %s", text)
		}
	}
}

func TestPaste(t *testing.T) {
	all := []Suggestion{
		{Subject: "b", Reference: "{from: x.y.z}", Evidence: []string{"one", "two"}, Confidence: 0.9},
		{Subject: "a", Reference: "{from: x.y.a}", Evidence: []string{"one"}, Confidence: 0.5},
		{Subject: "b", Reference: "{from: x.y.w}", Confidence: 0.4},
	}
	want := "# references of subject a:\n      # 0.50: one\n      - {from: x.y.a}\n# references of subject b:\n      # 0.90: one; two\n      - {from: x.y.z}\n"
	if diff := cmp.Diff(want, Paste(all, 0.5)); diff != "" {
		t.Error(diff)
	}
}

func TestWords(t *testing.T) {
	for name, want := range map[string]string{
		"customer_id": "customer id", "customerId": "customer id", "Customers": "customer", "companies": "company", "tax_IDs": "tax ids", "addresses": "address",
		"status": "status", "order-lines": "order line", "ids": "ids", "HTTPLog": "httplog", "__": "",
	} {
		if got := strings.Join(words(name), " "); got != want {
			t.Errorf("words(%s) = %s, want %s", name, got, want)
		}
	}
}

// A name may hold anything: what is printed for the policy stays one reference, to
// just that table.
func TestSuggestHostileNames(t *testing.T) {
	conn := database(t, "", `
		CREATE TABLE customers (id int PRIMARY KEY, uid uuid, email text);
		CREATE TABLE "evil'
      - {from: public.customers.email} #\" (customer_id int PRIMARY KEY);
		CREATE TABLE notes ("evil's owner
_id" int);
		INSERT INTO customers (id) SELECT i FROM generate_series(1, 300) AS i;
		INSERT INTO "evil'
      - {from: public.customers.email} #\" SELECT i FROM generate_series(1, 300) AS i;
		ANALYZE`)
	pasted := Paste(suggested(t, conn, fmt.Sprintf(suggestPolicy, "")), 0)
	var found []string
	for line := range strings.Lines(pasted) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			found = append(found, strings.TrimPrefix(line, "- "))
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d references in\n%s", len(found), pasted)
	}
	if again := suggested(t, conn, fmt.Sprintf(suggestPolicy, found[0])); len(again) != 0 {
		t.Errorf("suggested again: %v", again)
	}
}
