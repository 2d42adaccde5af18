package limits

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pgveil/pgveil/policy"
)

// Book gives out what limits leave, a little of which it has on lease from a
// Ledger. It may be used by many goroutines.
type Book struct {
	ledger Ledger
	now    func() time.Time

	mu     sync.Mutex
	leases map[Counter]*lease
	told   map[threshold]bool
}

// lease is what a book has of one counter.
type lease struct {
	slot  int64     // of the ledger's, in which it was given
	ends  time.Time // when that is over; zero: never
	left  int64
	ahead int64            // asked for beyond what is needed, and not answered yet
	fresh map[Subject]bool // that the ledger counted in the slot
	used  int64            // by everybody, when the ledger was asked last
	again time.Time        // when some of that is over
	asked time.Time
	owed  int  // how often somebody got to know what could not be counted any more
	out   bool // somebody was told that nothing is left, who could not find out otherwise
}

// threshold is what somebody is told of once, until less is used again.
type threshold struct {
	limit Limit
	near  bool
}

// NewBook makes a book before a ledger.
func NewBook(ledger Ledger, now func() time.Time) *Book {
	return &Book{ledger: ledger, now: now, leases: map[Counter]*lease{}, told: map[threshold]bool{}}
}

// Row is one row on its way to a client.
type Row struct {
	Bytes  int64
	Times  int64 // as how many it counts of the classes in Clear
	People []Person
}

// Taking is what a caller is about to get. It may be used again for another.
type Taking struct {
	Limits     []Limit
	Statements int64
	Clear      []string // the classes of which each row has values as they are
	Rows       []Row
	Patient    bool // it may wait for the ledger

	shares []share
}

// Verdict says how much of a taking is given: the rows from the first on.
type Verdict struct {
	Rows    int
	Stopped *Reached  // what stops the next; nil: nothing does
	Told    []Reached // what somebody should be told of
}

// share is what a taking has of one counter.
type share struct {
	counter Counter
	stops   *Limit // the narrowest that stops; nil: none does
	slot    int64
	ends    time.Time
	have    int64 // given and not used
	keep    int64 // at most so much of that is of the slot
	old     int64 // on lease and of a slot that is over
	ahead   int64 // asked for beyond what is needed
	lacking map[Subject]int
	order   []Subject
	counts  int // of order, from the first on
	asked   int // its place among the questions; -1: none is asked
}

// Take counts what a caller is about to get, as far as its limits leave some.
// Nothing that it does not give may leave. After ErrWaits nothing has happened.
func (b *Book) Take(ctx context.Context, t *Taking) (Verdict, error) {
	t.share()
	asks := b.draw(t)
	if len(asks) == 0 {
		v := t.judge(nil)
		b.putBack(t, nil)
		return v, nil
	}
	if b.ledger.Waits() && !t.Patient {
		b.putBack(t, nil)
		return Verdict{}, ErrWaits
	}
	old := t.old()
	answers, err := b.ledger.Ask(ctx, append(old, asks...))
	if err != nil {
		b.putBack(t, nil)
		return Verdict{}, err
	}
	answers = answers[len(old):]
	t.receive(answers)
	v := t.judge(answers)
	v.Told = b.putBack(t, answers)
	return v, nil
}

// share makes a share for each counter.
func (t *Taking) share() {
	t.shares = t.shares[:0]
	for i := range t.Limits {
		l := &t.Limits[i]
		at := slices.IndexFunc(t.shares, func(s share) bool { return s.counter == l.Counter })
		if at < 0 {
			at = len(t.shares)
			t.shares = append(t.shares, share{counter: l.Counter, asked: -1})
		}
		if s := &t.shares[at]; l.Then.Stops() && (s.stops == nil || l.Most < s.stops.Most) {
			s.stops = l
		}
	}
}

// draw takes what there is on lease, and gives what else must be asked for.
func (b *Book) draw(t *Taking) (asks []Ask) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for i := range t.shares {
		s := &t.shares[i]
		l := b.lease(s.counter)
		if over(l.ends, now) {
			s.old, l.left, l.fresh = l.left, 0, nil
		}
		s.slot, s.ends, s.keep = l.slot, l.ends, NoLimit
		need := t.need(s, l)
		s.have = min(need, l.left)
		l.left -= s.have
		if need == s.have && len(s.order) == 0 {
			continue
		}
		s.asked = len(asks)
		ask := Ask{Counter: s.counter, Most: NoLimit, Subjects: s.order}
		switch {
		case s.stops != nil:
			ask.Most = s.stops.Most
		case s.counter.Of == policy.LimitSubjects:
			ask.Most = t.enough(s)
		}
		if lack := need - s.have; lack > 0 {
			if l.ahead == 0 { // one lease is enough for many who ask at once
				s.ahead = t.ahead(s)
				l.ahead = s.ahead
			}
			ask.Amount = lack + s.ahead
		}
		asks = append(asks, ask)
	}
	return asks
}

// lease gives what the book has of a counter.
func (b *Book) lease(c Counter) *lease {
	l := b.leases[c]
	if l == nil {
		l = &lease{}
		b.leases[c] = l
	}
	return l
}

// over tells whether a time has come.
func over(ends, now time.Time) bool { return !ends.IsZero() && !now.Before(ends) }

// old gives back what was leased in slots that are over, of the counters that are
// asked for. It is not to be had any more: it was counted there.
func (t *Taking) old() (asks []Ask) {
	for i := range t.shares {
		if s := &t.shares[i]; s.old > 0 && s.asked >= 0 {
			asks = append(asks, Ask{Counter: s.counter, Most: NoLimit, Amount: -s.old, Slot: s.slot})
			s.old = 0
		}
	}
	return asks
}

