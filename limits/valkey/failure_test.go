package valkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/faulty"
	"github.com/pgveil/pgveil/internal/redisserver"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/limits/valkey"
	"github.com/pgveil/pgveil/policy"
)

// must asks, again while others are waited for.
func must(t *testing.T, l *valkey.Ledger, asks ...limits.Ask) (answers []limits.Answer) {
	t.Helper()
	until(t, func() bool {
		var err error
		if answers, err = l.Ask(context.Background(), asks); err != nil && !errors.Is(err, valkey.ErrWaiting) {
			t.Fatal(err)
		}
		return err == nil
	})
	return answers
}

// keep has ledgers look after the server until the test ends, as is done every
// second.
func keep(t *testing.T, all ...*valkey.Ledger) {
	ctx, cancel := context.WithCancel(context.Background())
	var keepers sync.WaitGroup
	for _, l := range all {
		keepers.Go(func() {
			every := time.NewTicker(20 * time.Millisecond)
			defer every.Stop()
			for ctx.Err() == nil {
				_ = l.Sync(ctx) // it may be away
				<-every.C
			}
		})
	}
	t.Cleanup(func() { cancel(); keepers.Wait() })
}

// rows asks for one row at a time until there are no more, at most so often.
func rows(t *testing.T, l *valkey.Ledger, c limits.Counter, most, often int64) (given int64) {
	t.Helper()
	for given < often {
		if must(t, l, limits.Ask{Counter: c, Most: most, Amount: 1})[0].Amount == 0 {
			break
		}
		given++
	}
	return given
}

// people asks for subjects one at a time, from the first on.
func people(t *testing.T, l *valkey.Ledger, c limits.Counter, most int64, first, often int) (given int) {
	t.Helper()
	for given < often {
		if must(t, l, limits.Ask{Counter: c, Most: most, Subjects: []limits.Subject{subject(first + given)}})[0].Subjects == 0 {
			break
		}
		given++
	}
	return given
}

// TestForgets has the server forget, in each way that a server can, when two
// processes have had part of a limit.
func TestForgets(t *testing.T) {
	for _, tt := range []struct {
		name   string
		forget func(t *testing.T, addr string, name string)
	}{
		{"everything", func(t *testing.T, addr, _ string) { command(t, addr, "FLUSHALL") }},
		{"one counter", func(t *testing.T, addr, name string) { command(t, addr, "DEL", name) }},
		{"scripts", func(t *testing.T, addr, _ string) { command(t, addr, "SCRIPT", "FLUSH") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, redisserver.Options{})
			told := &raised{}
			one := open(t, s.Addr(), func(o *valkey.Options) { o.Alerts = told })
			other := open(t, s.Addr(), nil)
			r, p := counter(policy.LimitRows, "alice", day), counter(policy.LimitSubjects, "alice", day)
			keep(t, one, other)
			given := rows(t, one, r, 100, 40) + rows(t, other, r, 100, 20)
			seen := people(t, one, p, 100, 0, 40) + people(t, other, p, 100, 40, 20)
			tt.forget(t, s.Addr(), valkey.Name(one, r))
			tt.forget(t, s.Addr(), valkey.Name(one, p))
			given += rows(t, one, r, 100, 1000)
			seen += people(t, one, p, 100, 1000, 1000)
			// An answer that shows that something is missing is not given, and counts.
			if given > 100 || given < 99 || seen != 100 {
				t.Errorf("%d rows and %d people were given, of 100", given, seen)
			}
			if want := map[bool]string{true: "", false: "limits_lost"}[tt.name == "scripts"]; told.all() != want && !strings.HasPrefix(told.all(), want+" ") {
				t.Errorf("alerts are %q, want %q", told.all(), want)
			}
		})
	}
}

