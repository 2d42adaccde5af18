package limits

import (
	"context"
	"testing"
	"time"

	"github.com/pgveil/pgveil/policy"
)

// elsewhere is a ledger whose clock is another one than that of who asks.
type elsewhere struct {
	*Memory
	ahead time.Duration
	asked int
}

func newElsewhere(c *clock, ahead time.Duration) *elsewhere {
	return &elsewhere{Memory: NewMemory(func() time.Time { return c.now().Add(ahead) }), ahead: ahead}
}

func (e *elsewhere) Ask(ctx context.Context, asks []Ask) ([]Answer, error) {
	e.asked++
	answers, err := e.Memory.Ask(ctx, asks)
	for i := range answers {
		for _, at := range []*time.Time{&answers[i].Ends, &answers[i].Again} {
			if !at.IsZero() {
				*at = at.Add(-e.ahead)
			}
		}
	}
	return answers, err
}

// TestClocksDiffer takes a row every now and then from ledgers whose clocks are
// not the book's, and compares with all that was given within each window.
func TestClocksDiffer(t *testing.T) {
	for _, ahead := range []time.Duration{0, 100 * time.Hour, -100 * time.Hour, 37 * time.Second, -37 * time.Second} {
		c := newClock()
		e := newElsewhere(c, ahead)
		b := NewBook(e, c.now)
		limits := []Limit{limit(policy.LimitRows, 2000, time.Hour, policy.ThenRefuse)}
		var given []time.Time
		for range 20_000 {
			c.pass(time.Second)
			if take(t, b, limits, about(1)).Rows == 1 {
				given = append(given, c.now())
			}
			for len(given) > 0 && c.now().Sub(given[0]) >= time.Hour {
				given = given[1:]
			}
			if len(given) > 2000 {
				t.Fatalf("the ledger is %v ahead: %d rows within an hour", ahead, len(given))
			}
		}
		if len(given) < 1900 {
			t.Errorf("the ledger is %v ahead: %d of 2000 rows were given in the last hour", ahead, len(given))
		}
		if e.asked > 12_000 {
			t.Errorf("the ledger is %v ahead: it is asked %d times for 20000 rows", ahead, e.asked)
		}
	}
}

// TestOthersGiveBack has one book find out that another one has given back what
// it had on lease when nothing was left.
func TestOthersGiveBack(t *testing.T) {
	c := newClock()
	m := NewMemory(c.now)
	one, other := NewBook(m, c.now), NewBook(m, c.now)
	limits := []Limit{limit(policy.LimitRows, 1000, day, policy.ThenRefuse)}
	take(t, other, limits, about(1)) // and ten on lease
	if v := take(t, one, limits, make([]Row, 1000)); v.Rows != 989 || one.Exhausted(limits) == nil {
		t.Fatalf("of 1000 less 11: %+v", v)
	}
	c.pass(idle)
	for _, b := range []*Book{other, one} {
		if err := b.Tidy(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if out := one.Exhausted(limits); out != nil {
		t.Fatalf("when some was given back: %+v", out)
	}
	if v := take(t, one, limits, make([]Row, 100)); v.Rows != 10 {
		t.Errorf("of ten given back: %+v", v)
	}
}

// TestOldLeasesAreGivenBack takes one at a time, and hardly any in one slot.
func TestOldLeasesAreGivenBack(t *testing.T) {
	c := newClock()
	b := NewBook(NewMemory(c.now), c.now)
	limits := []Limit{limit(policy.LimitStatements, 100, 10*time.Minute, policy.ThenRefuse)}
	for i := range 101 {
		v, err := b.Take(context.Background(), &Taking{Limits: limits, Statements: 1})
		if err != nil || (v.Stopped != nil) != (i == 100) {
			t.Fatalf("statement %d: %+v, %v", i+1, v, err)
		}
		c.pass(5 * time.Second)
	}
}
