package ddl

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// resultName is the name that PostgreSQL gives to a column without one, or ""
// where that is "?column?" or not followed here.
func resultName(n *pg.Node) string {
	name, _ := figureName(n)
	return name
}

// figureName does as PostgreSQL's FigureColname: a weak name gives way to that
// of a cast or CASE around it.
func figureName(n *pg.Node) (name string, strong bool) {
	switch e := n.GetNode().(type) {
	case *pg.Node_ColumnRef:
		return last(e.ColumnRef.GetFields()), true
	case *pg.Node_FuncCall:
		return last(e.FuncCall.GetFuncname()), true
	case *pg.Node_CollateClause:
		return figureName(e.CollateClause.GetArg())
	case *pg.Node_CoalesceExpr:
		return "coalesce", true
	case *pg.Node_MinMaxExpr:
		return strings.ToLower(strings.TrimPrefix(e.MinMaxExpr.GetOp().String(), "IS_")), true
	case *pg.Node_SqlvalueFunction:
		op := strings.TrimPrefix(e.SqlvalueFunction.GetOp().String(), "SVFOP_")
		return strings.ToLower(strings.TrimSuffix(op, "_N")), true
	case *pg.Node_AArrayExpr:
		return "array", true
	case *pg.Node_AExpr:
		if e.AExpr.GetKind() == pg.A_Expr_Kind_AEXPR_NULLIF {
			return "nullif", true
		}
		return "", false
	case *pg.Node_SubLink:
		return subLinkName(e.SubLink)
	case *pg.Node_TypeCast:
		if name, strong := figureName(e.TypeCast.GetArg()); strong {
			return name, true
		}
		return last(e.TypeCast.GetTypeName().GetNames()), false
	case *pg.Node_CaseExpr:
		if name, strong := figureName(e.CaseExpr.GetDefresult()); strong {
			return name, true
		}
		return "case", false
	default:
		return "", false
	}
}

func subLinkName(s *pg.SubLink) (name string, strong bool) {
	switch s.GetSubLinkType() {
	case pg.SubLinkType_EXISTS_SUBLINK:
		return "exists", true
	case pg.SubLinkType_ARRAY_SUBLINK:
		return "array", true
	case pg.SubLinkType_EXPR_SUBLINK:
		targets := leftmost(s.GetSubselect().GetSelectStmt()).GetTargetList()
		if len(targets) == 0 {
			return "", false
		}
		if name := targets[0].GetResTarget().GetName(); name != "" {
			return name, true
		}
		return figureName(targets[0].GetResTarget().GetVal())
	default:
		return "", false
	}
}

func last(names []*pg.Node) string {
	if len(names) == 0 {
		return ""
	}
	return names[len(names)-1].GetString_().GetSval()
}
