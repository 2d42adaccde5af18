package ddl

import (
	"errors"
	"slices"
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

// errUntyped asks the author for what only a server could work out. A type
// that was guessed wrong would make masks that the server refuses.
var errUntyped = errors.New("its type cannot be told without a server: write a cast to it")

// typeOf gives the type of an expression where it is plain to see.
func (b *builder) typeOf(n *pg.Node, sc *scope) (catalog.Type, error) {
	switch e := n.GetNode().(type) {
	case *pg.Node_ColumnRef:
		c, err := sc.column(e.ColumnRef)
		return c.typ, err
	case *pg.Node_TypeCast:
		return b.resolveType(e.TypeCast.GetTypeName())
	case *pg.Node_CollateClause:
		return b.typeOf(e.CollateClause.GetArg(), sc)
	case *pg.Node_AConst:
		return b.typeOfConst(e.AConst), nil
	case *pg.Node_BoolExpr, *pg.Node_NullTest, *pg.Node_BooleanTest:
		return b.systemType("bool"), nil
	case *pg.Node_CoalesceExpr:
		return b.commonOf(e.CoalesceExpr.GetArgs(), sc)
	case *pg.Node_MinMaxExpr:
		return b.commonOf(e.MinMaxExpr.GetArgs(), sc)
	case *pg.Node_CaseExpr:
		return b.commonOf(caseResults(e.CaseExpr), sc)
	case *pg.Node_SubLink:
		return b.typeOfSubLink(e.SubLink, sc)
	case *pg.Node_SqlvalueFunction:
		return b.typeOfValueFunction(e.SqlvalueFunction.GetOp())
	case *pg.Node_AExpr:
		return b.typeOfOperator(e.AExpr, sc)
	case *pg.Node_FuncCall:
		return b.typeOfCall(e.FuncCall, sc)
	default:
		return catalog.Type{}, errUntyped
	}
}

func (b *builder) typeOfConst(c *pg.A_Const) catalog.Type {
	switch v := c.GetVal().(type) {
	case *pg.A_Const_Ival:
		return b.systemType("int4")
	case *pg.A_Const_Boolval:
		return b.systemType("bool")
	case *pg.A_Const_Bsval:
		return b.systemType("bit")
	case *pg.A_Const_Fval:
		if _, err := strconv.ParseInt(v.Fval.GetFval(), 0, 64); err == nil {
			return b.systemType("int8")
		}
		return b.systemType("numeric")
	default: // a string, or NULL
		return b.systemType("unknown")
	}
}

func caseResults(c *pg.CaseExpr) []*pg.Node {
	var results []*pg.Node
	for _, when := range c.GetArgs() {
		results = append(results, when.GetCaseWhen().GetResult())
	}
	if c.GetDefresult() != nil {
		results = append(results, c.GetDefresult())
	}
	return results
}

func (b *builder) commonOf(nodes []*pg.Node, sc *scope) (catalog.Type, error) {
	types := make([]catalog.Type, len(nodes))
	for i, n := range nodes {
		var err error
		if types[i], err = b.typeOf(n, sc); err != nil {
			return catalog.Type{}, err
		}
	}
	return b.common(types)
}

// common gives the one type among several, beside literals that take it on. A
// modifier stays only where all have it.
func (b *builder) common(types []catalog.Type) (catalog.Type, error) {
	known := slices.DeleteFunc(slices.Clone(types), func(t catalog.Type) bool { return t.Name == "unknown" })
	if len(known) == 0 {
		return b.systemType("unknown"), nil
	}
	t := known[0]
	for _, other := range known[1:] {
		if other.OID != t.OID {
			return t, errUntyped
		}
		if other.Mod != t.Mod {
			t = b.typesByOID[t.OID]
		}
	}
	if len(known) < len(types) {
		t = b.typesByOID[t.OID]
	}
	return t, nil
}

func (b *builder) typeOfSubLink(s *pg.SubLink, sc *scope) (catalog.Type, error) {
	switch s.GetSubLinkType() {
	case pg.SubLinkType_EXISTS_SUBLINK, pg.SubLinkType_ANY_SUBLINK, pg.SubLinkType_ALL_SUBLINK:
		return b.systemType("bool"), nil
	case pg.SubLinkType_EXPR_SUBLINK, pg.SubLinkType_ARRAY_SUBLINK:
	default:
		return catalog.Type{}, errUntyped
	}
	columns, err := b.query(s.GetSubselect().GetSelectStmt(), sc)
	if err != nil {
		return catalog.Type{}, err
	}
	if len(columns) != 1 {
		return catalog.Type{}, errors.New("a subquery has more than one column")
	}
	t := b.settle(columns[0].typ)
	if s.GetSubLinkType() == pg.SubLinkType_ARRAY_SUBLINK {
		return b.arrayOf(t)
	}
	return t, nil
}

func (b *builder) typeOfValueFunction(op pg.SQLValueFunctionOp) (catalog.Type, error) {
	switch op {
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_DATE:
		return b.systemType("date"), nil
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP:
		return b.systemType("timestamptz"), nil
	case pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP:
		return b.systemType("timestamp"), nil
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_USER, pg.SQLValueFunctionOp_SVFOP_CURRENT_ROLE,
		pg.SQLValueFunctionOp_SVFOP_USER, pg.SQLValueFunctionOp_SVFOP_SESSION_USER,
		pg.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG, pg.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
		return b.systemType("name"), nil
	default:
		return catalog.Type{}, errUntyped
	}
}

// typeOfOperator knows what compares, what joins text and arithmetic on
// numbers of one type or of integer types.
func (b *builder) typeOfOperator(e *pg.A_Expr, sc *scope) (catalog.Type, error) {
	switch e.GetKind() {
	case pg.A_Expr_Kind_AEXPR_OP:
	case pg.A_Expr_Kind_AEXPR_NULLIF:
		return b.typeOf(e.GetLexpr(), sc)
	default:
		return b.systemType("bool"), nil
	}
	if len(e.GetName()) != 1 || e.GetLexpr() == nil || b.ownOperator(dotted(e.GetName())) {
		return catalog.Type{}, errUntyped
	}
	left, err := b.typeOf(e.GetLexpr(), sc)
	if err != nil {
		return left, err
	}
	right, err := b.typeOf(e.GetRexpr(), sc)
	if err != nil {
		return right, err
	}
	switch op := dotted(e.GetName()); {
	case compares(op):
		return b.systemType("bool"), nil
	case op == "||" && isText(left) && isText(right):
		return b.systemType("text"), nil
	case slices.Contains([]string{"+", "-", "*", "/"}, op) && width(left) > 0 && width(right) > 0:
		return b.wider(left, right), nil
	default:
		return catalog.Type{}, errUntyped
	}
}

// ownOperator tells whether the text creates an operator of that name, which
// may give something else than PostgreSQL's own.
func (b *builder) ownOperator(name string) bool {
	return slices.ContainsFunc(b.operators, func(n catalog.Name) bool { return n.Name == name })
}

// compares knows operators of which each in pg_catalog gives a boolean. The
// tildes are LIKE, ILIKE and the regular expressions.
func compares(op string) bool {
	switch op {
	case "=", "<>", "<", "<=", ">", ">=", "~", "!~", "~*", "!~*", "~~", "!~~", "~~*", "!~~*":
		return true
	default:
		return false
	}
}

func isText(t catalog.Type) bool {
	return t.Schema == "pg_catalog" && slices.Contains([]string{"text", "varchar", "bpchar", "unknown"}, t.Name)
}

// width orders the numbers that arithmetic widens into one another.
func width(t catalog.Type) int {
	if t.Schema != "pg_catalog" {
		return 0
	}
	return 1 + slices.Index([]string{"int2", "int4", "int8", "numeric"}, t.Name)
}

func (b *builder) wider(left, right catalog.Type) catalog.Type {
	if width(right) > width(left) {
		left = right
	}
	return b.typesByOID[left.OID]
}

// typeOfCall knows the common aggregates, and every function that gives one
// type whichever of those of its name is meant.
func (b *builder) typeOfCall(f *pg.FuncCall, sc *scope) (catalog.Type, error) {
	schema, name, err := split(f.GetFuncname())
	if err != nil {
		return catalog.Type{}, err
	}
	ours := slices.ContainsFunc(b.funcs, func(f routine) bool { return f.Name == name })
	if len(f.GetArgs()) == 1 && !ours && (schema == "" || schema == "pg_catalog") {
		if t, ok := b.typeOfAggregate(name, f.GetArgs()[0], sc); ok {
			return t, nil
		}
	}
	found := catalog.Type{}
	for _, c := range b.candidates(schema, name, len(f.GetArgs())) {
		t, ok := b.typesByOID[c.Returns]
		if !ok || t.Kind == 'p' || c.ReturnsSet || found.OID != 0 && found.OID != t.OID {
			return catalog.Type{}, errUntyped
		}
		found = t
	}
	if found.OID == 0 {
		return found, errUntyped
	}
	return found, nil
}

// typeOfAggregate knows the aggregates whose type depends on their argument's.
func (b *builder) typeOfAggregate(name string, arg *pg.Node, sc *scope) (catalog.Type, bool) {
	t, err := b.typeOf(arg, sc)
	if err != nil || t.Schema != "pg_catalog" {
		return t, false
	}
	result := ""
	switch name {
	case "min", "max":
		result = extremeOf(t.Name)
	case "sum":
		result = sumOf(t.Name)
	case "avg":
		result = averageOf(t.Name)
	}
	return b.systemType(result), result != ""
}

func extremeOf(name string) string {
	switch name {
	case "varchar":
		return "text"
	case "int2", "int4", "int8", "numeric", "float4", "float8", "money", "text", "bpchar",
		"date", "time", "timestamp", "timestamptz", "interval", "inet":
		return name
	default:
		return ""
	}
}

func sumOf(name string) string {
	switch name {
	case "int2", "int4":
		return "int8"
	case "int8", "numeric":
		return "numeric"
	case "float4", "float8", "money", "interval":
		return name
	default:
		return ""
	}
}

func averageOf(name string) string {
	switch name {
	case "int2", "int4", "int8", "numeric":
		return "numeric"
	case "float4", "float8":
		return "float8"
	case "interval":
		return name
	default:
		return ""
	}
}

// candidates gives the functions that a call of so many arguments may mean.
func (b *builder) candidates(schema, name string, args int) []catalog.Func {
	path := b.lookupPath()
	if schema != "" {
		path = []string{schema}
	}
	found := b.system.Funcs(path, "", name)
	for _, f := range b.funcs {
		if f.Name == name && slices.Contains(path, f.Schema) {
			found = append(found, f.Func)
		}
	}
	return slices.DeleteFunc(found, func(f catalog.Func) bool {
		return args < f.MinArgs || f.MaxArgs >= 0 && args > f.MaxArgs
	})
}
