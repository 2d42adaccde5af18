package twins

import (
	"strings"
	"testing"
)

func TestReduce(t *testing.T) {
	for _, tt := range []struct {
		name, sql string
		shows     []string // what a text must hold to show the same
		want      string
	}{
		{
			"lists and conditions", "SELECT a, b, c FROM t, u WHERE x = 1 AND y = 2 ORDER BY 1 LIMIT 3",
			[]string{"b", "y"}, "SELECT b WHERE y",
		},
		{"joins and sub-selects", "SELECT q.a FROM t JOIN u ON t.i = u.i, (SELECT a, b FROM v WHERE c) q", []string{"u", "v"}, "SELECT q.a FROM u, (SELECT b FROM v) q"},
		{"set operations", "SELECT a FROM t UNION SELECT b FROM u", []string{"u"}, "SELECT b FROM u"},
		{"statements", "SELECT 1; UPDATE t SET a = 1, b = 2 WHERE c RETURNING a; SELECT 2", []string{"UPDATE", "b"}, "UPDATE t SET b = 2"},
		{"nothing to leave out", "SELECT a FROM t", []string{"SELECT a FROM t"}, "SELECT a FROM t"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := reduce(tt.sql, func(sql string) (bool, error) {
				for _, part := range tt.shows {
					if !strings.Contains(sql, part) {
						return false, nil
					}
				}
				return true, nil
			})
			if err != nil || got != tt.want {
				t.Errorf("reduce(%q) = %q, %v, want %q", tt.sql, got, err, tt.want)
			}
		})
	}
}
