package policy

// inheritance gives the columns of partitions and inheritance children the
// classes of their parents' columns. Reading the parent reads the children's
// rows, so one that is of another class there would leak.
type inheritance struct {
	*compiler
	claims map[columnKey]*claim
	done   map[*table]bool
}

func (c *compiler) inherit(claims map[columnKey]*claim) {
	h := inheritance{c, claims, map[*table]bool{}}
	for _, t := range c.set.governed {
		h.table(t)
	}
}

// table sees to it that a table's parents have inherited before it does.
func (h *inheritance) table(t *table) {
	if h.done[t] {
		return
	}
	h.done[t] = true
	var parents []*table
	for _, oid := range t.relation.Parents {
		r, _ := h.cat.RelationByOID(oid)
		if parent := h.set.tables[r]; parent != nil {
			h.table(parent)
			parents = append(parents, parent)
		}
	}
	for i := range t.relation.Columns {
		h.column(t, i, parents)
	}
}

// column lets the most specific pattern decide, of those that chose the class
// of the column or of a parent's: one with * is often meant for other tables
// and matches a partition by chance. What contradicts a parent's class even so
// is a problem.
func (h *inheritance) column(t *table, i int, parents []*table) {
	name, own := t.relation.Columns[i].Name, columnKey{t.relation, i}
	var above []columnKey
	best := h.claims[own]
	for _, p := range parents {
		key := columnKey{p.relation, p.relation.ColumnIndex(name)}
		claim := h.claims[key]
		if claim == nil {
			continue
		}
		above = append(above, key)
		if best == nil || claim.by.rank() > best.by.rank() {
			best = claim
		}
	}
	if best == nil {
		return
	}
	h.claims[own], t.classes[i] = best, best.class
	for _, key := range above {
		if class := h.claims[key].class; class != best.class {
			h.add(best.by.pos, "%s.%s is %q, but %q in %s, through which its rows are read as well",
				t.relation.QualifiedName(), name, best.class, class, key.relation.QualifiedName())
		}
	}
}
