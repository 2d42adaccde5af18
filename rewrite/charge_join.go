package rewrite

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// What a level reads, and who of its rows are the same one: what a FROM clause
// brings, and what joins and conditions tie by keys.

// from looks at an item of FROM, and gives what it brings.
func (m *meter) from(n *pg_query.Node, l *level, feeds bool) []*item {
	it := &item{opaque: true}
	switch v := n.GetNode().(type) {
	case *pg_query.Node_RangeVar:
		it = m.relationItem(v.RangeVar, l, feeds)
	case *pg_query.Node_RangeTableSample:
		it = m.relationItem(v.RangeTableSample.Relation.GetRangeVar(), l, feeds)
		l.rows = append(l.rows, m.expressions(v.RangeTableSample.Args, l, false)...)
	case *pg_query.Node_JoinExpr:
		return m.join(v.JoinExpr, l, feeds)
	case *pg_query.Node_RangeSubselect:
		at := place{outer: l.outer, ctes: l.ctes, depth: l.depth + 1, feeds: feeds}
		at.once = !v.RangeSubselect.Lateral
		if !at.once {
			at.outer = l
		}
		t := m.selects(v.RangeSubselect.Subquery.GetSelectStmt(), at)
		it = m.bring(t, v.RangeSubselect.Alias, v.RangeSubselect.Alias.GetAliasname(), l)
	default: // a function, or what makes a table of a document: how many rows it gives, it says itself
		l.rows = append(l.rows, m.expressions([]*pg_query.Node{n}, l, feeds)...)
		it.alias = n.GetRangeFunction().GetAlias().GetAliasname()
		it.bounded = m.listed(n.GetRangeFunction())
	}
	l.items = append(l.items, it)
	return []*item{it}
}

// bring makes an item of what a query told.
func (m *meter) bring(t told, alias *pg_query.Alias, name string, l *level) *item {
	l.rows = append(l.rows, lift(t.whom, l.depth)...)
	outs := renamed(t.outs, alias.GetColnames())
	it := &item{alias: name, outs: outs, opaque: outs == nil, plain: t.plain, inner: t.inner}
	m.knows(it)
	return it
}

// knows notes an item that may be bounded.
func (m *meter) knows(it *item) {
	if m.filters != nil {
		m.filters.all = append(m.filters.all, it)
	}
}

func (m *meter) relationItem(rv *pg_query.RangeVar, l *level, feeds bool) *item {
	name := rv.Relname
	if rv.Alias != nil {
		name = rv.Alias.Aliasname
	}
	ref := m.byVar[rv]
	if ref == nil {
		return m.bring(m.reads(l.ctes.find(rv.Relname), l, feeds), rv.Alias, name, l)
	}
	m.feeds[ref] = m.feeds[ref] || feeds
	return m.refItem(ref, l)
}

// refItem makes an item of a relation, and notes whom its rows are about.
func (m *meter) refItem(ref *resolve.Ref, l *level) *item {
	rel := ref.Relation
	it := &item{alias: ref.Alias, ref: ref, keys: map[int]*person{}, plain: !isTemporary(rel)}
	m.knows(it)
	if !rel.Governed() || isTemporary(rel) {
		return it
	}
	keys, ok := m.engine.Policy.SubjectKeys(rel)
	if !ok && derives(rel) {
		l.rows = append(l.rows, m.viewed(rel, l.depth).whom...)
		return it
	}
	if !ok {
		for _, kind := range m.engine.about(rel) {
			l.rows = append(l.rows, &person{kind: kind, each: AnyNumber, depth: l.depth})
		}
	}
	for _, k := range keys {
		who := &person{kind: k.Kind, each: 1, depth: l.depth}
		l.rows = append(l.rows, who)
		column := rel.ColumnIndex(k.Columns[0])
		if len(k.Through) == 0 {
			it.keys[column] = who
		} else if first := k.Through[len(k.Through)-1]; len(k.Columns) == 1 {
			it.ways = append(it.ways, way{column, first.Relation, first.Relation.ColumnIndex(first.Columns[0]), who})
		}
	}
	return it
}

