package policy

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/catalog"
)

func TestAggregatesMerge(t *testing.T) {
	const head = `
version: 1
purposes: {p: {basis: contract}}
classes: {open: [crm.orders.id], total: [crm.orders.total]}
roles:
  a: {purposes: [p], tables: [{on: crm.orders}]}
  b: {purposes: [p], tables: [{on: crm.orders}]}
users: {u: {roles: a}, both: {roles: [a, b]}}
rules:
`
	for _, tt := range []struct {
		name, login string
		rules       []string
		want        string
	}{
		{"a rule leaves it to aggregates", "u", []string{"{role: a, for: p, on: total, show: aggregate(min 10)}"}, "aggregate(min 10)"},
		{"a tie goes to the larger minimum", "u", []string{"{role: a, for: p, on: total, show: aggregate(min 10)}", "{role: a, for: p, on: total, show: aggregate(min 20)}"}, "aggregate(min 20)"},
		{"a tie with clear is not clear", "u", []string{"{role: a, for: p, on: total, show: aggregate(min 10)}", "{role: a, for: p, on: total, show: clear}"}, "aggregate(min 10)"},
		{"a tie with a mask leaves nothing", "u", []string{"{role: a, for: p, on: total, show: aggregate(min 10)}", `{role: a, for: p, on: total, show: "null"}`}, "refuse"},
		{"a tie with two masks leaves nothing", "u", []string{`{role: a, for: p, on: total, show: "null"}`, "{role: a, for: p, on: total, show: aggregate(min 10)}", "{role: a, for: p, on: total, show: round(10)}"}, "refuse"},
		{"a refusal wins", "u", []string{"{role: a, for: p, on: total, show: aggregate(min 10)}", "{role: any, for: any, on: any, show: refuse}"}, "refuse"},
		{"of two roles the smaller minimum", "both", []string{"{role: a, for: p, on: total, show: aggregate(min 10)}", "{role: b, for: p, on: total, show: aggregate(min 20)}"}, "aggregate(min 10)"},
		{"of two roles the one that shows it at all", "both", []string{"{role: a, for: p, on: total, show: aggregate(min 10)}"}, "aggregate(min 10)"},
		{"of two roles the mask", "both", []string{"{role: a, for: p, on: total, show: aggregate(min 10)}", "{role: b, for: p, on: total, show: round(10)}"}, "round(10)"},
		{"an expired rule gives nothing", "u", []string{"{role: a, for: p, on: total, show: aggregate(min 10), expires: 2026-11-21}"}, "refuse"},
		{"an expired rule gives no more than a mask", "u", []string{"{role: a, for: p, on: total, show: aggregate(min 10), expires: 2026-11-21}", `{role: any, for: p, on: total, show: "null"}`}, "refuse"},
		{"an expired narrowing stays", "u", []string{"{role: a, for: p, on: total, show: aggregate(min 10), expires: 2026-11-21}", "{role: any, for: p, on: total, show: clear}"}, "aggregate(min 10)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			place := regexp.MustCompile(`p\.yaml:\d+`)
			var because []string
			for range 2 { // in either order
				s, cat := compileText(t, head+"  - "+strings.Join(tt.rules, "\n  - "))
				r := mustRelation(t, cat, "crm", "orders")
				got := mustAccess(t, s, tt.login, "p").Relation(r).Views[0].Columns[r.ColumnIndex("total")]
				if got.Shown() != tt.want {
					t.Errorf("shown as %s, want %s", got.Shown(), tt.want)
				}
				because = append(because, place.ReplaceAllString(got.Because, "here"))
				slices.Reverse(tt.rules)
			}
			if because[0] != because[1] || (because[0] == "") == (tt.want == "refuse") {
				t.Errorf("because %q", because)
			}
		})
	}
}

const subjectPolicy = `
version: 1
purposes: {p: {basis: contract}}
subjects:
  customer: {table: crm.customers, key: id, references: [{from: crm.visits.customer_ref}]}
roles: {a: {purposes: [p], tables: [{on: "crm.*"}]}}
users: {u: {roles: a}}
`

