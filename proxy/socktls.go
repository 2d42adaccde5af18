package proxy

import (
	"crypto/tls"
	"net"
	"time"
)

// A loop serves connections under TLS as well: crypto/tls reads from and writes
// to whatever connection it is given, and takes an error that calls itself
// temporary for the end of what is there by now. So below it lies, once a
// session is a loop's, a socket that never waits.

// plug is what lies below a connection under TLS, so that it can be exchanged.
type plug struct{ net.Conn }

// unplug gives what a connection consists of: the plain one and, where that is
// under TLS, the plug between.
func unplug(c net.Conn) (plain net.Conn, secured *tls.Conn, between *plug) {
	secured, ok := c.(*tls.Conn)
	if !ok {
		return c, nil, nil
	}
	if between, ok = secured.NetConn().(*plug); !ok {
		return c, secured, nil
	}
	plain = between.Conn
	if p, ok := plain.(*prefixed); ok {
		plain = p.Conn // the handshake has taken what was read before
	}
	return plain, secured, between
}

// nothingYet says that a socket has nothing to read by now.
type nothingYet struct{}

func (nothingYet) Error() string   { return "nothing to read yet" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }

// below is a socket as crypto/tls sees it. The connection that it was has its
// addresses.
type below struct {
	net.Conn
	k *sock
}

func (b below) Read(p []byte) (int, error) {
	if !b.k.readable {
		return 0, nothingYet{}
	}
	n, err := b.k.receive(p)
	if n == 0 && err == nil {
		return 0, nothingYet{}
	}
	return n, err
}

func (b below) Write(p []byte) (int, error)      { return b.k.Write(p) }
func (b below) Close() error                     { return nil } // the session closes it
func (b below) SetDeadline(time.Time) error      { return nil } // nothing waits
func (b below) SetReadDeadline(time.Time) error  { return nil }
func (b below) SetWriteDeadline(time.Time) error { return nil }
