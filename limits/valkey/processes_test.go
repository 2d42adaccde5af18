package valkey_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/redisserver"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/policy"
)

// mostTogether is what the processes of TestProcesses may have together.
const mostTogether = 20_000

// TestProcesses has three processes take what they can of one limit. One of them is
// killed, and with it its lease, of a hundredth.
func TestProcesses(t *testing.T) {
	if addr := os.Getenv("PGVEIL_COUNTERS"); addr != "" {
		total := takeAll(t, addr, func(n int) { fmt.Println("took", n) })
		t.Log("in all", total)
		return
	}
	s := start(t, redisserver.Options{})
	var mu sync.Mutex
	total, killed := 0, false
	var processes sync.WaitGroup
	for i := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestProcesses$", "-test.v")
		cmd.Env = append(os.Environ(), "PGVEIL_COUNTERS="+s.Addr())
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		processes.Go(func() {
			own := 0
			for lines := bufio.NewScanner(out); lines.Scan(); {
				var n int
				if _, err := fmt.Sscanf(lines.Text(), "took %d", &n); err != nil {
					continue
				}
				own += n
				mu.Lock()
				total += n
				if i == 0 && own > 1000 && !killed {
					killed = true
					_ = cmd.Process.Kill() // it shows below, where it does not end so
				}
				mu.Unlock()
			}
			if err := cmd.Wait(); (err != nil) != (i == 0) {
				t.Errorf("process %d ends with %v", i, err)
			}
		})
	}
	processes.Wait()
	t.Log(total)
	total += takeAll(t, s.Addr(), func(int) {})
	if total > mostTogether || total < mostTogether*98/100 || !killed {
		t.Errorf("%d of %d were given, one killed: %v", total, mostTogether, killed)
	}
}

// takeAll takes from one book, by many at once, until nothing is left.
func takeAll(t *testing.T, addr string, took func(int)) (total int) {
	b := limits.NewBook(open(t, addr, nil), time.Now)
	l := limits.Limit{
		Limit:   policy.Limit{Of: policy.LimitRows, Most: mostTogether, Per: policy.PerWindow, Window: day, Then: policy.ThenRefuse},
		Counter: counter(policy.LimitRows, "alice", day),
	}
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for {
				v, err := b.Take(context.Background(), &limits.Taking{Limits: []limits.Limit{l}, Rows: make([]limits.Row, 5), Patient: true})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				took(v.Rows)
				total += v.Rows
				mu.Unlock()
				if v.Stopped != nil {
					return
				}
			}
		})
	}
	workers.Wait()
	if err := b.Tidy(context.Background()); err != nil {
		t.Error(err)
	}
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
	return total
}
