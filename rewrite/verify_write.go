package rewrite

import (
	"maps"
	"math"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// written is a relation that stands as it is: the target of a write, or one of
// which nothing is hidden.
type written struct {
	*template
	relation *catalog.Relation
	alias    string
	inserted bool // its statement is an INSERT
}

// target gives the target that a statement names, and what is in sight where it
// and the FROM items beside it are; nil when it may not be written so.
func (v *verifier) target(rv *pg_query.RangeVar, ops policy.Ops, s *sight, beside ...*pg_query.Node) (*written, *sight) {
	rel, t := v.templateOf(rv)
	if t == nil || !rel.Governed() || ops != 0 && !t.access.Ops.Has(ops) {
		v.wrong("%s.%s may not be written so", rv.GetSchemaname(), rv.GetRelname())
		return nil, s
	}
	w := &written{template: t, relation: rel, alias: aliasOf(rv)}
	if rv.Alias != nil {
		v.unreserved(w.alias)
	}
	in := *s
	in.targets = maps.Clone(s.targets)
	for _, n := range beside {
		v.from(n, &in)
	}
	in.target(w)
	in.stars = false
	return w, &in
}

func (v *verifier) insert(ins *pg_query.InsertStmt, s *sight) {
	s = v.withCTEs(ins.WithClause, s)
	ops := policy.Insert
	oc := ins.OnConflictClause
	if oc.GetAction() == pg_query.OnConflictAction_ONCONFLICT_UPDATE {
		ops |= policy.Update
	}
	t, in := v.target(ins.Relation, ops, s)
	if t == nil {
		return
	}
	t.inserted = true
	v.insertedColumns(t, ins.Cols)
	if len(ins.Cols) == 0 && ins.SelectStmt != nil {
		v.insertedByPosition(t, widthOf(ins.SelectStmt.GetSelectStmt()))
	}
	if ins.SelectStmt != nil {
		v.walk(ins.SelectStmt, s)
	}
	if oc != nil {
		v.each(oc.GetInfer().GetIndexElems(), in)
		v.walk(oc.GetInfer().GetWhereClause(), in)
	}
	if oc.GetAction() == pg_query.OnConflictAction_ONCONFLICT_UPDATE {
		v.assigned(t, oc.TargetList, oc.WhereClause, in)
		v.filteredBy(t, oc.WhereClause, in)
	}
	v.each(ins.ReturningList, in)
}

func (v *verifier) update(up *pg_query.UpdateStmt, s *sight) {
	s = v.withCTEs(up.WithClause, s)
	t, in := v.target(up.Relation, policy.Update, s, up.FromClause...)
	if t == nil {
		return
	}
	v.each(up.FromClause, s)
	v.assigned(t, up.TargetList, up.WhereClause, in)
	if up.WhereClause.GetCurrentOfExpr() == nil {
		v.filteredBy(t, up.WhereClause, in)
	}
	v.each(up.ReturningList, in)
}

func (v *verifier) delete(del *pg_query.DeleteStmt, s *sight) {
	s = v.withCTEs(del.WithClause, s)
	t, in := v.target(del.Relation, policy.Delete, s, del.UsingClause...)
	if t == nil {
		return
	}
	v.each(del.UsingClause, s)
	if del.WhereClause.GetCurrentOfExpr() == nil {
		v.filteredBy(t, del.WhereClause, in)
	}
	v.each(del.ReturningList, in)
}

func (v *verifier) merge(m *pg_query.MergeStmt, s *sight) {
	s = v.withCTEs(m.WithClause, s)
	t, in := v.target(m.Relation, mergeOps(m), s, m.SourceRelation)
	if t == nil {
		return
	}
	v.each([]*pg_query.Node{m.SourceRelation}, s)
	v.filteredBy(t, m.JoinCondition, in)
	for _, n := range m.MergeWhenClauses {
		when := n.GetMergeWhenClause()
		if when.MatchKind == pg_query.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_SOURCE {
			v.filteredBy(t, when.Condition, in)
		} else {
			v.each([]*pg_query.Node{when.Condition}, in)
		}
		if when.CommandType == pg_query.CmdType_CMD_INSERT {
			v.insertedColumns(t, when.TargetList)
			if len(when.TargetList) == 0 {
				v.insertedByPosition(t, len(when.Values))
			}
		} else {
			v.assigned(t, when.TargetList, nil, in)
		}
		v.each(when.Values, in)
	}
	v.each(m.ReturningList, in)
}

func mergeOps(m *pg_query.MergeStmt) (ops policy.Ops) {
	for _, n := range m.MergeWhenClauses {
		switch n.GetMergeWhenClause().CommandType {
		case pg_query.CmdType_CMD_NOTHING:
		case pg_query.CmdType_CMD_INSERT:
			ops |= policy.Insert
		case pg_query.CmdType_CMD_UPDATE:
			ops |= policy.Update
		case pg_query.CmdType_CMD_DELETE:
			ops |= policy.Delete
		default:
			ops |= policy.Insert | policy.Update | policy.Delete
		}
	}
	return ops
}

func (v *verifier) copyFrom(cp *pg_query.CopyStmt) {
	t, _ := v.target(cp.Relation, policy.Insert, &sight{})
	if t == nil {
		return
	}
	var columns []*pg_query.Node
	for _, a := range cp.Attlist {
		columns = append(columns, pg_query.MakeResTargetNodeWithName(a.GetString_().GetSval(), -1))
	}
	v.insertedColumns(t, columns)
	if len(columns) == 0 {
		v.insertedByPosition(t, anyWidth)
	}
	if cp.WhereClause != nil {
		v.wrong("COPY FROM with a condition")
	}
}

// insertedColumns judges the columns that an INSERT names, and that no new row
// fills up a group by what it has by itself.
func (v *verifier) insertedColumns(t *written, columns []*pg_query.Node) {
	for i, c := range t.columns {
		if column := &t.relation.Columns[i]; c.leftToAggregates() && (column.Generated || column.HasDefault) {
			v.wrong("a row of %s could make up a group of %s", t.relation.QualifiedName(), column.Name)
		}
	}
	for _, n := range columns {
		v.writable(t, n.GetResTarget().GetName())
		v.part(t, n.GetResTarget(), &sight{})
	}
}

// part judges a ResTarget that names a part of a column: it is shown clear.
func (v *verifier) part(t *written, rt *pg_query.ResTarget, s *sight) {
	i := t.relation.ColumnIndex(rt.GetName())
	if len(rt.GetIndirection()) > 0 && (i < 0 || !shownClear(t.columns[i]) || t.filter[i]) {
		v.wrong("a part of %s.%s is written", t.relation.QualifiedName(), rt.Name)
	}
	v.each(rt.GetIndirection(), s)
}

// insertedByPosition judges the first columns of a target.
func (v *verifier) insertedByPosition(t *written, n int) {
	for i := range min(n, len(t.columns)) {
		if c := t.relation.Columns[i]; !c.Generated {
			v.writable(t, c.Name)
		}
	}
}

// anyWidth is more columns than any query gives.
const anyWidth = math.MaxInt

// widthOf gives how many columns a query has, anyWidth when that is not plain.
func widthOf(sel *pg_query.SelectStmt) int {
	switch {
	case len(sel.ValuesLists) > 0:
		return len(sel.ValuesLists[0].GetList().GetItems())
	case sel.Larg != nil:
		return widthOf(sel.Larg)
	}
	for _, n := range sel.TargetList {
		if isStar(n.GetResTarget().GetVal()) {
			return anyWidth
		}
	}
	return len(sel.TargetList)
}

func isStar(n *pg_query.Node) bool {
	fields := n.GetColumnRef().GetFields()
	return len(fields) > 0 && fields[len(fields)-1].GetAStar() != nil
}

// writable gives the index of a column that may be written.
func (v *verifier) writable(t *written, name string) int {
	i := t.relation.ColumnIndex(name)
	if i < 0 || !t.columns[i].treatment.Visible() {
		v.wrong("column %q of %s may not be written", name, t.relation.QualifiedName())
		return -1
	}
	return i
}

// assigned judges SET. A masked column keeps its value where its mask comes
// back, and a column that decides which rows are seen stays as it is.
func (v *verifier) assigned(t *written, list []*pg_query.Node, where *pg_query.Node, s *sight) {
	for _, n := range list {
		rt := n.GetResTarget()
		i := v.writable(t, rt.GetName())
		if i < 0 {
			return
		}
		v.part(t, rt, s)
		val := rt.Val
		if t.columns[i].treatment.Show == policy.ShowMasked && val.GetSetToDefault() == nil {
			if val = v.kept(t, i, val); val == nil {
				v.wrong("a mask could take the place of %s.%s", t.relation.QualifiedName(), rt.Name)
				return
			}
		}
		if t.least.columns[rt.Name] || t.generates() {
			v.wrong("groups of %s could be made up", t.relation.QualifiedName())
		}
		if t.filter[i] && !v.unchanged(t, rt.Name, where) {
			v.wrong("%s.%s decides which rows are seen", t.relation.QualifiedName(), rt.Name)
		}
		v.each([]*pg_query.Node{val}, s)
	}
}

// generates tells whether a column that is left to aggregates is generated from
// others.
func (t *written) generates() bool {
	for i, c := range t.columns {
		if c.leftToAggregates() && t.relation.Columns[i].Generated {
			return true
		}
	}
	return false
}

// kept gives X out of CASE WHEN X IS NOT DISTINCT FROM mask THEN column ELSE X
// END, where all but the column may be cast; nil when a value is something else.
func (v *verifier) kept(t *written, column int, val *pg_query.Node) *pg_query.Node {
	c := val.GetCaseExpr()
	if c == nil || c.Arg != nil || len(c.Args) != 1 {
		return nil
	}
	when := c.Args[0].GetCaseWhen()
	e := when.GetExpr().GetAExpr()
	mask := e.GetRexpr()
	if mask.GetTypeCast() != nil {
		v.typeName(mask.GetTypeCast().TypeName)
		mask = mask.GetTypeCast().Arg
	}
	at, ok := v.places[mask.GetColumnRef()]
	if e.GetKind() != pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT || !ok || at.relation != t.relation || at.column != column || at.alias != t.alias ||
		!isReference(when.Result, t.alias, t.relation.Columns[column].Name) || !v.isCastOf(e.Lexpr, uncast(c.Defresult)) {
		return nil
	}
	return c.Defresult
}

// uncast gives what an expression casts.
func uncast(n *pg_query.Node) *pg_query.Node {
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().Arg
	}
	return n
}

