package ddl

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

// addType makes a type and the type of its arrays, and gives the former. Of
// domains, base is the type at the bottom.
func (b *builder) addType(at catalog.Name, kind byte, base catalog.Name) (catalog.Type, error) {
	if t, ok := b.types[at]; ok {
		return t, fmt.Errorf("type %s.%s already exists", at.Schema, at.Name)
	}
	t := catalog.Type{
		OID: b.newOID(), Schema: at.Schema, Name: at.Name, Mod: -1, Kind: kind, Base: base.Name, BaseSchema: base.Schema,
		SQL: quoteIdent(at.Schema) + "." + quoteIdent(at.Name),
	}
	if t.Base == "" {
		t.Base = t.Name
	}
	b.keepType(t)
	array := catalog.Type{
		OID: b.newOID(), Schema: at.Schema, Name: b.arrayName(at), Mod: -1, Kind: 'b',
		Elem: t.OID, SQL: t.SQL + "[]",
	}
	array.Base = array.Name
	b.keepType(array)
	b.arrays[t.OID] = array.OID
	return t, nil
}

func (b *builder) keepType(t catalog.Type) {
	name := catalog.Name{Schema: t.Schema, Name: t.Name}
	b.types[name] = t
	b.typesByOID[t.OID] = t
	b.newTypes = append(b.newTypes, name)
}

// arrayName is the element's name after an underscore, with a number where that
// is taken (makeArrayTypeName).
func (b *builder) arrayName(of catalog.Name) string {
	name := clip("_"+of.Name, maxName)
	for i := 1; ; i++ {
		if _, taken := b.types[catalog.Name{Schema: of.Schema, Name: name}]; !taken {
			return name
		}
		name = objectName("", of.Name, strconv.Itoa(i))
	}
}

func (b *builder) createEnum(s *pg.CreateEnumStmt) error {
	at, err := b.placeName(s.GetTypeName())
	if err != nil {
		return err
	}
	_, err = b.addType(at, 'e', catalog.Name{})
	return err
}

func (b *builder) createDomain(s *pg.CreateDomainStmt) error {
	at, err := b.placeName(s.GetDomainname())
	if err != nil {
		return err
	}
	over, err := b.resolveType(s.GetTypeName())
	if err != nil {
		return err
	}
	_, err = b.addType(at, 'd', catalog.Name{Schema: cmp.Or(over.BaseSchema, over.Schema), Name: over.Base})
	return err
}

func (b *builder) createComposite(s *pg.CompositeTypeStmt) error {
	at, err := b.placeRelation(s.GetTypevar())
	if err != nil {
		return err
	}
	r := &catalog.Relation{Schema: at.Schema, Name: at.Name, Kind: catalog.CompositeType}
	for _, n := range s.GetColdeflist() {
		t, err := b.resolveType(n.GetColumnDef().GetTypeName())
		if err != nil {
			return err
		}
		if err := appendColumn(r, catalog.Column{Name: n.GetColumnDef().GetColname(), Type: t}); err != nil {
			return err
		}
	}
	return b.addRelation(r)
}

// resolveType finds the type that a statement names, with its modifier.
func (b *builder) resolveType(n *pg.TypeName) (catalog.Type, error) {
	if n == nil {
		return catalog.Type{}, errors.New("a type is missing")
	}
	t, err := b.elementType(n)
	if err != nil || len(n.GetArrayBounds()) == 0 {
		return t, err
	}
	return b.arrayOf(t)
}

// arrayOf gives the array type of an element type, whose modifier it takes on.
func (b *builder) arrayOf(elem catalog.Type) (catalog.Type, error) {
	array, ok := b.typesByOID[b.arrays[elem.OID]]
	if !ok {
		return catalog.Type{}, fmt.Errorf("type %s has no arrays", elem.SQL)
	}
	array.Mod, array.SQL = elem.Mod, elem.SQL+"[]"
	return array, nil
}

func (b *builder) elementType(n *pg.TypeName) (catalog.Type, error) {
	if n.GetPctType() {
		return b.typeOfColumn(n.GetNames())
	}
	schema, name, err := split(n.GetNames())
	if err != nil {
		return catalog.Type{}, err
	}
	t, err := b.namedType(schema, name)
	if err != nil || len(n.GetTypmods()) == 0 {
		return t, err
	}
	return withModifier(t, n.GetTypmods())
}

func (b *builder) namedType(schema, name string) (catalog.Type, error) {
	if schema != "" {
		if t, ok := b.types[catalog.Name{Schema: schema, Name: name}]; ok {
			return t, nil
		}
		return catalog.Type{}, fmt.Errorf("type %q.%q does not exist", schema, name)
	}
	for _, s := range b.lookupPath() {
		if t, ok := b.types[catalog.Name{Schema: s, Name: name}]; ok {
			return t, nil
		}
	}
	return catalog.Type{}, fmt.Errorf("type %q does not exist", name)
}

// typeOfColumn resolves table.column%TYPE. The modifier stays behind.
func (b *builder) typeOfColumn(names []*pg.Node) (catalog.Type, error) {
	parts := texts(names)
	if len(parts) < 2 {
		return catalog.Type{}, errors.New("%TYPE needs a table and a column")
	}
	schema, table, err := split(names[:len(names)-1])
	if err != nil {
		return catalog.Type{}, err
	}
	r, err := b.relation(&pg.RangeVar{Schemaname: schema, Relname: table})
	if err != nil {
		return catalog.Type{}, err
	}
	column, ok := r.Column(parts[len(parts)-1])
	if !ok {
		return catalog.Type{}, noColumn(r, parts[len(parts)-1])
	}
	return b.typesByOID[column.Type.OID], nil
}

func (b *builder) systemType(name string) catalog.Type {
	return b.types[catalog.Name{Schema: "pg_catalog", Name: name}]
}

func noColumn(r *catalog.Relation, name string) error {
	return fmt.Errorf("%s has no column %q", r.QualifiedName(), name)
}
