package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/catalog"
)

const ledgerPolicy = `
version: 1
purposes:
  support:    {basis: contract}
  claims:     {basis: legal_obligation, despite_restriction: true}
  ads:        {basis: consent, consent: ads, direct_marketing: true}
  ads_abroad: {within: ads}
  fraud:      {basis: legitimate_interest, despite_restriction: true}
subjects: {customer: {table: crm.customers, key: id, ledger: true}}
classes: {open: ["crm.*.*"]}
roles: {agent: {purposes: [support, claims, ads, fraud], tables: [{on: ["crm.*"]}]}}
users: {ann: {roles: [agent]}}
`

// ledgerSet compiles ledgerPolicy as it is once the tables are made.
func ledgerSet(t *testing.T) (*Set, *catalog.Snapshot) {
	t.Helper()
	d, err := Parse(File{"p.yaml", ledgerPolicy})
	if err != nil {
		t.Fatal(err)
	}
	cat := Implied(d, crm())
	s, err := Compile(d, cat, Clock(atTestDay))
	if err != nil {
		t.Fatal(err)
	}
	return s, cat
}

func TestRestriction(t *testing.T) {
	s, cat := ledgerSet(t)
	const seen = `SELECT 1 FROM "pgveil"."customer_restrictions" AS pgveil_l WHERE pgveil_l."subject" OPERATOR("pg_catalog".=) `
	of := func(value, only string) string { return "EXISTS (" + seen + value + only + ")" }
	is := func(purposes ...string) string {
		var any []string
		for _, p := range purposes {
			any = append(any, "pgveil_l.purpose OPERATOR(pg_catalog.=) '"+p+"'")
		}
		return " AND (" + strings.Join(any, " OR ") + ")"
	}
	const objected = " AND (pgveil_l.kind OPERATOR(pg_catalog.=) 'objection')"
	for _, tt := range []struct{ purpose, relation, want string }{
		{"support", "customers", of(`pgveil_t."id"`, is("support", ""))},
		{"support", "orders", of(`pgveil_t."customer_id"`, is("support", ""))},
		{"support", "orders_2026", of(`pgveil_t."customer_id"`, is("support", ""))},
		{"support", "order_lines", `EXISTS (SELECT 1 FROM "crm"."orders" AS pgveil_1 WHERE pgveil_1."id" OPERATOR("pg_catalog".=) pgveil_t."order_id" AND ` +
			of(`pgveil_1."customer_id"`, is("support", "")) + ")"},
		{"support", "transfers", "(" + of(`pgveil_t."payer"`, is("support", "")) + " OR " + of(`pgveil_t."payee"`, is("support", "")) + ")"},
		{"support", "visits", ""},
		{"ads_abroad", "customers", of(`pgveil_t."id"`, is("ads_abroad", "ads", ""))},
		{"claims", "customers", ""},
		{"fraud", "customers", of(`pgveil_t."id"`, is("fraud")+objected)},
		{"", "customers", of(`pgveil_t."id"`, "")},
	} {
		a, err := s.Access("ann", tt.purpose)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := cat.Relation(nil, "crm", tt.relation)
		var want Condition
		if tt.want != "" {
			want.ByRow = "CASE WHEN " + tt.want + " THEN false ELSE true END"
			want.ByJoin = "NOT " + tt.want
		}
		got := a.Relation(r).Restriction
		if strings.Count(got.ByIndex, " OFFSET 0)") != strings.Count(got.ByRow, "EXISTS") {
			t.Errorf("%s for %q: not every sub-select is fenced in %s", tt.relation, tt.purpose, got.ByIndex)
		}
		want.ByIndex, got.ByIndex = want.ByRow, strings.ReplaceAll(got.ByIndex, " OFFSET 0", "")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s for %q (-want +got):\n%s", tt.relation, tt.purpose, diff)
		}
	}
}