// join looks at both sides of a join, and at what its condition equates.
func (m *meter) join(j *pg_query.JoinExpr, l *level, feeds bool) []*item {
	left := m.from(j.Larg, l, feeds)
	right := m.from(j.Rarg, l, feeds)
	m.unite = m.unite || len(j.UsingClause) > 0 || j.IsNatural
	for _, name := range j.UsingClause {
		m.using(name.GetString_().GetSval(), left, right, l, decidesOn(j.Jointype, left, right))
	}
	m.ties(j.Quals, l, holds(j.Jointype, left, right), decidesOn(j.Jointype, left, right))
	l.rows = append(l.rows, m.expressions([]*pg_query.Node{j.Quals}, l, false)...)
	return append(left, right...)
}

// holds gives a test of what a join's condition equates: whether it is so on
// every row where both are there. Of rows that a join keeps whatever its
// condition says, it says nothing. nil is what stands further out.
func holds(kind pg_query.JoinType, left, right []*item) func(a, b *item) bool {
	l := func(i *item) bool { return slices.Contains(left, i) }
	r := func(i *item) bool { return slices.Contains(right, i) }
	return func(a, b *item) bool {
		switch kind {
		case pg_query.JoinType_JOIN_INNER:
			return true
		case pg_query.JoinType_JOIN_LEFT:
			return r(a) || r(b)
		case pg_query.JoinType_JOIN_RIGHT:
			return l(a) || l(b)
		default:
			return l(a) && r(b) || r(a) && l(b)
		}
	}
}

func always(a, b *item) bool { return true }

func anyItem(*item) bool { return true }

// decidesOn gives a test of whether a join's condition decides the rows of an item:
// not of what the join keeps whatever it says.
func decidesOn(kind pg_query.JoinType, left, right []*item) func(*item) bool {
	return func(i *item) bool {
		switch kind {
		case pg_query.JoinType_JOIN_INNER:
			return true
		case pg_query.JoinType_JOIN_LEFT:
			return slices.Contains(right, i)
		case pg_query.JoinType_JOIN_RIGHT:
			return slices.Contains(left, i)
		default:
			return false
		}
	}
}

// using equates the columns of a name of both sides of a join.
func (m *meter) using(name string, left, right []*item, l *level, may func(*item) bool) {
	side := func(items []*item) (found *item, column int) {
		for _, it := range items {
			if it.ref == nil {
				return nil, 0
			}
			if i := it.ref.Relation.ColumnIndex(name); i >= 0 {
				if found != nil {
					return nil, 0
				}
				found, column = it, i
			}
		}
		return found, column
	}
	a, i := side(left)
	b, k := side(right)
	if a != nil && b != nil && !a.ref.Renamed && !b.ref.Renamed {
		l.tie(m.column(a, i), m.column(b, k))
		m.filters.equates(m.column(a, i), m.column(b, k), l, may)
	}
}

// ties looks for columns that the conditions AND-ed in one equate. holds tells of
// which items it is so on every row, may the rows of which they decide.
func (m *meter) ties(condition *pg_query.Node, l *level, holds func(a, b *item) bool, may func(*item) bool) {
	m.conditions(condition, l, may)
	for _, c := range resolve.Conjuncts(condition) {
		e := c.GetAExpr()
		if e == nil || e.Kind != pg_query.A_Expr_Kind_AEXPR_OP || !isEqual(e.Name) || e.Lexpr.GetColumnRef() == nil || e.Rexpr.GetColumnRef() == nil {
			l.weighs = l.weighs || m.compareItems(c, l)
			continue
		}
		a, b := m.spot(e.Lexpr, l), m.spot(e.Rexpr, l)
		if a.item != nil && b.item != nil && holds(a.item, b.item) {
			l.tie(a, b)
		}
		m.filters.equates(a, b, l, may)
	}
}

// compareItems tells whether a condition may look at more than one item: then it
// may decide how many rows of one there are for each of another.
func (m *meter) compareItems(n *pg_query.Node, l *level) bool {
	var items []*item
	unsure := false
	parse.Walk(n, func(msg proto.Message) bool {
		if node, ok := msg.(*pg_query.Node); ok && node.GetColumnRef() != nil {
			s, _, known := m.find(node, l)
			if unsure = unsure || !known || s.item == nil; !slices.Contains(items, s.item) {
				items = append(items, s.item)
			}
		}
		_, query := msg.(*pg_query.SelectStmt)
		return !query
	})
	return unsure || len(items) > 1
}

// spot is a column, as it is, of what stands in FROM. The zero spot is none.
type spot struct {
	item   *item
	of     *item // the relation that it is of, in sub-selects or not; nil: it is computed
	column int   // of that
	who    *person
}

