package dsar

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// Graph says in which tables the rows of one kind of subject lie and how they
// are found. It holds no data, and may be used for any number of subjects.
type Graph struct {
	Subject      policy.Subject
	Generation   string   // of the policy
	Tables       []*Table // nearest first; the first is the subject's own
	NotFollowed  []Note   // references that lead to rows of somebody else
	References   []Note   // what the subject's rows refer to, and which is not the subject's
	Unclassified []string // columns in reach that nobody classified: no export until somebody does
	Values       Values   // opens and seals what is sealed

	catalog  *catalog.Snapshot
	key      []string // what identifies a subject: the policy's key, or the primary key that it is part of
	links    []edge   // between Tables, followed or not
	groups   [][]int  // indexes of Tables, each after those that lead to it; those in a group lead to each other
	deletion [][]int  // indexes of Tables in the order in which rows can go; those in a group go at once
	set      *policy.Set
	watched  []uint32                                  // OIDs of Tables and their partitions
	parts    map[*catalog.Relation][]*catalog.Relation // of Tables: themselves and their partitions
	known    map[definition]bool
}

// Table is one in which rows of a subject lie.
type Table struct {
	Relation *catalog.Relation
	Path     string // the references by which it is reached

	nearest      string // the shortest of them
	index        int
	heir         bool    // of the subject's own table, so that the subject's own row may lie here
	in           []*Link // those by which rows are found; of an heir one without columns
	counterparts []counterpart
	joints       []joint
}

// edge is a link between two Tables, by their indexes.
type edge struct {
	*Link
	child, parent int
	finds         bool // the child's rows that refer to the subject's
}

// follows tells whether what is found belongs to the subject as well.
func (e edge) follows() bool { return e.finds && !e.Loose }

// Note is a reference and what is to be known about it.
type Note struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Because string `json:"because,omitempty"`
}

// NewGraph finds the tables that hold rows of a kind of subject, in the
// catalog that the policy was compiled with.
func NewGraph(set *policy.Set, cat *catalog.Snapshot, subject string) (*Graph, error) {
	s, err := subjectNamed(set.Subjects(), subject)
	if err != nil {
		return nil, err
	}
	b := builder{
		cat:        cat,
		set:        set,
		graph:      &Graph{Subject: s, Generation: set.Generation(), set: set, catalog: cat},
		byRelation: map[*catalog.Relation]*Table{},
		kinds:      map[*catalog.Relation]string{},
	}
	if err := b.build(); err != nil {
		return nil, fmt.Errorf("subject %q: %w", s.Name, err)
	}
	return b.graph, nil
}

func subjectNamed(all []policy.Subject, name string) (policy.Subject, error) {
	var known []string
	for _, s := range all {
		if s.Name == name {
			return s, nil
		}
		known = append(known, s.Name)
	}
	if known == nil {
		return policy.Subject{}, privacy.Fail(privacy.NoSubject, `declare one under "subjects"`, "the policy has no subjects")
	}
	return policy.Subject{}, privacy.Fail(privacy.NoSubject, privacy.DidYouMean(name, known), "the policy has no such subject")
}

// builder makes a Graph.
type builder struct {
	cat        *catalog.Snapshot
	set        *policy.Set
	graph      *Graph
	links      []*Link
	byRelation map[*catalog.Relation]*Table // tables as wholes
	kinds      map[*catalog.Relation]string // the subjects that have a table of their own, likewise
}

func (b *builder) build() error {
	// Where two kinds share a table, it is that of the graph's.
	for _, s := range append(b.set.Subjects(), b.graph.Subject) {
		b.kinds[b.whole(s.Relation)] = s.Name
		for _, heir := range b.heirs(s.Relation) {
			b.kinds[heir] = s.Name
		}
	}
	b.links = b.allLinks()
	if err := b.root(); err != nil {
		return err
	}
	b.follow()
	b.relate()
	b.classify()
	b.order()
	if err := b.comparable(); err != nil {
		return err
	}
	return b.watch()
}

// root begins with the subject's own table.
func (b *builder) root() error {
	s := b.graph.Subject
	r := b.whole(s.Relation)
	if r.Kind != catalog.Table && r.Kind != catalog.PartitionedTable {
		return fmt.Errorf("%s is not a table", r.QualifiedName())
	}
	b.graph.key = []string{s.Key}
	if slices.Contains(r.PrimaryKey, r.ColumnIndex(s.Key)) && len(r.PrimaryKey) > 1 {
		b.graph.key = columnNames(r, r.PrimaryKey)
	}
	b.add(r, r.QualifiedName())
	for _, heir := range b.heirs(r) {
		t := b.add(heir, heir.QualifiedName())
		t.heir, t.in = true, []*Link{{From: heir, To: r}}
	}
	return nil
}

func (b *builder) add(r *catalog.Relation, path string) *Table {
	t := &Table{Relation: r, Path: path, nearest: path, index: len(b.graph.Tables)}
	b.graph.Tables = append(b.graph.Tables, t)
	b.byRelation[r] = t
	return t
}

