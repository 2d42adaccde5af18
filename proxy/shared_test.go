package proxy_test

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/internal/redisserver"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/limits/valkey"
	"github.com/pgveil/pgveil/proxy"
)

// shared has a pgveil count on a server.
func shared(addr string) func(*proxy.Options) {
	return func(o *proxy.Options) {
		ledger := valkey.New(valkey.Options{
			Address: addr, Timeout: 2 * time.Second, Key: []byte("key"), Now: time.Now, Alerts: alert.Logger{Log: slog.New(slog.DiscardHandler)},
		})
		o.Counters, o.CountKey = limits.NewBook(ledger, time.Now), []byte("key")
	}
}

// TestSharedLimits takes customers from three pgveils at once, which share a limit,
// by sessions that come and go, until each says that there are no more.
func TestSharedLimits(t *testing.T) {
	counters, err := redisserver.Start(t.Context(), redisserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer counters.Stop()
	database := crowd(t)
	var mu sync.Mutex
	seen := map[string]bool{}
	var fronts []*front
	var takers sync.WaitGroup
	for i := range 3 {
		f := start(t, database, limited("subjects: 300/day, statements: 100000/day"), shared(counters.Addr()))
		fronts = append(fronts, f)
		for j := range 3 {
			takers.Go(func() {
				var err error
				for at := 1001 + 100*(3*i+j); err == nil; at += 7 {
					conn := f.connect(t, database, "alice")
					var got []string
					got, err = obtained(t, conn, "SELECT id FROM customers WHERE id >= $1 ORDER BY id LIMIT 7", at)
					mu.Lock()
					for _, id := range got {
						seen[id] = true
					}
					mu.Unlock()
				}
				wantStopped(t, "the last page", err)
			})
		}
	}
	takers.Wait()
	if len(seen) != 300 {
		t.Errorf("%d customers were seen, of 300 in a day", len(seen))
	}
	conn := fronts[0].connect(t, database, "alice")
	if err := counters.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		var e *pgconn.PgError
		began := time.Now()
		got, err := obtained(t, conn, "SELECT id FROM customers WHERE id > 1000")
		if !errors.As(err, &e) || slices.ContainsFunc(got, func(id string) bool { return !seen[id] }) || time.Since(began) > 3*time.Second {
			t.Fatalf("without the server of counters: %d rows after %v, %v", len(got), time.Since(began), err)
		}
	}
	if got, err := obtained(t, conn, "SELECT 1 + 1"); err != nil || len(got) != 1 {
		t.Errorf("the session cannot be used any more: %v", err)
	}
}
