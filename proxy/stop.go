package proxy

import (
	"context"
	"slices"

	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// stop keeps back the rest of what answers a flight, for a reason that the client
// gets in place of its end, and has the server cancel the statement. The client
// half waits meanwhile: what it sent next could be cancelled in the statement's
// place.
func (s *session) stop(f *flight, why error) {
	f.stopped = s.asRefusal(why)
	s.mu.Lock()
	alone := !s.followed()
	s.calling.Store(alone)
	s.mu.Unlock()
	if !alone {
		return // another transaction's statement is on its way already: this one runs to its end
	}
	stopped := f.stopped // the flight may be another's by then
	s.srv.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), abandonWithin)
		defer cancel()
		still := func(context.Context) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			first := s.queue.first()
			return first != nil && first.stopped == stopped && !s.followed()
		}
		if err := s.srv.interrupt(ctx, s, still); err != nil {
			s.log.Warn("a statement whose rows are kept back could not be cancelled", "err", err)
		}
		s.mu.Lock()
		s.calling.Store(false)
		s.settled.Broadcast()
		s.mu.Unlock()
	})
}

// followed tells whether anything was sent behind the message that ends what an
// error at the head would make the server pass over.
func (s *session) followed() bool {
	for i := range s.queue.n {
		if k := s.queue.at(i).kind; k == flightSync || k == flightQuery || k == flightCall {
			return i < s.queue.n-1
		}
	}
	return false
}

// called waits until a cancellation that is under way has got to the server.
func (s *session) called(hurried bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calling.Load() && hurried {
		return errWaits
	}
	for s.calling.Load() && s.ended == nil {
		s.settled.Wait()
	}
	return s.ended
}

// overrun answers a statement whose rows were kept back, and which the server
// nevertheless ended well: it could not be cancelled any more.
func (s *session) overrun(f *flight) error {
	switch {
	case f.plan != nil && f.plan.Has(rewrite.Writes):
		f.stopped.Rule += "; what the statement has changed is changed"
	case f.kind == flightExecute: // in a transaction with those before it
		f.stopped.Rule += "; what was changed before the statement is not undone"
	}
	if !s.harmlessBehind(f) {
		return newFatal(f.stopped.Code, "%s: statements behind the one that was stopped have run, and nobody gets their answers", f.stopped.Message)
	}
	f.state, f.muted = f.stopped.Code, true
	if f.naming != nil {
		f.naming.ends(f.naming.rows + f.naming.copied)
	}
	s.toC.Frame('E', wire.AppendFields(nil, f.stopped.fields("ERROR")))
	if f.kind == flightQuery {
		s.mu.Lock()
		defer s.mu.Unlock()
		f.done++
		return nil // its outcome comes with ReadyForQuery
	}
	if err := s.recordOutcome(f); err != nil {
		return newFatal("58030", "the access log cannot be written: %w", err)
	}
	s.mute()
	return nil
}

// harmlessBehind tells whether nothing is done by what the server carries out and
// the client thinks passed over, after an error: the other statements of a text,
// or messages up to the next Sync.
func (s *session) harmlessBehind(f *flight) bool {
	if f.kind == flightQuery {
		return f.plan != nil && f.done+1 >= len(f.plan.Steps)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 1; i < s.queue.n && s.queue.at(i).kind != flightSync; i++ {
		behind := s.queue.at(i)
		if !behind.own && !slices.Contains([]flightKind{flightDescribe, flightClose}, behind.kind) {
			return false
		}
	}
	return true
}

// mute takes off the flight at the head, and keeps the answers to those behind it
// from the client, up to the next Sync.
func (s *session) mute() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.pop()
	for i := range s.queue.n {
		behind := s.queue.at(i)
		if behind.kind == flightSync {
			s.settled.Broadcast()
			return
		}
		behind.own, behind.muted = true, true
	}
	s.skipping = true // what the client sends before a Sync is not for the server
	s.settled.Broadcast()
}

// stopsShort handles what else the server says to a flight that was stopped. done
// tells that there is no more to do with it.
func (s *session) stopsShort(ctx context.Context, f *flight, typ byte) (done bool, err error) {
	switch typ {
	case 'C', 'I', 's':
		if f.muted {
			return true, nil
		}
		if err := s.nameSubjects(ctx, f, true); err != nil {
			return false, err
		}
		return true, s.overrun(f)
	case 'E':
		return false, nil
	default:
		return true, nil // what leads up to its end, or belongs to what is behind it
	}
}