func TestSubjectKeys(t *testing.T) {
	const order = `(SELECT pgveil_1."customer_id" FROM "crm"."orders" AS pgveil_1 WHERE pgveil_1."id" OPERATOR("pg_catalog".=) pgveil_t."order_id")`
	s, cat := compileText(t, subjectPolicy)
	a := mustAccess(t, s, "u", "p")
	for _, tt := range []struct {
		table string
		want  []SubjectKey
		ok    bool
	}{
		{"customers", []SubjectKey{{Kind: "customer", SQL: `pgveil_t."id"`, Columns: []string{"id"}}}, true},
		{"orders", []SubjectKey{{Kind: "customer", SQL: `pgveil_t."customer_id"`, Columns: []string{"customer_id"}}}, true},
		{"orders_2026", []SubjectKey{{Kind: "customer", SQL: `pgveil_t."customer_id"`, Columns: []string{"customer_id"}}}, true},
		{"order_lines", []SubjectKey{{Kind: "customer", SQL: order, Columns: []string{"order_id"}, Through: []KeyColumns{{mustRelation(t, cat, "crm", "orders"), []string{"id", "customer_id"}}}}}, true},
		{"transfers", []SubjectKey{{Kind: "customer", SQL: `pgveil_t."payer"`, Columns: []string{"payer"}}, {Kind: "customer", SQL: `pgveil_t."payee"`, Columns: []string{"payee"}}}, true},
		{"visits", []SubjectKey{{Kind: "customer", SQL: `pgveil_t."customer_ref"`, Columns: []string{"customer_ref"}}}, true},
		{"Order Lines", nil, true},
		{"customer_overview", nil, false},
	} {
		got, ok := a.SubjectKeys(mustRelation(t, cat, "crm", tt.table))
		if diff := cmp.Diff(tt.want, got); diff != "" || ok != tt.ok {
			t.Errorf("SubjectKeys(%s): ok %v, want %v (-want +got):\n%s", tt.table, ok, tt.ok, diff)
		}
	}
}

// A subject's own rows are about nobody else, whatever they refer to.
func TestSubjectKeysOfASubjectsTable(t *testing.T) {
	cat := catalog.New(catalog.Parts{Relations: []catalog.Relation{
		referring(relationOf(1, "crm", "customers", catalog.Table, "id", "int8", "agent", "int8", "friend", "int8"),
			key("agent", "staff", "id"), key("friend", "customers", "id")),
		relationOf(2, "crm", "staff", catalog.Table, "id", "int8"),
		referring(relationOf(3, "crm", "calls", catalog.Table, "customer", "int8", "agent", "int8"),
			key("customer", "customers", "id"), key("agent", "staff", "id")),
	}})
	d, err := Parse(File{"p.yaml", `
version: 1
subjects:
  customer: {table: crm.customers, key: id}
  employee: {table: crm.staff, key: id}
users: {u: {}}
`})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(d, cat)
	if err != nil {
		t.Fatal(err)
	}
	a := mustAccess(t, s, "u", "")
	for table, want := range map[string][]string{"customers": {"id"}, "staff": {"id"}, "calls": {"customer", "agent"}} {
		keys, _ := a.SubjectKeys(mustRelation(t, cat, "crm", table))
		var got []string
		for _, k := range keys {
			got = append(got, k.Columns...)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("SubjectKeys(%s) (-want +got):\n%s", table, diff)
		}
	}
}

func TestZeroAccessKnowsNoSubjects(t *testing.T) {
	if _, ok := new(Access).SubjectKeys(mustRelation(t, crm(), "crm", "orders")); ok {
		t.Error("SubjectKeys of the zero Access is ok")
	}
}

func TestSummarySaysWhereRowsCount(t *testing.T) {
	s, _ := compileText(t, subjectPolicy+`
classes: {price: ['crm."Order Lines"."Unit Price"'], total: [crm.orders.total], overview: [crm.customer_overview.id]}
rules: [{role: a, for: p, on: any, show: aggregate(min 10)}]
`)
	var b strings.Builder
	if err := s.Summary(&b); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]bool{
		`p.yaml:10:9: groups of crm.Order Lines are counted by rows: nothing leads from it to a subject`:             true,
		`p.yaml:10:9: the policy does not say whose data a row of crm.customer_overview is: its columns are refused`: true,
		`groups of crm.orders`: false,
	} {
		if strings.Contains(b.String(), line) != want {
			t.Errorf("the summary has %q: %v, want %v\n%s", line, !want, want, b.String())
		}
	}
}
