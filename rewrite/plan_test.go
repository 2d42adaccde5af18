package rewrite_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
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

func TestLookupServesRepeatsAsPlanned(t *testing.T) {
	e := shop(t)
	var l rewrite.Lookup
	l.Use(e, session(t, e, "alice", "support"))
	for _, sql := range []string{"SELECT email FROM customers", "SELECT ssn FROM customers", "SELEC"} {
		first, _, firstErr := l.Plan([]byte(sql))
		again, hit, err := l.Plan([]byte(sql))
		if !hit || again.Plan != first.Plan || !errors.Is(err, firstErr) {
			t.Errorf("Plan(%q) = %v, %v, %v after %v, %v", sql, again, hit, err, first, firstErr)
		}
	}
	l.Use(e, session(t, e, "ana", "analytics"))
	if _, hit, _ := l.Plan([]byte("SELECT email FROM customers")); hit {
		t.Error("another access is served the plan")
	}
}

// Texts that differ in literals share a plan, and what is sent for them is
// what planning each by itself gives.
func TestLookupSharesPlansBetweenLiterals(t *testing.T) {
	e, alone := shop(t), shop(t)
	s, lone := session(t, e, "alice", "support"), session(t, alone, "alice", "support")
	for _, tt := range []struct {
		name   string
		shares bool
		texts  []string
	}{
		{"numbers", true, []string{"SELECT email FROM customers WHERE id = 1", "SELECT email FROM customers WHERE id = 22", "SELECT email FROM customers WHERE id = 333"}},
		{"strings with quotes", true, []string{"SELECT id FROM customers WHERE card = 'a'", "SELECT id FROM customers WHERE card = 'b''; --'", "SELECT id FROM customers WHERE card = '\\'"}},
		{"write-back", true, []string{"UPDATE customers SET phone = '1', email = 'a' WHERE id = 1", "UPDATE customers SET phone = '2', email = 'b' WHERE id = 2", "UPDATE customers SET phone = '3', email = 'c' WHERE id = 3"}},
		{"lists", true, []string{"SELECT id FROM customers WHERE card IN ('1', '2')", "SELECT id FROM customers WHERE card IN ('3', '4')", "SELECT id FROM customers WHERE card IN ('5', '6')"}},
		{"negative numbers", true, []string{"SELECT id FROM orders WHERE total > -1.5", "SELECT id FROM orders WHERE total > -2.5", "SELECT id FROM orders WHERE total > -3.25"}},
		{"refusals", true, []string{"SELECT ssn FROM customers WHERE id = 1", "SELECT ssn FROM customers WHERE id = 2", "SELECT ssn FROM customers WHERE id = 3"}},
		{"a column's number", false, []string{"SELECT id, status FROM orders ORDER BY 1", "SELECT id, status FROM orders ORDER BY 2", "SELECT id, status FROM orders ORDER BY 1 "}},
		{"a type's length", false, []string{"SELECT email::varchar(1) FROM customers", "SELECT email::varchar(2) FROM customers", "SELECT email::varchar(3) FROM customers"}},
		{"a setting's name", false, []string{"SELECT current_setting('datestyle')", "SELECT current_setting('timezone')", "SELECT current_setting('pgveil.mask_key_inner')"}},
		{"comments", false, []string{"SELECT id FROM orders WHERE id = 1 -- a", "SELECT id FROM orders WHERE id = 2 -- a", "SELECT id FROM orders WHERE id = 3 -- a"}},
		{"escapes", false, []string{"SELECT id FROM orders WHERE status = E'a'", "SELECT id FROM orders WHERE status = E'\\''", "SELECT id FROM orders WHERE status = E'c'"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l rewrite.Lookup
			l.Use(e, s)
			hit := false
			for _, text := range tt.texts {
				var r rewrite.Ready
				var err error
				r, hit, err = l.Plan([]byte(text))
				want, wantErr := alone.Plan(lone, text)
				if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
					t.Fatalf("Plan(%q) = %v, want %v", text, err, wantErr)
				}
				if err == nil && !sameText(t, r, want.SQL, text) {
					t.Errorf("Plan(%q) sends %q%q, want %q", text, r.SQL, r.Plan.SQL, want.SQL)
				}
			}
			if hit != tt.shares {
				t.Errorf("the last text was served from the cache: %v, want %v", hit, tt.shares)
			}
		})
	}
}

