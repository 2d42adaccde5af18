package rewrite

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// level is one SELECT on its way, or a write.
type level struct {
	outer  *level
	depth  int
	ctes   *binding
	items  []*item
	rows   []*person // whom a row of its FROM tells of
	beyond bool      // an aggregate in a sub-select is one over its rows

	weighs   bool // an expression decides how often a row comes
	few      bool // it gives few rows
	gathers  bool // a row of it tells of others, whom it was made of
	around   bool // or stand beside it
	positive bool // it is a condition that rows of the outer level must meet
}

// item is what stands in a FROM.
type item struct {
	alias  string
	ref    *resolve.Ref    // nil for what is no relation
	keys   map[int]*person // columns of the relation that hold keys
	ways   []way
	outs   []output // of a sub-select
	opaque bool     // it has columns that are not known here
	plain  bool     // its rows are as many as there are rows of data
	beside *item    // another that a join equates with it

	inner   []*level // of a sub-select: the levels that its rows come from
	bounded bool     // few of its rows are read
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
	t.outs = renamed(t.outs, b.cte.Aliascolnames)
	if b.again {
		t = told{whom: many(own(t.whom, at.depth), AnyNumber, at.depth), outs: unlinked(t.outs)}
	}
	if b.cte.SearchClause != nil || b.cte.CycleClause != nil {
		t.outs = nil
	}
	return t
}

// renamed gives outputs the names that an alias gives them.
func renamed(outs []output, names []*pg_query.Node) []output {
	if len(names) > len(outs) {
		return nil
	}
	outs = slices.Clone(outs)
	for i, n := range names {
		outs[i].name = n.GetString_().GetSval()
	}
	return outs
}

// unlinked gives outputs of which only the names are known.
func unlinked(outs []output) []output {
	outs = slices.Clone(outs)
	for i := range outs {
		outs[i] = output{name: outs[i].name}
	}
	return outs
}

// selects tells of a row of a query.
func (m *meter) selects(sel *pg_query.SelectStmt, at place) told {
	if m.steps++; m.steps > maxSteps {
		return unknown(at.depth)
	}
	l := &level{outer: at.outer, depth: at.depth, positive: at.positive}
	l.ctes = m.with(sel.WithClause, at)
	at.once = at.once || at.top
	switch {
	case sel.Op != pg_query.SetOperation_SETOP_NONE:
		return m.sets(sel, l, at)
	case len(sel.ValuesLists) > 0:
		return m.values(sel, l, at.feeds)
	default:
		return m.plain(sel, l, at)
	}
}

