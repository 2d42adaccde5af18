package valkey_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/internal/ledgertest"
	"github.com/pgveil/pgveil/internal/redisserver"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/limits/valkey"
	"github.com/pgveil/pgveil/policy"
)

const day = 24 * time.Hour

// start starts a server of the test's own.
func start(t testing.TB, o redisserver.Options) *redisserver.Server {
	t.Helper()
	s, err := redisserver.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// raised takes alerts.
type raised struct {
	mu    sync.Mutex
	names []string
}

func (r *raised) Raise(e alert.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, e.Name)
}

func (r *raised) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.names, " ")
}

func open(t testing.TB, addr string, change func(*valkey.Options)) *valkey.Ledger {
	t.Helper()
	o := valkey.Options{Address: addr, Timeout: 5 * time.Second, Key: []byte("a key"), Alerts: &raised{}, Now: time.Now}
	if change != nil {
		change(&o)
	}
	l := valkey.New(o)
	l.Grace(300 * time.Millisecond)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// command asks the server for something, and gives the first line of the answer and
// what stands behind it at once.
func command(t testing.TB, addr string, args ...string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(c, "$%d\r\n%s\r\n", len(a), a)
	}
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	line = strings.TrimSpace(line)
	if n, err := strconv.Atoi(line[1:]); err == nil && line[0] == '$' && n >= 0 {
		text := make([]byte, n)
		if _, err := io.ReadFull(r, text); err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if n, err := strconv.Atoi(line[1:]); err == nil && line[0] == '*' {
		for range 2 * n {
			more, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			line += "\n" + strings.TrimSpace(more)
		}
	}
	return line
}

// clock is a clock that is set by hand, here and on the server.
type clock struct {
	t    testing.TB
	addr string
	mu   sync.Mutex
	at   time.Time
}

func newClock(t testing.TB, addr string) *clock {
	c := &clock{t: t, addr: addr, at: time.Unix(1_800_000_000, 0)}
	c.pass(0)
	return c
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	setClock(c.t, c.addr, c.at)
}

func counter(of policy.Measure, who string, window time.Duration) limits.Counter {
	return limits.Counter{Of: of, Whose: policy.OfUser, Who: who, Window: window}
}

func subject(i int) (s limits.Subject) {
	copy(s[:], fmt.Sprintf("%016d", i))
	return s
}

func subjects(n int, from func() int) (all []limits.Subject) {
	seen := map[int]bool{}
	for range n {
		if i := from(); !seen[i] {
			seen[i] = true
			all = append(all, subject(i))
		}
	}
	return all
}

func TestLedger(t *testing.T) {
	ledgertest.Run(t, 2, func(t *testing.T) ledgertest.Store {
		s := start(t, redisserver.Options{})
		return ledgertest.Store{
			Open: func(now func() time.Time) limits.Ledger {
				l := valkey.New(valkey.Options{Address: s.Addr(), Timeout: 5 * time.Second, Key: []byte("a key"), Alerts: &raised{}, Now: now})
				l.SetByHand(t)
				return l
			},
			Set: func(at time.Time) { setClock(t, s.Addr(), at.Add(-time.Hour)) },
		}
	})
}

func setClock(t testing.TB, addr string, at time.Time) {
	us := at.UnixMicro()
	command(t, addr, "HSET", "clock", "s", strconv.FormatInt(us/1e6, 10), "us", strconv.FormatInt(us%1e6, 10))
}

// TestCountsLikeMemory asks a server and a Memory for the same.
func TestCountsLikeMemory(t *testing.T) {
	s := start(t, redisserver.Options{})
	c := newClock(t, s.Addr())
	server := open(t, s.Addr(), func(o *valkey.Options) { o.Now = c.now })
	server.SetByHand(t)
	memory := limits.NewMemory(c.now)
	rnd := rand.New(rand.NewPCG(1, 2))
	var given []limits.Ask
	for step := range 4000 {
		c.pass(time.Duration(rnd.Int64N(int64(20 * time.Second))).Truncate(time.Microsecond))
		var asks []limits.Ask
		for range 1 + rnd.IntN(3) {
			window := []time.Duration{time.Minute, time.Hour, 0}[rnd.IntN(3)]
			who := strconv.Itoa(rnd.IntN(3))
			if rnd.IntN(2) == 0 {
				asks = append(asks, limits.Ask{
					Counter: counter(policy.LimitSubjects, who, window), Most: 40,
					Subjects: subjects(rnd.IntN(6), func() int { return rnd.IntN(100) }),
				})
			} else {
				asks = append(asks, limits.Ask{Counter: counter(policy.LimitRows, who, window), Most: 1000, Amount: rnd.Int64N(40)})
			}
		}
		if n := len(given); n > 0 && rnd.IntN(2) == 0 {
			asks = append(asks, given[n-1])
			given = given[:n-1]
		}
		got, err := server.Ask(context.Background(), asks)
		if err != nil {
			t.Fatal(err)
		}
		want, err := memory.Ask(context.Background(), asks)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if got[i].Used == 0 || got[i].Again.After(want[i].Again) {
				want[i].Again = got[i].Again // a Memory keeps slots of which nothing is left
			}
			if got[i].Amount > 1 {
				given = append(given, limits.Ask{Counter: asks[i].Counter, Most: limits.NoLimit, Amount: -1 - rnd.Int64N(got[i].Amount), Slot: got[i].Slot})
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("step %d: %+v: %s", step, asks, diff)
		}
	}
}