// tie notes that two columns are equal at a level.
func (l *level) tie(a, b spot) {
	if slices.Contains(l.items, a.item) && slices.Contains(l.items, b.item) {
		a.item.joined(b.item)
	}
	a.tie(b, l.depth)
}

// tie notes that two columns are equal: of keys, that they are one subject's; of
// what leads to a subject's row, that it leads to this one.
func (a spot) tie(b spot, depth int) {
	if a.of == nil || b.of == nil {
		return
	}
	equate(a.who, b.who, depth)
	for _, s := range [][2]spot{{a, b}, {b, a}} {
		from, to := s[0], s[1]
		for _, w := range from.of.ways {
			if w.column != from.column {
				continue
			}
			if to.of.ref.Relation == w.to && to.column == w.ref {
				equate(w.who, to.of.only(w.who.kind), depth)
			}
			for _, o := range to.of.ways {
				if o.column == to.column && o.to == w.to && o.ref == w.ref {
					equate(w.who, o.who, depth)
				}
			}
		}
	}
}

// only gives the one subject of a kind that a relation's rows are about; nil where
// there are several.
func (i *item) only(kind string) (found *person) {
	var all []*person
	for _, p := range i.keys {
		all = append(all, p)
	}
	for _, w := range i.ways {
		all = append(all, w.who)
	}
	for _, p := range all {
		if p.kind == kind {
			if found != nil {
				return nil
			}
			found = p
		}
	}
	return found
}

func (i *item) first() *item {
	for i.beside != nil {
		i = i.beside
	}
	return i
}

func (i *item) joined(o *item) {
	if a, b := i.first(), o.first(); a != b {
		b.beside = a
	}
}

// plain tells whether the rows of a FROM are as many as data makes them: nothing
// but relations, each joined by equality.
func (l *level) plain() bool {
	for _, i := range l.items {
		if !i.plain || i.first() != l.items[0].first() {
			return false
		}
	}
	return len(l.items) > 0 && !l.weighs
}

// column gives a column of a relation. Of what is masked, equal values may be of
// several.
func (m *meter) column(it *item, i int) spot {
	if !m.asItIs(it.ref, i) {
		return spot{item: it}
	}
	return spot{it, it, i, it.keys[i]}
}

// spot finds the column that an expression is.
func (m *meter) spot(n *pg_query.Node, l *level) spot {
	s, _, _ := m.find(n, l)
	return s
}

// find finds what a reference to a column means, and the level that has it. ok is
// false where that is not certain.
func (m *meter) find(n *pg_query.Node, l *level) (s spot, at *level, ok bool) {
	fields := n.GetColumnRef().GetFields()
	if len(fields) == 0 {
		return spot{}, nil, false
	}
	if isStar(n) {
		fields = fields[:len(fields)-1]
	}
	name := ""
	if len(fields) > 0 {
		name = fields[len(fields)-1].GetString_().GetSval()
	}
	u, base := m.uses[n]
	for ; l != nil; l = l.outer {
		var found []spot
		unsure := false
		for _, it := range l.items {
			switch {
			case base:
				if it.ref == u.Ref {
					found = append(found, m.column(it, u.Column))
				}
			case len(fields) > 1 && it.alias != fields[len(fields)-2].GetString_().GetSval():
			case it.opaque:
				if unsure = true; it.alias == name || len(fields) > 1 {
					return spot{item: it}, l, true
				}
			case it.ref != nil: // what a join merges is of two
				unsure = unsure || it.ref.Relation.ColumnIndex(name) >= 0 || resolve.IsSystemColumn(name)
			default:
				found = append(found, it.named(name)...)
			}
		}
		row := func(it *item) bool { return it.alias == name }
		switch i := slices.IndexFunc(l.items, row); {
		case len(found) == 1 && !unsure && !isStar(n):
			return found[0], l, true
		case i >= 0 && (isStar(n) || len(fields) == 1 && len(found) == 0 && !base):
			return spot{item: l.items[i]}, l, true // the row
		case len(found) > 0 || unsure:
			return spot{}, nil, false
		}
	}
	return spot{}, nil, false
}

// named gives what a sub-select gives under a name.
func (i *item) named(name string) (found []spot) {
	for _, o := range i.outs {
		if o.name == name {
			at := o.at
			at.item = i
			found = append(found, at)
		}
	}
	return found
}
