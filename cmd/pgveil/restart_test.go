package main

import (
	"context"
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgtest"
)

var restarts = flag.Int("restarts", 2, "how often TestRestarts restarts pgveil")

// TestRestarts restarts pgveil while clients connect, ask and go, as fast as
// they can: none of them may fail, and everything that they asked is recorded. Of
// a port that is shared, connections that come in the moment in which the old
// process closes its queue are lost; at most one of each client's at a restart.
func TestRestarts(t *testing.T) {
	server := pgtest.Server(t)
	for _, tt := range []struct {
		name    string
		sockets bool // are handed over by the service manager
		overlap bool // the next process starts before the last one ends
	}{
		{"sockets of the service manager", true, false},
		{"the same, overlapping", true, true},
		{"a port that is shared", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ln, file := socket(t)
			addr, config := ln.Addr().String(), ""
			if tt.overlap {
				config = "overlap: true\n"
			}
			handed := []*os.File{file}
			if !tt.sockets {
				handed = nil
				if err := errors.Join(ln.Close(), file.Close()); err != nil {
					t.Fatal(err)
				}
			}
			s := newSite(t, server, pgtest.Database(t, "shop"), addr, config)
			r := s.serve(t, "", handed...)
			clients := s.load(t, addr, !tt.sockets)
			for range *restarts {
				clients.more(t, 20)
				last := r
				if !tt.overlap {
					last.stop(t)
				}
				r = s.serve(t, "", handed...)
				if tt.overlap {
					last.stop(t)
				}
			}
			clients.more(t, 20)
			asked := clients.stop(t)
			r.stop(t)
			if lost := clients.lost.Load(); lost > 3*int64(*restarts) {
				t.Errorf("%d connections were lost", lost)
			}
			if n := s.recorded(t); n != asked {
				t.Errorf("%d statements are recorded, want %d", n, asked)
			}
			t.Logf("%d restarts, %d sessions, %d connections lost; the longest session took %v", *restarts, asked, clients.lost.Load(), time.Duration(clients.longest.Load()).Round(time.Millisecond))
		})
	}
}

// socket listens as a service manager does.
func socket(t *testing.T) (*net.TCPListener, *os.File) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() }) // a test may have closed it
	tcp := ln.(*net.TCPListener)
	file, err := tcp.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return tcp, file
}

// load is clients that connect, ask one thing and go.
type load struct {
	cancel  context.CancelFunc
	clients sync.WaitGroup
	asked   atomic.Int64
	lost    atomic.Int64 // reset in the queue of a process that closed it
	longest atomic.Int64 // duration of a session
	mu      sync.Mutex
	errs    []error
}

// load starts clients. Where connections can be lost, those that are reset are
// counted only.
func (s *site) load(t *testing.T, addr string, lossy bool) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel}
	for range 3 {
		l.clients.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				err := s.ask(addr)
				if lossy && errors.Is(err, syscall.ECONNRESET) {
					l.lost.Add(1)
					continue
				}
				if err != nil {
					l.mu.Lock()
					l.errs = append(l.errs, err)
					l.mu.Unlock()
					return
				}
				l.asked.Add(1)
				if d := int64(time.Since(began)); d > l.longest.Load() {
					l.longest.Store(d)
				}
			}
		})
	}
	return l
}

// ask is one short session.
func (s *site) ask(addr string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := s.connect(ctx, addr, "alice")
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "SELECT count(*) FROM orders")
	return errors.Join(err, conn.Close(ctx))
}

// more waits for so many further sessions.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	late := time.After(30 * time.Second)
	until := l.asked.Load() + n
	for tick := time.Tick(5 * time.Millisecond); l.asked.Load() < until; {
		select {
		case <-tick:
		case <-late:
			t.Fatalf("no sessions any more: %v", l.failures())
		}
	}
}

func (l *load) failures() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

// stop ends the clients and tells how many sessions there were.
func (l *load) stop(t *testing.T) int64 {
	t.Helper()
	l.cancel()
	l.clients.Wait()
	if err := l.failures(); err != nil {
		t.Errorf("of %d sessions %d failed: %v", l.asked.Load(), len(l.errs), err)
	}
	return l.asked.Load()
}

// recorded verifies the access log, and the chain beside it, and counts the
// statements in both.
func (s *site) recorded(t *testing.T) (n int64) {
	t.Helper()
	for _, dir := range []string{s.log(), filepath.Join(s.log(), besideDir)} {
		if _, err := os.Stat(dir); err != nil {
			continue // there was no overlap
		}
		if _, err := audit.Verify(dir); err != nil {
			t.Error(err)
		}
		for r, err := range audit.Read(dir, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Kind == audit.KindStatement {
				n++
			}
		}
	}
	return n
}

// TestChainsVouch looks at what a process records of the other's chain.
func TestChainsVouch(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "overlap: true\n")
	first := s.serve(t, "")
	second := s.serve(t, "")
	third := s.start(t, "")
	<-third.exited
	if third.err == nil || !strings.Contains(third.output.String(), audit.ErrInUse.Error()) {
		t.Errorf("a third process beside two: %v\n%s", third.err, third.output.String())
	}
	first.stop(t)
	fourth := s.serve(t, "")
	second.stop(t)
	fourth.stop(t)
	beside := filepath.Join(s.log(), besideDir)
	for dir, other := range map[string]string{s.log(): beside, beside: s.log()} {
		head, ok := vouched(t, dir)
		if !ok {
			t.Errorf("%s does not tell of %s", dir, other)
		} else if _, err := audit.Verify(other, head); err != nil {
			t.Error(err)
		}
	}
	var out, notes strings.Builder
	signed := []string{"verify", "--dir", s.log(), "--key", filepath.Join(s.dir, "audit.key.pub"), "--checkpoint", filepath.Join(s.dir, "anchor")}
	if code := runAudit(t.Context(), signed, &out, &notes); code != 0 || strings.Count(out.String(), "good: ") != 2 || strings.Contains(out.String(), "not signed yet") {
		t.Errorf("verify = %d: %s%s", code, &out, &notes)
	}
	if code := runAudit(t.Context(), []string{"query", "--dir", s.log()}, &out, &notes); code != 0 || !strings.Contains(notes.String(), beside) {
		t.Errorf("query = %d, and says %q", code, &notes)
	}
}

// vouched finds the last head of the other chain in a log.
func vouched(t *testing.T, dir string) (head audit.Head, ok bool) {
	t.Helper()
	for r, err := range audit.Read(dir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if text, found := strings.CutPrefix(r.Message, "start; the other chain has come to "); found {
			if head, err = audit.ParseHead(text); err != nil {
				t.Fatal(err)
			}
			ok = true
		}
	}
	return head, ok
}

// TestOneWriter starts a second process where none may run beside the first.
func TestOneWriter(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	first := s.serve(t, "")
	second := s.start(t, "")
	<-second.exited
	if second.err == nil || !strings.Contains(second.output.String(), audit.ErrInUse.Error()) {
		t.Errorf("a second process: %v\n%s", second.err, second.output.String())
	}
	if err := first.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if said := <-first.says; said != "STOPPING=1" {
		t.Errorf("it says %q, want STOPPING=1", said)
	}
	first.ended(t)
}
