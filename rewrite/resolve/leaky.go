package resolve

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// leaky tells whether a condition could raise an error, or have an effect,
// that depends on the values it looks at. Such a condition must not see a row
// before the row filter has passed it; the others may, which keeps indexes in
// use. What is not known to be harmless is leaky.
func (r *resolver) leaky(n *pg_query.Node, s *scope) bool {
	switch v := n.GetNode().(type) {
	case nil, *pg_query.Node_AConst, *pg_query.Node_ParamRef, *pg_query.Node_SqlvalueFunction:
		return false
	case *pg_query.Node_ColumnRef:
		return !r.plainColumn(v.ColumnRef, s)
	case *pg_query.Node_TypeCast:
		return !IsConstant(n)
	case *pg_query.Node_AArrayExpr:
		return !IsConstant(n) // arrays of different lengths do not go into one
	case *pg_query.Node_List:
		return r.anyLeaky(v.List.Items, s)
	case *pg_query.Node_RowExpr:
		return r.anyLeaky(v.RowExpr.Args, s)
	case *pg_query.Node_BoolExpr:
		return r.anyLeaky(v.BoolExpr.Args, s)
	case *pg_query.Node_NullTest:
		return r.leaky(v.NullTest.Arg, s)
	case *pg_query.Node_BooleanTest:
		return r.leaky(v.BooleanTest.Arg, s)
	case *pg_query.Node_CoalesceExpr:
		return r.anyLeaky(v.CoalesceExpr.Args, s)
	case *pg_query.Node_AExpr:
		return !comparison(v.AExpr) || r.anyLeaky([]*pg_query.Node{v.AExpr.Lexpr, v.AExpr.Rexpr}, s)
	case *pg_query.Node_SubLink:
		return r.leakySubLink(v.SubLink, s)
	default:
		return true
	}
}

func (r *resolver) anyLeaky(list []*pg_query.Node, s *scope) bool {
	return slices.ContainsFunc(list, func(n *pg_query.Node) bool { return r.leaky(n, s) })
}

// plainColumn tells whether a reference is to a relation's own column of a
// type of PostgreSQL's, whose comparisons raise no errors.
func (r *resolver) plainColumn(ref *pg_query.ColumnRef, s *scope) bool {
	if ref.Fields[len(ref.Fields)-1].GetAStar() != nil {
		return false
	}
	c, err := r.columnOf(ref, s)
	return err == nil && comparable(c)
}

// comparable tells whether comparing a column raises no error: it is a
// relation's own, of a type of PostgreSQL's.
func comparable(c column) bool {
	return c.plain && !slices.ContainsFunc(c.sources, func(src source) bool {
		t := src.ref.Relation.Columns[src.column].Type
		return t.Schema != "pg_catalog" && t.Kind != 'e'
	})
}

func comparison(e *pg_query.A_Expr) bool {
	switch e.Kind {
	case pg_query.A_Expr_Kind_AEXPR_OP, pg_query.A_Expr_Kind_AEXPR_OP_ANY, pg_query.A_Expr_Kind_AEXPR_OP_ALL,
		pg_query.A_Expr_Kind_AEXPR_IN, pg_query.A_Expr_Kind_AEXPR_DISTINCT, pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		return len(e.Name) == 1 && slices.Contains([]string{"=", "<>", "!=", "<", "<=", ">", ">="}, e.Name[0].GetString_().GetSval())
	case pg_query.A_Expr_Kind_AEXPR_BETWEEN, pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN,
		pg_query.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		return true
	default:
		return false
	}
}

// leakySubLink judges a sub-select in a condition by its form: a plain one over
// relations, whose outputs are columns or constants. Conditions inside it are
// judged where they stand.
func (r *resolver) leakySubLink(l *pg_query.SubLink, s *scope) bool {
	if l.SubLinkType != pg_query.SubLinkType_EXISTS_SUBLINK && l.SubLinkType != pg_query.SubLinkType_ANY_SUBLINK {
		return true
	}
	sel := l.Subselect.GetSelectStmt()
	if sel == nil || r.leaky(l.Testexpr, s) {
		return true
	}
	plain := &pg_query.SelectStmt{
		TargetList: sel.TargetList, FromClause: sel.FromClause, WhereClause: sel.WhereClause,
		LimitOption: sel.LimitOption, Op: pg_query.SetOperation_SETOP_NONE,
	}
	return !parse.Equal(sel, plain) ||
		slices.ContainsFunc(sel.TargetList, func(n *pg_query.Node) bool { return !isOutput(n) }) ||
		slices.ContainsFunc(sel.FromClause, func(n *pg_query.Node) bool { return !relationsOnly(n) })
}

// isOutput tells whether an output is a column or a constant.
func isOutput(n *pg_query.Node) bool {
	val := n.GetResTarget().GetVal()
	return isColumnRef(val) || IsConstant(val)
}

func relationsOnly(n *pg_query.Node) bool {
	if j := n.GetJoinExpr(); j != nil {
		return relationsOnly(j.Larg) && relationsOnly(j.Rarg)
	}
	return n.GetRangeVar() != nil
}
