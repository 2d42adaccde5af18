package rewrite

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// filterTarget adds the conditions on which rows of its target a statement
// reaches.
func (c *planner) filterTarget(t *resolve.Target, v *view, q *resolve.Query) error {
	if currentOf(t.Stmt) != nil {
		if v.where != nil && c.inherits(t.Ref.Relation) {
			return refuseUnsupported("name the row by its key",
				"WHERE CURRENT OF is not open for %s, which is part of an inheritance tree and filtered for you", t.Ref.Relation.QualifiedName())
		}
		return nil // nothing can be added; the row is one that the cursor showed
	}
	switch s := t.Stmt.Node.(type) {
	case *pg_query.Node_UpdateStmt:
		s.UpdateStmt.WhereClause = and(c.filtered(s.UpdateStmt.WhereClause, t, v, q), c.unchanged(t, v))
	case *pg_query.Node_DeleteStmt:
		s.DeleteStmt.WhereClause = c.filtered(s.DeleteStmt.WhereClause, t, v, q)
	case *pg_query.Node_InsertStmt:
		oc := s.InsertStmt.OnConflictClause
		if oc.GetAction() == pg_query.OnConflictAction_ONCONFLICT_UPDATE {
			oc.WhereClause = and(c.filtered(oc.WhereClause, t, v, q), c.unchanged(t, v))
		}
	case *pg_query.Node_MergeStmt:
		return c.filterMerge(s.MergeStmt, t, v, q)
	default:
		return fmt.Errorf("write: internal error: %T", s)
	}
	return nil
}

// inherits tells whether a relation is a child or a parent of others.
func (c *planner) inherits(rel *catalog.Relation) bool {
	return len(rel.Parents) > 0 || slices.ContainsFunc(c.engine.Catalog.Relations(), func(other *catalog.Relation) bool {
		return slices.Contains(other.Parents, rel.OID)
	})
}

// filterMerge makes rows that the filter hides rows that are not there: they
// match nothing, and NOT MATCHED BY SOURCE passes over them.
func (c *planner) filterMerge(m *pg_query.MergeStmt, t *resolve.Target, v *view, q *resolve.Query) error {
	if v.where == nil {
		return nil
	}
	m.JoinCondition = c.filtered(m.JoinCondition, t, v, q)
	kinds := map[pg_query.MergeMatchKind]bool{}
	for _, n := range m.MergeWhenClauses {
		when := n.GetMergeWhenClause()
		kinds[when.MatchKind] = true
		if when.MatchKind == pg_query.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_SOURCE {
			when.Condition = c.filtered(when.Condition, t, v, q)
		}
	}
	if kinds[pg_query.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_SOURCE] && kinds[pg_query.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_TARGET] {
		return refuseUnsupported("send two statements",
			"MERGE with both kinds of NOT MATCHED over %s, whose rows are filtered for you,", t.Ref.Relation.QualifiedName())
	}
	return nil
}

// mayWrite checks the operations that the statement performs.
func (c *planner) mayWrite(t *resolve.Target, v *view, _ *resolve.Query) error {
	for _, need := range performed(t) {
		if !v.access.Ops.Has(need.op) {
			return refuseRelation(need.words, t.Ref.Relation.QualifiedName(), v.access.Because)
		}
	}
	reads := slices.Contains(t.Ref.Used, true)
	if reads && !v.access.Ops.Has(policy.Select) {
		return refuseRelation("read", t.Ref.Relation.QualifiedName(), v.access.Because)
	}
	return nil
}

// operation is something that a statement does to its target.
type operation struct {
	op    policy.Ops
	words string
}

var (
	inserts = operation{policy.Insert, "insert into"}
	updates = operation{policy.Update, "update"}
	deletes = operation{policy.Delete, "delete from"}
)

// performed gives the operations that a statement performs on its target.
func performed(t *resolve.Target) []operation {
	switch s := t.Stmt.Node.(type) {
	case *pg_query.Node_UpdateStmt:
		return []operation{updates}
	case *pg_query.Node_DeleteStmt:
		return []operation{deletes}
	case *pg_query.Node_InsertStmt:
		if s.InsertStmt.OnConflictClause.GetAction() == pg_query.OnConflictAction_ONCONFLICT_UPDATE {
			return []operation{inserts, updates}
		}
		return []operation{inserts}
	case *pg_query.Node_MergeStmt:
		var ops []operation
		for _, n := range s.MergeStmt.MergeWhenClauses {
			switch n.GetMergeWhenClause().CommandType {
			case pg_query.CmdType_CMD_NOTHING:
			case pg_query.CmdType_CMD_INSERT:
				ops = append(ops, inserts)
			case pg_query.CmdType_CMD_UPDATE:
				ops = append(ops, updates)
			case pg_query.CmdType_CMD_DELETE:
				ops = append(ops, deletes)
			default:
				ops = append(ops, inserts, updates, deletes)
			}
		}
		return ops
	default:
		return []operation{inserts, updates, deletes}
	}
}

