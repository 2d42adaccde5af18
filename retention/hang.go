package retention

import (
	"reflect"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// fate is what becomes of rows that refer to a row that goes. The zero fate is
// that it must not go.
type fate uint8

// The fates.
const (
	blocks  fate = iota // it cannot go while they are there, and nothing takes them
	waits               // it cannot go while they are there; a rule of their own takes them
	goes                // they go with it
	loosens             // they stay, without the reference
)

func (f fate) String() string { return [...]string{"blocks", "waits", "goes", "loosens"}[f] }

// hang is a reference by which rows hang on rows that may go.
type hang struct {
	child         *catalog.Relation // perhaps a partition
	parent        *catalog.Relation // as a whole
	columns, refs []string          // of child and parent, one for one
	by            *policy.Reference // that the policy declares; nil for a foreign key
	apart         bool              // it refers to one partition of the parent: equal values in others are not meant
	fate          fate
	on            []*hang // what hangs on the child's rows, where those go
}

// String names the columns that refer: crm.orders.customer_id.
func (h *hang) String() string {
	if len(h.columns) == 1 {
		return h.child.QualifiedName() + "." + h.columns[0]
	}
	return h.child.QualifiedName() + ".(" + strings.Join(h.columns, ", ") + ")"
}

// several tells whether a row may refer to several others at once: it is not one
// of them that it goes with.
func (h *hang) several() bool { return h.by != nil && h.by.Many() }

// refers is the condition under which a row of the child refers to one of the
// parent.
func (h *hang) refers(child, parent string) string {
	var conditions []string
	for i, c := range h.columns {
		if h.by == nil {
			conditions = append(conditions, equal(h.child, c, child, parent+"."+ident(h.refs[i])))
		}
	}
	if h.by != nil {
		conditions = append(conditions, h.by.Refers(child, parent))
	}
	if h.child == h.parent { // a row that refers to itself is in nobody's way
		conditions = append(conditions, "("+child+".ctid OPERATOR(pg_catalog.<>) "+parent+".ctid OR "+child+".tableoid OPERATOR(pg_catalog.<>) "+parent+".tableoid)")
	}
	return and(conditions)
}

// hanger finds what hangs on the rows of a rule.
type hanger struct {
	set   *policy.Set
	cat   *catalog.Snapshot
	with  []*catalog.Relation
	ruled []*catalog.Relation // tables from which some rule deletes
}

// on gives what hangs on the rows of a table that was reached along path. A
// reference back into the path is not followed: nothing would say where it ends.
// Such rows go first, or keep those that they refer to.
func (g *hanger) on(r *catalog.Relation, path []*catalog.Relation) []*hang {
	path = append(slices.Clip(path), r)
	all := g.references(r)
	for _, h := range all {
		table := whole(g.cat, h.child)
		back, with := slices.Contains(path, table), slices.Contains(g.with, table) && !h.several()
		switch {
		case h.apart:
			h.fate = blocks
		case (h.fate == goes || with) && !back:
			h.fate, h.on = goes, g.on(table, path)
		case h.fate == loosens && !with:
		case back || slices.Contains(g.ruled, table):
			h.fate = waits
		default:
			h.fate = blocks
		}
	}
	return all
}

// references gives the references to a table: foreign keys, and what the policy
// declares to refer to a kind of subject. Their fate is what the schema says.
func (g *hanger) references(r *catalog.Relation) []*hang {
	var all []*hang
	for _, child := range g.cat.Relations() {
		for _, fk := range child.ForeignKeys {
			to, ok := g.cat.Relation(nil, fk.RefSchema, fk.RefTable)
			if !ok || whole(g.cat, to) != r || inherited(g.cat, child, fk) {
				continue
			}
			h := &hang{child: child, parent: r, columns: fk.Columns, refs: fk.RefColumns, apart: to != r}
			switch fk.OnDelete {
			case 'c':
				h.fate = goes
			case 'n', 'd':
				h.fate = loosens
			}
			all = append(all, h)
		}
	}
	for _, s := range g.set.Subjects() {
		for i := range s.References {
			ref := &s.References[i]
			if whole(g.cat, ref.To) != r {
				continue
			}
			h := &hang{child: ref.Relation, parent: r, columns: ref.Columns, refs: ref.ToColumns, by: ref, apart: ref.To != r}
			known := func(k *hang) bool {
				return k.child == h.child && slices.Equal(k.columns, h.columns) && (k.by == nil && ref.Plain() || k.by != nil && reflect.DeepEqual(*k.by, *ref))
			}
			if !slices.ContainsFunc(all, known) {
				all = append(all, h)
			}
		}
	}
	return all
}

// whole gives the table that a relation is a partition of, or itself.
func whole(cat *catalog.Snapshot, r *catalog.Relation) *catalog.Relation {
	for r.Partition {
		parent, ok := cat.RelationByOID(r.Parents[0])
		if !ok {
			break
		}
		r = parent
	}
	return r
}

// inherited tells whether a partition has a foreign key from the table that it is
// part of, through which its rows are found.
func inherited(cat *catalog.Snapshot, r *catalog.Relation, fk catalog.ForeignKey) bool {
	for r.Partition {
		parent, ok := cat.RelationByOID(r.Parents[0])
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
