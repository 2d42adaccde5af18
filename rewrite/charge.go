package rewrite

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// Limits count data subjects that the client's rows disclose. How many a row can
// disclose at most is computed from the statement, level by level from the inside:
//
//   - A row of a relation is about the subjects that its keys name. Two references
//     whose keys a join or WHERE equates are about the same one, in a sub-select
//     or LATERAL too: what is gathered of a subject's own rows, in whatever way,
//     discloses that subject.
//   - A row of a level tells of all that its FROM and its sub-selects tell of. Those
//     in conditions count like the others: WHERE n = (SELECT …) over a series of
//     numbers makes an output of a condition.
//   - Of UNION, a row is one of either side; DISTINCT makes no row tell of more.
//   - Where rows are merged, what tells is the function that merges them (see
//     worth): count says nothing that a row does not, min shows one row, string_agg all.
//
// What is learnt of rows that do not come, and how long it took, is not counted.

// person is the data subject of one reference's row, or several.
type person struct {
	kind  string
	each  int64   // at most, of one row; AnyNumber
	depth int     // of the level whose rows tell of them
	same  *person // who they turned out to be
	tied  bool    // others turned out to be the same one
}

func (p *person) root() *person {
	for p.same != nil {
		p = p.same
	}
	return p
}

// meter finds how many subjects a row of a statement discloses at most.
type meter struct {
	*surveyor
	views map[*resolve.Ref]*view // nil: every column is shown as it is
	uses  map[*pg_query.Node]resolve.Use

	feeds  map[*resolve.Ref]bool   // their columns can be in what the client gets
	shown  map[*pg_query.Node]bool // likewise, references to columns
	copied []*person               // subjects whose data a write puts among that of others
	moved  []*person               // those whose rows it makes another's
	unite  bool                    // a join makes one column of two
	vary   bool                    // a query groups by several sets of columns
	steps  int                     // done; those of a statement that reads itself over and over have an end
	counts bool                    // the statement's rows are charged by how many rows they were made of
	group  *level                  // whose rows the statement itself merges; nil for none
	merged []*person               // by it

	filters *filters // nil: nobody asks what bounds relations
}

// maxSteps bounds the levels that are looked at: of WITH queries that read each
// other twice there are as many as two to their number.
const maxSteps = 2000

// told is what a row of a query tells of.
type told struct {
	whom  []*person
	outs  []output
	plain bool // its rows are as many as there are rows of data, which no expression decides
	inner []*level
}

// output is a column of a query.
type output struct {
	name  string
	at    spot // the column that it is, as it is; none for what was computed
	mixed bool // a sum of rows, each weighing as much
}

// place is where a query stands.
type place struct {
	outer *level // whose columns it can name
	ctes  *binding
	depth int
	feeds bool // the client can get what it gives
	top   bool

	once     bool // it is evaluated once, and its rows are handed on one by one
	positive bool // it is a condition that rows of the outer level must meet
}

// meterOf gives a meter of a statement as the surveyor found it, before the tree
// is changed.
func (s *surveyor) meterOf(views map[*resolve.Ref]*view) *meter {
	m := &meter{surveyor: s, views: views, uses: map[*pg_query.Node]resolve.Use{}, feeds: map[*resolve.Ref]bool{}, shown: map[*pg_query.Node]bool{}}
	for _, u := range s.query.Uses {
		if u.Node != nil && !u.Derived {
			m.uses[u.Node] = u
		}
	}
	return m
}

// measure fills in what limits count of a statement's rows. keeps says that its
// rows are not returned but kept in a table.
func (m *meter) measure(n *pg_query.Node, keeps bool) {
	at := place{depth: 1, feeds: true, top: !keeps, once: true}
	var whom []*person
	if sel := n.GetSelectStmt(); sel != nil {
		whom = m.selects(sel, at).whom
		if keeps && !m.harmless(sel) {
			m.copied = append(m.copied, whom...)
		}
		if keeps {
			whom = nil
		}
	} else {
		whom = m.writes(n, at).whom
	}
	m.naming.Charged = total(whom)
	m.naming.Tied = m.vary || slices.ContainsFunc(whom, func(p *person) bool { return p.root().tied })
	for _, p := range m.copied {
		m.naming.charge(p.kind, AnyNumber)
	}
	for _, r := range m.naming.Reached {
		if r.Kind == AnyKind {
			m.naming.charge(AnyKind, AnyNumber)
		}
	}
	if m.putsAside() {
		m.naming.uncharted()
	}
	m.naming.Whole = m.group != nil && !m.counts
	m.naming.Clear = m.clear()
}

