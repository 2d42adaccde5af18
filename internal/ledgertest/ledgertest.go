// Package ledgertest says what every limits.Ledger must do, as tests.
package ledgertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/policy"
)

const day = 24 * time.Hour

// Clock is a clock that is set by hand.
type Clock struct {
	set func(time.Time) // has the ledgers' server know; nil: there is none

	mu sync.Mutex
	at time.Time
}

// Now gives the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Pass has some time pass.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	if c.set != nil {
		c.set(c.at)
	}
}

// Store is what ledgers keep counts in.
type Store struct {
	Open func(now func() time.Time) limits.Ledger
	Set  func(time.Time) // sets the clock that the store goes by; nil: it goes by now
}

// Run runs all tests, each on a store of its own. How long some of them take is for
// the caller to say.
func Run(t *testing.T, histories uint64, empty func(t *testing.T) Store) {
	s := suite{empty: empty, histories: histories}
	for name, test := range map[string]func(*testing.T){
		"subjects are counted once": s.SubjectsAreCountedOnce, "every measure": s.EveryMeasure, "what does not stop": s.WhatDoesNotStop,
		"exhausted": s.Exhausted, "windows slide": s.WindowsSlide, "at once": s.AtOnce,
	} {
		t.Run(name, test)
	}
}

type suite struct {
	empty     func(t *testing.T) Store
	histories uint64
}