// need tells how much of a counter a taking needs, and puts the subjects in order
// that are not counted yet in the slot.
func (t *Taking) need(s *share, l *lease) (amount int64) {
	if s.counter.Of == policy.LimitSubjects {
		for i := range t.Rows {
			for _, p := range t.Rows[i].People {
				if !s.counter.counts(p) || l.fresh[p.ID] {
					continue
				}
				if _, known := s.lacking[p.ID]; !known {
					if s.lacking == nil {
						s.lacking = map[Subject]int{}
					}
					s.lacking[p.ID] = len(s.order)
					s.order = append(s.order, p.ID)
				}
			}
		}
		return 0
	}
	amount = t.first(s.counter.Of)
	for i := range t.Rows {
		amount += t.of(s.counter, &t.Rows[i])
	}
	return amount
}

// first gives what a taking needs of a measure before its rows.
func (t *Taking) first(of policy.Measure) int64 {
	if of == policy.LimitStatements {
		return t.Statements
	}
	return 0
}

// of gives what a row needs of what is not distinct.
func (t *Taking) of(c Counter, r *Row) int64 {
	switch c.Of {
	case policy.LimitRows:
		return 1
	case policy.LimitBytes:
		return r.Bytes
	case policy.LimitValues:
		if slices.Contains(t.Clear, c.Name) {
			return max(1, r.Times)
		}
	}
	return 0
}

// ahead gives how much more to take on lease.
func (t *Taking) ahead(s *share) int64 {
	most := int64(NoLimit)
	for i := range t.Limits {
		if t.Limits[i].Counter == s.counter {
			most = min(most, t.Limits[i].Most)
		}
	}
	return most / leased
}

// enough gives the number of data subjects beyond which nobody need know more where
// no limit stops at it: a set of all of them would have no bound.
func (t *Taking) enough(s *share) (most int64) {
	for i := range t.Limits {
		if t.Limits[i].Counter == s.counter {
			most = max(most, t.Limits[i].Most)
		}
	}
	return 4 * min(most, NoLimit/4)
}

// leased is which part of a limit is taken on lease at a time.
const leased = 100

func (t *Taking) receive(answers []Answer) {
	for i := range t.shares {
		if s := &t.shares[i]; s.asked >= 0 {
			a := answers[s.asked]
			if a.Slot != s.slot {
				s.keep = a.Amount
			}
			s.slot, s.ends, s.counts = a.Slot, a.Ends, a.Subjects
			s.have += a.Amount
		}
	}
}

// judge uses up what there is, row by row.
func (t *Taking) judge(answers []Answer) (v Verdict) {
	for i := range t.shares {
		s := &t.shares[i]
		n := t.first(s.counter.Of)
		if n > s.have {
			v.Stopped = s.reached(answers)
			return v
		}
		s.have -= n
	}
	for i := range t.Rows {
		r := &t.Rows[i]
		for j := range t.shares {
			if s := &t.shares[j]; !t.fits(s, r) {
				v.Stopped = s.reached(answers)
				return v
			}
		}
		for j := range t.shares {
			t.shares[j].have -= t.of(t.shares[j].counter, r)
		}
		v.Rows++
	}
	return v
}

// fits tells whether a share has enough for one row.
func (t *Taking) fits(s *share, r *Row) bool {
	if s.counter.Of != policy.LimitSubjects {
		return t.of(s.counter, r) <= s.have
	}
	return s.stops == nil || !slices.ContainsFunc(r.People, func(p Person) bool {
		i, lacks := s.lacking[p.ID]
		return lacks && i >= s.counts
	})
}

func (s *share) reached(answers []Answer) *Reached {
	r := &Reached{}
	if s.stops != nil {
		r.Limit = *s.stops
	}
	if s.asked >= 0 && s.asked < len(answers) {
		r.Used, r.Again = answers[s.asked].Used, answers[s.asked].Again
	}
	return r
}

// putBack takes over what the ledger said and what a taking left. It gives what
// somebody should be told of.
func (b *Book) putBack(t *Taking, answers []Answer) (told []Reached) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for i := range t.shares {
		s := &t.shares[i]
		l := b.lease(s.counter)
		l.ahead -= s.ahead
		l.take(s, now)
		if s.asked >= 0 && answers != nil {
			a := answers[s.asked]
			l.used, l.again, l.asked = a.Used, a.Again, now
			told = append(told, b.tell(t, s.counter, a)...)
		}
		t.shares[i] = share{}
	}
	return told
}

// take takes over what is left of a share. What is of another slot takes the place
// of what there is, when that slot is not over.
func (l *lease) take(s *share, now time.Time) {
	if l.slot != s.slot {
		if s.asked < 0 || over(s.ends, now) {
			return
		}
		l.slot, l.ends, l.left, l.fresh = s.slot, s.ends, 0, nil
	}
	if l.ends.Before(s.ends) {
		l.ends = s.ends
	}
	l.left += min(s.have, s.keep) + s.old
	for _, id := range s.order[:s.counts] {
		if l.fresh == nil {
			l.fresh = map[Subject]bool{}
		}
		l.fresh[id] = true
	}
}

// tell gives the limits of a counter that have just been reached, or nearly.
func (b *Book) tell(t *Taking, c Counter, a Answer) (told []Reached) {
	for _, l := range t.Limits {
		if l.Counter != c {
			continue
		}
		for _, near := range []bool{true, false} {
			k, at := threshold{l, near}, l.Most
			if near {
				at = l.Warn
			}
			switch {
			case at == 0:
			case a.Used < at:
				delete(b.told, k)
			case !b.told[k]:
				b.told[k] = true
				told = append(told, Reached{Limit: l, Used: a.Used, Again: a.Again, Near: near && at < l.Most})
			}
		}
	}
	return told
}
