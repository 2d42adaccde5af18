// Package syslog sends messages as RFC 5424 says: over TLS (RFC 5425) and TCP with
// the octets counted, or a datagram each. What messages are about is its callers'.
//
// The protocol has no acknowledgement. Over TLS and TCP messages count as taken
// when the other machine's system has them all and the connection stands: what the
// collector does not read before it dies is gone. A datagram counts as taken when
// it was sent.
package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Sender sends to one collector. It may be used by one goroutine at a time.
type Sender struct {
	Network    string // tls, tcp, udp or unix (a datagram socket, as /dev/log)
	Address    string
	TLS        *tls.Config
	Facility   int    // 0 to 23
	Host, App  string // as messages say them
	Enterprise int    // the private enterprise number in the id of the structured data

	conn   net.Conn
	gone   chan struct{} // closed when the other side has closed
	settle time.Duration // that a new connection is given to be closed by the other side
}

// Close ends the connection; Write opens another.
func (s *Sender) Close() error {
	if s.conn == nil {
		return nil
	}
	conn := s.conn
	s.conn = nil
	err := conn.Close()
	<-s.gone
	return err
}

// Write sends messages. After an error some may have been taken. It returns soon
// after its context is done.
func (s *Sender) Write(ctx context.Context, messages [][]byte) error {
	err := s.connect(ctx)
	if err == nil {
		err = s.writeAll(ctx, messages)
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

func (s *Sender) writeAll(ctx context.Context, messages [][]byte) error {
	deadline, _ := ctx.Deadline()
	if err := s.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	conn := s.conn
	defer context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })() // what waits, ends
	if s.Network == "udp" || s.Network == "unix" {
		for _, m := range messages {
			if _, err := s.conn.Write(m); err != nil {
				return err
			}
		}
		return nil
	}
	var frames []byte
	for _, m := range messages {
		frames = append(strconv.AppendInt(frames, int64(len(m)), 10), ' ')
		frames = append(frames, m...)
	}
	if _, err := s.conn.Write(frames); err != nil {
		return err
	}
	return s.received(ctx)
}

func (s *Sender) connect(ctx context.Context) (err error) {
	if s.conn != nil {
		select {
		case <-s.gone:
			if err := s.Close(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	begin := time.Now()
	switch s.Network {
	case "tls":
		s.conn, err = (&tls.Dialer{Config: s.TLS}).DialContext(ctx, "tcp", s.Address)
	case "tcp", "udp":
		s.conn, err = (&net.Dialer{}).DialContext(ctx, s.Network, s.Address)
	case "unix":
		s.conn, err = (&net.Dialer{}).DialContext(ctx, "unixgram", s.Address)
	default:
		err = fmt.Errorf("%q is no way to send syslog messages", s.Network)
	}
	if err != nil {
		s.conn = nil
		return err
	}
	if s.Network == "tls" {
		s.settle = max(minSettle, 3*time.Since(begin))
	}
	s.gone = make(chan struct{})
	go func(conn net.Conn, gone chan struct{}) {
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn) // a collector says nothing; the end is what counts
	}(s.conn, s.gone)
	return nil
}

// received waits until the other machine's system has acknowledged every byte.
func (s *Sender) received(ctx context.Context) error {
	conn := s.conn
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 50*time.Millisecond) {
		var waits int
		var qerr error
		if err := raw.Control(func(fd uintptr) { waits, qerr = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil {
			return err
		}
		if qerr != nil {
			return qerr
		}
		select {
		case <-s.gone:
			return errors.New("the collector has closed the connection")
		case <-ctx.Done():
			return fmt.Errorf("the collector does not read: %d bytes wait: %w", waits, ctx.Err())
		default:
		}
		if waits == 0 {
			return s.settled()
		}
		time.Sleep(pause)
	}
}

// minSettle is how long a new connection is watched at least.
const minSettle = 250 * time.Millisecond

// settled waits, once for each connection, whether the collector closes it: in
// TLS 1.3 a client has sent before the server can refuse its certificate.
func (s *Sender) settled() error {
	wait := s.settle
	s.settle = 0
	if wait == 0 {
		return nil
	}
	select {
	case <-s.gone:
		return errors.New("the collector has closed the connection at once: it may not accept the certificate")
	case <-time.After(wait):
		return nil
	}
}
