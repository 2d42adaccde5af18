package resolve

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// Parameters tells what is known of the types of a statement's parameters.
type Parameters uint8

// What is known of parameters' types.
const (
	ParametersInferred Parameters = iota // the server infers all of them from where they stand
	ParametersPlain                      // the client declares some, all of which are plain types (see PlainType)
	ParametersOdd                        // or others
)

// plainTypes are types that a parameter can have without a cast on the column
// that it is compared with which could fail: numeric to float8 can, int8 to oid.
var plainTypes = []string{
	"bool", "bytea", "int2", "int4", "int8", "numeric", "text", "varchar", "bpchar", "name", "date", "time",
	"timestamp", "timestamptz", "interval", "uuid", "json", "jsonb", "inet", "cidr", "macaddr",
}

// PlainType tells whether a type of pg_catalog, or an array of it, is a plain
// one for a parameter to have.
func PlainType(name string) bool { return slices.Contains(plainTypes, name) }

// leaky tells whether a condition could raise an error, or have an effect,
// that depends on the values it looks at, or on whether it is evaluated at all.
// Such a condition must not see a row before the row filter has passed it; the
// others may, which keeps indexes in use. What is not known to be harmless is
// leaky.
func (r *resolver) leaky(n *pg_query.Node, s *scope) bool {
	switch v := n.GetNode().(type) {
	case nil:
		return false
	case *pg_query.Node_BoolExpr:
		joins := v.BoolExpr.Boolop == pg_query.BoolExprType_AND_EXPR || isNotExists(v.BoolExpr)
		return slices.ContainsFunc(v.BoolExpr.Args, func(n *pg_query.Node) bool { return r.leaky(n, s) || !joins && HoldsSubLink(n) })
	case *pg_query.Node_NullTest:
		return r.leaky(v.NullTest.Arg, s)
	case *pg_query.Node_BooleanTest:
		return r.leaky(v.BooleanTest.Arg, s)
	case *pg_query.Node_AExpr:
		return !r.harmlessComparison(v.AExpr, s)
	case *pg_query.Node_SubLink:
		return r.leakySubLink(v.SubLink, s)
	case *pg_query.Node_AConst:
		return false
	default:
		// Without a column it has no use but to run before the row filter.
		o, ok := r.operand(n, s)
		return !ok || o.column == nil
	}
}

// isNotExists tells whether a condition is NOT EXISTS (…). It, EXISTS and IN are
// joins where they are AND-ed. Anywhere else a sub-select is run when the first
// row gets there, and how long it runs can be told.
func isNotExists(b *pg_query.BoolExpr) bool {
	return b.Boolop == pg_query.BoolExprType_NOT_EXPR && b.Args[0].GetSubLink().GetSubLinkType() == pg_query.SubLinkType_EXISTS_SUBLINK
}

// HoldsSubLink tells whether an expression holds a sub-select.
func HoldsSubLink(n *pg_query.Node) bool {
	found := false
	parse.Walk(n, func(m proto.Message) bool {
		_, sub := m.(*pg_query.SubLink)
		found = found || sub
		return !found
	})
	return found
}

// HoldsJoin tells whether an expression holds a sub-select that the server may
// make a join, so that what is put out may be computed before it is known which
// rows are left. Inside a CASE it never is one: there it is evaluated row by row,
// where the relation is read (pull_up_sublinks_qual_recurse in prepjointree.c).
func HoldsJoin(n *pg_query.Node) bool {
	found := false
	parse.Walk(n, func(m proto.Message) bool {
		switch m.(type) {
		case *pg_query.CaseExpr:
			return false
		case *pg_query.SubLink:
			found = true
		}
		return !found
	})
	return found
}

// operand is one side of a comparison, as far as it is sure not to fail.
type operand struct {
	column *catalog.Type // of a relation's own column
	schema string        // of a constant's type, where it is named
	name   string
	array  bool
	param  bool // its type is as the client declares it
}

// operand judges one side of a comparison. ok is false for what may fail when
// it is evaluated: computing, casts of columns, casts at run time.
func (r *resolver) operand(n *pg_query.Node, s *scope) (o operand, ok bool) {
	switch v := n.GetNode().(type) {
	case *pg_query.Node_ColumnRef:
		if v.ColumnRef.Fields[len(v.ColumnRef.Fields)-1].GetAStar() != nil {
			return o, false
		}
		c, err := r.columnOf(v.ColumnRef, s)
		if err != nil || !comparable(c) {
			return o, false
		}
		types := c.types()
		same := !slices.ContainsFunc(types, func(t catalog.Type) bool { return t.Schema != types[0].Schema || t.Name != types[0].Name })
		return operand{column: &types[0]}, same
	case *pg_query.Node_AConst:
		return o, true
	case *pg_query.Node_ParamRef:
		return operand{param: r.in.Parameters != ParametersInferred}, r.in.Parameters < ParametersOdd && r.params[v.ParamRef.Number] == 1
	case *pg_query.Node_SqlvalueFunction:
		return operand{schema: "pg_catalog", name: valueFunctionType(v.SqlvalueFunction.Op)}, true
	case *pg_query.Node_TypeCast:
		return r.typed(v.TypeCast)
	case *pg_query.Node_AArrayExpr:
		return operand{array: true}, !slices.ContainsFunc(v.AArrayExpr.Elements, func(n *pg_query.Node) bool { return n.GetAConst() == nil })
	case *pg_query.Node_CoalesceExpr:
		return r.coalesced(v.CoalesceExpr.Args, s)
	default:
		return o, false
	}
}

