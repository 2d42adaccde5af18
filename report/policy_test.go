package report

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
)

const (
	schemaText = `CREATE SCHEMA crm;
CREATE TABLE crm.customers (id int PRIMARY KEY, first_name text, card text, ssn text);
CREATE TABLE crm.tickets (id int PRIMARY KEY, customer_id int REFERENCES crm.customers, body text, closed_at date);
`
	policyText = `version: 1
purposes:
  support: {basis: contract, about: "Answer a customer's request"}
  sales: {basis: legitimate_interest}
subjects:
  customer: {table: crm.customers, key: id}
classes:
  open: ["crm.*.id", crm.tickets.customer_id, crm.tickets.closed_at]
  name: [crm.customers.first_name]
  card: [crm.customers.card]
  national_id: {columns: [crm.customers.ssn], special: true, about: "Never for sales"}
  free_text: [crm.tickets.body]
roles:
  support_agent:
    purposes: [support]
    privacy: [export]
    tables: [{on: [crm.customers, crm.tickets], do: [select, update]}]
  lead:
    purposes: [support]
    tables: [{on: [crm.customers], do: [select], rows: "id < 100"}]
  sales_rep:
    purposes: [sales]
    tables: [{on: [crm.customers], do: [select]}]
  dba: {unrestricted: true}
rules:
  - {role: support_agent, for: support, on: [name, national_id], show: clear}
  - {role: support_agent, for: support, on: card, show: last(4)}
  - {role: lead, for: support, on: card, show: clear}
  - {role: sales_rep, for: sales, on: name, show: clear}
users:
  alice: {roles: [support_agent, lead]}
  erin: {roles: [support_agent], trained_until: 2027-03-01}
  sam: {roles: [sales_rep]}
  dora: {roles: [dba]}
retention:
  - {on: crm.tickets, keep: 18m, after: closed_at, then: delete}
`
)

func compiled(t *testing.T, text string) *policy.Set {
	t.Helper()
	cat, err := ddl.Parse(schemaText)
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
	return set
}

var (
	since = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	until = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	first = audit.Column{Name: "crm.customers.first_name", Class: "name", Show: "clear", Use: "read"}
	last4 = audit.Column{Name: "crm.customers.card", Class: "card", Show: "last(4)", Use: "read"}
)

// useStory is what users did under the policy.
func useStory(t *testing.T) *story {
	s := newStory(t)
	asks := func(user, role, purpose, app, decision string, columns ...audit.Column) {
		s.add(audit.Record{Kind: audit.KindStatement, Login: user, User: user, Roles: strings.Fields(role), Purpose: purpose, App: app, Command: "SELECT",
			Shape: "SELECT FROM crm.customers", Fingerprint: app, Decision: decision, Columns: columns, Kinds: []string{"customer"}})
	}
	s.now = since.AddDate(0, 0, -30)
	asks("erin", "support_agent", "support", "desk", "allow", first)
	s.now = since.AddDate(0, 0, 3)
	asks("alice", "lead support_agent", "support", "desk", "mask", first, last4)
	asks("alice", "lead support_agent", "support", "desk", "refuse", audit.Column{Name: "crm.customers.ssn", Class: "national_id", Show: "refuse", Use: "read"})
	asks("sam", "sales_rep", "", hostile, "allow", audit.Column{Name: "crm.customers.id", Class: "open", Show: "clear", Use: "read"})
	asks("dora", "dba", "sales", "psql", "unrestricted", last4)
	asks("max", "marketing", "marketing", "mailer", "allow", first)
	return s
}

