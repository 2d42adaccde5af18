package twins

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/rewrite/parse"
)

// mostAttempts bounds how long a finding is made smaller.
const mostAttempts = 1000

// reduce makes a text smaller as long as it still shows what it showed.
func reduce(sql string, still func(sql string) (bool, error)) (string, error) {
	for i, attempts := 0, 0; attempts < mostAttempts; attempts++ {
		smaller, ok := edited(sql, i)
		if !ok {
			break
		}
		i++
		if len(smaller) >= len(sql) {
			continue
		}
		shows, err := still(smaller)
		if err != nil {
			return sql, err
		}
		if shows {
			sql, i = smaller, max(0, i-3) // what was tried before fails again, mostly
		}
	}
	return sql, nil
}

// edited makes one of the edits of a text; ok is false when there are not so
// many. An edit that makes no text gives an empty one, which shows nothing.
func edited(sql string, i int) (text string, ok bool) {
	stmts, err := parse.Parse(sql)
	if err != nil {
		return "", false
	}
	var nodes []*pg_query.Node
	var edits []func()
	for n, st := range stmts {
		nodes = append(nodes, st.Node)
		if len(stmts) > 1 {
			edits = append(edits, func() { nodes = append(nodes[:n:n], nodes[n+1:]...) })
		}
		parse.Walk(st.Node, func(m proto.Message) bool {
			edits = append(edits, editsOf(m)...)
			return true
		})
	}
	if i >= len(edits) {
		return "", false
	}
	edits[i]()
	if text, err = parse.Deparse(nodes...); err != nil {
		return sql, true
	}
	return text, true
}

// editsOf gives what can be left out of a node so that it stays whole.
func editsOf(m proto.Message) (edits []func()) {
	switch v := m.(type) {
	case *pg_query.SelectStmt:
		edits = editsOfSelect(v)
	case *pg_query.InsertStmt:
		edits = append(edits, func() { v.WithClause = nil }, func() { v.OnConflictClause = nil }, func() { v.ReturningList = nil })
		edits = append(edits, shorter(&v.ReturningList)...)
	case *pg_query.UpdateStmt:
		edits = append(edits, func() { v.WithClause = nil }, func() { v.WhereClause = nil }, func() { v.FromClause = nil }, func() { v.ReturningList = nil })
		edits = append(edits, append(shorter(&v.TargetList), shorter(&v.ReturningList)...)...)
	case *pg_query.DeleteStmt:
		edits = append(edits, func() { v.WithClause = nil }, func() { v.WhereClause = nil }, func() { v.UsingClause = nil }, func() { v.ReturningList = nil })
		edits = append(edits, shorter(&v.ReturningList)...)
	case *pg_query.MergeStmt:
		edits = shorter(&v.MergeWhenClauses)
	case *pg_query.WithClause:
		edits = shorter(&v.Ctes)
	case *pg_query.Node:
		for _, part := range parts(v) {
			edits = append(edits, func() { v.Node = part.Node })
		}
	}
	return edits
}

func editsOfSelect(v *pg_query.SelectStmt) []func() {
	edits := []func(){
		func() { v.WithClause = nil }, func() { v.WhereClause = nil }, func() { v.HavingClause = nil }, func() { v.SortClause = nil },
		func() { v.DistinctClause = nil }, func() { v.LockingClause = nil }, func() { v.GroupClause = nil }, func() { v.FromClause = nil },
		func() {
			v.LimitCount, v.LimitOffset, v.LimitOption = nil, nil, pg_query.LimitOption_LIMIT_OPTION_DEFAULT
		},
	}
	for _, arm := range []*pg_query.SelectStmt{v.Larg, v.Rarg} {
		if arm != nil {
			edits = append(edits, func() {
				arm = proto.CloneOf(arm)
				proto.Reset(v)
				proto.Merge(v, arm)
			})
		}
	}
	for _, list := range []*[]*pg_query.Node{&v.TargetList, &v.FromClause, &v.ValuesLists, &v.GroupClause, &v.SortClause} {
		edits = append(edits, shorter(list)...)
	}
	return edits
}

// shorter leaves out one of some elements.
func shorter(list *[]*pg_query.Node) (edits []func()) {
	for i := range *list {
		if len(*list) > 1 {
			edits = append(edits, func() { *list = append((*list)[:i:i], (*list)[i+1:]...) })
		}
	}
	return edits
}

// parts gives what may stand in an expression's or join's place.
func parts(n *pg_query.Node) []*pg_query.Node {
	null := &pg_query.Node{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{Isnull: true}}}
	var parts []*pg_query.Node
	switch v := n.Node.(type) {
	case *pg_query.Node_JoinExpr:
		return []*pg_query.Node{v.JoinExpr.Larg, v.JoinExpr.Rarg}
	case *pg_query.Node_AExpr:
		parts = []*pg_query.Node{null, v.AExpr.Lexpr, v.AExpr.Rexpr}
	case *pg_query.Node_BoolExpr:
		parts = append(v.BoolExpr.Args, null)
	case *pg_query.Node_FuncCall:
		parts = append(v.FuncCall.Args, null)
	case *pg_query.Node_CoalesceExpr:
		parts = append(v.CoalesceExpr.Args, null)
	case *pg_query.Node_MinMaxExpr:
		parts = append(v.MinMaxExpr.Args, null)
	case *pg_query.Node_RowExpr:
		parts = append(v.RowExpr.Args, null)
	case *pg_query.Node_AArrayExpr:
		parts = append(v.AArrayExpr.Elements, null)
	case *pg_query.Node_TypeCast:
		parts = []*pg_query.Node{v.TypeCast.Arg, null}
	case *pg_query.Node_CollateClause:
		parts = []*pg_query.Node{v.CollateClause.Arg}
	case *pg_query.Node_AIndirection:
		parts = []*pg_query.Node{null}
	case *pg_query.Node_NullTest:
		parts = []*pg_query.Node{v.NullTest.Arg, null}
	case *pg_query.Node_BooleanTest:
		parts = []*pg_query.Node{v.BooleanTest.Arg, null}
	case *pg_query.Node_SubLink:
		parts = []*pg_query.Node{null}
	case *pg_query.Node_CaseExpr:
		parts = []*pg_query.Node{null}
		for _, w := range v.CaseExpr.Args {
			parts = append(parts, w.GetCaseWhen().GetExpr(), w.GetCaseWhen().GetResult())
		}
		parts = append(parts, v.CaseExpr.Defresult)
	}
	return slices.DeleteFunc(slices.Clone(parts), func(n *pg_query.Node) bool { return n == nil || n.Node == nil || n.GetList() != nil })
}
