package rewrite

import (
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// Where a policy says unfiltered: refuse, a governed relation of which a statement
// uses more than open columns must be bounded: by a condition that is AND-ed at the
// top and compares a column with something that is not of the same row, by equality
// with a column of what is bounded itself, or by a small LIMIT. What a condition is
// worth is judged by its form: plans are made once for all values of parameters.

// filters is what is known of the items of a statement's FROMs.
type filters struct {
	all      []*item // relations, and sub-selects
	edges    [][2]*item
	positive map[*pg_query.SubLink]bool // in conditions that rows must meet
	most     int64                      // that LIMIT may say
	counted  bool                       // a limit of rows bounds what a parameter says
}

// unfiltered refuses to read a relation that nothing bounds.
func (c *planner) unfiltered(w *work) error {
	limits := c.session.Access.Limits
	if !limits.RefuseUnfiltered {
		return nil
	}
	m := c.engine.survey(w.node, w.query).meterOf(w.views)
	m.filters = &filters{positive: map[*pg_query.SubLink]bool{}}
	m.filters.most, m.filters.counted = limits.Page()
	m.measure(w.node, c.keeps)
	m.filters.settle()
	for _, it := range m.filters.all {
		if it.ref == nil || it.bounded || !c.reads(it.ref, w) {
			continue
		}
		hint := fmt.Sprintf("compare one of its columns with a value (=, IN, BETWEEN, LIKE 'abc%%'), join it by = to what is filtered so, or add LIMIT %d", m.filters.most)
		return refuse(hint, "reading %s without an effective filter is refused", it.ref.Relation.QualifiedName())
	}
	if m.steps > maxSteps {
		return refuseUnsupported("read each query in WITH less often", "a statement of so many queries is not supported where reading without a filter is refused")
	}
	return nil
}

// reads tells whether a statement reads more than open columns of a relation. What
// is left to aggregates comes in large groups alone.
func (c *planner) reads(ref *resolve.Ref, w *work) bool {
	rel := ref.Relation
	if !rel.Governed() || isTemporary(rel) {
		return false
	}
	i := slices.IndexFunc(w.query.Targets, func(t *resolve.Target) bool { return t.Ref == ref })
	if i >= 0 && len(*w.query.Targets[i].Returning) == 0 {
		return false
	}
	return slices.ContainsFunc(w.query.Uses, func(u resolve.Use) bool {
		if u.Ref != ref || u.As == resolve.UseWrite || u.As == resolve.UseInfer || c.engine.class(u) == openClass {
			return false
		}
		return !w.views[ref].columns[u.Column].leftToAggregates()
	})
}

// settle follows what bounds what, until nothing new is found.
func (f *filters) settle() {
	for changed := true; changed; {
		changed = false
		for _, e := range f.edges {
			if e[0].bounded && !e[1].bounded {
				e[1].bounded, changed = true, true
			}
		}
		for _, it := range f.all {
			if !it.bounded && len(it.inner) > 0 && !slices.ContainsFunc(it.inner, func(l *level) bool { return !l.bounded() }) {
				it.bounded, changed = true, true
			}
		}
	}
}

// bounded tells whether a level's rows are few.
func (l *level) bounded() bool {
	return l.few || len(l.items) > 0 && !slices.ContainsFunc(l.items, func(i *item) bool { return !i.bounded })
}

// edge notes that an item is bounded when another is.
func (f *filters) edge(from, to *item) {
	if from != to {
		f.edges = append(f.edges, [2]*item{from, to})
	}
}

// node gives the item that a condition on a column bounds: the relation that it is
// of, in sub-selects or not.
func (s spot) node() *item {
	if s.of != nil {
		return s.of
	}
	return s.item
}

// equates notes what an equality of two columns at a level bounds. may says of
// which items the condition decides the rows.
func (f *filters) equates(a, b spot, l *level, may func(*item) bool) {
	if f == nil || a.item == nil || b.item == nil || a.item == b.item {
		return
	}
	for _, s := range [][2]spot{{a, b}, {b, a}} {
		from, to := s[0], s[1]
		here := slices.Contains(l.items, to.item)
		if to.of != nil && !to.of.halves(to.column) && (here && may(to.item) || !here && l.positive) {
			f.edge(from.node(), to.of)
		}
	}
}

// conditions notes what the conditions AND-ed in one bound.
func (m *meter) conditions(condition *pg_query.Node, l *level, may func(*item) bool) {
	f := m.filters
	if f == nil {
		return
	}
	all := resolve.Conjuncts(condition)
	for _, n := range all {
		if s := n.GetSubLink(); s != nil {
			f.positive[s] = true
		}
		if e := n.GetAExpr(); e.GetKind() == pg_query.A_Expr_Kind_AEXPR_OP_ANY && e.Rexpr.GetSubLink() != nil {
			f.positive[e.Rexpr.GetSubLink()] = true
		}
	}
	for _, it := range m.narrowed(all, l) {
		if may(it) {
			it.bounded = true
		}
	}
}

// narrowed gives the relations that conditions, all of which hold, bound.
func (m *meter) narrowed(all []*pg_query.Node, l *level) (items []*item) {
	ranges := map[*item][]string{} // by item: the columns with a bound, and on which side
	for _, n := range all {
		if it := m.compares(n, l); it != nil {
			items = append(items, it)
		}
		if b := n.GetBoolExpr(); b != nil && b.Boolop == pg_query.BoolExprType_OR_EXPR {
			items = append(items, m.alternatives(b.Args, l)...)
		}
		it, column, side := m.side(n, l)
		if it == nil {
			continue
		}
		if slices.Contains(ranges[it], column+opposite[side]) {
			items = append(items, it)
		}
		ranges[it] = append(ranges[it], column+side)
	}
	return items
}

var opposite = map[string]string{"<": ">", ">": "<"}

// alternatives gives the relations that each of several conditions bounds.
func (m *meter) alternatives(arms []*pg_query.Node, l *level) (items []*item) {
	for i, n := range arms {
		found := m.narrowed(resolve.Conjuncts(n), l)
		if i == 0 {
			items = found
			continue
		}
		items = slices.DeleteFunc(items, func(it *item) bool { return !slices.Contains(found, it) })
	}
	return items
}

// compares gives the relation of which a condition compares a column with values
// so that few rows are left; nil for any other.
func (m *meter) compares(n *pg_query.Node, l *level) *item {
	e := n.GetAExpr()
	if e == nil || len(e.Name) == 0 {
		return nil
	}
	op := e.Name[len(e.Name)-1].GetString_().GetSval()
	switch e.Kind {
	case pg_query.A_Expr_Kind_AEXPR_OP:
		if isEqual(e.Name) {
			return m.valued(e.Lexpr, e.Rexpr, l)
		}
		if (op == "~" || op == "~*") && anchored(e.Rexpr) {
			return m.filterable(e.Lexpr, l)
		}
	case pg_query.A_Expr_Kind_AEXPR_IN, pg_query.A_Expr_Kind_AEXPR_OP_ANY:
		if isEqual(e.Name) && m.apart(e.Rexpr) && !resolve.HoldsSubLink(e.Rexpr) {
			return m.filterable(e.Lexpr, l)
		}
	case pg_query.A_Expr_Kind_AEXPR_LIKE, pg_query.A_Expr_Kind_AEXPR_ILIKE:
		if (op == "~~" || op == "~~*") && prefixed(e.Rexpr) {
			return m.filterable(e.Lexpr, l)
		}
	case pg_query.A_Expr_Kind_AEXPR_BETWEEN, pg_query.A_Expr_Kind_AEXPR_BETWEEN_SYM:
		if m.apart(e.Rexpr) {
			return m.filterable(e.Lexpr, l)
		}
	}
	return nil
}

// valued gives the relation of which a column equals a value, on either side.
func (m *meter) valued(a, b *pg_query.Node, l *level) *item {
	if m.apart(b) {
		return m.filterable(a, l)
	}
	if m.apart(a) {
		return m.filterable(b, l)
	}
	return nil
}

// side gives the column that a condition bounds on one side.
func (m *meter) side(n *pg_query.Node, l *level) (it *item, column, side string) {
	e := n.GetAExpr()
	if e == nil || e.Kind != pg_query.A_Expr_Kind_AEXPR_OP || len(e.Name) != 1 {
		return nil, "", ""
	}
	op := strings.TrimSuffix(e.Name[0].GetString_().GetSval(), "=")
	ref := e.Lexpr
	switch {
	case opposite[op] == "":
		return nil, "", ""
	case m.apart(e.Rexpr):
	case m.apart(e.Lexpr):
		ref, op = e.Rexpr, opposite[op]
	default:
		return nil, "", ""
	}
	if it = m.filterable(ref, l); it == nil {
		return nil, "", ""
	}
	return it, fmt.Sprint(m.spot(stripped(ref), l).column), op
}

// filterable gives the relation of which an expression is a column by whose values
// few rows are told from many: a column that is shown as it is, or compared as it
// is, and of more values than two. Its case and its type do not matter.
func (m *meter) filterable(n *pg_query.Node, l *level) *item {
	n = stripped(n)
	s, at, ok := m.find(n, l)
	if !ok || at != l || s.item == nil {
		return nil
	}
	if u, known := m.uses[n]; s.of == nil && known && s.item.ref == u.Ref && u.As == resolve.UseEquality && m.views[u.Ref].columns[u.Column].treatment.Match == policy.MatchEquality {
		s.of, s.column = s.item, u.Column
	}
	if s.of == nil || s.of.halves(s.column) {
		return nil
	}
	return s.of
}

// halves tells whether a column has two values at most.
func (i *item) halves(column int) bool { return i.ref.Relation.Columns[column].Type.Base == "bool" }

// stripped takes off an expression what leaves values apart: a cast, and lower or
// upper.
func stripped(n *pg_query.Node) *pg_query.Node {
	for {
		call := n.GetFuncCall()
		switch {
		case n.GetTypeCast() != nil:
			names := n.GetTypeCast().TypeName.GetNames()
			if names[len(names)-1].GetString_().GetSval() == "bool" {
				return nil
			}
			n = n.GetTypeCast().Arg
		case call != nil && len(call.Args) == 1 && slices.Contains([]string{"lower", "upper"}, call.Funcname[len(call.Funcname)-1].GetString_().GetSval()):
			n = call.Args[0]
		default:
			return n
		}
	}
}

// apart tells whether an expression has nothing of any row: constants, parameters,
// and sub-selects that look at nothing around them.
func (m *meter) apart(n *pg_query.Node) bool {
	if n == nil || n.GetAConst().GetIsnull() {
		return false
	}
	inside := map[*pg_query.RangeVar]bool{}
	parse.Walk(n, func(msg proto.Message) bool {
		if rv, ok := msg.(*pg_query.RangeVar); ok {
			inside[rv] = true
		}
		return true
	})
	fine := true
	parse.Walk(n, func(msg proto.Message) bool {
		if node, ok := msg.(*pg_query.Node); ok && node.GetColumnRef() != nil {
			u, known := m.uses[node]
			fine = fine && known && inside[u.Ref.Var]
		}
		return fine
	})
	return fine
}

// prefixed tells whether a LIKE pattern is a literal that begins with what must
// stand there.
func prefixed(n *pg_query.Node) bool {
	text := literalText(n)
	return text != "" && !strings.ContainsAny(text[:1], `%_\`)
}

// anchored tells whether a regular expression is a literal that begins with what
// must stand at the start.
func anchored(n *pg_query.Node) bool {
	text := literalText(n)
	if len(text) < 2 || text[0] != '^' || !wordByte(text[1]) || strings.ContainsRune(text, '|') {
		return false
	}
	return len(text) == 2 || !strings.ContainsAny(text[2:3], "*?{")
}

func literalText(n *pg_query.Node) string {
	if cast := n.GetTypeCast(); cast != nil {
		n = cast.Arg
	}
	return n.GetAConst().GetSval().GetSval()
}

// few tells whether LIMIT says that a query gives few rows, of which none tells of
// others.
func (m *meter) few(sel *pg_query.SelectStmt) bool {
	if m.filters == nil || sel.LimitCount == nil || sel.LimitOption == pg_query.LimitOption_LIMIT_OPTION_WITH_TIES {
		return false
	}
	n := sel.LimitCount
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().Arg
	}
	if n.GetParamRef() != nil {
		return m.filters.counted
	}
	number := n.GetAConst().GetIval()
	return number != nil && int64(number.Ival) <= m.filters.most
}

// fewRows notes that a level gives few rows: one, that it makes of all; or those
// that LIMIT leaves, of which none tells of others. What is evaluated anew for every
// row of an outer level is not few because each time it is.
func (m *meter) fewRows(sel *pg_query.SelectStmt, l *level, once bool) {
	if m.filters == nil {
		return
	}
	groups, around := m.merges(sel)
	if once && !groups && !around && m.few(sel) {
		m.limits([]*level{l})
	}
	single := groups && len(sel.GroupClause) == 0 || len(l.items) == 0
	l.few = l.few || single && !setReturning(sel, m.query)
	l.gathers, l.around = groups || around, around
}

// limits notes that few rows of some levels are read.
func (m *meter) limits(levels []*level) {
	for _, l := range levels {
		if l.gathers {
			continue
		}
		l.few = true
		for _, it := range l.items {
			it.bounded = true
			m.limits(it.inner)
		}
	}
}

// listed tells whether a function in FROM gives the elements of an array that the
// client wrote or sends.
func (m *meter) listed(rf *pg_query.RangeFunction) bool {
	if m.filters == nil || len(rf.GetFunctions()) != 1 {
		return false
	}
	call := rf.Functions[0].GetList().GetItems()[0].GetFuncCall()
	return call != nil && m.calls[call].Name == "unnest" && !slices.ContainsFunc(call.Args, func(n *pg_query.Node) bool { return !m.apart(n) || resolve.HoldsSubLink(n) })
}
