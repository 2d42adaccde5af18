package ddl

import (
	"fmt"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

// addRelation makes a relation known, with its row type if it has one.
func (b *builder) addRelation(r *catalog.Relation) error {
	name := catalog.Name{Schema: r.Schema, Name: r.Name}
	if _, ok := b.byName[name]; ok {
		return fmt.Errorf("relation %s already exists", r.QualifiedName())
	}
	r.OID = b.newOID()
	if r.Kind != catalog.Sequence {
		row, err := b.addType(name, 'c', catalog.Name{})
		if err != nil {
			return err
		}
		b.rowTypes[row.OID] = r.OID
	}
	b.byName[name] = r
	b.relations = append(b.relations, r)
	return nil
}

func (b *builder) byOID(oid uint32) *catalog.Relation {
	i := slices.IndexFunc(b.relations, func(r *catalog.Relation) bool { return r.OID == oid })
	if i < 0 {
		return nil
	}
	return b.relations[i]
}

// children gives what inherits from a relation or is a partition of it.
func (b *builder) children(r *catalog.Relation) []*catalog.Relation {
	var found []*catalog.Relation
	for _, c := range b.relations {
		if slices.Contains(c.Parents, r.OID) {
			found = append(found, c)
		}
	}
	return found
}

func appendColumn(r *catalog.Relation, c catalog.Column) error {
	if r.ColumnIndex(c.Name) >= 0 {
		return fmt.Errorf("column %q of %s is named twice", c.Name, r.QualifiedName())
	}
	if len(r.Columns) >= maxColumns {
		return fmt.Errorf("%s has more than %d columns", r.QualifiedName(), maxColumns)
	}
	c.Num = int16(len(r.Columns) + 1)
	r.Columns = append(r.Columns, c)
	return nil
}

// maxColumns is PostgreSQL's own limit (MaxHeapAttributeNumber).
const maxColumns = 1600

// sortForeignKeys puts them in the order of their names, by bytes, in which
// they are loaded from a server.
func sortForeignKeys(r *catalog.Relation) {
	slices.SortFunc(r.ForeignKeys, func(a, b catalog.ForeignKey) int {
		return strings.Compare(a.Name, b.Name)
	})
}

func (b *builder) createSequence(s *pg.CreateSeqStmt) error {
	at, err := b.placeRelation(s.GetSequence())
	if err != nil {
		return err
	}
	if s.GetIfNotExists() && b.byName[at] != nil {
		return nil
	}
	return b.addSequence(at)
}

func (b *builder) addSequence(at catalog.Name) error {
	r := &catalog.Relation{Schema: at.Schema, Name: at.Name, Kind: catalog.Sequence}
	int8, boolean := b.systemType("int8"), b.systemType("bool")
	r.Columns = []catalog.Column{
		{Name: "last_value", Num: 1, Type: int8, NotNull: true},
		{Name: "log_cnt", Num: 2, Type: int8, NotNull: true},
		{Name: "is_called", Num: 3, Type: boolean, NotNull: true},
	}
	return b.addRelation(r)
}

// addColumnSequence makes the sequence behind a serial or identity column.
func (b *builder) addColumnSequence(r *catalog.Relation, column string) error {
	name := freeName(r.Name, column, "seq", func(name string) bool {
		return b.byName[catalog.Name{Schema: r.Schema, Name: name}] != nil
	})
	return b.addSequence(catalog.Name{Schema: r.Schema, Name: name})
}
