package valkey_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/redisserver"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/limits/valkey"
	"github.com/pgveil/pgveil/policy"
)

// TestForgetsTwice has the server forget everything once more, after all processes
// know of the first time: again nobody is given anything before all had time to write
// back.
func TestForgetsTwice(t *testing.T) {
	s := start(t, redisserver.Options{})
	c := counter(policy.LimitRows, "alice", day)
	a, b := open(t, s.Addr(), nil), open(t, s.Addr(), nil)
	for _, l := range []*valkey.Ledger{a, b} {
		l.Grace(time.Second)
		if n := rows(t, l, c, 1000, 10); n != 10 {
			t.Fatalf("%d of 10 were given", n)
		}
	}
	for round := range 3 {
		command(t, s.Addr(), "FLUSHALL")
		_, err := a.Ask(t.Context(), []limits.Ask{{Counter: c, Most: 1000, Amount: 1}})
		if !errors.Is(err, valkey.ErrWaiting) {
			t.Errorf("round %d: while the other could write back: %v", round, err)
		}
		for _, l := range []*valkey.Ledger{a, b} {
			until(t, func() bool { return !errors.Is(l.Sync(t.Context()), valkey.ErrUnreachable) })
		}
		until(t, func() bool {
			answers, err := a.Ask(t.Context(), []limits.Ask{{Counter: c, Most: 1000}})
			return err == nil && answers[0].Used == 20
		})
	}
}
