package policy

import (
	"strings"
	"testing"
	"time"
)

func TestSecondFactor(t *testing.T) {
	s, cat := compileText(t, `
version: 1
purposes: {p: {basis: contract}, q: {basis: contract}}
classes: {open: [crm.customers.id], email: [crm.customers.email], ssn: [crm.customers.ssn], phone: [crm.customers.phone]}
roles:
  a: {purposes: p, tables: [{on: crm.customers}], privacy: [export, restrict]}
  b: {purposes: [p, q], tables: [{on: [crm.customers, crm.orders]}], privacy: erase}
  c: {purposes: p, privacy: rectify}
users: {u: {roles: [a, b]}, only: {roles: b}, app: {act_as: [a, b]}, cleo: {roles: c}}
rules:
  - {role: any, for: any, on: [email, ssn], show: clear}
  - {role: any, for: any, on: phone, show: refuse, because: "never"}
second_factor: {roles: b, classes: [ssn, phone], privacy: [export, erase], for: 8h}
`)
	r := mustRelation(t, cat, "crm", "customers")
	if s.SecondFactor() != 8*time.Hour {
		t.Errorf("a second factor counts for %s", s.SecondFactor())
	}
	for _, tt := range []struct {
		claim                 Claim
		outcome               string
		id, email, ssn, phone Show
		may, lacks            string
	}{
		{Claim{Login: "u"}, `u [a] for "p"`, ShowClear, ShowClear, ShowRefuse, ShowRefuse, "restrict", "export"},
		{Claim{Login: "u", Second: true}, `u [a b] for ""`, ShowClear, ShowRefuse, ShowRefuse, ShowRefuse, "export restrict erase", ""},
		{Claim{Login: "u", Second: true, Purpose: "p"}, `u [a b] for "p"`, ShowClear, ShowClear, ShowClear, ShowRefuse, "export restrict erase", ""},
		{Claim{Login: "app", User: "u", Purpose: "p"}, `u [a] for "p"`, ShowClear, ShowClear, ShowRefuse, ShowRefuse, "restrict", "export"},
		{Claim{Login: "app", User: "u", Purpose: "p", Second: true}, `u [a b] for "p"`, ShowClear, ShowClear, ShowClear, ShowRefuse, "export restrict erase", ""},
	} {
		if got := outcome(s, tt.claim); got != tt.outcome {
			t.Errorf("%+v: got %s, want %s", tt.claim, got, tt.outcome)
			continue
		}
		a, err := s.Decide(tt.claim)
		if err != nil {
			t.Fatal(err)
		}
		columns := a.Relation(r).Views[0].Columns
		for name, want := range map[string]Show{"id": tt.id, "email": tt.email, "ssn": tt.ssn, "phone": tt.phone} {
			if got := columns[r.ColumnIndex(name)]; got.Show != want {
				t.Errorf("%+v: %s is shown %v because %q, want %v", tt.claim, name, got.Show, got.Because, want)
			}
		}
		var may, lacks []string
		for _, right := range privacyRights {
			if a.May(right) {
				may = append(may, right)
			}
			if a.Lacks(right) {
				lacks = append(lacks, right)
			}
		}
		if got, want := strings.Join(may, " "), inOrder(tt.may); got != want {
			t.Errorf("%+v may %s, want %s", tt.claim, got, want)
		}
		if got := strings.Join(lacks, " "); got != tt.lacks {
			t.Errorf("%+v lacks %s, want %s", tt.claim, got, tt.lacks)
		}
	}
	only := mustAccess(t, s, "only", "")
	if ra := only.Relation(r); ra.Ops != 0 || !strings.Contains(ra.Because, "PRIVACY MFA") {
		t.Errorf("without the only role: %+v", ra)
	}
	ssn := mustAccess(t, s, "u", "").Relation(r).Views[0].Columns[r.ColumnIndex("ssn")]
	if !strings.Contains(ssn.Because, "PRIVACY MFA") || ssn.Rule != "" {
		t.Errorf("a class that needs a second factor is refused because %q by %q", ssn.Because, ssn.Rule)
	}
}

// inOrder puts rights in the order of privacyRights.
func inOrder(rights string) string {
	var found []string
	for _, right := range privacyRights {
		if strings.Contains(rights, right) {
			found = append(found, right)
		}
	}
	return strings.Join(found, " ")
}
