package rewrite

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// A condition on rows by a ledger can be written in three forms (see
// policy.Condition), which hold for the same rows. Two of them are evaluated
// where the relation is read, before anything else that could fail. The third
// becomes a join, which nothing that a statement computes waits for, and which
// is by far the cheapest where many rows are read. It is taken only where the
// statement computes nothing that could tell of a row: nothing but columns,
// comparisons that cannot fail, and aggregates that cannot either. That is
// decided here, last of all, by the text as the server will read it.

// chooseForms puts the conditions on rows in the form that suits a statement.
func (v *verifier) chooseForms(read *pg_query.Node) {
	join := v.harmless(queryOf(read).GetSelectStmt()) && read.GetDeclareCursorStmt() == nil // WHERE CURRENT OF wants a scan
	index := v.readsFew(queryOf(read))
	for ref, s := range v.places {
		switch {
		case s.column != filterSlot || s.byIndex == "" || s.byJoin == "":
			continue
		case index:
			s.text = s.byIndex
		case join:
			s.text = s.byJoin
		}
		v.places[ref] = s
	}
}

// harmless tells whether nothing in a query can fail for a row, have an effect,
// or be told by how often it is evaluated. It is a list of what is known to be
// so: the query has one level, over tables alone.
func (v *verifier) harmless(sel *pg_query.SelectStmt) bool {
	plain := &pg_query.SelectStmt{
		DistinctClause: sel.GetDistinctClause(), TargetList: sel.GetTargetList(), FromClause: sel.GetFromClause(), WhereClause: sel.GetWhereClause(),
		GroupClause: sel.GetGroupClause(), SortClause: sel.GetSortClause(), LimitOffset: sel.GetLimitOffset(), LimitCount: sel.GetLimitCount(),
		LimitOption: sel.GetLimitOption(), Op: pg_query.SetOperation_SETOP_NONE,
	}
	if sel == nil || v.leaky || !parse.Equal(sel, plain) || sel.LimitOption == pg_query.LimitOption_LIMIT_OPTION_WITH_TIES ||
		resolve.HoldsSubLink(sel.WhereClause) || !harmlessNumber(sel.LimitOffset) || !harmlessNumber(sel.LimitCount) {
		return false
	}
	f := &harmlessFrom{verifier: v, columns: map[string][]catalog.Column{}, comparable: true}
	if len(sel.FromClause) == 0 || slices.ContainsFunc(sel.FromClause, func(n *pg_query.Node) bool { return !f.item(n) }) {
		return false
	}
	keys := slices.Concat(sel.GroupClause, sel.DistinctClause)
	for _, n := range sel.SortClause {
		if len(n.GetSortBy().GetUseOp()) > 0 {
			return false
		}
		keys = append(keys, n.GetSortBy().GetNode())
	}
	for _, n := range keys {
		if !f.column(n) && !isOutputName(n, sel) && n.GetAConst().GetIval() == nil {
			return false
		}
	}
	compares := len(keys) > 0
	for _, n := range sel.TargetList {
		val := n.GetResTarget().GetVal()
		aggregate := f.aggregate(val)
		compares = compares || aggregate
		if !aggregate && !f.column(val) && val.GetAConst() == nil {
			return false
		}
	}
	return f.comparable || !compares
}

// harmlessNumber tells whether a number of rows is none, a constant or a
// parameter.
func harmlessNumber(n *pg_query.Node) bool {
	return n == nil || n.GetAConst() != nil || n.GetParamRef() != nil
}

// harmlessFrom is what a harmless query reads.
type harmlessFrom struct {
	*verifier
	columns    map[string][]catalog.Column // by the names of what stands in FROM
	comparable bool                        // comparing the columns, to sort or group by them, cannot fail
}

