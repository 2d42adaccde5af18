package limits

import (
	"slices"
	"sync"

	"github.com/pgveil/pgveil/policy"
)

// Tally counts what one statement or one session gets, which is nobody else's. The
// zero Tally has counted nothing. It may be used by many goroutines.
type Tally struct {
	mu   sync.Mutex
	used []int64 // by limit
	seen []map[Subject]bool
	told []threshold
}

// Take counts a taking against limits that are not over a time, as Book.Take does.
// They must be the same each time.
func (t *Tally) Take(limits []Limit, taking *Taking) (v Verdict) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.used) != len(limits) {
		t.used, t.seen = make([]int64, len(limits)), make([]map[Subject]bool, len(limits))
	}
	if v.Stopped = t.fits(limits, func(i int) int64 { return taking.first(limits[i].Of) }); v.Stopped != nil {
		return v
	}
	for i := range limits {
		t.used[i] += taking.first(limits[i].Of)
	}
	for r := range taking.Rows {
		row := &taking.Rows[r]
		need := func(i int) int64 { return taking.of(limits[i].Counter, row) + t.unseen(i, limits[i], row) }
		if v.Stopped = t.fits(limits, need); v.Stopped != nil {
			break
		}
		for i := range limits {
			t.used[i] += need(i)
			t.see(i, limits[i], row)
		}
		v.Rows++
	}
	v.Told = t.tell(limits)
	return v
}

// fits gives the first limit that stops who needs so much of each.
func (t *Tally) fits(limits []Limit, need func(int) int64) *Reached {
	for i, l := range limits {
		if n := need(i); n > 0 && l.Then.Stops() && n > l.Most-t.used[i] {
			return &Reached{Limit: l, Used: t.used[i]}
		}
	}
	return nil
}

// unseen gives how many data subjects of a row were not counted yet.
func (t *Tally) unseen(i int, l Limit, row *Row) (n int64) {
	if l.Of != policy.LimitSubjects {
		return 0
	}
	for at, p := range row.People {
		if l.Counter.counts(p) && !t.seen[i][p.ID] && !slices.Contains(row.People[:at], p) {
			n++
		}
	}
	return n
}

func (t *Tally) see(i int, l Limit, row *Row) {
	if l.Of != policy.LimitSubjects {
		return
	}
	if t.seen[i] == nil {
		t.seen[i] = map[Subject]bool{}
	}
	for _, p := range row.People {
		if l.Counter.counts(p) {
			t.seen[i][p.ID] = true
		}
	}
}

// Stand tells how limits stand.
func (t *Tally) Stand(limits []Limit) []Reached {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := make([]Reached, len(limits))
	for i, l := range limits {
		found[i] = Reached{Limit: l, Near: true}
		if i < len(t.used) {
			found[i].Used, found[i].Near = t.used[i], t.used[i] < l.Most
		}
	}
	return found
}

// tell gives the limits that have just been reached, or nearly.
func (t *Tally) tell(limits []Limit) (told []Reached) {
	for i, l := range limits {
		for _, near := range []bool{true, false} {
			k, at := threshold{l, near}, l.Most
			if near {
				at = l.Warn
			}
			if at > 0 && t.used[i] >= at && !slices.Contains(t.told, k) {
				t.told = append(t.told, k)
				told = append(told, Reached{Limit: l, Used: t.used[i], Near: near && at < l.Most})
			}
		}
	}
	return told
}