// typed judges a cast: of a literal, which is done when the statement is
// parsed, or of a parameter, which then has that type. The checks of a domain
// run later, but no column that is compared is of a domain.
func (r *resolver) typed(t *pg_query.TypeCast) (o operand, ok bool) {
	schema, name, err := qualifiedName(t.TypeName.GetNames(), r.in.Catalog.Database)
	if err != nil {
		return o, false
	}
	if schema == "" {
		schema = r.in.Catalog.TypeSchema(r.in.Path, name)
	}
	o = operand{schema: schema, name: name, array: len(t.TypeName.ArrayBounds) > 0}
	switch a := t.Arg.GetNode().(type) {
	case *pg_query.Node_AConst:
		text := a.AConst.GetSval() != nil || a.AConst.Isnull
		return o, text || schema == "pg_catalog" && group(name) == "number"
	case *pg_query.Node_ParamRef:
		return o, schema == "pg_catalog" && len(t.TypeName.Typmods) == 0 && r.in.Parameters == ParametersInferred && r.params[a.ParamRef.Number] == 1
	default:
		return o, false
	}
}

// coalesced judges COALESCE: a column and literals.
func (r *resolver) coalesced(args []*pg_query.Node, s *scope) (o operand, ok bool) {
	for i, n := range args {
		next, ok := r.operand(n, s)
		if n.GetParamRef() != nil && r.in.Parameters != ParametersInferred {
			return o, false // it could have a type that the column is cast to
		}
		if !ok || next.name != "" || next.array || i > 0 && next.column != nil {
			return o, false
		}
		if i == 0 {
			o = next
		}
	}
	return o, len(args) > 0
}

// harmlessComparison tells whether a comparison can raise no error.
func (r *resolver) harmlessComparison(e *pg_query.A_Expr, s *scope) bool {
	if !comparison(e) {
		return false
	}
	for _, right := range rightSides(e) {
		if left := e.Lexpr.GetRowExpr(); left != nil {
			if !r.harmlessRows(left.Args, right.GetRowExpr().GetArgs(), s) {
				return false
			}
			continue
		}
		array := e.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ANY || e.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ALL
		if !r.harmlessPair(e.Lexpr, right, array, s) || e.Kind == pg_query.A_Expr_Kind_AEXPR_IN && !r.harmlessInList(e.Lexpr, right, s) {
			return false
		}
	}
	return true
}

// harmlessInList judges an item of IN (…) once more: the server gives all items
// the type of the column, and casts between dates and times hang on the time
// zone, so they are done at run time.
func (r *resolver) harmlessInList(left, right *pg_query.Node, s *scope) bool {
	a, _ := r.operand(left, s)
	b, _ := r.operand(right, s)
	if a.column == nil || group(a.column.Name) != "time" {
		return true
	}
	return !b.param && (b.name == "" || b.name == a.column.Name)
}

// rightSides gives what the left side of a comparison is compared with.
func rightSides(e *pg_query.A_Expr) []*pg_query.Node {
	if list := e.Rexpr.GetList(); list != nil {
		return list.Items
	}
	return []*pg_query.Node{e.Rexpr}
}

func (r *resolver) harmlessRows(left, right []*pg_query.Node, s *scope) bool {
	if len(left) != len(right) {
		return false
	}
	for i := range left {
		if !r.harmlessPair(left[i], right[i], false, s) {
			return false
		}
	}
	return true
}

// harmlessPair judges a comparison of two operands; array tells that the right
// one is an array of what the left one is compared with.
func (r *resolver) harmlessPair(left, right *pg_query.Node, array bool, s *scope) bool {
	a, ok := r.operand(left, s)
	b, ok2 := r.operand(right, s)
	if !ok || !ok2 || a.array || b.array && !array {
		return false
	}
	if array && (b.column != nil || b.name != "" && !b.array) {
		return false
	}
	switch {
	case a.column != nil && b.column != nil:
		return fit(*a.column, *b.column)
	case a.column != nil:
		return b.plainFor(*a.column)
	case b.column != nil:
		return a.plainFor(*b.column)
	default:
		return a.name == "" && b.name == "" && !b.array
	}
}

// plainFor tells whether a constant or parameter compares with a column without
// a cast of either that can fail when it is evaluated.
func (o operand) plainFor(column catalog.Type) bool {
	if o.param {
		return column.Name != "float4" && column.Name != "float8" && column.Name != "oid"
	}
	return o.name == "" || fits(column, o.schema, o.name)
}

