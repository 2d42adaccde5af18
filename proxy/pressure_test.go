package proxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/internal/pgtest"
)

// stuckAfter writes until the other side has taken nothing for a while, and
// tells how much that was.
func stuckAfter(t *testing.T, conn net.Conn, piece []byte) (n int) {
	t.Helper()
	for {
		if err := conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		wrote, err := conn.Write(piece)
		n += wrote
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

// TestPipelinesAreBounded lets clients send the shortest messages there are,
// and never read: what pgveil keeps of each must be bounded by something else
// than how much its neighbours buffer.
func TestPipelinesAreBounded(t *testing.T) {
	database := pgtest.Database(t, "shop")
	for _, tt := range []struct {
		name     string
		first    string // a statement before them
		messages []pgproto3.Message
	}{
		{"Sync", "SELECT 1", []pgproto3.Message{&pgproto3.Sync{}}},
		{"Sync behind a statement that takes long", "SELECT pg_sleep(1000)", []pgproto3.Message{&pgproto3.Sync{}}},
		{"Bind and Execute", "SELECT 1", []pgproto3.Message{&pgproto3.Parse{Query: "SELECT 1"}, &pgproto3.Bind{}, &pgproto3.Execute{}}},
		{"Query", "SELECT 1", []pgproto3.Message{&pgproto3.Query{}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, database, shopPolicy)
			conn := f.loggedIn(t, database, "dora")
			before := heap()
			if _, err := conn.Write(encode(&pgproto3.Query{String: tt.first})); err != nil {
				t.Fatal(err)
			}
			n := stuckAfter(t, conn, bytes.Repeat(encode(tt.messages...), 1000))
			grown := int64(heap()) - int64(before)
			t.Logf("stuck after %d bytes; the heap grew by %d kB", n, grown>>10)
			if grown > 32<<20 {
				t.Errorf("the heap grew by %d bytes", grown)
			}
		})
	}
}

// TestServerThatStopsReading has COPY data streamed to a server that takes no
// more of it: the client waits, and pgveil holds little. When the client has
// gone and the server goes on, the session ends.
func TestServerThatStopsReading(t *testing.T) {
	database := pgtest.Database(t, "shop")
	goOn := make(chan struct{})
	server := newFakeServer(t, nil, func(conn net.Conn) {
		if typ, _, err := next(conn); err != nil || typ != 'Q' {
			t.Errorf("got message %q: %v", typ, err)
		}
		_, _ = conn.Write(encode(&pgproto3.CopyInResponse{}))
		_, _ = io.ReadFull(conn, make([]byte, 1<<16)) // and no more
		<-goOn
		_, _ = io.Copy(io.Discard, conn)
	})
	f := start(t, database, shopPolicy, server.instead)
	conn := f.loggedIn(t, database, "dora")
	before := heap()
	if err := say(conn, 'G', &pgproto3.Query{String: "COPY orders FROM STDIN"}); err != nil {
		t.Fatal(err)
	}
	n := stuckAfter(t, conn, encode(&pgproto3.CopyData{Data: make([]byte, 1<<20)}))
	if grown := int64(heap()) - int64(before); grown > 16<<20 {
		t.Errorf("of %d bytes of COPY the heap grew by %d", n, grown)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	close(goOn)
	late := time.After(10 * time.Second)
	for tick := time.Tick(time.Millisecond); f.Sessions() > 0; {
		select {
		case <-tick:
		case <-late:
			t.Fatal("the session does not end")
		}
	}
}
