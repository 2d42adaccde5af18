package dsar

import (
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// counterpart is a reference by which a row may name a subject besides the one
// that it was found for.
type counterpart struct {
	*Link
	kind   string   // of the subject that it names
	same   bool     // that kind is the graph's, so that the row may name the subject itself
	owner  bool     // whom it names the row belongs to
	hidden []string // the columns that tell of a counterpart
}

// counterpart adds one to a table.
func (b *builder) counterpart(t *Table, l *Link, kind string) {
	same := kind == b.graph.Subject.Name
	if same && len(t.in) == 1 && t.in[0] == l && !l.Many() {
		return // a row that is found by nothing else names nobody else
	}
	var others []string // columns of other references, and of the primary key
	for _, k := range b.links {
		if k != l && b.whole(k.From) == t.Relation {
			others = append(others, k.Columns...)
		}
	}
	tell := append(hidden(t.Relation, l.Columns, others), generated(t.Relation)...)
	t.counterparts = append(t.counterparts, counterpart{Link: l, kind: kind, same: same, hidden: tell})
}

// generated gives the columns that the server computes of others in the row, of
// those that are hidden too. What is not the counterpart's is in those others.
func generated(r *catalog.Relation) (found []string) {
	key := columnNames(r, r.PrimaryKey)
	for _, c := range r.Columns {
		if c.Generated && !slices.Contains(key, c.Name) {
			found = append(found, c.Name)
		}
	}
	return found
}

// hidden gives the columns that tell of whom a reference names: its own, and
// those that begin with its name, as payee_name does with that of payee_id.
// Columns that other references use as well, such as a tenant's number, tell
// of more than the counterpart and stay, unless nothing else names it.
func hidden(r *catalog.Relation, reference, others []string) []string {
	own := slices.DeleteFunc(slices.Clone(reference), func(c string) bool { return slices.Contains(others, c) })
	if len(own) == 0 {
		return reference
	}
	found := own
	others = append(others, columnNames(r, r.PrimaryKey)...)
	for _, c := range r.Columns {
		about := slices.ContainsFunc(own, func(name string) bool { return strings.HasPrefix(c.Name, stem(name)+"_") })
		if about && !slices.Contains(others, c.Name) && !slices.Contains(own, c.Name) {
			found = append(found, c.Name)
		}
	}
	return found
}

// stem gives a column's name without the ending by which it says that it
// refers.
func stem(name string) string {
	for _, ending := range []string{"_id", "_uuid", "_key", "_ref", "_no"} {
		if s, ok := strings.CutSuffix(name, ending); ok && s != "" {
			return s
		}
	}
	return name
}

// own decides whose a row with several references to subjects of the graph's
// kind is: theirs whom it cannot be without, or, where it can be without any
// of them, of all that it names. A loose reference makes nobody its owner. The
// subject's own row is its own.
func (t *Table) own() {
	if t.index == 0 {
		return
	}
	binds := func(c counterpart) bool { return c.same && !c.Loose }
	mandatory := slices.ContainsFunc(t.counterparts, func(c counterpart) bool { return binds(c) && c.mandatory() })
	for i, c := range t.counterparts {
		t.counterparts[i].owner = binds(c) && (!mandatory || c.mandatory())
	}
}

func (c counterpart) hides(column string) bool { return slices.Contains(c.hidden, column) }
