package rewrite

import (
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// Mutation is something done wrong on purpose to a tree that is about to be
// sent. It is done at the place number at, and tells whether there is one.
type Mutation struct {
	Name string
	do   func(m *mutant, n proto.Message) bool
}

// mutant is a statement in which one thing is to be done wrong.
type mutant struct {
	*planner
	place int // how many places to pass over
}

// here tells whether this place is the one.
func (m *mutant) here(is bool) bool {
	if is {
		m.place--
	}
	return is && m.place == -1
}

// masks tells whether a slot hides a column's value. What is bound to its row has one too,
// which gives the key beside it.
func (m *mutant) masks(s slot) bool {
	if s.column < 0 {
		return s.column != filterSlot
	}
	t, err := m.engine.template(m.session.Access, s.relation)
	return err != nil || t.columns[s.column].treatment.Show != policy.ShowClear
}

// Places counts, for each mutation, the places where it can be done in what
// becomes of a statement. There are none where the statement is refused.
func (e *Engine) Places(s Session, sql string) []int {
	c, n, err := e.planned(s, sql, stages)
	if err != nil || !c.changed {
		return nil
	}
	const all = 1 << 30
	places := make([]int, len(Mutations))
	for i, m := range Mutations {
		mu := &mutant{planner: c, place: all}
		parse.Walk(n, func(msg proto.Message) bool {
			m.do(mu, msg)
			return true
		})
		places[i] = all - mu.place
	}
	return places
}

// Mutate plans a statement, does something wrong at the place given and goes
// on.
func (e *Engine) Mutate(s Session, sql string, m Mutation, place int) (sent string, err error) {
	c, n, err := e.planned(s, sql, stages)
	if err != nil {
		return "", err
	}
	mu := &mutant{planner: c, place: place}
	done := false
	parse.Walk(n, func(msg proto.Message) bool {
		done = done || m.do(mu, msg)
		return !done
	})
	if !done {
		return "", fmt.Errorf("there is no place %d for %s", place, m.Name)
	}
	return c.finish(n)
}

// Skip plans a statement without one of the stages. want is what is sent when
// nothing is left out; "" when the statement is refused.
func (e *Engine) Skip(s Session, sql, skip string) (sent, want string, err error) {
	if c, n, err := e.planned(s, sql, stages); err == nil && c.changed {
		if want, err = c.finish(n); err != nil {
			return "", "", err
		}
	}
	left := slices.DeleteFunc(slices.Clone(stages), func(s stage) bool { return s.name == skip })
	c, n, err := e.planned(s, sql, left)
	if err == nil && c.changed {
		sent, err = c.finish(n)
	}
	return sent, want, err
}

// Stages gives the names of what is done to a query.
func Stages() (names []string) {
	for _, s := range stages {
		names = append(names, s.name)
	}
	return names
}

func (e *Engine) planned(s Session, sql string, st []stage) (c *planner, n *pg_query.Node, err error) {
	n, err = parse.ParseOne(sql)
	if err != nil {
		return nil, nil, err
	}
	c = &planner{stages: st, engine: e, session: s, plan: &Plan{Text: sql, Access: s.Access, Decision: Allowed}}
	n, err = c.statement(n)
	return c, n, err
}

// Mutations are the ways in which a statement can be wrong.
var Mutations = []Mutation{
	{"the relation itself in place of its sub-select", func(m *mutant, n proto.Message) bool {
		node, ok := n.(*pg_query.Node)
		rv := generatedOver(node.GetRangeSubselect().GetSubquery().GetSelectStmt())
		if !ok || !m.here(rv != nil && m.hidesOf(rv)) {
			return false
		}
		bare := proto.Clone(rv).(*pg_query.RangeVar)
		bare.Alias = node.GetRangeSubselect().Alias
		node.Node = &pg_query.Node_RangeVar{RangeVar: bare}
		return true
	}},
	{"no condition on rows", generated(func(m *mutant, sel *pg_query.SelectStmt, t *template) bool {
		if !m.here(t.where != nil) {
			return false
		}
		sel.WhereClause = m.without(sel.WhereClause)
		return true
	})},
	{"no fence", generated(func(m *mutant, sel *pg_query.SelectStmt, _ *template) bool {
		if !m.here(sel.LimitOffset != nil) {
			return false
		}
		sel.LimitOffset, sel.LimitOption = nil, pg_query.LimitOption_LIMIT_OPTION_DEFAULT
		return true
	})},
	{"the value in place of its mask", generated(func(m *mutant, sel *pg_query.SelectStmt, _ *template) bool {
		for _, n := range sel.TargetList {
			rt := n.GetResTarget()
			if _, masked := m.slots[rt.Val.GetColumnRef()]; m.here(masked) {
				rt.Val = reference(inner, rt.Name)
				return true
			}
		}
		return false
	})},
	{"a mask under another column's name", generated(func(m *mutant, sel *pg_query.SelectStmt, _ *template) bool {
		for _, n := range sel.TargetList {
			rt := n.GetResTarget()
			if _, masked := m.slots[rt.Val.GetColumnRef()]; m.here(masked) {
				rt.Name = sel.TargetList[0].GetResTarget().Name + "x"
				return true
			}
		}
		return false
	})},
	{"a column that is refused", generated(func(m *mutant, sel *pg_query.SelectStmt, t *template) bool {
		for i, c := range t.columns {
			if m.here(c.treatment.Show == policy.ShowRefuse) {
				name := t.access.Relation.Columns[i].Name
				sel.TargetList = append(sel.TargetList, pg_query.MakeResTargetNodeWithNameAndVal(name, reference(inner, name), -1))
				return true
			}
		}
		return false
	})},
	{"a condition on what is hidden", generated(func(m *mutant, sel *pg_query.SelectStmt, t *template) bool {
		for i, c := range t.columns {
			if m.here(!shownClear(c)) {
				null := &pg_query.NullTest{Arg: reference(inner, t.access.Relation.Columns[i].Name), Nulltesttype: pg_query.NullTestType_IS_NOT_NULL}
				sel.WhereClause = and(sel.WhereClause, &pg_query.Node{Node: &pg_query.Node_NullTest{NullTest: null}})
				return true
			}
		}
		return false
	})},
	{"a sub-select in a generated condition", generated(func(m *mutant, sel *pg_query.SelectStmt, _ *template) bool {
		if !m.here(true) {
			return false
		}
		n, err := parse.ParseOne("SELECT 1 WHERE EXISTS (SELECT 1)")
		if err != nil {
			panic(err)
		}
		sel.WhereClause = and(sel.WhereClause, n.GetSelectStmt().WhereClause)
		return true
	})},
	{"groups in a generated sub-select", generated(func(m *mutant, sel *pg_query.SelectStmt, _ *template) bool {
		if !m.here(true) {
			return false
		}
		sel.GroupClause = []*pg_query.Node{pg_query.MakeAConstIntNode(1, -1)}
		return true
	})},
	{"a group of any size", overGroups(func(call, condition *pg_query.Node) *pg_query.Node { return call })},
	{"a smaller group", overGroups(func(call, condition *pg_query.Node) *pg_query.Node {
		condition.GetAExpr().Rexpr = pg_query.MakeAConstIntNode(1, -1)
		return caseWhen(condition, call, nil)
	})},
	{"an aggregate that shows a value", overGroups(func(call, condition *pg_query.Node) *pg_query.Node {
		call.GetFuncCall().Funcname[1] = pg_query.MakeStrNode("max")
		return caseWhen(condition, call, nil)
	})},
	{"an aggregate over some", overGroups(func(call, condition *pg_query.Node) *pg_query.Node {
		call.GetFuncCall().AggFilter = makeBool(true)
		return caseWhen(condition, call, nil)
	})},
	{"what is left to aggregates", overGroups(func(call, condition *pg_query.Node) *pg_query.Node { return call.GetFuncCall().Args[0] })},
	{"a group that is joined", func(m *mutant, n proto.Message) bool {
		sel, ok := n.(*pg_query.SelectStmt)
		if !ok || len(sel.FromClause) != 1 {
			return false
		}
		inside := sel.FromClause[0].GetRangeSubselect().GetSubquery().GetSelectStmt()
		grouped := slices.ContainsFunc(inside.GetTargetList(), func(n *pg_query.Node) bool {
			return strings.HasPrefix(n.GetResTarget().GetName(), "pgveil_agg_")
		})
		if !m.here(generatedOver(inside) != nil && grouped) {
			return false
		}
		sel.FromClause = append(sel.FromClause, sel.FromClause[0])
		return true
	}},
	{"a target's value in place of its mask", func(m *mutant, n proto.Message) bool {
		node, ok := n.(*pg_query.Node)
		at, isSlot := m.slots[node.GetColumnRef()]
		if !ok || !m.here(isSlot && at.alias != inner && m.masks(at)) {
			return false
		}
		node.Node = reference(at.alias, at.relation.Columns[at.column].Name).Node
		return true
	}},
	{"a name that means a target's value", func(m *mutant, n proto.Message) bool {
		node, ok := n.(*pg_query.Node)
		at, isSlot := m.slots[node.GetColumnRef()]
		if !ok || !m.here(isSlot && at.alias != inner && m.masks(at)) {
			return false
		}
		name := pg_query.MakeStrNode(at.relation.Columns[at.column].Name)
		node.Node = pg_query.MakeColumnRefNode([]*pg_query.Node{name}, -1).Node
		return true
	}},
	{"a mask out of its place", func(m *mutant, n proto.Message) bool {
		ref, ok := n.(*pg_query.ColumnRef)
		at, isSlot := m.slots[ref]
		if !ok || !m.here(isSlot && at.alias != inner) {
			return false
		}
		at.alias += "x"
		m.slots[ref] = at
		return true
	}},
	{"a mask that overwrites what it hides", func(m *mutant, n proto.Message) bool {
		rt, ok := n.(*pg_query.ResTarget)
		kept := rt.GetVal().GetCaseExpr()
		if !ok || len(kept.GetArgs()) != 1 {
			return false
		}
		_, isSlot := m.slots[kept.Args[0].GetCaseWhen().GetExpr().GetAExpr().GetRexpr().GetColumnRef()]
		if !m.here(isSlot) {
			return false
		}
		rt.Val = kept.Defresult
		return true
	}},
	{"no condition on a target's rows", func(m *mutant, n proto.Message) bool {
		where := conditionOf(n)
		if where == nil || !m.here(m.filters(*where)) {
			return false
		}
		*where = m.without(*where)
		return true
	}},
	{"a leaky condition beside that on a target's rows", func(m *mutant, n proto.Message) bool {
		where := conditionOf(n)
		if where == nil || (*where).GetCaseExpr() == nil || !m.here(m.filters(*where)) {
			return false
		}
		when := (*where).GetCaseExpr().Args[0].GetCaseWhen()
		*where = and(when.Expr, when.Result)
		return true
	}},
	{"RETURNING *", returning(func(w *pg_query.RangeVar) *pg_query.Node {
		return pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeAStarNode()}, -1)
	})},
	{"RETURNING name.*", returning(func(w *pg_query.RangeVar) *pg_query.Node {
		return pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(aliasOf(w)), pg_query.MakeAStarNode()}, -1)
	})},
	{"RETURNING the row", returning(func(w *pg_query.RangeVar) *pg_query.Node {
		return pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(aliasOf(w))}, -1)
	})},
	{"RETURNING where the row lies", returning(func(w *pg_query.RangeVar) *pg_query.Node { return reference(aliasOf(w), "ctid") })},
	{"* over a relation that stands as it is", overBare(func(*pg_query.RangeVar) *pg_query.Node {
		return pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeAStarNode()}, -1)
	})},
	{"the row of a relation that stands as it is", overBare(func(rv *pg_query.RangeVar) *pg_query.Node {
		return pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(aliasOf(rv))}, -1)
	})},
	{"a file of the server's", func(m *mutant, n proto.Message) bool {
		cp, ok := n.(*pg_query.CopyStmt)
		if !ok || !m.here(true) {
			return false
		}
		cp.Filename = "/tmp/rows"
		return true
	}},
	{"a relation copied as it is", func(m *mutant, n proto.Message) bool {
		cp, ok := n.(*pg_query.CopyStmt)
		if !ok || !m.here(!cp.IsFrom) {
			return false
		}
		cp.Query, cp.Relation = nil, &pg_query.RangeVar{Schemaname: "public", Relname: "orders", Inh: true, Relpersistence: "p"}
		return true
	}},
	{"a table that inherits", func(m *mutant, n proto.Message) bool {
		t, ok := n.(*pg_query.CreateStmt)
		if !ok || !m.here(true) {
			return false
		}
		rv := &pg_query.RangeVar{Schemaname: "public", Relname: "customers", Inh: true, Relpersistence: "p"}
		t.InhRelations = []*pg_query.Node{{Node: &pg_query.Node_RangeVar{RangeVar: rv}}}
		return true
	}},
	{"a table that lasts", func(m *mutant, n proto.Message) bool {
		rv, ok := n.(*pg_query.RangeVar)
		if !ok || !m.here(rv.Relpersistence == "t") {
			return false
		}
		rv.Relpersistence = "p"
		return true
	}},
	{"what lasts dropped", func(m *mutant, n proto.Message) bool {
		d, ok := n.(*pg_query.DropStmt)
		if !ok || !m.here(true) {
			return false
		}
		d.Objects[0].GetList().Items = []*pg_query.Node{pg_query.MakeStrNode("public"), pg_query.MakeStrNode("orders")}
		return true
	}},
	{"another relation written", func(m *mutant, n proto.Message) bool {
		rv := targetOf(n)
		if rv == nil || !m.here(true) {
			return false
		}
		rv.Relname += "x"
		return true
	}},
	{"a system relation written", func(m *mutant, n proto.Message) bool {
		rv := targetOf(n)
		if rv == nil || !m.here(true) {
			return false
		}
		rv.Schemaname, rv.Relname = "pg_catalog", "pg_class"
		return true
	}},
	{"a relation without its schema", func(m *mutant, n proto.Message) bool {
		rv, ok := n.(*pg_query.RangeVar)
		if !ok || !m.here(rv.Schemaname != "") {
			return false
		}
		rv.Schemaname = ""
		return true
	}},
	{"a closed relation of the system", func(m *mutant, n proto.Message) bool {
		rv, ok := n.(*pg_query.RangeVar)
		if !ok || !m.here(rv.Schemaname == "pg_catalog" || rv.Schemaname == "information_schema") {
			return false
		}
		rv.Schemaname, rv.Relname = "pg_catalog", "pg_statistic"
		return true
	}},
	{"a function without its schema", func(m *mutant, n proto.Message) bool {
		f, ok := n.(*pg_query.FuncCall)
		if !ok || !m.here(len(f.Funcname) == 2) {
			return false
		}
		f.Funcname = f.Funcname[1:]
		return true
	}},
	{"a closed function", func(m *mutant, n proto.Message) bool {
		f, ok := n.(*pg_query.FuncCall)
		if !ok || !m.here(len(f.Funcname) == 2) {
			return false
		}
		f.Funcname = []*pg_query.Node{pg_query.MakeStrNode("pg_catalog"), pg_query.MakeStrNode("pg_read_file")}
		return true
	}},
	{"a type without its schema", func(m *mutant, n proto.Message) bool {
		t, ok := n.(*pg_query.TypeName)
		if !ok || !m.here(len(t.Names) == 2 && t.Names[0].GetString_().GetSval() != "pg_catalog") {
			return false
		}
		t.Names = t.Names[1:]
		return true
	}},
}