// writtenColumns refuses writing columns that the caller may not even see in
// masked form, and moving rows across the row filter.
func (c *planner) writtenColumns(t *resolve.Target, v *view, _ *resolve.Query) error {
	if err := v.keepsGroups(t); err != nil {
		return err
	}
	columns := t.Columns
	if t.All {
		columns = nil
		for i, c := range t.Ref.Relation.Columns {
			if !c.Generated { // by the server, whatever is given
				columns = append(columns, i)
			}
		}
	}
	for _, i := range columns {
		name := t.Ref.Relation.QualifiedName() + "." + t.Ref.Relation.Columns[i].Name
		treatment := v.columns[i].treatment
		if !treatment.Visible() {
			return c.refuseColumn(name, "written", treatment)
		}
		if slices.Contains(t.Parts, i) && !shownClear(v.columns[i]) {
			return refuseUnsupported("give the whole new value", "a part of %s, which is masked for you, cannot be written", name)
		}
		if v.filter[i] && assigned(t, i) != nil && !keepable(t, i) {
			return refuse("leave it out of SET", "column %s decides which rows you see and may not be changed", name)
		}
		if isTemporary(t.Ref.Relation) {
			continue
		}
		c.plan.addColumn(ColumnUse{Name: name, Class: treatment.Class, Show: showName(treatment), Write: true, Rule: treatment.Rule, Because: treatment.Because})
	}
	return nil
}

// keepable tells whether a column that the row filter looks at is assigned a
// plain value: then the row is updated only where that changes nothing, as when
// a form saves all that it loaded. MERGE would go on to its next WHEN, and
// WHERE CURRENT OF takes no further condition.
func keepable(t *resolve.Target, column int) bool {
	if t.Stmt.GetMergeStmt() != nil || currentOf(t.Stmt) != nil || slices.Contains(t.Parts, column) {
		return false
	}
	return isPlain(assigned(t, column), t.Ref.Alias, t.Ref.Relation.Columns[column].Name, t.Stmt.GetInsertStmt() != nil)
}

// isPlain tells whether a value is a constant, what an INSERT brought, or the
// column that it is assigned to.
func isPlain(n *pg_query.Node, alias, column string, inserted bool) bool {
	fields := n.GetColumnRef().GetFields()
	return resolve.IsConstant(n) || isReference(n, alias, column) || len(fields) == 1 && fields[0].GetString_().GetSval() == column ||
		inserted && len(fields) > 0 && fields[0].GetString_().GetSval() == "excluded" && alias != "excluded"
}

// assigned gives what SET assigns to a column, nil when it does not.
func assigned(t *resolve.Target, column int) *pg_query.Node {
	for _, n := range assignments(t) {
		if rt := n.GetResTarget(); rt.Name == t.Ref.Relation.Columns[column].Name {
			return rt.Val
		}
	}
	return nil
}

// unchanged gives the condition that what SET assigns to the columns that the
// row filter looks at is what they hold. It is asked of rows that the filter
// has passed.
func (c *planner) unchanged(t *resolve.Target, v *view) (condition *pg_query.Node) {
	for i := range v.columns {
		val := assigned(t, i)
		if !v.filter[i] || val == nil {
			continue
		}
		column := &pg_query.Node{}
		setColumnRef(column, t.Ref.Alias, t.Ref.Relation.Columns[i].Name)
		condition = and(condition, pg_query.MakeAExprNode(pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT,
			[]*pg_query.Node{pg_query.MakeStrNode("=")}, column, val, -1))
	}
	if condition == nil {
		return nil
	}
	return caseWhen(c.slot(v, t.Ref.Relation, filterSlot, t.Ref.Alias), condition, makeBool(false))
}

// maskTarget replaces every reference to a masked column of the target by its
// mask.
func (c *planner) maskTarget(t *resolve.Target, v *view, q *resolve.Query) error {
	for _, u := range q.Uses {
		if u.Ref == t.Ref && v.masksReference(u) {
			u.Node.Node = c.slot(v, t.Ref.Relation, u.Column, t.Ref.Alias).Node
		}
	}
	for _, row := range q.Rows {
		if row.Ref == t.Ref && !v.typedRow(t.Ref.Relation) {
			return refuseUnsupported("name the columns", "the whole row of %s cannot be used while it is written", t.Ref.Relation.QualifiedName())
		}
		if row.Ref == t.Ref {
			row.Node.Node = c.row(t, v).Node
		}
	}
	return nil
}

