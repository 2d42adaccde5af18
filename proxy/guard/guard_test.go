package guard

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// clock is a clock that tests turn.
type clock struct{ time.Duration }

// guarding makes a guard with small limits, and its clock.
func guarding(t testing.TB, edits ...func(*Options)) (*Guard, *clock) {
	t.Helper()
	c := &clock{time.Hour}
	o := Options{
		Pair: Limit{3, time.Minute}, Address: Limit{6, time.Minute}, Network: Limit{12, time.Minute}, Login: Limit{8, time.Minute},
		Slow: 2 * time.Second, IPv4: 24, IPv6: 64, Known: 24 * time.Hour, Entries: 100, Now: func() time.Duration { return c.Duration },
	}
	for _, edit := range edits {
		edit(&o)
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g, c
}

func by(login, addr string) Attempt {
	a := Attempt{Login: login}
	if addr != "" {
		a.Addr = netip.MustParseAddr(addr)
	}
	return a
}

// guess fails as often as it is let.
func guess(g *Guard, a Attempt, times int) (counted int) {
	for range times {
		if !g.Admit(a).Allowed {
			continue
		}
		if v, _ := g.Failed(a, Shown{}); v.Allowed {
			counted++
		}
	}
	return counted
}

func TestPairLocks(t *testing.T) {
	g, c := guarding(t)
	alice := by("alice", "192.0.2.1")
	if got := guess(g, alice, 100); got != 3 {
		t.Fatalf("%d guesses at once, want 3", got)
	}
	if v := g.Admit(alice); v.Allowed || v.By != Pair {
		t.Errorf("after them: %+v", v)
	}
	for name, a := range map[string]Attempt{
		"elsewhere": by("alice", "198.51.100.1"), "at the next address": by("alice", "192.0.2.2"), "by a socket": by("alice", ""),
		"another": by("bob", "192.0.2.1"), "another that looks alike": by("Alice", "192.0.2.1"), "with a space": by("alice ", "192.0.2.1"),
	} {
		if v := g.Admit(a); !v.Allowed || v.Wait != 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	for _, same := range []string{"::ffff:192.0.2.1"} {
		if v := g.Admit(by("alice", same)); v.By != Pair {
			t.Errorf("as %s: %+v, want it locked", same, v)
		}
	}
	c.Duration += time.Minute
	if got := guess(g, alice, 100); got != 1 {
		t.Errorf("%d guesses a minute later, want 1", got)
	}
	c.Duration += time.Hour
	if got := guess(g, alice, 100); got != 3 {
		t.Errorf("%d guesses an hour later, want 3", got)
	}
}

func TestZonesAreOneAddress(t *testing.T) {
	g, _ := guarding(t)
	guess(g, by("alice", "fe80::1%eth0"), 3)
	if v := g.Admit(by("alice", "fe80::1%eth1")); v.Allowed {
		t.Errorf("by another zone: %+v", v)
	}
}

// TestSprays guesses at many logins from an address, and from a network.
func TestSprays(t *testing.T) {
	for _, tt := range []struct {
		name string
		addr func(i int) string
		want int
		by   Scope
	}{
		{"an address", func(int) string { return "192.0.2.1" }, 6, Address},
		{"a network", func(i int) string { return fmt.Sprintf("192.0.2.%d", i%250) }, 12, Network},
		{"an IPv6 network", func(i int) string { return fmt.Sprintf("2001:db8:0:1:%x::1", i) }, 12, Network},
		{"sockets", func(int) string { return "" }, 6, Address},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, _ := guarding(t)
			counted := 0
			for i := range 200 {
				counted += guess(g, by(fmt.Sprint("user", i), tt.addr(i)), 1)
			}
			if counted != tt.want {
				t.Errorf("%d guesses, want %d", counted, tt.want)
			}
			if v := g.Admit(by("alice", tt.addr(1000))); v.Allowed || v.By != tt.by {
				t.Errorf("the next: %+v, want it refused by %v", v, tt.by)
			}
			if v := g.Admit(by("alice", "203.0.113.1")); !v.Allowed {
				t.Errorf("from elsewhere: %+v", v)
			}
		})
	}
}

