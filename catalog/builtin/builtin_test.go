package builtin

import (
	"testing"

	"github.com/pgveil/pgveil/catalog"
)

func TestParts(t *testing.T) {
	s := catalog.New(Parts())
	if s.ServerVersion < 180000 {
		t.Errorf("ServerVersion = %d, want 18 or later", s.ServerVersion)
	}
	class, ok := s.Relation([]string{"pg_catalog"}, "", "pg_class")
	if !ok || class.OID != 1259 || class.Kind != catalog.Table {
		t.Fatalf("pg_class = %+v, %v", class, ok)
	}
	if i := class.ColumnIndex("oid"); i < 0 || class.Columns[i].Type.OID != 26 {
		t.Errorf("pg_class.oid has index %d", i)
	}
	tables, ok := s.Relation(nil, "information_schema", "tables")
	if !ok || tables.Kind != catalog.View || tables.Definition == "" {
		t.Errorf("information_schema.tables = %+v, %v", tables, ok)
	}
	if got := len(s.Funcs(nil, "pg_catalog", "lower")); got != 3 {
		t.Errorf("lower has %d functions, want those of text, ranges and multiranges", got)
	}
	if !s.HasType("pg_catalog", "jsonb") || len(s.OperatorSchemas("@>")) == 0 {
		t.Error("jsonb or its operator @> is missing")
	}
}

// A schema that a server was used for must not come along.
func TestNothingElse(t *testing.T) {
	for _, r := range Parts().Relations {
		if r.Governed() {
			t.Errorf("relation %s", r.QualifiedName())
		}
	}
	for _, typ := range Types() {
		if !catalog.SystemSchema(typ.Schema) || typ.Mod != -1 || typ.SQL == "" {
			t.Errorf("type %+v", typ)
		}
	}
}

func TestPartsMayBeAppendedTo(t *testing.T) {
	a, b := Parts(), Parts()
	a.Relations = append(a.Relations, catalog.Relation{Schema: "a"})
	b.Relations = append(b.Relations, catalog.Relation{Schema: "b"})
	if got := a.Relations[len(a.Relations)-1].Schema; got != "a" {
		t.Errorf("one caller sees the relation of another: schema %q", got)
	}
}
