package rewrite

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// A column that the policy leaves to aggregates stands in the generated
// sub-select under a name that no client's text may hold, and only for the
// calls found here: sum(salary) is sent as
//
//	CASE WHEN count(DISTINCT t.pgveil_sub_0) FILTER (WHERE t.pgveil_agg_4 IS NOT NULL) >= 10
//	     THEN sum(t.pgveil_agg_4) END
//
// Only subjects with a value count, or the one bonus of a department would be
// its sum. A call counts every row once: its query has nothing in FROM but the
// relation, since a join could repeat one person's row up to the minimum, or
// give every row a weight of its own by which a sum can be taken apart.

// openAggregates tell of a group. What is not listed, as min or array_agg,
// gives the value of one row.
var openAggregates = []string{
	"avg", "count", "stddev", "stddev_pop", "stddev_samp", "sum", "var_pop", "var_samp", "variance",
}

// aggregate is a call of an aggregate on a column that is left to those.
type aggregate struct {
	call *pg_query.Node
	use  resolve.Use // of the column, its argument
}

// least is what a template needs for the least size of groups.
type least struct {
	keys    []*expression   // name a row's subjects; none where rows count
	columns map[string]bool // of the relation, that the keys look at
}

// subject and aggregated are the names of what a sub-select holds for the
// aggregates alone.
func subject(key int) string       { return fmt.Sprintf("pgveil_sub_%d", key) }
func aggregated(column int) string { return fmt.Sprintf("pgveil_agg_%d", column) }

// leastSize fills in what the aggregates of a relation need. Where nobody knows
// whose its rows are, its columns are refused.
func (e *Engine) leastSize(t *template, a *policy.Access, rel *catalog.Relation) error {
	t.least.columns = maps.Clone(e.leaning(a, rel))
	if !slices.ContainsFunc(t.columns, shown.leftToAggregates) {
		return nil
	}
	keys, ok := a.SubjectKeys(rel)
	for i := range t.columns {
		if c := &t.columns[i].treatment; !ok && c.Show == policy.ShowAggregate {
			c.Show, c.Because = policy.ShowRefuse, "the policy does not say whose data a row of "+rel.QualifiedName()+" is"
		}
	}
	if t.least.columns == nil {
		t.least.columns = map[string]bool{}
	}
	for _, k := range keys {
		node, err := canonical("SELECT " + k.SQL)
		if err != nil {
			return fmt.Errorf("subjects of %s: internal error: %w", rel.QualifiedName(), err)
		}
		x, err := newExpression(node.GetSelectStmt().TargetList[0].GetResTarget().Val)
		if err != nil {
			return fmt.Errorf("subjects of %s: internal error: %w", rel.QualifiedName(), err)
		}
		t.least.keys = append(t.least.keys, x)
		for _, name := range k.Columns {
			t.least.columns[name] = true
		}
	}
	return nil
}

// leaning gives the columns of a relation by which subjects are found of rows
// elsewhere that the access sees in aggregates only.
func (e *Engine) leaning(a *policy.Access, rel *catalog.Relation) map[string]bool {
	found, ok := e.between.Load(a.ID)
	if !ok {
		columns := map[*catalog.Relation]map[string]bool{}
		for _, other := range e.Catalog.Relations() {
			if !other.Governed() || !a.Relation(other).HasAggregates() {
				continue
			}
			keys, _ := a.SubjectKeys(other)
			for _, k := range keys {
				for _, between := range k.Through {
					for _, c := range between.Columns {
						if columns[between.Relation] == nil {
							columns[between.Relation] = map[string]bool{}
						}
						columns[between.Relation][c] = true
					}
				}
			}
		}
		found, _ = e.between.LoadOrStore(a.ID, columns)
	}
	return found.(map[*catalog.Relation]map[string]bool)[rel]
}

func (s shown) leftToAggregates() bool { return s.treatment.Show == policy.ShowAggregate }

// findAggregates finds the calls that may use columns left to aggregates.
func (c *planner) findAggregates(w *work) error {
	q := w.query
	for _, ref := range q.Refs {
		v := w.views[ref]
		if ref.Item == nil || v.plain || ref.Whole || ref.Positional || !slices.ContainsFunc(v.columns, shown.leftToAggregates) {
			continue
		}
		parse.Walk(w.node, func(m proto.Message) bool {
			sel, ok := m.(*pg_query.SelectStmt)
			if ok && len(sel.FromClause) == 1 && sel.FromClause[0] == ref.Item && ref.Item.GetRangeVar() != nil && !setReturning(sel, q) {
				v.findAggregates(sel, ref, q)
			}
			return true
		})
	}
	return nil
}

