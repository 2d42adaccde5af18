package ddl

import (
	"errors"
	"fmt"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

func (b *builder) createView(s *pg.ViewStmt) error {
	at, err := b.placeRelation(s.GetView())
	if err != nil {
		return err
	}
	r := &catalog.Relation{Schema: at.Schema, Name: at.Name, Kind: catalog.View}
	if err := b.defineView(r, s.GetQuery(), texts(s.GetAliases())); err != nil {
		return err
	}
	old := b.byName[at]
	if old == nil || !s.GetReplace() {
		return b.addRelation(r)
	}
	if old.Kind != catalog.View {
		return fmt.Errorf("%s is not a view", old.QualifiedName())
	}
	old.Columns, old.Definition = r.Columns, r.Definition
	return nil
}

func (b *builder) createMaterializedView(s *pg.CreateTableAsStmt) error {
	if s.GetObjtype() != pg.ObjectType_OBJECT_MATVIEW {
		return errors.New("CREATE TABLE AS is not supported")
	}
	at, err := b.placeRelation(s.GetInto().GetRel())
	if err != nil {
		return err
	}
	if s.GetIfNotExists() && b.byName[at] != nil {
		return nil
	}
	r := &catalog.Relation{Schema: at.Schema, Name: at.Name, Kind: catalog.MaterializedView}
	if err := b.defineView(r, s.GetQuery(), texts(s.GetInto().GetColNames())); err != nil {
		return err
	}
	return b.addRelation(r)
}

// defineView gives a view its columns and its definition.
func (b *builder) defineView(r *catalog.Relation, query *pg.Node, names []string) error {
	sel := query.GetSelectStmt()
	if sel == nil {
		return fmt.Errorf("%s is not a query", r.QualifiedName())
	}
	columns, err := b.query(sel, nil)
	if err != nil {
		return fmt.Errorf("view %s: %w", r.QualifiedName(), err)
	}
	if len(names) > len(columns) {
		return fmt.Errorf("view %s names more columns than it has", r.QualifiedName())
	}
	columns = settled(columns, b)
	for i, name := range names {
		columns[i].name = name
		leftmost(sel).GetTargetList()[i].GetResTarget().Name = name
	}
	for _, c := range columns {
		if c.name == "" {
			return fmt.Errorf("view %s: column %d has no certain name: give the view a list of column names",
				r.QualifiedName(), len(r.Columns)+1)
		}
		if err := appendColumn(r, catalog.Column{Name: c.name, Type: c.typ}); err != nil {
			return err
		}
	}
	b.qualify(sel)
	r.Definition, err = deparse(sel)
	return err
}

// leftmost is the select that names the columns of a set operation.
func leftmost(sel *pg.SelectStmt) *pg.SelectStmt {
	for sel.GetLarg() != nil {
		sel = sel.GetLarg()
	}
	return sel
}

func deparse(sel *pg.SelectStmt) (string, error) {
	// An empty text gives a tree that carries the parser's version.
	tree, err := pg.Parse("")
	if err != nil {
		return "", fmt.Errorf("writing a view's definition: %w", err)
	}
	tree.Stmts = []*pg.RawStmt{{Stmt: &pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: sel}}}}
	text, err := pg.Deparse(tree)
	if err != nil {
		return "", fmt.Errorf("writing a view's definition: %w", err)
	}
	return text, nil
}
