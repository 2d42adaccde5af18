package proxy

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
)

// containment is who is in quarantine: as it was last read from the database,
// which all proxies share, and what was decided here and is not written there
// yet. What cannot be read again stays in force, to its own end by our clock.
type containment struct {
	now  atomic.Pointer[holds] // in force; nil: nobody is
	soon chan struct{}         // holds one when a round is wanted before its time

	round   sync.Mutex // one at a time; guards the two below
	again   time.Time  // until then the server is not asked for what it refused
	refused error

	mu     sync.Mutex // guards all below
	read   bool       // there was a round that could read them
	known  []*hold    // as they were last read
	unread []*hold    // decided here, and not among those
}

// publish puts in force what is known. mu is held.
func (c *containment) publish() {
	c.now.Store(newHolds(slices.Concat(c.known, c.unread)))
}

// of gives those of one that last at a moment. mu is held.
func (c *containment) of(who policy.Target, name string, at time.Time) (all []*hold) {
	for _, q := range slices.Concat(c.known, c.unread) {
		if q.same(who, name) && q.lasts(at) {
			all = append(all, q)
		}
	}
	return all
}

// add puts a quarantine in force here. One of pgveil's own that adds little to
// those in force is none: what is noticed again and again is written once.
func (c *containment) add(q *hold, at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q.automatic && slices.ContainsFunc(c.of(q.who, q.name, at), q.addsLittle) {
		return false
	}
	c.unread = append(c.unread, q)
	c.publish()
	return true
}

// drop ends those of one that no database has.
func (c *containment) drop(who policy.Target, name string, at time.Time) (dropped []*hold) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dropped = c.of(who, name, at)
	same := func(q *hold) bool { return q.same(who, name) }
	c.known, c.unread = slices.DeleteFunc(slices.Clone(c.known), same), slices.DeleteFunc(slices.Clone(c.unread), same)
	c.publish()
	return dropped
}

// addsLittle tells whether another quarantine leaves less than half of this one's
// time to it.
func (q *hold) addsLittle(other *hold) bool {
	if other.until.IsZero() || q.until.IsZero() {
		return other.until.IsZero()
	}
	return !other.until.Before(q.made.Add(q.until.Sub(q.made) / 2))
}

// hurry asks for a round soon.
func (c *containment) hurry() {
	select {
	case c.soon <- struct{}{}:
	default: // somebody has
	}
}

// enforce does what a quarantine that has come into force here comes to, and sees
// to it that it is written down.
func (srv *Server) enforce(q *hold) (ended int) {
	srv.tellHold(q, true)
	ended = srv.expelHeld()
	srv.containment.hurry()
	return ended
}

// tellHold tells that a quarantine began or ended here, who wanted it and why.
func (srv *Server) tellHold(q *hold, began bool) {
	e := alert.Event{
		Name: "quarantine", Severity: alert.Warning, Message: q.whom() + " is in quarantine", Key: q.whom(),
		Details: []slog.Attr{slog.String("by", q.by), slog.String("because", q.why)},
	}
	if !began {
		e.Name, e.Severity, e.Message = "quarantine_ended", alert.Notice, q.whom()+" is not in quarantine any more"
	}
	switch q.who {
	case policy.TargetUser:
		e.User = q.name
	case policy.TargetLogin:
		e.Login = q.name
	case policy.TargetAddress:
		e.Addr = q.name
	}
	srv.alerts.Raise(e)
	r := audit.Record{Login: e.Login, User: e.User, Client: e.Addr, Database: srv.database, Message: "quarantine: " + e.Message + ", by " + q.by, Reasons: []string{q.why}}
	if err := srv.recordSession(r); err != nil {
		srv.log.Error("recording a quarantine", "err", err)
	}
}

// expelHeld ends the sessions of those in quarantine.
func (srv *Server) expelHeld() (n int) {
	h := srv.containment.now.Load()
	if h == nil {
		srv.metrics.quarantines.Set(0)
		return 0
	}
	srv.metrics.quarantines.Set(float64(h.size))
	at := srv.now()
	return srv.expelEach(func(s *session) error {
		if q := s.heldBy(h, at); q != nil {
			return q.farewell()
		}
		return nil
	})
}

// heldBy gives the quarantine that ends the session; nil when none does. A
// connection that is logged in for many is not ended because of one of them,
// unless it does something for that one at this moment: the next statement that is
// theirs is refused.
func (s *session) heldBy(h *holds, at time.Time) *hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := h.on(suspect{s.login, s.login, s.base.From, s.who}, at); q != nil {
		return q
	}
	for _, who := range s.acting() {
		if q := h.on(suspect{s.login, who.User, s.base.From, who}, at); q != nil {
			return q
		}
	}
	return nil
}

// acting gives for whom the session does something now: who began the
// transaction that is open, and whose statements the server has. Who was let do
// nothing is not among them. mu is held.
func (s *session) acting() (all []*policy.Access) {
	if s.who != nil && s.who.ID != 0 && s.tx != 'I' {
		all = append(all, s.who)
	}
	for i := range s.queue.n {
		if by := s.queue.at(i).by.access; by != nil && by.ID != 0 {
			all = append(all, by)
		}
	}
	return all
}

// barred refuses who is in quarantine.
func (s *session) barred(c policy.Claim, access *policy.Access) error {
	h := s.srv.containment.now.Load()
	if h == nil {
		return nil
	}
	if q := h.on(suspect{s.login, c.User, s.base.From, access}, s.srv.now()); q != nil {
		return q.refusal()
	}
	return nil
}

// stands ends a session that has just begun, and whose login was decided before
// its quarantine: from here on it is found among the sessions.
func (srv *Server) stands(s *session) {
	why := s.doomed
	if h := srv.containment.now.Load(); why == nil && h != nil {
		if q := s.heldBy(h, srv.now()); q != nil {
			why = q.farewell()
		}
	}
	if why != nil {
		s.end(why)
	}
}

// until gives when what is for a time from now ends; zero when it does not.
func (srv *Server) until(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return srv.now().Add(d)
}
