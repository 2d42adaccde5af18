package proxy

import (
	"context"
	"errors"
	"io"

	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite/parse"
)

const (
	// maxNames bounds the names at the start of a Bind whose values are too
	// long to be held: a name is an identifier of 63 bytes at most.
	maxNames = 4 << 10
	// maxControl bounds messages that hold a name or a reason only.
	maxControl = 64 << 10
)

// errWhole says that all of a message must be there before it can be acted on:
// nothing has happened yet.
var errWhole = errors.New("the message is needed as a whole")

// stepClient acts on the next message of the client's. need is how many bytes
// of it must be there before it can; 0 when it has acted, or after an error.
//
// After errWaits nothing has happened: whoever may wait must step again.
func (s *session) stepClient(ctx context.Context) (need int, err error) {
	if s.left > 0 {
		return s.passRest(), nil
	}
	typ, n, ok, err := s.fromC.Head()
	if err != nil {
		return 0, newFatal("08P01", "%w", err)
	}
	if !ok {
		return wire.HeadLen, nil
	}
	want, err := clientWants(typ, n)
	if err != nil {
		return 0, err
	}
	if typ == 'd' && (s.intake() != nil || s.sealIntake != nil) {
		want = min(n, maxHeld)
	}
	if s.fromC.Buffered() < want {
		return want, nil
	}
	have := min(n, s.fromC.Buffered())
	frame := s.fromC.Take(have)
	s.left, s.dropping, s.hit = n-have, false, false
	err = s.act(ctx, typ, frame)
	switch {
	case err == nil:
	case errors.Is(err, errWaits):
		s.fromC.Untake(have)
		s.left = 0
		return 0, err
	case errors.Is(err, errWhole):
		s.fromC.Untake(have)
		s.left = 0
		return n, nil
	case errors.Is(err, errSkipped):
		s.dropping, err = true, nil
	}
	if s.hit {
		s.srv.metrics.cacheHits.Inc()
	}
	return 0, err
}

// passRest passes on, or drops, what has come of a message that was decided by
// its beginning.
func (s *session) passRest() (need int) {
	part := s.fromC.Take(min(s.left, s.fromC.Buffered()))
	s.left -= len(part)
	if !s.dropping {
		s.toS.Pass(part)
	}
	return min(s.left, 1)
}

// clientEnds handles the end of what the client sends. It may only have nothing
// more to say: what it asked for is answered.
func (s *session) clientEnds() error {
	if s.left > 0 || s.fromC.Buffered() > 0 {
		return io.ErrUnexpectedEOF
	}
	s.toS.Frame('X')
	return s.part()
}

// clientWants tells how much of a frame must be there to decide on it: all of
// it, or its beginning when the rest is data that nobody looks at.
func clientWants(typ byte, n int) (int, error) {
	switch typ {
	case 'Q', 'P':
		if n > parse.MaxText+maxControl {
			return maxNames, nil // see longText
		}
		return n, nil
	case 'd':
		return wire.HeadLen, nil
	case 'B', 'F':
		return min(n, maxNames), nil
	}
	if n > maxControl {
		return 0, newFatal("54000", "message %q of %d bytes is longer than %d", typ, n, maxControl)
	}
	return n, nil
}

// act is the closed switch over frontend messages.
func (s *session) act(ctx context.Context, typ byte, frame []byte) error {
	if s.passedOver(typ) {
		return errSkipped
	}
	if s.calling.Load() {
		if err := s.called(s.hurriedC); err != nil {
			return err
		}
	}
	if s.left > 0 && (typ == 'Q' || typ == 'P') {
		return s.longText(ctx, typ, frame)
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
		return s.copyData(frame)
	case 'c', 'f':
		if err := s.dataEnds(typ); err != nil {
			return err
		}
		s.copyEnd()
		s.toS.Pass(frame)
		return nil
	case 'F':
		return s.call(ctx, frame)
	case 'X':
		s.toS.Pass(frame)
		return s.part()
	default:
		return newFatal("08P01", "message of type %q is not part of the protocol here", typ)
	}
}

// part says that the client asks for nothing more. The server answers what was
// asked before and closes the connection, as it was told to.
func (s *session) part() error {
	s.mu.Lock()
	s.parting = true
	s.mu.Unlock()
	return errTerminated
}

// passedOver tells whether the server, after an error, would pass over the
// message; then it need not get it. COPY data is passed over as well.
func (s *session) passedOver(typ byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.skipping && typ != 'S' && typ != 'X'
}