// books gives some books before ledgers that share an empty store.
func (s suite) books(t *testing.T, n int) (*Clock, []*limits.Book) {
	t.Helper()
	store := s.empty(t)
	c := &Clock{set: store.Set, at: time.Unix(1_800_000_000, 0)}
	c.Pass(0)
	books := make([]*limits.Book, n)
	for i := range books {
		books[i] = limits.NewBook(store.Open(c.Now), c.Now)
		t.Cleanup(func() {
			if err := books[i].Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	return c, books
}

func (s suite) book(t *testing.T) (*Clock, *limits.Book) {
	t.Helper()
	c, books := s.books(t, 1)
	return c, books[0]
}

func limit(of policy.Measure, most int64, window time.Duration, then policy.Then) limits.Limit {
	return limits.Limit{
		Limit:   policy.Limit{Of: of, Most: most, Per: policy.PerWindow, Window: window, Whose: policy.OfUser, Then: then, Warn: most * 8 / 10},
		Counter: limits.Counter{Of: of, Whose: policy.OfUser, Who: "alice", Window: window},
	}
}

// about gives rows about some persons, one each.
func about(persons ...int) (all []limits.Row) {
	for _, i := range persons {
		p := limits.Person{Kind: "customer"}
		copy(p.ID[:], fmt.Sprintf("%016d", i))
		all = append(all, limits.Row{Bytes: 100, Times: 1, People: []limits.Person{p}})
	}
	return all
}

func take(t *testing.T, b *limits.Book, all []limits.Limit, rows []limits.Row) limits.Verdict {
	t.Helper()
	v, err := b.Take(context.Background(), &limits.Taking{Limits: all, Statements: 1, Clear: []string{"email"}, Rows: rows, Patient: true})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// SubjectsAreCountedOnce takes the same people again and again.
func (s suite) SubjectsAreCountedOnce(t *testing.T) {
	c, b := s.book(t)
	all := []limits.Limit{limit(policy.LimitSubjects, 5, day, policy.ThenRefuse)}
	if v := take(t, b, all, about(1, 2, 1, 3, 2)); v.Rows != 5 || v.Stopped != nil {
		t.Fatalf("three persons in five rows: %+v", v)
	}
	c.Pass(time.Hour)
	v := take(t, b, all, about(3, 4, 5, 1, 6, 2))
	if v.Rows != 4 || v.Stopped == nil || v.Stopped.Used != 5 || v.Stopped.Left() != 0 {
		t.Fatalf("a sixth person: %+v, %+v", v, v.Stopped)
	}
	if len(v.Told) != 2 || !v.Told[0].Near || v.Told[1].Near {
		t.Errorf("told of %+v, want that it is near and that it is reached", v.Told)
	}
	if v := take(t, b, all, about(1, 2, 3, 4, 5)); v.Rows != 5 {
		t.Errorf("who was counted may be seen again: %+v", v)
	}
	c.Pass(day - time.Hour) // of those first seen a day ago, all were seen again
	if v := take(t, b, all, about(6)); v.Rows != 0 {
		t.Errorf("a sixth person within a day of five others: %+v", v)
	}
	c.Pass(2 * time.Hour)
	if v := take(t, b, all, about(6, 7, 8, 9, 10, 11)); v.Rows != 5 {
		t.Errorf("a day later: %+v", v)
	}
}

// EveryMeasure takes five rows, whatever is counted of them.
func (s suite) EveryMeasure(t *testing.T) {
	for _, tt := range []struct {
		of    policy.Measure
		name  string
		most  int64
		rows  int
		times int64
	}{
		{policy.LimitRows, "", 3, 3, 1},
		{policy.LimitBytes, "", 399, 3, 1},
		{policy.LimitValues, "email", 3, 3, 1},
		{policy.LimitValues, "email", 7, 2, 3},
		{policy.LimitValues, "name", 3, 5, 1},
		{policy.LimitStatements, "", 1, 5, 1},
	} {
		_, b := s.book(t)
		l := limit(tt.of, tt.most, day, policy.ThenRefuse)
		l.Name, l.Counter.Name = tt.name, tt.name
		given := about(1, 2, 3, 4, 5)
		for i := range given {
			given[i].Times = tt.times
		}
		if v := take(t, b, []limits.Limit{l}, given); v.Rows != tt.rows || (v.Stopped == nil) != (tt.rows == 5) {
			t.Errorf("%d %v of %q: %+v", tt.most, tt.of, tt.name, v)
		}
		if tt.of == policy.LimitStatements {
			if v := take(t, b, []limits.Limit{l}, nil); v.Stopped == nil {
				t.Error("a second statement is given")
			}
		}
	}
}

// WhatDoesNotStop is over its limit, and told.
func (s suite) WhatDoesNotStop(t *testing.T) {
	c, b := s.book(t)
	alert, slow := limit(policy.LimitRows, 4, day, policy.ThenAlert), limit(policy.LimitRows, 6, day, policy.ThenSlow)
	told := 0
	for range 3 {
		v := take(t, b, []limits.Limit{alert, slow}, about(1, 2, 3))
		if v.Rows != 3 {
			t.Fatalf("rows are kept back: %+v", v)
		}
		told += len(v.Told)
	}
	if told != 4 {
		t.Errorf("told %d times, want of two limits that they are near and reached", told)
	}
	if over := b.Over([]limits.Limit{alert, slow}); len(over) != 2 {
		t.Errorf("over are %+v", over)
	}
	c.Pass(day + time.Hour)
	if over := b.Over([]limits.Limit{alert, slow}); len(over) != 0 {
		t.Errorf("a day later, over are %+v", over)
	}
}

// Exhausted comes back when it was said to.
func (s suite) Exhausted(t *testing.T) {
	c, b := s.book(t)
	all := []limits.Limit{limit(policy.LimitRows, 3, time.Hour, policy.ThenRefuse)}
	if b.Exhausted(all) != nil {
		t.Fatal("nothing was taken yet")
	}
	take(t, b, all, about(1, 2, 3))
	out := b.Exhausted(all)
	if out == nil || out.Used != 3 || out.Again.Sub(c.Now()) > time.Hour+time.Minute {
		t.Fatalf("three of three: %+v", out)
	}
	c.Pass(out.Again.Sub(c.Now()))
	if out := b.Exhausted(all); out != nil {
		t.Errorf("when it was said to be over: %+v", out)
	}
	if v := take(t, b, all, about(1, 2, 3)); v.Rows != 3 {
		t.Errorf("when it was said to be over: %+v", v)
	}
}

// WindowsSlide compares with a list of all that was given, for each moment.
func (s suite) WindowsSlide(t *testing.T) {
	type event struct {
		at     time.Time
		person int
	}
	for seed := range s.histories {
		rnd := rand.New(rand.NewPCG(seed, 7))
		c, b := s.book(t)
		all := []limits.Limit{limit(policy.LimitSubjects, 20, time.Hour, policy.ThenRefuse), limit(policy.LimitRows, 300, time.Hour, policy.ThenRefuse)}
		var events []event
		refused := 0
		for range 3000 {
			c.Pass(time.Duration(rnd.Int64N(int64(30 * time.Second))))
			if rnd.IntN(10) == 0 {
				if err := b.Tidy(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			who := rnd.IntN(60)
			v := take(t, b, all, about(who))
			if v.Rows == 0 {
				refused++
				continue
			}
			events = append(events, event{c.Now(), who})
			seen, rows := map[int]bool{}, 0
			for _, e := range events {
				if c.Now().Sub(e.at) < time.Hour {
					seen[e.person] = true
					rows++
				}
			}
			if len(seen) > 20 || rows > 300 {
				t.Fatalf("seed %d: %d persons and %d rows within an hour", seed, len(seen), rows)
			}
		}
		if refused == 0 || refused > 2500 {
			t.Errorf("seed %d: %d of 3000 were refused", seed, refused)
		}
	}
}

// AtOnce has many take at once from several books, until nothing is left.
func (s suite) AtOnce(t *testing.T) {
	for _, all := range [][]limits.Limit{
		{limit(policy.LimitSubjects, 500, day, policy.ThenRefuse)},
		{limit(policy.LimitRows, 5000, day, policy.ThenRefuse)},
		{limit(policy.LimitRows, 3000, day, policy.ThenRefuse), limit(policy.LimitSubjects, 1<<40, day, policy.ThenRefuse)},
	} {
		c, books := s.books(t, 3)
		g := &gotten{persons: map[limits.Person]bool{}}
		var wg sync.WaitGroup
		for worker := range 12 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(worker), 1))
				for misses := 0; misses < 50 && !t.Failed(); misses++ {
					if g.take(t, books[worker%3], all, rnd) {
						misses = 0
					}
				}
			})
		}
		wg.Wait()
		c.Pass(time.Minute) // what some books have on lease still is given back
		for _, b := range books {
			if err := b.Tidy(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		rnd := rand.New(rand.NewPCG(99, 1))
		for misses := 0; misses < 50; misses++ {
			g.take(t, books[0], all, rnd)
		}
		got := int64(g.rows)
		if all[0].Of == policy.LimitSubjects {
			got = int64(len(g.persons))
		}
		if most := all[0].Most; got > most || got < most*99/100 {
			t.Errorf("%d of %d %v were given", got, most, all[0].Of)
		}
	}
}

// gotten is what many got together.
type gotten struct {
	mu      sync.Mutex
	rows    int
	persons map[limits.Person]bool
}

// take takes three rows, and tells whether any was given.
func (g *gotten) take(t *testing.T, b *limits.Book, all []limits.Limit, rnd *rand.Rand) bool {
	asked := about(rnd.IntN(2000), rnd.IntN(2000), rnd.IntN(2000))
	v, err := b.Take(context.Background(), &limits.Taking{Limits: all, Rows: asked, Patient: true})
	if err != nil {
		t.Error(err)
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	before := len(g.persons)
	g.rows += v.Rows
	for _, r := range asked[:v.Rows] {
		g.persons[r.People[0]] = true
	}
	return v.Rows > 0 && all[0].Of != policy.LimitSubjects || len(g.persons) > before
}
