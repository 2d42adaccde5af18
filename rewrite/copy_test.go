package rewrite_test

import (
	"fmt"
	"testing"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// COPY of a temporary table that hides another asks for none of the columns of
// the table that it hides.
func TestCopyOfTemporary(t *testing.T) {
	cat, err := ddl.Parse("CREATE TABLE t (id int, twice int GENERATED ALWAYS AS (id * 2) STORED)")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: `
version: 1
mode: enforce
purposes: {work: {basis: contract}}
classes: {open: ["public.*.*"]}
roles: {r: {purposes: [work], tables: [{on: "public.*"}]}}
users: {nina: {roles: [r]}}`})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	e := rewrite.New(cat, set, 1<<16)
	s := session(t, e, "nina", "work")
	name := fmt.Sprintf("%s%x_t", rewrite.TemporaryPrefix, s.Access.ID)
	s.Temporary = []*catalog.Relation{{Schema: "pg_temp", Name: name, Columns: []catalog.Column{{Name: "other"}}}}
	for _, tt := range []struct{ sql, want string }{
		{"COPY t TO STDOUT", "COPY (SELECT * FROM (SELECT pgveil_t.other AS other FROM ONLY pg_temp." + name + " pgveil_t) t) TO STDOUT"},
		{"COPY t FROM STDIN", "COPY pg_temp." + name + " FROM STDIN"},
		{"COPY public.t TO STDOUT", "COPY (SELECT t.id FROM ONLY public.t) TO STDOUT"},
	} {
		p, err := e.Plan(s, tt.sql)
		if err != nil {
			t.Fatal(err)
		}
		if p.SQL != tt.want {
			t.Errorf("%s is sent as %s, want %s", tt.sql, p.SQL, tt.want)
		}
	}
}
