package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// Inventory is everything that a policy grants, item by item: for whoever
// compares what is granted with what is used. Drafts grant nothing, and are not
// in it.
type Inventory struct {
	Purposes   []Named
	Roles      []RoleItem
	Users      []Named
	Grants     []GrantItem
	Rights     []Right
	Rules      []RuleItem
	Elevations []ElevationItem

	Unclassified Treatment // of columns in no class, in the tables that a role reads
	Observing    bool      // nothing is enforced: everybody sees everything
}

// Named is a name and the line that it is defined at.
type Named struct{ Name, At string }

// RoleItem is a role.
type RoleItem struct {
	Named
	Unrestricted bool
	Held         bool     // some user, group or login may have it
	Privacy      []string // the rights of data subjects that it serves
	Limits       Limits   // of those who have it
	Permits      []string // the purposes that it serves without an elevation, sorted
}

// GrantItem is what a role's entry gives of one relation.
type GrantItem struct {
	Role, At string
	Relation *catalog.Relation
	Ops      Ops
	Rows     string // the row filter as it is written
	Alone    bool   // no other entry of the role would give the relation in its place
}

// Right is a class that a role shows for a purpose, in the tables that it reads.
// Open columns are shown by no rule, so they make no right.
type Right struct {
	Role, Purpose string
	Elevated      bool // only while the role is elevated
	Treatment     Treatment
	Columns       []string // schema.table.column, sorted
	Rules         []string // all rules that show the class to the role for the purpose, the deciding one among them
}

// RuleItem is a rule that shows something. nil names stand for any.
type RuleItem struct {
	At                       string
	Roles, Purposes, Classes []string
	Shown                    string
}

// ElevationItem is an elevation that a role may ask for.
type ElevationItem struct {
	Role, Purpose, At string
	Gives             []string // the purposes that the role serves by it alone
}

// Governed gives the relations that the policy speaks of, in the order of their
// names.
func (s *Set) Governed() []*catalog.Relation {
	all := make([]*catalog.Relation, len(s.governed))
	for i, t := range s.governed {
		all[i] = t.relation
	}
	return all
}

// Limits gives what bounds everybody.
func (s *Set) Limits() Limits { return s.doc.limits }

// Inventory lists what the policy grants now.
func (s *Set) Inventory() Inventory {
	inv := Inventory{Unclassified: s.doc.unclassified, Observing: s.doc.observe}
	for _, name := range slices.Sorted(maps.Keys(s.doc.purposes)) {
		inv.Purposes = append(inv.Purposes, s.doc.purposes[name].name.item())
	}
	for _, name := range slices.Sorted(maps.Keys(s.doc.users)) {
		inv.Users = append(inv.Users, s.doc.users[name].name.item())
	}
	for _, name := range slices.Sorted(maps.Keys(s.roles)) {
		r := s.roles[name]
		if r.state == drafted {
			continue
		}
		inv.Roles = append(inv.Roles, RoleItem{r.name.item(), r.unrestricted, s.held(name), slices.Clone(r.privacy), r.limits, slices.Clone(r.permits)})
		inv.Grants = append(inv.Grants, s.grantItems(r)...)
		inv.Rights = append(inv.Rights, s.rights(r)...)
	}
	for _, u := range s.doc.rules {
		if u.state == enforced && u.treatment.Show != ShowRefuse {
			inv.Rules = append(inv.Rules, RuleItem{u.pos.line(), u.roles.named(), u.purposes.named(), u.classes.named(), u.treatment.Shown()})
		}
	}
	for _, e := range s.doc.elevations {
		item := ElevationItem{Role: e.role.text, Purpose: e.to.text, At: e.pos.line()}
		for _, p := range inv.Purposes {
			if s.doc.within(s.doc.purposes[p.Name], []word{e.to}) && !slices.Contains(s.roles[item.Role].permits, p.Name) {
				item.Gives = append(item.Gives, p.Name)
			}
		}
		inv.Elevations = append(inv.Elevations, item)
	}
	return inv
}

