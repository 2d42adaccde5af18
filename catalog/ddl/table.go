package ddl

import (
	"errors"
	"fmt"
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

func (b *builder) createTable(s *pg.CreateStmt, kind catalog.RelKind) error {
	at, err := b.placeRelation(s.GetRelation())
	if err != nil {
		return err
	}
	if s.GetIfNotExists() && b.byName[at] != nil {
		return nil
	}
	if s.GetOfTypename() != nil {
		return errors.New("CREATE TABLE OF a type is not supported")
	}
	if s.GetPartspec() != nil {
		kind = catalog.PartitionedTable
	}
	r := &catalog.Relation{Schema: at.Schema, Name: at.Name, Kind: kind, Partition: s.GetPartbound() != nil}
	parents, err := b.inherit(r, s.GetInhRelations())
	if err != nil {
		return err
	}
	constraints, err := b.elements(r, s.GetTableElts())
	if err != nil {
		return err
	}
	if err := b.addRelation(r); err != nil {
		return err
	}
	if r.Partition {
		b.copyKeys(r, parents[0])
	}
	for _, c := range append(constraints, constraintNodes(s.GetConstraints())...) {
		if err := b.addConstraint(r, c, true); err != nil {
			return err
		}
	}
	return nil
}

// elements adds the columns in a table's brackets and gives the constraints
// among them, which may name columns that come later or the table itself.
func (b *builder) elements(r *catalog.Relation, nodes []*pg.Node) ([]*pg.Constraint, error) {
	inherited := len(r.Columns)
	var constraints []*pg.Constraint
	for _, n := range nodes {
		switch e := n.GetNode().(type) {
		case *pg.Node_ColumnDef:
			c, own, err := b.column(r, e.ColumnDef, inherited)
			if err != nil {
				return nil, err
			}
			if err := addOrMerge(r, c, inherited); err != nil {
				return nil, err
			}
			if declaresDefault(e.ColumnDef) {
				merged, _ := r.Column(c.Name)
				merged.HasDefault = c.HasDefault
			}
			constraints = append(constraints, own...)
		case *pg.Node_Constraint:
			constraints = append(constraints, e.Constraint)
		default:
			return nil, fmt.Errorf("%s in CREATE TABLE is not supported", describe(n))
		}
	}
	return constraints, nil
}

func constraintNodes(nodes []*pg.Node) []*pg.Constraint {
	constraints := make([]*pg.Constraint, len(nodes))
	for i, n := range nodes {
		constraints[i] = n.GetConstraint()
	}
	return constraints
}

// column reads a column's definition, with the constraints in it that concern
// the table. One of a partition may leave out the type, which the parent set.
func (b *builder) column(r *catalog.Relation, def *pg.ColumnDef, inherited int) (catalog.Column, []*pg.Constraint, error) {
	c := catalog.Column{Name: def.GetColname()}
	var err error
	switch i := r.ColumnIndex(c.Name); {
	case def.GetTypeName() == nil && i >= 0 && i < inherited:
		c.Type = r.Columns[i].Type
	case b.isSerial(def.GetTypeName()):
		c.Type = b.serialType(def.GetTypeName())
		c.NotNull, c.HasDefault = true, true
		err = b.addColumnSequence(r, c.Name)
	default:
		c.Type, err = b.resolveType(def.GetTypeName())
	}
	if err != nil {
		return c, nil, fmt.Errorf("column %q: %w", c.Name, err)
	}
	var constraints []*pg.Constraint
	for _, con := range constraintNodes(def.GetConstraints()) {
		own, err := b.columnConstraint(r, &c, con)
		if err != nil {
			return c, nil, fmt.Errorf("column %q: %w", c.Name, err)
		}
		if own != nil {
			constraints = append(constraints, own)
		}
	}
	return c, constraints, nil
}

// columnConstraint applies a constraint in a column's definition. One that is
// of the table, if written short, is returned as the table would have it.
func (b *builder) columnConstraint(r *catalog.Relation, c *catalog.Column, con *pg.Constraint) (*pg.Constraint, error) {
	name := []*pg.Node{pg.MakeStrNode(c.Name)}
	switch con.GetContype() {
	case pg.ConstrType_CONSTR_NOTNULL:
		c.NotNull = true
	case pg.ConstrType_CONSTR_DEFAULT:
		c.HasDefault = keepsDefault(con.GetRawExpr(), c.Type)
	case pg.ConstrType_CONSTR_GENERATED:
		c.HasDefault, c.Generated = true, true
	case pg.ConstrType_CONSTR_IDENTITY:
		return nil, b.makeIdentity(r, c, con)
	case pg.ConstrType_CONSTR_PRIMARY:
		con.Keys = name
		return con, nil
	case pg.ConstrType_CONSTR_FOREIGN:
		con.FkAttrs = name
		return con, nil
	case pg.ConstrType_CONSTR_UNIQUE, pg.ConstrType_CONSTR_CHECK:
		return con, nil
	case pg.ConstrType_CONSTR_NULL,
		pg.ConstrType_CONSTR_ATTR_DEFERRABLE, pg.ConstrType_CONSTR_ATTR_NOT_DEFERRABLE,
		pg.ConstrType_CONSTR_ATTR_DEFERRED, pg.ConstrType_CONSTR_ATTR_IMMEDIATE:
	default:
		return nil, fmt.Errorf("constraint %s is not supported", con.GetContype())
	}
	return nil, nil
}

// keepsDefault tells whether a default is more than a plain NULL, which
// PostgreSQL does not store. Where NULL must first be fitted to a modifier or a
// domain it is not plain.
func keepsDefault(value *pg.Node, t catalog.Type) bool {
	for value.GetTypeCast() != nil && len(value.GetTypeCast().GetTypeName().GetTypmods()) == 0 {
		value = value.GetTypeCast().GetArg()
	}
	return !value.GetAConst().GetIsnull() || t.Mod >= 0 || t.Kind == 'd'
}

// declaresDefault tells whether a definition decides on a default, so that it
// stands in the place of an inherited one.
func declaresDefault(def *pg.ColumnDef) bool {
	return slices.ContainsFunc(constraintNodes(def.GetConstraints()), func(c *pg.Constraint) bool {
		return c.GetContype() == pg.ConstrType_CONSTR_DEFAULT
	})
}

// makeIdentity gives a column its identity and the sequence behind it, whose
// name pg_dump spells out.
func (b *builder) makeIdentity(r *catalog.Relation, c *catalog.Column, con *pg.Constraint) error {
	when := con.GetGeneratedWhen()
	if when != "a" && when != "d" {
		return fmt.Errorf("identity is generated at unknown time %q", when)
	}
	c.Identity, c.NotNull, c.HasDefault = when[0], true, true
	for _, o := range con.GetOptions() {
		if o.GetDefElem().GetDefname() != "sequence_name" {
			continue
		}
		at, err := b.placeName(o.GetDefElem().GetArg().GetList().GetItems())
		if err != nil {
			return err
		}
		return b.addSequence(at)
	}
	return b.addColumnSequence(r, c.Name)
}

// isSerial tells whether a type is one of the names that stand for an integer
// with a sequence.
func (b *builder) isSerial(n *pg.TypeName) bool {
	return b.serialType(n).OID != 0 && len(n.GetArrayBounds()) == 0
}

func (b *builder) serialType(n *pg.TypeName) catalog.Type {
	switch dotted(n.GetNames()) {
	case "smallserial", "serial2":
		return b.systemType("int2")
	case "serial", "serial4":
		return b.systemType("int4")
	case "bigserial", "serial8":
		return b.systemType("int8")
	default:
		return catalog.Type{}
	}
}