// findAggregates finds the calls of one level of a query, whose only relation
// is the view's. The column they are named by gets the name of the call.
func (v *view) findAggregates(sel *pg_query.SelectStmt, ref *resolve.Ref, q *resolve.Query) {
	walkLevel(sel, func(n *pg_query.Node) {
		arg := aggregateArgument(n, q)
		i := slices.IndexFunc(q.Uses, func(u resolve.Use) bool { return arg != nil && u.Node == arg })
		if i >= 0 && q.Uses[i].Ref == ref && v.columns[q.Uses[i].Column].leftToAggregates() {
			v.aggregates = append(v.aggregates, aggregate{n, q.Uses[i]})
		}
	})
	if len(v.aggregates) == 0 {
		return
	}
	for _, n := range sel.TargetList {
		if rt := n.GetResTarget(); rt.Name == "" && rt.Val.GetColumnRef() == nil {
			rt.Name = resolve.OutputName(rt.Val)
		}
	}
}

// walkLevel visits the expressions of a query that are computed from its
// groups, and what groups it, but not the queries inside them.
func walkLevel(sel *pg_query.SelectStmt, visit func(*pg_query.Node)) {
	lists := [][]*pg_query.Node{
		sel.TargetList, sel.GroupClause, {sel.HavingClause}, sel.WindowClause, sel.DistinctClause, sel.SortClause,
	}
	for _, n := range slices.Concat(lists...) {
		parse.Walk(n, func(m proto.Message) bool {
			if node, ok := m.(*pg_query.Node); ok {
				visit(node)
			}
			_, query := m.(*pg_query.SelectStmt)
			return !query
		})
	}
}

// setReturning tells whether a level calls a function that gives several rows
// for one: under GROUP BY those are there before the groups are.
func setReturning(sel *pg_query.SelectStmt, q *resolve.Query) bool {
	found := false
	walkLevel(sel, func(n *pg_query.Node) {
		call := n.GetFuncCall()
		found = found || call != nil && slices.ContainsFunc(q.Funcs, func(f resolve.Func) bool {
			return f.Call == call && slices.ContainsFunc(f.Found, func(f catalog.Func) bool { return f.ReturnsSet })
		})
	})
	return found
}

// aggregateArgument gives the column in a plain call of an open aggregate on a
// column; nil for anything else.
func aggregateArgument(n *pg_query.Node, q *resolve.Query) *pg_query.Node {
	call := n.GetFuncCall()
	plain := &pg_query.FuncCall{Funcname: call.GetFuncname(), Args: call.GetArgs(), Funcformat: pg_query.CoercionForm_COERCE_EXPLICIT_CALL}
	if call == nil || len(call.Args) != 1 || call.Args[0].GetColumnRef() == nil || !parse.Equal(call, plain) {
		return nil
	}
	i := slices.IndexFunc(q.Funcs, func(f resolve.Func) bool { return f.Call == call })
	if i < 0 || len(q.Funcs[i].Found) == 0 || !slices.Contains(openAggregates, q.Funcs[i].Name) {
		return nil
	}
	other := func(f catalog.Func) bool { return f.Schema != "pg_catalog" || f.Kind != 'a' }
	if slices.ContainsFunc(q.Funcs[i].Found, other) {
		return nil
	}
	return call.Args[0]
}

// useHidden decides one use of a column that rows do not show.
func (c *planner) useHidden(u resolve.Use, v *view, t policy.Treatment, name string) error {
	left := t.Show == policy.ShowAggregate
	switch {
	case left && u.Derived:
		return nil // what it derives from is a use of its own
	case left && u.Node != nil && slices.ContainsFunc(v.aggregates, func(a aggregate) bool { return a.use.Node == u.Node }):
		c.plan.Decision = Masked
		c.plan.addReason(t.Rule)
		c.plan.addColumn(ColumnUse{Name: name, Class: t.Class, Show: showName(t), Rule: t.Rule, Because: t.Because})
		return nil
	case u.As == resolve.UseStar && !u.Ref.Positional && !(v.target && u.Node == nil && !u.Derived):
		c.leaveOut(name, t)
		return nil
	case left:
		r := c.refuseColumn(name, "used", t)
		r.Message = fmt.Sprintf("column %s may be used in count, sum, avg, stddev and variance over groups of at least %d only", name, t.Min)
		r.Hint = "give the aggregate the column alone, without DISTINCT, FILTER or OVER, in a query of " +
			u.Ref.Relation.QualifiedName() + " alone: no join, whole row or set-returning function"
		return r
	default:
		return c.refuseColumn(name, "used", t)
	}
}