// fits tells whether a column can be compared with something of a type without
// a cast of the column that can fail.
func fits(column catalog.Type, schema, name string) bool {
	if column.Schema == schema && column.Name == name {
		return true
	}
	if column.Schema != "pg_catalog" || schema != "pg_catalog" {
		return false
	}
	g := group(column.Name)
	switch {
	case g == "" || g != group(name):
		return false
	case column.Name == "numeric":
		return name != "float4" && name != "float8"
	default:
		return true
	}
}

// group gives the family within which types are compared by operators of their
// own, or by casts that widen; but for numeric and floats.
func group(name string) string {
	switch name {
	case "int2", "int4", "int8", "numeric", "float4", "float8":
		return "number"
	case "text", "varchar", "bpchar":
		return "text"
	case "date", "timestamp", "timestamptz":
		return "time"
	default:
		return ""
	}
}

func valueFunctionType(op pg_query.SQLValueFunctionOp) string {
	switch op {
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_DATE:
		return "date"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N:
		return "timestamptz"
	case pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N:
		return "timestamp"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIME, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIME_N:
		return "timetz"
	case pg_query.SQLValueFunctionOp_SVFOP_LOCALTIME, pg_query.SQLValueFunctionOp_SVFOP_LOCALTIME_N:
		return "time"
	default:
		return "name"
	}
}

// comparedTypes are types of pg_catalog whose comparisons raise no errors: those
// of box overflow, those of json[] look for an operator that is not there.
var comparedTypes = append([]string{"float4", "float8", "money", "oid", "timetz", "bit", "varbit", "char", "macaddr8"}, plainTypes...)

// comparable tells whether comparing a column raises no error by itself: it is
// a relation's own, of a type that is known for it, or an array of one.
func comparable(c column) bool {
	return c.plain && len(c.sources) > 0 && !slices.ContainsFunc(c.types(), func(t catalog.Type) bool { return !Comparable(t) })
}

// Comparable tells whether comparing values of a type, which is no domain,
// raises no error.
func Comparable(t catalog.Type) bool {
	if t.Kind == 'e' || t.Name == "citext" {
		return true
	}
	name := strings.TrimPrefix(t.Name, "_")
	return t.Schema == "pg_catalog" && name != "json" && slices.Contains(comparedTypes, name)
}

// types gives the types of a column's sources; of a domain what it is made of,
// as which it is compared.
func (c column) types() (types []catalog.Type) {
	for _, src := range c.sources {
		t := src.ref.Relation.Columns[src.column].Type
		if t.Kind == 'd' {
			t.Schema, t.Name = t.BaseSchema, t.Base
		}
		types = append(types, t)
	}
	return types
}

// mergeable tells whether two columns that USING merges compare without errors.
func mergeable(a, b column) bool {
	if !comparable(a) || !comparable(b) {
		return false
	}
	for _, x := range a.types() {
		if slices.ContainsFunc(b.types(), func(y catalog.Type) bool { return !fit(x, y) }) {
			return false
		}
	}
	return true
}

// fit tells whether columns of two types can be compared without errors. Texts
// of two columns may have collations that do not go together.
func fit(a, b catalog.Type) bool {
	return fits(a, b.Schema, b.Name) && fits(b, a.Schema, a.Name) && group(strings.TrimPrefix(a.Name, "_")) != "text"
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
	if sel == nil || l.SubLinkType == pg_query.SubLinkType_ANY_SUBLINK && !r.harmlessOutput(l, s) {
		return true
	}
	plain := &pg_query.SelectStmt{
		TargetList: sel.TargetList, FromClause: sel.FromClause, WhereClause: sel.WhereClause,
		LimitOption: sel.LimitOption, Op: pg_query.SetOperation_SETOP_NONE,
	}
	return !parse.Equal(sel, plain) ||
		slices.ContainsFunc(sel.TargetList, func(n *pg_query.Node) bool { return !isOutput(n) }) ||
		slices.ContainsFunc(sel.FromClause, func(n *pg_query.Node) bool { return !relationsOnly(n, s) })
}

// harmlessOutput tells whether comparing with what a sub-select gives raises no
// error: its column, and what is compared with it, have types that fit.
func (r *resolver) harmlessOutput(l *pg_query.SubLink, s *scope) bool {
	o, ok := r.operand(l.Testexpr, s)
	cols := r.outputs[l]
	if !ok || o.array || len(cols) != 1 || !comparable(cols[0]) {
		return false
	}
	return !slices.ContainsFunc(cols[0].types(), func(t catalog.Type) bool {
		return o.column != nil && !fit(*o.column, t) || o.name != "" && !fits(t, o.schema, o.name)
	})
}

// isOutput tells whether an output is a column or a constant.
func isOutput(n *pg_query.Node) bool {
	val := n.GetResTarget().GetVal()
	return isColumnRef(val) || val.GetAConst() != nil
}

// relationsOnly tells whether a FROM item is made of relations. What a CTE
// computes, it may compute when the first row gets to the condition.
func relationsOnly(n *pg_query.Node, s *scope) bool {
	if j := n.GetJoinExpr(); j != nil {
		return relationsOnly(j.Larg, s) && relationsOnly(j.Rarg, s)
	}
	rv := n.GetRangeVar()
	return rv != nil && (rv.Schemaname != "" || s.ctes.find(rv.Relname) == nil)
}
