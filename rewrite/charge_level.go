package rewrite

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// level is one SELECT on its way, or a write.
type level struct {
	outer *level
	depth int
	ctes  *binding
	items []*item
	rows  []*person // whom a row of its FROM tells of
}

// item is what stands in a FROM.
type item struct {
	alias  string
	ref    *resolve.Ref    // nil for what is no relation
	keys   map[int]*person // columns of the relation that hold keys
	ways   []way
	outs   []output // of a sub-select
	plain  bool     // its rows are as many as there are rows of data
	beside *item    // another that a join equates with it
}

// way is a column that leads to a relation by which a subject is found.
type way struct {
	column int
	to     *catalog.Relation
	ref    int // the column there that it equals
	who    *person
}

// binding is a chain of queries in WITH, innermost first.
type binding struct {
	outer *binding
	name  string
	cte   *pg_query.CommonTableExpr
	at    place
	self  bool // WITH RECURSIVE: it may read itself
	busy  bool
	again bool // it does
}

func (b *binding) find(name string) *binding {
	for ; b != nil && b.name != name; b = b.outer {
	}
	return b
}

// with binds the queries of WITH. Those that write are looked at even if nobody
// reads them.
func (m *meter) with(w *pg_query.WithClause, at place) *binding {
	ctes := at.ctes
	var made []*binding
	for _, n := range w.GetCtes() {
		cte := n.GetCommonTableExpr()
		b := &binding{outer: ctes, name: cte.Ctename, cte: cte, at: at, self: w.Recursive}
		b.at.ctes, b.at.top = ctes, false
		ctes, made = b, append(made, b)
	}
	for _, b := range made {
		if b.self {
			b.at.ctes = ctes
		}
		if b.cte.Ctequery.GetSelectStmt() == nil {
			at := b.at
			at.feeds = false
			m.writes(b.cte.Ctequery, at)
		}
	}
	return ctes
}

// reads tells of a row of a query in WITH. Of one that reads itself, a row may
// gather what all before it told.
func (m *meter) reads(b *binding, l *level, feeds bool) told {
	if b == nil {
		return unknown(l.depth)
	}
	if b.busy {
		b.again = true
		return told{}
	}
	b.busy, b.again = true, false
	at := b.at
	at.depth, at.feeds = l.depth+1, feeds
	var t told
	if sel := b.cte.Ctequery.GetSelectStmt(); sel != nil {
		t = m.selects(sel, at)
	} else {
		copied := m.copied // with itself already noted
		t = m.writes(b.cte.Ctequery, at)
		m.copied = copied
	}
	b.busy = false
	if len(b.cte.Aliascolnames) > 0 {
		t.outs = nil
	}
	if b.again {
		t = told{whom: many(own(t.whom, at.depth), AnyNumber, at.depth)}
	}
	return t
}

// selects tells of a row of a query.
func (m *meter) selects(sel *pg_query.SelectStmt, at place) told {
	if m.steps++; m.steps > maxSteps {
		return unknown(at.depth)
	}
	l := &level{outer: at.outer, depth: at.depth}
	l.ctes = m.with(sel.WithClause, at)
	switch {
	case sel.Op != pg_query.SetOperation_SETOP_NONE:
		return m.sets(sel, l, at.feeds)
	case len(sel.ValuesLists) > 0:
		return m.values(sel, l, at.feeds)
	default:
		return m.plain(sel, l, at)
	}
}

// sets tells of a row of a set operation. One of UNION comes from either side,
// one of INTERSECT and EXCEPT tells of both.
func (m *meter) sets(sel *pg_query.SelectStmt, l *level, feeds bool) told {
	at := place{outer: l.outer, ctes: l.ctes, depth: l.depth, feeds: feeds}
	left, right := m.selects(sel.Larg, at), m.selects(sel.Rarg, at)
	whom := own(slices.Concat(left.whom, right.whom), l.depth)
	if sel.Op == pg_query.SetOperation_SETOP_UNION {
		whom = nil
		either := &Naming{Charged: total(own(left.whom, l.depth))}
		for _, r := range total(own(right.whom, l.depth)) {
			either.atLeast(r)
		}
		for _, r := range either.Charged {
			whom = append(whom, &person{kind: r.Kind, each: r.Each, depth: l.depth})
		}
	}
	tail := m.expressions([]*pg_query.Node{sel.LimitCount, sel.LimitOffset}, l, false)
	tail = append(tail, m.expressions(sel.SortClause, l, false)...)
	return told{whom: append(whom, tail...), plain: left.plain && right.plain}
}

