package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestElevations(t *testing.T) {
	s, cat := compileText(t, claims)
	later := testDay.Add(time.Hour)
	to := func(role, purpose string) []Elevation { return []Elevation{{role, purpose, later}} }
	for _, tt := range []struct {
		name  string
		claim Claim
		want  string
	}{
		{"in force", Claim{Login: "plain", Purpose: "billing", Elevations: to("agent", "billing")}, `plain [agent] for "billing"`},
		{"never implied", Claim{Login: "plain", Elevations: to("agent", "billing")}, `plain [agent] for "support"`},
		{"to another purpose", Claim{Login: "plain", Purpose: "billing", Elevations: to("agent", "audit")}, "purpose refused, permitted [support], elevate true"},
		{"over", Claim{Login: "plain", Purpose: "billing", Elevations: []Elevation{{"agent", "billing", testDay}}}, "purpose refused, permitted [support], elevate true"},
		{"without an end", Claim{Login: "plain", Purpose: "billing", Elevations: []Elevation{{Role: "agent", Purpose: "billing"}}}, "purpose refused, permitted [support], elevate true"},
		{"that the policy offers no more", Claim{Login: "plain", Purpose: "root", Elevations: to("agent", "root")}, "purpose refused, permitted [support], elevate false"},
		{"to nothing", Claim{Login: "plain", Purpose: "", Elevations: to("agent", "")}, `plain [agent] for "support"`},
		{"of a role not held", Claim{Login: "root", Second: true, Purpose: "billing", Elevations: to("agent", "billing")}, `root [dba] for "billing"`},
		{"of a role that a token took", Claim{Login: "bob", Purpose: "audit", Elevations: to("agent", "audit"), Vouched: &Vouched{Roles: []string{"clerk"}}}, "purpose refused, permitted [billing], elevate false"},
		{"behind a login, vouched for", Claim{Login: "app", User: "alice", Purpose: "billing", Elevations: to("agent", "billing"), Vouched: &Vouched{}}, `alice [agent] for "billing"`},
		{"behind a login, only said", Claim{Login: "app", User: "alice", Purpose: "billing", Elevations: to("agent", "billing")}, "purpose refused, permitted [support], elevate true"},
		{"of somebody who lapsed", Claim{Login: "lapsed", Purpose: "billing", Elevations: to("agent", "billing")}, `lapsed [] for ""`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := outcome(s, tt.claim); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}

	a, err := s.Decide(Claim{Login: "plain", Purpose: "billing", Elevations: to("agent", "billing")})
	if err != nil {
		t.Fatal(err)
	}
	orders := a.Relation(mustRelation(t, cat, "crm", "orders"))
	if orders.Ops != 0 {
		t.Errorf("an elevation of one role reaches the tables of another: %+v", orders)
	}
	if diff := cmp.Diff([]string{"support"}, a.Purposes); diff != "" {
		t.Errorf("an elevation is among what the roles permit (-want +got):\n%s", diff)
	}
	if len(s.accesses) != 0 {
		t.Errorf("%d accesses of elevated callers are kept beyond their end", len(s.accesses))
	}
}

// The rules for a purpose hold while a role serves it, and no longer.
func TestElevatedColumns(t *testing.T) {
	s, cat := compileText(t, `
version: 1
purposes: {p: {basis: contract}, q: {basis: contract}}
classes: {email: [crm.customers.email]}
roles: {r: {purposes: p, tables: [{on: crm.customers}]}, other: {purposes: p, tables: [{on: crm.customers}]}}
users: {u: {roles: [r, other]}}
rules: [{role: any, for: q, on: email, show: clear}]
elevations: [{role: r, to: q, for: 1h, approval: none}]
`)
	r := mustRelation(t, cat, "crm", "customers")
	show := func(c Claim) Show {
		a, err := s.Decide(c)
		if err != nil {
			t.Fatal(err)
		}
		return a.Relation(r).Views[0].Columns[r.ColumnIndex("email")].Show
	}
	elevations := []Elevation{{"r", "q", testDay.Add(time.Hour)}}
	if got := show(Claim{Login: "u", Purpose: "q", Elevations: elevations}); got != ShowClear {
		t.Errorf("an elevated role sees %v", got)
	}
	if got := show(Claim{Login: "u", Elevations: elevations}); got != ShowRefuse {
		t.Errorf("for the purpose that is not elevated it sees %v", got)
	}
}

func TestOffers(t *testing.T) {
	s, _ := compileText(t, `
version: 1
purposes: {a: {basis: contract}, b: {basis: contract}, c: {basis: contract}, p: {basis: contract}}
roles: {r: {purposes: p}, s: {purposes: p}, boss: {purposes: p}}
users: {ann: {roles: [r, s]}, ben: {roles: s}, app: {act_as: [r, boss]}, max: {roles: boss}}
elevations:
  - {role: r, to: b, for: 1h, by: boss}
  - {role: s, to: b, for: 30m, approval: after, by: [boss, r]}
  - {role: r, to: a, for: 1h, approval: none}
  - {role: s, to: a, for: 2h, approval: none}
  - {role: s, to: c, for: 1h, approval: none, second_factor: true}
`)
	decide := func(c Claim) *Access {
		t.Helper()
		a, err := s.Decide(c)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	list := func(c Claim) string {
		var lines []string
		for _, o := range decide(c).Offers() {
			line := o.Role + ": " + o.String()
			if o.Second {
				line += ", with a second factor"
			}
			lines = append(lines, line)
		}
		return strings.Join(lines, "\n")
	}
	want := "s: a, for up to 2h0m0s\ns: b, for up to 30m0s, reviewed afterwards by boss or r\ns: c, for up to 1h0m0s, with a second factor"
	if diff := cmp.Diff(want, list(Claim{Login: "ann"})); diff != "" {
		t.Errorf("offers (-want +got):\n%s", diff)
	}
	if got := list(Claim{Login: "ann", Second: true}); strings.Contains(got, "second factor") {
		t.Errorf("a second factor was given and is asked for:\n%s", got)
	}
	if got := list(Claim{Login: "app", User: "ann"}); got != "" {
		t.Errorf("whoever only says who they are is offered:\n%s", got)
	}
	if got := list(Claim{Login: "app", User: "ann", Vouched: &Vouched{}}); got != "r: a, for up to 1h0m0s\nr: b, for up to 1h0m0s, once approved by boss" {
		t.Errorf("behind a login are offered:\n%s", got)
	}
	for _, tt := range []struct {
		claim         Claim
		role, purpose string
		want          bool
	}{
		{Claim{Login: "max"}, "r", "b", true},
		{Claim{Login: "max"}, "s", "b", true},
		{Claim{Login: "ann"}, "s", "b", true}, // having r; that it is their own is for whoever records it
		{Claim{Login: "ann"}, "r", "b", false},
		{Claim{Login: "max"}, "r", "a", false}, // nobody has to
		{Claim{Login: "max"}, "r", "p", false}, // there is no such
		{Claim{Login: "app", User: "max"}, "r", "b", false},
		{Claim{Login: "app", User: "max", Vouched: &Vouched{}}, "r", "b", true},
		{Claim{Login: "app", User: "max", Vouched: &Vouched{Until: testDay}}, "r", "b", false},
	} {
		if got := decide(tt.claim).Decides(tt.role, tt.purpose); got != tt.want {
			t.Errorf("%+v decides on %s to %s: %t, want %t", tt.claim, tt.role, tt.purpose, got, tt.want)
		}
	}
	if nothing, _ := compileText(t, "version: 1"); !s.Elevates() || nothing.Elevates() {
		t.Error("Elevates does not tell whether the policy elevates anybody")
	}
}
