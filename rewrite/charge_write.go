package rewrite

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/rewrite/resolve"
)

// A write gives the client what RETURNING says. What it copies of one subject's
// data among that of another, or of nobody, could be read from there as nobody's:
// of such copies nothing bounds the number.

// writes tells of a row that a write returns.
func (m *meter) writes(n *pg_query.Node, at place) told {
	i := slices.IndexFunc(m.query.Targets, func(t *resolve.Target) bool { return t.Stmt == n })
	if i < 0 {
		return unknown(at.depth)
	}
	l := &level{outer: at.outer, depth: at.depth}
	t := m.query.Targets[i]
	switch v := n.Node.(type) {
	case *pg_query.Node_InsertStmt:
		l.ctes = m.with(v.InsertStmt.WithClause, at)
		m.inserts(v.InsertStmt, t, l)
	case *pg_query.Node_UpdateStmt:
		l.ctes = m.with(v.UpdateStmt.WithClause, at)
		m.updates(v.UpdateStmt, t, l)
	case *pg_query.Node_DeleteStmt:
		l.ctes = m.with(v.DeleteStmt.WithClause, at)
		m.written(t, l)
		m.joins(v.DeleteStmt.UsingClause, v.DeleteStmt.WhereClause, l, len(v.DeleteStmt.ReturningList) > 0)
	case *pg_query.Node_MergeStmt:
		l.ctes = m.with(v.MergeStmt.WithClause, at)
		m.mergesInto(v.MergeStmt, t, l)
	default:
		return unknown(at.depth)
	}
	if !at.top { // the statement does not give these rows
		m.copied, m.moved = append(m.copied, m.moved...), nil
	}
	if len(*t.Returning) == 0 {
		return told{}
	}
	m.feeds[t.Ref] = m.feeds[t.Ref] || at.feeds
	shown := m.expressions(*t.Returning, l, at.feeds)
	whom := own(append(l.rows, shown...), l.depth)
	return told{whom: whom, outs: m.outputs(*t.Returning, l, whom)}
}

// written puts the target of a write into a level.
func (m *meter) written(t *resolve.Target, l *level) *item {
	it := m.refItem(t.Ref, l)
	l.items = append(l.items, it)
	return it
}

// joins looks at what a write is joined with. feeds says that RETURNING may show it.
func (m *meter) joins(from []*pg_query.Node, where *pg_query.Node, l *level, feeds bool) {
	for _, n := range from {
		m.from(n, l, feeds)
	}
	m.ties(where, l, always, anyItem)
	l.rows = append(l.rows, m.expressions([]*pg_query.Node{where}, l, false)...)
}

// copies notes that a write puts data of some subjects among that of others.
func (m *meter) copies(whom []*person, depth int, mine *item) {
	for _, p := range own(whom, depth) {
		if mine == nil || !slices.ContainsFunc(mine.persons(), func(o *person) bool { return o.root() == p }) {
			m.copied = append(m.copied, p)
		}
	}
}

// inserts looks at what INSERT puts into a table: what RETURNING shows of a row
// that is new is what the client wrote, and what it was put together from.
func (m *meter) inserts(ins *pg_query.InsertStmt, t *resolve.Target, l *level) {
	mine := m.written(t, l)
	var put []*person
	if sel := ins.SelectStmt.GetSelectStmt(); sel != nil {
		from := m.selects(sel, place{outer: l.outer, ctes: l.ctes, depth: l.depth, feeds: true})
		named := len(ins.Cols) == 0 || len(ins.Cols) == len(from.outs)
		for i, out := range from.outs {
			if named && len(t.Parts) == 0 && i < len(t.Columns) {
				out.at.tie(spot{mine, mine, t.Columns[i], mine.keys[t.Columns[i]]}, l.depth)
			}
		}
		if put = own(from.whom, l.depth); !m.harmless(sel) {
			m.copies(put, l.depth, mine)
		}
	}
	c := ins.OnConflictClause
	if c == nil {
		l.rows = put
		return
	}
	m.assigned(c.TargetList, l, mine)
	m.moved = append(m.moved, m.moves(c.TargetList, t, mine)...)
	l.rows = slices.Concat(l.rows, put, m.expressions([]*pg_query.Node{c.WhereClause}, l, false))
}

