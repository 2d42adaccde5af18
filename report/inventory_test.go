package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
)

const (
	inventorySchema = `CREATE SCHEMA crm;
CREATE TABLE crm.customers (id int PRIMARY KEY, first_name text, card text, ssn text, shoe_size int, added int GENERATED ALWAYS AS (id + 1) STORED);
CREATE TABLE crm.tickets (id int PRIMARY KEY, customer_id int REFERENCES crm.customers, body text, closed_at date);
CREATE TABLE crm.calls (id int PRIMARY KEY, customer_id int REFERENCES crm.customers ON DELETE SET NULL, owner_type text, owner_id int);
CREATE TABLE crm.invoices (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES crm.customers, total numeric, made date);
CREATE VIEW crm.names AS SELECT id, first_name FROM crm.customers;
`
	inventoryPolicy = `version: 1
purposes:
  support: {basis: contract, about: "Answer a customer's request", limits: {values: {most: 10/day, of: card, per: purpose}}}
  offers: {basis: legitimate_interest, direct_marketing: true}
subjects:
  customer:
    table: crm.customers
    key: id
    references: [{from: crm.calls.owner_id, to: crm.tickets.id, where: {owner_type: [ticket, case]}}]
    erase:
      - {on: [crm.invoices], do: keep, because: "tax law", for: 10y, after: made}
classes:
  open: ["crm.*.id", "crm.*.customer_id", crm.tickets.closed_at, crm.calls.*, crm.invoices.made, crm.customers.added]
  name: {columns: ["crm.*.first_name"], provided: true, about: "=What people are called"}
  card: {columns: [crm.customers.card], seal: randomized, erase: "null"}
  national_id: {columns: [crm.customers.ssn], special: true}
  free_text: [crm.tickets.body]
  money: {columns: [crm.invoices.total], erase: keep}
roles:
  agent:
    purposes: [support]
    limits: {rows: 500/query, copy: refuse}
    tables: [{on: [crm.customers, crm.tickets], do: [select, update], rows: "id < 100"}, {on: [crm.names]}]
  seller:
    purposes: [offers]
    tables: [{on: [crm.customers]}]
  officer: {privacy: [export]}
  dba: {unrestricted: true}
rules:
  - {role: agent, for: support, on: name, show: clear}
  - {role: agent, for: support, on: card, show: last(4), match: equality}
  - {role: seller, for: offers, on: name, show: initials}
users:
  alice: {roles: [agent]}
retention:
  - {on: crm.tickets, keep: 18m, after: closed_at, then: delete}
`
)

