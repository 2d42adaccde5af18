package proxy

import (
	"context"
	"errors"
	"io"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/parse"
)

const (
	clientBuffer = 16 << 10
	// maxNames bounds the names at the start of a Bind whose values are too
	// long to be held: a name is an identifier of 63 bytes at most.
	maxNames = 4 << 10
	// maxControl bounds messages that hold a name or a reason only.
	maxControl = 64 << 10
)

// pumpClient reads what the client sends and forwards what may be.
func (s *session) pumpClient(ctx context.Context) error {
	for {
		typ, n, ok, err := s.fromC.Head()
		if err != nil {
			return newFatal("08P01", "%w", err)
		}
		want := wire.HeadLen
		if ok {
			if want, err = clientWants(typ, n); err != nil {
				return err
			}
		}
		if s.fromC.Buffered() < want {
			if err := s.toS.Flush(); err != nil {
				return err
			}
			s.reading.Store(true)
			err := s.fromC.Fill(want)
			s.reading.Store(false)
			if err == io.EOF {
				// It may only have nothing more to say: what it asked for is answered.
				s.toS.Frame('X')
				return s.terminate()
			}
			if err != nil {
				return err
			}
			s.srv.metrics.fromClient.Add(float64(s.fromC.Arrived()))
			continue
		}
		have := min(n, s.fromC.Buffered())
		frame := s.fromC.Take(have)
		if err := s.fromClient(ctx, typ, frame, n-have); err != nil {
			return err
		}
	}
}

// clientWants tells how much of a frame must be there to decide on it: all of
// it, or its beginning when the rest is data that nobody looks at.
func clientWants(typ byte, n int) (int, error) {
	limit := maxControl
	switch typ {
	case 'Q', 'P':
		limit = parse.MaxText + maxControl
	case 'd':
		return wire.HeadLen, nil
	case 'B', 'F':
		return min(n, maxNames), nil
	}
	if n > limit {
		return 0, newFatal("54000", "message %q of %d bytes is longer than %d", typ, n, limit)
	}
	return n, nil
}

// fromClient acts on one frontend message. rest is how many bytes of it are
// still to be read.
func (s *session) fromClient(ctx context.Context, typ byte, frame []byte, rest int) error {
	s.left = rest
	err := s.act(ctx, typ, frame)
	if errors.Is(err, errSkipped) {
		return s.discard()
	}
	return err
}

// act is the closed switch over frontend messages.
func (s *session) act(ctx context.Context, typ byte, frame []byte) error {
	if s.passedOver(typ) {
		return errSkipped
	}
	switch typ {
	case 'Q':
		return s.query(ctx, frame)
	case 'P':
		return s.parse(ctx, frame)
	case 'B':
		return s.bind(ctx, frame)
	case 'D':
		return s.describe(frame)
	case 'E':
		return s.execute(ctx, frame)
	case 'C':
		return s.close(frame)
	case 'S':
		return s.sync(frame)
	case 'H':
		s.toS.Pass(frame)
		return nil
	case 'd':
		return s.relay(frame)
	case 'c', 'f':
		s.copyEnd()
		s.toS.Pass(frame)
		return nil
	case 'F':
		return s.call(frame)
	case 'X':
		s.toS.Pass(frame)
		return s.terminate()
	default:
		return newFatal("08P01", "message of type %q is not part of the protocol here", typ)
	}
}

// noParams is the end of a Parse message that names no parameter types.
// terminate ends the session once the server has answered what was asked
// before, and closes the connection as it was told to.
func (s *session) terminate() error {
	s.mu.Lock()
	s.parting = true
	s.mu.Unlock()
	if err := s.toS.Flush(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.ended == nil {
		s.settled.Wait()
	}
	return errTerminated
}

// passedOver tells whether the server, after an error, would pass over the
// message; then it need not get it. COPY data is passed over as well.
func (s *session) passedOver(typ byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.skipping && typ != 'S' && typ != 'X'
}

// discard drops what is still to be read of the current message.
func (s *session) discard() error {
	for s.left > 0 {
		if err := s.toS.Flush(); err != nil {
			return err
		}
		if err := s.fromC.Fill(1); err != nil {
			return unexpectedEnd(err)
		}
		s.left -= len(s.fromC.Take(min(s.left, s.fromC.Buffered())))
	}
	return nil
}

// relay passes a frame on whose rest may still be on its way.
func (s *session) relay(frame []byte) error {
	s.toS.Pass(frame)
	for s.left > 0 {
		if err := s.toS.Flush(); err != nil {
			return err
		}
		if err := s.fromC.Fill(1); err != nil {
			return unexpectedEnd(err)
		}
		part := s.fromC.Take(min(s.left, s.fromC.Buffered()))
		s.toS.Pass(part)
		s.left -= len(part)
	}
	return nil
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// push adds flights, all or none. After errSkipped the server would pass over
// what they stand for, and nothing is to be sent.
func (s *session) push(flights ...*flight) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.skipping {
		return errSkipped
	}
	for _, f := range flights {
		if s.copying && f.kind == flightSync {
			continue // a server that takes in data passes over Sync
		}
		f.start = s.srv.now()
		f.apply(s.batch)
		s.queue.push(f)
		ends := f.kind == flightSync || f.kind == flightQuery || f.kind == flightCall
		if ends && s.extended && s.unsettled && !s.block {
			s.doubt = true // if anything before it fails, settings go back
		}
		if ends {
			s.batch++
		}
		s.extended = !ends
	}
	return nil
}

func (s *session) take(kind flightKind) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.take(kind)
}