func (w word) item() Named { return Named{w.text, w.pos.line()} }

func (s selector) named() []string {
	if s.any {
		return nil
	}
	return texts(s.words)
}

func (s *Set) grantItems(r *compiledRole) []GrantItem {
	var items []GrantItem
	for _, t := range s.governed {
		e := r.grants[t.relation]
		if e == nil {
			continue
		}
		entries := 0
		for i := range r.tables {
			if slices.ContainsFunc(r.tables[i].on, func(p pattern) bool { return p.matches(t.relation.Schema, t.relation.Name) }) {
				entries++
			}
		}
		items = append(items, GrantItem{r.name.text, e.pos.line(), t.relation, e.ops, e.rows.written(), entries == 1})
	}
	return items
}

// written gives the filter as the policy has it.
func (f filter) written() string {
	var b strings.Builder
	for i, text := range f.text {
		b.WriteString(text)
		if i < len(f.names) {
			b.WriteString(":" + f.names[i])
		}
	}
	return b.String()
}

// rights lists what a role shows when it is a caller's only one, nothing that
// could be given is missing, and an elevation is in force where one is needed.
func (s *Set) rights(r *compiledRole) []Right {
	columns := s.readColumns(r)
	var found []Right
	for _, name := range slices.Sorted(maps.Keys(s.doc.purposes)) {
		p := s.doc.purposes[name]
		d := &decisions{set: s, roles: []*compiledRole{r}, purpose: p, second: true, at: s.now()}
		for _, e := range s.doc.elevations {
			if e.role.text == r.name.text {
				d.elevations = append(d.elevations, Elevation{Role: e.role.text, Purpose: e.to.text})
			}
		}
		if !d.serves(r, p) {
			continue
		}
		for _, class := range slices.Sorted(maps.Keys(columns)) {
			t := d.class(r, class)
			if t.Show == ShowRefuse {
				continue
			}
			found = append(found, Right{r.name.text, name, !slices.Contains(r.permits, name), t, columns[class], s.showing(r, p, class)})
		}
	}
	return found
}

// readColumns gives the columns that a role may read the rows of, by class.
func (s *Set) readColumns(r *compiledRole) map[string][]string {
	columns := map[string][]string{}
	for _, t := range s.governed {
		if e := r.grants[t.relation]; e == nil || !e.ops.Has(Select) {
			continue
		}
		for i, class := range t.classes {
			if class != openClass {
				columns[class] = append(columns[class], t.relation.QualifiedName()+"."+t.relation.Columns[i].Name)
			}
		}
	}
	return columns
}

// showing lists the rules that would show a class, the deciding one or not.
func (s *Set) showing(r *compiledRole, p *purpose, class string) []string {
	var found []string
	for _, u := range s.doc.rules {
		if u.state != drafted && u.treatment.Show != ShowRefuse && u.roles.matches(r.name.text) && s.doc.concerns(u, p) && u.classes.matches(class) {
			found = append(found, u.pos.line())
		}
	}
	return found
}

// ClassifiedColumn is a column with data that not everybody sees.
type ClassifiedColumn struct {
	Column string // schema.table.column
	Class  string
}

// Classified gives the columns of tables that are in a class other than open.
// Those of views are columns of tables.
func (s *Set) Classified() []ClassifiedColumn {
	var all []ClassifiedColumn
	for _, t := range s.governed {
		for i, class := range t.classes {
			if class != "" && class != openClass && stores(t.relation) {
				all = append(all, ClassifiedColumn{t.relation.QualifiedName() + "." + t.relation.Columns[i].Name, class})
			}
		}
	}
	return all
}

// Stores tells whether a name is that of a table whose rows are its own: no view,
// and no partition.
func (s *Set) Stores(name string) bool {
	return slices.ContainsFunc(s.governed, func(t *table) bool { return t.relation.QualifiedName() == name && stores(t.relation) })
}

func stores(r *catalog.Relation) bool {
	return (r.Kind == catalog.Table || r.Kind == catalog.PartitionedTable) && !r.Partition
}