// TestOlderState kills a server, and starts it as it was some time ago.
func TestOlderState(t *testing.T) {
	dir := t.TempDir()
	s := start(t, redisserver.Options{Dir: dir})
	l := open(t, s.Addr(), nil)
	r, p := counter(policy.LimitRows, "alice", day), counter(policy.LimitSubjects, "alice", day)
	given, seen := rows(t, l, r, 100, 30), people(t, l, p, 100, 0, 30)
	if got := command(t, s.Addr(), "SAVE"); got != "+OK" {
		t.Fatal(got)
	}
	given, seen = given+rows(t, l, r, 100, 30), seen+people(t, l, p, 100, 30, 30)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	start(t, redisserver.Options{Dir: dir, Port: s.Port()})
	given, seen = given+rows(t, l, r, 100, 1000), seen+people(t, l, p, 100, 60, 1000)
	if given != 100 || seen != 100 {
		t.Errorf("%d rows and %d people were given, of 100", given, seen)
	}
	if n := l.Stats().Lost; n != 1 {
		t.Errorf("the server is said to have forgotten %d times", n)
	}
}

// TestAway kills the server, and starts one in its place that knows nothing.
func TestAway(t *testing.T) {
	s := start(t, redisserver.Options{})
	told := &raised{}
	l := open(t, s.Addr(), func(o *valkey.Options) { o.Alerts, o.Timeout = told, 2*time.Second })
	c := counter(policy.LimitRows, "alice", day)
	given := rows(t, l, c, 100, 60)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 1000 {
		if _, err := l.Ask(context.Background(), []limits.Ask{{Counter: c, Most: 100, Amount: 1}}); !errors.Is(err, valkey.ErrUnreachable) {
			t.Fatalf("without a server: %v", err)
		}
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it takes %v to refuse 1000 times", took)
	}
	if told.all() != "limits_unreachable" || !l.Stats().Away {
		t.Errorf("alerts are %q", told.all())
	}
	start(t, redisserver.Options{Port: s.Port()})
	until(t, func() bool { return l.Sync(context.Background()) == nil })
	given += rows(t, l, c, 100, 1000)
	if given != 100 {
		t.Errorf("%d rows were given, of 100", given)
	}
	if told.all() != "limits_unreachable limits_lost limits_reachable" || l.Stats().Away {
		t.Errorf("alerts are %q", told.all())
	}
}

// until waits until something holds.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	late := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-retry.C:
		case <-late:
			t.Fatal("it does not become so within 20 seconds")
		}
	}
}

// TestLocal counts on without the server, and settles afterwards.
func TestLocal(t *testing.T) {
	s := start(t, redisserver.Options{})
	told := &raised{}
	l := open(t, s.Addr(), func(o *valkey.Options) { o.Alerts, o.Local, o.Timeout = told, true, 2*time.Second })
	other := open(t, s.Addr(), nil)
	r, p := counter(policy.LimitRows, "alice", day), counter(policy.LimitSubjects, "alice", day)
	given, seen := rows(t, l, r, 100, 30), people(t, l, p, 100, 0, 30)
	rows(t, other, r, 100, 10)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	a, err := l.Ask(context.Background(), []limits.Ask{{Counter: r, Most: 100, Amount: 20}, {Counter: p, Most: 100, Subjects: []limits.Subject{subject(0), subject(99)}}})
	if err != nil || a[0].Amount != 20 || a[0].Used != 50 || a[1].Subjects != 2 || a[1].Used != 31 {
		t.Fatalf("without the server, of 30 rows and people known: %+v, %v", a, err)
	}
	back := []limits.Ask{{Counter: r, Most: limits.NoLimit, Amount: -5, Slot: a[0].Slot}}
	if a, err = l.Ask(context.Background(), back); err != nil || a[0].Used != 45 {
		t.Fatalf("given back: %+v, %v", a, err)
	}
	given, seen = given+15, seen+1
	given += rows(t, l, r, 100, 5)
	start(t, redisserver.Options{Port: s.Port()})
	until(t, func() bool { return l.Sync(context.Background()) == nil })
	until(t, func() bool {
		if err := l.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		stand := must(t, other, limits.Ask{Counter: r, Most: 100}, limits.Ask{Counter: p, Most: 100})
		return stand[0].Used == given+10 && stand[1].Used == int64(seen)
	})
	// What was leased there cannot be given back here.
	if a, err := l.Ask(context.Background(), back); err != nil || a[0].Used != given+10 {
		t.Errorf("given back too late: %+v, %v", a, err)
	}
	if told.all() != "limits_unreachable limits_lost limits_reachable" {
		t.Errorf("alerts are %q", told.all())
	}
}

