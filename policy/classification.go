package policy

import "github.com/pgveil/pgveil/catalog"

// Classification is what a document says of the columns of one catalog, and
// grants nothing: for whoever compares a policy with a database that it need not
// fit.
type Classification struct{ c *compiler }

// Classify puts the catalog's columns into classes. What the document says of
// columns that are not there, or says twice, is passed over: Compile reports it.
func Classify(d *Document, cat *catalog.Snapshot) Classification {
	c := &compiler{set: &Set{doc: d, tables: map[*catalog.Relation]*table{}}, doc: d, cat: cat}
	c.tables()
	c.inherit(c.classify())
	return Classification{c}
}

// Class gives the name of a column's class; "" when it has none.
func (k Classification) Class(r *catalog.Relation, column string) string {
	t, i := k.c.set.tables[r], r.ColumnIndex(column)
	if t == nil || i < 0 {
		return ""
	}
	return t.classes[i]
}

// Sealing gives how a class is sealed.
func (k Classification) Sealing(class string) Sealing {
	if c := k.c.doc.classes[class]; c != nil {
		return c.seal
	}
	return Sealing{}
}

// At tells where a class is defined; the zero Pos for one that is not.
func (k Classification) At(class string) Pos {
	if c := k.c.doc.classes[class]; c != nil {
		return c.name.pos
	}
	return Pos{}
}
