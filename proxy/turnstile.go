package proxy

import (
	"net"
	"net/netip"
	"sync"
)

// turnstile counts connections that are not logged in by where they come from,
// so that one address cannot take all places there are. It holds an address
// only while it has a place.
type turnstile struct {
	most int // of each address; 0: no limit

	mu     sync.Mutex
	inside map[netip.Prefix]int
}

// turnstileIPv6 are the bits of IPv6 addresses that count as one: whoever has
// one has all that begin alike.
const turnstileIPv6 = 64

// enter gives the address to leave as, and whether it may have one more place.
// The zero Prefix, of unix sockets, always may.
func (t *turnstile) enter(a net.Addr) (from netip.Prefix, ok bool) {
	addr := origin(a)
	if t.most <= 0 || !addr.IsValid() {
		return netip.Prefix{}, true
	}
	bits := addr.BitLen()
	if addr.Is6() {
		bits = turnstileIPv6
	}
	from = netip.PrefixFrom(addr, bits).Masked()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inside[from] >= t.most {
		return from, false
	}
	t.inside[from]++
	return from, true
}

// leave gives a place back.
func (t *turnstile) leave(from netip.Prefix) {
	if !from.IsValid() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inside[from]--; t.inside[from] <= 0 {
		delete(t.inside, from)
	}
}

// place takes a place among the connections that are not logged in, and gives
// what gives it back; nil when there is none.
func (srv *Server) place(conn net.Conn) (leave func()) {
	from, ok := srv.turnstile.enter(conn.RemoteAddr())
	if !ok {
		return nil
	}
	select {
	case srv.waiting <- struct{}{}:
		return func() {
			<-srv.waiting
			srv.turnstile.leave(from)
		}
	default:
		srv.turnstile.leave(from)
		return nil
	}
}