// atLeast notes that a row may disclose so many subjects of a kind instead.
func (n *Naming) atLeast(r Reached) {
	i := slices.IndexFunc(n.Charged, func(o Reached) bool { return o.Kind == r.Kind })
	switch {
	case i < 0:
		n.Charged = append(n.Charged, r)
	case r.Each == AnyNumber || n.Charged[i].Each == AnyNumber:
		n.Charged[i].Each = AnyNumber
	default:
		n.Charged[i].Each = max(n.Charged[i].Each, r.Each)
	}
}

func (m *meter) values(sel *pg_query.SelectStmt, l *level, feeds bool) told {
	most := &Naming{}
	for _, row := range sel.ValuesLists {
		for _, r := range total(own(m.expressions([]*pg_query.Node{row}, l, feeds), l.depth)) {
			most.atLeast(r)
		}
	}
	var whom []*person
	for _, r := range most.Charged {
		whom = append(whom, &person{kind: r.Kind, each: r.Each, depth: l.depth})
	}
	return told{whom: append(whom, m.expressions(slices.Concat(sel.SortClause, []*pg_query.Node{sel.LimitCount, sel.LimitOffset}), l, false)...)}
}

// plain tells of a row of SELECT … FROM.
func (m *meter) plain(sel *pg_query.SelectStmt, l *level, at place) told {
	for _, n := range sel.FromClause {
		m.from(n, l, at.feeds)
	}
	m.ties(sel.WhereClause, l, func(a, b *item) bool { return true })
	l.rows = append(l.rows, m.expressions([]*pg_query.Node{sel.WhereClause}, l, false)...)
	l.rows = append(l.rows, m.expressions(sel.GroupClause, l, false)...)
	l.rows = append(l.rows, m.expressions(m.aggregatesOf(sel), l, false)...)
	shown := m.expressions(sel.TargetList, l, at.feeds)
	rest := slices.Concat(sel.SortClause, sel.WindowClause, sel.DistinctClause, []*pg_query.Node{sel.HavingClause, sel.LimitCount, sel.LimitOffset})
	shown = append(shown, m.expressions(rest, l, false)...)

	rows := m.gather(sel, l, at.top)
	rows = append(rows, m.around(sel, l, rows)...)
	t := told{whom: own(append(rows, shown...), l.depth), plain: l.plain()}
	for _, n := range sel.TargetList {
		rt := n.GetResTarget()
		out := output{name: rt.GetName(), who: m.person(rt.GetVal(), l)}
		if out.name == "" {
			out.name = resolve.OutputName(rt.GetVal())
		}
		if out.who != nil && !slices.Contains(own(t.whom, 0), out.who.root()) && out.who.root().depth >= l.depth {
			out.who = nil // it was merged with others
		}
		t.outs = append(t.outs, out)
		if isStar(rt.GetVal()) {
			t.outs = append(t.outs, l.starOutputs(rt.GetVal(), m)...)
		}
	}
	return t
}

// starOutputs gives the columns with keys that * stands for.
func (l *level) starOutputs(star *pg_query.Node, m *meter) (outs []output) {
	fields := star.GetColumnRef().GetFields()
	for _, it := range l.items {
		if len(fields) > 1 && it.alias != fields[0].GetString_().GetSval() {
			continue
		}
		if it.ref != nil {
			for column, who := range it.keys {
				if m.asItIs(it.ref, column) {
					outs = append(outs, output{it.ref.Relation.Columns[column].Name, who})
				}
			}
			continue
		}
		outs = append(outs, it.outs...)
	}
	return outs
}

// from looks at an item of FROM, and gives what it brings.
func (m *meter) from(n *pg_query.Node, l *level, feeds bool) []*item {
	it := &item{}
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
		if v.RangeSubselect.Lateral {
			at.outer = l
		}
		t := m.selects(v.RangeSubselect.Subquery.GetSelectStmt(), at)
		it = m.bring(t, v.RangeSubselect.Alias, v.RangeSubselect.Alias.GetAliasname(), l)
	default: // a function, or what makes a table of a document: how many rows it gives, it says itself
		l.rows = append(l.rows, m.expressions([]*pg_query.Node{n}, l, feeds)...)
	}
	l.items = append(l.items, it)
	return []*item{it}
}