// leaveOut says that * or its like stands for one column less.
func (c *planner) leaveOut(name string, t policy.Treatment) {
	c.plan.Decision = Masked
	c.plan.addReason(name + " is left out: " + whyHidden(t))
}

func whyHidden(t policy.Treatment) string {
	if t.Show == policy.ShowAggregate {
		return "it is for aggregates over groups of at least " + fmt.Sprint(t.Min)
	}
	return t.Because
}

// withLeast puts the least size of a group around every aggregate found, and
// what they need into their relations' sub-selects. In groups that are smaller
// they are NULL. The server computes them all the same, so they must not fail.
func (c *planner) withLeast(w *work) error {
	for _, ref := range w.query.Refs {
		v := w.views[ref]
		for _, a := range v.aggregates {
			condition, err := v.bigEnough(ref.Alias, a.use.Column)
			if err != nil {
				return err
			}
			v.bring(aggregated(a.use.Column), reference(inner, ref.Relation.Columns[a.use.Column].Name))
			setColumnRef(a.use.Node, ref.Alias, aggregated(a.use.Column))
			a.call.Node = caseWhen(condition, &pg_query.Node{Node: a.call.Node}, nil).Node
		}
		if len(v.aggregates) == 0 {
			continue
		}
		for i := range v.least.keys {
			v.bring(subject(i), c.slot(v, ref.Relation, subjectSlot-i, inner))
		}
	}
	return nil
}

// bring adds an output of its own to the view's sub-select.
func (v *view) bring(name string, val *pg_query.Node) {
	there := slices.ContainsFunc(v.extra, func(n *pg_query.Node) bool { return n.GetResTarget().Name == name })
	if !there {
		v.extra = append(v.extra, pg_query.MakeResTargetNodeWithNameAndVal(name, val, -1))
	}
}

// bigEnough gives the condition that a group has the least number of subjects
// with a value: of every kind of subject, where there are several.
func (t *template) bigEnough(name string, column int) (*pg_query.Node, error) {
	alias := quoteIdent(name) + "."
	value, size := alias+aggregated(column), t.columns[column].treatment.Min
	counts := []string{fmt.Sprintf("pg_catalog.count(%s)", value)}
	if len(t.least.keys) > 0 {
		counts = nil
	}
	for i := range t.least.keys {
		counts = append(counts, fmt.Sprintf("pg_catalog.count(DISTINCT %s) FILTER (WHERE %s IS NOT NULL)", alias+subject(i), value))
	}
	for i := range counts {
		counts[i] += fmt.Sprintf(" OPERATOR(pg_catalog.>=) %d", size)
	}
	node, err := canonical("SELECT " + strings.Join(counts, " AND "))
	if err != nil {
		return nil, fmt.Errorf("size of groups: internal error: %w", err)
	}
	return node.GetSelectStmt().TargetList[0].GetResTarget().Val, nil
}

// keepsGroups refuses to write what would let rows of the caller's making, or
// one person's under several names, fill a group up: a new row that has a
// value by itself, what a value is generated from, the key of its subject.
func (v *view) keepsGroups(t *resolve.Target) error {
	rel := t.Ref.Relation
	for i, c := range v.columns {
		column := &rel.Columns[i]
		if c.leftToAggregates() && (column.Generated || column.HasDefault && slices.Contains(performed(t), inserts)) && t.Command != "DELETE" {
			return refuse("ask for a role that may see it", "%s on %s could make up a group of %s.%s, which you see in aggregates only",
				t.Command, rel.QualifiedName(), rel.QualifiedName(), column.Name)
		}
	}
	for _, n := range assignments(t) {
		if name := n.GetResTarget().Name; v.least.columns[name] {
			return refuse("leave it out of SET", "column %s.%s tells whose data a row is: with it groups of at least so many could be made up",
				rel.QualifiedName(), name)
		}
	}
	return nil
}

// leastOf decides a column that some roles leave to aggregates and the others
// refuse. Which of the rows a group is of cannot be told apart, so all must
// leave it to aggregates, and the largest minimum counts.
func leastOf(views []policy.View, i int) policy.Treatment {
	least := views[0].Columns[i]
	for _, v := range views[1:] {
		if t := v.Columns[i]; t.Show != policy.ShowAggregate || t.Min > least.Min {
			least = t
		}
		if least.Show != policy.ShowAggregate {
			break
		}
	}
	return least
}
