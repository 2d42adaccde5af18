package limits

import (
	"context"
	"maps"
	"sync"
	"time"
)

// Ask is what a Book asks of one counter.
type Ask struct {
	Counter  Counter
	Most     int64     // beyond which nothing is given
	Amount   int64     // wanted; below 0: given back, of what was given in Slot
	Slot     int64     // of what is given back
	Subjects []Subject // to be counted, in order
}

// Answer is what a Book gets. Amount may be less than was asked for. Times are of
// the clock of who asks, whichever clock the ledger goes by.
type Answer struct {
	Amount   int64
	Slot     int64     // that it was given in; only the ledger knows what it means
	Ends     time.Time // when the slot is over, or sooner; zero: never
	Subjects int       // how many of those asked for count, from the first on
	Used     int64     // by everybody, after that
	Again    time.Time // when some of it is over; zero: not by time
}

// Ledger knows what was counted. It may be used by many goroutines.
type Ledger interface {
	// Ask counts, and gives an answer for each question. After an error some of
	// it may have been counted.
	Ask(ctx context.Context, asks []Ask) ([]Answer, error)
	// Waits tells whether an answer may take longer than a system call.
	Waits() bool
	// Sync makes what was counted survive, as far as the ledger can. It is called
	// every second or so.
	Sync(ctx context.Context) error
	// Close gives up what the ledger holds.
	Close() error
}

// Memory is a Ledger of one process, which a restart empties.
type Memory struct {
	now func() time.Time

	mu       sync.Mutex
	last     int64 // the latest that the clock said
	swept    int64
	counters map[Counter]*count
}

// NewMemory makes an empty ledger.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{now: now, counters: map[Counter]*count{}}
}

// Waits tells that answers come at once.
func (m *Memory) Waits() bool { return false }

// Sync does nothing.
func (m *Memory) Sync(context.Context) error { return nil }

// Close does nothing.
func (m *Memory) Close() error { return nil }

// Ask counts.
func (m *Memory) Ask(_ context.Context, asks []Ask) ([]Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ask(asks, nil), nil
}

// ask counts, and tells changed what of each question did so.
func (m *Memory) ask(asks []Ask, changed func(Ask)) []Answer {
	now := m.clock()
	m.sweep(now)
	answers := make([]Answer, len(asks))
	for i, a := range asks {
		c := m.counters[a.Counter]
		if c == nil {
			c = &count{}
			m.counters[a.Counter] = c
		}
		c.expire(a.Counter, now)
		slot := a.Counter.slotAt(now)
		answers[i] = c.give(a, slot, changed)
		answers[i].Used, answers[i].Ends = c.used(), a.Counter.ends(slot)
		if oldest, any := c.oldest(); any {
			answers[i].Again = a.Counter.over(oldest)
		}
	}
	return answers
}

// clock never goes back.
func (m *Memory) clock() int64 {
	m.last = max(m.last, m.now().UnixNano())
	return m.last
}

const sweepEvery = int64(time.Minute)

// sweep forgets counters of which nothing counts any more.
func (m *Memory) sweep(now int64) {
	if now-m.swept < sweepEvery {
		return
	}
	m.swept = now
	maps.DeleteFunc(m.counters, func(k Counter, c *count) bool {
		c.expire(k, now)
		return c.used() == 0
	})
}

// count is what was counted of one counter, by slot.
type count struct {
	total   int64
	amounts []amount // ascending by slot
	last    map[Subject]int64
	slots   []counted // ascending by slot
}

type amount struct{ slot, n int64 }

// counted are the subjects that were counted in a slot. Those that were counted
// again later are not of it any more.
type counted struct {
	slot     int64
	subjects []Subject
}

func (c *count) used() int64 { return c.total + int64(len(c.last)) }

// oldest gives the first slot of which something counts.
func (c *count) oldest() (slot int64, any bool) {
	switch {
	case len(c.amounts) > 0 && len(c.slots) > 0:
		return min(c.amounts[0].slot, c.slots[0].slot), true
	case len(c.amounts) > 0:
		return c.amounts[0].slot, true
	case len(c.slots) > 0:
		return c.slots[0].slot, true
	default:
		return 0, false
	}
}

// expire forgets what is older than the window.
func (c *count) expire(k Counter, now int64) {
	for len(c.amounts) > 0 && !k.lasts(c.amounts[0].slot, now) {
		c.total -= c.amounts[0].n
		c.amounts = c.amounts[1:]
	}
	for len(c.slots) > 0 && !k.lasts(c.slots[0].slot, now) {
		for _, s := range c.slots[0].subjects {
			if c.last[s] == c.slots[0].slot {
				delete(c.last, s)
			}
		}
		c.slots = c.slots[1:]
	}
}

// give gives what is asked for as far as there is some left.
func (c *count) give(a Ask, slot int64, changed func(Ask)) Answer {
	did := Ask{Counter: a.Counter, Slot: slot}
	answer := Answer{Slot: slot}
	if a.Amount < 0 {
		did.Amount, did.Slot = -c.takeBack(a.Slot, -a.Amount), a.Slot
	} else if a.Amount > 0 {
		did.Amount = max(0, min(a.Amount, a.Most-c.used()))
		c.add(slot, did.Amount)
		answer.Amount = did.Amount
	}
	for _, s := range a.Subjects {
		at, known := c.last[s]
		if !known && c.used() >= a.Most {
			break
		}
		answer.Subjects++
		if !known || at != slot {
			c.note(slot, s)
			did.Subjects = append(did.Subjects, s)
		}
	}
	if changed != nil && (did.Amount != 0 || len(did.Subjects) > 0) {
		changed(did)
	}
	return answer
}

// add counts in a slot, or in a later one that there is already.
func (c *count) add(slot, n int64) {
	if n == 0 {
		return
	}
	c.total += n
	if last := len(c.amounts) - 1; last >= 0 && c.amounts[last].slot >= slot {
		c.amounts[last].n += n
		return
	}
	c.amounts = append(c.amounts, amount{slot, n})
}

// takeBack takes out of a slot what nobody used of it.
func (c *count) takeBack(slot, n int64) int64 {
	for i := range c.amounts {
		if a := &c.amounts[i]; a.slot == slot {
			n = min(n, a.n)
			a.n -= n
			c.total -= n
			return n
		}
	}
	return 0
}

// note counts a subject in a slot.
func (c *count) note(slot int64, s Subject) {
	if c.last == nil {
		c.last = map[Subject]int64{}
	}
	if at, known := c.last[s]; known && at >= slot {
		return
	}
	if n := len(c.slots); n > 0 {
		slot = max(slot, c.slots[n-1].slot)
	}
	c.last[s] = slot
	if n := len(c.slots); n == 0 || c.slots[n-1].slot < slot {
		c.slots = append(c.slots, counted{slot: slot})
	}
	last := &c.slots[len(c.slots)-1]
	last.subjects = append(last.subjects, s)
}
