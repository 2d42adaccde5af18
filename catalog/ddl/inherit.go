package ddl

import (
	"fmt"
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

// inherit gives a new table the columns of its parents. A partition takes over
// identities, as from PostgreSQL 17 on; other children do not.
func (b *builder) inherit(r *catalog.Relation, nodes []*pg.Node) ([]*catalog.Relation, error) {
	var parents []*catalog.Relation
	for _, n := range nodes {
		parent, err := b.own(n.GetRangeVar())
		if err != nil {
			return nil, err
		}
		if r.Partition != (parent.Kind == catalog.PartitionedTable) {
			return nil, fmt.Errorf("%s cannot be the parent of %s", parent.QualifiedName(), r.QualifiedName())
		}
		if slices.Contains(parents, parent) {
			return nil, fmt.Errorf("%s is a parent twice", parent.QualifiedName())
		}
		for _, c := range parent.Columns {
			if err := addOrMerge(r, inherited(c, r.Partition), len(r.Columns)); err != nil {
				return nil, err
			}
		}
		parents = append(parents, parent)
		r.Parents = append(r.Parents, parent.OID)
	}
	return parents, nil
}

func inherited(c catalog.Column, partition bool) catalog.Column {
	if c.Identity != 0 && !partition {
		c.Identity, c.HasDefault = 0, false
	}
	return c
}

// addOrMerge adds a column, or merges it with one of the same name among the
// first n, which came from a parent.
func addOrMerge(r *catalog.Relation, c catalog.Column, n int) error {
	i := r.ColumnIndex(c.Name)
	if i < 0 || i >= n {
		return appendColumn(r, c)
	}
	has := &r.Columns[i]
	if has.Type != c.Type {
		return fmt.Errorf("column %q of %s is inherited with another type", c.Name, r.QualifiedName())
	}
	has.NotNull = has.NotNull || c.NotNull
	has.HasDefault = has.HasDefault || c.HasDefault
	has.Generated = has.Generated || c.Generated
	if c.Identity != 0 {
		has.Identity = c.Identity
	}
	return nil
}

// copyKeys gives a partition the keys of the table that it belongs to.
func (b *builder) copyKeys(r, parent *catalog.Relation) {
	if r.PrimaryKey == nil {
		for _, i := range parent.PrimaryKey {
			column := r.ColumnIndex(parent.Columns[i].Name)
			r.PrimaryKey = append(r.PrimaryKey, column)
			r.Columns[column].NotNull = true
		}
	}
	for _, fk := range parent.ForeignKeys {
		if !hasForeignKey(r, fk) {
			r.ForeignKeys = append(r.ForeignKeys, fk)
		}
	}
}

// attachPartition makes an existing table a partition.
func (b *builder) attachPartition(parent *catalog.Relation, cmd *pg.PartitionCmd) error {
	r, err := b.own(cmd.GetName())
	if err != nil {
		return err
	}
	if parent.Kind != catalog.PartitionedTable || r.Parents != nil || b.above(parent, r) {
		return fmt.Errorf("%s cannot be a partition of %s", r.QualifiedName(), parent.QualifiedName())
	}
	for _, c := range parent.Columns {
		i := r.ColumnIndex(c.Name)
		if i < 0 || r.Columns[i].Type != c.Type || len(r.Columns) != len(parent.Columns) {
			return fmt.Errorf("%s differs from %s in its columns", r.QualifiedName(), parent.QualifiedName())
		}
		if c.Identity != 0 {
			r.Columns[i].Identity, r.Columns[i].HasDefault = c.Identity, true
		}
	}
	r.Partition, r.Parents = true, []uint32{parent.OID}
	b.copyKeys(r, parent)
	return nil
}

// above tells whether up is r or an ancestor of it.
func (b *builder) above(r, up *catalog.Relation) bool {
	if r == up {
		return true
	}
	return slices.ContainsFunc(r.Parents, func(oid uint32) bool { return b.above(b.byOID(oid), up) })
}
