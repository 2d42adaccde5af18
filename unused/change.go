package unused

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/policy"
)

// Change is a proposal: lines of the policy that would go, and those that would
// stand in their place.
type Change struct {
	At     string   `json:"at"` // file:line
	Why    string   `json:"why"`
	Remove []string `json:"remove"`
	Add    []string `json:"add,omitempty"`
}

// changes proposes what would take away that which was not used: classes of
// rules, operations and tables of grants, elevations. Users and roles have no
// proposal: whoever has not come yet may be new.
func (t *Tally) changes() []Change {
	if t.facts.Statements == 0 {
		return nil // it is the log that is empty
	}
	return slices.Concat(t.ruleChanges(), t.grantChanges(), t.elevationChanges())
}

// ruleChanges narrows rules. Two rules of one line cannot be told apart by what
// the decisions cite, and a class that another rule would show then must stay.
func (t *Tally) ruleChanges() []Change {
	lines := map[string]int{}
	for _, u := range t.inventory.Rules {
		lines[u.At]++
	}
	var changes []Change
	for _, u := range t.inventory.Rules {
		if lines[u.At] > 1 || u.Classes == nil {
			continue
		}
		kept := slices.DeleteFunc(slices.Clone(u.Classes), func(class string) bool { return t.removable(u.At, class) })
		if len(kept) == len(u.Classes) {
			continue
		}
		c := Change{At: u.At, Why: "no statement used what it shows", Remove: []string{ruleText(u, u.Classes)}}
		if len(kept) > 0 {
			gone := slices.DeleteFunc(slices.Clone(u.Classes), func(class string) bool { return slices.Contains(kept, class) })
			c.Why, c.Add = "no statement used "+strings.Join(gone, ", ")+" by it", []string{ruleText(u, kept)}
		}
		changes = append(changes, c)
	}
	return changes
}

// removable tells whether a rule's word on a class gives rights that were not
// used, each for certain, and that no other rule would give in its place.
func (t *Tally) removable(rule, class string) bool {
	gives := false
	for _, r := range t.inventory.Rights {
		if r.Treatment.Class != class || !slices.Contains(r.Rules, rule) {
			continue
		}
		gives = true
		unused := t.counts[item{kind: KindRight, role: r.Role, purpose: r.Purpose, name: class}].statements == 0
		if !unused || len(r.Rules) > 1 || t.blind[item{role: r.Role, purpose: r.Purpose}] > 0 {
			return false
		}
	}
	return gives // what gives nothing, pgveil check reports
}

func ruleText(u policy.RuleItem, classes []string) string {
	return fmt.Sprintf("{role: %s, for: %s, on: %s, show: %s, …}", names(u.Roles), names(u.Purposes), names(classes), quoted(u.Shown))
}

// names writes a list as a policy does.
func names(list []string) string {
	switch len(list) {
	case 0:
		return "any"
	case 1:
		return list[0]
	default:
		return "[" + strings.Join(list, ", ") + "]"
	}
}

// quoted puts what YAML would read otherwise into quotes.
func quoted(s string) string {
	if s == "null" || strings.ContainsAny(s, ",:'\"#") {
		return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
	}
	return s
}

// grantChanges narrows entries under a role's tables. A relation that another
// entry of the role would give instead must stay.
func (t *Tally) grantChanges() []Change {
	var changes []Change
	for _, g := range t.inventory.Grants {
		var kept policy.Ops
		blind := false
		for key := range t.blind {
			blind = blind || key.role == g.Role
		}
		for _, op := range operations(g.Ops) {
			if t.counts[item{kind: KindGrant, role: g.Role, name: g.Relation.QualifiedName(), op: op}].statements > 0 {
				kept |= op
			}
		}
		if kept == g.Ops || blind || kept == 0 && !g.Alone {
			continue
		}
		c := Change{At: g.At, Why: "role " + g.Role + " never did " + (g.Ops &^ kept).String(), Remove: []string{grantText(g, g.Ops)}}
		if kept != 0 {
			c.Add = []string{grantText(g, kept)}
		}
		changes = append(changes, c)
	}
	return changes
}

func grantText(g policy.GrantItem, ops policy.Ops) string {
	text := fmt.Sprintf("{on: [%s], do: [%s]", g.Relation.QualifiedName(), ops)
	if g.Rows != "" {
		text += ", rows: " + fmt.Sprintf("%q", g.Rows)
	}
	return text + "}"
}

func (t *Tally) elevationChanges() []Change {
	var changes []Change
	for _, e := range t.inventory.Elevations {
		if t.counts[item{kind: KindElevation, role: e.Role, purpose: e.Purpose}].statements == 0 {
			changes = append(changes, Change{
				At: e.At, Why: "no statement was made under it",
				Remove: []string{fmt.Sprintf("{role: %s, to: %s, …}", e.Role, e.Purpose)},
			})
		}
	}
	return changes
}
