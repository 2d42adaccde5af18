package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgveil/pgveil/proxy/auth"
	"github.com/pgveil/pgveil/proxy/wire"
)

// TLSMode says how the connection to the server is protected. The zero mode
// is the strictest.
type TLSMode uint8

// The modes, after libpq's sslmode.
const (
	VerifyFull TLSMode = iota // the server's certificate is valid for its name
	VerifyCA                  // the certificate is signed by a trusted authority
	RequireTLS                // encrypted, by whomever
	NoTLS                     // in clear
)

// Upstream is the PostgreSQL server behind the proxy, on one host or on
// several that hold the same data.
type Upstream struct {
	Hosts   []Host // in the order in which they are tried
	Target  Target // which of them a session may be on
	Shuffle bool   // try them in random order
	Mode    TLSMode
	Direct  bool          // TLS from the first byte, without asking for it
	TLS     *tls.Config   // roots, and a client certificate where the server wants one
	Timeout time.Duration // of each host, up to its first answer
}

// Host is where one server listens.
type Host struct {
	Network string // tcp or unix
	Address string
	Name    string // that the certificate must be for
}

// servers is an Upstream at work.
type servers struct {
	Upstream
	tls atomic.Pointer[tls.Config] // the one in force

	mu    sync.Mutex
	known map[Host]hostState
}

func newServers(u Upstream) *servers {
	s := &servers{Upstream: u, known: map[Host]hostState{}}
	s.tls.Store(u.TLS)
	return s
}

// reach connects to a host, sends a StartupMessage, and returns when the first
// bytes of the answer are there. The host's time limit is over then.
func (u *servers) reach(ctx context.Context, h Host, startup []byte) (net.Conn, *wire.Reader, error) {
	limited, cancel := context.WithTimeout(ctx, u.Timeout)
	defer cancel()
	conn, r, err := u.begin(limited, h, startup)
	switch {
	case err == nil:
		u.answered(h)
	case ctx.Err() == nil: // else it is the login that took too long
		u.failed(h)
	}
	return conn, r, err
}

func (u *servers) begin(ctx context.Context, h Host, startup []byte) (net.Conn, *wire.Reader, error) {
	conn, err := u.dial(ctx, h)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { expire(conn) })
	r := wire.NewReader(conn)
	_, err = conn.Write(startup)
	if err == nil {
		err = r.Fill(wire.HeadLen)
	}
	if !stop() {
		err = errors.Join(context.Cause(ctx), err)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("first answer of %s: %w", h.Address, err), conn.Close())
	}
	return conn, r, nil
}

// dial connects, and starts TLS where the mode says so.
func (u *servers) dial(ctx context.Context, h Host) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, u.Timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, h.Network, h.Address)
	if err != nil {
		return nil, fmt.Errorf("connect to the server: %w", err)
	}
	if u.mode(h) == NoTLS {
		return conn, nil
	}
	secured, err := u.secure(ctx, conn, h)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("TLS with %s: %w", h.Address, err), conn.Close())
	}
	return secured, nil
}

// mode is the TLS mode for one host: a unix socket has none, as in PostgreSQL.
func (u *Upstream) mode(h Host) TLSMode {
	if h.Network != "tcp" {
		return NoTLS
	}
	return u.Mode
}

func (u *servers) secure(ctx context.Context, conn net.Conn, h Host) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if !u.Direct {
		if err := askTLS(conn); err != nil {
			return nil, err
		}
	}
	c := tls.Client(&plug{conn}, u.config(u.tls.Load(), h))
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	// A server that knows direct TLS answers by the protocol's name, and one
	// that does not may be something else than a PostgreSQL.
	if u.Direct && c.ConnectionState().NegotiatedProtocol != alpn {
		return nil, errors.New("the server does not speak " + alpn + " over direct TLS")
	}
	return c, conn.SetDeadline(time.Time{})
}

// askTLS sends an SSLRequest. It reads one byte and no more: what follows it in
// clear would be taken for something that came under TLS.
func askTLS(conn net.Conn) error {
	if _, err := conn.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if answer[0] != 'S' {
		return errors.New("the server does not offer it")
	}
	return nil
}

// config completes the TLS configuration for one host.
func (u *Upstream) config(base *tls.Config, h Host) *tls.Config {
	if base == nil {
		base = &tls.Config{}
	}
	c := postgresTLS(base)
	c.ServerName = h.Name
	switch u.Mode {
	case RequireTLS:
		c.InsecureSkipVerify = true
	case VerifyCA:
		c.InsecureSkipVerify = true // the name is not verified; the chain is, here
		roots := c.RootCAs
		c.VerifyConnection = func(cs tls.ConnectionState) error { return verifyChain(cs, roots) }
	}
	return c
}

// binding gives the channel binding data of a connection under TLS.
func binding(conn net.Conn) auth.ChannelBinding {
	c, ok := conn.(*tls.Conn)
	if !ok || len(c.ConnectionState().PeerCertificates) == 0 {
		return nil
	}
	return auth.EndPoint(c.ConnectionState().PeerCertificates[0])
}

// private tells whether passwords may be shown to the server: the connection
// is under verified TLS or does not leave this machine.
func (u *Upstream) private(conn net.Conn) bool {
	if _, ok := conn.(*tls.Conn); ok {
		return u.Mode == VerifyFull || u.Mode == VerifyCA
	}
	return auth.TrustAllowed(conn.RemoteAddr()) == nil
}

// ClientTLS gives the TLS configuration for connections of other clients to
// the same host, under the same mode; nil where there is no TLS.
func (u *Upstream) ClientTLS(h Host) *tls.Config {
	if u.mode(h) == NoTLS {
		return nil
	}
	return u.config(u.TLS, h)
}
