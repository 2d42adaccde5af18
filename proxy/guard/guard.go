package guard

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"
)

// Scope is one of the ways of counting. The zero Scope is none.
type Scope uint8

// The scopes.
const (
	Pair    Scope = iota + 1 // one login from one address
	Address                  // an address
	Network                  // a network
	Login                    // one login from everywhere
	scopes
)

func (s Scope) String() string {
	if s < Pair || s >= scopes {
		return "none"
	}
	return [...]string{"pair", "address", "network", "login"}[s-Pair]
}

// Limit is how many failures there may be, of which one is forgiven every so
// often. With Failures of 0 there is no limit.
type Limit struct {
	Failures int
	Every    time.Duration
}

// Options is what a Guard is made of.
type Options struct {
	Pair, Address, Network, Login Limit

	Slow       time.Duration // the longest that a login is slowed
	IPv4, IPv6 int           // bits of a network
	Known      time.Duration // how long a login is known where it got in
	Entries    int           // of each table
	Now        func() time.Duration
}

// Attempt is a login by its name and where it comes from. Those without an
// address, which come by unix sockets, count as one address, and no network.
type Attempt struct {
	Login string
	Addr  netip.Addr
}

// Verdict is what becomes of an attempt. The zero Verdict refuses it.
type Verdict struct {
	Allowed bool
	By      Scope         // that refuses it
	Wait    time.Duration // before it may go on
	Shown   Shown         // where By is Pair
}

// Shown is what the client of a pair saw when it last failed. Who is refused
// for it is shown the same again, and cannot tell this from another failure.
type Shown struct {
	Salt       []byte // of SCRAM; nil where there is no verifier
	Iterations int
	Error      []byte // the server's own
}

// Guard counts failed logins. It may be used by many goroutines.
type Guard struct {
	o Options

	mu     sync.Mutex
	last   time.Duration // the latest that the clock said
	tables [scopes]table
	known  table
}

// longest bounds the time in which all failures are forgiven: a sum of two such
// times is one still.
const longest = math.MaxInt64 / 4

// New makes a Guard.
func New(o Options) (*Guard, error) {
	limits := [scopes]Limit{Pair: o.Pair, Address: o.Address, Network: o.Network, Login: o.Login}
	for s, l := range limits {
		if l.Failures < 0 || l.Failures > 0 && (l.Every <= 0 || l.Every > longest/time.Duration(l.Failures+spare)) {
			return nil, fmt.Errorf("guard: limit of each %v is not one", Scope(s))
		}
	}
	if o.Entries <= 0 || o.Slow < 0 || o.Known < 0 || o.Known > longest || o.IPv4 < 0 || o.IPv4 > 32 || o.IPv6 < 0 || o.IPv6 > 128 {
		return nil, errors.New("guard: entries, times and networks are out of range")
	}
	if o.Now == nil {
		start := time.Now()
		o.Now = func() time.Duration { return time.Since(start) } // monotonic, whatever is done to the clock
	}
	g := &Guard{o: o, known: newTable(Limit{}, o.Entries)}
	for s, l := range limits {
		g.tables[s] = newTable(l, o.Entries)
	}
	return g, nil
}

// now never goes back.
func (g *Guard) now() time.Duration {
	g.last = max(g.last, g.o.Now())
	return g.last
}

// keys gives what an attempt counts as, by scope. The zero key is none.
func (g *Guard) keys(a Attempt) (k [scopes]key) {
	addr := a.Addr.Unmap().WithZone("")
	k[Pair], k[Login], k[Address] = key{login: a.Login, local: true}, key{login: a.Login}, key{local: true}
	if !addr.IsValid() {
		return k
	}
	bits := g.o.IPv4
	if addr.Is6() {
		bits = g.o.IPv6
	}
	host := netip.PrefixFrom(addr, addr.BitLen())
	k[Pair], k[Address] = key{login: a.Login, net: host}, key{net: host}
	k[Network] = key{net: netip.PrefixFrom(addr, bits).Masked()}
	return k
}

// Admit tells what becomes of an attempt before anything is done for it.
func (g *Guard) Admit(a Attempt) Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.admit(g.keys(a), g.now())
}

func (g *Guard) admit(k [scopes]key, now time.Duration) Verdict {
	pair := &g.tables[Pair]
	if pair.level(k[Pair], now) >= pair.threshold() {
		return Verdict{By: Pair, Shown: pair.entries[k[Pair]].shown}
	}
	if g.known.level(k[Pair], now) > 0 {
		return Verdict{Allowed: true}
	}
	for _, s := range []Scope{Address, Network} {
		if t := &g.tables[s]; t.level(k[s], now) >= t.threshold() {
			return Verdict{By: s}
		}
	}
	return Verdict{Allowed: true, Wait: g.slow(k[Login], now)}
}

// firstWait is how long a login is slowed at its limit; each failure more
// doubles it.
const firstWait = 100 * time.Millisecond

func (g *Guard) slow(k key, now time.Duration) time.Duration {
	t := &g.tables[Login]
	over := t.level(k, now) - t.threshold()
	if over < 0 {
		return 0
	}
	return min(firstWait<<min(over, 20), g.o.Slow)
}

// Failed counts a proof that failed, and what its client was shown. It gives
// the scopes whose limit was reached by it, each once until all is forgiven. An
// attempt that would be refused by now is not counted: it tells its client no
// more than that.
func (g *Guard) Failed(a Attempt, shown Shown) (v Verdict, reached []Scope) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k, now := g.keys(a), g.now()
	if v = g.admit(k, now); !v.Allowed {
		return v, nil
	}
	for s := Pair; s < scopes; s++ {
		t := &g.tables[s]
		if t.limit.Failures == 0 || k[s] == (key{}) {
			continue
		}
		e := t.fail(k[s], now)
		if s == Pair {
			e.shown = shown
		}
		if t.level(k[s], now) >= t.threshold() && !e.reached {
			e.reached = true
			reached = append(reached, s)
		}
	}
	return v, reached
}

// Passed takes note of a proof that succeeded, unless the attempt is refused by
// now. guesses is how often the login has failed since all its failures were
// forgiven: here, or anywhere if it was not known here.
func (g *Guard) Passed(a Attempt) (v Verdict, guesses int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k, now := g.keys(a), g.now()
	if v = g.admit(k, now); !v.Allowed {
		return v, 0
	}
	guesses = g.tables[Pair].failures(k[Pair], now)
	if g.known.level(k[Pair], now) == 0 {
		guesses = max(guesses, g.tables[Login].failures(k[Login], now))
	}
	g.tables[Pair].remove(k[Pair])
	if g.o.Known > 0 {
		g.known.set(k[Pair], now+g.o.Known, now)
	}
	return v, guesses
}

// Entries tells how many entries there are in all tables.
func (g *Guard) Entries() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.known.entries)
	for s := range g.tables {
		n += len(g.tables[s].entries)
	}
	return n
}