// follow walks from the subject's table to those that refer to it, and on. Rows
// that refer only loosely are found, but nothing beyond them.
func (b *builder) follow() {
	g := b.graph
	for i := 0; i < len(g.Tables); i++ {
		parent := g.Tables[i]
		for _, l := range b.linksTo(parent) {
			reason := b.elsewhere(l, parent)
			switch {
			case reason != "":
				g.NotFollowed = append(g.NotFollowed, Note{l.String(), l.To.QualifiedName(), reason})
			case !l.Loose:
				b.reach(l, parent)
			}
		}
	}
	own := len(g.Tables)
	for _, parent := range g.Tables[:own] {
		for _, l := range b.linksTo(parent) {
			if l.Loose && b.elsewhere(l, parent) == "" {
				b.reach(l, parent)
			}
		}
	}
	for _, t := range g.Tables[own:] {
		for _, l := range b.linksTo(t) {
			reason := fmt.Sprintf("rows of %s live on without the %s", t.Relation.QualifiedName(), g.Subject.Name)
			g.NotFollowed = append(g.NotFollowed, Note{l.String(), l.To.QualifiedName(), reason})
		}
	}
}

func (b *builder) linksTo(t *Table) []*Link {
	var found []*Link
	for _, l := range b.links {
		if b.whole(l.To) == t.Relation {
			found = append(found, l)
		}
	}
	return found
}

func (b *builder) reach(l *Link, parent *Table) {
	from := b.whole(l.From)
	child := b.byRelation[from]
	if child == nil {
		child = b.add(from, l.String()+" -> "+parent.nearest)
	} else {
		child.Path += fmt.Sprintf(", or %s -> %s", l, parent.Relation.QualifiedName())
	}
	child.in = append(child.in, l)
}

// elsewhere says why a reference leads to rows that are not the subject's; ""
// when they are.
func (b *builder) elsewhere(l *Link, parent *Table) string {
	from := b.whole(l.From)
	switch from.Kind {
	case catalog.Table, catalog.PartitionedTable:
	case catalog.View:
		return "a view has no rows of its own"
	case catalog.MaterializedView:
		return "a materialized view has no rows of its own; refresh it after an erasure"
	default:
		return "its rows are not in this database"
	}
	kind, isSubject := b.kinds[from]
	switch {
	case isSubject && kind == b.graph.Subject.Name && (parent.index == 0 || parent.heir):
		return "leads to another " + kind
	case isSubject:
		return "leads to another subject: " + kind
	case from == parent.Relation && !l.Confirmed:
		return "a table that refers to itself: the rows may be of others"
	}
	return ""
}

// relate finds what the tables' rows refer to: each other, somebody else, or
// what belongs to nobody.
func (b *builder) relate() {
	g := b.graph
	for _, l := range b.links {
		child := b.byRelation[b.whole(l.From)]
		if child == nil {
			continue
		}
		to := b.whole(l.To)
		if parent := b.byRelation[to]; parent != nil {
			g.links = append(g.links, edge{l, child.index, parent.index, slices.Contains(child.in, l)})
		} else {
			g.References = append(g.References, Note{From: l.String(), To: to.QualifiedName()})
		}
		if kind, ok := b.kinds[to]; ok {
			b.counterpart(child, l, kind)
		}
	}
	for _, t := range g.Tables {
		t.own()
		b.joints(t)
	}
}

// classify lists the columns in reach that nobody classified.
func (b *builder) classify() {
	for _, t := range b.graph.Tables {
		for _, c := range t.Relation.Columns {
			if _, ok := b.set.Class(t.Relation, c.Name); !ok {
				b.graph.Unclassified = append(b.graph.Unclassified, t.Relation.QualifiedName()+"."+c.Name)
			}
		}
	}
}

// order sorts the tables for finding rows and for deleting them.
func (b *builder) order() {
	g := b.graph
	followed, all := make([][]int, len(g.Tables)), make([][]int, len(g.Tables))
	for _, e := range g.links {
		if e.child == e.parent {
			continue
		}
		all[e.child] = append(all[e.child], e.parent)
		if e.follows() {
			followed[e.child] = append(followed[e.child], e.parent)
		}
	}
	g.groups = components(followed)
	g.deletion = components(all)
	slices.Reverse(g.deletion)
}

// comparable gives an error when the operator that compares a reference is not
// known: the catalog does not say of which kind the type below a domain is.
func (b *builder) comparable() error {
	for _, e := range b.graph.links {
		for _, name := range e.Columns {
			if e.Many() {
				continue // compared as text
			}
			c, ok := e.From.Column(name)
			if ok && c.Type.Kind == 'd' && c.Type.BaseSchema != "pg_catalog" {
				return fmt.Errorf("%s.%s is of a domain over %s: not supported", e.From.QualifiedName(), name, c.Type.Base)
			}
		}
	}
	return nil
}

// complete gives an error when some column in reach is in no class: what
// nobody looked at may be anybody's.
func (g *Graph) complete() error {
	if g.Unclassified == nil {
		return nil
	}
	return privacy.Fail(privacy.NotAllowed, `put them into "classes" in the policy`,
		"the data of a %s lies in columns without a class: %s", g.Subject.Name, strings.Join(g.Unclassified, ", "))
}

func columnNames(r *catalog.Relation, indexes []int) []string {
	names := make([]string, len(indexes))
	for i, at := range indexes {
		names[i] = r.Columns[at].Name
	}
	return names
}

// tableOf gives the table that a relation is; nil where it
// holds no rows of the subject.
func (g *Graph) tableOf(r *catalog.Relation) *Table {
	for _, t := range g.Tables {
		if t.Relation == r {
			return t
		}
	}
	return nil
}

// OpenOwn gives the value of what stands in a column of the subject's own table, as
// Values.Opening does.
func (g *Graph) OpenOwn(ctx context.Context, r *catalog.Relation, column, text string) (*string, error) {
	return g.Values.Opening(g.set)(ctx, r, column, text)
}
