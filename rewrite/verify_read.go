package rewrite

import (
	"maps"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// selectStmt judges a SELECT: a generated one by its template, any other part
// by part.
func (v *verifier) selectStmt(sel *pg_query.SelectStmt, s *sight) {
	if rv := generatedOver(sel); rv != nil {
		v.generated(sel, rv, s)
		return
	}
	s = v.withCTEs(sel.WithClause, s)
	if sel.Larg != nil {
		v.selectStmt(sel.Larg, s)
		v.selectStmt(sel.Rarg, s)
	}
	outer := s
	s = v.below(sel, outer)
	from := *s
	from.merged, from.natural = outer.merged, outer.natural // what is merged here is not seen by what is joined
	v.each(sel.FromClause, &from)
	keys := slices.Concat(sel.GroupClause, sel.DistinctClause)
	for _, n := range sel.SortClause {
		v.operator(n.GetSortBy().GetUseOp())
		keys = append(keys, n.GetSortBy().GetNode())
	}
	v.each(slices.DeleteFunc(keys, func(n *pg_query.Node) bool { return isOutputName(n, sel) }), s)
	v.each(slices.Concat(sel.TargetList, sel.ValuesLists, sel.WindowClause), s)
	v.each([]*pg_query.Node{sel.WhereClause, sel.HavingClause, sel.LimitOffset, sel.LimitCount}, s)
	if sel.IntoClause != nil {
		v.wrong("SELECT INTO")
	}
}

// below gives what is in sight inside a SELECT: its FROM items hide targets of
// the same names, and relations that stand as they are become targets that are
// not written.
func (v *verifier) below(sel *pg_query.SelectStmt, s *sight) *sight {
	in := *s
	in.stars = true
	in.targets, in.merged, in.settings = maps.Clone(s.targets), maps.Clone(s.merged), maps.Clone(s.settings)
	in.group = v.groupOf(sel)
	for _, n := range sel.FromClause {
		v.from(n, &in)
	}
	return &in
}

// from adds a FROM item to what is in sight.
func (v *verifier) from(n *pg_query.Node, s *sight) {
	alias := ""
	switch f := n.GetNode().(type) {
	case *pg_query.Node_RangeVar:
		if rel, t := v.templateOf(f.RangeVar); t != nil && rel.Governed() {
			s.target(&written{template: t, relation: rel, alias: aliasOf(f.RangeVar)})
			s.stars = false
			return
		}
		if alias = aliasOf(f.RangeVar); f.RangeVar.Schemaname == "pg_catalog" && f.RangeVar.Relname == "pg_settings" && len(f.RangeVar.GetAlias().GetColnames()) == 0 {
			s.listSettings(alias)
			return
		}
	case *pg_query.Node_RangeSubselect:
		alias = f.RangeSubselect.GetAlias().GetAliasname()
	case *pg_query.Node_RangeFunction:
		alias = f.RangeFunction.GetAlias().GetAliasname()
	case *pg_query.Node_RangeTableFunc:
		alias = f.RangeTableFunc.GetAlias().GetAliasname()
	case *pg_query.Node_JsonTable:
		alias = f.JsonTable.GetAlias().GetAliasname()
	case *pg_query.Node_RangeTableSample:
		v.from(f.RangeTableSample.Relation, s)
	case *pg_query.Node_JoinExpr:
		v.from(f.JoinExpr.Larg, s)
		v.from(f.JoinExpr.Rarg, s)
		if alias = f.JoinExpr.GetAlias().GetAliasname(); alias != "" && v.holdsBare(n) {
			v.wrong("the join %q covers a relation that stands as it is", alias)
		}
		s.natural = s.natural || f.JoinExpr.IsNatural
		for _, name := range f.JoinExpr.UsingClause {
			s.merge(name.GetString_().GetSval())
		}
	}
	delete(s.targets, alias)
	delete(s.settings, alias)
}

// holdsBare tells whether a governed relation stands as it is in a join.
func (v *verifier) holdsBare(n *pg_query.Node) bool {
	if j := n.GetJoinExpr(); j != nil {
		return v.holdsBare(j.Larg) || v.holdsBare(j.Rarg)
	}
	rv := n.GetRangeVar()
	if ts := n.GetRangeTableSample(); ts != nil {
		rv = ts.Relation.GetRangeVar()
	}
	rel, _ := v.templateOf(rv)
	return rel != nil && rel.Governed()
}

// target adds a relation that stands as it is to what is in sight.
func (s *sight) target(t *written) {
	if s.targets == nil {
		s.targets = map[string]*written{}
	}
	s.targets[t.alias] = t
}

// listSettings adds a name for pg_settings.
func (s *sight) listSettings(alias string) {
	if s.settings == nil {
		s.settings = map[string]bool{}
	}
	s.settings[alias] = true
	delete(s.targets, alias)
}

// merge adds a column that USING merged.
func (s *sight) merge(name string) {
	if s.merged == nil {
		s.merged = map[string]bool{}
	}
	s.merged[name] = true
}

func aliasOf(rv *pg_query.RangeVar) string {
	if rv.Alias != nil {
		return rv.Alias.Aliasname
	}
	return rv.Relname
}

// isOutputName tells whether a key of ORDER BY, GROUP BY or DISTINCT ON is the
// name of an output column, which the server prefers to any other meaning, or
// has none. What * brings is known to whoever left the name bare.
func isOutputName(n *pg_query.Node, sel *pg_query.SelectStmt) bool {
	fields := n.GetColumnRef().GetFields()
	if len(fields) != 1 {
		return n.GetNode() == nil
	}
	return slices.ContainsFunc(sel.TargetList, func(t *pg_query.Node) bool {
		rt := t.GetResTarget()
		return isStar(rt.GetVal()) || fields[0].GetString_().GetSval() == rt.Name || rt.Name == "" && resolve.OutputName(rt.Val) == fields[0].GetString_().GetSval()
	})
}

// generatedOver gives the relation that a generated sub-select reads; nil when
// the SELECT is none.
func generatedOver(sel *pg_query.SelectStmt) *pg_query.RangeVar {
	if len(sel.GetFromClause()) != 1 {
		return nil
	}
	if rv := innerRelation(sel); rv.GetAlias().GetAliasname() == inner {
		return rv
	}
	return nil
}

// generated judges a sub-select that stands in a relation's place.
func (v *verifier) generated(sel *pg_query.SelectStmt, rv *pg_query.RangeVar, s *sight) {
	rel, t := v.templateOf(rv)
	if t == nil {
		v.wrong("nothing is known of %s.%s", rv.Schemaname, rv.Relname)
		return
	}
	plain := &pg_query.SelectStmt{
		TargetList: sel.TargetList, FromClause: sel.FromClause, WhereClause: sel.WhereClause,
		LimitOffset: sel.LimitOffset, LimitOption: sel.LimitOption, Op: pg_query.SetOperation_SETOP_NONE,
	}
	if !parse.Equal(sel, plain) || !t.access.Ops.Has(policy.Select) {
		v.wrong("this is no sub-select over %s", rel.QualifiedName())
	}
	for _, n := range sel.TargetList {
		v.shownColumn(n.GetResTarget(), rel, t)
	}
	v.rows(sel.WhereClause, rel, t, s)
	if fence := sel.LimitOffset; fence == nil && t.where != nil && (v.leaky || t.joins) || fence != nil && !isZero(fence) {
		v.wrong("conditions could run before the one on rows of %s", rel.QualifiedName())
	}
	if ts := sel.FromClause[0].GetRangeTableSample(); ts != nil {
		v.each(slices.Concat(ts.Args, []*pg_query.Node{ts.Repeatable}), s)
	}
}

func isZero(n *pg_query.Node) bool {
	c := n.GetAConst()
	return c.GetIval() != nil && c.GetIval().Ival == 0
}

// templateOf gives the template of the relation that a name means, nil when it
// has none.
func (v *verifier) templateOf(rv *pg_query.RangeVar) (*catalog.Relation, *template) {
	if rv == nil {
		return nil, nil
	}
	if rv.Schemaname == temporarySchema {
		if rel := v.session.temporary(rv.Relname); rel != nil {
			return rel, temporaryTemplate(rel)
		}
	}
	rel, ok := v.engine.Catalog.Relation(nil, rv.Schemaname, rv.Relname)
	if !ok || rv.Schemaname == "" {
		return nil, nil
	}
	var t *template
	var err error
	if rel.Governed() {
		t, err = v.engine.template(v.session.Access, rel)
	} else {
		t, err = v.engine.systemTemplate(rel)
	}
	if err != nil {
		return rel, nil
	}
	return rel, t
}

// shownColumn judges one column of a generated sub-select: the mask of the
// column whose name it has, or that column where it is shown clear.
func (v *verifier) shownColumn(rt *pg_query.ResTarget, rel *catalog.Relation, t *template) {
	i := rel.ColumnIndex(rt.GetName())
	ref := rt.GetVal().GetColumnRef()
	at, isSlot := v.places[ref]
	if t.forAggregates(rt, rel) || isSlot && at.relation == rel && at.alias == inner && at.column <= subjectSlot && rt.Name == subject(subjectSlot-at.column) {
		return
	}
	switch {
	case isSlot:
		if i >= 0 && at.relation == rel && at.column == i && at.alias == inner {
			return
		}
	case i < 0:
		if slices.Contains(openSystemColumns, rt.GetName()) && isInner(rt.Val, rt.Name) {
			return
		}
	case shownClear(t.columns[i]) && isInner(rt.Val, rt.Name):
		return
	}
	v.wrong("%s.%s is shown otherwise than the policy says", rel.QualifiedName(), rt.GetName())
}

// rows judges the condition of a generated sub-select: the template's own, and
// beside it nothing but conditions on clear columns and equalities that a match
// mode admits.
func (v *verifier) rows(where *pg_query.Node, rel *catalog.Relation, t *template, s *sight) {
	filtered := t.where == nil
	for _, n := range resolve.Conjuncts(where) {
		if at, ok := v.places[n.GetColumnRef()]; ok && at.relation == rel && at.column == filterSlot && at.alias == inner {
			filtered = true
			continue
		}
		v.innerCondition(n, rel, t, s)
	}
	if !filtered {
		v.wrong("rows of %s are not filtered", rel.QualifiedName())
	}
}

func (v *verifier) innerCondition(n *pg_query.Node, rel *catalog.Relation, t *template, s *sight) {
	equality := resolve.EqualityReference(n).GetColumnRef()
	parse.Walk(n, func(m proto.Message) bool {
		switch m := m.(type) {
		case *pg_query.SubLink:
			v.wrong("a sub-select in a condition on %s", rel.QualifiedName())
		case *pg_query.FuncCall:
			v.function(m, s)
		case *pg_query.A_Expr:
			v.operator(m.Name)
		case *pg_query.TypeName:
			v.typeName(m)
		case *pg_query.ColumnRef:
			i := -1
			if len(m.Fields) == 2 && m.Fields[0].GetString_().GetSval() == inner {
				i = rel.ColumnIndex(m.Fields[1].GetString_().GetSval())
			}
			if i < 0 || !(shownClear(t.columns[i]) || m == equality && t.columns[i].treatment.Match == policy.MatchEquality) {
				v.wrong("a condition on what %s hides", rel.QualifiedName())
			}
		}
		return v.err == nil
	})
}

// forAggregates tells whether an output of a generated sub-select is a column
// that is left to aggregates, under the name that only those have.
func (t *template) forAggregates(rt *pg_query.ResTarget, rel *catalog.Relation) bool {
	for i, c := range t.columns {
		if rt.GetName() == aggregated(i) {
			return c.leftToAggregates() && isInner(rt.Val, rel.Columns[i].Name)
		}
	}
	return false
}

// groupOf gives the relation whose rows alone a query groups, each once; nil
// when it groups something else.
func (v *verifier) groupOf(sel *pg_query.SelectStmt) *written {
	if len(sel.FromClause) != 1 {
		return nil
	}
	sub := sel.FromClause[0].GetRangeSubselect()
	inside := sub.GetSubquery().GetSelectStmt()
	rv := generatedOver(inside)
	if rv == nil || inside.FromClause[0].GetRangeVar() == nil || v.givesSets(sel) {
		return nil
	}
	rel, t := v.templateOf(rv)
	if t == nil {
		return nil
	}
	return &written{template: t, relation: rel, alias: sub.GetAlias().GetAliasname()}
}

// givesSets tells whether a query's own level calls a function that gives
// several rows for one.
func (v *verifier) givesSets(sel *pg_query.SelectStmt) bool {
	found := false
	walkLevel(sel, func(n *pg_query.Node) {
		names := n.GetFuncCall().GetFuncname()
		if len(names) == 0 {
			return
		}
		schema := ""
		if len(names) > 1 {
			schema = names[0].GetString_().GetSval()
		}
		funcs := v.engine.Catalog.Funcs(v.session.Path, schema, names[len(names)-1].GetString_().GetSval())
		found = found || slices.ContainsFunc(funcs, func(f catalog.Func) bool { return f.ReturnsSet })
	})
	return found
}

// bigEnoughOnly tells whether an expression is CASE WHEN the group is big enough
// THEN an aggregate of a column that is left to those END.
func (v *verifier) bigEnoughOnly(c *pg_query.CaseExpr, s *sight) bool {
	call := c.Args[0].GetCaseWhen().GetResult().GetFuncCall()
	if s.group == nil || len(c.Args) != 1 || c.Arg != nil || c.Defresult != nil || len(call.GetArgs()) != 1 || len(call.Funcname) != 2 ||
		call.Funcname[0].GetString_().GetSval() != "pg_catalog" || !slices.Contains(openAggregates, call.Funcname[1].GetString_().GetSval()) {
		return false
	}
	plain := &pg_query.FuncCall{Funcname: call.Funcname, Args: call.Args, Funcformat: pg_query.CoercionForm_COERCE_EXPLICIT_CALL}
	for i, col := range s.group.columns {
		if col.leftToAggregates() && isReference(call.Args[0], s.group.alias, aggregated(i)) {
			least, err := s.group.bigEnough(s.group.alias, i)
			return err == nil && parse.Equal(call, plain) && parse.Equal(c.Args[0].GetCaseWhen().Expr, least)
		}
	}
	return false
}
