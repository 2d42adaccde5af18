package rewrite

import (
	"regexp"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// surveyor finds what the rows of a statement can be about.
type surveyor struct {
	engine *Engine
	query  *resolve.Query
	naming *Naming
	byVar  map[*pg_query.RangeVar]*resolve.Ref
	calls  map[*pg_query.FuncCall]resolve.Func
	direct []*resolve.Ref // in the FROM of the statement itself
	reads  map[string]int // how often CTEs of a name are read; where rows are merged, twice as often
	groups bool           // a row of the statement is made of several, which can be counted
	blurs  bool           // likewise, but they cannot
	nested bool           // a sub-select or CTE reaches subjects as well
}

// survey surveys a statement, before it is changed.
func (e *Engine) survey(n *pg_query.Node, q *resolve.Query) *surveyor {
	s := &surveyor{engine: e, query: q, naming: &Naming{}, byVar: map[*pg_query.RangeVar]*resolve.Ref{}, calls: map[*pg_query.FuncCall]resolve.Func{}, reads: map[string]int{}}
	for _, ref := range q.Refs {
		s.byVar[ref.Var] = ref
	}
	for _, f := range q.Funcs {
		s.calls[f.Call] = f
	}
	for _, t := range q.Targets {
		s.target(t, t.Stmt != n)
	}
	s.statement(n, false, true)
	if slices.ContainsFunc(q.Funcs, func(f resolve.Func) bool { return slices.ContainsFunc(f.Found, readsItself) }) {
		s.naming.reach(AnyKind, AnyNumber)
	}
	return s
}

// readingFunctions are those of the system that read what a text of theirs says.
var readingFunctions = regexp.MustCompile(`^((query|table|schema|database|cursor)_to_xml.*|ts_stat|ts_rewrite|lo_.*|loread|pg_read_.*)$`)

// readsItself tells whether a function may give rows that the statement does not
// name. Those that do not change with the database cannot.
func readsItself(f catalog.Func) bool {
	if f.Schema == policy.OwnSchema {
		return false // of the access log, which names subjects and does not show them
	}
	if catalog.SystemSchema(f.Schema) {
		return readingFunctions.MatchString(f.Name)
	}
	return f.Volatility != 'i' && !slices.Contains(openExtensions, f.Extension)
}

// target notes whom the rows are about that a write changes. within says that it
// is part of another statement: how many rows it changes, nobody says. A row
// that becomes another's was somebody's before.
func (s *surveyor) target(t *resolve.Target, within bool) {
	s.relation(t.Ref, within)
	keys, _ := s.engine.Policy.SubjectKeys(t.Ref.Relation)
	for _, k := range keys {
		moves := slices.ContainsFunc(assignments(t), func(n *pg_query.Node) bool { return slices.Contains(k.Columns, n.GetResTarget().GetName()) })
		if moves && !isTemporary(t.Ref.Relation) {
			s.naming.reach(k.Kind, 1)
		}
	}
}

// statement surveys what a statement reads. What a write copies leaves its table.
func (s *surveyor) statement(n *pg_query.Node, merged, top bool) {
	switch v := n.GetNode().(type) {
	case *pg_query.Node_SelectStmt:
		s.selects(v.SelectStmt, merged, top)
	case *pg_query.Node_InsertStmt:
		s.selects(v.InsertStmt.SelectStmt.GetSelectStmt(), merged, false)
		s.within(v.InsertStmt.OnConflictClause.GetTargetList(), merged)
		s.within(v.InsertStmt.ReturningList, merged)
		s.with(v.InsertStmt.WithClause)
	case *pg_query.Node_UpdateStmt:
		s.from(v.UpdateStmt.FromClause, merged, false)
		s.within(slices.Concat(v.UpdateStmt.TargetList, v.UpdateStmt.ReturningList), merged)
		s.with(v.UpdateStmt.WithClause)
	case *pg_query.Node_DeleteStmt:
		s.from(v.DeleteStmt.UsingClause, merged, false)
		s.within(v.DeleteStmt.ReturningList, merged)
		s.with(v.DeleteStmt.WithClause)
	case *pg_query.Node_MergeStmt:
		s.from([]*pg_query.Node{v.MergeStmt.SourceRelation}, merged, false)
		s.within(v.MergeStmt.ReturningList, merged)
		for _, when := range v.MergeStmt.MergeWhenClauses {
			s.within(slices.Concat(when.GetMergeWhenClause().TargetList, when.GetMergeWhenClause().Values), merged)
		}
		s.with(v.MergeStmt.WithClause)
	}
}

// selects surveys a query. merged says that what it gives is merged further out;
// top, that it is the statement itself.
func (s *surveyor) selects(sel *pg_query.SelectStmt, merged, top bool) {
	if sel == nil {
		return
	}
	groups, around := s.merges(sel)
	merged = merged || around || mergesRows(sel)
	if top {
		s.groups = groups
		s.blurs = merged || s.aggregatesOutside(sel)
	}
	merged = merged || groups
	s.selects(sel.Larg, merged, false)
	s.selects(sel.Rarg, merged, false)
	s.from(sel.FromClause, merged, top)
	s.within(sel.TargetList, merged)
	for _, row := range sel.ValuesLists {
		s.within(row.GetList().GetItems(), merged)
	}
	s.with(sel.WithClause)
}

// mergesRows tells whether a query leaves rows out because they are like others.
// DISTINCT ON keeps rows as they are.
func mergesRows(sel *pg_query.SelectStmt) bool {
	return len(sel.DistinctClause) > 0 && sel.DistinctClause[0].GetNode() == nil ||
		sel.Op != pg_query.SetOperation_SETOP_NONE && !(sel.Op == pg_query.SetOperation_SETOP_UNION && sel.All)
}

// merges tells whether a query groups rows, and whether its rows tell of others
// beside them otherwise.
func (s *surveyor) merges(sel *pg_query.SelectStmt) (groups, around bool) {
	groups = len(sel.GroupClause) > 0 || sel.HavingClause != nil
	walkLevel(sel, func(n *pg_query.Node) {
		groups = groups || s.isAggregate(n)
		around = around || s.looksAround(n)
	})
	return groups, around
}

func (s *surveyor) isAggregate(n *pg_query.Node) bool {
	call := n.GetFuncCall()
	return call != nil && call.Over == nil && s.kindOf(call, 'a')
}

// endsOnly tells whether all aggregates of a query take the first or last of a
// column, which an index may give without its rows being read: to count those
// would take the time that it takes to read them all.
func (s *surveyor) endsOnly(sel *pg_query.SelectStmt) bool {
	only := len(sel.GroupClause) == 0
	walkLevel(sel, func(n *pg_query.Node) {
		if s.isAggregate(n) {
			only = only && slices.Contains([]string{"min", "max"}, s.calls[n.GetFuncCall()].Name)
		}
	})
	return only
}

// looksAround tells whether an expression gives values of other rows. A count
// over a window tells how many there are, not of any.
func (s *surveyor) looksAround(n *pg_query.Node) bool {
	call := n.GetFuncCall()
	if call == nil {
		return n.GetJsonObjectAgg() != nil || n.GetJsonArrayAgg() != nil
	}
	return call.Over != nil && !call.AggStar &&
		(s.kindOf(call, 'a') || s.kindOf(call, 'w') && slices.Contains(lookingAround, s.calls[call].Name))
}

func (s *surveyor) kindOf(call *pg_query.FuncCall, kind byte) bool {
	return slices.ContainsFunc(s.calls[call].Found, func(f catalog.Func) bool { return f.Kind == kind })
}

// lookingAround are the window functions that give values of other rows.
var lookingAround = []string{"lag", "lead", "first_value", "last_value", "nth_value"}

// aggregatesOutside tells whether an aggregate in a sub-select of a query may be
// one over the query's own rows: its arguments are columns of those.
func (s *surveyor) aggregatesOutside(sel *pg_query.SelectStmt) bool {
	own := map[*pg_query.Node]bool{}
	for _, u := range s.query.Uses {
		if u.Node != nil && !u.Derived && u.Ref.Item != nil {
			own[u.Node] = !slices.Contains(sel.FromClause, u.Ref.Item) && !inJoin(sel.FromClause, u.Ref.Item)
		}
	}
	found := false
	for _, list := range [][]*pg_query.Node{sel.TargetList, {sel.HavingClause}, sel.SortClause, {sel.WhereClause}} {
		for _, n := range list {
			parse.Walk(n, func(m proto.Message) bool {
				inner, ok := m.(*pg_query.SelectStmt)
				if ok {
					found = found || s.outer(inner, own)
				}
				return !ok
			})
		}
	}
	return found
}

// inJoin tells whether an item stands within joins of a FROM.
func inJoin(clause []*pg_query.Node, item *pg_query.Node) bool {
	return slices.ContainsFunc(clause, func(n *pg_query.Node) bool {
		j := n.GetJoinExpr()
		return j != nil && (j.Larg == item || j.Rarg == item || inJoin([]*pg_query.Node{j.Larg, j.Rarg}, item))
	})
}

// outer tells whether an aggregate within a sub-select has arguments none of
// which is certain to be of the sub-select itself.
func (s *surveyor) outer(inner *pg_query.SelectStmt, own map[*pg_query.Node]bool) bool {
	found := false
	parse.Walk(inner, func(m proto.Message) bool {
		n, ok := m.(*pg_query.Node)
		if !ok || !s.isAggregate(n) || n.GetFuncCall().GetAggStar() {
			return true
		}
		inside := false
		parse.Walk(n, func(m proto.Message) bool {
			if ref, ok := m.(*pg_query.Node); ok && own[ref] {
				inside = true
			}
			return true
		})
		found = found || !inside
		return true
	})
	return found
}

// from surveys a FROM clause. top says that it is the statement's own.
func (s *surveyor) from(clause []*pg_query.Node, merged, top bool) {
	for _, n := range clause {
		switch v := n.GetNode().(type) {
		case *pg_query.Node_RangeVar:
			s.named(v.RangeVar, merged, top)
		case *pg_query.Node_RangeTableSample:
			s.named(v.RangeTableSample.Relation.GetRangeVar(), merged, top)
			s.within(v.RangeTableSample.Args, merged)
		case *pg_query.Node_JoinExpr:
			s.from([]*pg_query.Node{v.JoinExpr.Larg, v.JoinExpr.Rarg}, merged, top)
		case *pg_query.Node_RangeSubselect:
			s.selects(v.RangeSubselect.Subquery.GetSelectStmt(), merged, false)
		default: // a function, or what makes a table of a document
			s.within([]*pg_query.Node{n}, merged)
		}
	}
}

func (s *surveyor) named(rv *pg_query.RangeVar, merged, top bool) {
	ref := s.byVar[rv]
	if ref == nil { // a CTE
		if s.reads[rv.Relname]++; merged {
			s.reads[rv.Relname]++
		}
		return
	}
	if top {
		s.direct = append(s.direct, ref)
		merged = s.blurs // what the statement itself groups can be counted
	}
	s.relation(ref, merged)
	s.nested = s.nested || !top && ref.Relation.Governed()
}

// within surveys the sub-selects of expressions. All but those for one value, and
// EXISTS, bring their rows together.
func (s *surveyor) within(list []*pg_query.Node, merged bool) {
	for _, n := range list {
		parse.Walk(n, func(m proto.Message) bool {
			switch v := m.(type) {
			case *pg_query.SubLink:
				one := v.SubLinkType == pg_query.SubLinkType_EXPR_SUBLINK || v.SubLinkType == pg_query.SubLinkType_EXISTS_SUBLINK
				s.within([]*pg_query.Node{v.Testexpr}, merged)
				s.selects(v.Subselect.GetSelectStmt(), merged || !one, false)
				return false
			case *pg_query.SelectStmt: // of JSON_ARRAY
				s.selects(v, true, false)
				return false
			}
			return true
		})
	}
}

// with surveys the queries of WITH, once it is known who reads them. What is read
// from several places, or from itself, can bring several of its rows into one.
func (s *surveyor) with(w *pg_query.WithClause) {
	for _, n := range slices.Backward(w.GetCtes()) {
		cte := n.GetCommonTableExpr()
		s.statement(cte.Ctequery, s.reads[cte.Ctename] > 1 || w.Recursive || cte.Ctequery.GetSelectStmt() == nil, false)
	}
}

// relation notes whom the rows of a relation are about.
func (s *surveyor) relation(ref *resolve.Ref, merged bool) {
	if !ref.Relation.Governed() || isTemporary(ref.Relation) {
		return
	}
	each := int64(1)
	keys, ok := s.engine.Policy.SubjectKeys(ref.Relation)
	if merged || !ok {
		each = AnyNumber
	}
	for _, k := range keys {
		s.naming.reach(k.Kind, each)
	}
	if ok {
		return
	}
	for _, kind := range s.engine.about(ref.Relation) {
		s.naming.reach(kind, AnyNumber)
	}
}

// about gives the kinds of subject that the rows of a view are about, by what
// its query reads, or those of a relation that too many ways lead from.
func (e *Engine) about(r *catalog.Relation) []string {
	kinds := e.Policy.SubjectKinds(r)
	if r.Definition == "" || len(kinds) > 0 {
		return kinds
	}
	node, err := parse.ParseOne(r.Definition)
	if err != nil {
		return []string{AnyKind}
	}
	q, err := resolve.Resolve(resolve.Input{Catalog: e.Catalog, Path: []string{"pg_catalog"}, Expand: (*catalog.Relation).Governed}, node)
	if err != nil {
		return []string{AnyKind}
	}
	for _, ref := range q.Refs {
		kinds = append(kinds, e.Policy.SubjectKinds(ref.Relation)...)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
