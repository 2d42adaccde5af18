package policy

import (
	"slices"
	"testing"
)

// TestBeyond hides every class but open from who is beyond a limit, and leaves the
// rest of what the policy says as it is.
func TestBeyond(t *testing.T) {
	s, cat := compileText(t, `
version: 1
purposes: {p: {basis: contract}}
classes: {open: [crm.customers.id], email: [crm.customers.email], ssn: [crm.customers.ssn], phone: [crm.customers.phone]}
roles:
  a: {purposes: p, tables: [{on: crm.customers, rows: "id > 5"}], privacy: [export, erase]}
  dba: {unrestricted: true}
users: {u: {roles: a}, root: {roles: dba}, both: {roles: [a, dba]}}
rules:
  - {role: any, for: any, on: email, show: clear}
  - {role: any, for: any, on: phone, show: last(4), match: equality}
  - {role: any, for: any, on: ssn, show: refuse, because: "never"}
unclassified: refuse
`)
	r := mustRelation(t, cat, "crm", "customers")
	decide := func(c Claim) *Access {
		a, err := s.Decide(c)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	within, beyond := decide(Claim{Login: "u"}), decide(Claim{Login: "u", Beyond: true})
	if within.ID == beyond.ID || decide(Claim{Login: "u"}).ID != within.ID || decide(Claim{Login: "u", Beyond: true}).ID != beyond.ID {
		t.Errorf("ids are %d within and %d beyond", within.ID, beyond.ID)
	}
	if !slices.Contains(beyond.Why(), "beyond a limit: values are hidden") || slices.Contains(within.Why(), "beyond a limit: values are hidden") {
		t.Errorf("beyond because %q, within because %q", beyond.Why(), within.Why())
	}
	if !within.May("export") || beyond.May("export") || !beyond.May("erase") {
		t.Error("beyond a limit data is exported, or nothing is erased")
	}
	v := beyond.Relation(r).Views[0]
	if v.Rows != within.Relation(r).Views[0].Rows {
		t.Errorf("rows are %q beyond", v.Rows)
	}
	for name, want := range map[string]Show{"id": ShowClear, "email": ShowMasked, "phone": ShowMasked, "ssn": ShowRefuse} {
		i := r.ColumnIndex(name)
		got := v.Columns[i]
		mask := MaskNull
		if r.Columns[i].NotNull {
			mask = MaskRedact
		}
		if got.Show != want || want == ShowMasked && (got.Mask != (Mask{Kind: mask}) || got.Match != MatchMasked) {
			t.Errorf("%s is shown %s, match %d", name, got.Shown(), got.Match)
		}
	}
	for _, login := range []string{"root", "both"} {
		if a := decide(Claim{Login: login}); !a.Unrestricted {
			t.Errorf("%s is restricted", login)
		}
		if a := decide(Claim{Login: login, Beyond: true}); a.Unrestricted {
			t.Errorf("%s is not restricted beyond a limit", login)
		}
	}
	if a := decide(Claim{Login: "root", Beyond: true}).Relation(r); a.Ops != 0 || len(a.Views) > 0 {
		t.Errorf("root may %s beyond a limit", a.Ops)
	}
	if a := decide(Claim{Login: "both", Purpose: "p", Beyond: true}).Relation(r); a.Views[0].Columns[r.ColumnIndex("email")].Show != ShowMasked {
		t.Error("a role that is unrestricted opens a column beyond a limit")
	}
}

// TestBeyondObserved changes nothing where decisions are only recorded.
func TestBeyondObserved(t *testing.T) {
	s, _ := compileText(t, `
version: 1
mode: observe
purposes: {p: {basis: contract}}
classes: {open: [crm.customers.id], email: [crm.customers.email]}
roles: {a: {purposes: p, tables: [{on: crm.customers}]}}
users: {u: {roles: a}}
unclassified: refuse
`)
	a, err := s.Decide(Claim{Login: "u", Beyond: true})
	if err != nil || !a.Observe || a.Unrestricted {
		t.Errorf("observed: %+v, %v", a, err)
	}
}
