// Package limits counts what callers get, over sliding windows of time, and says
// when they have had enough.
//
// A Counter counts one measure (rows, bytes, statements, values of a class, or
// distinct data subjects) for somebody over a window. What was counted is with a
// Ledger, which several processes may share: in memory, in a file that outlives
// the process, or with a server that many machines ask. A Book stands before it:
// it has a little of every counter on lease, so that most statements need not ask.
//
// A window is divided into slots. What is counted in a slot counts until the whole
// of the slot is a window old, so never shorter than the window and at most a
// sixtieth longer. Of data subjects the set is exact: who was counted within the
// window is not counted again.
//
// A leased amount counts as used. So no two processes together give out more than
// the limit, whatever ends one of them; what a process had on lease when it was
// killed is lost until the window is over.
package limits

import (
	"errors"
	"math"
	"time"

	"github.com/pgveil/pgveil/policy"
)

// Counter is what is counted, for whom and over which time.
type Counter struct {
	Of     policy.Measure
	Name   string // the kind of data subjects, or the class of values; "" for any
	Whose  policy.Whose
	Who    string
	Window time.Duration // 0: for as long as the Ledger lasts
}

// Subject is a data subject, as a digest that nobody without the key can compute.
type Subject [16]byte

// Person is a data subject of a kind.
type Person struct {
	Kind string // "" for one who may be of any
	ID   Subject
}

// counts tells whether a counter of data subjects counts a person.
func (c Counter) counts(p Person) bool { return c.Name == "" || p.Kind == "" || p.Kind == c.Name }

// NoLimit is the most of what nothing limits.
const NoLimit = math.MaxInt64

// ErrWaits says that the ledger has to be asked, by somebody who may wait.
var ErrWaits = errors.New("limits: the ledger has to be asked")

// Limit is a limit of the policy as it holds for one caller.
type Limit struct {
	policy.Limit
	Counter Counter
}

// Reached says how a limit stands that was reached, or nearly.
type Reached struct {
	Limit Limit
	Used  int64
	Again time.Time // when some of it is over; zero: not by time
	Near  bool      // it is not reached yet
}

// Left is how much is left of the limit.
func (r Reached) Left() int64 { return max(0, r.Limit.Most-r.Used) }

// slotsOf a window.
const slotsOf = 60

// slotLength gives how long a slot of a window is.
func slotLength(window time.Duration) int64 { return max(int64(window)/slotsOf, 1) }

// slotAt gives the slot that a moment is in, in nanoseconds since 1970.
func (c Counter) slotAt(now int64) int64 {
	if c.Window == 0 {
		return 0
	}
	return now / slotLength(c.Window)
}

// lasts tells whether what was counted in a slot counts still at a moment.
func (c Counter) lasts(slot, now int64) bool {
	return c.Window == 0 || (slot+1)*slotLength(c.Window)+int64(c.Window) > now
}

// ends gives when a slot is over.
func (c Counter) ends(slot int64) time.Time {
	if c.Window == 0 {
		return time.Time{}
	}
	return time.Unix(0, (slot+1)*slotLength(c.Window))
}

// over gives when what was counted in a slot counts no more.
func (c Counter) over(slot int64) time.Time {
	if c.Window == 0 {
		return time.Time{}
	}
	return time.Unix(0, (slot+1)*slotLength(c.Window)+int64(c.Window))
}