// TestNobodyIsShutOut has the world guess at alice: where she is known she
// notices nothing, and elsewhere she waits, but not for ever.
func TestNobodyIsShutOut(t *testing.T) {
	g, c := guarding(t, func(o *Options) { o.Entries = 10_000 })
	home := by("alice", "192.0.2.1")
	if v, _ := g.Passed(home); !v.Allowed {
		t.Fatalf("at first: %+v", v)
	}
	for i := range 5000 {
		guess(g, by("alice", fmt.Sprintf("10.%d.%d.1", i/250, i%250)), 3)
		guess(g, by(fmt.Sprint("user", i), "192.0.2.1"), 1) // and from where she is, at others
		c.Duration += time.Millisecond
	}
	if v := g.Admit(home); !v.Allowed || v.Wait != 0 {
		t.Errorf("at home: %+v", v)
	}
	if v := g.Admit(by("alice", "203.0.113.1")); !v.Allowed || v.Wait != 2*time.Second {
		t.Errorf("elsewhere: %+v, want her to wait for two seconds", v)
	}
	c.Duration += (8 + spare) * time.Minute
	if v := g.Admit(by("alice", "203.0.113.1")); v.Wait != 0 {
		t.Errorf("when it is over: %+v", v)
	}
	c.Duration += 24 * time.Hour
	guess(g, by("u1", "192.0.2.1"), 3)
	guess(g, by("u2", "192.0.2.1"), 3)
	if v := g.Admit(home); v.Allowed {
		t.Errorf("where she was known long ago: %+v, want it refused", v)
	}
}

func TestWaitsGrow(t *testing.T) {
	g, _ := guarding(t)
	var waits []time.Duration
	for i := range 15 {
		a := by("alice", fmt.Sprintf("10.0.%d.1", i))
		waits = append(waits, g.Admit(a).Wait)
		g.Failed(a, Shown{})
	}
	const ms = time.Millisecond
	want := []time.Duration{0, 0, 0, 0, 0, 0, 0, 0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 2000 * ms, 2000 * ms}
	if !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
}

// TestOwnAccountTakesNothingBack logs in between guesses to an own account.
func TestOwnAccountTakesNothingBack(t *testing.T) {
	g, _ := guarding(t)
	counted := 0
	for i := range 100 {
		g.Passed(by("mallory", "192.0.2.1"))
		counted += guess(g, by(fmt.Sprint("user", i), "192.0.2.1"), 1)
	}
	if counted != 6 {
		t.Errorf("%d guesses, want 6", counted)
	}
	if v := g.Admit(by("mallory", "192.0.2.1")); !v.Allowed {
		t.Errorf("the own account: %+v", v)
	}
}

func TestSuccessForgivesThePair(t *testing.T) {
	g, _ := guarding(t)
	alice := by("alice", "192.0.2.1")
	guess(g, alice, 2)
	if v, guesses := g.Passed(alice); !v.Allowed || guesses != 2 {
		t.Errorf("Passed = %+v, %d, want 2 guesses", v, guesses)
	}
	if v, guesses := g.Passed(alice); !v.Allowed || guesses != 0 {
		t.Errorf("Passed again = %+v, %d, want none", v, guesses)
	}
	if got := guess(g, alice, 100); got != 3 {
		t.Errorf("%d guesses after a success, want 3", got)
	}
	if v, guesses := g.Passed(by("alice", "198.51.100.1")); !v.Allowed || guesses != 5 {
		t.Errorf("Passed elsewhere = %+v, %d, want 5 guesses from all places", v, guesses)
	}
}