// putsAside tells whether a call leaves what it is given where other statements
// find it: a setting, a lock, a seed.
func (m *meter) putsAside() bool {
	return slices.ContainsFunc(m.query.Funcs, func(f resolve.Func) bool {
		effects := slices.ContainsFunc(f.Found, func(f catalog.Func) bool { return f.Volatility == 'v' && catalog.SystemSchema(f.Schema) })
		return effects && slices.ContainsFunc(f.Call.Args, func(n *pg_query.Node) bool { return !m.apart(n) || resolve.HoldsSubLink(n) })
	})
}

// total adds up how many subjects of each kind persons are.
func total(whom []*person) []Reached {
	n := &Naming{}
	for _, p := range own(whom, 0) {
		n.charge(p.kind, p.each)
	}
	return n.Charged
}

// charge notes that a row discloses so many subjects of a kind more.
func (n *Naming) charge(kind string, each int64) {
	i := slices.IndexFunc(n.Charged, func(r Reached) bool { return r.Kind == kind })
	switch {
	case i < 0:
		n.Charged = append(n.Charged, Reached{kind, each})
	case each == AnyNumber || n.Charged[i].Each == AnyNumber:
		n.Charged[i].Each = AnyNumber
	default:
		n.Charged[i].Each += each
	}
}

// uncharted notes that nothing bounds how many subjects a row discloses.
func (n *Naming) uncharted() {
	for i := range n.Charged {
		n.Charged[i].Each = AnyNumber
	}
	n.Whole, n.Statistic = false, false
}

// own gives each of those once who were not known of at a lower depth.
func own(whom []*person, depth int) (once []*person) {
	for _, p := range whom {
		if p = p.root(); p.depth >= depth && !slices.Contains(once, p) {
			once = append(once, p)
		}
	}
	return once
}

// lift brings what a query tells of to the level that it stands in.
func lift(whom []*person, depth int) []*person {
	mine := own(whom, depth+1)
	for _, p := range mine {
		p.depth = depth
	}
	return mine
}

// many gives those who are so many times as many each; AnyNumber of all.
func many(whom []*person, times int64, depth int) (more []*person) {
	for _, p := range whom {
		each := p.each * times
		if times == AnyNumber || p.each == AnyNumber {
			each = AnyNumber
		}
		more = append(more, &person{kind: p.kind, each: each, depth: depth})
	}
	return more
}

// unknown is told of what is not understood.
func unknown(depth int) told {
	return told{whom: []*person{{kind: AnyKind, each: AnyNumber, depth: depth}}}
}

// equate notes that two are the same one at a level. Those whom outer levels know
// as two stay two: the condition need not hold there.
func equate(a, b *person, depth int) {
	if a == nil || b == nil {
		return
	}
	a, b = a.root(), b.root()
	if b.depth < a.depth {
		a, b = b, a
	}
	if a != b && a.kind == b.kind && a.each == 1 && b.each == 1 && b.depth >= depth {
		b.same, a.tied = a, true
	}
}

// clear gives the classes of which the client can get values as they are.
func (m *meter) clear() (classes []string) {
	for _, u := range m.query.Uses {
		rel := u.Ref.Relation
		if !rel.Governed() || isTemporary(rel) || !m.asItIs(u.Ref, u.Column) || u.Derived && !m.unite {
			continue // another use stands for it
		}
		listed := u.Node == nil && (u.As == resolve.UseStar || u.As == resolve.UseOutput) && m.feeds[u.Ref]
		if class := m.engine.class(u); class != openClass && (listed || u.Node != nil && m.shown[u.Node]) && !slices.Contains(classes, class) {
			classes = append(classes, class)
		}
	}
	slices.Sort(classes)
	return classes
}

// asItIs tells whether a column is shown as it is.
func (m *meter) asItIs(ref *resolve.Ref, column int) bool {
	if m.views == nil {
		return true
	}
	v := m.views[ref]
	return v != nil && (v.plain || v.bare || shownClear(v.columns[column]))
}

