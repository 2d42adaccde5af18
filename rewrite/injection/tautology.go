package injection

import (
	"slices"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/rewrite/parse"
)

// boolean looks at conditions that are joined. What is injected stands behind
// what the application wrote: the first condition tells nothing.
func (f *finder) boolean(b *pg_query.BoolExpr) {
	for _, n := range b.Args[1:] {
		switch {
		case b.Boolop == pg_query.BoolExprType_OR_EXPR && alwaysTrue(n) && !beginsSo(b.Args[0]):
			f.add(Tautology)
		case b.Boolop == pg_query.BoolExprType_AND_EXPR && constant(n) && n.GetAConst() == nil && !neutral(n):
			f.add(Tautology)
		}
	}
}

// beginsSo tells whether the first of some alternatives begins with a constant
// condition too: then that is how the application writes them all.
func beginsSo(n *pg_query.Node) bool { return first(n) != n && constant(first(n)) }

// first gives the first of conditions that must all hold.
func first(n *pg_query.Node) *pg_query.Node {
	if and := n.GetBoolExpr(); and != nil && and.Boolop == pg_query.BoolExprType_AND_EXPR {
		return and.Args[0]
	}
	return n
}

// alwaysTrue tells whether an alternative makes all others moot. Of conditions
// that must all hold, the first decides: what is behind it is the rest of what
// the application wrote.
func alwaysTrue(n *pg_query.Node) bool {
	n = first(n)
	if c := n.GetAConst(); c != nil {
		return c.GetBoolval().GetBoolval()
	}
	if e := n.GetAExpr(); e != nil && e.Lexpr.GetColumnRef() != nil && parse.Equal(e.Lexpr, e.Rexpr) {
		return slices.Contains([]string{"=", ">=", "<=", "~~", "~~*"}, operator(e))
	}
	return constant(n) && !alwaysFalse(n)
}

// alwaysFalse tells of conditions on constants that generators of SQL write for
// "none": 1=0, 1<>1, false.
func alwaysFalse(n *pg_query.Node) bool {
	e := n.GetAExpr()
	if e == nil || e.Kind != pg_query.A_Expr_Kind_AEXPR_OP {
		return n.GetTypeCast() != nil
	}
	order, ok := compare(e.Lexpr.GetAConst(), e.Rexpr.GetAConst())
	if !ok {
		return false
	}
	switch operator(e) {
	case "=":
		return order != 0
	case "<>":
		return order == 0
	case "<":
		return order >= 0
	case ">":
		return order <= 0
	case "<=":
		return order > 0
	case ">=":
		return order < 0
	default:
		return false
	}
}

// compare compares two constants of one kind.
func compare(a, b *pg_query.A_Const) (order int, ok bool) {
	x, isNumber := number(a)
	y, alike := number(b)
	switch {
	case isNumber && alike:
		return sign(x - y), true
	case a.GetSval() != nil && b.GetSval() != nil:
		return strings.Compare(a.GetSval().GetSval(), b.GetSval().GetSval()), true
	default:
		return 0, false
	}
}

func sign(x float64) int {
	switch {
	case x < 0:
		return -1
	case x > 0:
		return 1
	default:
		return 0
	}
}

func number(c *pg_query.A_Const) (x float64, ok bool) {
	switch v := c.GetVal().(type) {
	case *pg_query.A_Const_Ival:
		return float64(v.Ival.GetIval()), true
	case *pg_query.A_Const_Fval:
		x, err := strconv.ParseFloat(v.Fval.GetFval(), 64)
		return x, err == nil
	default:
		return 0, false
	}
}

// neutral tells whether a condition on constants is one that generators of SQL
// write for "all" or "none": a comparison of zeros and ones.
func neutral(n *pg_query.Node) bool {
	e := n.GetAExpr()
	if e == nil {
		return n.GetTypeCast() != nil
	}
	return e.Kind == pg_query.A_Expr_Kind_AEXPR_OP && bit(e.Lexpr) && bit(e.Rexpr)
}

func bit(n *pg_query.Node) bool {
	x, ok := number(n.GetAConst())
	return ok && (x == 0 || x == 1)
}

// constant tells whether an expression is made of constants, and functions of
// theirs that nobody calls for constants.
func constant(n *pg_query.Node) bool { return constantWithin(n, 8) }

// constantWithin is constant for an expression that is so many levels deep.
func constantWithin(n *pg_query.Node, levels int) bool {
	if levels == 0 {
		return false
	}
	is := func(n *pg_query.Node) bool { return constantWithin(n, levels-1) }
	varies := func(n *pg_query.Node) bool { return !is(n) }
	switch v := n.GetNode().(type) {
	case *pg_query.Node_AConst:
		return !v.AConst.Isnull
	case *pg_query.Node_AExpr:
		return (v.AExpr.Lexpr == nil || is(v.AExpr.Lexpr)) && is(v.AExpr.Rexpr)
	case *pg_query.Node_List:
		return !slices.ContainsFunc(v.List.Items, varies)
	case *pg_query.Node_BoolExpr:
		return !slices.ContainsFunc(v.BoolExpr.Args, varies)
	case *pg_query.Node_TypeCast:
		return is(v.TypeCast.Arg)
	case *pg_query.Node_FuncCall:
		return slices.Contains(spelling, functionName(v.FuncCall)) && !slices.ContainsFunc(v.FuncCall.Args, varies)
	default:
		return false
	}
}

// spelling are functions by which injections write constants without quotes.
var spelling = []string{"chr", "ascii", "concat", "length", "char_length", "lower", "upper", "reverse", "md5", "substr", "substring", "repeat", "left", "right", "abs", "coalesce"}

// operator gives the name of an operator without its schema.
func operator(e *pg_query.A_Expr) string {
	if len(e.GetName()) == 0 {
		return ""
	}
	return e.Name[len(e.Name)-1].GetString_().GetSval()
}

// functionName gives the name of a function without its schema.
func functionName(c *pg_query.FuncCall) string {
	if len(c.GetFuncname()) == 0 {
		return ""
	}
	return c.Funcname[len(c.Funcname)-1].GetString_().GetSval()
}
