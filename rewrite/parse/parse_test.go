package parse

import (
	"errors"
	"strings"
	"testing"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

func TestParseSplitsAsTheServerDoes(t *testing.T) {
	for _, tt := range []struct {
		name, sql string
		want      []string
	}{
		{"comments only", " -- nothing\n/* ; */", nil},
		{"a semicolon in a dollar quote", "SELECT $a$;$a$; SELECT 2", []string{"SELECT $a$;$a$", "SELECT 2"}},
		{"a semicolon in a nested comment", "SELECT 1 /* a /* ; */ b */; ;SELECT 2;", []string{"SELECT 1 /* a /* ; */ b */", "SELECT 2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stmts, err := Parse(tt.sql)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range stmts {
				got = append(got, s.Text)
			}
			if strings.Join(got, "|") != strings.Join(tt.want, "|") {
				t.Errorf("Parse(%q) = %q, want %q", tt.sql, got, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	deep := func(unit string, n int, rest string) string { return "SELECT " + strings.Repeat(unit, n) + rest }
	for _, tt := range []struct{ name, sql string }{
		{"no SQL", "SELEC 1"},
		{"invalid UTF-8", "SELECT '\xff'"},
		{"a zero byte", "SELECT 1\x00"},
		{"too long", "SELECT '" + strings.Repeat("x", MaxText) + "'"},
		{"too many additions", "SELECT 1" + strings.Repeat("+1", 200_000)},
		{"too many casts", "SELECT 1" + strings.Repeat("::int", 100_000)},
		{"too many brackets", deep("(", 100_000, "1") + strings.Repeat(")", 100_000)},
		{"too many negations", deep("NOT ", 100_000, "true")},
		{"too many set operations", "SELECT 1" + strings.Repeat(" UNION SELECT 1 WHERE a AND b", 100_000)},
		{"too many joins", "SELECT * FROM t" + strings.Repeat(" CROSS JOIN t", 100_000)},
		{"too many cases", deep("CASE WHEN a AND ", 100_000, "true") + strings.Repeat(" THEN 1 END", 100_000)},
		{"too many subscripts", "SELECT a" + strings.Repeat("[1]", 100_000) + strings.Repeat("::x", 5000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.sql)
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Errorf("Parse(%.40q…) gave %v, want a SyntaxError", tt.sql, err)
			}
		})
	}
}

func TestParseTakesWideTexts(t *testing.T) {
	for _, tt := range []struct{ name, sql string }{
		{"many rows", "INSERT INTO t VALUES (1, 'a')" + strings.Repeat(", (1 + 2, 'b')", 50_000)},
		{"many conjuncts", "SELECT 1 WHERE a = 1" + strings.Repeat(" OR a = 2 AND b = 3", 10_000)},
		{"long list", "SELECT 1 WHERE a IN (1" + strings.Repeat(", 2", 100_000) + ")"},
		{"long string", "SELECT '" + strings.Repeat("a + b (", 100_000) + "'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(tt.sql); err != nil {
				t.Errorf("Parse(%.40q…) = %v", tt.sql, err)
			}
		})
	}
}

func TestTreeVersionIsTheParsers(t *testing.T) {
	tree, err := pg_query.Parse("SELECT 1")
	if err != nil || tree.Version != treeVersion {
		t.Errorf("the parser's trees are of version %d (%v), not %d", tree.GetVersion(), err, treeVersion)
	}
}

func TestShapeHoldsNoLiteral(t *testing.T) {
	for _, sql := range []string{
		"SELECT * FROM t WHERE a = 'secret' AND b IN ('secret', 12345)",
		"INSERT INTO t VALUES ('secret', 12345)",
		"SET application_name = 'secret'",
		"ALTER USER u PASSWORD 'secret'",
		"DECLARE c CURSOR FOR SELECT 'secret'",
		"PREPARE p AS SELECT 'secret'",
		"EXECUTE p('secret', 12345)",
		"COMMENT ON TABLE t IS 'secret'",
		"NOTIFY c, 'secret'",
		"DO 'secret'",
		"COPY (SELECT 'secret') TO STDOUT",
		"CREATE TABLE t AS SELECT 'secret'",
		"EXPLAIN SELECT 'secret'",
	} {
		shape, _, err := Shape(sql)
		if err != nil {
			t.Errorf("Shape(%q): %v", sql, err)
		}
		if strings.Contains(shape, "secret") || strings.Contains(shape, "12345") {
			t.Errorf("Shape(%q) = %q, which holds a literal", sql, shape)
		}
	}
}

func TestEqualLeavesLocationsAside(t *testing.T) {
	tree := func(sql string) proto.Message {
		n, err := ParseOne(sql)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if !Equal(tree("SELECT a FROM t"), tree("select  a\nfrom t")) {
		t.Error("trees of one statement differ")
	}
	if Equal(tree("SELECT a FROM t"), tree("SELECT a FROM u")) || Equal(tree("SELECT a"), tree("SELECT a, b")) {
		t.Error("trees of different statements are equal")
	}
}

func TestWalkMeetsEveryRelation(t *testing.T) {
	n, err := ParseOne("WITH w AS (SELECT * FROM a) SELECT (SELECT 1 FROM b) FROM c JOIN d ON EXISTS (SELECT 1 FROM e) ORDER BY (SELECT 1 FROM f)")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	Walk(n, func(m proto.Message) bool {
		if rv, ok := m.(*pg_query.RangeVar); ok {
			got = append(got, rv.Relname)
		}
		return true
	})
	if len(got) != 6 {
		t.Errorf("Walk met %v, want 6 relations", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("SELECT 1; SELECT $$;$$")
	f.Add("UPDATE t SET a = (SELECT 1) WHERE b IN (1,2) RETURNING *")
	f.Fuzz(func(t *testing.T, sql string) {
		stmts, err := Parse(sql)
		if err != nil {
			return
		}
		for _, s := range stmts {
			if s.Node.GetNode() == nil {
				t.Errorf("Parse(%q) gave a statement without a node", sql)
			}
			if again, err := Parse(s.Text); err != nil || len(again) != 1 || !Equal(again[0].Node, s.Node) {
				t.Errorf("Parse(%q) split off %q, which is another statement: %v", sql, s.Text, err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, bb := range []struct{ name, sql string }{
		{"small", "SELECT id, email FROM crm.customers WHERE id = 42"},
		{"join", "SELECT c.id, c.name, o.total FROM crm.customers c JOIN crm.orders o ON o.customer_id = c.id WHERE o.total > 100 AND c.region = 'EU' ORDER BY o.total DESC LIMIT 20"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(bb.sql); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
