package policy

import (
	"testing"
	"time"

	"github.com/pgveil/pgveil/catalog"
)

// testDay is the day on which the tests take place.
var testDay = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func atTestDay() time.Time { return testDay }

func columnOf(name, typ string) catalog.Column {
	t := catalog.Type{Schema: "pg_catalog", Name: typ, SQL: typ, Mod: -1, Kind: 'b', Base: typ}
	if typ == "citext" {
		t.Schema, t.SQL = "ext", "ext.citext"
	}
	return catalog.Column{Name: name, Type: t}
}

// relationOf makes a relation from its columns' names and types by turns.
func relationOf(oid uint32, schema, name string, kind catalog.RelKind, columns ...string) catalog.Relation {
	r := catalog.Relation{OID: oid, Schema: schema, Name: name, Kind: kind}
	for i := 0; i < len(columns); i += 2 {
		r.Columns = append(r.Columns, columnOf(columns[i], columns[i+1]))
	}
	return r
}

func referring(r catalog.Relation, keys ...catalog.ForeignKey) catalog.Relation {
	r.ForeignKeys = keys
	return r
}

func key(column, table, ref string) catalog.ForeignKey {
	return catalog.ForeignKey{Name: column, Columns: []string{column}, RefSchema: "crm", RefTable: table, RefColumns: []string{ref}}
}

// crm is the database of the tests and of docs/policy.md.
func crm() *catalog.Snapshot {
	const table, view = catalog.Table, catalog.View
	partition := referring(relationOf(5, "crm", "orders_2026", table, "id", "int8", "customer_id", "int8", "total", "numeric", "card", "text"))
	partition.Parents, partition.Partition = []uint32{2}, true
	return catalog.New(catalog.Parts{
		Relations: []catalog.Relation{
			relationOf(1, "crm", "customers", table, "id", "int8", "first_name", "text", "last_name", "text", "email", "citext",
				"phone", "text", "ssn", "text", "birth_date", "date", "country", "text", "region", "text", "notes", "text"),
			referring(relationOf(2, "crm", "orders", catalog.PartitionedTable, "id", "int8", "customer_id", "int8", "total", "numeric", "card", "text"),
				key("customer_id", "customers", "id")),
			referring(relationOf(3, "crm", "order_lines", table, "id", "int8", "order_id", "int8", "sku", "text"), key("order_id", "orders", "id")),
			referring(relationOf(4, "crm", "tickets", table, "id", "int8", "customer_id", "int8", "region", "text", "body", "text", "closed_at", "timestamptz"),
				key("customer_id", "customers", "id")),
			partition,
			referring(relationOf(6, "crm", "transfers", table, "id", "int8", "payer", "int8", "payee", "int8"),
				key("payer", "customers", "id"), key("payee", "customers", "id")),
			relationOf(7, "crm", "consents", table, "customer_id", "int8", "purpose", "text", "given_at", "timestamptz", "withdrawn_at", "timestamptz", "agreed", "bool"),
			relationOf(8, "crm", "visits", table, "id", "int8", "customer_ref", "int8", "seen_at", "timestamptz"),
			relationOf(9, "crm", "customer_overview", view, "id", "int8", "email", "citext"),
			relationOf(10, "crm", "Order Lines", table, "Unit Price", "numeric"),
			relationOf(11, "crm", "customers_id_seq", catalog.Sequence, "last_value", "int8"),
			relationOf(12, "pg_catalog", "pg_statistic", table, "stavalues1", "text"),
		},
		Funcs: []catalog.Func{
			{OID: 100, Schema: "crm", Name: "shipping_cost", Kind: 'f'},
			{OID: 101, Schema: "ext", Name: "similarity", Kind: 'f', Extension: "pg_trgm"},
		},
	})
}

// compileText compiles one file against the crm database, on the test day.
func compileText(t testing.TB, text string) (*Set, *catalog.Snapshot) {
	t.Helper()
	d, err := Parse(File{"p.yaml", text})
	if err != nil {
		t.Fatal(err)
	}
	cat := crm()
	s, err := Compile(d, cat, Clock(atTestDay))
	if err != nil {
		t.Fatal(err)
	}
	return s, cat
}

func mustAccess(t testing.TB, s *Set, login, purpose string) *Access {
	t.Helper()
	a, err := s.Access(login, purpose)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustRelation(t testing.TB, cat *catalog.Snapshot, schema, name string) *catalog.Relation {
	t.Helper()
	r, ok := cat.Relation(nil, schema, name)
	if !ok {
		t.Fatalf("the fixture has no %s.%s", schema, name)
	}
	return r
}
