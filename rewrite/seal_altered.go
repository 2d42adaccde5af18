package rewrite

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

// Amid a transaction the catalog is the one before it. What a statement of it changes
// may since mean something else: a view may have other columns under the names of the
// ones before, and a bare name may be another table's. A value would be sealed for the
// one, and go to the other.

// AllAltered among the names that a session altered stands for all of them: the schema
// changed, and could not be read again.
const AllAltered = "*"

// isAltered refuses a relation that may be another than the catalog says.
func (c *planner) isAltered(rel *catalog.Relation) error {
	all := slices.Contains(c.session.Altered, AllAltered) && c.engine.seals.names[rel.Name]
	if !all && !slices.Contains(c.session.Altered, rel.Name) {
		return nil
	}
	return refuseUnsupported("end the transaction first, so that the schema can be read again", "%s cannot be used: the schema has changed since it was read, and values may have to be sealed otherwise", rel.QualifiedName())
}

// alters gives the names by which a statement may change what is known of sealed
// columns. It notes them in the plan.
func (c *planner) alters(n *pg_query.Node) (names []string) {
	of := func(rv *pg_query.RangeVar, more ...string) {
		for _, name := range append(more, rv.GetRelname()) {
			if c.engine.seals.names[name] {
				names = append(names, name)
			}
		}
	}
	switch v := n.Node.(type) {
	case *pg_query.Node_ViewStmt:
		if of(v.ViewStmt.View); c.reshapesView(v.ViewStmt) {
			names = append(names, v.ViewStmt.View.Relname)
		}
	case *pg_query.Node_CreateStmt:
		of(v.CreateStmt.Relation)
	case *pg_query.Node_CreateForeignTableStmt:
		of(v.CreateForeignTableStmt.BaseStmt.Relation)
	case *pg_query.Node_CreateTableAsStmt:
		of(v.CreateTableAsStmt.Into.Rel)
	case *pg_query.Node_AlterTableStmt:
		names = c.altersTable(v.AlterTableStmt)
	case *pg_query.Node_RenameStmt:
		switch v.RenameStmt.RenameType {
		case pg_query.ObjectType_OBJECT_SCHEMA:
			names = c.namesIn(v.RenameStmt.Subname)
		case pg_query.ObjectType_OBJECT_TABLE, pg_query.ObjectType_OBJECT_VIEW, pg_query.ObjectType_OBJECT_MATVIEW, pg_query.ObjectType_OBJECT_FOREIGN_TABLE:
			if of(v.RenameStmt.Relation, v.RenameStmt.Newname); names != nil {
				names = append(names, v.RenameStmt.Newname)
			}
		case pg_query.ObjectType_OBJECT_COLUMN:
			if _, table := c.sealedBy(v.RenameStmt.Relation); !table {
				of(v.RenameStmt.Relation)
			}
		}
	case *pg_query.Node_AlterObjectSchemaStmt:
		of(v.AlterObjectSchemaStmt.Relation)
	case *pg_query.Node_DropStmt:
		names = c.dropped(v.DropStmt)
	case *pg_query.Node_CreateSchemaStmt:
		for _, one := range v.CreateSchemaStmt.SchemaElts {
			names = append(names, c.alters(one)...)
		}
	}
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(name string) bool {
		return slices.Contains(c.session.Altered, name)
	})
	c.plan.Altered = append(c.plan.Altered, names...)
	return names
}

// reshapesView tells whether a view is of sealed columns.
func (c *planner) reshapesView(v *pg_query.ViewStmt) bool {
	q, err := c.engine.guess(c.asked(), v.Query, nil)
	return err != nil || c.engine.seals.touches(q)
}

// altersTable gives the names that ALTER TABLE changes the meaning of.
func (c *planner) altersTable(a *pg_query.AlterTableStmt) (names []string) {
	columns, _ := c.sealedBy(a.Relation)
	for _, n := range a.Cmds {
		cmd := n.GetAlterTableCmd()
		switch cmd.Subtype {
		case pg_query.AlterTableType_AT_DropColumn:
			if columns != nil {
				names = append(names, a.Relation.Relname)
			}
		case pg_query.AlterTableType_AT_AttachPartition, pg_query.AlterTableType_AT_DetachPartition:
			names = append(names, c.andPart(a.Relation, cmd.Def.GetPartitionCmd().GetName())...)
		case pg_query.AlterTableType_AT_AddInherit, pg_query.AlterTableType_AT_DropInherit:
			if parent, _ := c.sealedBy(cmd.Def.GetRangeVar()); parent != nil {
				names = append(names, a.Relation.Relname)
			}
		}
	}
	return names
}

// andPart gives the name of a part of a relation with sealed columns.
func (c *planner) andPart(of, part *pg_query.RangeVar) []string {
	if columns, _ := c.sealedBy(of); columns == nil {
		return nil
	}
	return []string{part.Relname}
}

// dropped gives the names that have no meaning any more, or another one.
func (c *planner) dropped(d *pg_query.DropStmt) (names []string) {
	for _, n := range d.Objects {
		if d.RemoveType == pg_query.ObjectType_OBJECT_SCHEMA {
			names = append(names, c.namesIn(n.GetString_().GetSval())...)
			continue
		}
		parts := n.GetList().GetItems()
		if len(parts) == 0 {
			continue
		}
		if name := parts[len(parts)-1].GetString_().GetSval(); c.engine.seals.names[name] {
			names = append(names, name)
		}
	}
	return names
}

// namesIn gives the names of relations of a schema that are those of relations with
// sealed columns, too.
func (c *planner) namesIn(schema string) (names []string) {
	for _, rel := range c.engine.Catalog.Relations() {
		if rel.Schema == schema && c.engine.seals.names[rel.Name] {
			names = append(names, rel.Name)
		}
	}
	return names
}
