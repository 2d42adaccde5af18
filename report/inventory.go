package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// InventorySchema names the form of an Inventory as JSON and YAML. Fields may be
// added to it; none changes its meaning.
const InventorySchema = "pgveil.report.inventory/1"

// Inventory is every column that a policy governs: what it is, whose, who sees
// it for what, and how long it stays. It is what the policy says, and nothing of
// what was done: ROPA holds that to the access log.
type Inventory struct {
	Schema   string             `json:"schema"`
	Made     time.Time          `json:"made"`
	Policy   string             `json:"policy"` // its generation
	Notes    []string           `json:"notes"`
	Limits   []string           `json:"limits"` // of everybody
	Purposes []InventoryPurpose `json:"purposes"`
	Roles    []InventoryRole    `json:"roles"`
	Tables   []InventoryTable   `json:"tables"` // by name
}

// InventoryPurpose is what data is used for.
type InventoryPurpose struct {
	Name            string   `json:"name"`
	About           string   `json:"about,omitempty"`
	Basis           string   `json:"basis,omitempty"`
	Consent         string   `json:"consent,omitempty"`
	Within          string   `json:"within,omitempty"`
	Means           string   `json:"means,omitempty"`
	DirectMarketing bool     `json:"direct_marketing,omitempty"`
	Limits          []string `json:"limits,omitempty"`
}

// InventoryRole is who sees data.
type InventoryRole struct {
	Name         string   `json:"name"`
	Purposes     []string `json:"purposes"`
	Unrestricted bool     `json:"unrestricted,omitempty"` // it sees everything
	Nobody       bool     `json:"nobody,omitempty"`       // has it
	Privacy      []string `json:"privacy,omitempty"`
	Limits       []string `json:"limits,omitempty"`
}

// InventoryTable is a table or view.
type InventoryTable struct {
	Table     string             `json:"table"`
	Kind      string             `json:"kind"`
	Subjects  []string           `json:"subjects"`           // kinds of people whose rows it holds
	Mentions  []string           `json:"mentions,omitempty"` // further kinds: its rows live on without them
	Grants    []InventoryGrant   `json:"grants"`
	Retention []string           `json:"retention"`
	Erasure   []InventoryErasure `json:"erasure"`
	Columns   []InventoryColumn  `json:"columns"`
}

// InventoryGrant is what a role may do to a table.
type InventoryGrant struct {
	Role string `json:"role"`
	Do   string `json:"do"`
	Rows string `json:"rows,omitempty"` // the condition; "" for every row
}

// InventoryErasure is what becomes of a table's rows when their subject is
// erased.
type InventoryErasure struct {
	Subject string `json:"subject"`
	Do      string `json:"do"`
	Because string `json:"because,omitempty"`
	For     string `json:"for,omitempty"`
	After   string `json:"after,omitempty"`
}

// InventoryColumn is a column, and who sees it.
type InventoryColumn struct {
	Column   string          `json:"column"`
	Type     string          `json:"type"`
	Class    string          `json:"class"` // "" for one that nobody classified
	About    string          `json:"about,omitempty"`
	Special  bool            `json:"special,omitempty"`
	Sealed   string          `json:"sealed,omitempty"`
	Provided bool            `json:"provided,omitempty"` // by the subject
	Origin   []string        `json:"origin,omitempty"`   // a key, what it refers to, what it is made of
	Erased   string          `json:"erased,omitempty"`   // what its values become in rows that an erasure anonymises
	Limits   []string        `json:"limits,omitempty"`   // on values of its class
	Seen     []InventorySeen `json:"seen"`               // by nobody when empty
}

// InventorySeen is how a role sees a column for a purpose.
type InventorySeen struct {
	Purpose  string `json:"purpose"` // "" for any, or none
	Basis    string `json:"basis,omitempty"`
	Role     string `json:"role"`
	Shown    string `json:"shown"`
	Match    string `json:"match,omitempty"`    // what conditions on a masked column see
	Elevated bool   `json:"elevated,omitempty"` // only while the role is elevated
	Rule     string `json:"rule,omitempty"`
}

