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
}

// String names the columns that refer: crm.orders.customer_id.
func (l *Link) String() string {
	if len(l.Columns) == 1 {
		return l.From.QualifiedName() + "." + l.Columns[0]
	}
	return l.From.QualifiedName() + ".(" + strings.Join(l.Columns, ", ") + ")"
}

// nullable gives the columns that can be set null to end the reference.
func (l *Link) nullable() []string {
	var found []string
	for _, name := range l.Columns {
		if c, ok := l.From.Column(name); ok && !c.NotNull && !c.Generated {
			found = append(found, name)
		}
	}
	return found
}

// mandatory tells whether no row is without the reference.
func (l *Link) mandatory() bool { return len(l.nullable()) == 0 }

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
		for _, ref := range s.References {
			links = b.declare(links, s, ref)
		}
	}
	return links
}

// declare adds a reference of the policy, unless it repeats a foreign key.
func (b *builder) declare(links []*Link, s policy.Subject, ref policy.Reference) []*Link {
	l := &Link{From: ref.Relation, To: s.Relation, Columns: []string{ref.Column}, RefColumns: []string{s.Key}, Declared: true}
	known := slices.ContainsFunc(links, func(k *Link) bool {
		return k.From == l.From && k.To == l.To && slices.Equal(k.Columns, l.Columns)
	})
	if known {
		return links
	}
	return append(links, l)
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
