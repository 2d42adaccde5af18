package injection

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// union looks at what is added to the rows of a table: NULLs, numbers, what the
// server tells of itself, or rows of its catalog. One row of constants an
// application adds as well ("all", 0); one of NULLs, or of numbers, it does not.
func (f *finder) union(sel *pg_query.SelectStmt) {
	if sel.Op != pg_query.SetOperation_SETOP_UNION || !f.readsTable(sel.Larg) {
		return
	}
	added := sel.Rarg
	switch {
	case f.readsCatalog(added):
		f.add(Union)
	case slices.ContainsFunc(added.TargetList, func(n *pg_query.Node) bool { return asksServer(n.GetResTarget().GetVal()) }):
		f.add(Union)
	case len(added.FromClause) == 0 && len(added.ValuesLists) == 0 && madeUp(added.TargetList):
		f.add(Union)
	}
}

// asksServer tells whether a column is what the server says of itself, alone or
// within a text that is put together.
func asksServer(n *pg_query.Node) bool {
	switch v := n.GetNode().(type) {
	case *pg_query.Node_TypeCast:
		return asksServer(v.TypeCast.Arg)
	case *pg_query.Node_AExpr:
		return operator(v.AExpr) == "||" && (asksServer(v.AExpr.Lexpr) || asksServer(v.AExpr.Rexpr))
	case *pg_query.Node_FuncCall:
		name := functionName(v.FuncCall)
		return slices.Contains(telling, name) && name != "current_setting" || name == "concat" && slices.ContainsFunc(v.FuncCall.Args, asksServer)
	case *pg_query.Node_SqlvalueFunction:
		return tellsWho(v.SqlvalueFunction)
	default:
		return false
	}
}

// madeUp tells whether the columns of a row are made up to fit another query's:
// all NULL, all but one of three and more; all whole numbers; or texts that are
// spelled by chr.
func madeUp(targets []*pg_query.Node) bool {
	nulls, integers := 0, 0
	for _, n := range targets {
		val := n.GetResTarget().GetVal()
		if cast := val.GetTypeCast(); cast != nil {
			val = cast.Arg
		}
		if spells(val) {
			return true
		}
		switch c := val.GetAConst(); {
		case c.GetIsnull() && n.GetResTarget().GetVal().GetTypeCast() == nil:
			nulls++
		case c.GetIval() != nil:
			integers++
		}
	}
	all := len(targets)
	return nulls == all || integers == all && all > 1 || all > 2 && nulls > 0 && nulls >= all-1
}

// spells tells whether a text is put together of code points.
func spells(n *pg_query.Node) bool {
	e := n.GetAExpr()
	if e == nil || operator(e) != "||" {
		return functionName(n.GetFuncCall()) == "chr" && constant(n)
	}
	return spells(e.Lexpr) || spells(e.Rexpr)
}
