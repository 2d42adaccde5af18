package proxy_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/internal/pgtest"
)

// TestShutdownDrains ends idle sessions at once and lets a transaction finish.
func TestShutdownDrains(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy)
	ctx := t.Context()
	idle, busy := f.connect(t, database, "alice"), f.connect(t, database, "alice")
	exec(t, busy, "BEGIN; UPDATE orders SET status = 'paid' WHERE id = 1")
	closed := make(chan error, 1)
	go func() {
		drain, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		closed <- f.close(drain)
	}()
	// The idle session is told without asking.
	m, err := pgproto3.NewFrontend(idle.PgConn().Conn(), io.Discard).Receive()
	if e, ok := m.(*pgproto3.ErrorResponse); err != nil || !ok || e.Code != "57P01" {
		t.Errorf("an idle session got %#v, %v; want 57P01", m, err)
	}
	if _, err := net.Dial("tcp", f.Addr); err == nil {
		t.Error("a new client was taken in")
	}
	if got := text(ctx, busy, "SELECT status FROM orders WHERE id = 1"); got != "paid\n" {
		t.Errorf("amid its transaction: %q", got)
	}
	if got := text(ctx, busy, "COMMIT"); got != "" {
		t.Errorf("COMMIT: %q", got)
	}
	if err := <-closed; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if got := text(ctx, busy, "SELECT 1"); !strings.HasPrefix(got, "57P01") && got != "EOF" && !strings.Contains(got, "closed") {
		t.Errorf("after its transaction: %q, want 57P01", got)
	}
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, "postgres"))
	if got := text(ctx, admin, "SELECT status FROM orders WHERE id = 1"); got != "paid\n" {
		t.Errorf("what was committed: %q", got)
	}
}

// TestShutdownDeadline ends what does not end by itself.
func TestShutdownDeadline(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy)
	busy, running := f.connect(t, database, "alice"), f.connect(t, database, "alice")
	exec(t, busy, "BEGIN")
	done := make(chan string, 1)
	go func() { done <- text(context.Background(), running, "SELECT pg_sleep(60)") }()
	drain, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := f.close(drain); err == nil || !strings.Contains(err.Error(), "amid a transaction") {
		t.Errorf("Shutdown: %v, want to hear of sessions amid a transaction", err)
	}
	if got := <-done; !strings.HasPrefix(got, "57P01") {
		t.Errorf("what ran: %q, want 57P01", got)
	}
	if got := text(t.Context(), busy, "COMMIT"); !strings.HasPrefix(got, "57P01") {
		t.Errorf("what was open: %q, want 57P01", got)
	}
}

// TestManySessions opens and closes sessions, orderly and not.
func TestManySessions(t *testing.T) {
	database := pgtest.Database(t, "shop")
	// A server of the test's own making: forking true ones would take long.
	server := newFakeServer(t, nil, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	f := start(t, database, shopPolicy, server.instead)
	var clients sync.WaitGroup
	for range 20 {
		clients.Go(func() {
			for i := range 100 {
				c := f.config(t, database, "alice")
				conn, err := pgx.ConnectConfig(t.Context(), c)
				if err != nil {
					t.Errorf("connect: %v", err)
					return
				}
				if i%2 == 0 {
					_ = conn.PgConn().Conn().Close() // and not a word
					continue
				}
				if _, err := conn.PgConn().Conn().Write(encode(&pgproto3.Terminate{})); err != nil {
					t.Error(err)
				}
				_ = conn.PgConn().Conn().Close()
			}
		})
	}
	clients.Wait()
}

// heap gives the bytes in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSlowReaderIsNotBuffered asks for a huge result and reads none of it: what
// waits, waits on the server.
func TestSlowReaderIsNotBuffered(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy)
	before := heap()
	conn := f.loggedIn(t, database, "alice")
	const query = "SELECT repeat('x', 100000) FROM generate_series(1, 10000)" // a gigabyte
	if _, err := conn.Write(encode(&pgproto3.Query{String: query})); err != nil {
		t.Fatal(err)
	}
	// The first bytes show that it has begun; then the pipe fills up.
	if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	beside := f.connect(t, database, "alice")
	for range 20 {
		if got := text(t.Context(), beside, "SELECT 1"); got != "1\n" {
			t.Fatalf("a session beside it: %q", got)
		}
	}
	if after := heap(); after > before+8<<20 {
		t.Errorf("the heap grew by %d bytes", after-before)
	}
}

// TestClientThatOnlyWrites sends a deep pipeline and does not read until all of
// it is written: the proxy stops reading when the server does, and neither
// deadlocks nor holds everything.
func TestClientThatOnlyWrites(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy)
	before := heap()
	conn := f.loggedIn(t, database, "alice")
	one := encode(&pgproto3.Parse{Query: "SELECT repeat('x', 1000)"}, &pgproto3.Bind{}, &pgproto3.Execute{})
	const n = 20000
	wrote := make(chan error, 1)
	go func() {
		var b []byte
		for range n {
			b = append(b, one...)
		}
		_, err := conn.Write(append(b, encode(&pgproto3.Sync{})...))
		wrote <- err
	}()
	// Some of the answers are there: the rest of the pipeline is stuck by now
	// or soon will be.
	if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if after := heap(); after > before+32<<20 {
		t.Errorf("the heap grew by %d bytes", after-before)
	}
	if !endsReady(conn) {
		t.Error("the pipeline was not answered")
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// endsReady reads until a ReadyForQuery is all that comes last.
func endsReady(conn net.Conn) bool {
	b, last := make([]byte, 1<<16), []byte(nil)
	for {
		n, err := conn.Read(b)
		last = append(last, b[:n]...)
		last = last[max(0, len(last)-6):]
		if string(last) == "Z\x00\x00\x00\x05I" {
			return true
		}
		if err != nil {
			return false
		}
	}
}