// sets tells of a row of a set operation. One of UNION comes from either side,
// one of INTERSECT and EXCEPT tells of both.
func (m *meter) sets(sel *pg_query.SelectStmt, l *level, at place) told {
	side := place{outer: l.outer, ctes: l.ctes, depth: l.depth, feeds: at.feeds, once: at.once}
	left, right := m.selects(sel.Larg, side), m.selects(sel.Rarg, side)
	inner := slices.Concat(left.inner, right.inner)
	if at.once && sel.Op == pg_query.SetOperation_SETOP_UNION && m.few(sel) {
		m.limits(inner)
	}
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
	return told{whom: append(whom, tail...), outs: unlinked(left.outs), inner: inner}
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

// values tells of a row of VALUES. Of a single one it is known which of its values
// are keys, too.
func (m *meter) values(sel *pg_query.SelectStmt, l *level, feeds bool) (t told) {
	if len(sel.ValuesLists) == 1 {
		for _, n := range sel.ValuesLists[0].GetList().GetItems() {
			out := output{name: fmt.Sprintf("column%d", len(t.outs)+1)}
			if s := n.GetSubLink(); s.GetSubLinkType() == pg_query.SubLinkType_EXPR_SUBLINK {
				of := m.selects(s.Subselect.GetSelectStmt(), place{outer: l, ctes: l.ctes, depth: l.depth + 1, feeds: feeds})
				if t.whom = append(t.whom, lift(of.whom, l.depth)...); len(of.outs) == 1 {
					out.at = of.outs[0].at
				}
			} else {
				t.whom = append(t.whom, m.expressions([]*pg_query.Node{n}, l, feeds)...)
			}
			t.outs = append(t.outs, out)
		}
	} else {
		most := &Naming{}
		for _, row := range sel.ValuesLists {
			for _, r := range total(own(m.expressions([]*pg_query.Node{row}, l, feeds), l.depth)) {
				most.atLeast(r)
			}
		}
		for _, r := range most.Charged {
			t.whom = append(t.whom, &person{kind: r.Kind, each: r.Each, depth: l.depth})
		}
	}
	tail := slices.Concat(sel.SortClause, []*pg_query.Node{sel.LimitCount, sel.LimitOffset})
	t.whom = append(t.whom, m.expressions(tail, l, false)...)
	l.few = true
	t.inner = []*level{l}
	return t
}

// plain tells of a row of SELECT … FROM.
func (m *meter) plain(sel *pg_query.SelectStmt, l *level, at place) told {
	if groups, _ := m.merges(sel); groups && len(sel.GroupClause) == 0 {
		l.positive = false // it gives a row whatever it finds
	}
	for _, n := range sel.FromClause {
		m.from(n, l, at.feeds)
	}
	m.ties(sel.WhereClause, l, always, anyItem)
	l.rows = append(l.rows, m.expressions([]*pg_query.Node{sel.WhereClause}, l, false)...)
	l.rows = append(l.rows, m.expressions(sel.GroupClause, l, false)...)
	l.rows = append(l.rows, m.expressions(slices.Concat(m.aggregatesOf(sel), windowsOf(sel)), l, false)...)
	l.weighs = l.weighs || setReturning(sel, m.query)
	shown := m.expressions(sel.TargetList, l, at.feeds)
	m.claims(sel, l)
	rest := slices.Concat(sel.SortClause, sel.WindowClause, sel.DistinctClause, []*pg_query.Node{sel.HavingClause, sel.LimitCount, sel.LimitOffset})
	shown = append(shown, m.expressions(rest, l, false)...)

	m.fewRows(sel, l, at.once)
	rows := m.gather(sel, l, at.top)
	rows = append(rows, m.around(sel, l, rows)...)
	t := told{whom: own(append(rows, shown...), l.depth), plain: l.plain(), inner: []*level{l}}
	t.outs = m.outputs(sel.TargetList, l, own(t.whom, 0))
	return t
}

// outputs gives the columns of a target list; nil where not all are known. Of
// subjects who were merged with others no column is the key any more.
func (m *meter) outputs(list []*pg_query.Node, l *level, whom []*person) (outs []output) {
	for _, n := range list {
		rt := n.GetResTarget()
		if isStar(rt.GetVal()) {
			all, ok := l.star(rt.GetVal(), m)
			if !ok {
				return nil
			}
			outs = append(outs, all...)
			continue
		}
		out := output{name: rt.GetName(), at: m.spot(rt.GetVal(), l)}
		if out.name == "" {
			out.name = resolve.OutputName(rt.GetVal())
		}
		if call := rt.GetVal().GetFuncCall(); call != nil && m.isAggregate(rt.GetVal()) && slices.Contains(summings, m.calls[call].Name) {
			_, out.mixed = m.tells(call, l)
		}
		outs = append(outs, out)
	}
	for i := range outs {
		if l.around && m.filters != nil {
			outs[i].at = spot{} // a condition further out leaves the rows that it tells of
		}
		if who := outs[i].at.who; who != nil && who.root().depth >= l.depth && !slices.Contains(whom, who.root()) {
			outs[i].at = spot{}
		}
	}
	return outs
}

// star gives the columns that * stands for.
func (l *level) star(star *pg_query.Node, m *meter) (outs []output, ok bool) {
	fields := star.GetColumnRef().GetFields()
	for _, it := range l.items {
		if len(fields) > 1 && it.alias != fields[len(fields)-2].GetString_().GetSval() {
			continue
		}
		if it.opaque || m.unite {
			return nil, false
		}
		if it.ref == nil {
			outs = append(outs, it.outs...)
			continue
		}
		for i, column := range it.ref.Relation.Columns {
			outs = append(outs, output{name: column.Name, at: m.column(it, i)})
		}
	}
	return outs, true
}
