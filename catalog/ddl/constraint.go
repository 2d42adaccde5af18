package ddl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

// addConstraint adds a constraint to a table and, unless ONLY was written, to
// its partitions.
func (b *builder) addConstraint(r *catalog.Relation, c *pg.Constraint, recurse bool) error {
	switch c.GetContype() {
	case pg.ConstrType_CONSTR_PRIMARY:
		if c.GetIndexname() != "" {
			return errors.New("PRIMARY KEY USING INDEX is not supported")
		}
		return b.addPrimaryKey(r, texts(c.GetKeys()), recurse)
	case pg.ConstrType_CONSTR_FOREIGN:
		return b.addForeignKey(r, c, recurse)
	case pg.ConstrType_CONSTR_UNIQUE, pg.ConstrType_CONSTR_CHECK, pg.ConstrType_CONSTR_EXCLUSION:
		if c.GetConname() != "" {
			b.keyNames[catalog.Name{Schema: r.Schema, Name: c.GetConname()}] = true
		}
		return nil
	default:
		return fmt.Errorf("constraint %s is not supported", c.GetContype())
	}
}

func (b *builder) addPrimaryKey(r *catalog.Relation, columns []string, recurse bool) error {
	if r.PrimaryKey != nil {
		return fmt.Errorf("%s has two primary keys", r.QualifiedName())
	}
	for _, name := range columns {
		i := r.ColumnIndex(name)
		if i < 0 {
			return noColumn(r, name)
		}
		r.PrimaryKey = append(r.PrimaryKey, i)
		if err := b.setNotNull(r, name, recurse); err != nil {
			return err
		}
	}
	if !recurse {
		return nil
	}
	for _, child := range b.children(r) {
		if child.Partition && child.PrimaryKey == nil {
			if err := b.addPrimaryKey(child, columns, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// setNotNull holds for what inherits the column as well.
func (b *builder) setNotNull(r *catalog.Relation, name string, recurse bool) error {
	return b.changeColumn(r, name, recurse, func(c *catalog.Column) { c.NotNull = true })
}

// changeColumn changes a column of a relation and, unless ONLY was written, of
// all that inherit it.
func (b *builder) changeColumn(r *catalog.Relation, name string, recurse bool, change func(*catalog.Column)) error {
	c, ok := r.Column(name)
	if !ok {
		return noColumn(r, name)
	}
	change(c)
	if !recurse {
		return nil
	}
	for _, child := range b.children(r) {
		if err := b.changeColumn(child, name, true, change); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) addForeignKey(r *catalog.Relation, c *pg.Constraint, recurse bool) error {
	fk, err := b.foreignKey(r, c)
	if err != nil {
		return err
	}
	if fk.Name == "" {
		fk.Name = freeName(r.Name, joined(fk.Columns), "fkey", func(name string) bool {
			return b.keyNames[catalog.Name{Schema: r.Schema, Name: name}]
		})
	}
	return b.attachForeignKey(r, fk, recurse)
}

func (b *builder) foreignKey(r *catalog.Relation, c *pg.Constraint) (catalog.ForeignKey, error) {
	fk := catalog.ForeignKey{Name: c.GetConname(), Columns: texts(c.GetFkAttrs()), OnDelete: 'a'}
	if action := c.GetFkDelAction(); action != "" {
		fk.OnDelete = action[0]
	}
	to, err := b.own(c.GetPktable())
	if err != nil {
		return fk, err
	}
	fk.RefSchema, fk.RefTable, fk.RefColumns = to.Schema, to.Name, texts(c.GetPkAttrs())
	if len(fk.RefColumns) == 0 {
		if to.PrimaryKey == nil {
			return fk, fmt.Errorf("%s has no primary key to refer to", to.QualifiedName())
		}
		fk.RefColumns = columnNames(to, to.PrimaryKey)
	}
	if len(fk.Columns) != len(fk.RefColumns) {
		return fk, fmt.Errorf("foreign key of %s has %d columns but refers to %d", r.QualifiedName(), len(fk.Columns), len(fk.RefColumns))
	}
	return fk, errors.Join(haveColumns(r, fk.Columns), haveColumns(to, fk.RefColumns))
}

// attachForeignKey adds a foreign key under its name, also to the partitions.
func (b *builder) attachForeignKey(r *catalog.Relation, fk catalog.ForeignKey, recurse bool) error {
	if slices.ContainsFunc(r.ForeignKeys, func(has catalog.ForeignKey) bool { return has.Name == fk.Name }) {
		return fmt.Errorf("%s has two constraints %q", r.QualifiedName(), fk.Name)
	}
	r.ForeignKeys = append(r.ForeignKeys, fk)
	b.keyNames[catalog.Name{Schema: r.Schema, Name: fk.Name}] = true
	if !recurse {
		return nil
	}
	for _, child := range b.children(r) {
		if child.Partition && !hasForeignKey(child, fk) {
			if err := b.attachForeignKey(child, fk, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasForeignKey tells whether a partition already has what its parent's
// foreign key demands, under whatever name.
func hasForeignKey(r *catalog.Relation, fk catalog.ForeignKey) bool {
	return slices.ContainsFunc(r.ForeignKeys, func(has catalog.ForeignKey) bool {
		return slices.Equal(has.Columns, fk.Columns) && slices.Equal(has.RefColumns, fk.RefColumns) &&
			has.RefSchema == fk.RefSchema && has.RefTable == fk.RefTable && has.OnDelete == fk.OnDelete
	})
}

func haveColumns(r *catalog.Relation, names []string) error {
	for _, name := range names {
		if r.ColumnIndex(name) < 0 {
			return noColumn(r, name)
		}
	}
	return nil
}

func columnNames(r *catalog.Relation, indexes []int) []string {
	names := make([]string, len(indexes))
	for i, column := range indexes {
		names[i] = r.Columns[column].Name
	}
	return names
}

// joined is how the columns enter a foreign key's name.
func joined(columns []string) string {
	return clip(strings.Join(columns, "_"), maxName)
}
