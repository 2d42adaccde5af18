package valkey_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/redisserver"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/limits/valkey"
	"github.com/pgveil/pgveil/policy"
)

// TestKilledServer has three processes take what they can while their server, which
// keeps nothing, or all, is killed and started again several times.
func TestKilledServer(t *testing.T) {
	for name, settings := range map[string][]string{
		"keeps nothing": nil,
		"keeps all":     {"--appendonly", "yes", "--appendfsync", "always"},
		"keeps most":    {"--appendonly", "yes", "--appendfsync", "everysec"},
	} {
		t.Run(name, func(t *testing.T) { killedServer(t, settings) })
	}
}

func killedServer(t *testing.T, settings []string) {
	const most, kills = 4000, 4
	dir := t.TempDir()
	s := start(t, redisserver.Options{Dir: dir, Settings: settings})
	c := counter(policy.LimitRows, "alice", day)
	var given atomic.Int64
	var ledgers []*valkey.Ledger
	var takers sync.WaitGroup
	for range 3 {
		l := open(t, s.Addr(), func(o *valkey.Options) { o.Timeout = time.Second })
		ledgers = append(ledgers, l)
		for range 2 {
			takers.Go(func() {
				pause := time.NewTicker(time.Millisecond)
				defer pause.Stop()
				for {
					a, err := l.Ask(context.Background(), []limits.Ask{{Counter: c, Most: most, Amount: 1}})
					switch {
					case err == nil && a[0].Amount == 0:
						return
					case err == nil:
						given.Add(1)
					case errors.Is(err, valkey.ErrUnreachable):
						<-pause.C
					default:
						t.Error(err)
						return
					}
				}
			})
		}
	}
	keep(t, ledgers...)
	for i := range int64(kills) {
		until(t, func() bool { return given.Load() >= (i+1)*most/(kills+1) })
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		s = start(t, redisserver.Options{Dir: dir, Port: s.Port(), Settings: settings})
	}
	takers.Wait()
	// An answer that was lost with the server counts, and was given to nobody.
	if n := given.Load(); n > most || n < most-kills*6*2 {
		t.Errorf("%d of %d were given", n, most)
	}
}
