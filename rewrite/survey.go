package rewrite

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
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
	groups bool           // a row of the statement is made of several, which can be counted
	blurs  bool           // likewise, but they cannot
	nested bool           // a sub-select or CTE reaches subjects as well
}

// survey surveys a statement, before it is changed.
func (e *Engine) survey(n *pg_query.Node, q *resolve.Query) *surveyor {
	s := &surveyor{engine: e, query: q, naming: &Naming{}, byVar: map[*pg_query.RangeVar]*resolve.Ref{}, calls: map[*pg_query.FuncCall]resolve.Func{}}
	for _, ref := range q.Refs {
		s.byVar[ref.Var] = ref
	}
	for _, f := range q.Funcs {
		s.calls[f.Call] = f
	}
	for _, t := range q.Targets {
		if t.Stmt == n {
			s.relation(t.Ref, false)
		} else {
			s.relation(t.Ref, true) // within WITH: how many rows, nobody says
		}
	}
	switch v := n.Node.(type) {
	case *pg_query.Node_SelectStmt:
		s.selects(v.SelectStmt, false, true)
	case *pg_query.Node_InsertStmt: // what it copies leaves its table
		s.with(v.InsertStmt.WithClause, n, false)
		s.selects(v.InsertStmt.SelectStmt.GetSelectStmt(), false, false)
	case *pg_query.Node_UpdateStmt:
		s.with(v.UpdateStmt.WithClause, n, false)
		s.from(v.UpdateStmt.FromClause, false, false)
		s.within(v.UpdateStmt.ReturningList, false)
	case *pg_query.Node_DeleteStmt:
		s.with(v.DeleteStmt.WithClause, n, false)
		s.from(v.DeleteStmt.UsingClause, false, false)
		s.within(v.DeleteStmt.ReturningList, false)
	case *pg_query.Node_MergeStmt:
		s.with(v.MergeStmt.WithClause, n, false)
		s.from([]*pg_query.Node{v.MergeStmt.SourceRelation}, false, false)
		s.within(v.MergeStmt.ReturningList, false)
	}
	return s
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
	s.with(sel.WithClause, &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel}}, merged)
	s.selects(sel.Larg, merged, false)
	s.selects(sel.Rarg, merged, false)
	s.from(sel.FromClause, merged, top)
	s.within(sel.TargetList, merged)
	for _, row := range sel.ValuesLists {
		s.within(row.GetList().GetItems(), merged)
	}
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
		case *pg_query.Node_JoinExpr:
			s.from([]*pg_query.Node{v.JoinExpr.Larg, v.JoinExpr.Rarg}, merged, top)
		case *pg_query.Node_RangeSubselect:
			s.selects(v.RangeSubselect.Subquery.GetSelectStmt(), merged, false)
		}
	}
}

func (s *surveyor) named(rv *pg_query.RangeVar, merged, top bool) {
	ref := s.byVar[rv]
	if ref == nil {
		return // a CTE, which WITH has been surveyed for
	}
	if top {
		s.direct = append(s.direct, ref)
		merged = s.blurs // what the statement itself groups can be counted
	}
	s.relation(ref, merged)
	s.nested = s.nested || !top && ref.Relation.Governed()
}

// within surveys the sub-selects of expressions.
func (s *surveyor) within(list []*pg_query.Node, merged bool) {
	for _, n := range list {
		parse.Walk(n, func(m proto.Message) bool {
			sel, ok := m.(*pg_query.SelectStmt)
			if ok {
				s.selects(sel, merged, false)
			}
			return !ok
		})
	}
}

