package parse

import (
	"strconv"
	"strings"
	"sync"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// Write gives the text of a statement as Deparse does, but writes plain
// queries, of which most statements are made, by itself. It takes a tenth of
// the time, as no tree goes to C.
//
// It must not be believed: whoever sends the text parses it again, and compares
// the tree with the one that was meant.
func Write(n *pg_query.Node) (string, error) {
	if sql, ok := writePlain(n); ok {
		return sql, nil
	}
	return Deparse(n)
}

// writePlain writes a plain query; ok is false for any other statement.
func writePlain(n *pg_query.Node) (sql string, ok bool) {
	sel := n.GetSelectStmt()
	w := writer{keywords: keywords(), unknown: sel == nil}
	w.selectStmt(sel)
	return w.String(), !w.unknown
}

// writer writes one statement. It goes on after what it does not know, and
// what it wrote is then worth nothing.
type writer struct {
	strings.Builder
	keywords map[string]bool
	unknown  bool
}

// write writes texts.
func (w *writer) write(texts ...string) {
	for _, s := range texts {
		w.WriteString(s)
	}
}

// allow gives up unless something holds.
func (w *writer) allow(ok bool) { w.unknown = w.unknown || !ok }

func (w *writer) selectStmt(s *pg_query.SelectStmt) {
	w.allow(s.GetOp() == pg_query.SetOperation_SETOP_NONE && len(s.GetTargetList()) > 0 && s.WithClause == nil && s.IntoClause == nil && s.ValuesLists == nil &&
		s.WindowClause == nil && s.LockingClause == nil && !s.GroupDistinct && s.LimitOption != pg_query.LimitOption_LIMIT_OPTION_WITH_TIES)
	if w.unknown {
		return
	}
	w.write("SELECT ")
	if len(s.DistinctClause) > 0 {
		w.allow(len(s.DistinctClause) == 1 && s.DistinctClause[0].GetNode() == nil)
		w.write("DISTINCT ")
	}
	w.list(s.TargetList, w.target)
	w.clause(" FROM ", s.FromClause, w.from)
	w.one(" WHERE ", s.WhereClause)
	w.clause(" GROUP BY ", s.GroupClause, w.expr)
	w.one(" HAVING ", s.HavingClause)
	w.clause(" ORDER BY ", s.SortClause, w.sort)
	w.allow(!s.LimitCount.GetAConst().GetIsnull())
	w.one(" LIMIT ", s.LimitCount)
	w.one(" OFFSET ", s.LimitOffset)
}

func (w *writer) list(nodes []*pg_query.Node, each func(*pg_query.Node)) {
	for i, n := range nodes {
		if i > 0 {
			w.write(", ")
		}
		each(n)
	}
}

func (w *writer) clause(keyword string, nodes []*pg_query.Node, each func(*pg_query.Node)) {
	if len(nodes) > 0 {
		w.write(keyword)
		w.list(nodes, each)
	}
}

func (w *writer) one(keyword string, n *pg_query.Node) {
	if n != nil {
		w.write(keyword)
		w.expr(n)
	}
}

func (w *writer) target(n *pg_query.Node) {
	t := n.GetResTarget()
	w.allow(t != nil && t.Indirection == nil)
	w.expr(t.GetVal())
	if t.GetName() != "" {
		w.write(" AS ")
		w.name(t.Name)
	}
}

func (w *writer) sort(n *pg_query.Node) {
	s := n.GetSortBy()
	w.allow(s != nil && s.UseOp == nil)
	w.expr(s.GetNode())
	w.write(directions[s.GetSortbyDir()], nullsAt[s.GetSortbyNulls()])
}

// How the parts of the grammar that are enumerations are spelled.
var (
	directions = map[pg_query.SortByDir]string{pg_query.SortByDir_SORTBY_ASC: " ASC", pg_query.SortByDir_SORTBY_DESC: " DESC"}
	nullsAt    = map[pg_query.SortByNulls]string{pg_query.SortByNulls_SORTBY_NULLS_FIRST: " NULLS FIRST", pg_query.SortByNulls_SORTBY_NULLS_LAST: " NULLS LAST"}
	nullTests  = map[pg_query.NullTestType]string{pg_query.NullTestType_IS_NULL: " IS NULL", pg_query.NullTestType_IS_NOT_NULL: " IS NOT NULL"}
	between    = map[pg_query.BoolExprType]string{pg_query.BoolExprType_AND_EXPR: " AND ", pg_query.BoolExprType_OR_EXPR: " OR "}
	joins      = map[pg_query.JoinType]string{
		pg_query.JoinType_JOIN_INNER: " JOIN ", pg_query.JoinType_JOIN_LEFT: " LEFT JOIN ",
		pg_query.JoinType_JOIN_RIGHT: " RIGHT JOIN ", pg_query.JoinType_JOIN_FULL: " FULL JOIN ",
	}
)

func (w *writer) from(n *pg_query.Node) {
	switch f := n.GetNode().(type) {
	case *pg_query.Node_RangeVar:
		w.relation(f.RangeVar)
	case *pg_query.Node_RangeSubselect:
		if f.RangeSubselect.Lateral {
			w.write("LATERAL ")
		}
		w.write("(")
		w.selectStmt(f.RangeSubselect.Subquery.GetSelectStmt())
		w.write(")")
		w.alias(f.RangeSubselect.Alias)
	case *pg_query.Node_JoinExpr:
		w.join(f.JoinExpr)
	default:
		w.allow(false)
	}
}

func (w *writer) relation(r *pg_query.RangeVar) {
	if !r.Inh {
		w.write("ONLY ")
	}
	for _, name := range []string{r.Catalogname, r.Schemaname} {
		if name != "" {
			w.name(name)
			w.write(".")
		}
	}
	w.name(r.Relname)
	w.alias(r.Alias)
}

func (w *writer) alias(a *pg_query.Alias) {
	if a == nil {
		return
	}
	w.write(" ")
	w.name(a.Aliasname)
	if len(a.Colnames) > 0 {
		w.write("(")
		w.list(a.Colnames, func(n *pg_query.Node) { w.name(n.GetString_().GetSval()) })
		w.write(")")
	}
}

// join writes a join with ON, of which the right side is no join itself.
func (w *writer) join(j *pg_query.JoinExpr) {
	w.allow(joins[j.Jointype] != "" && !j.IsNatural && j.UsingClause == nil && j.JoinUsingAlias == nil && j.Alias == nil && j.Quals != nil && j.Rarg.GetJoinExpr() == nil)
	w.from(j.Larg)
	w.write(joins[j.Jointype])
	w.from(j.Rarg)
	w.one(" ON ", j.Quals)
}

func (w *writer) expr(n *pg_query.Node) {
	switch e := n.GetNode().(type) {
	case *pg_query.Node_ColumnRef:
		w.column(e.ColumnRef)
	case *pg_query.Node_AConst:
		w.constant(e.AConst)
	case *pg_query.Node_ParamRef:
		w.allow(e.ParamRef.Number > 0)
		w.write("$", strconv.Itoa(int(e.ParamRef.Number)))
	case *pg_query.Node_AExpr:
		w.operation(e.AExpr)
	case *pg_query.Node_BoolExpr:
		w.boolean(e.BoolExpr)
	case *pg_query.Node_NullTest:
		w.expr(e.NullTest.Arg)
		w.write(nullTests[e.NullTest.Nulltesttype])
	case *pg_query.Node_FuncCall:
		w.call(e.FuncCall)
	default:
		w.allow(false)
	}
}

func (w *writer) column(c *pg_query.ColumnRef) {
	for i, f := range c.Fields {
		if i > 0 {
			w.write(".")
		}
		if f.GetAStar() != nil {
			w.write("*")
			continue
		}
		w.allow(f.GetString_() != nil)
		w.name(f.GetString_().GetSval())
	}
}

func (w *writer) constant(c *pg_query.A_Const) {
	switch v := c.Val.(type) {
	case *pg_query.A_Const_Ival:
		w.write(strconv.Itoa(int(v.Ival.Ival)))
	case *pg_query.A_Const_Fval:
		w.write(v.Fval.Fval)
	case *pg_query.A_Const_Boolval:
		w.write(strconv.FormatBool(v.Boolval.Boolval))
	case *pg_query.A_Const_Sval:
		w.text(v.Sval.Sval)
	default:
		w.allow(c.Isnull)
		w.write("NULL")
	}
}

func (w *writer) text(s string) {
	s = strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) {
		s = strings.ReplaceAll(s, `\`, `\\`)
		w.write("E")
	}
	w.write("'", s, "'")
}

// words are the operators that are spelled with words, by kind and name.
var words = map[pg_query.A_Expr_Kind]map[string]string{
	pg_query.A_Expr_Kind_AEXPR_IN:          {"=": " IN ", "<>": " NOT IN "},
	pg_query.A_Expr_Kind_AEXPR_LIKE:        {"~~": " LIKE ", "!~~": " NOT LIKE "},
	pg_query.A_Expr_Kind_AEXPR_ILIKE:       {"~~*": " ILIKE ", "!~~*": " NOT ILIKE "},
	pg_query.A_Expr_Kind_AEXPR_BETWEEN:     {"BETWEEN": " BETWEEN "},
	pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN: {"NOT BETWEEN": " NOT BETWEEN "},
}

func (w *writer) operation(e *pg_query.A_Expr) {
	if len(e.Name) == 0 {
		w.allow(false)
		return
	}
	name := e.Name[len(e.Name)-1].GetString_().GetSval()
	if e.Kind == pg_query.A_Expr_Kind_AEXPR_OP {
		w.operator(e, name)
		return
	}
	word := words[e.Kind][name]
	w.allow(word != "" && len(e.Name) == 1)
	w.expr(e.Lexpr)
	w.write(word)
	list := e.Rexpr.GetList().GetItems()
	switch e.Kind {
	case pg_query.A_Expr_Kind_AEXPR_IN:
		w.write("(")
		w.list(list, w.expr)
		w.write(")")
	case pg_query.A_Expr_Kind_AEXPR_LIKE, pg_query.A_Expr_Kind_AEXPR_ILIKE:
		w.expr(e.Rexpr)
	default:
		if len(list) != 2 {
			w.allow(false)
			return
		}
		w.expr(list[0])
		w.write(" AND ")
		w.expr(list[1])
	}
}

func (w *writer) operator(e *pg_query.A_Expr, name string) {
	w.allow(name != "" && strings.Trim(name, "~!@#^&|`?+-*/%<>=") == "" && len(e.Name) <= 2 && e.Rexpr != nil)
	if e.Lexpr != nil {
		w.operand(e.Lexpr)
		w.write(" ")
	}
	if len(e.Name) == 2 {
		w.write("OPERATOR(")
		w.name(e.Name[0].GetString_().GetSval())
		w.write(".", name, ") ")
	} else {
		w.write(name, " ")
	}
	w.operand(e.Rexpr)
}

// operand writes an operator's operand, in parentheses if it has operators.
func (w *writer) operand(n *pg_query.Node) {
	switch n.GetNode().(type) {
	case *pg_query.Node_AExpr, *pg_query.Node_BoolExpr, *pg_query.Node_NullTest:
		w.write("(")
		w.expr(n)
		w.write(")")
	default:
		w.expr(n)
	}
}

func (w *writer) boolean(b *pg_query.BoolExpr) {
	word := between[b.Boolop]
	if word == "" {
		w.allow(b.Boolop == pg_query.BoolExprType_NOT_EXPR && len(b.Args) == 1)
		w.write("NOT ")
	}
	for i, arg := range b.Args {
		if i > 0 {
			w.write(word)
		}
		if inner := arg.GetBoolExpr(); inner != nil && inner.Boolop != pg_query.BoolExprType_NOT_EXPR {
			w.write("(")
			w.expr(arg)
			w.write(")")
		} else {
			w.expr(arg)
		}
	}
}

// call writes a call of a function by its name with a schema: a name alone can
// be one that the grammar has a form of its own for.
func (w *writer) call(f *pg_query.FuncCall) {
	w.allow(len(f.Funcname) == 2 && f.Funcformat == pg_query.CoercionForm_COERCE_EXPLICIT_CALL && f.AggOrder == nil && f.AggFilter == nil && f.Over == nil &&
		!f.AggWithinGroup && !f.FuncVariadic && !(len(f.Args) == 4 && f.Funcname[1].GetString_().GetSval() == "overlay"))
	for i, n := range f.Funcname {
		if i > 0 {
			w.write(".")
		}
		w.name(n.GetString_().GetSval())
	}
	w.write("(")
	if f.AggDistinct {
		w.write("DISTINCT ")
	}
	if f.AggStar {
		w.write("*")
	}
	w.list(f.Args, w.expr)
	w.write(")")
}

// name writes an identifier, quoted where it must be.
func (w *writer) name(s string) {
	w.allow(s != "")
	if plainName(s) && !w.keywords[s] {
		w.write(s)
		return
	}
	w.write(`"`, strings.ReplaceAll(s, `"`, `""`), `"`)
}

func plainName(s string) bool {
	for i, c := range []byte(s) {
		if c != '_' && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// keywords gives the words that are no names without quotes everywhere. The
// lexer tells them, asked for the names of its tokens.
var keywords = sync.OnceValue(func() map[string]bool {
	var text strings.Builder
	for name := range pg_query.Token_value {
		text.WriteString(strings.TrimSuffix(strings.ToLower(name), "_p") + " ")
	}
	words := map[string]bool{}
	scan, err := pg_query.Scan(text.String())
	if err != nil {
		panic("parse: the lexer does not take its own keywords: " + err.Error())
	}
	for _, t := range scan.Tokens {
		words[text.String()[t.Start:t.End]] = t.KeywordKind != pg_query.KeywordKind_NO_KEYWORD && t.KeywordKind != pg_query.KeywordKind_UNRESERVED_KEYWORD
	}
	return words
})