// isCastOf tells whether an expression is another one, cast any number of times.
func (v *verifier) isCastOf(n, of *pg_query.Node) bool {
	for !parse.Equal(n, of) {
		if n.GetTypeCast() == nil {
			return false
		}
		v.typeName(n.GetTypeCast().TypeName)
		n = n.GetTypeCast().Arg
	}
	return true
}

func isReference(n *pg_query.Node, alias, column string) bool {
	fields := n.GetColumnRef().GetFields()
	return len(fields) == 2 && fields[0].GetString_().GetSval() == alias && fields[1].GetString_().GetSval() == column
}

// unchanged tells whether a condition demands, of rows that the filter has
// passed, that what is assigned to a column is what it holds.
func (v *verifier) unchanged(t *written, column string, where *pg_query.Node) bool {
	return slices.ContainsFunc(resolve.Conjuncts(where), func(n *pg_query.Node) bool {
		return v.filtersFirst(t, n) && slices.ContainsFunc(resolve.Conjuncts(n.GetCaseExpr().Args[0].GetCaseWhen().Result), func(n *pg_query.Node) bool {
			return t.keeps(column, n)
		})
	})
}

// keeps tells whether a condition is column IS NOT DISTINCT FROM a plain value.
func (t *written) keeps(column string, n *pg_query.Node) bool {
	e := n.GetAExpr()
	return e.GetKind() == pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT && isReference(e.GetLexpr(), t.alias, column) && isPlain(e.Rexpr, t.alias, column, t.inserted)
}

