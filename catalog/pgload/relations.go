package pgload

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
)

var (
	//go:embed sql/schemas.sql
	schemasSQL string
	//go:embed sql/relations.sql
	relationsSQL string
	//go:embed sql/columns.sql
	columnsSQL string
	//go:embed sql/constraints.sql
	constraintsSQL string
	//go:embed sql/parents.sql
	parentsSQL string
)

func (l *loader) loadSchemas(ctx context.Context, tx pgx.Tx) error {
	var name string
	return each(ctx, tx, schemasSQL, []any{&name}, func() error {
		l.parts.Schemas = append(l.parts.Schemas, name)
		return nil
	})
}

func (l *loader) loadRelations(ctx context.Context, tx pgx.Tx) error {
	l.relations = map[uint32]int{}
	var r catalog.Relation
	dest := []any{&r.OID, &r.Schema, &r.Name, (*byte)(&r.Kind), &r.Partition, &r.Definition, &r.Guarded, &r.Readers, &r.Reached}
	return each(ctx, tx, relationsSQL, dest, func() error {
		l.relations[r.OID] = len(l.parts.Relations)
		l.parts.Relations = append(l.parts.Relations, r)
		r.Readers, r.Reached = nil, nil
		return nil
	})
}

func (l *loader) loadColumns(ctx context.Context, tx pgx.Tx) error {
	var (
		c         catalog.Column
		relation  uint32
		typ       uint32
		mod       int32
		formatted string
	)
	dest := []any{
		&relation, &c.Name, &c.Num, &typ, &mod, &formatted,
		&c.NotNull, &c.HasDefault, &c.Generated, &c.Identity, &c.Loose,
	}
	return each(ctx, tx, columnsSQL, dest, func() error {
		r, err := l.relation(relation)
		if err != nil {
			return err
		}
		t, ok := l.types[typ]
		if !ok {
			return fmt.Errorf("column %s.%s has unknown type %d", r.QualifiedName(), c.Name, typ)
		}
		c.Type = t.Type
		c.Type.Mod = mod
		if mod >= 0 {
			c.Type.SQL = formatted
		}
		r.Columns = append(r.Columns, c)
		return nil
	})
}

func (l *loader) loadConstraints(ctx context.Context, tx pgx.Tx) error {
	var (
		relation, ref uint32
		kind          byte
		key, refKey   []int16
		fk            catalog.ForeignKey
	)
	dest := []any{&relation, &kind, &fk.Name, &key, &ref, &refKey, &fk.OnDelete}
	return each(ctx, tx, constraintsSQL, dest, func() error {
		r, err := l.relation(relation)
		if err != nil {
			return err
		}
		if kind == 'p' {
			r.PrimaryKey, err = indexes(r, key)
			return err
		}
		to, err := l.relation(ref)
		if err != nil {
			return err
		}
		fk.RefSchema, fk.RefTable = to.Schema, to.Name
		if fk.Columns, err = names(r, key); err != nil {
			return err
		}
		if fk.RefColumns, err = names(to, refKey); err != nil {
			return err
		}
		r.ForeignKeys = append(r.ForeignKeys, fk)
		return nil
	})
}

func (l *loader) loadParents(ctx context.Context, tx pgx.Tx) error {
	var relation, parent uint32
	return each(ctx, tx, parentsSQL, []any{&relation, &parent}, func() error {
		r, err := l.relation(relation)
		if err != nil {
			return err
		}
		r.Parents = append(r.Parents, parent)
		return nil
	})
}

// relation finds what another query spoke of. All see the same state of the
// database, so that a relation which is not there is a bug in a query.
func (l *loader) relation(oid uint32) (*catalog.Relation, error) {
	i, ok := l.relations[oid]
	if !ok {
		return nil, fmt.Errorf("internal error: relation %d was not loaded", oid)
	}
	return &l.parts.Relations[i], nil
}

// indexes turns attribute numbers into indexes of columns; the two differ
// once a column was dropped.
func indexes(r *catalog.Relation, nums []int16) ([]int, error) {
	found := make([]int, 0, len(nums))
	for _, num := range nums {
		i := indexOf(r, num)
		if i < 0 {
			return nil, fmt.Errorf("internal error: %s has no column %d", r.QualifiedName(), num)
		}
		found = append(found, i)
	}
	return found, nil
}

func names(r *catalog.Relation, nums []int16) ([]string, error) {
	at, err := indexes(r, nums)
	if err != nil {
		return nil, err
	}
	found := make([]string, len(at))
	for i, column := range at {
		found[i] = r.Columns[column].Name
	}
	return found, nil
}

func indexOf(r *catalog.Relation, num int16) int {
	for i := range r.Columns {
		if r.Columns[i].Num == num {
			return i
		}
	}
	return -1
}
