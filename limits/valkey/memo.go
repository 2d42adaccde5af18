package valkey

import (
	"maps"
	"sync"
	"time"

	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/policy"
)

// memo is what this process counted on the server, by the server's slots, as long
// as it may count.
type memo struct {
	mu       sync.Mutex
	counters map[limits.Counter]*own
	tidied   time.Time
}

// own is what this process counted of one counter.
type own struct {
	last     int64 // the latest ask that it has to do with
	newest   int64
	until    time.Time // when nothing of it counts; zero: never
	sum      map[int64]int64
	subjects map[limits.Subject]int64 // the slot that each was counted in last; sum says how many of each
}

// note takes down what an ask came to, which is the n-th of the process. It gives
// errForgot where the server counts less than this process alone has.
func (m *memo) note(n, now int64, asks []limits.Ask, answers []limits.Answer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range asks {
		o := m.counters[asks[i].Counter]
		if o == nil {
			o = &own{sum: map[int64]int64{}, subjects: map[limits.Subject]int64{}}
			m.counters[asks[i].Counter] = o
		}
		o.add(&asks[i], &answers[i])
		if n < o.last {
			continue // what came later is in the sum already
		}
		o.last = n
		if o.since(asks[i].Counter, now) > answers[i].Used {
			return errForgot
		}
	}
	return nil
}

// giveBack counts no more what is about to be given back: whether or not the server
// gets to know, it was not used.
func (m *memo) giveBack(asks []limits.Ask) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range asks {
		o := m.counters[a.Counter]
		if o == nil || a.Amount >= 0 {
			continue
		}
		if o.sum[a.Slot] += a.Amount; o.sum[a.Slot] <= 0 {
			delete(o.sum, a.Slot)
		}
	}
}

// since gives how much of it counts at a time.
func (o *own) since(c limits.Counter, now int64) (total int64) {
	window, length := microseconds(c)
	for slot, n := range o.sum {
		if window == 0 || (slot+1)*length+window > now {
			total += n
		}
	}
	return total
}

// add counts what an answer gave.
func (o *own) add(a *limits.Ask, got *limits.Answer) {
	if got.Slot > o.newest {
		o.newest = got.Slot
		o.forget(o.newest - slots - 1)
	}
	if a.Counter.Window > 0 {
		o.until = got.Ends.Add(a.Counter.Window)
	}
	if got.Amount > 0 {
		o.sum[got.Slot] += got.Amount
	}
	for _, id := range a.Subjects[:got.Subjects] {
		o.move(id, got.Slot)
	}
}

// move counts a subject in a slot, and no more in an earlier one.
func (o *own) move(id limits.Subject, slot int64) {
	at, known := o.subjects[id]
	if known && at >= slot {
		return
	}
	if known {
		o.sum[at]--
	}
	o.subjects[id] = slot
	o.sum[slot]++
}

// forget drops what was counted before a slot.
func (o *own) forget(first int64) {
	maps.DeleteFunc(o.subjects, func(_ limits.Subject, slot int64) bool { return slot < first })
	maps.DeleteFunc(o.sum, func(slot, _ int64) bool { return slot < first })
}

// tidy forgets counters of which nothing counts, every minute or so.
func (m *memo) tidy(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.tidied) < time.Minute {
		return
	}
	m.tidied = now
	maps.DeleteFunc(m.counters, func(_ limits.Counter, o *own) bool { return !o.until.IsZero() && now.After(o.until) })
}

// part is what was counted of one counter in one slot.
type part struct {
	slot     int64
	amount   int64
	subjects []limits.Subject
}

// all gives everything, by counter.
func (m *memo) all() map[limits.Counter][]part {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[limits.Counter][]part{}
	for c, o := range m.counters {
		if c.Of != policy.LimitSubjects {
			for slot, n := range o.sum {
				all[c] = append(all[c], part{slot: slot, amount: n})
			}
			continue
		}
		in := map[int64][]limits.Subject{}
		for id, slot := range o.subjects {
			in[slot] = append(in[slot], id)
		}
		for slot, ids := range in {
			all[c] = append(all[c], part{slot: slot, subjects: ids})
		}
	}
	return all
}