// bring makes an item of what a query told.
func (m *meter) bring(t told, alias *pg_query.Alias, name string, l *level) *item {
	l.rows = append(l.rows, lift(t.whom, l.depth)...)
	it := &item{alias: name, outs: t.outs, plain: t.plain}
	if len(alias.GetColnames()) > 0 {
		it.outs = nil
	}
	return it
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
		m.using(name.GetString_().GetSval(), left, right, l)
	}
	m.ties(j.Quals, l, holds(j.Jointype, left, right))
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

// using equates the columns of a name of both sides of a join.
func (m *meter) using(name string, left, right []*item, l *level) {
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
		m.tie(spot{a, i, a.keys[i]}, spot{b, k, b.keys[k]}, l)
	}
}

// ties looks for columns that the conditions AND-ed in one equate.
func (m *meter) ties(condition *pg_query.Node, l *level, holds func(a, b *item) bool) {
	for _, c := range resolve.Conjuncts(condition) {
		e := c.GetAExpr()
		if e == nil || e.Kind != pg_query.A_Expr_Kind_AEXPR_OP || !isEqual(e.Name) {
			continue
		}
		a, b := m.spot(e.Lexpr, l), m.spot(e.Rexpr, l)
		if a.item != nil && b.item != nil && holds(a.item, b.item) {
			m.tie(a, b, l)
		}
	}
}

// spot is a column of an item.
type spot struct {
	item   *item
	column int // of a relation; -1 of a sub-select
	who    *person
}

// tie notes that two columns are equal: of keys, that they are one subject's; of
// what leads to a subject's row, that it leads to this one.
func (m *meter) tie(a, b spot, l *level) {
	if slices.Contains(l.items, a.item) && slices.Contains(l.items, b.item) {
		a.item.joined(b.item)
	}
	equate(a.who, b.who, l.depth)
	for _, s := range [][2]spot{{a, b}, {b, a}} {
		for _, w := range s[0].item.ways {
			if w.column != s[0].column {
				continue
			}
			to := s[1].item
			if to.ref != nil && to.ref.Relation == w.to && s[1].column == w.ref {
				equate(w.who, to.only(w.who.kind), l.depth)
			}
			for _, o := range to.ways {
				if o.column == s[1].column && o.to == w.to && o.ref == w.ref {
					equate(w.who, o.who, l.depth)
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
	return len(l.items) > 0
}

// person gives the subject whose key an expression is; nil for any other.
func (m *meter) person(n *pg_query.Node, l *level) *person { return m.spot(n, l).who }

// spot finds the column that an expression is. Of a name without what it belongs
// to, only columns of relations are found.
func (m *meter) spot(n *pg_query.Node, l *level) spot {
	ref := n.GetColumnRef()
	if ref == nil {
		return spot{}
	}
	if u, ok := m.uses[n]; ok {
		for ; l != nil; l = l.outer {
			i := slices.IndexFunc(l.items, func(i *item) bool { return i.ref == u.Ref })
			if i < 0 {
				continue
			}
			s := spot{item: l.items[i], column: u.Column}
			if !m.asItIs(u.Ref, u.Column) {
				return spot{item: s.item, column: -1} // equal masks may be of several
			}
			s.who = s.item.keys[u.Column]
			return s
		}
		return spot{}
	}
	if len(ref.Fields) != 2 {
		return spot{}
	}
	alias, name := ref.Fields[0].GetString_().GetSval(), ref.Fields[1].GetString_().GetSval()
	for ; l != nil; l = l.outer {
		i := slices.IndexFunc(l.items, func(i *item) bool { return i.alias == alias })
		if i < 0 {
			continue
		}
		s := spot{item: l.items[i], column: -1}
		named := slices.DeleteFunc(slices.Clone(s.item.outs), func(o output) bool { return o.name != name })
		if len(named) == 1 && s.item.ref == nil {
			s.who = named[0].who
		}
		return s
	}
	return spot{}
}