// expressions looks at what stands in expressions: those in which a row of the
// level is made of one of its FROM. It gives whom their sub-selects tell of.
func (m *meter) expressions(list []*pg_query.Node, l *level, feeds bool) (whom []*person) {
	for _, n := range list {
		parse.Walk(n, func(msg proto.Message) bool {
			switch v := msg.(type) {
			case *pg_query.Node:
				if feeds && v.GetColumnRef() != nil {
					m.shown[v] = true
				}
				if call := v.GetFuncCall(); feeds && call != nil && m.isAggregate(v) && m.calls[call].Name == "count" {
					whom = append(whom, m.expressions(slices.Concat(call.Args, []*pg_query.Node{call.AggFilter}), l, false)...)
					return false
				}
			case *pg_query.A_Expr:
				if v.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ANY && isEqual(v.Name) && v.Rexpr.GetSubLink().GetSubLinkType() == pg_query.SubLinkType_ARRAY_SUBLINK {
					whom = append(whom, m.anyOf(v, l)...)
					return false
				}
			case *pg_query.SubLink:
				whom = append(whom, m.sublink(v, l, feeds)...)
				return false
			case *pg_query.SelectStmt: // of JSON_ARRAY
				t := m.selects(v, place{outer: l, ctes: l.ctes, depth: l.depth + 1, feeds: feeds})
				whom = append(whom, many(lift(t.whom, l.depth), AnyNumber, l.depth)...)
				return false
			}
			return true
		})
	}
	return whom
}

// sublink gives whom a sub-select in an expression tells of. For IN and EXISTS
// that is one row of it, for an array all.
func (m *meter) sublink(s *pg_query.SubLink, l *level, feeds bool) []*person {
	value := s.SubLinkType == pg_query.SubLinkType_EXPR_SUBLINK || s.SubLinkType == pg_query.SubLinkType_ARRAY_SUBLINK || s.SubLinkType == pg_query.SubLinkType_MULTIEXPR_SUBLINK
	positive := m.filters != nil && m.filters.positive[s]
	t := m.selects(s.Subselect.GetSelectStmt(), place{outer: l, ctes: l.ctes, depth: l.depth + 1, feeds: feeds && value, positive: positive})
	whom := m.expressions([]*pg_query.Node{s.Testexpr}, l, false)
	if s.SubLinkType == pg_query.SubLinkType_ANY_SUBLINK && isEqual(s.OperName) {
		m.among(s.Testexpr, t, l, positive)
	}
	mine := lift(t.whom, l.depth)
	if s.SubLinkType == pg_query.SubLinkType_ARRAY_SUBLINK {
		mine = many(mine, AnyNumber, l.depth)
	}
	return append(whom, mine...)
}

// among notes that an expression is compared with what a sub-select gives: only
// rows where both are equal decide.
func (m *meter) among(n *pg_query.Node, t told, l *level, positive bool) {
	a := m.spot(n, l)
	if a.of != nil && len(t.outs) == 1 && t.outs[0].at.of != nil {
		a.tie(t.outs[0].at, l.depth+1)
		if positive {
			m.filters.edge(t.outs[0].at.of, a.of)
		}
	}
	if !positive {
		return
	}
	if it := m.filterable(n, l); it != nil {
		list := &item{inner: t.inner}
		m.filters.all = append(m.filters.all, list)
		m.filters.edge(list, it)
	}
}

// anyOf gives whom = ANY (ARRAY(SELECT …)) tells of, which means IN.
func (m *meter) anyOf(e *pg_query.A_Expr, l *level) []*person {
	positive := m.filters != nil && m.filters.positive[e.Rexpr.GetSubLink()]
	t := m.selects(e.Rexpr.GetSubLink().Subselect.GetSelectStmt(), place{outer: l, ctes: l.ctes, depth: l.depth + 1, positive: positive})
	m.among(e.Lexpr, t, l, positive)
	return append(m.expressions([]*pg_query.Node{e.Lexpr}, l, false), lift(t.whom, l.depth)...)
}

// isEqual tells whether an operator's name is that of equality, or of IN.
func isEqual(name []*pg_query.Node) bool {
	return len(name) == 0 || name[len(name)-1].GetString_().GetSval() == "=" && (len(name) == 1 || name[0].GetString_().GetSval() == "pg_catalog")
}

// viewed tells whom a row of a view is about, by what its query reads.
func (m *meter) viewed(rel *catalog.Relation, depth int) told {
	node, err := parse.ParseOne(rel.Definition)
	if err != nil || rel.Definition == "" {
		return unknown(depth)
	}
	q, err := resolve.Resolve(resolve.Input{Catalog: m.engine.Catalog, Path: []string{"pg_catalog"}, Expand: (*catalog.Relation).Governed}, node)
	if err != nil {
		return unknown(depth)
	}
	inner := m.engine.survey(node, q).meterOf(nil)
	t := inner.selects(node.GetSelectStmt(), place{depth: 1})
	for _, r := range inner.naming.Reached {
		if r.Kind == AnyKind {
			return unknown(depth)
		}
	}
	return told{whom: many(own(t.whom, 0), 1, depth)}
}