// row gives the row of a target, column by column.
func (c *planner) row(t *resolve.Target, v *view) *pg_query.Node {
	rel := t.Ref.Relation
	var values []*pg_query.Node
	for i, col := range v.columns {
		value := reference(t.Ref.Alias, rel.Columns[i].Name)
		if col.mask != nil {
			value = c.slot(v, rel, i, t.Ref.Alias)
		}
		values = append(values, value)
	}
	return rowOf(rel, values)
}

// masksReference tells whether a reference to a target's column stands for the
// mask: it is masked, and no match mode lets this condition see the value.
func (v *view) masksReference(u resolve.Use) bool {
	t := v.columns[u.Column].treatment
	return u.Node != nil && u.As != resolve.UseWrite && t.Show == policy.ShowMasked &&
		!(u.As == resolve.UseEquality && t.Match == policy.MatchEquality)
}

// preserves refuses to assign to a masked column what is computed from a
// masked column: the mask would be stored in place of the value it hides. As
// it is, or as an alternative (COALESCE, CASE), it may be assigned.
func (c *planner) preserves(t *resolve.Target, v *view, q *resolve.Query) error {
	masked := map[*pg_query.Node]bool{}
	for _, u := range q.Uses {
		if u.Ref == t.Ref && v.masksReference(u) {
			masked[u.Node] = true
		}
	}
	for _, row := range q.Rows {
		masked[row.Node] = masked[row.Node] || row.Ref == t.Ref && slices.ContainsFunc(v.columns, func(s shown) bool { return s.mask != nil })
	}
	for _, n := range assignments(t) {
		rt := n.GetResTarget()
		if v.columns[t.Ref.Relation.ColumnIndex(rt.Name)].treatment.Show == policy.ShowMasked && !asItIs(rt.Val, masked) {
			return refuseUnsupported("give the whole new value",
				"%s.%s is masked for you, and so cannot be computed from what it holds", t.Ref.Relation.QualifiedName(), rt.Name)
		}
	}
	return nil
}

// assignments gives what SET assigns.
func assignments(t *resolve.Target) []*pg_query.Node {
	if up := t.Stmt.GetUpdateStmt(); up != nil {
		return up.TargetList
	}
	if m := t.Stmt.GetMergeStmt(); m != nil {
		var all []*pg_query.Node
		for _, n := range m.MergeWhenClauses {
			if when := n.GetMergeWhenClause(); when.CommandType == pg_query.CmdType_CMD_UPDATE {
				all = append(all, when.TargetList...)
			}
		}
		return all
	}
	return t.Stmt.GetInsertStmt().GetOnConflictClause().GetTargetList()
}

// asItIs tells whether masked references in a value can only become the value
// itself, or decide which one it becomes.
func asItIs(n *pg_query.Node, masked map[*pg_query.Node]bool) bool {
	all := func(list []*pg_query.Node) bool {
		return !slices.ContainsFunc(list, func(n *pg_query.Node) bool { return !asItIs(n, masked) })
	}
	switch v := n.GetNode().(type) {
	case nil:
		return true
	case *pg_query.Node_CoalesceExpr:
		return all(v.CoalesceExpr.Args)
	case *pg_query.Node_CaseExpr:
		for _, w := range v.CaseExpr.Args {
			if !asItIs(w.GetCaseWhen().GetResult(), masked) {
				return false
			}
		}
		return asItIs(v.CaseExpr.Defresult, masked)
	case *pg_query.Node_ColumnRef:
		return true
	default:
		found := false
		parse.Walk(n, func(m proto.Message) bool {
			if node, ok := m.(*pg_query.Node); ok && masked[node] {
				found = true
			}
			return !found
		})
		return !found
	}
}

// dropRefused takes out of RETURNING what a * brought in and the caller may
// not see.
func (c *planner) dropRefused(t *resolve.Target, v *view, _ *resolve.Query) error {
	*t.Returning = slices.DeleteFunc(*t.Returning, func(n *pg_query.Node) bool {
		if !slices.Contains(t.Stars, n) {
			return false
		}
		ref := n.GetResTarget().Val.GetColumnRef()
		if _, masked := c.slots[ref]; masked {
			return false
		}
		i := t.Ref.Relation.ColumnIndex(ref.Fields[len(ref.Fields)-1].GetString_().GetSval())
		return !v.columns[i].treatment.Visible()
	})
	return nil
}

// filtered adds the row filter to a condition. One that is leaky runs only on
// rows that the filter has passed.
func (c *planner) filtered(where *pg_query.Node, t *resolve.Target, v *view, q *resolve.Query) *pg_query.Node {
	if v.where == nil {
		return where
	}
	filter := c.slot(v, t.Ref.Relation, filterSlot, t.Ref.Alias)
	if where != nil && q.Leaky {
		return caseWhen(filter, where, makeBool(false))
	}
	return and(filter, where)
}
