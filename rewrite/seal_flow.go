package rewrite

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// flow follows sealed values through one query. The first thing that cannot be
// done to ciphertext ends it.
type flow struct {
	*planner
	query   *resolve.Query
	find    map[*pg_query.Node]bool // references in conditions that may look at a masked column's value
	lone    bool                    // what is written now goes into one row
	row     *Row                    // that what is written now goes into; nil: the statement does not show which
	byKey   bool                    // ON CONFLICT meets the row of the key that is inserted
	again   bool                    // what is followed is what will be sent
	seen    map[*pg_query.Node]bool // references that something was decided of
	met     map[*resolve.Target]bool
	holes   []*sealAt
	turned  []turn
	node    *pg_query.Node   // that is being judged
	blinded []*pg_query.Node // references that are to mean the column by which values are found
	err     error
}

// value is an expression that holds sealed values as they are stored.
type value struct {
	from []*sealedColumn // it is from one of them; all are sealed alike
	show policy.Treatment
}

func (v *value) name() string { return v.from[0].Column }

// as is how the value is sealed.
func (v *value) as() *policy.Sealed { return v.from[0].Sealed }

// sealAt is a constant or parameter whose value is to be sealed.
type sealAt struct {
	node *pg_query.Node // A_Const or ParamRef, perhaps in a cast to what the values are
	as   *policy.Sealed
	find bool // it is compared, and not stored
	list bool // it is an array of values

	forms bool // it is looked for in every form that it may have
	row   *Row // that it is bound to; nil: none
}

// follow follows sealed values through a query, which a statement consists of or
// runs, and changes nothing; fill does, once all else is done.
func (c *planner) follow(query *pg_query.Node, q *resolve.Query, step int) (*flow, error) {
	f := c.newFlow(q)
	for _, ref := range q.Refs {
		if err := c.engine.seals.broken[ref.Relation]; err != nil {
			return nil, refuseUnsupported("use the tables that it is made from", "the view %s cannot be used: %v", ref.Relation.QualifiedName(), err)
		}
	}
	f.statement(query)
	f.everything()
	outputs := f.opened()
	if f.err != nil {
		return nil, f.err
	}
	c.plan.seals().outputs(step, outputs)
	return f, nil
}

// followSealed is the stage that looks at a query of a restricted caller's.
func (c *planner) followSealed(w *work) (err error) {
	if c.engine.seals != nil && c.engine.seals.touches(w.query) {
		w.flow, err = c.follow(w.node, w.query, len(c.plan.Steps))
	}
	return err
}

// fillSealed is the stage that puts marks in the place of values to be sealed.
func (c *planner) fillSealed(w *work) error {
	if w.flow == nil {
		return nil
	}
	return w.flow.fill(w.node)
}

// everything makes sure that nothing was passed over: a constant beside a sealed
// value that was would be sent as it is.
func (f *flow) everything() {
	for n := range f.query.Carries {
		if v := f.of(n); v != nil && !f.seen[n] {
			f.refuse(v, "used so")
		}
	}
	for _, t := range f.query.Targets {
		if !f.met[t] && f.engine.seals.columns[t.Ref.Relation] != nil && f.err == nil {
			f.err = fmt.Errorf("seal: internal error: a write of %s was not followed", t.Ref.Relation.QualifiedName())
		}
	}
}

func (c *planner) newFlow(q *resolve.Query) *flow {
	f := &flow{planner: c, query: q, find: map[*pg_query.Node]bool{}, seen: map[*pg_query.Node]bool{}, met: map[*resolve.Target]bool{}}
	for _, u := range q.Uses {
		f.find[u.Node] = f.find[u.Node] || u.As == resolve.UseEquality
	}
	return f
}

// seals gives the plan's, made when there are none.
func (p *Plan) seals() *Seals {
	if p.Seals == nil {
		p.Seals = &Seals{marked: map[string]hole{}}
	}
	return p.Seals
}

func (s *Seals) outputs(step int, o []Opened) {
	if len(o) == 0 {
		return
	}
	for len(s.Outputs) <= step {
		s.Outputs = append(s.Outputs, nil)
	}
	s.Outputs[step] = o
}

// opened gives the columns of a statement's rows that hold sealed values.
func (f *flow) opened() (opened []Opened) {
	for i, c := range f.query.Returns {
		v := f.carried(c)
		if v != nil && f.keeps && f.err == nil {
			f.err = refuseUnsupported("make the table first, with columns of the same class", "a new table cannot take the sealed values of %s", v.name())
		}
		if v == nil || f.unsent {
			continue
		}
		o := Opened{Column: i, Show: v.show}
		for _, c := range v.from {
			o.As = append(o.As, c.Sealed)
		}
		opened = append(opened, o)
	}
	return opened
}

