package rewrite

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// rows keeps the type of rows: over a sub-select they would be anonymous. Where a
// column is left out they are, and where the row may be missing as a whole.
func (c *planner) rows(w *work) error {
	for _, row := range w.query.Rows {
		v := w.views[row.Ref]
		if v.target || !row.Ref.Relation.Governed() || row.Ref.Renamed || row.Ref.Nullable() || !v.typedRow(row.Ref.Relation) {
			continue
		}
		var values []*pg_query.Node
		for _, col := range row.Ref.Relation.Columns {
			values = append(values, reference(row.Ref.Alias, col.Name))
		}
		row.Node.Node = rowOf(row.Ref.Relation, values).Node
	}
	return nil
}

// typedRow tells whether what is shown of a relation makes a row of its type:
// every column is there, and no mask has to pass the checks of a domain.
func (t *template) typedRow(rel *catalog.Relation) bool {
	for i, c := range t.columns {
		if !c.treatment.Visible() || c.mask != nil && rel.Columns[i].Type.Kind == 'd' {
			return false
		}
	}
	return true
}

// rowOf gives a row of a relation's type. If the server knows of another column
// by now, it fails.
func rowOf(rel *catalog.Relation, values []*pg_query.Node) *pg_query.Node {
	row := &pg_query.RowExpr{RowFormat: pg_query.CoercionForm_COERCE_EXPLICIT_CALL, Args: values}
	return castTo(&pg_query.Node{Node: &pg_query.Node_RowExpr{RowExpr: row}}, catalog.Type{Schema: rel.Schema, Name: rel.Name})
}

// group adds to a GROUP BY that lists a relation's primary key the other
// columns that are used of it: over a sub-select the server cannot tell that
// they depend on the key.
func (c *planner) group(w *work) error {
	for _, g := range w.query.Groupings {
		for _, ref := range w.query.Refs {
			v := w.views[ref]
			if v.target || v.plain || v.bare || !groupsByKey(g, ref, v) {
				continue
			}
			for i, used := range ref.Used {
				if used && !listed(g, ref, i) && v.columns[i].treatment.Visible() {
					n := &pg_query.Node{}
					setColumnRef(n, ref.Alias, ref.Relation.Columns[i].Name)
					g.Select.GroupClause = append(g.Select.GroupClause, n)
				}
			}
			if ref.Row {
				row := pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(ref.Alias)}, -1)
				g.Select.GroupClause = append(g.Select.GroupClause, row)
			}
		}
	}
	return nil
}

func groupsByKey(g resolve.Grouping, ref *resolve.Ref, v *view) bool {
	if len(ref.Relation.PrimaryKey) == 0 || ref.Renamed {
		return false
	}
	for _, k := range ref.Relation.PrimaryKey {
		if !listed(g, ref, k) || v.columns[k].treatment.Show != policy.ShowClear {
			return false
		}
	}
	return true
}

func listed(g resolve.Grouping, ref *resolve.Ref, column int) bool {
	return slices.ContainsFunc(g.Columns, func(u resolve.Use) bool { return u.Ref == ref && u.Column == column })
}
