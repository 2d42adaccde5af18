package requests_test

import (
	"fmt"
	"testing"
)

// BenchmarkErasures erases persons with ten rows each, one after the other, from
// what is queued to certificates; the search at the end is one for all of them.
func BenchmarkErasures(b *testing.B) {
	s := newScene(b, shopPolicy)
	s.exec(b, `INSERT INTO shop.persons SELECT g, 'Person ' || g, 'person' || g || '@example.com' FROM generate_series(1001, 1000 + $1::int) AS g`, b.N)
	s.exec(b, `INSERT INTO shop.orders SELECT g, 1001 + (g - 10001) / 10, 'item' FROM generate_series(10001, 10000 + 10 * $1::int) AS g`, b.N)
	s.exec(b, "ANALYZE")
	var last string
	for i := range b.N {
		last = s.erased(b, fmt.Sprint(1001+i))
	}
	b.ResetTimer()
	s.work(b)
	b.StopTimer()
	if got := s.state(b, last); got != "completed" {
		b.Fatal(got)
	}
}
