package load_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// BenchmarkLoad loads a log in which each second record is an outcome that names
// a data subject. -benchtime=1000000x is how its numbers in the documentation
// were made.
func BenchmarkLoad(b *testing.B) {
	s := newScene(b)
	if _, err := s.log.Append(&audit.Record{Kind: audit.KindSystem, Message: "start"}); err != nil {
		b.Fatal(err)
	}
	for i := 0; i < b.N; i += 2 {
		s.now = s.now.Add(20 * time.Millisecond)
		seq := s.statement(b, fmt.Sprintf("user%d", i/2%50))
		s.outcome(b, seq, audit.Record{Rows: 1, Duration: 3 * time.Millisecond, Subjects: []string{fmt.Sprintf("customer:%022d", i*7919%100003)}})
	}
	l := s.loader(b)
	l.Batch = 10_000
	l.Durable = func(context.Context, uint64) error { return nil }
	b.ResetTimer()
	s.load(b, l)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