// hidesOf tells whether something of a relation is hidden.
func (m *mutant) hidesOf(rv *pg_query.RangeVar) bool {
	rel, _ := m.engine.Catalog.Relation(nil, rv.Schemaname, rv.Relname)
	if !rel.Governed() {
		return true
	}
	t, err := m.engine.template(m.session.Access, rel)
	return err != nil || !t.bare
}

// generated makes a mutation of generated sub-selects.
func generated(do func(*mutant, *pg_query.SelectStmt, *template) bool) func(*mutant, proto.Message) bool {
	return func(m *mutant, n proto.Message) bool {
		sel, ok := n.(*pg_query.SelectStmt)
		if !ok || generatedOver(sel) == nil {
			return false
		}
		rel, _ := m.engine.Catalog.Relation(nil, generatedOver(sel).Schemaname, generatedOver(sel).Relname)
		if !rel.Governed() {
			return false
		}
		t, err := m.engine.template(m.session.Access, rel)
		if err != nil {
			panic(err)
		}
		return do(m, sel, t)
	}
}

func isAggregated(ref *pg_query.ColumnRef) bool {
	return strings.HasPrefix(ref.Fields[len(ref.Fields)-1].GetString_().GetSval(), "pgveil_agg_")
}

// overGroups makes a mutation of an aggregate under the condition on its group.
func overGroups(do func(call, condition *pg_query.Node) *pg_query.Node) func(*mutant, proto.Message) bool {
	return func(m *mutant, n proto.Message) bool {
		node, ok := n.(*pg_query.Node)
		if !ok || len(node.GetCaseExpr().GetArgs()) != 1 {
			return false
		}
		when := node.GetCaseExpr().Args[0].GetCaseWhen()
		args := when.Result.GetFuncCall().GetArgs()
		if !m.here(len(args) == 1 && args[0].GetColumnRef() != nil && isAggregated(args[0].GetColumnRef()) && when.Expr.GetAExpr() != nil) {
			return false
		}
		node.Node = do(when.Result, when.Expr).Node
		return true
	}
}

