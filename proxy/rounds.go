package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/state"
)

// containEvery is how often what was decided elsewhere is looked for, also where
// nobody says that there is something.
const containEvery = 400 * time.Millisecond

// KeepContained has quarantines and orders of other proxies carried out here, and
// those of this one written down, until the context ends. What cannot be read
// stays as it was last; told hears how each round ended.
func (srv *Server) KeepContained(ctx context.Context, told func(error)) {
	tick := time.NewTicker(containEvery)
	defer tick.Stop()
	for {
		err := srv.Contain(ctx)
		if ctx.Err() != nil {
			return
		}
		told(err)
		select {
		case <-ctx.Done():
			return
		case <-srv.containment.soon:
		case <-tick.C:
		}
	}
}

// ContainSoon has KeepContained look at once: somebody has written something.
func (srv *Server) ContainSoon() { srv.containment.hurry() }

// Contain is one round: what was decided here is written down, what is written is
// in force, whose sessions must end are ended, and orders are carried out.
func (srv *Server) Contain(ctx context.Context) error {
	c := &srv.containment
	c.round.Lock()
	defer c.round.Unlock()
	defer srv.expelHeld() // whatever could be read: statements may have begun before it was in force
	if srv.quarantines == nil {
		c.put(c.known, srv.now())
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	if time.Now().Before(c.again) {
		if alone(c.refused) {
			return c.refused
		}
		return errors.Join(c.refused, srv.readHolds(ctx))
	}
	// Where nothing can be written, there may still be something to read.
	err := errors.Join(srv.writeHolds(ctx), srv.readHolds(ctx))
	err = errors.Join(err, srv.obey(ctx))
	if lasts(err) {
		c.again, c.refused = time.Now().Add(refusedFor), err
	}
	return err
}

// refusedFor is how long the server is not asked again for what it refuses as long
// as it is what it is: each time is a line in its log.
const refusedFor = 10 * time.Second

// lasts tells whether the server would refuse the same in a moment: it lacks the
// tables, takes no writes, or does not let us.
func lasts(err error) bool {
	var e interface{ SQLState() string }
	return alone(err) || errors.As(err, &e) && (e.SQLState() == "25006" || e.SQLState() == "42501")
}

// ReadQuarantines reads who is in quarantine. What lets nobody in before that lets
// nobody in who is.
func (srv *Server) ReadQuarantines(ctx context.Context) error {
	if srv.quarantines == nil {
		return nil
	}
	srv.containment.round.Lock()
	defer srv.containment.round.Unlock()
	return srv.readHolds(ctx)
}

// writeHolds writes down the quarantines that were decided here. Each is written
// once: round is held.
func (srv *Server) writeHolds(ctx context.Context) error {
	c := &srv.containment
	c.mu.Lock()
	waiting := slices.Clone(c.unread)
	c.mu.Unlock()
	for _, q := range waiting {
		left := time.Duration(0)
		if !q.until.IsZero() {
			left = q.until.Sub(srv.now())
		}
		if q.written || !q.until.IsZero() && left < time.Second {
			continue // what is left of it is this proxy's alone
		}
		made, err := srv.quarantines.Quarantine(ctx, state.Quarantine{Who: q.who, Name: q.name, Reason: q.why, By: q.by, Automatic: q.automatic, For: left})
		if err != nil {
			return fmt.Errorf("quarantines: %w", err)
		}
		c.mu.Lock()
		q.written = true
		if len(made) > 0 {
			q.id = made[0].ID
		}
		c.mu.Unlock()
	}
	return nil
}

// readHolds puts in force what the database has.
func (srv *Server) readHolds(ctx context.Context) error {
	at := srv.now()
	read, err := srv.quarantines.Quarantined(ctx)
	if err != nil {
		return fmt.Errorf("quarantines: %w", err)
	}
	all := make([]*hold, 0, len(read))
	for _, r := range read {
		q, err := newHold(r, at)
		if err != nil {
			return err
		}
		all = append(all, q)
	}
	begun, ended := srv.containment.put(all, at)
	for _, q := range begun {
		srv.tellHold(q, true)
	}
	for _, q := range ended {
		srv.tellHold(q, false)
	}
	return nil
}

// newHold gives a quarantine as it was read at a moment of our clock: the end is
// the database's.
func newHold(r state.Quarantine, at time.Time) (*hold, error) {
	q := &hold{id: r.ID, written: true, who: r.Who, name: r.Name, by: r.By, why: r.Reason, automatic: r.Automatic, made: r.Made}
	if r.For > 0 {
		q.until = at.Add(r.Left)
	}
	if q.who == policy.TargetAddress {
		var ok bool
		if q.network, ok = canonical(q.name); !ok {
			return nil, fmt.Errorf("quarantines: number %d is of no address", r.ID)
		}
	}
	return q, nil
}

// put takes over what was read. It gives the quarantines that are new here, but for
// those of the first time, and those that are no more.
func (c *containment) put(read []*hold, at time.Time) (begun, ended []*hold) {
	c.mu.Lock()
	defer c.mu.Unlock()
	byID := map[int64]*hold{}
	for _, q := range slices.Concat(c.unread, c.known) {
		byID[q.id] = q
	}
	same := len(read) == len(c.known)
	for i, q := range read {
		before := byID[q.id]
		switch {
		case before == nil:
			begun = append(begun, q)
		case before.until.Sub(q.until).Abs() < time.Second:
			read[i] = before // the same end, as two clocks see it
		}
		delete(byID, q.id)
		same = same && c.known[i] == read[i]
	}
	for _, q := range c.known {
		if byID[q.id] == q {
			ended = append(ended, q)
		}
	}
	left := slices.DeleteFunc(slices.Clone(c.unread), func(q *hold) bool { return q.written || !q.lasts(at) })
	if !c.read {
		begun = nil
	}
	if !same || len(left) != len(c.unread) {
		c.known, c.unread = read, left
		c.publish()
	}
	c.read = true
	return begun, ended
}

// obey carries out what other proxies ask for.
func (srv *Server) obey(ctx context.Context) error {
	orders, err := srv.quarantines.Orders(ctx, srv.name)
	if err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	var errs []error
	for _, o := range orders {
		a := srv.carryOut(o)
		a.Proxy = srv.name
		errs = append(errs, srv.quarantines.Answer(ctx, o.ID, a))
	}
	return errors.Join(errs...)
}

// carryOut does what an order asks for.
func (srv *Server) carryOut(o state.Order) (a state.Answer) {
	switch o.What {
	case state.ListSessions:
		a.Sessions = srv.list()
	case state.KillSession:
		a.Ended = srv.kill(func(s *session) bool { return s.id == o.Name }, o)
	case state.KillUser:
		a.Ended = srv.kill(func(s *session) bool { return s.actsFor(o.Name) }, o)
	}
	return a
}

// Leave tells the other proxies that this one stops.
func (srv *Server) Leave(ctx context.Context) error {
	if srv.quarantines == nil {
		return nil
	}
	return srv.quarantines.Leave(ctx, srv.name)
}
