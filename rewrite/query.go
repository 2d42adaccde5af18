package rewrite

import (
	"cmp"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// query resolves a query, decides every use of every column, and changes the
// tree accordingly.
func (c *planner) query(n *pg_query.Node) (Effect, error) {
	w := &work{node: n, views: map[*resolve.Ref]*view{}}
	for _, stage := range c.stages {
		if err := stage.do(c, w); err != nil {
			return 0, err
		}
	}
	c.changed = true
	return c.effect(w.query) | c.effects, nil
}

// work is a query on its way.
type work struct {
	node  *pg_query.Node
	query *resolve.Query
	views map[*resolve.Ref]*view
	flow  *flow // of sealed values; nil when there are none
}

// stage is one thing that is done to a query.
type stage struct {
	name string
	do   func(*planner, *work) error
}

// stages are what is done to a query, in this order. Those after the writes'
// decisions change the tree.
var stages = []stage{
	{"reserved", (*planner).reserved},
	{"resolve", (*planner).resolve},
	{"functions", (*planner).functions},
	{"look", (*planner).look},
	{"find aggregates", (*planner).findAggregates},
	{"uses", (*planner).uses},
	{"follow sealed", (*planner).followSealed},
	{"unfiltered", (*planner).unfiltered},
	{"subjects", (*planner).subjects},
	{"images", (*planner).images},
	{"may write", forTargets((*planner).mayWrite)},
	{"written columns", forTargets((*planner).writtenColumns)},
	{"values written", forTargets((*planner).valuesWritten)},
	{"preserves", forTargets((*planner).preserves)},
	{"mask target", forTargets((*planner).maskTarget)},
	{"drop refused", forTargets((*planner).dropRefused)},
	{"filter target", forTargets((*planner).filterTarget)},
	{"group", (*planner).group},
	{"with least", (*planner).withLeast},
	{"rows", (*planner).rows},
	{"replace", (*planner).replaceAll},
	{"pin", forQuery(pin)},
	{"qualify", forQuery(qualify)},
	{"narrow", (*planner).narrow},
	{"protect", forTargets((*planner).protect)},
	{"seal", (*planner).fillSealed},
}

// forTargets makes a stage of what is done to each target of a write.
func forTargets(do func(*planner, *resolve.Target, *view, *resolve.Query) error) func(*planner, *work) error {
	return func(c *planner, w *work) error {
		for _, t := range w.query.Targets {
			if err := do(c, t, w.views[t.Ref], w.query); err != nil {
				return err
			}
		}
		return nil
	}
}

// forQuery makes a stage of what is done to a resolved query as such.
func forQuery(do func(*resolve.Query)) func(*planner, *work) error {
	return func(_ *planner, w *work) error {
		do(w.query)
		return nil
	}
}

func (c *planner) resolve(w *work) (err error) {
	w.query, err = resolve.Resolve(c.input(), w.node)
	if err == nil {
		c.leaky = c.leaky || w.query.Leaky
	}
	return err
}

// look finds what the caller sees of every relation.
func (c *planner) look(w *work) error {
	for _, ref := range w.query.Refs {
		v, err := c.view(ref, w.query)
		if err != nil {
			return err
		}
		w.views[ref] = v
		c.hides = c.hides || !v.plain && !v.template.bare
	}
	return nil
}

func (c *planner) uses(w *work) error {
	for _, u := range w.query.Uses {
		if err := c.use(u, w.views[u.Ref]); err != nil {
			return err
		}
	}
	return nil
}

func (c *planner) replaceAll(w *work) error {
	for _, ref := range w.query.Refs {
		c.replace(ref, w.views[ref], w.query)
	}
	return nil
}

// reservedPrefix begins the names that generated parts of statements have.
const reservedPrefix = "pgveil_"

// reserved refuses names that the conditions of policies use, and those of
// columns that generated sub-selects hold for aggregates alone.
func (c *planner) reserved(w *work) error {
	var err error
	parse.Walk(w.node, func(m proto.Message) bool {
		name := ""
		switch v := m.(type) {
		case *pg_query.Alias:
			name = v.Aliasname
		case *pg_query.CommonTableExpr:
			name = v.Ctename
		case *pg_query.A_Const:
			return false
		case *pg_query.String:
			name = v.Sval
		}
		if strings.HasPrefix(name, reservedPrefix) {
			err = refuseUnsupported("take another name", "names that begin with pgveil_ are reserved")
		}
		return err == nil
	})
	return err
}

// input says what names are resolved against. A view stands for its query,
// unless the policy says what the view itself shows.
func (c *planner) input() resolve.Input {
	return resolve.Input{Catalog: c.engine.Catalog, Path: c.session.Path, Parameters: c.session.Parameters, Temporary: c.session.temporaryNamed, Expand: func(rel *catalog.Relation) bool {
		return rel.Governed() && !c.session.Access.Discloses(rel.Schema, rel.Name)
	}}
}

func (c *planner) effect(q *resolve.Query) (effect Effect) {
	for _, ref := range q.Refs {
		c.plan.Governed = c.plan.Governed || ref.Relation.Governed()
		if derives(ref.Relation) && ref.Relation.Governed() {
			effect |= Unfiltered
		}
	}
	for _, f := range q.Funcs {
		if slices.ContainsFunc(f.Found, func(f catalog.Func) bool { return !catalog.SystemSchema(f.Schema) }) {
			effect |= Unfiltered
		}
		if slices.ContainsFunc(f.Found, func(f catalog.Func) bool { return f.Schema == policy.OwnSchema }) {
			effect |= Reads // of the access log
		}
	}
	for _, u := range q.Uses {
		if u.Ref.Relation.Governed() && c.engine.class(u) != openClass {
			effect |= Reads
		}
	}
	if len(q.Targets) > 0 {
		effect |= Writes
	}
	return effect
}

// replace puts the sub-select in a relation's place.
func (c *planner) replace(ref *resolve.Ref, v *view, q *resolve.Query) {
	unqualify(ref, q)
	if v.target || v.plain || v.bare {
		standAs(ref)
		return
	}
	sel := &pg_query.SelectStmt{
		TargetList:  c.targetList(ref, v),
		FromClause:  []*pg_query.Node{relationInside(ref)},
		LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT,
		Op:          pg_query.SetOperation_SETOP_NONE,
	}
	if v.where != nil {
		sel.WhereClause = c.slot(v, ref.Relation, filterSlot, inner)
	}
	for _, m := range v.matches {
		sel.WhereClause = and(sel.WhereClause, v.moveInside(m))
	}
	v.sub = sel
	if v.fenced {
		sel.LimitOffset = pg_query.MakeAConstIntNode(0, -1)
		sel.LimitOption = pg_query.LimitOption_LIMIT_OPTION_COUNT
	}
	alias := &pg_query.Alias{Aliasname: ref.Alias, Colnames: ref.Var.GetAlias().GetColnames()}
	ref.Item.Node = &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{
		Subquery: &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel}},
		Alias:    alias,
	}}
}

