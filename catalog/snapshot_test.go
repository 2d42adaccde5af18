package catalog_test

import (
	"slices"
	"testing"

	"github.com/pgveil/pgveil/catalog"
)

func snapshot() *catalog.Snapshot {
	return catalog.New(catalog.Parts{
		Database: "crm", ServerVersion: 180000,
		Schemas: []string{"crm", "empty", "pg_catalog", "public"},
		Relations: []catalog.Relation{
			{OID: 3, Schema: "public", Name: "orders"},
			{OID: 2, Schema: "crm", Name: "orders", Columns: []catalog.Column{{Name: "id"}, {Name: "total"}}},
			{OID: 1, Schema: "pg_catalog", Name: "pg_class"},
		},
		Funcs: []catalog.Func{
			{OID: 10, Schema: "public", Name: "f"},
			{OID: 11, Schema: "crm", Name: "f", MinArgs: 1},
			{OID: 12, Schema: "crm", Name: "f", MinArgs: 2},
		},
		Types:     []catalog.Name{{Schema: "crm", Name: "stage"}, {Schema: "public", Name: "stage"}, {Schema: "crm", Name: "stage"}},
		Operators: []catalog.Name{{Schema: "pg_catalog", Name: "="}, {Schema: "crm", Name: "="}},
	})
}

func TestRelation(t *testing.T) {
	for _, tt := range []struct {
		name         string
		path         []string
		schema, find string
		want         uint32
	}{
		{"by schema", nil, "crm", "orders", 2},
		{"first of the path", []string{"public", "crm"}, "", "orders", 3},
		{"schema over path", []string{"public"}, "crm", "orders", 2},
		{"an unknown schema is passed over", []string{"nowhere", "crm"}, "", "orders", 2},
		{"not on the path", []string{"crm"}, "", "pg_class", 0},
		{"the system's only where the path has it", []string{"pg_catalog", "crm"}, "", "pg_class", 1},
		{"an empty path finds nothing", nil, "", "orders", 0},
		{"names are compared exactly", nil, "crm", "Orders", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, ok := snapshot().Relation(tt.path, tt.schema, tt.find)
			if ok != (tt.want != 0) || ok && r.OID != tt.want {
				t.Errorf("Relation(%v, %q, %q) = %+v, %v, want OID %d", tt.path, tt.schema, tt.find, r, ok, tt.want)
			}
		})
	}
}

func TestRelations(t *testing.T) {
	var names []string
	for _, r := range snapshot().Relations() {
		names = append(names, r.QualifiedName())
	}
	if want := []string{"crm.orders", "pg_catalog.pg_class", "public.orders"}; !slices.Equal(names, want) {
		t.Errorf("Relations() = %v, want %v", names, want)
	}
	r, ok := snapshot().RelationByOID(2)
	if !ok || r.QualifiedName() != "crm.orders" || !r.Governed() {
		t.Errorf("RelationByOID(2) = %+v, %v", r, ok)
	}
	if r, ok := snapshot().RelationByOID(99); ok {
		t.Errorf("RelationByOID(99) = %+v", r)
	}
}

func TestColumn(t *testing.T) {
	r, _ := snapshot().RelationByOID(2)
	if c, ok := r.Column("total"); !ok || c.Name != "total" || r.ColumnIndex("total") != 1 {
		t.Errorf("Column(total) = %+v, %v", c, ok)
	}
	if c, ok := r.Column("nothing"); ok || c != nil || r.ColumnIndex("nothing") != -1 {
		t.Errorf("Column(nothing) = %+v, %v", c, ok)
	}
}

func TestFuncs(t *testing.T) {
	for _, tt := range []struct {
		name   string
		path   []string
		schema string
		want   []uint32
	}{
		{"in path order", []string{"crm", "public"}, "", []uint32{11, 12, 10}},
		{"by schema", []string{"crm"}, "public", []uint32{10}},
		{"not on the path", []string{"pg_catalog"}, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []uint32
			for _, f := range snapshot().Funcs(tt.path, tt.schema, "f") {
				got = append(got, f.OID)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("Funcs(%v, %q) = %v, want %v", tt.path, tt.schema, got, tt.want)
			}
		})
	}
}

func TestTypesAndOperators(t *testing.T) {
	s := snapshot()
	if got := s.TypeSchema([]string{"pg_catalog", "public", "crm"}, "stage"); got != "public" {
		t.Errorf("TypeSchema = %q, want the first of the path that has it", got)
	}
	if got := s.TypeSchema([]string{"pg_catalog"}, "stage"); got != "" {
		t.Errorf("TypeSchema = %q off the path", got)
	}
	if !s.HasType("crm", "stage") || s.HasType("pg_catalog", "stage") {
		t.Error("HasType knows the wrong schema")
	}
	if got := s.OperatorSchemas("="); !slices.Equal(got, []string{"pg_catalog", "crm"}) {
		t.Errorf("OperatorSchemas(=) = %v", got)
	}
	if !s.HasSchema("crm") || !s.HasSchema("empty") || s.HasSchema("nowhere") {
		t.Error("HasSchema knows the wrong schema")
	}
}
