package dsar

import (
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// Link is a reference from rows to rows: a foreign key, or a column that the
// policy declares to refer to a subject.
type Link struct {
	From, To            *catalog.Relation // as declared, perhaps partitions
	Columns, RefColumns []string          // of From and To, one for one
	Declared            bool              // by the policy: no constraint stands behind it
	Loose               bool              // ON DELETE SET NULL or SET DEFAULT: the row lives on without what it refers to
	Confirmed           bool              // the policy says that what refers by it is the subject's, though it is a table that refers to itself

	by      *policy.Reference // of a declared one
	several bool              // one row may refer to several rows by it, as far as the catalog tells
}

// String names the columns that refer: crm.orders.customer_id. Of a reference
// that holds for some rows, or lies within JSON, it says so.
func (l *Link) String() string {
	name := l.From.QualifiedName() + ".(" + strings.Join(l.Columns, ", ") + ")"
	if len(l.Columns) == 1 {
		name = l.From.QualifiedName() + "." + l.Columns[0]
	}
	if l.by == nil {
		return name
	}
	if l.by.Path != nil {
		name += ":" + strings.Join(l.by.Path, ".")
	}
	for i, w := range l.by.Where {
		word := " where "
		if i > 0 {
			word = " and "
		}
		name += word + w.Column + " is " + strings.Join(w.Values, " or ")
	}
	return name
}

// Many tells whether one row may refer to several by it: an array, or JSON.
// Such a reference is not ended by NULL, which would end those to others too.
func (l *Link) Many() bool { return l.by != nil && l.by.Many() }

// sometimes tells whether only some rows have the reference.
func (l *Link) sometimes() bool { return l.by != nil && l.by.Where != nil }

// byOwnKey tells whether rows are found by what they are known by themselves, as
// those are that a join table names. What leads to them may go: their key is
// no reference that must end.
func (l *Link) byOwnKey() bool {
	notIn := func(at int) bool { return !slices.Contains(l.Columns, l.From.Columns[at].Name) }
	return l.several && l.From.PrimaryKey != nil && !slices.ContainsFunc(l.From.PrimaryKey, notIn)
}

// nullable gives the columns that can be set null to end the reference.
func (l *Link) nullable() []string {
	var found []string
	if l.Many() {
		return nil
	}
	for _, name := range l.Columns {
		if c, ok := l.From.Column(name); ok && !c.NotNull && !c.Generated {
			found = append(found, name)
		}
	}
	return found
}

// mandatory tells whether no row is without the reference.
func (l *Link) mandatory() bool { return !l.Many() && !l.sometimes() && len(l.nullable()) == 0 }

// allLinks gives every reference between governed relations, in the order of the
// relations' names.
func (b *builder) allLinks() []*Link {
	var links []*Link
	for _, r := range b.cat.Relations() {
		if !r.Governed() {
			continue
		}
		for _, from := range b.ancestry(r) {
			for _, fk := range from.ForeignKeys {
				to, ok := b.cat.Relation(nil, fk.RefSchema, fk.RefTable)
				if ok && !b.inherited(r, fk) {
					loose := fk.OnDelete == 'n' || fk.OnDelete == 'd'
					links = append(links, &Link{From: r, To: to, Columns: fk.Columns, RefColumns: fk.RefColumns, Loose: loose})
				}
			}
		}
	}
	for _, s := range b.set.Subjects() {
		for i := range s.References {
			links = b.declare(links, &s.References[i])
		}
	}
	return links
}

// declare adds a reference of the policy, and where it leads to a table that
// others inherit from one to each of those: a constraint would hold for the
// table's own rows only. One that repeats a foreign key confirms it.
func (b *builder) declare(links []*Link, ref *policy.Reference) []*Link {
	repeats := func(k *Link) bool {
		return k.From == ref.Relation && k.To == ref.To && slices.Equal(k.Columns, ref.Columns) && slices.Equal(k.RefColumns, ref.ToColumns)
	}
	if i := slices.IndexFunc(links, repeats); i >= 0 && ref.Plain() && (links[i].by == nil || links[i].by.Plain()) {
		links[i].Confirmed = true
		return links
	}
	for _, to := range append([]*catalog.Relation{ref.To}, b.heirs(ref.To)...) {
		links = append(links, &Link{From: ref.Relation, To: to, Columns: ref.Columns, RefColumns: ref.ToColumns, Declared: true, Confirmed: true, by: ref, several: b.leadsToSeveral(ref)})
	}
	return links
}

// heirs gives the tables that inherit from one, near and far, other than as its
// partitions.
func (b *builder) heirs(of *catalog.Relation) []*catalog.Relation {
	var found []*catalog.Relation
	for _, r := range b.cat.Relations() {
		if r != of && !r.Partition && slices.Contains(b.ancestry(r), of) {
			found = append(found, r)
		}
	}
	return found
}

// ancestry gives a relation and what it inherits from other than as a
// partition: such a child has its parent's columns without its constraints,
// and its rows refer all the same.
func (b *builder) ancestry(r *catalog.Relation) []*catalog.Relation {
	line := []*catalog.Relation{r}
	for i := 0; i < len(line); i++ {
		if line[i].Partition {
			continue
		}
		for _, oid := range line[i].Parents {
			if parent, ok := b.cat.RelationByOID(oid); ok && !slices.Contains(line, parent) {
				line = append(line, parent)
			}
		}
	}
	return line
}

// inherited tells whether a partition has a foreign key from what it is a
// partition of, through which its rows are found.
func (b *builder) inherited(r *catalog.Relation, fk catalog.ForeignKey) bool {
	for r.Partition {
		parent, ok := b.cat.RelationByOID(r.Parents[0])
		if !ok {
			return false
		}
		r = parent
		for _, k := range r.ForeignKeys {
			if k.RefSchema == fk.RefSchema && k.RefTable == fk.RefTable && slices.Equal(k.Columns, fk.Columns) && slices.Equal(k.RefColumns, fk.RefColumns) {
				return true
			}
		}
	}
	return false
}

// whole gives the table that a relation is a partition of, or itself.
func (b *builder) whole(r *catalog.Relation) *catalog.Relation {
	for r.Partition {
		parent, ok := b.cat.RelationByOID(r.Parents[0])
		if !ok {
			break
		}
		r = parent
	}
	return r
}
