package limits

import (
	"slices"
	"sync"

	"github.com/pgveil/pgveil/policy"
)

// Tally counts what one statement or one session gets, which is nobody else's. The
// zero Tally has counted nothing. It may be used by many goroutines.
//
// What counts is by counter, not by limit: who asks in another role or for another
// purpose has other limits, and got what they got.
type Tally struct {
	mu     sync.Mutex
	counts map[Counter]*got
	told   []threshold
}

type got struct {
	used int64
	seen map[Subject]bool
}

// of gives what was counted by a counter.
func (t *Tally) of(c Counter) *got {
	g := t.counts[c]
	if g == nil {
		if t.counts == nil {
			t.counts = map[Counter]*got{}
		}
		g = &got{}
		t.counts[c] = g
	}
	return g
}

// Take counts a taking against limits that are not over a time, as Book.Take does.
func (t *Tally) Take(limits []Limit, taking *Taking) (v Verdict) {
	if len(limits) == 0 {
		return Verdict{Rows: len(taking.Rows)}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if v.Stopped = t.fits(limits, func(c Counter, _ *got) int64 { return taking.first(c.Of) }); v.Stopped != nil {
		return v
	}
	for i, l := range limits {
		if first(limits, i) {
			t.of(l.Counter).used += taking.first(l.Of)
		}
	}
	for r := range taking.Rows {
		row := &taking.Rows[r]
		if v.Stopped = t.fits(limits, func(c Counter, g *got) int64 { return taking.of(c, row) + g.unseen(c, row) }); v.Stopped != nil {
			break
		}
		for i, l := range limits {
			if first(limits, i) {
				g := t.of(l.Counter)
				g.used += taking.of(l.Counter, row) + g.unseen(l.Counter, row)
				g.see(l.Counter, row)
			}
		}
		v.Rows++
	}
	v.Told = t.tell(limits)
	return v
}

// first tells whether a limit is the first of its counter.
func first(limits []Limit, i int) bool {
	return !slices.ContainsFunc(limits[:i], func(l Limit) bool { return l.Counter == limits[i].Counter })
}

// fits gives the first limit that stops who needs so much of each.
func (t *Tally) fits(limits []Limit, need func(Counter, *got) int64) *Reached {
	for _, l := range limits {
		g := t.of(l.Counter)
		if n := need(l.Counter, g); n > 0 && l.Then.Stops() && n > l.Most-g.used {
			return &Reached{Limit: l, Used: g.used}
		}
	}
	return nil
}

// unseen gives how many data subjects of a row were not counted yet.
func (g *got) unseen(c Counter, row *Row) (n int64) {
	if c.Of != policy.LimitSubjects {
		return 0
	}
	for at, p := range row.People {
		if c.counts(p) && !g.seen[p.ID] && !slices.Contains(row.People[:at], p) {
			n++
		}
	}
	return n
}

func (g *got) see(c Counter, row *Row) {
	if c.Of != policy.LimitSubjects {
		return
	}
	if g.seen == nil {
		g.seen = map[Subject]bool{}
	}
	for _, p := range row.People {
		if c.counts(p) {
			g.seen[p.ID] = true
		}
	}
}

// Stand tells how limits stand.
func (t *Tally) Stand(limits []Limit) []Reached {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := make([]Reached, len(limits))
	for i, l := range limits {
		used := t.of(l.Counter).used
		found[i] = Reached{Limit: l, Used: used, Near: used < l.Most}
	}
	return found
}

// tell gives the limits that have just been reached, or nearly.
func (t *Tally) tell(limits []Limit) (told []Reached) {
	for _, l := range limits {
		used := t.of(l.Counter).used
		for _, near := range []bool{true, false} {
			k, at := threshold{l, near}, l.Most
			if near {
				at = l.Warn
			}
			if at > 0 && used >= at && !slices.Contains(t.told, k) {
				t.told = append(t.told, k)
				told = append(told, Reached{Limit: l, Used: used, Near: near && at < l.Most})
			}
		}
	}
	return told
}
