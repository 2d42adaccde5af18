package valkey_test

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/redisserver"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/policy"
)

// BenchmarkTake compares a server on this machine with a journal, for statements
// that give one row about one person each, and says how often the server is asked.
func BenchmarkTake(b *testing.B) {
	for _, people := range []int{1, 1 << 30} {
		all := []limits.Limit{}
		for of, most := range map[policy.Measure]int64{policy.LimitSubjects: 500, policy.LimitRows: 5000, policy.LimitBytes: 1 << 20, policy.LimitStatements: 5000} {
			all = append(all, limits.Limit{
				Limit:   policy.Limit{Of: of, Most: most, Per: policy.PerWindow, Window: day, Then: policy.ThenAlert},
				Counter: counter(of, "alice", day),
			})
		}
		name := map[bool]string{true: "nobody new", false: "new people"}[people == 1]
		b.Run("journal/"+name, func(b *testing.B) {
			j, err := limits.OpenJournal(filepath.Join(b.TempDir(), "limits"), time.Now)
			if err != nil {
				b.Fatal(err)
			}
			takeOnes(b, limits.NewBook(j, time.Now), all, people)
		})
		b.Run("server/"+name, func(b *testing.B) {
			l := open(b, start(b, redisserver.Options{}).Addr(), nil)
			takeOnes(b, limits.NewBook(l, time.Now), all, people)
			b.ReportMetric(float64(l.Stats().Asked)/float64(b.N), "asks/op")
		})
	}
}

func takeOnes(b *testing.B, book *limits.Book, all []limits.Limit, people int) {
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		row := limits.Row{Bytes: 100, Times: 1, People: []limits.Person{{Kind: "customer", ID: subject(i % people)}}}
		if _, err := book.Take(context.Background(), &limits.Taking{Limits: all, Statements: 1, Rows: []limits.Row{row}, Patient: true}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAsk asks by many at once for what needs a round trip each.
func BenchmarkAsk(b *testing.B) {
	l := open(b, start(b, redisserver.Options{}).Addr(), nil)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Ask(context.Background(), []limits.Ask{{Counter: counter(policy.LimitRows, "alice", day), Most: 1 << 40, Amount: 1}}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// TestSize says how much of the server's memory a data subject takes, which is in
// docs/counters.md.
func TestSize(t *testing.T) {
	s := start(t, redisserver.Options{})
	l := open(t, s.Addr(), nil)
	c := counter(policy.LimitSubjects, "alice", day)
	const n = 50_000
	used := func() int {
		info := command(t, s.Addr(), "INFO", "memory")
		_, rest, _ := strings.Cut(info, "used_memory_dataset:")
		bytes, _, _ := strings.Cut(rest, "\r\n")
		number, err := strconv.Atoi(bytes)
		if err != nil {
			t.Fatalf("%q: %v", info, err)
		}
		return number
	}
	people(t, l, c, limits.NoLimit, n, 1)
	before := used()
	var ids []limits.Subject
	for i := range n {
		ids = append(ids, subject(i))
	}
	for some := range slices.Chunk(ids, 1000) {
		if _, err := l.Ask(context.Background(), []limits.Ask{{Counter: c, Most: limits.NoLimit, Subjects: some}}); err != nil {
			t.Fatal(err)
		}
	}
	each := (used() - before) / n
	t.Logf("%d bytes a subject", each)
	if each > 150 {
		t.Errorf("a subject takes %d bytes", each)
	}
}
