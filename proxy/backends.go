package proxy

import (
	"sync"
	"time"

	"github.com/pgveil/pgveil/state"
)

// oursFor is how long a connection that ended is still known to have been
// ours: whoever looks at the server's list of connections looks later.
const oursFor = 2 * time.Minute

// backends are the connections to the server that sessions have, or had lately.
type backends struct {
	mu     sync.Mutex
	recent []state.Backend // in the order in which they began
	logins int64           // to the governed database
}

// add notes a connection whose login began at a moment and is over now.
func (c *backends) add(pid uint32, from, now time.Time, governed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.recent) > 0 && now.Sub(c.recent[0].Until) > oursFor {
		c.recent = c.recent[1:]
	}
	c.recent = append(c.recent, state.Backend{PID: pid, From: from, Until: now})
	if governed {
		c.logins++
	}
}

// Backends gives the connections to the server that sessions have or had lately,
// and how often sessions have logged in to the governed database.
func (srv *Server) Backends() (all []state.Backend, logins int64) {
	now := time.Now()
	c := &srv.backends
	c.mu.Lock()
	for _, b := range c.recent {
		if now.Sub(b.Until) <= oursFor {
			all = append(all, b)
		}
	}
	logins = c.logins
	c.mu.Unlock()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for s := range srv.sessions {
		if now.Sub(s.backend.Until) > oursFor {
			all = append(all, s.backend)
		}
	}
	return all, logins
}

// noteBackend notes the session's connection to the server by the number that the
// server has for it.
func (s *session) noteBackend(pid uint32) {
	s.backend.PID, s.backend.Until = pid, time.Now()
	s.srv.backends.add(pid, s.backend.From, s.backend.Until, !s.foreign)
}
