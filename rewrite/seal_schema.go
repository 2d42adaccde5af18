package rewrite

import (
	"maps"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// A statement that changes the schema can hold values too: a default, a condition of
// an index, of a trigger or of a policy. The server would keep them as they are, and
// what it computes from a sealed column it would compute from the ciphertext.

// sealSchema decides a statement that runs no query.
func (c *planner) sealSchema(n *pg_query.Node, step int) error {
	switch v := n.Node.(type) {
	case *pg_query.Node_ViewStmt:
		return c.sealView(n, v.ViewStmt, step)
	case *pg_query.Node_CreateStmt:
		return c.sealTable(v.CreateStmt, step)
	case *pg_query.Node_CreateForeignTableStmt:
		return c.sealTable(v.CreateForeignTableStmt.BaseStmt, step)
	case *pg_query.Node_AlterTableStmt:
		return c.sealAltered(v.AlterTableStmt, step)
	case *pg_query.Node_RuleStmt:
		return c.sealUnseen(n, "a rule")
	case *pg_query.Node_CreateTrigStmt:
		return c.looksAtNone(v.CreateTrigStmt.Relation, v.CreateTrigStmt.WhenClause)
	case *pg_query.Node_CreatePolicyStmt:
		return c.looksAtNone(v.CreatePolicyStmt.Table, v.CreatePolicyStmt.Qual, v.CreatePolicyStmt.WithCheck)
	case *pg_query.Node_AlterPolicyStmt:
		return c.looksAtNone(v.AlterPolicyStmt.Table, v.AlterPolicyStmt.Qual, v.AlterPolicyStmt.WithCheck)
	case *pg_query.Node_IndexStmt:
		return c.looksAtNone(v.IndexStmt.Relation, append(slices.Clone(v.IndexStmt.IndexParams), v.IndexStmt.WhereClause)...)
	case *pg_query.Node_CreateStatsStmt:
		return c.looksAtNone(v.CreateStatsStmt.Relations[0].GetRangeVar(), v.CreateStatsStmt.Exprs...)
	case *pg_query.Node_CreatePublicationStmt:
		return c.sealPublished(v.CreatePublicationStmt.Pubobjects)
	case *pg_query.Node_AlterPublicationStmt:
		return c.sealPublished(v.AlterPublicationStmt.Pubobjects)
	case *pg_query.Node_CreateSchemaStmt:
		for _, one := range v.CreateSchemaStmt.SchemaElts {
			if err := c.sealStatement(one, step); err != nil {
				return err
			}
		}
	case *pg_query.Node_RenameStmt:
		return c.sealRenamed(v.RenameStmt, step)
	case *pg_query.Node_AlterObjectSchemaStmt:
		return c.sealNamed(v.AlterObjectSchemaStmt.Relation, "", step)
	}
	return nil
}

// reshapes notes that sealed columns have another name from here on, which the
// catalog does not know yet.
func (c *planner) reshapes(step int) {
	if step < len(c.plan.Steps) {
		c.plan.Steps[step].Effect |= Reshapes
	}
}

// sealedBy gives the names of the sealed columns of the relations that a name may
// mean; table tells that one of them is no view.
func (c *planner) sealedBy(rv *pg_query.RangeVar) (columns map[string]bool, table bool) {
	for rel, all := range c.engine.seals.columns {
		if rel.Name != rv.GetRelname() || rv.Schemaname != "" && rv.Schemaname != rel.Schema {
			continue
		}
		table = table || !derives(rel)
		for i, of := range all {
			if of == nil {
				continue
			}
			if columns == nil {
				columns = map[string]bool{}
			}
			columns[rel.Columns[i].Name] = true
		}
	}
	return columns, table
}

// looksAtNone demands that expressions look at no sealed column of a relation.
func (c *planner) looksAtNone(rv *pg_query.RangeVar, exprs ...*pg_query.Node) error {
	columns, _ := c.sealedBy(rv)
	if columns == nil {
		return nil
	}
	for _, n := range exprs {
		if name := looksAt(n, columns, rv.Relname); name != "" {
			return refuseUnsupported("leave it out: IS NULL, and LIKE 'pgv1.%', can be asked of it", "%s.%s is sealed: the server cannot look at its values, and keeps a condition on them in the clear", rv.Relname, name)
		}
	}
	return nil
}

// looksAt gives the sealed column whose values an expression looks at, in its table;
// "" where it looks at none.
func looksAt(n *pg_query.Node, columns map[string]bool, table string) (found string) {
	if n == nil {
		return ""
	}
	parse.Walk(n, func(m proto.Message) bool {
		switch v := m.(type) {
		case *pg_query.NullTest:
			return v.Arg.GetColumnRef() == nil || lastField(v.Arg.GetColumnRef()) == table
		case *pg_query.A_Expr:
			return v.Kind != pg_query.A_Expr_Kind_AEXPR_LIKE || !strings.HasPrefix(v.Rexpr.GetAConst().GetSval().GetSval(), "pgv1.")
		case *pg_query.ColumnRef:
			if name := lastField(v); columns[name] || name == table || name == "*" {
				found = name
			}
		}
		return found == ""
	})
	return found
}

// lastField gives the last name of a reference, which may be a star.
func lastField(ref *pg_query.ColumnRef) string {
	field := ref.Fields[len(ref.Fields)-1]
	if field.GetAStar() != nil {
		return "*"
	}
	return field.GetString_().GetSval()
}

// sealView follows the query of a new view.
func (c *planner) sealView(n *pg_query.Node, v *pg_query.ViewStmt, step int) error {
	q, err := c.engine.guess(c.asked(), v.Query, nil)
	if err != nil {
		return c.sealUnseen(n, "a view that cannot be followed")
	}
	if !c.engine.seals.touches(q) {
		return nil
	}
	aside := &planner{engine: c.engine, session: Session{Access: &policy.Access{Unrestricted: true}}, plan: &Plan{}}
	f, err := aside.follow(v.Query, q, 0)
	switch {
	case err != nil:
		return err
	case len(f.holes) > 0:
		return refuseUnsupported("ask for it where the view is read", "the view holds a value for %s, which is sealed", f.holes[0].as.Column)
	case v.View.Relpersistence == "t":
		return refuseUnsupported("make a view that stays, or a sub-select", "a temporary view of sealed columns cannot be followed")
	}
	c.reshapes(step)
	return nil
}

// sealTable decides a new table, which may be a part or an heir of one with sealed
// columns.
func (c *planner) sealTable(t *pg_query.CreateStmt, step int) error {
	for _, n := range t.InhRelations {
		columns, _ := c.sealedBy(n.GetRangeVar())
		if columns == nil {
			continue
		}
		if t.Relation.Relpersistence == "t" {
			return refuseUnsupported("make a table that stays", "a temporary table cannot be an heir of %s, which has sealed columns", n.GetRangeVar().Relname)
		}
		if err := c.looksAtNone(n.GetRangeVar(), append(slices.Clone(t.TableElts), t.Constraints...)...); err != nil {
			return err
		}
		for _, elt := range t.TableElts {
			def := elt.GetColumnDef()
			if columns[def.GetColname()] && slices.ContainsFunc(def.Constraints, computes) {
				return refuseDefault(t.Relation.Relname, def.Colname)
			}
		}
		c.reshapes(step)
	}
	return nil
}

// computes tells whether a constraint gives a column a value.
func computes(n *pg_query.Node) bool {
	switch n.GetConstraint().GetContype() {
	case pg_query.ConstrType_CONSTR_DEFAULT, pg_query.ConstrType_CONSTR_GENERATED:
		return true
	default:
		return false
	}
}

func refuseDefault(table, column string) error {
	return refuseUnsupported("give the value where a row is written", "%s.%s is sealed: a default would be stored in the clear", table, column)
}

// sealAltered decides ALTER TABLE.
func (c *planner) sealAltered(a *pg_query.AlterTableStmt, step int) error {
	columns, _ := c.sealedBy(a.Relation)
	for _, n := range a.Cmds {
		cmd := n.GetAlterTableCmd()
		switch cmd.Subtype {
		case pg_query.AlterTableType_AT_AttachPartition, pg_query.AlterTableType_AT_AddInherit:
			other := cmd.Def.GetRangeVar()
			if part := cmd.Def.GetPartitionCmd(); part != nil {
				other = part.Name
			}
			if of, _ := c.sealedBy(other); of != nil || columns != nil {
				c.reshapes(step)
			}
		case pg_query.AlterTableType_AT_ColumnDefault:
			if cmd.Def != nil && columns[cmd.Name] {
				return refuseDefault(a.Relation.Relname, cmd.Name)
			}
		case pg_query.AlterTableType_AT_AlterColumnType:
			if cmd.Def.GetColumnDef().GetRawDefault() != nil && columns[cmd.Name] {
				return refuseUnsupported("leave USING out", "%s.%s is sealed: the server cannot compute with its values", a.Relation.Relname, cmd.Name)
			}
		}
		if err := c.looksAtNone(a.Relation, cmd.Def); err != nil {
			return err
		}
	}
	return nil
}

func (c *planner) sealPublished(list []*pg_query.Node) error {
	for _, n := range list {
		if t := n.GetPublicationObjSpec().GetPubtable(); t != nil {
			if err := c.looksAtNone(t.Relation, t.WhereClause); err != nil {
				return err
			}
		}
	}
	return nil
}

// sealRenamed decides ALTER … RENAME.
func (c *planner) sealRenamed(r *pg_query.RenameStmt, step int) error {
	switch r.RenameType {
	case pg_query.ObjectType_OBJECT_TABLE, pg_query.ObjectType_OBJECT_VIEW, pg_query.ObjectType_OBJECT_MATVIEW, pg_query.ObjectType_OBJECT_FOREIGN_TABLE:
		return c.sealNamed(r.Relation, "", step)
	case pg_query.ObjectType_OBJECT_COLUMN:
		return c.sealNamed(r.Relation, r.Subname, step)
	case pg_query.ObjectType_OBJECT_SCHEMA:
		for rel := range maps.Keys(c.engine.seals.columns) {
			if rel.Schema == r.Subname && !derives(rel) {
				return refuseRename(rel.QualifiedName())
			}
		}
	}
	return nil
}

// sealNamed decides another name, for a relation or for one of its columns.
func (c *planner) sealNamed(rv *pg_query.RangeVar, column string, step int) error {
	columns, table := c.sealedBy(rv)
	switch {
	case columns == nil || column != "" && !columns[column]:
	case table:
		return refuseRename(rv.Relname)
	default:
		c.reshapes(step)
	}
	return nil
}

func refuseRename(name string) error {
	return refuseUnsupported("unseal its columns first", "%s has sealed columns, whose values are bound to their names: under another they do not open", name)
}
