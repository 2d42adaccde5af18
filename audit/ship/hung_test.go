package ship

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// silent is a server that takes connections and never says a word. Its system keeps
// less of what it does not read than one record has: else each new connection would
// take a batch, and a sink by TCP would be through in the end.
func silent(t *testing.T) net.Listener {
	t.Helper()
	little := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var set error
		err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
		return errors.Join(err, set)
	}}
	ln, err := little.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var held []net.Conn
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			held = append(held, conn) // and never read from
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range held {
			conn.Close()
		}
	})
	return ln
}

// TestHung has sinks that never answer. They lag, and say so; whoever appends,
// and a sink beside them, notice nothing, and the end comes in time.
func TestHung(t *testing.T) {
	ln := silent(t)
	address := ln.Addr().String()
	tls, tcp := newSyslog("tls", address), newSyslog("tcp", address)
	tls.MaxSize, tcp.MaxSize = 100_000, 100_000 // of whole records
	for name, target := range map[string]Target{
		"webhook":    &Webhook{HTTP: HTTP{URL: "http://" + address}},
		"splunk":     &Splunk{HTTP: HTTP{URL: "http://" + address}},
		"opensearch": &OpenSearch{HTTP: HTTP{URL: "http://" + address}, Index: "i"},
		"kafka":      &Kafka{Brokers: []string{address}, Topic: "audit"},
		"tls":        tls,
		"tcp":        tcp,
	} {
		t.Run(name, func(t *testing.T) {
			m := newLog(t)
			good, path := m.fileSink()
			hung := sinkTo("hung", target)
			hung.Timeout, hung.Batch = 50*time.Millisecond, 10_000
			s := m.start(good, hung)
			long := strings.Repeat("x", 50_000)
			for range 400 { // 20 MB: more than the buffers between hold
				m.append(standing(long))
			}
			until := time.Now().Add(30 * time.Second)
			for st := s.Stats(); st[0].Sent < 400 || st[1].Errors < 3; st = s.Stats() {
				if time.Now().After(until) {
					t.Fatalf("Stats = %+v", st)
				}
				time.Sleep(10 * time.Millisecond)
			}
			s.heads = map[string]head{}
			if st := s.Stats()[1]; st.LagRecords == 0 || st.Lag == 0 || st.Stopped != nil || st.Sent > 0 || !st.LastSuccess.IsZero() {
				t.Errorf("Stats = %+v", st)
			}
			if failing := s.Failing(); !slices.Equal(failing, []string{"hung"}) {
				t.Errorf("Failing = %q", failing)
			}
			floor, err := Floor(m.dir)
			if err != nil || floor["main"] != 0 {
				t.Errorf("Floor = %v, %v", floor, err)
			}
			begin := time.Now()
			ctx, cancel := timeout(t, 300*time.Millisecond)
			defer cancel()
			if err := s.Close(ctx); err == nil || time.Since(begin) > 5*time.Second {
				t.Errorf("Close = %v after %v", err, time.Since(begin))
			}
			if got := seqs(t, path); len(got) != 400 {
				t.Errorf("the sink beside has %d records", len(got))
			}
		})
	}
}
