package rewrite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// shop gives an engine for the shop fixture, without a server.
func shop(t testing.TB) *rewrite.Engine {
	t.Helper()
	dir := filepath.Join("..", "testdata", "fixtures", "shop")
	schema, err := os.ReadFile(filepath.Join(dir, "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := ddl.Parse(string(schema))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Load(filepath.Join(dir, "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	return rewrite.New(cat, set, 1<<20)
}

func session(t testing.TB, e *rewrite.Engine, login, purpose string) rewrite.Session {
	t.Helper()
	a, err := e.Policy.Access(login, purpose)
	if err != nil {
		t.Fatal(err)
	}
	return rewrite.Session{Access: a, Path: []string{"pg_catalog", "public"}}
}

func TestPlanWithoutAccessIsAnError(t *testing.T) {
	if p, err := shop(t).Plan(rewrite.Session{}, "SELECT 1"); err == nil {
		t.Errorf("Plan without an access gave %+v", p)
	}
}

func TestPlanServesRepeatsFromTheCache(t *testing.T) {
	e := shop(t)
	s := session(t, e, "alice", "support")
	for _, sql := range []string{"SELECT email FROM customers", "SELECT ssn FROM customers", "SELEC"} {
		first, firstErr := e.Plan(s, sql)
		again, err, ok := e.Cached(s.Access.ID, strings.Join(s.Path, "\x00"), []byte(sql))
		if !ok || again != first || !errors.Is(err, firstErr) {
			t.Errorf("Cached(%q) = %v, %v, %v after Plan gave %v, %v", sql, again, err, ok, first, firstErr)
		}
	}
	if _, _, ok := e.Cached(s.Access.ID+1, strings.Join(s.Path, "\x00"), []byte("SELECT email FROM customers")); ok {
		t.Error("another access is served the plan")
	}
}

func TestCachedAllocatesNothing(t *testing.T) {
	e := shop(t)
	s := session(t, e, "alice", "support")
	sql, path := []byte("SELECT email FROM customers WHERE id = 1"), strings.Join(s.Path, "\x00")
	if _, err := e.Plan(s, string(sql)); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { e.Cached(s.Access.ID, path, sql) }); n != 0 {
		t.Errorf("Cached allocates %v times", n)
	}
}

// FuzzPlan plans arbitrary texts for callers with restrictions. Whatever comes
// out must not read a governed relation but through a generated sub-select.
func FuzzPlan(f *testing.F) {
	for _, sql := range []string{
		"SELECT * FROM customers",
		"SELECT c.email, (c).ssn FROM public.customers c JOIN orders USING (id)",
		"WITH w AS (UPDATE customers SET phone = $1 RETURNING *) SELECT * FROM w",
		"SELECT (SELECT max(email) FROM customers) FROM orders GROUP BY id HAVING count(*) > 1",
		"INSERT INTO tickets (customer_id, subject) SELECT id, email FROM customers ON CONFLICT DO NOTHING",
		"COPY customers (id, email) TO STDOUT", "DECLARE c CURSOR FOR TABLE customers", "PREPARE p AS SELECT card FROM customers",
		"SET search_path = x; SELECT 1", "SELECT * FROM pg_class, LATERAL unnest(relacl)", "DELETE FROM ONLY customers USING orders o WHERE o.id = 1",
	} {
		f.Add(sql)
	}
	e := shop(f)
	sessions := []rewrite.Session{session(f, e, "alice", "support"), session(f, e, "ana", "analytics"), session(f, e, "sam", "sales")}
	f.Fuzz(func(t *testing.T, sql string) {
		for _, s := range sessions {
			p, err := e.Plan(s, sql)
			var refusal *rewrite.Refusal
			if err != nil && !errors.As(err, &refusal) && !strings.Contains(err.Error(), "internal error") {
				t.Errorf("Plan(%q) = %v, which is neither a refusal nor named a bug", sql, err)
			}
			if err == nil {
				checkWrapped(t, e, sql, p)
			}
		}
	})
}

// checkWrapped looks at a plan's text by its own means: a governed relation is
// read only under the name that generated sub-selects use.
func checkWrapped(t *testing.T, e *rewrite.Engine, sql string, p *rewrite.Plan) {
	stmts, err := parse.Parse(p.SQL)
	if err != nil {
		t.Fatalf("Plan(%q).SQL = %q does not parse: %v", sql, p.SQL, err)
	}
	for _, st := range stmts {
		targets := map[*pg_query.RangeVar]bool{}
		parse.Walk(st.Node, func(m proto.Message) bool {
			switch v := m.(type) {
			case *pg_query.InsertStmt:
				targets[v.Relation] = true
			case *pg_query.UpdateStmt:
				targets[v.Relation] = true
			case *pg_query.DeleteStmt:
				targets[v.Relation] = true
			case *pg_query.CopyStmt:
				targets[v.Relation] = v.IsFrom
			case *pg_query.LockingClause:
				return false
			case *pg_query.RangeVar:
				rel, ok := e.Catalog.Relation([]string{"public"}, v.Schemaname, v.Relname)
				if ok && rel.Governed() && v.Schemaname != "" && !targets[v] && v.GetAlias().GetAliasname() != "pgveil_t" {
					t.Errorf("Plan(%q).SQL = %q reads %s as it is", sql, p.SQL, v.Relname)
				}
			}
			return true
		})
	}
}
