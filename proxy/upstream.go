package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pgveil/pgveil/proxy/auth"
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

// Upstream is the PostgreSQL server behind the proxy.
type Upstream struct {
	Network string // tcp or unix
	Address string
	Host    string // the name that the certificate must be for
	Mode    TLSMode
	TLS     *tls.Config // roots, and a client certificate where the server wants one
	Timeout time.Duration
}

// dial connects, and starts TLS where the mode says so.
func (u *Upstream) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, u.Timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, u.Network, u.Address)
	if err != nil {
		return nil, fmt.Errorf("connect to the server: %w", err)
	}
	if u.Mode == NoTLS {
		return conn, nil
	}
	secured, err := u.secure(ctx, conn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("TLS with the server: %w", err), conn.Close())
	}
	return secured, nil
}

func (u *Upstream) secure(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if _, err := conn.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}); err != nil {
		return nil, err
	}
	// One byte and no more: what follows it in clear would be taken for
	// something that came under TLS.
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return nil, err
	}
	if answer[0] != 'S' {
		return nil, errors.New("the server does not offer it")
	}
	c := tls.Client(conn, u.config())
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return c, conn.SetDeadline(time.Time{})
}

func (u *Upstream) config() *tls.Config {
	c := u.TLS.Clone()
	if c == nil {
		c = &tls.Config{}
	}
	c.MinVersion = tls.VersionTLS12
	c.ServerName = u.Host
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
// the same server, under the same mode.
func (u *Upstream) ClientTLS() *tls.Config { return u.config() }
