package proxy_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/proxy"
)

// fakeServer is a server that lets everybody in and then does what a test says.
// It stands for servers that no PostgreSQL is.
type fakeServer struct {
	ln    net.Listener
	tasks sync.WaitGroup
}

// newFakeServer makes one. after has the connection once the client is told
// that the server is ready; login, when there is one, has it from the start.
func newFakeServer(t testing.TB, login, after func(net.Conn)) *fakeServer {
	t.Helper()
	s := &fakeServer{ln: listen(t)}
	s.tasks.Go(func() {
		for {
			conn, err := s.ln.Accept()
			if err != nil {
				return
			}
			s.tasks.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				if !readStartup(conn) {
					return
				}
				if login != nil {
					login(conn)
					return
				}
				if _, err := conn.Write(welcome()); err == nil {
					after(conn)
				}
			})
		}
	})
	t.Cleanup(func() {
		if err := s.ln.Close(); err != nil {
			t.Error(err)
		}
		s.tasks.Wait()
	})
	return s
}

// instead puts the fake server behind a front, which has its catalog from the
// true one.
func (s *fakeServer) instead(o *proxy.Options) {
	o.Upstream.Hosts = []proxy.Host{{Network: "tcp", Address: s.ln.Addr().String()}}
}

func readStartup(r io.Reader) bool {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return false
	}
	_, err := io.CopyN(io.Discard, r, int64(binary.BigEndian.Uint32(head[:]))-4)
	return err == nil
}

// welcome is what a server says to a client that it lets in.
func welcome() []byte {
	return encode(
		&pgproto3.AuthenticationOk{},
		&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"},
		&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"},
		&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}},
		&pgproto3.ReadyForQuery{TxStatus: 'I'},
	)
}

func encode(messages ...pgproto3.Message) []byte {
	var b []byte
	for _, m := range messages {
		var err error
		if b, err = m.Encode(b); err != nil {
			panic(err) // of a message that the test wrote down
		}
	}
	return b
}

// frame makes a frame with any length in its head.
func frame(typ byte, length uint32, body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{typ}, length)) + body
}

// next reads one message of the client's.
func next(conn net.Conn) (typ byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return 0, nil, err
	}
	body = make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	_, err = io.ReadFull(conn, body)
	return head[0], body, err
}

// answerProbe plays the server's part while pgveil asks for its settings.
func answerProbe(conn net.Conn) error {
	for {
		typ, _, err := next(conn)
		if err != nil {
			return err
		}
		var answer []byte
		switch typ {
		case 'P':
			answer = encode(&pgproto3.ParseComplete{})
		case 'B':
			answer = encode(&pgproto3.BindComplete{})
		case 'E':
			answer = encode(&pgproto3.DataRow{Values: [][]byte{[]byte(`["pg_catalog","public"]`), []byte("on"), nil, nil, nil, nil, []byte("2026-01-01 00:00:00+00")}}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		case 'C':
			answer = encode(&pgproto3.CloseComplete{})
		case 'S':
			_, err := conn.Write(encode(&pgproto3.ReadyForQuery{TxStatus: 'I'}))
			return err
		default:
			return errors.New("not a probe")
		}
		if _, err := conn.Write(answer); err != nil {
			return err
		}
	}
}
