package rewrite_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// TestSealedConditions refuses policies whose conditions would be of ciphertext.
func TestSealedConditions(t *testing.T) {
	cat, err := ddl.Parse(`
		CREATE TABLE public.customers (id int PRIMARY KEY, region text, email text, phone text, phone_blind bytea, iban text, closed date);
		CREATE TABLE public.visits (id int PRIMARY KEY, customer_email text, kind text, lead_id int);`)
	if err != nil {
		t.Fatal(err)
	}
	const text = `
version: 1
mode: enforce
purposes: {support: {basis: contract}}
classes:
  open: [public.customers.id, public.customers.region, public.customers.closed, public.customers.phone_blind, public.visits.id, public.visits.lead_id, public.visits.kind]
  email: {columns: [public.customers.email, public.visits.customer_email], seal: deterministic, joins: true}
  phone: {columns: [public.customers.phone], seal: randomized, index: blind}
  iban: {columns: [public.customers.iban], seal: randomized}
roles:
  agent: {purposes: [support], tables: [{on: [public.customers], do: [select], rows: "%s"}]}
subjects:
  customer: {table: public.customers, key: %s, %s}
retention:
  - {on: public.customers, keep: 3y, after: closed, then: delete, where: "%s"}
`
	for _, tt := range []struct {
		name                       string
		rows, key, subject, retain string
		want                       string // "" where it compiles
	}{
		{"nothing of what is sealed", "region = 'eu'", "id", "find_by: [email, phone]", "region = 'eu'", ""},
		{"a reference by what is sealed alike", "region = 'eu'", "id", "references: [{from: public.visits.customer_email, to: email, where: {kind: call}}]", "region = 'eu'", ""},
		{"a row filter", "email = 'a@b.example'", "id", "find_by: [email]", "true", "row filter for public.customers: public.customers.email is sealed"},
		{"a row filter that asks for NULL", "iban IS NOT NULL", "id", "find_by: [email]", "true", "public.customers.iban is sealed"},
		{"a retention rule", "true", "id", "find_by: [email]", "lower(phone) LIKE '+49%%'", "condition for public.customers: public.customers.phone is sealed"},
		{"the key", "true", "email", "find_by: [phone]", "true", `are known by it`},
		{"find_by without a way to find", "true", "id", "find_by: [iban]", "true", "seal: deterministic, or index: blind"},
		{"a reference to what is not sealed", "true", "id", "references: [{from: public.visits.customer_email, to: region}]", "true", "not sealed alike"},
		{"a reference without case", "true", "id", "references: [{from: public.visits.customer_email, to: email, ignore_case: true}]", "true", "not sealed alike"},
		{"a reference where what is sealed says so", "true", "id", "references: [{from: public.visits.lead_id, where: {customer_email: x}}]", "true", "where it has some values"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := policy.Parse(policy.File{Name: "policy.yaml", Text: fmt.Sprintf(text, tt.rows, tt.key, tt.subject, tt.retain)})
			if err != nil {
				t.Fatal(err)
			}
			_, err = policy.Compile(doc, cat, policy.CheckRows(func(expr string, r *catalog.Relation) error { return rewrite.CheckFilter(cat, expr, r) }))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Compile says %v, want %q", err, tt.want)
			}
		})
	}
}