// TakeInventory lists what a policy governs.
func TakeInventory(set *policy.Set) Inventory {
	t := taker{set: set, granted: set.Inventory(), declared: set.Processing(), seen: map[string][]InventorySeen{}, grants: map[*catalog.Relation][]policy.GrantItem{}, owned: ownedRelations(set)}
	t.look()
	v := Inventory{Schema: InventorySchema, Policy: set.Generation(), Limits: append([]string{}, set.Limits().Texts()...), Tables: []InventoryTable{}}
	for _, p := range t.declared.Purposes {
		v.Purposes = append(v.Purposes, InventoryPurpose{p.Name, p.About, p.Basis, p.Consent, p.Within, p.Means, p.DirectMarketing, p.Limits.Texts()})
	}
	for _, r := range t.granted.Roles {
		v.Roles = append(v.Roles, InventoryRole{r.Name, append([]string{}, r.Permits...), r.Unrestricted, !r.Held, r.Privacy, r.Limits.Texts()})
	}
	for _, r := range set.Governed() {
		v.Tables = append(v.Tables, t.table(r))
	}
	v.Notes = v.notes()
	if t.granted.Observing {
		v.Notes = append([]string{"The policy has mode: observe. Nothing of it is enforced: everybody sees everything"}, v.Notes...)
	}
	return v
}

// taker takes an inventory.
type taker struct {
	set      *policy.Set
	granted  policy.Inventory
	declared policy.Processing
	seen     map[string][]InventorySeen // by the whole names of columns
	grants   map[*catalog.Relation][]policy.GrantItem
	owned    map[string]map[*catalog.Relation]bool // by kind of subject
}

// look sorts what the policy grants by what it grants it of.
func (t *taker) look() {
	basis := map[string]string{}
	for _, p := range t.declared.Purposes {
		basis[p.Name] = p.Basis
	}
	for _, g := range t.granted.Grants {
		t.grants[g.Relation] = append(t.grants[g.Relation], g)
	}
	for _, r := range t.granted.Rights {
		s := InventorySeen{Purpose: r.Purpose, Basis: basis[r.Purpose], Role: r.Role, Shown: r.Treatment.Shown(), Elevated: r.Elevated, Rule: r.Treatment.Rule}
		if r.Treatment.Show == policy.ShowMasked {
			s.Match = r.Treatment.Match.String()
		}
		for _, c := range r.Columns {
			t.seen[c] = append(t.seen[c], s)
		}
	}
}

func (t *taker) table(r *catalog.Relation) InventoryTable {
	name := r.QualifiedName()
	table := InventoryTable{
		Table: name, Kind: relationKind(r.Kind), Subjects: []string{},
		Grants: []InventoryGrant{}, Retention: []string{}, Erasure: []InventoryErasure{}, Columns: []InventoryColumn{},
	}
	for _, g := range t.grants[r] {
		table.Grants = append(table.Grants, InventoryGrant{g.Role, g.Ops.String(), g.Rows})
	}
	for _, rule := range t.set.Retention() {
		if rule.Relation == r || slices.Contains(rule.With, r) {
			table.Retention = append(table.Retention, rule.String())
		}
	}
	for _, s := range t.set.Subjects() {
		owned := t.owned[s.Name][r]
		switch {
		case owned:
			table.Subjects = append(table.Subjects, s.Name)
		case slices.Contains(t.declared.Kinds[name], s.Name):
			table.Mentions = append(table.Mentions, s.Name)
		default:
			continue
		}
		if r.Kind != catalog.View && r.Kind != catalog.MaterializedView {
			table.Erasure = append(table.Erasure, erasureOf(s, r, owned))
		}
	}
	for i := range r.Columns {
		table.Columns = append(table.Columns, t.column(r, &r.Columns[i]))
	}
	return table
}

func relationKind(k catalog.RelKind) string {
	switch k {
	case catalog.Table:
		return "table"
	case catalog.PartitionedTable:
		return "partitioned table"
	case catalog.View:
		return "view"
	case catalog.MaterializedView:
		return "materialized view"
	case catalog.ForeignTable:
		return "foreign table"
	default:
		return "relation"
	}
}

