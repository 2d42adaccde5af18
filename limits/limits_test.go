package limits

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgveil/pgveil/policy"
)

const day = 24 * time.Hour

// clock is a clock that is set by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Unix(1_800_000_000, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func limit(of policy.Measure, most int64, window time.Duration, then policy.Then) Limit {
	return Limit{
		Limit:   policy.Limit{Of: of, Most: most, Per: policy.PerWindow, Window: window, Whose: policy.OfUser, Then: then, Warn: most * 8 / 10},
		Counter: Counter{Of: of, Whose: policy.OfUser, Who: "alice", Window: window},
	}
}

func person(i int) Person {
	p := Person{Kind: "customer"}
	copy(p.ID[:], fmt.Sprintf("%016d", i))
	return p
}

// about gives rows about some persons, one each.
func about(persons ...int) (all []Row) {
	for _, i := range persons {
		all = append(all, Row{Bytes: 100, Times: 1, People: []Person{person(i)}})
	}
	return all
}

func take(t *testing.T, b *Book, limits []Limit, rows []Row) Verdict {
	t.Helper()
	v, err := b.Take(context.Background(), &Taking{Limits: limits, Statements: 1, Clear: []string{"email"}, Rows: rows, Patient: true})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTally(t *testing.T) {
	rows, people := limit(policy.LimitRows, 6, 0, policy.ThenRefuse), limit(policy.LimitSubjects, 2, 0, policy.ThenRefuse)
	alert := limit(policy.LimitBytes, 150, 0, policy.ThenAlert)
	all := []Limit{rows, people, alert}
	var tally Tally
	v := tally.Take(all, &Taking{Rows: about(1, 2, 1, 3, 1)})
	if v.Rows != 3 || v.Stopped == nil || v.Stopped.Limit != people || len(v.Told) != 4 {
		t.Errorf("a third person: %+v", v)
	}
	v = tally.Take(all, &Taking{Rows: about(1, 2, 1, 2)})
	if v.Rows != 3 || v.Stopped == nil || v.Stopped.Limit != rows {
		t.Errorf("a seventh row: %+v", v)
	}
	if stand := tally.Stand(all); stand[0].Used != 6 || stand[0].Near || stand[1].Used != 2 || stand[2].Used != 600 {
		t.Errorf("it stands at %+v", stand)
	}
}

func TestJournalOutlives(t *testing.T) {
	c := newClock()
	path := filepath.Join(t.TempDir(), "sub", "limits")
	limits := []Limit{limit(policy.LimitSubjects, 5, day, policy.ThenRefuse), limit(policy.LimitRows, 1000, day, policy.ThenRefuse)}
	open := func() *Book {
		j, err := OpenJournal(path, c.now)
		if err != nil {
			t.Fatal(err)
		}
		return NewBook(j, c.now)
	}
	b := open()
	take(t, b, limits, about(1, 2, 3)) // and is never closed
	b = open()
	if v := take(t, b, limits, about(3, 4, 5, 6)); v.Rows != 3 {
		t.Fatalf("after a restart: %+v", v)
	}
	stand, err := b.Look(context.Background(), limits)
	if err != nil || stand[0].Used != 5 || stand[1].Used < 6 || stand[1].Used > 6+10 {
		t.Errorf("they stand at %+v, %v", stand, err)
	}
	if err := b.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	b = open()
	if stand, err = b.Look(context.Background(), limits); err != nil || stand[1].Used > 6+10 {
		t.Errorf("what was leased by who ended in order counts: %+v, %v", stand, err)
	}
	c.pass(2 * day)
	if v := take(t, open(), limits, about(11, 12, 13, 14, 15)); v.Rows != 5 {
		t.Errorf("two days later: %+v", v)
	}
}

func TestJournalCutOff(t *testing.T) {
	c := newClock()
	path := filepath.Join(t.TempDir(), "limits")
	limits := []Limit{limit(policy.LimitSubjects, 9, day, policy.ThenRefuse)}
	j, err := OpenJournal(path, c.now)
	if err != nil {
		t.Fatal(err)
	}
	take(t, NewBook(j, c.now), limits, about(1, 2, 3))
	take(t, NewBook(j, c.now), limits, about(4))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := len(journalHeader); n <= len(whole); n++ {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		cut, err := OpenJournal(path, c.now)
		if err != nil {
			t.Fatalf("cut off after %d of %d bytes: %v", n, len(whole), err)
		}
		stand, err := NewBook(cut, c.now).Look(context.Background(), limits)
		if want := map[bool]int64{true: 4, false: 3}[n == len(whole)]; err != nil || stand[0].Used > want {
			t.Errorf("cut off after %d of %d bytes: %+v, %v", n, len(whole), stand, err)
		}
		if err := cut.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range whole {
		changed := append([]byte(nil), whole...)
		changed[i] ^= 0x10
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		bad, err := OpenJournal(path, c.now)
		if err == nil && bad.size == int64(len(whole)) {
			t.Errorf("a change of byte %d is not noticed", i)
		}
		if err != nil && !strings.Contains(err.Error(), "move it away") {
			t.Errorf("a change of byte %d: %v does not say what to do", i, err)
		}
	}
}

func TestJournalIsCompacted(t *testing.T) {
	c := newClock()
	path := filepath.Join(t.TempDir(), "limits")
	j, err := OpenJournal(path, c.now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := OpenJournal(path, c.now)
	if err != nil {
		t.Fatal(err)
	}
	limits := []Limit{limit(policy.LimitSubjects, 10_000, time.Hour, policy.ThenAlert)}
	var largest int64
	for i := range 400 {
		var people []int
		for p := range 1000 {
			people = append(people, i*1000+p)
		}
		take(t, NewBook(j, c.now), limits, about(people...))
		c.pass(10 * time.Minute)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, info.Size())
	}
	if largest > compactFrom+1<<20 || j.size == largest {
		t.Errorf("of 400 times 16 kB, of which 7 count, the file grew to %d bytes", largest)
	}
	ours, err := NewBook(j, c.now).Look(context.Background(), limits)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := NewBook(other, c.now).Look(context.Background(), limits)
	if err != nil || theirs[0].Used != ours[0].Used || ours[0].Used < 6000 {
		t.Errorf("who shares the file counts %+v, %v, and not %+v", theirs, err, ours)
	}
}

// TestJournalFull tries a file that cannot grow.
func TestJournalFull(t *testing.T) {
	if os.Getenv("PGVEIL_LIMITS_FULL") != "" {
		fullJournal(t)
		return
	}
	cmd := exec.Command("sh", "-c", `ulimit -f 8; trap '' XFSZ; exec "$0" -test.run '^TestJournalFull$' -test.v`, os.Args[0])
	cmd.Env = append(os.Environ(), "PGVEIL_LIMITS_FULL="+filepath.Join(t.TempDir(), "limits"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "refused when full") {
		t.Errorf("%v\n%s", err, out)
	}
}

func fullJournal(t *testing.T) {
	j, err := OpenJournal(os.Getenv("PGVEIL_LIMITS_FULL"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	b := NewBook(j, time.Now)
	limits := []Limit{limit(policy.LimitSubjects, 1_000_000, day, policy.ThenRefuse)}
	for i := range 10_000 {
		if _, err := b.Take(context.Background(), &Taking{Limits: limits, Rows: about(i)}); err != nil {
			again, err := OpenJournal(j.path, time.Now)
			if err != nil {
				t.Fatalf("a full journal cannot be read: %v", err)
			}
			stand, err := NewBook(again, time.Now).Look(context.Background(), limits)
			if err != nil || stand[0].Used != int64(i) {
				t.Fatalf("of %d that were given, %+v count, %v", i, stand, err)
			}
			t.Log("refused when full")
			return
		}
	}
	t.Fatal("the file grew beyond what is permitted")
}

func FuzzReadEntry(f *testing.F) {
	f.Add(appendEntry(nil, Ask{Counter: limit(policy.LimitSubjects, 1, day, policy.ThenRefuse).Counter, Slot: 3, Amount: -4, Subjects: []Subject{{1}}}))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, n, err := readEntry(text)
		if err == nil {
			if again, m, err := readEntry(appendEntry(nil, a)); err != nil || again.Counter != a.Counter || m > n {
				t.Errorf("%+v of %d bytes is written as %+v of %d: %v", a, n, again, m, err)
			}
		}
	})
}

func BenchmarkTake(b *testing.B) {
	for name, of := range map[string]func(int) []Row{
		"nobody new": func(int) []Row { return about(1) },
		"new people": func(i int) []Row { return about(i) },
		"page of 50": func(int) []Row {
			var people []int
			for i := range 50 {
				people = append(people, i)
			}
			return about(people...)
		},
	} {
		b.Run(name, func(b *testing.B) {
			j, err := OpenJournal(filepath.Join(b.TempDir(), "limits"), time.Now)
			if err != nil {
				b.Fatal(err)
			}
			book := NewBook(j, time.Now)
			taking := &Taking{Limits: []Limit{
				limit(policy.LimitSubjects, 1<<40, day, policy.ThenRefuse), limit(policy.LimitRows, 1<<40, day, policy.ThenRefuse),
				limit(policy.LimitBytes, 1<<50, time.Hour, policy.ThenRefuse), limit(policy.LimitStatements, 1<<40, time.Minute, policy.ThenRefuse),
			}, Statements: 1}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				taking.Rows = of(i)
				if _, err := book.Take(context.Background(), taking); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestSetsHaveABound has people counted whom nothing stops at.
func TestSetsHaveABound(t *testing.T) {
	c := newClock()
	m := NewMemory(c.now)
	b := NewBook(m, c.now)
	alert := []Limit{limit(policy.LimitSubjects, 10, day, policy.ThenAlert)}
	for i := range 100 {
		if v := take(t, b, alert, about(2*i, 2*i+1)); v.Rows != 2 || v.Stopped != nil {
			t.Fatalf("an alert keeps rows back: %+v", v)
		}
	}
	stand, err := b.Look(t.Context(), alert)
	if err != nil || stand[0].Used != 40 {
		t.Errorf("of 200 persons %+v are remembered, where 10 are told of: %v", stand, err)
	}
}