// TestPatience guesses no faster than it is let, and is right in the end.
func TestPatience(t *testing.T) {
	g, c := guarding(t)
	alice := by("alice", "192.0.2.1")
	guess(g, alice, 3)
	for range 40 {
		c.Duration += time.Minute
		if got := guess(g, alice, 3); got != 1 {
			t.Fatalf("%d guesses in a minute, want 1", got)
		}
	}
	c.Duration += time.Minute
	if v, guesses := g.Passed(alice); !v.Allowed || guesses != 43 {
		t.Errorf("Passed = %+v, %d, want 43 guesses", v, guesses)
	}
	guess(g, alice, 2)
	c.Duration += time.Hour
	if _, guesses := g.Passed(alice); guesses != 0 {
		t.Errorf("Passed long after = %d guesses, want none", guesses)
	}
}

// TestComingAtOnce admits many before any of them ends.
func TestComingAtOnce(t *testing.T) {
	g, c := guarding(t)
	alice := by("alice", "192.0.2.1")
	for range 100 {
		if !g.Admit(alice).Allowed {
			t.Fatal("nothing has failed yet")
		}
	}
	counted := 0
	for range 99 {
		if v, _ := g.Failed(alice, Shown{}); v.Allowed {
			counted++
		}
	}
	if v, _ := g.Passed(alice); counted != 3 || v.Allowed {
		t.Errorf("%d of them told something, and the one that was right got in: %t; want 3 and false", counted, v.Allowed)
	}
	c.Duration += time.Minute
	if !g.Admit(alice).Allowed {
		t.Error("those that were refused count")
	}
}

func TestReachedOnce(t *testing.T) {
	g, c := guarding(t)
	alice := by("alice", "192.0.2.1")
	told := 0
	for range 30 {
		_, reached := g.Failed(alice, Shown{})
		told += len(reached)
		c.Duration += 20 * time.Second
	}
	if told != 1 { // of the pair: as that is locked, the others do not grow
		t.Errorf("told %d times, want once", told)
	}
	c.Duration += time.Hour
	guess(g, alice, 2)
	if _, reached := g.Failed(alice, Shown{}); !slices.Equal(reached, []Scope{Pair}) {
		t.Errorf("after all was forgiven: %v, want the pair again", reached)
	}
}

func TestShownAgain(t *testing.T) {
	g, _ := guarding(t)
	alice := by("alice", "192.0.2.1")
	for range 3 {
		g.Failed(alice, Shown{Salt: []byte("salt"), Iterations: 7, Error: []byte("E")})
	}
	if v := g.Admit(alice); string(v.Shown.Salt) != "salt" || v.Shown.Iterations != 7 || string(v.Shown.Error) != "E" {
		t.Errorf("shown %+v", v.Shown)
	}
}

// TestClockGoesBack neither forgives nor locks for longer.
func TestClockGoesBack(t *testing.T) {
	g, c := guarding(t)
	alice := by("alice", "192.0.2.1")
	guess(g, alice, 3)
	c.Duration -= 50 * time.Minute
	if g.Admit(alice).Allowed || guess(g, alice, 10) != 0 {
		t.Error("a clock that goes back forgives")
	}
	c.Duration += 51 * time.Minute
	if !g.Admit(alice).Allowed {
		t.Error("a clock that went back locks for longer")
	}
}

// TestMemoryIsBounded makes logins and addresses up. What is locked stays so.
func TestMemoryIsBounded(t *testing.T) {
	g, c := guarding(t)
	alice := by("alice", "192.0.2.1")
	guess(g, alice, 3)
	for i := range 20_000 {
		guess(g, by(fmt.Sprint("user", i), fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)), 1)
		c.Duration++
		if n := g.Entries(); n > 4*100 {
			t.Fatalf("%d entries", n)
		}
	}
	if v := g.Admit(alice); v.Allowed {
		t.Errorf("who was locked: %+v", v)
	}
	for i := range 1000 {
		g.Passed(by(fmt.Sprint("user", i), "203.0.113.1"))
	}
	if n := g.Entries(); n > 5*100 {
		t.Errorf("%d entries", n)
	}
}