func (s *session) query(ctx context.Context, frame []byte) error {
	b := wire.BodyOf(frame)
	text := b.String()
	if b.Err() != nil || len(b.Rest()) > 0 {
		return newFatal("08P01", "malformed Query message")
	}
	f := s.take(flightQuery)
	made, err := s.make(ctx, text)
	if err == nil {
		err = s.checkNames(made.plan)
	}
	if err == nil {
		f.privacy, err = s.request(ctx, &made)
	}
	if err == nil {
		err = s.admit(ctx, f, made.plan)
	}
	if err != nil {
		return s.refuse(f, err, func(r *Refusal) { s.toS.Frame('Q', r.poison()) })
	}
	s.nameSteps(f, made.plan)
	if err := s.push(f); err != nil {
		return err
	}
	if made.plan.Changed {
		s.toS.Frame('Q', made.text(), []byte{0})
		return nil
	}
	s.toS.Pass(frame)
	return nil
}

// make gives what a text becomes: a plan, or the carrier of a data subject
// request.
func (s *session) make(ctx context.Context, text []byte) (named, error) {
	if cmd, ok, err := parseCommand(text); ok || err != nil {
		return s.carrier(ctx, string(text), cmd, err)
	}
	r, err := s.plan(ctx, text)
	return named{plan: r.Plan, sql: r.SQL}, err
}

// refuse pushes a flight that the server will answer with an error, which ours
// replaces, and sends what makes it do so.
func (s *session) refuse(f *flight, err error, poison func(*Refusal)) error {
	if ended(err) {
		return err
	}
	f.refusal = s.asRefusal(err)
	if err := s.recordRefusal(f); err != nil {
		// Nothing was let through that the log would have to hold.
		s.log.Error("a refusal could not be recorded", "id", f.refusal.ID, "err", err)
	}
	f.plan, f.privacy, f.changes = nil, nil, nil
	if err := s.push(f); err != nil {
		return err
	}
	poison(f.refusal)
	return nil
}

// ended tells an error that ends the session from one that refuses a statement.
func ended(err error) bool {
	var f *fatal
	return errors.As(err, &f) || errors.Is(err, errSkipped) || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled)
}

// plan decides a text, after the settings it depends on are certain.
func (s *session) plan(ctx context.Context, text []byte) (rewrite.Ready, error) {
	if err := s.settle(ctx, text); err != nil {
		return rewrite.Ready{}, err
	}
	if purpose, ok := rewrite.CommentPurpose(text); ok && !s.plans.Access.Unrestricted {
		return s.planFor(purpose, text)
	}
	start := s.srv.now()
	r, hit, err := s.lookup.Plan(text)
	if hit {
		s.srv.metrics.cacheHits.Inc()
		return r, err
	}
	s.srv.metrics.cacheMisses.Inc()
	var refusal *rewrite.Refusal
	if errors.As(err, &refusal) && refusal.Unknown != "" && s.srv.enforcer.refresh(ctx, s.engine) {
		if err := s.settle(ctx, text); err != nil {
			return rewrite.Ready{}, err
		}
		r, _, err = s.lookup.Plan(text)
	}
	s.srv.metrics.planSeconds.Observe(s.srv.now().Sub(start).Seconds())
	return r, err
}

func (s *session) copyEnd() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.copying {
		s.copying = false
		return
	}
	s.queue.push(s.queue.take(flightCopyEnd))
}

// call handles FunctionCall, which names a function by number and so is not
// open to callers with restrictions.
func (s *session) call(frame []byte) error {
	f := s.take(flightCall)
	if !free(s.plans.Access) {
		err := &rewrite.Refusal{Code: "42501", Message: "the fast-path function call is not open to callers with restrictions", Hint: "call the function in a query"}
		if err := s.refuse(f, err, func(r *Refusal) { s.toS.Frame('Q', r.poison()) }); err != nil {
			return err
		}
		return s.discard()
	}
	if err := s.push(f); err != nil {
		return err
	}
	return s.relay(frame)
}

// planFor decides a text that says in a comment which purpose it is for.
func (s *session) planFor(purpose string, text []byte) (rewrite.Ready, error) {
	access, err := s.engine.Policy.Access(s.login, purpose)
	if err != nil {
		return rewrite.Ready{}, rewrite.RefuseAccess(err)
	}
	session := s.plans
	session.Access = access
	p, err := s.engine.Plan(session, string(text))
	return rewrite.Ready{Plan: p}, err
}

// accessFor gives the access that a plan would be made for now: the session's,
// or that of the purpose which a comment in its text names.
func (s *session) accessFor(p *rewrite.Plan) *policy.Access {
	if !p.Commented {
		return s.plans.Access
	}
	access, err := s.engine.Policy.Access(s.login, p.Comment)
	if err != nil {
		return &policy.Access{} // nobody's: nothing was planned for it
	}
	return access
}
