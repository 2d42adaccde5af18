package guard

import (
	"container/heap"
	"math"
	"net/netip"
	"time"
)

// key is what is counted: a login, a network, both, or a login by unix sockets.
// The zero key stands for nothing.
type key struct {
	login string
	net   netip.Prefix
	local bool
}

// entry is one count, kept as the moment when all of it is forgiven: one
// failure moves that on by limit.Every, and time alone comes nearer to it.
type entry struct {
	key     key
	until   time.Duration
	count   int   // failures since all was forgiven
	reached bool  // the limit was, since then
	shown   Shown // of pairs
	at      int   // in the queue
}

// table holds a bounded number of counts.
type table struct {
	limit   Limit
	size    int
	entries map[key]*entry
	order   queue
}

func newTable(l Limit, size int) table {
	return table{limit: l, size: size, entries: map[key]*entry{}}
}

// threshold is the level that is too much.
func (t *table) threshold() int {
	if t.limit.Failures == 0 {
		return math.MaxInt
	}
	return t.limit.Failures
}

// level gives how many failures are not forgiven. Of a table without a limit it
// tells whether the entry counts.
func (t *table) level(k key, now time.Duration) int {
	e, ok := t.entries[k]
	if !ok || e.until <= now {
		return 0
	}
	every := max(t.limit.Every, 1)
	return int((e.until - now + every - 1) / every)
}

// spare is how far beyond its limit a count can go: who is only slowed must not
// be so for ever.
const spare = 10

// fail adds one failure.
func (t *table) fail(k key, now time.Duration) *entry {
	until := now
	if e, ok := t.entries[k]; ok {
		until = max(until, e.until)
	}
	most := now + time.Duration(t.limit.Failures+spare)*t.limit.Every
	e := t.set(k, min(until+t.limit.Every, most), now)
	e.count++
	return e
}

// failures gives how many there were since all was last forgiven.
func (t *table) failures(k key, now time.Duration) int {
	if t.level(k, now) == 0 {
		return 0
	}
	return t.entries[k].count
}

// set puts an entry. In a full table the one that is forgiven soonest makes
// place for it.
func (t *table) set(k key, until, now time.Duration) *entry {
	e, ok := t.entries[k]
	if !ok {
		if len(t.entries) >= t.size {
			t.remove(t.order[0].key)
		}
		e = &entry{key: k, until: until}
		t.entries[k] = e
		heap.Push(&t.order, e)
		return e
	}
	if e.until <= now {
		e.reached, e.count = false, 0
	}
	e.until = until
	heap.Fix(&t.order, e.at)
	return e
}

func (t *table) remove(k key) {
	if e, ok := t.entries[k]; ok {
		delete(t.entries, k)
		heap.Remove(&t.order, e.at)
	}
}

// queue has at its head the entry that is forgiven soonest. It is a heap.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].until < q[j].until }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].at, q[j].at = i, j }

// Push and Pop are for container/heap.
func (q *queue) Push(e any) {
	e.(*entry).at = len(*q)
	*q = append(*q, e.(*entry))
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