// item tells whether a FROM item is tables, joined by conditions that are not
// leaky: those of the whole statement are not.
func (f *harmlessFrom) item(n *pg_query.Node) bool {
	switch i := n.GetNode().(type) {
	case *pg_query.Node_RangeVar:
		rel, t := f.templateOf(i.RangeVar)
		if len(i.RangeVar.GetAlias().GetColnames()) > 0 || !harmlessTable(rel, t) {
			return false
		}
		for _, c := range rel.Columns {
			f.add(aliasOf(i.RangeVar), c)
		}
		return true
	case *pg_query.Node_RangeSubselect:
		return !i.RangeSubselect.Lateral && len(i.RangeSubselect.GetAlias().GetColnames()) == 0 &&
			f.generated(i.RangeSubselect.Subquery.GetSelectStmt(), i.RangeSubselect.GetAlias().GetAliasname())
	case *pg_query.Node_JoinExpr:
		j := i.JoinExpr
		plain := &pg_query.JoinExpr{Jointype: j.Jointype, Larg: j.Larg, Rarg: j.Rarg, Quals: j.Quals}
		joins := j.Jointype == pg_query.JoinType_JOIN_INNER || j.Jointype == pg_query.JoinType_JOIN_LEFT
		return joins && parse.Equal(j, plain) && !resolve.HoldsSubLink(j.Quals) && f.item(j.Larg) && f.item(j.Rarg)
	default:
		return false
	}
}

// generated tells whether a generated sub-select, which has been judged, may
// become part of the query around it. Masks cannot fail, unless they go by the
// row filters of several roles.
func (f *harmlessFrom) generated(sel *pg_query.SelectStmt, alias string) bool {
	rv := generatedOver(sel)
	if rv == nil || sel.FromClause[0].GetRangeVar() == nil || sel.LimitOffset != nil {
		return false
	}
	rel, t := f.templateOf(rv)
	if !harmlessTable(rel, t) {
		return false
	}
	for _, n := range sel.TargetList {
		i := rel.ColumnIndex(n.GetResTarget().GetName())
		if i < 0 {
			return false // a system column, or what is there for aggregates of large groups
		}
		f.add(alias, rel.Columns[i])
	}
	return true
}

// harmlessTable tells whether reading a relation evaluates nothing but its
// condition on rows: it is a table and computes none of its columns.
func harmlessTable(rel *catalog.Relation, t *template) bool {
	return rel != nil && t != nil && rel.Governed() && !isTemporary(rel) && !t.joins && len(t.access.Views) == 1 &&
		(rel.Kind == catalog.Table || rel.Kind == catalog.PartitionedTable) &&
		!slices.ContainsFunc(rel.Columns, func(c catalog.Column) bool { return c.Generated })
}

func (f *harmlessFrom) add(alias string, c catalog.Column) {
	if c.Type.Kind == 'd' {
		c.Type.Schema, c.Type.Name = c.Type.BaseSchema, c.Type.Base
	}
	f.columns[alias] = append(f.columns[alias], c)
	f.comparable = f.comparable && resolve.Comparable(c.Type)
}

// column tells whether an expression is a column of what is read, or all of
// them.
func (f *harmlessFrom) column(n *pg_query.Node) bool {
	return isStar(n) && len(n.GetColumnRef().GetFields()) <= 2 || f.find(n) != nil
}

// find gives the column that an expression is, nil when it is none. Another name
// after a dot could be a function's.
func (f *harmlessFrom) find(n *pg_query.Node) *catalog.Column {
	fields := n.GetColumnRef().GetFields()
	if len(fields) != 2 {
		return nil
	}
	columns := f.columns[fields[0].GetString_().GetSval()]
	i := slices.IndexFunc(columns, func(c catalog.Column) bool { return c.Name == fields[1].GetString_().GetSval() })
	if i < 0 {
		return nil
	}
	return &columns[i]
}

// aggregate tells whether an expression is a plain aggregate of a column, or
// count(*).
func (f *harmlessFrom) aggregate(n *pg_query.Node) bool {
	call := n.GetFuncCall()
	plain := &pg_query.FuncCall{Funcname: call.GetFuncname(), Args: call.GetArgs(), AggStar: call.GetAggStar(), Funcformat: pg_query.CoercionForm_COERCE_EXPLICIT_CALL}
	if call == nil || !parse.Equal(call, plain) || len(call.Funcname) != 2 || call.Funcname[0].GetString_().GetSval() != "pg_catalog" {
		return false
	}
	name := call.Funcname[1].GetString_().GetSval()
	if call.AggStar {
		return name == "count"
	}
	if len(call.Args) != 1 {
		return false
	}
	c := f.find(call.Args[0])
	switch name {
	case "count", "min", "max":
		return c != nil
	case "sum", "avg":
		return c != nil && addable(c.Type)
	default:
		return false
	}
}