// erasureOf gives what becomes of a subject's rows where the policy says so, and
// what becomes of them where it does not.
func erasureOf(s policy.Subject, r *catalog.Relation, owned bool) InventoryErasure {
	for _, h := range s.Erase {
		if h.Relation == r {
			return InventoryErasure{s.Name, h.Do.String(), h.Because, h.For.String(), h.After}
		}
	}
	if !owned {
		return InventoryErasure{Subject: s.Name, Do: "take the reference out"}
	}
	return InventoryErasure{Subject: s.Name, Do: policy.FateDelete.String()}
}

func (t *taker) column(r *catalog.Relation, c *catalog.Column) InventoryColumn {
	col := InventoryColumn{Column: c.Name, Type: c.Type.SQL, Origin: t.origin(r, c), Seen: []InventorySeen{}}
	class, classified := t.set.Class(r, c.Name)
	if !classified {
		if u := t.granted.Unclassified; u.Show == policy.ShowMasked && u.Mask.Applies(c.Type) == nil {
			col.Seen = t.readers(r, u.Shown())
		}
		return col
	}
	col.Class, col.About, col.Special, col.Sealed = class.Name, class.About, class.Special, class.Sealing.Mode.String()
	col.Provided, col.Erased = class.Provided, class.Erase.String()
	col.Limits = t.limitsOn(class.Name)
	if !class.Open() {
		col.Seen = append(col.Seen, t.seen[r.QualifiedName()+"."+c.Name]...)
		return col
	}
	col.Seen = t.readers(r, shownClear)
	return col
}

// readers gives the roles that read a relation, who all see something alike.
func (t *taker) readers(r *catalog.Relation, shown string) []InventorySeen {
	all := []InventorySeen{}
	for _, g := range t.grants[r] {
		if g.Ops.Has(policy.Select) {
			all = append(all, InventorySeen{Role: g.Role, Shown: shown})
		}
	}
	return all
}

// limitsOn lists the limits on how many values of a class anybody gets.
func (t *taker) limitsOn(class string) []string {
	var texts []string
	add := func(who string, l policy.Limits) {
		for _, limit := range l.Each {
			if limit.Of == policy.LimitValues && limit.Name == class {
				texts = append(texts, who+": "+limit.String())
			}
		}
	}
	add("everybody", t.set.Limits())
	for _, r := range t.granted.Roles {
		add("role "+r.Name, r.Limits)
	}
	for _, p := range t.declared.Purposes {
		add("purpose "+p.Name, p.Limits)
	}
	return texts
}

// origin says what a column is made of, or stands for.
func (t *taker) origin(r *catalog.Relation, c *catalog.Column) []string {
	var found []string
	if i := r.ColumnIndex(c.Name); slices.Contains(r.PrimaryKey, i) {
		found = append(found, "primary key")
	}
	for _, s := range t.set.Subjects() {
		if s.Relation == r && s.Key == c.Name {
			found = append(found, "key of "+s.Name)
		}
		for _, ref := range s.References {
			if ref.Relation == r && slices.Contains(ref.Columns, c.Name) {
				found = append(found, referenceText(s, ref))
			}
		}
	}
	for _, fk := range r.ForeignKeys {
		if slices.Contains(fk.Columns, c.Name) {
			found = append(found, fmt.Sprintf("foreign key to %s.%s", fk.RefSchema, fk.RefTable))
		}
	}
	if c.Generated {
		found = append(found, "computed from other columns")
	}
	if r.Kind == catalog.View || r.Kind == catalog.MaterializedView {
		found = append(found, "computed by the view")
	}
	return found
}

// referenceText says what a declared reference leads to.
func referenceText(s policy.Subject, ref policy.Reference) string {
	text := fmt.Sprintf("refers to %s (%s)", ref.To.QualifiedName(), s.Name)
	if len(ref.Path) > 0 {
		text += " by " + strings.Join(ref.Path, ".")
	}
	for _, w := range ref.Where {
		text += fmt.Sprintf(" where %s is %s", w.Column, strings.Join(w.Values, " or "))
	}
	return text
}
