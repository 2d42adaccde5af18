package report

import (
	"cmp"
	"maps"
	"slices"

	"github.com/pgveil/pgveil/audit"
)

// classTally counts a class. A statement counts once, whichever of its columns
// come first.
type classTally struct {
	index   int // of its bits in marks
	found   ClassFinding
	columns map[shownColumn]int64
}

type shownColumn struct{ column, shown string }

func (v *Investigation) class(name string) *classTally {
	c := v.classes[name]
	if c == nil {
		c = &classTally{index: len(v.classes), columns: map[shownColumn]int64{}}
		c.found.Class, c.found.NotPerSubject = name, c.index >= markClasses
		v.classes[name] = c
	}
	return c
}

// shown gives how a column was shown in fact: to who is not restricted, and
// where decisions are only recorded, as it is.
func shown(p *pending, c *audit.Column) string {
	if p.Decision == observed || p.Decision == unrestricted {
		return shownClear
	}
	return c.Show
}

// marks gives what a statement makes known of the subjects it names, or changes
// of them.
func (v *Investigation) marks(p *pending, returned, changed bool) mark {
	var m mark
	if changed && (uses(p, "write") || p.Command == "DELETE" || p.Command == "MERGE") {
		m |= markChanged
	}
	if !returned {
		return m
	}
	m |= markReturned
	for i := range p.Columns {
		c := &p.Columns[i]
		switch t := v.class(c.Class); {
		case c.Use == "write" || t.index >= markClasses:
		case shown(p, c) == shownClear:
			m |= clearMark(t.index)
		default:
			m |= maskedMark(t.index)
		}
	}
	return m
}

// countColumns counts the classes and columns of a statement.
func (v *Investigation) countColumns(p *pending, o *audit.Record, returned, changed bool) {
	const cleared, masked, wrote = 1, 2, 4
	counted := map[string]int{}
	once := func(class string, bit int) bool {
		first := counted[class]&bit == 0
		counted[class] |= bit
		return first
	}
	for i := range p.Columns {
		c := &p.Columns[i]
		t := v.class(c.Class)
		switch how := shown(p, c); {
		case c.Use == "write":
			if changed && once(c.Class, wrote) {
				t.found.Changed++
			}
		case !returned:
		case how == shownClear:
			t.columns[shownColumn{c.Name, how}]++
			if once(c.Class, cleared) {
				t.found.Clear.add(o)
			}
		default:
			t.columns[shownColumn{c.Name, how}]++
			if once(c.Class, masked) {
				t.found.Masked.add(o)
			}
		}
	}
}

func (v *Investigation) unfinishedColumns(p *pending) {
	counted := map[string]bool{}
	for _, c := range p.Columns {
		if !counted[c.Class] {
			counted[c.Class] = true
			v.class(c.Class).found.Unfinished++
		}
	}
}

// classFindings gives the classes, those shown clear first.
func (v *Investigation) classFindings() []ClassFinding {
	v.subjects.each(func(_ string, m mark) {
		for _, t := range v.classes {
			if t.index < markClasses && m&clearMark(t.index) != 0 {
				t.found.ClearSubjects++
			}
			if t.index < markClasses && m&maskedMark(t.index) != 0 {
				t.found.MaskedSubjects++
			}
		}
	})
	list := make([]ClassFinding, 0, len(v.classes))
	for _, t := range v.classes {
		f := t.found
		if f.Clear.Statements+f.Masked.Statements+f.Changed+f.Unfinished == 0 {
			continue // its statements returned nothing
		}
		f.Columns = []ColumnFinding{}
		for _, k := range slices.SortedFunc(maps.Keys(t.columns), func(a, b shownColumn) int {
			return cmp.Or(cmp.Compare(a.column, b.column), cmp.Compare(a.shown, b.shown))
		}) {
			f.Columns = append(f.Columns, ColumnFinding{k.column, k.shown, t.columns[k]})
		}
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b ClassFinding) int {
		return cmp.Or(cmp.Compare(b.Clear.Rows, a.Clear.Rows), cmp.Compare(b.Masked.Rows, a.Masked.Rows), cmp.Compare(a.Class, b.Class))
	})
	return list
}