// overBare makes a mutation that adds to what is selected from a relation that
// stands as it is.
func overBare(add func(*pg_query.RangeVar) *pg_query.Node) func(*mutant, proto.Message) bool {
	return func(m *mutant, n proto.Message) bool {
		sel, ok := n.(*pg_query.SelectStmt)
		if !ok || len(sel.FromClause) == 0 || generatedOver(sel) != nil {
			return false
		}
		rv := sel.FromClause[0].GetRangeVar()
		rel, ok := m.engine.Catalog.Relation(nil, rv.GetSchemaname(), rv.GetRelname())
		if !m.here(ok && rv != nil && rel.Governed()) {
			return false
		}
		sel.TargetList = append(sel.TargetList, pg_query.MakeResTargetNodeWithVal(add(rv), -1))
		return true
	}
}

// returning makes a mutation that adds to what a write returns.
func returning(add func(*pg_query.RangeVar) *pg_query.Node) func(*mutant, proto.Message) bool {
	return func(m *mutant, n proto.Message) bool {
		target := targetOf(n)
		if target == nil || !m.here(true) {
			return false
		}
		rt := pg_query.MakeResTargetNodeWithVal(add(target), -1)
		switch w := n.(type) {
		case *pg_query.InsertStmt:
			w.ReturningList = append(w.ReturningList, rt)
		case *pg_query.UpdateStmt:
			w.ReturningList = append(w.ReturningList, rt)
		case *pg_query.DeleteStmt:
			w.ReturningList = append(w.ReturningList, rt)
		case *pg_query.MergeStmt:
			w.ReturningList = append(w.ReturningList, rt)
		}
		return true
	}
}