func (s *story) read(add func(audit.Raw) error) {
	s.t.Helper()
	head, err := audit.ReadHead(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for r, err := range audit.ReadTo(s.dir, head) {
		if err == nil {
			err = add(r)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *story) review(policy string, before *Before, last *Review) Review {
	s.t.Helper()
	v := NewReviewer(compiled(s.t, policy), since, until)
	s.read(v.Add)
	r := v.Review(before, last)
	r.Made, r.Zone, r.Policy = until, "UTC", "g1"
	r.Evidence = []Evidence{{Dir: "audit", Records: 6, Chain: "9f86", Verified: true, Result: "good"}}
	return r
}

func TestReview(t *testing.T) {
	r := useStory(t).review(policyText, nil, nil)
	got := map[string]int64{}
	for _, i := range r.Rights {
		got[strings.Join([]string{i.User, i.Role, i.Purpose, i.Class, i.Shown}, " ")] = i.Statements
		if want := i.User == "alice" && i.Role == "support_agent" && i.Class == "card"; i.Clearer != want {
			t.Errorf("%+v: clearer is %v", i, i.Clearer)
		}
	}
	want := map[string]int64{
		"alice support_agent support name clear": 1, "alice support_agent support card last(4)": 1, "alice support_agent support national_id clear": 0,
		"alice lead support card clear": 1, "erin support_agent support name clear": 0, "erin support_agent support card last(4)": 0,
		"erin support_agent support national_id clear": 0, "sam sales_rep sales name clear": 0, "dora dba   everything, without restrictions": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statements by right (-want +got):\n%s", diff)
	}
	for _, u := range r.Users {
		if u.Name == "erin" && (u.Statements != 0 || u.Last.IsZero() || u.Lapses.IsZero()) {
			t.Errorf("erin came before the period: %+v", u)
		}
	}
}

func TestReviewChanges(t *testing.T) {
	s := useStory(t)
	last := s.review(policyText, nil, nil)
	text := strings.NewReplacer("show: last(4)", "show: clear", "  sam: {roles: [sales_rep]}\n", "", `rows: "id < 100"`, `rows: "id < 999"`).Replace(policyText)
	before := &Before{File: "review-1.json", Made: since, Reviewer: "Dora", Decision: Approved, Digest: "00"}
	r := s.review(text, before, &last)
	var got []string
	for _, c := range r.Changes {
		got = append(got, c.Change+" "+c.What+": "+c.Was+" → "+c.Is)
	}
	want := []string{
		"changed role lead: select on crm.customers: rows id < 100 → rows id < 999",
		"changed user alice as support_agent for support: class card: last(4) → clear",
		"changed user erin as support_agent for support: class card: last(4) → clear",
		"removed user sam: roles sales_rep → ",
		"removed user sam as sales_rep for sales: class name: clear → ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	golden(t, "review", r, r.Document())
}

func TestROPA(t *testing.T) {
	s := useStory(t)
	org := Organisation{Name: "Acme Ltd", Recipients: []Recipient{{Name: "Support desk", Applications: []string{"desk"}}}, Transfers: []Transfer{{To: "Atlantis"}}}
	g := Register(compiled(t, policyText), org, since, until, time.UTC, 100)
	s.read(g.Add)
	r := g.ROPA()
	var got []string
	for _, d := range r.Differences {
		got = append(got, d.Kind+": "+d.What)
	}
	want := []string{
		UndeclaredPurpose + ": marketing",
		UndeclaredClass + ": card for sales",
		UndeclaredClass + ": name for marketing",
		UndeclaredRecipient + ": mailer, login max",
		UndeclaredRecipient + ": psql, login dora",
		UnusedClass + ": name for sales",
		UnusedClass + ": national_id for support",
		NoLimit + ": crm.customers",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
	r.Made, r.Zone, r.Policy = until, "UTC", "g1"
	r.Evidence = []Evidence{{Dir: "audit", Records: 6, Verified: true, Result: "good"}}
	golden(t, "ropa", r, r.Document())
}

func TestSignOff(t *testing.T) {
	key, _, err := audit.NewKey("crm.example.com/audit")
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := audit.NewKey("crm.example.com/audit")
	if err != nil {
		t.Fatal(err)
	}
	off := SignOff{Reviewer: "Dora Privacy", Decision: Approved, Note: "ticket 4711", By: "dora on host", At: until, Digest: Digest([]byte("review")), Heads: "6:9f86"}
	text, err := off.Sign(&key)
	if err != nil {
		t.Fatal(err)
	}
	got, by, err := ParseSignOff(text, []audit.PublicKey{other.Public(), key.Public()})
	if err != nil || by == nil || by.Origin() != "crm.example.com/audit/review" {
		t.Fatalf("by %v: %v", by, err)
	}
	if diff := cmp.Diff(off, got); diff != "" {
		t.Errorf("sign-off (-want +got):\n%s", diff)
	}
	if _, err := audit.ParseCheckpoint(text); err == nil {
		t.Error("a sign-off can be taken for a checkpoint")
	}
	for i := range text {
		changed := slices.Clone(text)
		changed[i] ^= 1
		if s, _, err := ParseSignOff(changed, []audit.PublicKey{key.Public()}); err == nil && s != off {
			t.Errorf("byte %d can be changed to say %+v", i, s)
		}
	}
	if _, _, err := ParseSignOff(text, []audit.PublicKey{other.Public()}); err == nil {
		t.Error("another key's signature is taken")
	}
	for _, bad := range []SignOff{
		{}, {Reviewer: "Dora"}, {Reviewer: " ", Decision: Approved}, {Reviewer: "Dora\nreviewer: Eve", Decision: Approved}, {Reviewer: "Dora", Decision: "maybe"},
	} {
		if _, err := bad.Sign(&key); err == nil {
			t.Errorf("%+v is signed", bad)
		}
	}
}