// push adds flights, all or none. After errSkipped the server would pass over
// what they stand for, and nothing is to be sent.
func (s *session) push(flights ...*flight) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.calling.Load() && !s.hurriedC && s.ended == nil { // it began since the message was looked at: see stop
		s.settled.Wait()
	}
	if s.skipping {
		return errSkipped
	}
	for _, f := range flights {
		f.start = s.srv.now()
		f.apply(s.batch)
		s.queue.push(f)
		if s.mayChangeAsker(f) || f.kind == flightCall && s.engine.Seals() {
			s.doubt, s.unsettled, s.unsure, s.ahead = true, true, true, nil
		}
		ends := f.kind == flightSync || f.kind == flightQuery || f.kind == flightCall
		if ends && s.oneShot && !s.block {
			s.doubt, s.unsure = true, true // so is its transaction
		}
		if ends && s.extended && s.unsettled && !s.block {
			s.doubt, s.unsure = true, true // if anything before it fails, settings go back
		}
		if ends {
			s.batch++
		}
		if f.own && f.kind == flightClose {
			continue // it cannot fail
		}
		// After an error the server passes over a Query as well.
		s.extended = f.kind != flightSync && (s.extended || !ends)
	}
	return nil
}

func (s *session) take(kind flightKind) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.take(kind)
}

// giveBack puts away a flight that was not pushed.
func (s *session) giveBack(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.recycle(f)
}

func (s *session) query(ctx context.Context, frame []byte) error {
	b := wire.BodyOf(frame)
	text := b.String()
	if b.Err() != nil || len(b.Rest()) > 0 {
		return newFatal("08P01", "malformed Query message")
	}
	f := s.take(flightQuery)
	made, err := s.make(ctx, text)
	f.by = made.by
	if err == nil {
		err = s.checkNames(made.plan, made.by)
	}
	if err == nil {
		err = s.checkExecuted(ctx, made.plan, made.by)
	}
	if err == nil {
		err = s.checkAsker(&made)
	}
	if err == nil {
		f.privacy, err = s.request(ctx, &made)
	}
	if errors.Is(err, errAborted) {
		s.giveBack(f)
		return s.sync(syncFrame) // it has the error; a Query is answered to its end all the same
	}
	if err == nil {
		f.contents, f.lits = s.contentsOf(text, 0), made.lits
		err = s.admit(ctx, f, made.plan)
		f.lits = nil
	}
	if err != nil {
		return s.refuse(f, err, func(r *Refusal) { s.toS.Frame('Q', r.poison()) })
	}
	s.nameSteps(f, made.plan)
	s.takesUnnamed(f)
	s.expectData(f.by, made.plan)
	if err := s.push(f); err != nil {
		s.giveBack(f) // and end the request that it carries
		return err
	}
	if made.rewritten() {
		s.toS.Frame('Q', made.text(), []byte{0})
	} else {
		s.toS.Pass(frame)
	}
	s.askAhead()
	return nil
}

// refuse pushes a flight that the server will answer with an error, which ours
// replaces, and sends what makes it do so.
func (s *session) refuse(f *flight, err error, poison func(*Refusal)) error {
	if ended(err) {
		s.giveBack(f)
		return err
	}
	if f.privacy != nil {
		f.privacy.cancel()
	}
	r := s.asRefusal(err)
	f.refusal = r
	if err := s.recordRefusal(f); err != nil {
		// Nothing was let through that the log would have to hold.
		s.log.Error("a refusal could not be recorded", "id", r.ID, "err", err)
	}
	f.plan, f.privacy, f.naming, f.meter, f.leaks, f.opening, f.changes = nil, nil, nil, nil, nil, nil, nil
	switch {
	case f.unnamed:
		f.name(&s.statements, "", nil)
	case f.kind == flightQuery:
		s.takesUnnamed(f)
	}
	if err := s.push(f); err != nil {
		return err
	}
	poison(r) // the flight is the server half's
	return nil
}

// ended tells an error that is not about the statement from one that refuses it.
func ended(err error) bool {
	var f *fatal
	return errors.As(err, &f) || errors.Is(err, errWaits) || errors.Is(err, errSkipped) || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled)
}

func (s *session) copyEnd() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.copying {
		s.copying, s.queue.copies = false, nil
		return
	}
	s.queue.push(s.queue.take(flightCopyEnd))
}