// updates looks at what UPDATE puts into rows.
func (m *meter) updates(up *pg_query.UpdateStmt, t *resolve.Target, l *level) {
	mine := m.written(t, l)
	before := len(l.rows)
	m.joins(up.FromClause, up.WhereClause, l, len(up.ReturningList) > 0)
	if !m.harmlessSet(up.TargetList) {
		m.copies(l.rows[before:], l.depth, mine)
	}
	m.assigned(up.TargetList, l, mine)
	m.moved = append(m.moved, m.moves(up.TargetList, t, mine)...)
}

// moves notes that SET changes what says whom rows are about. Read afterwards,
// whoever they were about before would not be counted.
func (m *meter) moves(set []*pg_query.Node, t *resolve.Target, mine *item) (moved []*person) {
	for _, n := range set {
		res := n.GetResTarget()
		column := t.Ref.Relation.ColumnIndex(res.GetName())
		u, known := m.uses[res.GetVal()]
		if column < 0 || !m.names(t.Ref.Relation, column) || known && u.Ref == t.Ref && u.Column == column {
			continue
		}
		for _, p := range mine.persons() {
			if !slices.Contains(moved, p.root()) {
				moved = append(moved, p.root())
			}
		}
	}
	return moved
}

// chargeMoved charges a row of whom it is about, and of whom it was: in each row that the
// write gives, be it for naming alone. Where none come, nobody can count them.
func (m *meter) chargeMoved(rowsCome, shown bool) {
	for _, p := range m.moved {
		switch {
		case !rowsCome:
			m.naming.charge(p.kind, AnyNumber)
		case shown:
			m.naming.charge(p.kind, 1)
		default:
			m.naming.charge(p.kind, 2)
		}
	}
}

// assigned looks at the sub-selects that SET takes values from.
func (m *meter) assigned(list []*pg_query.Node, l *level, mine *item) {
	whom := m.expressions(list, l, true)
	if !m.harmlessSet(list) {
		m.copies(whom, l.depth, mine)
	}
}

// harmlessSet tells whether all that is assigned is made of open columns that name
// nobody.
func (m *meter) harmlessSet(list []*pg_query.Node) bool {
	return m.harmlessLists(list) && !slices.ContainsFunc(list, func(n *pg_query.Node) bool { return !m.harmless(n) })
}

// mergesInto looks at MERGE. Rows of its source that match no row of the target
// are joined to none.
func (m *meter) mergesInto(mg *pg_query.MergeStmt, t *resolve.Target, l *level) {
	mine := m.written(t, l)
	before := len(l.rows)
	m.from(mg.SourceRelation, l, len(mg.ReturningList) > 0)
	m.conditions(mg.JoinCondition, l, func(i *item) bool { return i == mine })
	l.rows = append(l.rows, m.expressions([]*pg_query.Node{mg.JoinCondition}, l, false)...)
	var set []*pg_query.Node
	for _, n := range mg.MergeWhenClauses {
		when := n.GetMergeWhenClause()
		if when.CommandType == pg_query.CmdType_CMD_UPDATE {
			m.copied = append(m.copied, m.moves(when.TargetList, t, mine)...)
		}
		set = append(set, slices.Concat(when.TargetList, when.Values)...)
		l.rows = append(l.rows, m.expressions([]*pg_query.Node{when.Condition}, l, false)...)
	}
	l.rows = append(l.rows, m.expressions(set, l, false)...)
	if !m.harmlessSet(set) {
		m.copies(l.rows[before:], l.depth, mine)
	}
}