func targetOf(n proto.Message) *pg_query.RangeVar {
	switch w := n.(type) {
	case *pg_query.InsertStmt:
		return w.Relation
	case *pg_query.UpdateStmt:
		return w.Relation
	case *pg_query.DeleteStmt:
		return w.Relation
	case *pg_query.MergeStmt:
		return w.Relation
	default:
		return nil
	}
}

// conditionOf gives where a write keeps the condition on its rows.
func conditionOf(n proto.Message) **pg_query.Node {
	switch w := n.(type) {
	case *pg_query.UpdateStmt:
		return &w.WhereClause
	case *pg_query.DeleteStmt:
		return &w.WhereClause
	case *pg_query.OnConflictClause:
		return &w.WhereClause
	case *pg_query.MergeStmt:
		return &w.JoinCondition
	case *pg_query.MergeWhenClause:
		return &w.Condition
	default:
		return nil
	}
}

// filters tells whether a condition holds one on rows.
func (m *mutant) filters(where *pg_query.Node) bool {
	return slices.ContainsFunc(columnRefs(where), func(ref *pg_query.ColumnRef) bool {
		at, ok := m.slots[ref]
		return ok && at.column == filterSlot && at.alias != inner
	})
}

// without takes the condition on rows out of a condition.
func (m *mutant) without(where *pg_query.Node) *pg_query.Node {
	isFilter := func(n *pg_query.Node) bool {
		if len(n.GetCaseExpr().GetArgs()) == 1 {
			n = n.GetCaseExpr().Args[0].GetCaseWhen().GetExpr() // of rows that the filter has passed
		}
		at, ok := m.slots[n.GetColumnRef()]
		return ok && at.column == filterSlot
	}
	switch {
	case where.GetCaseExpr() != nil:
		return where.GetCaseExpr().Args[0].GetCaseWhen().Result
	case isFilter(where):
		return makeBool(true)
	default:
		b := where.GetBoolExpr()
		b.Args = append(slices.DeleteFunc(slices.Clone(b.Args), isFilter), makeBool(true))
		return where
	}
}

// IsVerification tells whether an error is verification's.
func IsVerification(err error) bool {
	return err != nil && (strings.HasPrefix(err.Error(), "verify: internal error") || strings.Contains(err.Error(), "cannot be sent on as it was understood"))
}