func TestNoLimits(t *testing.T) {
	g, _ := guarding(t, func(o *Options) { o.Pair, o.Address, o.Network, o.Login = Limit{}, Limit{}, Limit{}, Limit{} })
	if got := guess(g, by("alice", "192.0.2.1"), 1000); got != 1000 || g.Entries() != 0 {
		t.Errorf("%d guesses, %d entries, want all and none", got, g.Entries())
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{
		{}, {Entries: 1, IPv4: 33}, {Entries: 1, IPv6: -1}, {Entries: 1, Slow: -1}, {Entries: 1, Known: -1},
		{Entries: 1, Pair: Limit{1, 0}}, {Entries: 1, Pair: Limit{1000, 1 << 60}}, {Entries: 1, Known: 1 << 62}, {Entries: 1, Login: Limit{-1, time.Second}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) = nil, want an error", o)
		}
	}
	if (Verdict{}).Allowed || Scope(0).String() != "none" || scopes.String() != "none" {
		t.Error("zero values are not what they should be")
	}
}

// TestTableKeepsWhatIsWorst has a table of 50 forget, and looks each time at
// what it forgot.
func TestTableKeepsWhatIsWorst(t *testing.T) {
	const size = 50
	r := rand.New(rand.NewPCG(1, 2))
	table := newTable(Limit{5, time.Second}, size)
	now, forgotten := time.Duration(0), 0
	for range 20_000 {
		now += time.Duration(r.IntN(100)) * time.Millisecond
		k := key{login: fmt.Sprint(r.IntN(200))}
		if r.IntN(10) == 0 {
			table.remove(k)
			continue
		}
		before := map[key]time.Duration{}
		for k, e := range table.entries {
			before[k] = e.until
		}
		table.fail(k, now)
		for k, until := range before {
			if table.entries[k] != nil {
				continue
			}
			forgotten++
			for _, e := range table.entries {
				if b, ok := before[e.key]; ok && b < until {
					t.Fatalf("forgot what is forgiven at %v, and kept what is at %v", until, b)
				}
			}
		}
		for i, e := range table.order {
			if e.at != i || table.entries[e.key] != e || len(table.order) != len(table.entries) || len(table.entries) > size {
				t.Fatal("the queue does not hold the entries")
			}
		}
	}
	if forgotten < 1000 {
		t.Errorf("forgot %d times: the test tests little", forgotten)
	}
}

func BenchmarkGuard(b *testing.B) {
	for _, bb := range []struct {
		name string
		do   func(g *Guard, i int)
	}{
		{"login", func(g *Guard, _ int) { g.Admit(by("alice", "192.0.2.1")); g.Passed(by("alice", "192.0.2.1")) }},
		{"failure of a made-up name, tables full", func(g *Guard, i int) {
			a := Attempt{Login: "user" + fmt.Sprint(i), Addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
			g.Admit(a)
			g.Failed(a, Shown{})
		}},
		{"locked", func(g *Guard, _ int) {
			g.Admit(by("bob", "192.0.2.2"))
			g.Failed(by("bob", "192.0.2.2"), Shown{})
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			g, err := New(Options{
				Pair: Limit{5, time.Minute}, Address: Limit{30, time.Minute}, Network: Limit{100, time.Minute}, Login: Limit{10, time.Minute},
				Slow: time.Second, IPv4: 24, IPv6: 64, Known: time.Hour, Entries: 20_000,
			})
			if err != nil {
				b.Fatal(err)
			}
			for i := range 30_000 {
				a := Attempt{Login: "old" + fmt.Sprint(i), Addr: netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})}
				g.Failed(a, Shown{})
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				bb.do(g, i)
			}
		})
	}
}
