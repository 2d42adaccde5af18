package policy

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInventory(t *testing.T) {
	s, _ := compileText(t, `version: 1
purposes: {p: {basis: contract}, part: {within: p}, q: {basis: contract}}
classes:
  open: [crm.customers.id]
  email: [crm.customers.email]
  card: [crm.customers.phone]
roles:
  a:
    purposes: [p]
    not: [part]
    privacy: [export]
    tables:
      - {on: [crm.customers], do: [select, update], rows: "region = :region"}
      - {on: ["crm.*"], do: [select]}
  w: {purposes: [p], tables: [{on: [crm.customers], do: [update]}]}
  d: {purposes: [p], state: draft, tables: [{on: [crm.customers], do: [select]}]}
  free: {unrestricted: true}
users: {u: {roles: a, region: EU}}
rules:
  - {role: a, for: [p, q], on: email, show: first(1)}
  - {role: any, for: p, on: email, show: clear}
  - {role: a, for: p, on: card, show: refuse}
  - {role: a, for: p, on: card, show: clear, state: draft}
elevations:
  - {role: a, to: q, for: 1h, approval: none}
  - {role: w, to: q, for: 1h, approval: none}
second_factor: {classes: [email]}
`)
	inv := s.Inventory()
	var got []string
	add := func(format string, args ...any) { got = append(got, fmt.Sprintf(format, args...)) }
	for _, p := range inv.Purposes {
		add("purpose %s", p.Name)
	}
	for _, r := range inv.Roles {
		add("role %s %v %v %v %v", r.Name, r.Unrestricted, r.Held, r.Privacy, r.Permits)
	}
	for _, g := range inv.Grants {
		if g.Relation.Name == "customers" {
			add("grant %s %s %q %v", g.Role, g.Ops, g.Rows, g.Alone)
		}
	}
	for _, r := range inv.Rights {
		add("right %s for %s %v: %s %s of %v by %v", r.Role, r.Purpose, r.Elevated, r.Treatment.Class, r.Treatment.Shown(), r.Columns, r.Rules)
	}
	for _, u := range inv.Rules {
		add("rule %s %v %v %v %s", u.At, u.Roles, u.Purposes, u.Classes, u.Shown)
	}
	for _, e := range inv.Elevations {
		add("elevation %s to %s gives %v", e.Role, e.Purpose, e.Gives)
	}
	want := []string{
		"purpose p", "purpose part", "purpose q",
		"role a false true [export] [p]",
		"role free true false [] []",
		"role w false false [] [p part]",
		`grant a select, update "region = :region" false`,
		`grant w update "" true`,
		// The more exact rule decides; both would show it. Nothing is shown by
		// a rule for a purpose that the role does not serve, nor to a role that
		// reads no table.
		"right a for p false: email first(1) of [crm.customers.email] by [p.yaml:20 p.yaml:21]",
		"right a for q true: email first(1) of [crm.customers.email] by [p.yaml:20]",
		"rule p.yaml:20 [a] [p q] [email] first(1)",
		"rule p.yaml:21 [] [p] [email] clear",
		"elevation a to q gives [q]",
		"elevation w to q gives [q]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("inventory (-want +got):\n%s", diff)
	}
	if !slices.ContainsFunc(inv.Grants, func(g GrantItem) bool { return g.Role == "a" && g.Relation.Name == "orders" && g.Alone }) {
		t.Error("the wildcard gives nothing")
	}
}
