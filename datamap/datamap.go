package datamap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// Map is what a scan found out about a database.
type Map struct {
	Tables     []*Table    `json:"tables"`
	Subjects   []Subject   `json:"subjects,omitempty"`
	Retention  []Retention `json:"retention,omitempty"`
	Unread     []Unread    `json:"unread,omitempty"`
	References []Reference `json:"references,omitempty"`
}

// Table is a table with what its columns hold.
type Table struct {
	Relation *catalog.Relation `json:"-"`
	Name     string            `json:"name"` // schema.name
	Rows     int64             `json:"rows"` // as the server estimates; -1 when it does not know
	Sampled  int               `json:"sampled"`
	Columns  []Column          `json:"columns"`
	Notes    []string          `json:"notes,omitempty"`

	standing standing
}

// Column is a column with what it is thought to hold.
type Column struct {
	Name       string     `json:"name"`
	Type       string     `json:"type"`
	Class      Class      `json:"class"` // "" where a person has to look
	Confidence float64    `json:"confidence"`
	Samples    int        `json:"samples"`          // values looked at
	Sealed     int        `json:"sealed,omitempty"` // of those, sealed ones, of which nothing is known
	Evidence   []Evidence `json:"evidence,omitempty"`

	byValue bool // some evidence for the class is of values
}

// Unread is a table, or some of its columns, that could not be sampled. It is
// judged by names and types.
type Unread struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns,omitempty"` // nil: all of them
	Why     string   `json:"why"`
}

// Read judges every table by names and types alone.
func Read(cat *catalog.Snapshot) *Map {
	m := &Map{}
	for _, r := range cat.Relations() {
		if mapped(r) {
			m.Tables = append(m.Tables, newTable(r, cat))
		}
	}
	for _, t := range m.Tables {
		t.standing.personal = t.standing.personal || slices.ContainsFunc(t.Relation.ForeignKeys, func(fk catalog.ForeignKey) bool {
			to := m.table(fk.RefSchema, fk.RefTable)
			return to != nil && to.standing.persons
		})
	}
	for _, t := range m.Tables {
		t.judge(cat, nil)
	}
	m.conclude()
	return m
}

// mapped tells whether a relation's columns need classes of their own: those of
// partitions have their parents', and a view stands for its query.
func mapped(r *catalog.Relation) bool {
	if !r.Governed() || r.Schema == policy.OwnSchema || r.Partition {
		return false
	}
	switch r.Kind {
	case catalog.Table, catalog.PartitionedTable, catalog.MaterializedView, catalog.ForeignTable:
		return true
	case catalog.View, catalog.Sequence, catalog.CompositeType:
		return false
	default:
		return false
	}
}

func newTable(r *catalog.Relation, cat *catalog.Snapshot) *Table {
	t := &Table{Relation: r, Name: r.QualifiedName(), Rows: -1}
	_, called := personTable(r.Name)
	var named, reached int
	for i := range r.Columns {
		c := &r.Columns[i]
		h := hinted(c, cat)
		if h.weight < strongName*0.7 || !formOf(c.Type).holds(h.class) {
			continue
		}
		t.standing.personal = t.standing.personal || h.class != FreeText && h.class != Credential && h.class != IP
		switch h.class {
		case Name:
			named++
		case Email, Phone, BirthDate, NationalID, Gender:
			reached++
		}
	}
	t.standing.persons = called || named >= 1 && reached >= 1 || named >= 2
	t.standing.personal = t.standing.personal || t.standing.persons
	if childTable(r.Name) {
		t.Notes = append(t.Notes, "the rows may be about children")
	}
	if r.Kind == catalog.ForeignTable {
		t.Notes = append(t.Notes, "a foreign table is not read: judged by names and types")
	}
	return t
}

// hinted gives what a column's name says; of a composite type, what most of its
// fields' names say.
func hinted(c *catalog.Column, cat *catalog.Snapshot) hint {
	h := named(c.Name)
	if formOf(c.Type) != formComposite || h.class != "" {
		return h
	}
	if r, ok := cat.Relation(nil, c.Type.Schema, strings.TrimPrefix(c.Type.Name, "_")); ok {
		for i := range r.Columns {
			if of := named(r.Columns[i].Name); of.weight > h.weight {
				h = of
			}
		}
	}
	return h
}

// judge judges the columns, by the profiles that there are: those that a parent
// has are the parent's business.
func (t *Table) judge(cat *catalog.Snapshot, profiles map[string]*profile) {
	t.Columns = nil
	inherited := t.inherited(cat)
	for i := range t.Relation.Columns {
		c := &t.Relation.Columns[i]
		if inherited[c.Name] {
			continue
		}
		j := &judge{column: c, hint: hinted(c, cat), form: formOf(c.Type), table: &t.standing, p: profiles[c.Name]}
		t.Columns = append(t.Columns, j.decide(t.refers(c.Name)))
	}
}

// inherited gives the columns that the table has from a parent.
func (t *Table) inherited(cat *catalog.Snapshot) map[string]bool {
	found := map[string]bool{}
	for _, oid := range t.Relation.Parents {
		parent, ok := cat.RelationByOID(oid)
		for i := 0; ok && i < len(parent.Columns); i++ {
			found[parent.Columns[i].Name] = true
		}
	}
	return found
}

// refers tells whether a column is a key of another table's, as the schema says.
func (t *Table) refers(column string) bool {
	return slices.ContainsFunc(t.Relation.ForeignKeys, func(fk catalog.ForeignKey) bool { return slices.Contains(fk.Columns, column) })
}

// decide judges the column.
func (j *judge) decide(refers bool) Column {
	c := Column{Name: j.column.Name, Type: j.column.Type.SQL}
	if j.p != nil {
		c.Samples, c.Sealed = j.p.values+j.p.sealed, j.p.sealed
	}
	if c.Sealed > 0 {
		return j.sealed(c)
	}
	j.weigh()
	class, confidence := j.verdict()
	c.byValue = slices.ContainsFunc(j.evidence[j.ofName:], func(e Evidence) bool { return e.Class == class })
	c.Evidence = j.evidence
	open := 1 - confidence
	if c.Samples < few {
		open = min(open, byTypeAlone)
	}
	switch {
	case confidence >= enough:
		c.Class, c.Confidence = class, confidence
	case confidence >= doubt:
		c.Class, c.Confidence = Undecided, confidence
	case j.form.harmless(), refers && j.form == formText:
		c.Class, c.Confidence = Open, open
	case j.p != nil && j.p.values >= few && j.form.settled():
		c.Class, c.Confidence = Open, open
	}
	return c
}

// sealed judges a column with sealed values, of which neither the type nor the values
// say what they are. It is never open.
func (j *judge) sealed(c Column) Column {
	j.form = formUnknown
	j.weigh()
	if c.Class, c.Confidence = j.verdict(); c.Confidence < enough {
		c.Class = Undecided
	}
	c.Evidence = append(j.evidence, Evidence{Class: c.Class, Says: fmt.Sprintf("%d of %d samples are sealed", c.Sealed, c.Samples)})
	return c
}

func (m *Map) table(schema, name string) *Table {
	i := slices.IndexFunc(m.Tables, func(t *Table) bool { return t.Relation.Schema == schema && t.Relation.Name == name })
	if i < 0 {
		return nil
	}
	return m.Tables[i]
}

// conclude draws what follows from all the columns together.
func (m *Map) conclude() {
	m.Subjects = m.subjects()
	m.References = m.references()
	m.Retention = m.retention()
}
