package ddl

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// A snapshot of a text is what a server has after running it, and so is that of
// the text in which pg_dump would put the same.
func TestAgreesWithServer(t *testing.T) {
	for _, name := range schemas(t) {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(name, "../../testdata/fixtures/"), ".sql"), func(t *testing.T) {
			database := check(t, readFile(t, name))
			t.Run("dump", func(t *testing.T) { check(t, dump(t, database)) })
		})
	}
}

// check compares what Parse and a server make of a text, and gives the name of
// the server's database.
func check(t *testing.T, sql string) string {
	t.Helper()
	database := pgtest.Database(t, "")
	conn := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	if _, err := conn.Exec(t.Context(), withoutRestrict(sql)); err != nil {
		t.Fatal(err)
	}
	want, err := pgload.Parts(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	// A snapshot from text knows of an extension only the types that columns have.
	want.Funcs = slices.DeleteFunc(want.Funcs, func(f catalog.Func) bool { return f.Extension != "" })
	want.Operators = slices.DeleteFunc(want.Operators, func(o catalog.Name) bool { return o.Extension != "" })
	want.Types = slices.DeleteFunc(want.Types, func(n catalog.Name) bool { return strings.Contains(n.Name, "gbtreekey") }) // of btree_gist's indexes
	got, err := parseParts(sql)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(describeParts(want), describeParts(got), cmpopts.IgnoreFields(catalog.Relation{}, "Definition", "Guarded", "Readers", "Reached")); diff != "" {
		t.Errorf("the snapshot of a text differs (-server +text):\n%s", diff)
	}
	return database
}

func schemas(t *testing.T) []string {
	t.Helper()
	own, err := filepath.Glob("testdata/schemas/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	fixtures, err := filepath.Glob("../../testdata/fixtures/*/schema.sql")
	if err != nil || len(own) == 0 || len(fixtures) == 0 {
		t.Fatalf("found %d schemas and %d fixtures, %v", len(own), len(fixtures), err)
	}
	return append(own, fixtures...)
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// dump needs the pg_dump of the server's version or a newer one.
func dump(t *testing.T, database string) string {
	t.Helper()
	program, ok := pgtest.Program(t, "pg_dump")
	if !ok {
		t.Skip("no pg_dump beside the server")
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, "--schema-only", pgtest.Server(t).DSN(database, pgserver.Superuser))
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, &stderr)
	}
	return string(out)
}

// description is parts without what two databases cannot have in common: OIDs
// and the order in which things were made.
type description struct {
	Schemas   []string
	Relations map[string]relation
	Funcs     []function
	Types     []string
	Operators []string
}

type relation struct {
	catalog.Relation
	Parents []string
}

type function struct {
	catalog.Func
	RowType string
}

func describeParts(p catalog.Parts) description {
	names := map[uint32]string{}
	for _, r := range p.Relations {
		names[r.OID] = r.QualifiedName()
	}
	d := description{Schemas: p.Schemas, Relations: map[string]relation{}}
	for _, r := range p.Relations {
		if r.Governed() {
			d.Relations[r.QualifiedName()] = describeRelation(r, names)
		}
	}
	for _, f := range p.Funcs {
		if !catalog.SystemSchema(f.Schema) {
			row := names[f.RowType]
			f.OID, f.RowType, f.Returns = 0, 0, systemOID(f.Returns)
			d.Funcs = append(d.Funcs, function{f, row})
		}
	}
	slices.SortFunc(d.Funcs, func(a, b function) int {
		return strings.Compare(a.Schema+a.Name+string(rune('0'+a.MaxArgs)), b.Schema+b.Name+string(rune('0'+b.MaxArgs)))
	})
	d.Types = ownNames(p.Types)
	d.Operators = ownNames(p.Operators)
	return d
}

func describeRelation(r catalog.Relation, names map[uint32]string) relation {
	d := relation{Relation: r}
	for _, oid := range r.Parents {
		d.Parents = append(d.Parents, names[oid])
	}
	d.OID, d.Relation.Parents = 0, nil
	d.Columns = slices.Clone(r.Columns)
	for i := range d.Columns {
		typ := &d.Columns[i].Type
		typ.OID, typ.Elem = systemOID(typ.OID), systemOID(typ.Elem)
	}
	return d
}

func systemOID(oid uint32) uint32 {
	if oid < firstOID {
		return oid
	}
	return 0
}

func ownNames(names []catalog.Name) []string {
	var own []string
	for _, n := range names {
		if !catalog.SystemSchema(n.Schema) {
			own = append(own, n.Schema+"."+n.Name)
		}
	}
	slices.Sort(own)
	return own
}
