package dsar

import (
	"slices"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// shown is a table as it appears in an export: with all its columns, or those
// that the subject may take along.
type shown struct {
	*Table
	columns []catalog.Column
	sealed  map[string]*policy.Sealed // by name
}

// shown gives the tables of an export with the columns that it shows, without
// tables that it shows nothing of.
func (g *Graph) shown(portable bool) ([]shown, error) {
	var all []shown
	grounds := map[string]bool{}
	if portable {
		grounds = g.agreed()
	}
	for _, t := range g.Tables {
		s := shown{t, slices.DeleteFunc(slices.Clone(t.Relation.Columns), func(c catalog.Column) bool { return g.blind(t, c.Name) }), g.sealedOf(t)}
		if portable {
			s.columns = slices.DeleteFunc(s.columns, func(c catalog.Column) bool {
				class, ok := g.set.Class(t.Relation, c.Name)
				return !ok || !class.Provided || !grounds[t.Relation.QualifiedName()+"."+c.Name]
			})
		}
		if len(s.columns) > 0 {
			all = append(all, s)
		}
	}
	if all == nil {
		return nil, privacy.Fail(privacy.NotAvailable, `say "provided: true" of the classes that subjects give themselves`,
			"the policy knows nothing that a %s provided and that is used under consent or a contract", g.Subject.Name)
	}
	return all, nil
}

// left gives the columns that are not shown, as SQL literals.
func (t shown) left() []string {
	var left []string
	for _, c := range t.Relation.Columns {
		if !t.shows(c.Name) {
			left = append(left, literal(c.Name))
		}
	}
	return left
}

func (t shown) shows(name string) bool {
	return slices.ContainsFunc(t.columns, func(c catalog.Column) bool { return c.Name == name })
}

// among gives those of some columns that are shown.
func (t shown) among(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !t.shows(name) })
}

// use is one of a column that the policy lets a role make for a purpose.
type use struct {
	role, purpose string
	column        string // schema.table.column
}

// uses gives what the policy lets be done with the tables that hold rows of the
// subject. No rule speaks of open columns: whoever reads the table sees them.
func (g *Graph) uses() []use {
	inv := g.set.Inventory()
	reached := map[*catalog.Relation]bool{}
	columns := map[string]bool{}
	for _, t := range g.Tables {
		reached[t.Relation] = true
		for _, c := range t.Relation.Columns {
			columns[t.Relation.QualifiedName()+"."+c.Name] = true
		}
	}
	var all []use
	for _, r := range inv.Rights {
		for _, c := range r.Columns {
			if columns[c] {
				all = append(all, use{r.Role, r.Purpose, c})
			}
		}
	}
	permits := map[string][]string{}
	for _, r := range inv.Roles {
		permits[r.Name] = r.Permits
	}
	for _, grant := range inv.Grants {
		if !reached[grant.Relation] || !grant.Ops.Has(policy.Select) {
			continue
		}
		for _, c := range grant.Relation.Columns {
			if class, ok := g.set.Class(grant.Relation, c.Name); ok && class.Open() {
				for _, purpose := range permits[grant.Role] {
					all = append(all, use{grant.Role, purpose, grant.Relation.QualifiedName() + "." + c.Name})
				}
			}
		}
	}
	return all
}

// agreed gives the columns that are used for a purpose that rests on consent or
// on a contract.
func (g *Graph) agreed() map[string]bool {
	rests := map[string]bool{}
	for _, p := range g.set.Grounds() {
		rests[p.Purpose] = p.Basis == "consent" || p.Basis == "contract"
	}
	found := map[string]bool{}
	for _, u := range g.uses() {
		if rests[u.purpose] {
			found[u.column] = true
		}
	}
	return found
}
