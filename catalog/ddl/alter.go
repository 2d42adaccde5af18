package ddl

import (
	"errors"
	"fmt"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

func (b *builder) alterTable(s *pg.AlterTableStmt) error {
	switch s.GetObjtype() {
	case pg.ObjectType_OBJECT_INDEX:
		return nil
	case pg.ObjectType_OBJECT_TABLE, pg.ObjectType_OBJECT_FOREIGN_TABLE, pg.ObjectType_OBJECT_VIEW,
		pg.ObjectType_OBJECT_MATVIEW, pg.ObjectType_OBJECT_SEQUENCE:
	default:
		return fmt.Errorf("ALTER %s is not supported", objectKind(s.GetObjtype()))
	}
	r, err := b.own(s.GetRelation())
	if err != nil {
		return err
	}
	for _, n := range s.GetCmds() {
		if err := b.alter(r, n.GetAlterTableCmd(), s.GetRelation().GetInh()); err != nil {
			return err
		}
	}
	return nil
}

func objectKind(t pg.ObjectType) string {
	return strings.ReplaceAll(strings.TrimPrefix(t.String(), "OBJECT_"), "_", " ")
}

// alter runs one command of an ALTER TABLE; recurse says that ONLY was not
// written.
func (b *builder) alter(r *catalog.Relation, cmd *pg.AlterTableCmd, recurse bool) error {
	switch cmd.GetSubtype() {
	case pg.AlterTableType_AT_AddColumn:
		return b.addColumn(r, cmd)
	case pg.AlterTableType_AT_AddConstraint:
		return b.addConstraint(r, cmd.GetDef().GetConstraint(), recurse)
	case pg.AlterTableType_AT_ColumnDefault:
		return b.changeColumn(r, cmd.GetName(), recurse, func(c *catalog.Column) {
			c.HasDefault = cmd.GetDef() != nil && keepsDefault(cmd.GetDef(), c.Type)
		})
	case pg.AlterTableType_AT_SetNotNull:
		return b.setNotNull(r, cmd.GetName(), recurse)
	case pg.AlterTableType_AT_AddIdentity:
		return b.addIdentity(r, cmd)
	case pg.AlterTableType_AT_AttachPartition:
		return b.attachPartition(r, cmd.GetDef().GetPartitionCmd())
	case pg.AlterTableType_AT_ChangeOwner, pg.AlterTableType_AT_ClusterOn, pg.AlterTableType_AT_DropCluster,
		pg.AlterTableType_AT_SetStatistics, pg.AlterTableType_AT_SetStorage, pg.AlterTableType_AT_SetCompression,
		pg.AlterTableType_AT_SetOptions, pg.AlterTableType_AT_SetRelOptions, pg.AlterTableType_AT_ReplicaIdentity,
		pg.AlterTableType_AT_EnableRowSecurity, pg.AlterTableType_AT_ForceRowSecurity,
		pg.AlterTableType_AT_EnableTrig, pg.AlterTableType_AT_EnableAlwaysTrig,
		pg.AlterTableType_AT_EnableReplicaTrig, pg.AlterTableType_AT_DisableTrig,
		pg.AlterTableType_AT_ValidateConstraint, pg.AlterTableType_AT_SetLogged,
		pg.AlterTableType_AT_SetAccessMethod, pg.AlterTableType_AT_SetTableSpace:
		return nil
	default:
		return fmt.Errorf("ALTER TABLE %s is not supported", strings.TrimPrefix(cmd.GetSubtype().String(), "AT_"))
	}
}

func (b *builder) addColumn(r *catalog.Relation, cmd *pg.AlterTableCmd) error {
	switch r.Kind {
	case catalog.Table, catalog.PartitionedTable, catalog.ForeignTable:
	default:
		return fmt.Errorf("%s is not a table", r.QualifiedName())
	}
	if r.Parents != nil && r.Partition {
		return fmt.Errorf("cannot add a column to partition %s", r.QualifiedName())
	}
	def := cmd.GetDef().GetColumnDef()
	if r.ColumnIndex(def.GetColname()) >= 0 && cmd.GetMissingOk() {
		return nil
	}
	c, constraints, err := b.column(r, def, 0)
	if err != nil {
		return err
	}
	if err := appendColumn(r, c); err != nil {
		return err
	}
	if err := b.inheritColumn(r, c); err != nil {
		return err
	}
	for _, con := range constraints {
		if err := b.addConstraint(r, con, true); err != nil {
			return err
		}
	}
	return nil
}

// inheritColumn adds a new column to all that inherit from the table.
func (b *builder) inheritColumn(r *catalog.Relation, c catalog.Column) error {
	for _, child := range b.children(r) {
		if err := addOrMerge(child, inherited(c, child.Partition), len(child.Columns)); err != nil {
			return err
		}
		if err := b.inheritColumn(child, c); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) addIdentity(r *catalog.Relation, cmd *pg.AlterTableCmd) error {
	con := cmd.GetDef().GetConstraint()
	if con.GetContype() != pg.ConstrType_CONSTR_IDENTITY {
		return errors.New("identity is missing")
	}
	c, ok := r.Column(cmd.GetName())
	if !ok {
		return noColumn(r, cmd.GetName())
	}
	if err := b.makeIdentity(r, c, con); err != nil {
		return err
	}
	for _, child := range b.children(r) {
		if child.Partition {
			if err := b.changeColumn(child, c.Name, true, func(has *catalog.Column) {
				has.Identity, has.HasDefault = c.Identity, true
			}); err != nil {
				return err
			}
		}
	}
	return nil
}