func TestLedgerConsent(t *testing.T) {
	s, cat := ledgerSet(t)
	a, err := s.Access("ann", "ads_abroad")
	if err != nil {
		t.Fatal(err)
	}
	r, _ := cat.Relation(nil, "crm", "transfers")
	given := func(column string) string {
		return `EXISTS (SELECT 1 FROM "pgveil"."customer_consents" AS pgveil_l WHERE pgveil_l."subject" OPERATOR("pg_catalog".=) pgveil_t."` + column +
			`" AND pgveil_l."consent" OPERATOR("pg_catalog".=) 'ads' AND pgveil_l.until OPERATOR(pg_catalog.>) pg_catalog.statement_timestamp())`
	}
	both := given("payer") + " AND " + given("payee")
	want := Condition{ByRow: "CASE WHEN " + both + " THEN true ELSE false END", ByJoin: both}
	want.ByIndex = strings.ReplaceAll(want.ByRow, "timestamp())", "timestamp() OFFSET 0)")
	if diff := cmp.Diff(want, a.Relation(r).Consent); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is pgveil's own is granted by no pattern.
func TestOwnSchemaIsClosed(t *testing.T) {
	d, err := Parse(File{"p.yaml", strings.Replace(ledgerPolicy, `on: ["crm.*"]`, `on: ["*.*"], do: [select, insert, update, delete]`, 1)})
	if err != nil {
		t.Fatal(err)
	}
	cat := Implied(d, crm())
	s, err := Compile(d, cat)
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Access("ann", "claims")
	if err != nil {
		t.Fatal(err)
	}
	r, ok := cat.Relation(nil, "pgveil", "customer_consents")
	if ra := a.Relation(r); !ok || ra.Ops != 0 || len(ra.Views) > 0 {
		t.Errorf("Relation = %+v, %v", ra, ok)
	}
}

func TestLedgerProblems(t *testing.T) {
	two := func(r catalog.Relation) catalog.Relation { r.PrimaryKey = []int{0, 1}; return r }
	child := func(r catalog.Relation) catalog.Relation { r.Parents = []uint32{50}; return r }
	domain := func(r catalog.Relation) catalog.Relation {
		r.Columns[0].Type.Kind, r.Columns[0].Type.BaseSchema = 'd', "ext"
		return r
	}
	another := func(r catalog.Relation) catalog.Relation { r.Columns[0].Type.OID = 20; return r }
	people := relationOf(50, "app", "people", catalog.Table, "id", "int4", "tenant", "int4")
	consents := relationOf(51, "pgveil", "person_consents", catalog.Table, "subject", "int4", "consent", "text", "until", "timestamptz")
	restrictions := relationOf(52, "pgveil", "person_restrictions", catalog.Table, "subject", "int4", "purpose", "text", "kind", "text")
	for _, tt := range []struct {
		name      string
		relations []catalog.Relation
		subject   string
		want      string
	}{
		{"all is well", []catalog.Relation{people, consents, restrictions}, "", ""},
		{"no tables", []catalog.Relation{people}, "", `no table pgveil.person_consents: run "pgveil schema --apply"`},
		{"one table", []catalog.Relation{people, consents}, "", "no table pgveil.person_restrictions"},
		{"a column is missing", []catalog.Relation{people, consents, relationOf(52, "pgveil", "person_restrictions", catalog.Table, "subject", "int4")}, "", "lacks its column purpose"},
		{"another type", []catalog.Relation{people, another(relationOf(51, "pgveil", "person_consents", catalog.Table, "subject", "int8", "consent", "text", "until", "timestamptz")), restrictions}, "",
			"pgveil.person_consents.subject is of type int8, but app.people.id of type int4"},
		{"a key of two columns", []catalog.Relation{two(people), consents, restrictions}, "", "id alone does not say who is meant"},
		{"part of another", []catalog.Relation{child(people), consents, restrictions}, "", "name that one"},
		{"a view", []catalog.Relation{relationOf(50, "app", "people", catalog.View, "id", "int4"), consents, restrictions}, "", "app.people is not a table"},
		{"a domain", []catalog.Relation{domain(relationOf(50, "app", "people", catalog.Table, "id", "citext")), consents, restrictions}, "", "id is of a domain over citext"},
		{"a long name", []catalog.Relation{people}, strings.Repeat("x", 51), "longer than 50 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			subject := "person"
			if tt.subject != "" {
				subject = tt.subject
			}
			d, err := Parse(File{"p.yaml", "version: 1\nsubjects: {" + subject + ": {table: app.people, key: id, ledger: true}}\n"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = Compile(d, catalog.New(catalog.Parts{Relations: tt.relations}))
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("problems: %v; want %q", err, tt.want)
			}
		})
	}
	if _, err := Parse(File{"p.yaml", "version: 1\nsubjects: {p: {table: a.b, key: id, ledger: true, consent: {table: a.c, subject: s, purpose: p, given: g, withdrawn: w}}}\n"}); err == nil ||
		!strings.Contains(err.Error(), "both a ledger and a consent table") {
		t.Errorf("two places for consents: %v", err)
	}
}

func TestUnrestrainable(t *testing.T) {
	d, err := Parse(File{"p.yaml", ledgerPolicy + "discloses: [crm.customer_overview]\n"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(d, Implied(d, crm()))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := s.Summary(&b); err != nil {
		t.Fatal(err)
	}
	if want := "crm.customer_overview is disclosed, and no reference leads from it to subject customer"; !strings.Contains(b.String(), want) {
		t.Errorf("the summary lacks %q:\n%s", want, b.String())
	}
}
