package rewrite_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/cases"
)

// planTexts are statements of three sizes: one that reads a row, one that joins
// and sorts, and one of some 10 KB, as reports and generated queries are.
func planTexts() map[string]string {
	var long strings.Builder
	long.WriteString("SELECT c.id, c.first_name, o.id AS order_id FROM crm.customers c JOIN crm.orders o ON o.customer_id = c.id WHERE c.city = 'Zurich'")
	for i := 0; long.Len() < 10<<10; i++ {
		fmt.Fprintf(&long, " OR (c.city = 'city number %d' AND c.id BETWEEN %d AND %d)", i, i*100, i*100+99)
	}
	return map[string]string{
		"small": "SELECT first_name, email FROM crm.customers WHERE id = 4711",
		"join": "SELECT c.first_name, c.email, count(*) AS orders, max(o.placed_at) AS latest FROM crm.customers c " +
			"JOIN crm.orders o ON o.customer_id = c.id LEFT JOIN crm.tickets t ON t.customer_id = c.id " +
			"WHERE c.city = 'Zurich' AND o.id > 100 GROUP BY c.id, c.first_name, c.email ORDER BY latest DESC LIMIT 50",
		"10KB": long.String(),
	}
}

// planSession gives a session of a user of the fixture.
func planSession(b testing.TB, user string) (*rewrite.Engine, rewrite.Session) {
	b.Helper()
	f, err := cases.LoadFixture(filepath.Join("..", "testdata", "fixtures", "crm"), time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	access, err := f.Engine.Policy.Access(user, "")
	if err != nil {
		b.Fatal(err)
	}
	s, err := f.Engine.Session(access, "public")
	if err != nil {
		b.Fatal(err)
	}
	return f.Engine, s
}

// callers are one with masks and a row filter, and one without restrictions.
var callers = []struct{ name, user string }{{"restricted", "alice"}, {"unrestricted", "dora"}}

// eachPlan runs a benchmark for every caller and text that the caller may
// send.
func eachPlan(b *testing.B, run func(b *testing.B, e *rewrite.Engine, s rewrite.Session, text string)) {
	for _, caller := range callers {
		e, s := planSession(b, caller.user)
		for _, name := range []string{"small", "join", "10KB"} {
			text := planTexts()[name]
			if _, err := e.Plan(s, text); err != nil {
				b.Fatal(err)
			}
			b.Run(caller.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				run(b, e, s, text)
			})
		}
	}
}

// BenchmarkPlanMiss plans texts that the cache does not hold: a comment at the
// end makes every one of them new, and keeps it from sharing a plan with those
// that differ in their literals only.
func BenchmarkPlanMiss(b *testing.B) {
	eachPlan(b, func(b *testing.B, e *rewrite.Engine, s rewrite.Session, text string) {
		for i := 0; b.Loop(); i++ {
			if _, err := e.Plan(s, fmt.Sprintf("%s --%d", text, i)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLookupHit finds the plan of a text that came before.
func BenchmarkLookupHit(b *testing.B) {
	eachPlan(b, func(b *testing.B, e *rewrite.Engine, s rewrite.Session, text string) {
		var l rewrite.Lookup
		l.Use(e, s)
		sent := []byte(text)
		for b.Loop() {
			if _, hit, err := l.Plan(sent); err != nil || !hit {
				b.Fatal(hit, err)
			}
		}
	})
}

// otherLiterals gives texts that differ in a literal only, and are all known
// by their form.
func otherLiterals(tb testing.TB, l *rewrite.Lookup) [][]byte {
	tb.Helper()
	texts := make([][]byte, 1000)
	for i := range texts {
		texts[i] = fmt.Appendf(nil, "SELECT first_name, email FROM crm.customers WHERE id = %d AND city = 'city number %d'", 1000+i, i)
	}
	for _, text := range texts[:3] {
		if _, _, err := l.Plan(text); err != nil {
			tb.Fatal(err)
		}
	}
	return texts[3:]
}

// BenchmarkLookupLiterals finds the plan of texts that never came before, but
// for their form.
func BenchmarkLookupLiterals(b *testing.B) {
	for _, caller := range callers {
		b.Run(caller.name, func(b *testing.B) {
			var l rewrite.Lookup
			l.Use(planSession(b, caller.user))
			texts := otherLiterals(b, &l)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, hit, err := l.Plan(texts[i%len(texts)]); err != nil || !hit {
					b.Fatal(hit, err)
				}
			}
		})
	}
}

// What was planned is found again without an allocation: every statement of
// every session goes this way.
func TestLookupAllocatesNothing(t *testing.T) {
	for _, caller := range callers {
		t.Run(caller.name, func(t *testing.T) {
			var l rewrite.Lookup
			l.Use(planSession(t, caller.user))
			texts := otherLiterals(t, &l)
			texts[0] = []byte(planTexts()["small"])
			if _, _, err := l.Plan(texts[0]); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string][]byte{"the same text": texts[0], "other literals": texts[1]} {
				allocs := testing.AllocsPerRun(100, func() {
					if _, hit, err := l.Plan(text); err != nil || !hit {
						t.Fatalf("%s: hit is %v, err %v", name, hit, err)
					}
				})
				if allocs != 0 {
					t.Errorf("%s: %v allocations, want none", name, allocs)
				}
			}
		})
	}
}
