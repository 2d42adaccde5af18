package proxy

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/binary"
	"sync"
	"time"

	"github.com/pgveil/pgveil/proxy/wire"
)

// cancelKey is what a client must show to cancel: the server's process number,
// so that clients see the true one, and a secret of our own.
type cancelKey struct {
	pid    uint32
	secret []byte
}

// cancels knows the sessions that can be cancelled.
type cancels struct {
	mu       sync.Mutex
	sessions map[uint32][]*session
}

func (c *cancels) add(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions == nil {
		c.sessions = map[uint32][]*session{}
	}
	c.sessions[s.key.pid] = append(c.sessions[s.key.pid], s)
}

func (c *cancels) remove(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.sessions[s.key.pid]
	for i, other := range list {
		if other == s {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(c.sessions, s.key.pid)
		return
	}
	c.sessions[s.key.pid] = list
}

// find gives the session that a CancelRequest is for. Keys are compared in
// constant time.
func (c *cancels) find(key cancelKey) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sessions[key.pid] {
		if subtle.ConstantTimeCompare(s.key.secret, key.secret) == 1 {
			return s
		}
	}
	return nil
}

// cancel forwards a CancelRequest to the server while the session waits for an
// answer. The client that asks learns nothing, whether there was such a session
// or not.
func (srv *Server) cancel(ctx context.Context, body []byte) error {
	if len(body) < 4+shortSecret || len(body) > 4+maxSecret {
		return nil
	}
	s := srv.cancels.find(cancelKey{pid: binary.BigEndian.Uint32(body), secret: bytes.Clone(body[4:])})
	if s == nil {
		return nil
	}
	return srv.interrupt(ctx, s, s.busySoon)
}

// interrupt has the server cancel what it does for a session, if that is still
// to be done when the server can be told.
func (srv *Server) interrupt(ctx context.Context, s *session, still func(context.Context) bool) error {
	conn, err := srv.upstream.dial(ctx, s.host)
	if err != nil {
		return err
	}
	defer srv.closeConn(conn)
	if !still(ctx) {
		return nil
	}
	var b []byte
	b = binary.BigEndian.AppendUint32(b, uint32(4+4+len(s.serverKey)))
	b = binary.BigEndian.AppendUint32(b, cancelCode)
	b = append(b, s.serverKey...)
	if _, err := conn.Write(b); err != nil {
		return err
	}
	// The server closes the connection once it has acted.
	return ignoreEOF(wire.NewReader(conn).Fill(1))
}

// busySoon tells whether the session has something to cancel. What was sent
// right before the CancelRequest may still be on its way through the client
// half: that is waited for. It is not waited for what the client may send
// later, which the CancelRequest does not mean.
func (s *session) busySoon(ctx context.Context) bool {
	const patience, step = 100 * time.Millisecond, time.Millisecond
	waiting := 0 // looks in a row at which the half had nothing to do
	for waited := time.Duration(0); waited < patience && waiting < 2; waited += step {
		if s.first() != nil {
			return true
		}
		if waiting++; !s.reading.Load() {
			waiting = 0
		}
		if !pause(ctx, step) {
			return false
		}
	}
	return false
}