func (f *flow) refuse(v *value, how string) {
	if f.err == nil {
		f.err = refuseUnsupported("read it and do that in the application", "%s is sealed: it cannot be %s", v.name(), how)
	}
}

// carried gives what is sealed of a value; nil when nothing is. Values that are
// sealed differently cannot be one.
func (f *flow) carried(c resolve.Carried) *value {
	v := &value{}
	mixed := c.Made && !c.Row
	for _, b := range c.From {
		of := f.engine.seals.of(b)
		if of == nil {
			mixed = true
			continue
		}
		f.throughView(b, of)
		show, visible := f.shows(b, of)
		if !visible {
			continue // NULL stands there
		}
		if len(v.from) > 0 && !c.Row && (!alikeSealed(v.from[0].Sealed, of.Sealed) || v.show.Show != show.Show || v.show.Mask != show.Mask) {
			f.refuse(v, "one column with "+of.Column+", which is sealed or shown differently")
		}
		v.show = show
		if !slices.Contains(v.from, of) {
			v.from = append(v.from, of)
		}
	}
	switch {
	case len(v.from) == 0:
		return nil
	case c.Row:
		f.refuse(v, "part of a row that is one value: name the columns")
	case mixed:
		f.refuse(v, "one column with values that are not sealed")
	}
	return v
}

// alikeSealed tells whether values of two columns are opened into the same type.
func alikeSealed(a, b *policy.Sealed) bool {
	return a.Mode == b.Mode && a.Values == b.Values && a.Stored == b.Stored && a.Shred == b.Shred && a.Format == b.Format && a.Row == b.Row && slices.EqualFunc(a.RowKey, b.RowKey, func(a, b policy.KeyColumn) bool { return a.Type == b.Type })
}

// shows tells how the caller sees a column, and whether at all.
func (f *flow) shows(b resolve.Base, of *sealedColumn) (policy.Treatment, bool) {
	clear := policy.Treatment{Show: policy.ShowClear, Class: of.Class}
	a := f.session.Access
	if a.Unrestricted || a.Observe {
		return clear, true
	}
	t, err := f.engine.template(a, b.Ref.Relation)
	if err != nil {
		f.err = err
		return clear, true
	}
	treatment := t.columns[b.Column].treatment
	return treatment, treatment.Visible()
}

// of gives what is sealed of an expression as it is; nil when nothing is, or
// when it is computed, which whoever goes below it finds.
func (f *flow) of(n *pg_query.Node) *value {
	if c, ok := f.query.Carries[n]; ok {
		return f.carried(c)
	}
	switch v := n.GetNode().(type) {
	case *pg_query.Node_SubLink:
		gives := f.query.Gives[v.SubLink.Subselect.GetSelectStmt()]
		if v.SubLink.SubLinkType == pg_query.SubLinkType_EXPR_SUBLINK && len(gives) == 1 {
			return f.carried(gives[0])
		}
	case *pg_query.Node_CoalesceExpr, *pg_query.Node_CaseExpr:
		return f.oneOf(resolve.Alternatives(n))
	}
	return nil
}

// oneOf gives what is sealed of a value that is one of several; nil when nothing
// is.
func (f *flow) oneOf(list []*pg_query.Node) (v *value) {
	for _, n := range list {
		one := f.of(n)
		switch {
		case one == nil:
		case v == nil:
			v = one
		case !alikeSealed(v.as(), one.as()) || v.as().Domain != one.as().Domain || v.show.Show != one.show.Show || v.show.Mask != one.show.Mask:
			f.refuse(v, "one value with "+one.name()+", which is sealed or shown differently")
		}
	}
	return v
}

// walk follows everything below a message, but not the message itself.
func (f *flow) walk(messages ...proto.Message) {
	for _, m := range messages {
		parse.Walk(m, func(n proto.Message) bool {
			if node, ok := n.(*pg_query.Node); ok {
				f.node = node
			}
			return f.err == nil && (n == m || f.judge(n))
		})
	}
}

func (f *flow) each(list []*pg_query.Node) {
	for _, n := range list {
		f.expr(n)
	}
}

// expr follows an expression that stands where nothing is known to be done to
// ciphertext rightly.
func (f *flow) expr(n *pg_query.Node) {
	if n == nil || f.err != nil || f.withKey(n) {
		return
	}
	if v := f.of(n); v != nil {
		f.refuse(v, "computed with, or compared so")
		return
	}
	f.walk(n)
}

// as follows an expression whose value is handed on as it is.
func (f *flow) as(n *pg_query.Node) *value {
	v := f.of(n)
	f.seen[n] = true
	switch {
	case v == nil:
		f.expr(n)
	case n.GetSubLink() != nil:
		f.statement(n.GetSubLink().Subselect)
	case n.GetCaseExpr() != nil || n.GetCoalesceExpr() != nil:
		f.alternatives(n, v)
	}
	return v
}