// unqualify takes the schema out of references to a relation: what stands there
// is known by its alias.
func unqualify(ref *resolve.Ref, q *resolve.Query) {
	for _, qual := range q.Qualified {
		if qual.Ref == ref {
			fields := qual.Node.Fields
			qual.Node.Fields = []*pg_query.Node{pg_query.MakeStrNode(ref.Alias), fields[len(fields)-1]}
		}
	}
}

// targetList gives the columns that the statement needs, in the relation's
// order: all that are shown where a whole row or * is meant.
func (c *planner) targetList(ref *resolve.Ref, v *view) []*pg_query.Node {
	var list []*pg_query.Node
	for i, col := range v.columns {
		if !col.treatment.Visible() || !(ref.Whole || ref.Positional || ref.Used[i]) {
			continue
		}
		name := ref.Relation.Columns[i].Name
		val := reference(inner, name)
		if col.mask != nil {
			val = c.slot(v, ref.Relation, i, inner)
		}
		list = append(list, pg_query.MakeResTargetNodeWithNameAndVal(name, val, -1))
	}
	for _, name := range v.system {
		list = append(list, pg_query.MakeResTargetNodeWithNameAndVal(name, reference(inner, name), -1))
	}
	return append(list, v.extra...)
}

// relationInside gives the FROM item of the sub-select: the relation, under
// the name that the template's expressions use, sampled as the client asked.
func relationInside(ref *resolve.Ref) *pg_query.Node {
	rv := &pg_query.RangeVar{
		Schemaname:     ref.Relation.Schema,
		Relname:        ref.Relation.Name,
		Inh:            ref.Var.Inh,
		Relpersistence: ref.Var.Relpersistence,
		Alias:          &pg_query.Alias{Aliasname: inner},
	}
	n := &pg_query.Node{Node: &pg_query.Node_RangeVar{RangeVar: rv}}
	if ts := ref.Item.GetRangeTableSample(); ts != nil {
		return &pg_query.Node{Node: &pg_query.Node_RangeTableSample{RangeTableSample: &pg_query.RangeTableSample{
			Relation: n, Method: ts.Method, Args: ts.Args, Repeatable: ts.Repeatable,
		}}}
	}
	return n
}

// innerRelation gives the relation that a generated sub-select reads.
func innerRelation(sel *pg_query.SelectStmt) *pg_query.RangeVar {
	if ts := sel.FromClause[0].GetRangeTableSample(); ts != nil {
		return ts.Relation.GetRangeVar()
	}
	return sel.FromClause[0].GetRangeVar()
}

