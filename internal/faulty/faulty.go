// Package faulty is a network that fails on purpose: a relay on the loopback
// that a test puts between a client and a server, and that does to the bytes
// of each direction what a script says.
//
//	r, err := faulty.Listen("tcp", server.Addr())
//	r.Set(faulty.Script{End: faulty.Reset, After: 17}, faulty.Script{})
//	conn, err := net.Dial("tcp", r.Addr()) // is reset once 17 bytes went to the server
//
// It changes, repeats and reorders nothing: TCP keeps that from happening.
package faulty

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// End is how a connection ends before its time.
type End uint8

// The ends. The zero End is none.
const (
	Close     End = iota + 1 // both sides see the orderly end of the stream
	Reset                    // both sides see a connection that is reset
	HalfClose                // the stream ends in this direction; the other one goes on
)

func (e End) String() string {
	switch e {
	case Close:
		return "close"
	case Reset:
		return "reset"
	case HalfClose:
		return "half close"
	default:
		return "no end"
	}
}

// Script says what befalls one direction of a connection. The zero Script
// passes everything on as it comes.
type Script struct {
	End   End           // comes when After bytes have passed
	After int           // 0: at once
	Split int           // the most bytes of one write; 0: what was read
	Delay time.Duration // before each write
	Stall time.Duration // nothing is read for as long, once,
	At    int           // when so many bytes have passed
}

// Relay is one such place in the network.
type Relay struct {
	network, target string
	ln              net.Listener
	tasks           sync.WaitGroup

	mu          sync.Mutex
	forth, back Script
	links       map[*link]struct{}
	last        *link
	closed      bool
}

// Listen makes a relay to a target that passes everything on until Set says
// otherwise.
func Listen(network, target string) (*Relay, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("relay to %s: %w", target, err)
	}
	r := &Relay{network: network, target: target, ln: ln, links: map[*link]struct{}{}}
	r.tasks.Go(r.accept)
	return r, nil
}

// Addr is where to connect to instead of the target.
func (r *Relay) Addr() string { return r.ln.Addr().String() }

// Set says what befalls the connections that are made from now on: their
// bytes to the target, and back.
func (r *Relay) Set(forth, back Script) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forth, r.back, r.last = forth, back, nil
}

// Passed gives what went through the last connection since Set, each way.
func (r *Relay) Passed() (forth, back []byte) {
	r.mu.Lock()
	l := r.last
	r.mu.Unlock()
	if l == nil {
		return nil, nil
	}
	return l.forth.bytes(), l.back.bytes()
}

// Close ends all connections and waits until nothing of them is left.
func (r *Relay) Close() error {
	err := r.ln.Close()
	r.mu.Lock()
	r.closed = true
	for l := range r.links {
		l.end(Reset)
	}
	r.mu.Unlock()
	r.tasks.Wait()
	return err
}

func (r *Relay) accept() {
	for {
		conn, err := r.ln.Accept()
		if err != nil {
			return // closed
		}
		r.tasks.Go(func() { r.join(conn) })
	}
}

// join relays one connection to its end. A target that cannot be reached
// looks like one that hangs up.
func (r *Relay) join(client net.Conn) {
	target, err := net.Dial(r.network, r.target)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, target: target, over: make(chan struct{})}
	r.mu.Lock()
	r.links[l], r.last = struct{}{}, l
	forth, back, closed := r.forth, r.back, r.closed
	r.mu.Unlock()
	if closed {
		l.end(Reset)
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { l.pump(client, target, forth, &l.forth) })
	pumps.Go(func() { l.pump(target, client, back, &l.back) })
	pumps.Wait()
	l.end(Close)
	r.mu.Lock()
	delete(r.links, l)
	r.mu.Unlock()
}

// link is one connection through a relay.
type link struct {
	client, target net.Conn
	forth, back    passed
	once           sync.Once
	over           chan struct{} // closed with the connections
}

// passed keeps what went through in one direction.
type passed struct {
	mu sync.Mutex
	b  []byte
}

func (p *passed) add(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.b = append(p.b, b...)
}

func (p *passed) bytes() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.b)
}

// end ends both connections, by a reset where that is what was asked for.
func (l *link) end(how End) {
	l.once.Do(func() {
		close(l.over)
		for _, c := range []net.Conn{l.client, l.target} {
			if tcp, ok := c.(*net.TCPConn); ok && how == Reset {
				_ = tcp.SetLinger(0) // fails only for what is closed
			}
			_ = c.Close() // nobody can be told
		}
	})
}

// pump passes bytes on until the stream or the script ends.
func (l *link) pump(from, to net.Conn, s Script, p *passed) {
	buf := make([]byte, 32<<10)
	stalled := s.Stall == 0
	for n := 0; ; {
		if s.End != 0 && n >= s.After {
			l.cut(from, to, s.End)
			return
		}
		if !stalled && n >= s.At {
			stalled = true
			l.wait(s.Stall)
		}
		got, err := from.Read(buf[:s.most(n, len(buf))])
		n += got
		if !l.pass(to, buf[:got], s, p) {
			l.end(Reset)
			return
		}
		if err != nil {
			l.endOf(to, err)
			return
		}
	}
}

// most gives how many bytes may be read when n have passed: the script's next
// turn lies behind them.
func (s *Script) most(n, room int) int {
	if s.End != 0 {
		room = min(room, s.After-n)
	}
	if s.Stall > 0 && n < s.At {
		room = min(room, s.At-n)
	}
	return room
}

func (l *link) pass(to net.Conn, b []byte, s Script, p *passed) bool {
	for len(b) > 0 {
		part := b
		if s.Split > 0 {
			part = b[:min(s.Split, len(b))]
		}
		if s.Delay > 0 {
			l.wait(s.Delay)
		}
		p.add(part)
		if _, err := to.Write(part); err != nil {
			return false
		}
		b = b[len(part):]
	}
	return true
}

// cut ends the connection as the script says.
func (l *link) cut(from, to net.Conn, how End) {
	if how != HalfClose {
		l.end(how)
		return
	}
	closeWrite(to)
	buf := make([]byte, 4<<10)
	for {
		if _, err := from.Read(buf); err != nil {
			return
		}
	}
}

// endOf passes on that a stream has ended, and in which way.
func (l *link) endOf(to net.Conn, err error) {
	var op *net.OpError
	if errors.As(err, &op) {
		l.end(Reset)
		return
	}
	closeWrite(to)
}

func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails only where the stream has ended already
	}
}

func (l *link) wait(d time.Duration) {
	select {
	case <-l.over:
	case <-time.After(d):
	}
}