// alternatives follows COALESCE or CASE of which some values are sealed: so are the
// constants beside them.
func (f *flow) alternatives(n *pg_query.Node, v *value) {
	f.walkIf(n.GetCaseExpr().GetArg())
	for _, when := range n.GetCaseExpr().GetArgs() {
		f.walkIf(when.GetCaseWhen().GetExpr())
	}
	for _, one := range resolve.Alternatives(n) {
		switch {
		case f.err != nil || one.GetAConst().GetIsnull():
		case f.of(one) != nil:
			f.as(one)
		case resolve.IsConstant(one) && one.GetAArrayExpr() == nil && !v.as().Shred && !v.as().Row:
			f.hole(one, v.as(), false)
		default:
			f.refuse(v, "one value with what the server computes")
		}
	}
}

// judge judges one message, and tells whether to go on below it.
func (f *flow) judge(m proto.Message) bool {
	switch n := m.(type) {
	case *pg_query.Node:
		if f.withKey(n) {
			return false
		}
		if v := f.of(n); v != nil {
			f.refuse(v, "computed with, or compared so")
			return false
		}
	case *pg_query.SelectStmt:
		f.selects(n)
		return false
	case *pg_query.InsertStmt, *pg_query.UpdateStmt, *pg_query.DeleteStmt, *pg_query.MergeStmt:
		f.err = fmt.Errorf("seal: internal error: %T inside an expression", n)
		return false
	case *pg_query.NullTest:
		f.as(n.Arg)
		return false
	case *pg_query.A_Expr:
		return !f.comparison(n)
	case *pg_query.FuncCall:
		return !f.count(n)
	case *pg_query.SubLink:
		return !f.subLink(n)
	case *pg_query.WindowDef:
		f.window(n)
		return false
	}
	return true
}

// count follows count(column), which looks at whether there is a value.
func (f *flow) count(n *pg_query.FuncCall) (done bool) {
	name := n.Funcname[len(n.Funcname)-1].GetString_().GetSval()
	if name != "count" || len(n.Funcname) > 1 && n.Funcname[0].GetString_().GetSval() != "pg_catalog" || len(n.Args) != 1 || len(n.AggOrder) > 0 || f.of(n.Args[0]) == nil {
		return false
	}
	v := f.as(n.Args[0])
	if n.AggDistinct {
		f.equal(v)
	}
	f.walkIf(n.AggFilter)
	if n.Over != nil {
		f.window(n.Over)
	}
	return true
}

func (f *flow) walkIf(n *pg_query.Node) {
	if n != nil {
		f.expr(n)
	}
}

// equal demands that equal values can be told: grouping and joining show which
// are, so nobody who sees another form may do it.
func (f *flow) equal(v *value) {
	switch {
	case v == nil:
	case v.as().Mode != policy.SealDeterministic:
		f.refuse(v, "compared: its values are randomized")
	case v.show.Show != policy.ShowClear:
		f.refuse(v, "grouped or joined by where it is shown masked")
	case slices.ContainsFunc(v.from, func(c *sealedColumn) bool { return c.Domain != v.as().Domain }):
		f.refuse(v, "compared where it is one column with another that is sealed differently")
	}
}

// subLink follows IN (SELECT …) and kin.
func (f *flow) subLink(n *pg_query.SubLink) (done bool) {
	sel := n.Subselect.GetSelectStmt()
	gives := f.query.Gives[sel]
	sealed := slices.ContainsFunc(gives, func(c resolve.Carried) bool { return f.carried(c) != nil })
	left := f.of(n.Testexpr)
	switch {
	case n.SubLinkType == pg_query.SubLinkType_EXISTS_SUBLINK || !sealed && left == nil:
		return false
	case n.SubLinkType != pg_query.SubLinkType_ANY_SUBLINK || len(gives) != 1 || left == nil || len(n.OperName) > 1 ||
		len(n.OperName) == 1 && n.OperName[0].GetString_().GetSval() != "=":
		v := left
		for i := 0; v == nil; i++ {
			v = f.carried(gives[i])
		}
		f.refuse(v, "compared so with a query's rows")
	default:
		f.as(n.Testexpr)
		f.alike(left, f.carried(gives[0]))
		f.selects(sel)
	}
	return true
}

// alike demands that two sealed values can be compared with each other.
func (f *flow) alike(a, b *value) {
	f.equal(a)
	f.equal(b)
	switch {
	case f.err != nil:
	case a == nil || b == nil:
		f.refuse(orOther(a, b), "compared with what is not sealed")
	case a.as().Domain != b.as().Domain || !alikeSealed(a.as(), b.as()):
		f.refuse(a, "compared with "+b.name()+", which is sealed differently: joins: true in their class lets them")
	}
}

