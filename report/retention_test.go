package report_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/report"
	"github.com/pgveil/pgveil/retention"
)

const (
	keptSchema = `CREATE SCHEMA crm;
		CREATE TABLE crm.customers (id int PRIMARY KEY, email text, phone text, ssn text);
		CREATE TABLE crm.tickets (id int PRIMARY KEY, customer_id int REFERENCES crm.customers, body text, closed_at timestamptz);
		CREATE TABLE crm.opens (id int PRIMARY KEY, customer_id int REFERENCES crm.customers, agent text);
		CREATE TABLE crm.consents (customer_id int REFERENCES crm.customers, purpose text, given_at timestamptz, withdrawn_at timestamptz);
		CREATE VIEW crm.overview AS SELECT email FROM crm.customers;`

	keptPolicy = `version: 1
purposes: {support: {basis: contract}, marketing: {basis: consent, consent: newsletter}}
subjects: {customer: {table: crm.customers, key: id, consent: {table: crm.consents, subject: customer_id, purpose: purpose, given: given_at, withdrawn: withdrawn_at}}}
classes: {open: [crm.consents.*, "crm.*.id", "crm.*.customer_id"], contact: [crm.customers.email, crm.customers.phone], national_id: [crm.customers.ssn], text: [crm.tickets.body], device: [crm.opens.agent]}
roles: {agent: {purposes: [support, marketing], tables: [{on: [crm.customers, crm.tickets, crm.opens]}]}}
rules:
  - {role: agent, for: support, on: [contact, text], show: clear}
  - {role: agent, for: marketing, on: device, show: clear}
users: {ann: {roles: [agent]}}
retention: [{on: crm.tickets, keep: 3y, after: closed_at, then: delete, because: "| claims |"}]
`
)

func TestRetention(t *testing.T) {
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: keptPolicy})
	if err != nil {
		t.Fatal(err)
	}
	cat, err := ddl.Parse(keptSchema)
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	to := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	from := to.AddDate(0, 0, -90)
	m := report.Minimise(set, from, to)
	log := t.TempDir()
	l, err := audit.Open(log, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	use := func(at time.Time, decision string, columns ...string) {
		r := &audit.Record{Kind: audit.KindStatement, Time: at, Decision: decision, Purpose: "support"}
		for _, c := range columns {
			r.Columns = append(r.Columns, audit.Column{Name: c, Class: "contact", Show: "clear", Use: "read"})
		}
		if _, err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	use(from.AddDate(0, 0, -1), "allow", "crm.customers.phone")
	use(to.AddDate(0, 0, -1), "allow", "crm.customers.email")
	use(to.AddDate(0, 0, -1), "refuse", "crm.customers.ssn")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	head, err := audit.ReadHead(log)
	if err != nil {
		t.Fatal(err)
	}
	for raw, err := range audit.ReadTo(log, head) {
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Add(raw); err != nil {
			t.Fatal(err)
		}
	}
	r := m.Retention()
	r.Plan = retention.Plan{Rules: []retention.RulePlan{{Rule: "crm.tickets: delete 3y after closed_at", Due: 7, Held: 2, Refused: []string{"5 rows of <b>crm.files</b> refer"}, Because: "| claims |"}}}
	var unused, unruled []string
	for _, u := range r.Unused {
		unused = append(unused, u.Column)
	}
	for _, u := range r.Unruled {
		unruled = append(unruled, u.Table)
	}
	if want := []string{"crm.customers.phone", "crm.customers.ssn", "crm.opens.agent", "crm.tickets.body"}; !slices.Equal(unused, want) {
		t.Errorf("unused are %q, want %q", unused, want)
	}
	if want := []string{"crm.consents", "crm.customers", "crm.opens"}; !slices.Equal(unruled, want) {
		t.Errorf("without a rule are %q, want %q", unruled, want)
	}
	if len(r.Unserved) != 1 || r.Unserved[0].Table != "crm.opens" || !slices.Equal(r.Unneeded, []string{"crm.customers.ssn"}) {
		t.Errorf("by consent alone: %+v; for no purpose: %q", r.Unserved, r.Unneeded)
	}
	if last := r.Unused[0].Last; !last.Equal(from.AddDate(0, 0, -1)) {
		t.Errorf("the phone was last used %s", last)
	}
	var md, page bytes.Buffer
	if err := r.Document().Markdown(&md); err != nil {
		t.Fatal(err)
	}
	if err := r.Document().HTML(&page); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(md.String(), `\| claims \|`) || strings.Contains(md.String()+page.String(), "<b>crm") {
		t.Errorf("texts are markup:\n%s", md.String())
	}
}
