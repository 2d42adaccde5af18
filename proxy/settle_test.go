package proxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/wire"
)

// A cancellation that reaches the server while it is asked for its settings is one of
// the client's statement.
func TestCancelledProbe(t *testing.T) {
	database := pgtest.Database(t, "shop")
	fake := newFakeServer(t, nil, func(conn net.Conn) {
		for {
			typ, _, err := next(conn)
			if err != nil {
				return
			}
			var answer []byte
			switch typ {
			case 'P':
				answer = encode(&pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "57014", Message: "canceling statement due to user request"})
			case 'Q':
				answer = encode(&pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "22012", Message: "poisoned"}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
			case 'S':
				answer = encode(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			}
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	})
	f := start(t, database, shopPolicy, fake.instead)
	conn := f.connect(t, database, "alice")
	_, err := conn.Exec(t.Context(), "SELECT id FROM customers", pgx.QueryExecModeSimpleProtocol)
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "57014" {
		t.Errorf("the client is told %v", err)
	}
}

// A question to the server that fails amid its messages, as by a cancellation, leaves
// nothing behind that the next would fail by.
func TestFailedProbe(t *testing.T) {
	database := pgtest.Database(t, "shop")
	server := socket(pgtest.Server(t))
	near, failed := listen(t), make(chan bool, 1)
	t.Cleanup(func() {
		if err := near.Close(); err != nil {
			t.Error(err)
		}
	})
	relay := func(client net.Conn) {
		defer client.Close()
		far, err := net.Dial("unix", server)
		if err != nil {
			t.Error(err)
			return
		}
		defer far.Close()
		go func() { _, _ = io.Copy(client, far) }() // until either goes
		var head [4]byte
		if _, err := io.ReadFull(client, head[:]); err != nil {
			return
		}
		start := append(head[:], make([]byte, int(head[2])<<8+int(head[3])-4)...)
		if _, err := io.ReadFull(client, start[4:]); err != nil {
			return
		}
		for message := start; ; {
			if _, err := far.Write(message); err != nil {
				return
			}
			typ, body, err := next(client)
			if err != nil {
				return
			}
			if typ == 'E' && bytes.HasPrefix(body, []byte("pgveil probe\x00")) && len(failed) == 0 {
				failed <- true
				body = []byte("nowhere\x00\x00\x00\x00\x00")
			}
			message = wire.AppendFrame(nil, typ, body)
		}
	}
	go func() {
		for {
			conn, err := near.Accept()
			if err != nil {
				return
			}
			go relay(conn)
		}
	}()
	f := start(t, database, shopPolicy, func(o *proxy.Options) {
		o.Upstream.Hosts = []proxy.Host{{Network: "tcp", Address: near.Addr().String()}}
	})
	conn := f.connect(t, database, "alice")
	ask := func() error {
		_, err := conn.Exec(t.Context(), "SELECT id FROM customers", pgx.QueryExecModeSimpleProtocol)
		return err
	}
	if err := ask(); err == nil || len(failed) == 0 {
		t.Fatalf("the server was asked, and could not answer: %v", err)
	}
	for range 2 {
		if err := ask(); err != nil {
			t.Error(err)
		}
	}
}