func orOther(a, b *value) *value {
	if a != nil {
		return a
	}
	return b
}

// statement follows a query of any kind.
func (f *flow) statement(n *pg_query.Node) {
	if f.err != nil {
		return
	}
	switch v := n.GetNode().(type) {
	case *pg_query.Node_SelectStmt:
		f.selects(v.SelectStmt)
	case *pg_query.Node_InsertStmt:
		f.insert(n, v.InsertStmt)
	case *pg_query.Node_UpdateStmt:
		f.update(n, v.UpdateStmt)
	case *pg_query.Node_DeleteStmt:
		f.target(n)
		f.with(v.DeleteStmt.WithClause)
		f.from(v.DeleteStmt.UsingClause)
		f.walkIf(v.DeleteStmt.WhereClause)
		f.outputs(v.DeleteStmt.ReturningList)
	case *pg_query.Node_MergeStmt:
		f.merge(n, v.MergeStmt)
	default:
		f.err = fmt.Errorf("seal: internal error: %T as a query", v)
	}
	for _, m := range f.query.Merges {
		if l, r := f.carried(m.Left), f.carried(m.Right); l != nil || r != nil {
			f.alike(l, r)
		}
	}
}

func (f *flow) with(w *pg_query.WithClause) {
	for _, n := range w.GetCtes() {
		cte := n.GetCommonTableExpr()
		f.statement(cte.Ctequery)
		if cte.SearchClause == nil && cte.CycleClause == nil {
			continue
		}
		for _, c := range f.query.Gives[cte.Ctequery.GetSelectStmt()] {
			if v := f.carried(c); v != nil {
				f.refuse(v, "in what SEARCH or CYCLE keeps: rows that are values")
			}
		}
	}
}

func (f *flow) from(clause []*pg_query.Node) {
	for _, n := range clause {
		f.walk(n)
	}
}

// outputs follows a list of outputs: each may be a sealed value as it is.
func (f *flow) outputs(list []*pg_query.Node) {
	for _, n := range list {
		if val := n.GetResTarget().GetVal(); val != nil {
			f.as(val)
		}
	}
}

// selects follows a SELECT.
func (f *flow) selects(sel *pg_query.SelectStmt) {
	if f.err != nil || sel == nil {
		return
	}
	f.with(sel.WithClause)
	if sel.Op != pg_query.SetOperation_SETOP_NONE {
		f.selects(sel.Larg)
		f.selects(sel.Rarg)
	}
	f.from(sel.FromClause)
	f.walkIf(sel.WhereClause)
	f.outputs(sel.TargetList)
	f.keys(sel.GroupClause)
	f.walkIf(sel.HavingClause)
	for _, w := range sel.WindowClause {
		f.window(w.GetWindowDef())
	}
	f.each(sel.ValuesLists)
	f.sorts(sel.SortClause)
	f.walkIf(sel.LimitCount)
	f.walkIf(sel.LimitOffset)
	f.distinct(sel)
	for _, c := range f.query.Gives[sel] {
		f.carried(c) // refuses what cannot be one column
	}
}

// distinct follows what tells rows apart by their values.
func (f *flow) distinct(sel *pg_query.SelectStmt) {
	plain := len(sel.DistinctClause) > 0 && sel.DistinctClause[0].GetNode() == nil
	all := sel.Op == pg_query.SetOperation_SETOP_UNION && sel.All
	if plain || sel.Op != pg_query.SetOperation_SETOP_NONE && !all {
		for _, c := range f.query.Gives[sel] {
			f.equal(f.carried(c))
		}
	}
	if !plain {
		f.keys(sel.DistinctClause)
	}
	if sel.Op == pg_query.SetOperation_SETOP_NONE {
		return
	}
	left, right := f.query.Gives[sel.Larg], f.query.Gives[sel.Rarg]
	for i := range min(len(left), len(right)) {
		if l, r := f.carried(left[i]), f.carried(right[i]); !all && l != nil && r != nil {
			f.alike(l, r)
		}
	}
}

// keys follows what rows are grouped by.
func (f *flow) keys(list []*pg_query.Node) {
	for _, n := range list {
		if set := n.GetGroupingSet(); set != nil {
			f.keys(set.Content)
			continue
		}
		f.equal(f.as(n))
	}
}

func (f *flow) sorts(list []*pg_query.Node) {
	for _, n := range list {
		if v := f.of(n.GetSortBy().GetNode()); v != nil {
			f.refuse(v, "sorted by: ciphertext has no order")
			return
		}
		f.walk(n)
	}
}

func (f *flow) window(w *pg_query.WindowDef) {
	f.keys(w.GetPartitionClause())
	f.sorts(w.GetOrderClause())
	f.walkIf(w.GetStartOffset())
	f.walkIf(w.GetEndOffset())
}