// TestSlow has a server that takes its time, and one that never answers.
func TestSlow(t *testing.T) {
	s := start(t, redisserver.Options{})
	relay, err := faulty.Listen("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	c := counter(policy.LimitRows, "alice", day)
	ask := []limits.Ask{{Counter: c, Most: 100, Amount: 1}}
	for _, tt := range []struct {
		name string
		back faulty.Script
		ok   bool
	}{
		{"as it comes", faulty.Script{}, true},
		{"byte by byte", faulty.Script{Split: 1}, true},
		{"a little late", faulty.Script{Delay: 20 * time.Millisecond}, true},
		{"too late", faulty.Script{Delay: time.Hour}, false},
		{"cut off", faulty.Script{End: faulty.Close, After: 20}, false},
		{"reset", faulty.Script{End: faulty.Reset, After: 20}, false},
		{"half closed", faulty.Script{End: faulty.HalfClose, After: 20}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			relay.Set(faulty.Script{}, tt.back)
			l := open(t, relay.Addr(), func(o *valkey.Options) { o.Timeout = time.Second })
			began := time.Now()
			var wrong error
			for range 20 {
				if _, err := l.Ask(context.Background(), ask); (err == nil) != tt.ok {
					wrong = fmt.Errorf("an answer: %w", err)
				}
			}
			if took := time.Since(began); wrong != nil || took > 5*time.Second {
				t.Errorf("20 asks take %v, %v", took, wrong)
			}
		})
	}
	l := open(t, s.Addr(), nil)
	stand, err := l.Ask(context.Background(), []limits.Ask{{Counter: c, Most: 100}})
	if err != nil || stand[0].Used < 60 {
		t.Errorf("what was given is %+v, %v", stand, err)
	}
}

