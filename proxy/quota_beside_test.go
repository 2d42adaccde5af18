package proxy_test

import (
	"testing"
)

// TestOthersBesideNamed counts those of whom a row tells beside the subject that its
// keys name, however often they name it, and those of groups without a key.
func TestOthersBesideNamed(t *testing.T) {
	for name, sql := range map[string]string{
		"two keys of one, and another": `SELECT x.n, x.a, x.b FROM (SELECT a.id AS a, o.customer_id AS b, c.first_name AS n
			FROM customers a JOIN orders o ON o.customer_id = a.id CROSS JOIN customers c WHERE a.id = 1001 AND c.id > 1000) x`,
		"the same, each once": `SELECT DISTINCT c.id + 0, a.id, o.customer_id
			FROM customers a JOIN orders o ON o.customer_id = a.id CROSS JOIN customers c WHERE a.id = 1001 AND c.id > 1000`,
		"groups by something else": `SELECT x.n, x.id FROM (SELECT o.customer_id AS id, min(c.first_name) AS n
			FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.id > 1000 GROUP BY GROUPING SETS ((o.customer_id), (o.id))) x WHERE x.id IS NULL`,
	} {
		t.Run(name, func(t *testing.T) {
			database := crowd(t)
			f := start(t, database, limited("subjects: 20/day"), counts)
			got, err := obtained(t, f.connect(t, database, "alice"), sql)
			wantStopped(t, name, err)
			if len(got) == 0 || len(got) > 20 {
				t.Errorf("%d names were taken, of 20", len(got))
			}
		})
	}
}