func inventoryOf(t *testing.T, schema, text string) Inventory {
	t.Helper()
	cat, err := ddl.Parse(schema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(policy.File{Name: "policy.yaml", Text: text})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	v := TakeInventory(set)
	v.Made, v.Policy = until, "g1"
	return v
}

func TestInventory(t *testing.T) {
	v := inventoryOf(t, inventorySchema, inventoryPolicy)
	golden(t, "inventory", v, v.Document())
	for _, form := range []struct {
		file  string
		write func(*bytes.Buffer) error
	}{
		{"inventory.yaml", func(b *bytes.Buffer) error { return v.YAML(b) }},
		{"inventory.csv", func(b *bytes.Buffer) error { return v.CSV(b) }},
	} {
		var b bytes.Buffer
		if err := form.write(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", form.file)
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
		}
	}
}

// names are such as a schema may have, and a form may take for something else.
const names = `CREATE TABLE crm."=cmd()" ("null" text, "true" text, "1e3" text, "2026-11-22" text, "a: b" text, "#" text, "- x" text, "it's ""so""" text,
"line
feed" text, "<script>" text, " " text, "Ünï` + "\u202e" + `code" text);
`

// What was written is read again, in both forms, and differs in nothing.
func TestInventoryIsReadAgain(t *testing.T) {
	v := inventoryOf(t, inventorySchema+names, inventoryPolicy)
	var asYAML, asJSON bytes.Buffer
	if err := v.YAML(&asYAML); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(&asJSON).Encode(v); err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{asYAML.Bytes(), asJSON.Bytes()} {
		again, err := ParseInventory(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(v, *again); diff != "" {
			t.Errorf("it is not what was written (-want +got):\n%s", diff)
		}
	}
	var page bytes.Buffer
	if err := v.Document().HTML(&page); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "<script>") || strings.Contains(page.String(), "\u202e") {
		t.Error("a name is taken for more than a name")
	}
	for _, bad := range []string{"", "schema: x", "- 1", "{", `{"schema": "pgveil.report.inventory/1", "tables": 1}`} {
		if _, err := ParseInventory([]byte(bad)); err == nil {
			t.Errorf("%q is read as an inventory", bad)
		}
	}
}

func TestInventorySince(t *testing.T) {
	old := inventoryOf(t, inventorySchema, inventoryPolicy)
	schema := strings.Replace(inventorySchema, "shoe_size int", "email text", 1)
	text := strings.NewReplacer(
		"show: initials}", "show: clear}\n  - {role: seller, for: offers, on: email, show: clear}",
		"  free_text:", "  email: [crm.customers.email]\n  free_text:",
		"  - {role: agent, for: support, on: card, show: last(4), match: equality}\n", "",
		"keep: 18m", "keep: 6m", "basis: contract", "basis: legal_obligation").Replace(inventoryPolicy)
	v := inventoryOf(t, schema, text)
	d := v.Since(&old)
	var got []string
	for _, part := range [][]Change{d.More, d.Less, d.Other} {
		for _, c := range part {
			got = append(got, c.Change+" "+c.What+": "+c.Was+" → "+c.Is)
		}
		got = append(got, "--")
	}
	want := []string{
		"added crm.customers.email by seller for offers:  → clear",
		"changed crm.customers.first_name by seller for offers: initials → clear",
		"--",
		"removed crm.customers.card by agent for support: last(4), match equality → ",
		"--",
		"added column crm.customers.email:  → text; email",
		"changed purpose support: Answer a customer's request; contract; 10 values of card/day per purpose support → Answer a customer's request; legal_obligation; 10 values of card/day per purpose support",
		"changed table crm.tickets: kept: crm.tickets: delete 18m after closed_at → crm.tickets: delete 6m after closed_at",
		"removed column crm.customers.shoe_size: integer; in no class → ",
		"--",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what changed (-want +got):\n%s", diff)
	}
	golden(t, "inventory-diff", d, d.Document())
	if same := v.Since(&v); len(same.More)+len(same.Less)+len(same.Other) > 0 {
		t.Errorf("an inventory differs from itself: %+v", same)
	}
}

// A spreadsheet takes nothing in the file for a formula.
func TestInventoryCSVHasNoFormula(t *testing.T) {
	v := inventoryOf(t, inventorySchema+names, inventoryPolicy)
	var b bytes.Buffer
	if err := v.CSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	about := 0
	for _, row := range rows {
		for _, cell := range row {
			if strings.HasPrefix(cell, "=") {
				t.Errorf("a cell begins as a formula: %q", cell)
			}
			if cell == "'=What people are called" {
				about++
			}
		}
	}
	if about == 0 {
		t.Error("the text that looks like a formula is not there")
	}
}

// What is in no class is seen as the policy says of such, and a policy that
// enforces nothing says so.
func TestInventoryOfUnclassified(t *testing.T) {
	v := inventoryOf(t, inventorySchema, strings.Replace(inventoryPolicy, "version: 1\n", "version: 1\nmode: observe\nunclassified: redact\n", 1))
	if !strings.Contains(v.Notes[0], "mode: observe") {
		t.Errorf("notes %q", v.Notes)
	}
	for _, c := range v.Tables[1].Columns {
		if got := c.seenBy(); c.Column == "shoe_size" && got != "whoever reads the table: redact" {
			t.Errorf("%s is seen by %s", c.Column, got)
		}
	}
}