// moveInside takes an equality out of the outer condition and gives it as one
// on the value itself. Where an outer join may put NULLs in place of the row,
// the outer condition still asks for a row: a mask is NULL only where its value
// is.
func (v *view) moveInside(u resolve.Use) *pg_query.Node {
	m := u.Match
	moved := &pg_query.Node{Node: m.Conjunct.Node}
	outer := makeBool(true)
	if m.Nullable {
		outer = &pg_query.Node{Node: &pg_query.Node_NullTest{NullTest: &pg_query.NullTest{
			Arg:          &pg_query.Node{Node: m.Reference.Node},
			Nulltesttype: pg_query.NullTestType_IS_NOT_NULL,
		}}}
	}
	m.Conjunct.Node = outer.Node
	setColumnRef(m.Reference, inner, u.Ref.Relation.Columns[u.Column].Name)
	return moved
}

// narrow repeats inside fences the conditions from outside that may run there,
// so that indexes still serve.
func (c *planner) narrow(w *work) error {
	for _, ref := range w.query.Refs {
		if v := w.views[ref]; v.sub != nil && v.fenced && !ref.Nullable() {
			v.narrow(ref, w.query, c.engine.seals)
		}
	}
	return nil
}

// narrow repeats inside a fence what is harmless: conditions on clear columns of
// the relation alone.
func (v *view) narrow(ref *resolve.Ref, q *resolve.Query, seals *sealing) {
	for _, c := range q.Conjuncts {
		if c.Leaky || !c.Local || len(c.Uses) == 0 || resolve.HoldsSubLink(c.Node) {
			continue
		}
		mine := !slices.ContainsFunc(c.Uses, func(i int) bool {
			u := q.Uses[i]
			return u.Ref != ref || u.Node == nil || v.columns[u.Column].treatment.Show != policy.ShowClear || seals.holds(u)
		})
		if mine {
			v.sub.WhereClause = and(v.sub.WhereClause, inside(c, ref, q))
		}
	}
}

// inside gives a copy of a condition as one on the relation itself.
func inside(c resolve.Conjunct, ref *resolve.Ref, q *resolve.Query) *pg_query.Node {
	outside := make([]*pg_query.Node, len(c.Uses))
	for i, use := range c.Uses {
		u := q.Uses[use]
		outside[i] = &pg_query.Node{Node: u.Node.Node}
		setColumnRef(u.Node, inner, ref.Relation.Columns[u.Column].Name)
	}
	n := proto.Clone(c.Node).(*pg_query.Node)
	for i, use := range c.Uses {
		q.Uses[use].Node.Node = outside[i].Node
	}
	return n
}

// and puts two conditions together, flat to the left as the parser does.
func and(a, b *pg_query.Node) *pg_query.Node {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	args := []*pg_query.Node{a}
	if e := a.GetBoolExpr(); e.GetBoolop() == pg_query.BoolExprType_AND_EXPR {
		args = slices.Clone(e.Args)
	}
	return pg_query.MakeBoolExprNode(pg_query.BoolExprType_AND_EXPR, append(args, b), -1)
}

func makeBool(v bool) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{
		Val: &pg_query.A_Const_Boolval{Boolval: &pg_query.Boolean{Boolval: v}},
	}}}
}

// pin gives every column what it belongs to, so that the server's rules of scope
// cannot find something else under the name.
func pin(q *resolve.Query) {
	for _, qual := range q.Qualified {
		if qual.Ref == nil {
			fields := qual.Node.Fields
			qual.Node.Fields = []*pg_query.Node{pg_query.MakeStrNode(qual.Owner), fields[len(fields)-1]}
		}
	}
	for _, b := range q.Bare {
		b.Node.Fields = []*pg_query.Node{pg_query.MakeStrNode(b.Owner), b.Node.Fields[0]}
	}
}

// qualify gives every function and type its schema, so that the server's search
// path cannot find something else under the name.
func qualify(q *resolve.Query) {
	for _, f := range q.Funcs {
		if len(f.Found) == 0 || len(f.Call.Funcname) != 1 || resolve.SeveralUnnested(f.Call) {
			continue
		}
		schema := f.Found[0].Schema
		if slices.ContainsFunc(f.Found, func(o catalog.Func) bool { return o.Schema != schema }) {
			continue // overloads in several schemas, every one of them allowed: the server picks by type
		}
		f.Call.Funcname = []*pg_query.Node{pg_query.MakeStrNode(schema), f.Call.Funcname[0]}
	}
	for _, t := range q.Types {
		if len(t.Type.Names) == 1 && t.Schema != "" && !onlyBare(t.Schema, t.Type.Names[0].GetString_().GetSval()) {
			t.Type.Names = []*pg_query.Node{pg_query.MakeStrNode(t.Schema), t.Type.Names[0]}
		}
	}
}

// serials are what columns can be declared as, though no types.
var serials = []string{"serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"}

// onlyBare tells whether a type has no name with a schema that the grammar
// gives back as it is: pg_catalog.bpchar is written as char, which is char(1).
func onlyBare(schema, name string) bool {
	return schema == "pg_catalog" && name == "bpchar" || schema == "" && slices.Contains(serials, name)
}