// sameText tells whether what is sent parses to what it should be.
func sameText(t *testing.T, r rewrite.Ready, want, text string) bool {
	t.Helper()
	sent := text
	if r.SQL != nil {
		sent = string(r.SQL)
	} else if r.Plan.Changed {
		sent = r.Plan.SQL
	}
	a, err := parse.ParseOne(sent)
	if err != nil {
		t.Fatalf("%q does not parse: %v", sent, err)
	}
	b, err := parse.ParseOne(want)
	if err != nil {
		t.Fatal(err)
	}
	return parse.Equal(a, b)
}

func TestLookupAllocatesNothingOnHits(t *testing.T) {
	e := shop(t)
	var l rewrite.Lookup
	l.Use(e, session(t, e, "alice", "support"))
	same := []byte("SELECT email FROM customers")
	other := [][]byte{[]byte("SELECT email FROM customers WHERE id = 1"), []byte("SELECT email FROM customers WHERE id = 2"), []byte("SELECT email FROM customers WHERE id = 3")}
	for _, text := range append(other, same) {
		if _, _, err := l.Plan(text); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _, _, _ = l.Plan(same) }); n != 0 {
		t.Errorf("a known text allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _, _ = l.Plan(other[2]) }); n != 0 {
		t.Errorf("a known form allocates %v times", n)
	}
}

// FuzzLiterals plans texts in a row by Lookup and one by one: it must never
// make a difference which literals came before.
func FuzzLiterals(f *testing.F) {
	f.Add("SELECT id FROM customers WHERE card = ", "'a'", "'b''c'", "'d'")
	f.Add("UPDATE customers SET phone = ", "'1'", "2", "'3' WHERE id = 1")
	f.Add("SELECT ", "1", "1.5", ".5")
	e, alone := shop(f), shop(f)
	s, lone := session(f, e, "alice", "support"), session(f, alone, "alice", "support")
	f.Fuzz(func(t *testing.T, start, a, b, c string) {
		var l rewrite.Lookup
		l.Use(e, s)
		for _, lit := range []string{a, b, c, a} {
			text := start + lit
			r, _, err := l.Plan([]byte(text))
			want, wantErr := alone.Plan(lone, text)
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("Plan(%q) = %v, want %v", text, err, wantErr)
			}
			if err == nil && r.Plan.Changed && len(want.Steps) == 1 && !sameText(t, r, want.SQL, text) {
				t.Fatalf("Plan(%q) sends %q%q, want %q", text, r.SQL, r.Plan.SQL, want.SQL)
			}
		}
	})
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

// hides tells whether something of a relation is hidden from an access.
func hides(a *policy.Access, rel *catalog.Relation) bool {
	ra := a.Relation(rel)
	if len(ra.Views) != 1 || ra.Views[0].Rows != "" || ra.Consent.ByRow != "" {
		return true
	}
	return slices.ContainsFunc(ra.Views[0].Columns, func(t policy.Treatment) bool { return t.Show != policy.ShowClear })
}

// checkWrapped looks at a plan's text by its own means: a governed relation of
// which something is hidden is read only under the name that generated
// sub-selects use.
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
			case *pg_query.MergeStmt:
				targets[v.Relation] = true
			case *pg_query.CopyStmt:
				targets[v.Relation] = v.IsFrom
			case *pg_query.LockingClause:
				return false
			case *pg_query.RangeVar:
				rel, ok := e.Catalog.Relation([]string{"public"}, v.Schemaname, v.Relname)
				if ok && rel.Governed() && v.Schemaname != "" && !targets[v] && hides(p.Access, rel) && v.GetAlias().GetAliasname() != "pgveil_t" {
					t.Errorf("Plan(%q).SQL = %q reads %s as it is", sql, p.SQL, v.Relname)
				}
			}
			return true
		})
	}
}