// addable tells whether values of a type can be summed up, as many as there may
// be, without an overflow: a server may sum up in parts before it joins (from
// PostgreSQL 19 on), hidden rows among them.
func addable(t catalog.Type) bool {
	switch {
	case t.Schema != "pg_catalog":
		return false
	case t.Name == "numeric":
		return t.Mod >= 0
	default:
		return slices.Contains([]string{"int2", "int4", "int8"}, t.Name)
	}
}

// readsFew tells whether a statement by all appearance reads few rows of the
// only relation whose rows go by a condition: it names the primary key, or asks
// for a page. That decides what is fast, and nothing else.
func (v *verifier) readsFew(n *pg_query.Node) bool {
	filters := 0
	for _, s := range v.places {
		if s.column == filterSlot {
			filters++
		}
	}
	if filters != 1 {
		return false
	}
	switch s := n.GetNode().(type) {
	case *pg_query.Node_UpdateStmt:
		return v.byKey(s.UpdateStmt.Relation, s.UpdateStmt.WhereClause)
	case *pg_query.Node_DeleteStmt:
		return v.byKey(s.DeleteStmt.Relation, s.DeleteStmt.WhereClause)
	case *pg_query.Node_SelectStmt:
		if len(s.SelectStmt.FromClause) != 1 {
			return false
		}
		inside := s.SelectStmt.FromClause[0].GetRangeSubselect().GetSubquery().GetSelectStmt()
		rv := generatedOver(inside)
		return rv != nil && (v.byKey(rv, s.SelectStmt.WhereClause) || v.byKey(rv, inside.WhereClause) || inside.LimitOffset == nil && v.isPage(s.SelectStmt, rv))
	default:
		return false
	}
}

// byKey tells whether a condition compares a relation's primary key with
// constants.
func (v *verifier) byKey(rv *pg_query.RangeVar, where *pg_query.Node) bool {
	conditions := resolve.Conjuncts(where)
	for _, n := range conditions {
		if c := n.GetCaseExpr(); len(c.GetArgs()) == 1 { // of rows that the filter has passed
			conditions = append(conditions, resolve.Conjuncts(c.Args[0].GetCaseWhen().Result)...)
		}
	}
	return slices.ContainsFunc(conditions, func(n *pg_query.Node) bool { return v.isKey(rv, resolve.EqualityReference(n)) })
}

// isKey tells whether an expression is, by its name, all of a relation's primary
// key.
func (v *verifier) isKey(rv *pg_query.RangeVar, n *pg_query.Node) bool {
	rel, _ := v.templateOf(rv)
	return rel != nil && len(rel.PrimaryKey) == 1 && lastName(n) == rel.Columns[rel.PrimaryKey[0]].Name
}

// isPage tells whether a query asks for the first rows of many in an order that
// an index gives, it seems: in none, by the primary key, or by a column that
// they are to be above or below. The number of rows does not count, for it is a
// literal that texts of one plan differ in.
func (v *verifier) isPage(sel *pg_query.SelectStmt, rv *pg_query.RangeVar) bool {
	number := sel.LimitCount.GetParamRef() != nil || sel.LimitCount.GetAConst().GetIval() != nil
	computes := slices.ContainsFunc(sel.TargetList, func(n *pg_query.Node) bool { return n.GetResTarget().GetVal().GetFuncCall() != nil })
	if !number || computes || len(sel.GroupClause) > 0 || len(sel.DistinctClause) > 0 {
		return false
	}
	if len(sel.SortClause) == 0 {
		return true
	}
	by := sel.SortClause[0].GetSortBy().GetNode()
	return v.isKey(rv, by) || slices.ContainsFunc(resolve.Conjuncts(sel.WhereClause), func(n *pg_query.Node) bool {
		e := n.GetAExpr()
		return lastName(by) != "" && (lastName(e.GetLexpr()) == lastName(by) || lastName(e.GetRexpr()) == lastName(by))
	})
}

// lastName gives the name of the column that an expression is; "" when it is
// none.
func lastName(n *pg_query.Node) string {
	fields := n.GetColumnRef().GetFields()
	if len(fields) == 0 {
		return ""
	}
	return fields[len(fields)-1].GetString_().GetSval()
}