// TestLostAnswers has answers to what is given back be lost: nobody must take the
// server to have forgotten anything.
func TestLostAnswers(t *testing.T) {
	s := start(t, redisserver.Options{})
	relay, err := faulty.Listen("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	told := &raised{}
	l := open(t, relay.Addr(), func(o *valkey.Options) { o.Alerts, o.Timeout = told, 2*time.Second })
	c := counter(policy.LimitRows, "alice", day)
	a, err := l.Ask(context.Background(), []limits.Ask{{Counter: c, Most: 1000, Amount: 10}})
	if err != nil {
		t.Fatal(err)
	}
	relay.Set(faulty.Script{}, faulty.Script{Stall: time.Hour}) // of the next connection
	back := []limits.Ask{{Counter: c, Most: limits.NoLimit, Amount: -9, Slot: a[0].Slot}}
	if _, err := l.Ask(context.Background(), back); !errors.Is(err, valkey.ErrUnreachable) {
		t.Fatalf("an answer that never comes: %v", err)
	}
	relay.Set(faulty.Script{}, faulty.Script{})
	until(t, func() bool { return l.Sync(context.Background()) == nil })
	if a, err = l.Ask(context.Background(), []limits.Ask{{Counter: c, Most: 1000}}); err != nil || a[0].Used != 1 {
		t.Fatalf("of ten and nine back: %+v, %v", a, err)
	}
	if n := l.Stats().Lost; n != 0 {
		t.Errorf("the server is said to have forgotten %d times: %s", n, told.all())
	}
}

// TestGone has who asks go away: that says nothing about the server.
func TestGone(t *testing.T) {
	l := open(t, start(t, redisserver.Options{}).Addr(), nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ask := []limits.Ask{{Counter: counter(policy.LimitRows, "alice", day), Most: 100, Amount: 1}}
	if _, err := l.Ask(ctx, ask); !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone gets %v", err)
	}
	if _, err := l.Ask(context.Background(), ask); err != nil {
		t.Errorf("the next gets %v", err)
	}
}

// says is a server that gives each command the same answer, and goes on for ever
// where that is empty.
func says(t *testing.T, answer string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 64<<10)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := io.WriteString(c, answer); err != nil {
						return
					}
					for answer == "" {
						if _, err := c.Write(bytes.Repeat([]byte(":1"), 1<<14)); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// TestHostileAnswers has a server say what it should not.
func TestHostileAnswers(t *testing.T) {
	ask := []limits.Ask{{Counter: counter(policy.LimitRows, "alice", day), Most: 100, Amount: 2}}
	numbers := func(all ...int64) string {
		text := fmt.Sprintf("*%d\r\n", len(all))
		for _, n := range all {
			text += fmt.Sprintf(":%d\r\n", n)
		}
		return text
	}
	const now, slot, large = 1_800_000_000_000_000, 1_800_000_000_000_000 / 1_440_000_000, 1<<63 - 1
	if a, err := open(t, says(t, numbers(1, 0, now, 2, slot, 0, 2, slot)), nil).Ask(context.Background(), ask); err != nil || a[0].Amount != 2 {
		t.Fatalf("what should be said: %+v, %v", a, err)
	}
	for name, answer := range map[string]string{
		"no end":              "",
		"an empty line":       "\r\n",
		"no line":             "*7\n:1\n",
		"text":                "+OK\r\n",
		"a length":            "$200000000000\r\n",
		"many":                "*9223372036854775807\r\n:1\r\n",
		"fewer than none":     "*-7\r\n",
		"no number":           "*x\r\n",
		"within":              "*7\r\n*7\r\n*7\r\n",
		"an error":            "-ERR " + strings.Repeat("\x00", 2000) + "\r\n",
		"a long error":        "-ERR " + strings.Repeat("x", 1<<20) + "\r\n",
		"an unknown script":   "-NOSCRIPT\r\n",
		"no error":            "-\r\n",
		"too few":             numbers(1, 0, now),
		"always forgets":      numbers(-1, 0, now),
		"too many":            numbers(1, 0, now, 2, slot, 0, 2, slot, 1),
		"more than asked for": numbers(1, 0, now, 3, slot, 0, 3, slot),
		"less than nothing":   numbers(1, 0, now, -2, slot, 0, 2, slot),
		"subjects":            numbers(1, 0, now, 2, slot, 1, 3, slot),
		"unused":              numbers(1, 0, now, 2, slot, 0, 1, slot),
		"a negative slot":     numbers(1, 0, now, 2, -slot, 0, 2, slot),
		"a large slot":        numbers(1, 0, now, 2, large, 0, 2, slot),
		"a large time":        numbers(1, 0, large, 2, slot, 0, 2, slot),
		"a large count":       numbers(large, 0, now, 2, slot, 0, 2, slot),
		"others are waited":   numbers(-2, 0, now),
		"others forgot":       numbers(-1, 5, now),
		"a later first":       numbers(1, 0, now, 2, slot, 0, 2, slot+1),
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, says(t, answer), func(o *valkey.Options) { o.Timeout = 500 * time.Millisecond })
			if a, err := l.Ask(context.Background(), ask); !errors.Is(err, valkey.ErrUnreachable) || len(err.Error()) > 1000 {
				t.Errorf("it gives %+v, %v", a, err)
			}
		})
	}
}
