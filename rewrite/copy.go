package rewrite

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// copy decides COPY. Out of a table, it becomes COPY of a query; in, it is an
// INSERT of the columns named.
func (c *planner) copy(cp *pg_query.CopyStmt) error {
	if cp.IsProgram || cp.Filename != "" {
		return refuse("use TO STDOUT or FROM STDIN", "COPY with a file or program of the server is not open to callers with restrictions")
	}
	if cp.IsFrom {
		return c.copyIn(cp)
	}
	if c.session.Access.Limits.RefuseCopy {
		return refuse("ask for the rows that you need in a query", "COPY is refused for your roles")
	}
	if cp.Relation != nil {
		columns, err := c.copied(cp)
		if err != nil {
			return err
		}
		cp.Query = copyQuery(cp.Relation, columns)
		cp.Relation, cp.Attlist = nil, nil
	}
	if queryOf(cp.Query) != cp.Query {
		return refuseUnsupported("copy a query", "COPY of %s is not open to callers with restrictions", commandName(cp.Query))
	}
	step := len(c.plan.Steps)
	effect, err := c.query(cp.Query)
	c.step("COPY", effect, "")
	if err != nil || c.plan.Seals.OutputsOf(step) == nil {
		return err
	}
	return c.copiesOut(cp, step)
}

// copiesOut notes how the data is written of a COPY that gives sealed columns.
func (c *planner) copiesOut(cp *pg_query.CopyStmt, step int) error {
	data, err := copyData(cp)
	if err == nil {
		c.plan.seals().copies(step, &Copied{Data: data})
	}
	return err
}

// copyQuery gives the query that COPY table TO means. COPY leaves out the
// tables that inherit from it.
func copyQuery(table *pg_query.RangeVar, columns []*pg_query.Node) *pg_query.Node {
	table.Inh = false
	sel := &pg_query.SelectStmt{
		FromClause:  []*pg_query.Node{{Node: &pg_query.Node_RangeVar{RangeVar: table}}},
		LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT,
		Op:          pg_query.SetOperation_SETOP_NONE,
	}
	for _, column := range columns {
		ref := pg_query.MakeColumnRefNode([]*pg_query.Node{column}, -1)
		sel.TargetList = append(sel.TargetList, pg_query.MakeResTargetNodeWithVal(ref, -1))
	}
	return &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel}}
}

// copied gives the columns that COPY table TO sends: those named, or those that
// * stands for, but for generated ones.
func (c *planner) copied(cp *pg_query.CopyStmt) ([]*pg_query.Node, error) {
	if len(cp.Attlist) > 0 {
		return cp.Attlist, nil
	}
	rel, ok := c.engine.Catalog.Relation(c.session.Path, cp.Relation.Schemaname, cp.Relation.Relname)
	hidden := cp.Relation.Schemaname == "" && c.session.temporaryNamed(cp.Relation.Relname) != nil
	if !ok || hidden || !slices.ContainsFunc(rel.Columns, func(c catalog.Column) bool { return c.Generated }) {
		return []*pg_query.Node{pg_query.MakeAStarNode()}, nil
	}
	t, err := c.engine.template(c.session.Access, rel)
	if err != nil {
		return nil, err
	}
	var names []*pg_query.Node
	for i, column := range rel.Columns {
		switch treatment := t.columns[i].treatment; {
		case column.Generated:
		case treatment.Visible():
			names = append(names, pg_query.MakeStrNode(column.Name))
		default:
			c.leaveOut(rel.QualifiedName()+"."+column.Name, treatment)
		}
	}
	return names, nil
}

func (c *planner) copyIn(cp *pg_query.CopyStmt) error {
	if cp.WhereClause != nil {
		return refuseUnsupported("leave WHERE out", "COPY FROM with WHERE is not open to callers with restrictions")
	}
	ins := &pg_query.InsertStmt{Relation: cp.Relation}
	for _, a := range cp.Attlist {
		ins.Cols = append(ins.Cols, pg_query.MakeResTargetNodeWithName(a.GetString_().GetSval(), -1))
	}
	n := &pg_query.Node{Node: &pg_query.Node_InsertStmt{InsertStmt: ins}}
	q, err := resolve.Resolve(c.input(), n)
	if err != nil {
		return err
	}
	t := q.Targets[0]
	v, err := c.view(t.Ref, q)
	if err != nil {
		return err
	}
	if !v.access.Ops.Has(policy.Insert) {
		return refuseRelation("insert into", t.Ref.Relation.QualifiedName(), "")
	}
	t.All = len(cp.Attlist) == 0
	if err := c.writtenColumns(t, v, q); err != nil {
		return err
	}
	c.engine.copies(c.session, t.Ref.Relation, cp, c.plan)
	if c.engine.seals != nil && c.engine.seals.columns[t.Ref.Relation] != nil {
		if err := c.sealCopied(cp, t.Ref.Relation, len(c.plan.Steps)); err != nil {
			return err
		}
	}
	cp.Relation.Schemaname, cp.Relation.Relname = t.Ref.Relation.Schema, t.Ref.Relation.Name
	c.plan.Governed, c.changed = true, true
	if c.engine.names {
		c.naming = c.engine.rowsOf(t.Ref.Relation)
	}
	c.noImages(t.Ref.Relation, "insert", "COPY gives no rows")
	c.step("COPY", Writes|Copies, "")
	return nil
}