// with surveys the queries of WITH. What is read from several places, or from
// itself, can bring several of its rows into one.
func (s *surveyor) with(w *pg_query.WithClause, of *pg_query.Node, merged bool) {
	for _, n := range w.GetCtes() {
		cte := n.GetCommonTableExpr()
		reads := 0
		parse.Walk(of, func(m proto.Message) bool {
			if rv, ok := m.(*pg_query.RangeVar); ok && s.byVar[rv] == nil && rv.Relname == cte.Ctename {
				reads++
			}
			return true
		})
		q := cte.Ctequery
		s.selects(q.GetSelectStmt(), merged || reads > 1 || w.Recursive, false)
		for _, list := range [][]*pg_query.Node{q.GetInsertStmt().GetReturningList(), q.GetUpdateStmt().GetReturningList(), q.GetDeleteStmt().GetReturningList()} {
			s.within(list, true)
		}
		s.selects(q.GetInsertStmt().GetSelectStmt().GetSelectStmt(), true, false)
		s.from(q.GetUpdateStmt().GetFromClause(), true, false)
		s.from(q.GetDeleteStmt().GetUsingClause(), true, false)
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

// describeSubjects notes whom a text is about that is sent as the client wrote
// it. What is not understood may be about anybody.
func (e *Engine) describeSubjects(s Session, sql string, p *Plan) {
	if !e.names {
		return
	}
	stmts, err := parse.Parse(sql)
	if err != nil {
		p.Subjects = e.Anybody()
		return
	}
	for _, st := range stmts {
		p.Subjects = append(p.Subjects, e.describeStatement(s, st.Node))
	}
}

func (e *Engine) describeStatement(s Session, n *pg_query.Node) *Naming {
	if table := n.GetCopyStmt(); table.GetRelation() != nil {
		rel, ok := e.Catalog.Relation(e.guessPath(s), table.Relation.Schemaname, table.Relation.Relname)
		if !ok || table.Relation.Schemaname == "" && e.ambiguous(s, rel) {
			return anybody()
		}
		return e.rowsOf(rel)
	}
	if n.GetFetchStmt() != nil || n.GetExecuteStmt() != nil {
		return anybody() // what the names stand for is not followed where nothing is refused
	}
	query := queryOf(n)
	if query == nil || n.GetExplainStmt() != nil {
		return nil
	}
	q, err := e.guess(s, query, func(r *catalog.Relation) bool { return r.Governed() && r.Kind == catalog.View })
	if err != nil {
		return anybody()
	}
	return e.survey(query, q).naming
}

// Anybody gives how the subjects of a text are named that is not read.
func (e *Engine) Anybody() []*Naming {
	if !e.names {
		return nil
	}
	return []*Naming{anybody()}
}

// anybody is the naming of what is not understood.
func anybody() *Naming { return &Naming{Reached: []Reached{{AnyKind, AnyNumber}}} }

// guess resolves a statement for the access log alone. Where the session's search
// path was not asked for, a name without a schema is that of the only relation
// that has it.
func (e *Engine) guess(s Session, n *pg_query.Node, expand func(*catalog.Relation) bool) (*resolve.Query, error) {
	q, err := resolve.Resolve(resolve.Input{Catalog: e.Catalog, Path: e.guessPath(s), Expand: expand}, n)
	if err != nil {
		return nil, err
	}
	for _, ref := range q.Refs {
		if ref.Var.Schemaname == "" && e.ambiguous(s, ref.Relation) {
			return nil, fmt.Errorf("%s is a name in several schemas", ref.Relation.Name)
		}
	}
	return q, nil
}

func (e *Engine) guessPath(s Session) []string {
	if len(s.Path) > 0 {
		return s.Path
	}
	return e.Catalog.Schemas()
}

// ambiguous tells whether a relation that was found by its bare name may have
// been another one.
func (e *Engine) ambiguous(s Session, r *catalog.Relation) bool {
	return len(s.Path) == 0 && r.Governed() && slices.ContainsFunc(e.Catalog.Relations(), func(other *catalog.Relation) bool {
		return other != r && other.Name == r.Name && other.Governed()
	})
}

// rowsOf says whom rows of a relation are about.
func (e *Engine) rowsOf(rel *catalog.Relation) *Naming {
	s := &surveyor{engine: e, naming: &Naming{}}
	s.relation(&resolve.Ref{Relation: rel}, false)
	return s.naming
}