// filteredBy judges the condition on a target's rows: the template's is part of
// it, and comes first where another one is leaky.
func (v *verifier) filteredBy(t *written, where *pg_query.Node, s *sight) {
	filtered, others := t.where == nil, false
	for _, n := range resolve.Conjuncts(where) {
		switch {
		case v.isFilter(t, n):
			filtered = true
		case v.filtersFirst(t, n):
			filtered = true
			for _, c := range resolve.Conjuncts(n.GetCaseExpr().Args[0].GetCaseWhen().Result) {
				v.targetCondition(t, c, s)
			}
		default:
			others = true
			v.targetCondition(t, n, s)
		}
	}
	if !filtered || t.where != nil && others && v.leaky {
		v.wrong("rows of %s are not filtered", t.relation.QualifiedName())
	}
}

func (v *verifier) isFilter(t *written, n *pg_query.Node) bool {
	at, ok := v.places[n.GetColumnRef()]
	return ok && at.relation == t.relation && at.column == filterSlot && at.alias == t.alias
}

// filtersFirst tells whether a condition is CASE WHEN filter THEN … ELSE false
// END.
func (v *verifier) filtersFirst(t *written, n *pg_query.Node) bool {
	c := n.GetCaseExpr()
	return c != nil && c.Arg == nil && len(c.Args) == 1 && v.isFilter(t, c.Args[0].GetCaseWhen().Expr) &&
		parse.Equal(c.Defresult, makeBool(false))
}

// targetCondition judges one condition on a target. The reference of an
// equality may be to the value itself, where the match mode says so.
func (v *verifier) targetCondition(t *written, n *pg_query.Node, s *sight) {
	ref := resolve.EqualityReference(n)
	for i, c := range t.relation.Columns {
		if ref != nil && t.columns[i].treatment.Match == policy.MatchEquality && t.columns[i].treatment.Show == policy.ShowMasked &&
			isReference(ref, t.alias, c.Name) {
			v.operator(n.GetAExpr().Name)
			sides := []*pg_query.Node{n.GetAExpr().Lexpr, n.GetAExpr().Rexpr}
			v.each(slices.DeleteFunc(sides, func(side *pg_query.Node) bool { return side == ref }), s)
			return
		}
	}
	v.each([]*pg_query.Node{n}, s)
}
