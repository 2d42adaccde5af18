package parse

import (
	"strings"
	"testing"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// checkWritten compares what writePlain and Deparse make of a text's first
// statement, and tells whether writePlain knows it.
func checkWritten(t *testing.T, sql string) bool {
	t.Helper()
	stmts, err := Parse(sql)
	if err != nil || len(stmts) == 0 {
		return false
	}
	want, err := Deparse(stmts[0].Node)
	got, ok := writePlain(stmts[0].Node)
	if ok && (err != nil || got != want) {
		t.Errorf("%q is written\n%s\nbut deparsed\n%s\n%v", sql, got, want, err)
	}
	return ok
}

func TestWriteAsDeparse(t *testing.T) {
	eachText(t, func(sql string) bool { return checkWritten(t, sql) })
	for _, sql := range []string{
		`SELECT 1, -1, 1.5, -1.5, 1e10, 'a''b\c', E'\n', true, false, NULL, $1`,
		`SELECT "A", "a b", "a""b", a.*, *, "select".x, _a1, é FROM "T" AS "U", ONLY s.t u, db.s.t`,
		"SELECT (a + b) * -c, a || (b AND c), NOT (a OR b), NOT NOT a, (a IS NULL) = b, a OPERATOR(pg_catalog.+) b, @ a FROM t",
		"SELECT a FROM t WHERE a IN (1, 2) AND b NOT IN ('x') OR c LIKE 'x' AND (d NOT ILIKE $1 OR e BETWEEN 1 AND 2) AND f NOT BETWEEN a + 1 AND 3",
		"SELECT DISTINCT pg_catalog.count(*), pg_catalog.sum(DISTINCT a + 1), s.f() FROM t GROUP BY a, 2 HAVING b > 1 ORDER BY a DESC NULLS LAST, b ASC, c NULLS FIRST LIMIT 5 OFFSET 0",
		"SELECT 1 FROM a JOIN b ON a.x = b.x LEFT JOIN c ON true, LATERAL (SELECT 1) x(y, z), (SELECT 2 OFFSET 0) w RIGHT JOIN d ON w.a = d.a OR d.b FULL JOIN e ON NOT a",
	} {
		if !checkWritten(t, sql) {
			t.Errorf("%s: not written", sql)
		}
	}
}

// TestWriteQuotesKeywords takes every word of the grammar for a name.
func TestWriteQuotesKeywords(t *testing.T) {
	for name := range pg_query.Token_value {
		word := strings.ToLower(name)
		for _, w := range []string{word, strings.TrimSuffix(word, "_p")} {
			if !checkWritten(t, `SELECT "`+w+`"."`+w+`" AS "`+w+`", pg_catalog."`+w+`"(1) FROM "`+w+`"."`+w+`" "`+w+`"`) {
				t.Errorf("%s: not written", w)
			}
		}
	}
}

func TestWriteLeavesToDeparse(t *testing.T) {
	for _, sql := range []string{
		"VALUES (1)", "SELECT", "SELECT 1 UNION SELECT 2", "WITH a AS (SELECT 1) SELECT * FROM a", "SELECT 1 INTO t", "SELECT 1 FOR UPDATE",
		"SELECT DISTINCT ON (a) b FROM t", "SELECT 1 FROM t GROUP BY DISTINCT a", "SELECT 1 FROM t GROUP BY ROLLUP (a)", "SELECT a FROM t ORDER BY a FETCH FIRST 1 ROW WITH TIES",
		"SELECT 1 LIMIT ALL", "SELECT 1 FROM t ORDER BY a USING <", "SELECT 1 FROM a NATURAL JOIN b", "SELECT 1 FROM a JOIN b USING (x)", "SELECT 1 FROM a CROSS JOIN b",
		"SELECT 1 FROM a JOIN (b JOIN c ON true) ON true", "SELECT 1 FROM (a JOIN b ON true) x", "SELECT 1 FROM f()", "SELECT a::int", "SELECT a[1]", "SELECT (a).b",
		"SELECT (SELECT 1)", "SELECT CASE WHEN a THEN b END", "SELECT f(a)", "SELECT s.f(a => 1)", "SELECT s.f(VARIADIC a)", "SELECT s.f(a ORDER BY b)", "SELECT s.f(a) FILTER (WHERE b)",
		"SELECT s.f(a) OVER ()", "SELECT s.f() WITHIN GROUP (ORDER BY a)", "SELECT extract(year FROM a)", "SELECT a = ANY (b)", "SELECT a IS DISTINCT FROM b", "SELECT a SIMILAR TO b",
		"SELECT a BETWEEN SYMMETRIC 1 AND 2", "SELECT a COLLATE \"C\"", "SELECT b'1'", "SELECT 1 FROM t TABLESAMPLE system (1)", "SELECT ROW(1)", "SELECT ARRAY[1]", "SELECT a IS TRUE",
		"INSERT INTO t VALUES (1)", "DELETE FROM t", "SELECT 1 FROM t WINDOW w AS ()",
	} {
		n, err := ParseOne(sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
		} else if got, ok := writePlain(n); ok {
			t.Errorf("%s is written %s", sql, got)
		}
	}
}
