package mask

import (
	"fmt"
	"testing"

	"github.com/pgveil/pgveil/policy"
)

// BenchmarkServer reports what a mask costs the server for each row, above
// what counting the column itself costs.
func BenchmarkServer(b *testing.B) {
	const rows = 200_000
	conn := connect(b)
	exec(b, conn, fmt.Sprintf(`SET max_parallel_workers_per_gather = 0; SET jit = off;
		CREATE TABLE bench AS SELECT 'jane.doe' || n || '@example.com' AS email, '+49 (30) 1234-' || n AS phone,
			'Mail jane.doe' || n || '@example.com, or call +49 30 1234567 about the order of last week. Thank you!' AS note,
			'Jane Doe' AS name, '192.0.2.7' AS host, '192.0.2.7'::inet AS ip, n AS id, n::numeric AS amount,
			date '2000-01-01' + n %% 9999 AS born, now() AS seen FROM generate_series(1, %d) n`, rows))
	exec(b, conn, "VACUUM ANALYZE bench")
	r := relation(b, conn, "bench")
	run := func(b *testing.B, e string) float64 {
		for b.Loop() {
			exec(b, conn, "SELECT count("+e+") FROM bench t")
		}
		return float64(b.Elapsed().Nanoseconds()) / float64(b.N) / rows
	}
	var base float64
	b.Run("clear", func(b *testing.B) {
		base = run(b, "t.email")
		b.ReportMetric(base, "ns/row")
	})
	for _, bb := range []struct{ mask, column string }{
		{"null", "email"}, {"redact", "email"}, {"hash", "email"}, {"token", "email"}, {"token", "id"}, {"age_band(10)", "id"}, {"age_band(10)", "born"},
		{"year", "born"}, {"year", "seen"}, {"bucket(100)", "id"}, {"round(100)", "id"}, {"round(100)", "amount"}, {"month", "born"}, {"ip", "ip"},
		{"ip", "host"}, {"initials", "name"}, {"prefix(3)", "phone"}, {"phone", "phone"}, {"email", "email"}, {"last(4)", "phone"}, {"first(2)", "phone"},
		{"inner(2, 2)", "phone"}, {"outer(2, 2)", "phone"}, {"scrub", "note"},
	} {
		c, _ := r.Column(bb.column)
		m, err := policy.ParseMask(bb.mask)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(bb.mask+" of "+c.Type.SQL, func(b *testing.B) {
			b.ReportMetric(run(b, expr(b, m, r, c))-base, "ns/row")
		})
	}
}
