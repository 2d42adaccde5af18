package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

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
			if err := s.fromC.Fill(want); err == io.EOF {
				// It may only have nothing more to say: what it asked for is answered.
				s.toS.Frame('X')
				return s.terminate()
			} else if err != nil {
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
var noParams = []byte{0, 0}

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

// meaning gives what a name stands for when the next message gets to the
// server; nil when nothing. Where that hangs on answers that are not here, it
// waits for them: a Parse whose name is taken leaves the name as it was, and
// what it was may be made for another purpose.
func (s *session) meaning(n *names, name []byte) (*named, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if free(s.plans.Access) || !n.uncertain(name, s.batch) {
		return n.get(name), nil
	}
	s.mu.Unlock()
	err := s.toS.Flush()
	s.mu.Lock()
	for err == nil && s.ended == nil && n.uncertain(name, s.batch) {
		s.settled.Wait()
	}
	return n.get(name), errors.Join(err, s.ended)
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

func (s *session) parse(ctx context.Context, frame []byte) error {
	b := wire.BodyOf(frame)
	name, text := b.String(), b.String()
	if b.Err() != nil {
		return newFatal("08P01", "malformed Parse message")
	}
	f := s.take(flightParse)
	made, err := s.make(ctx, text)
	if err != nil {
		return s.refuse(f, err, func(r *Refusal) { s.toS.Frame('P', wire.CString(string(name)), r.poison(), []byte{0, 0}) })
	}
	st := &named{plan: made.plan, privacy: made.privacy, asked: s.keepText(made.plan, text)}
	if params := b.Rest(); !bytes.Equal(params, noParams) {
		st.params = bytes.Clone(params)
	}
	f.name(&s.statements, string(name), st)
	if err := s.push(f); err != nil {
		return err
	}
	if st.plan.Changed {
		s.toS.Frame('P', name, []byte{0}, made.text(), []byte{0}, b.Rest())
		return nil
	}
	s.toS.Pass(frame)
	return nil
}

func (s *session) bind(ctx context.Context, frame []byte) error {
	b := wire.BodyOf(frame)
	portal, name := b.String(), b.String()
	if b.Err() != nil {
		return newFatal("08P01", "malformed Bind message")
	}
	f := s.take(flightBind)
	st, err := s.current(ctx, name)
	if err != nil {
		if err := s.refuse(f, err, func(r *Refusal) {
			s.toS.Frame('B', []byte{0}, r.poisonName(), []byte{0, 0, 0, 0, 0, 0})
		}); err != nil {
			return err
		}
		return s.discard()
	}
	if st != nil {
		f.name(&s.portals, string(portal), &named{plan: st.plan, privacy: st.privacy})
	}
	if err := s.push(f); err != nil {
		return err
	}
	return s.relay(frame)
}

// keepText gives the text of a statement that may have to be planned again.
func (s *session) keepText(p *rewrite.Plan, text []byte) string {
	switch {
	case free(p.Access):
		return ""
	case p.Text != "":
		return p.Text // held by the plan cache already
	default:
		return string(text)
	}
}

// current gives the prepared statement of that name, as it must be for who is
// asking now: one that was planned for another access, or by a policy that is
// no longer in force, is planned and prepared again.
func (s *session) current(ctx context.Context, name []byte) (*named, error) {
	st, err := s.meaning(&s.statements, name)
	if err != nil {
		return nil, err
	}
	if st == nil {
		if free(s.plans.Access) {
			return nil, nil // the server knows what to say
		}
		return nil, &rewrite.Refusal{Code: "26000", Message: fmt.Sprintf("prepared statement %q does not exist", name)}
	}
	if err := s.settle(ctx, nil); err != nil {
		return nil, err
	}
	if free(s.plans.Access) || st.plan.Access == s.plans.Access || st.plan.Access.ID == s.plans.Access.ID {
		return st, nil
	}
	if st.bySQL {
		return nil, &rewrite.Refusal{Code: "42501", Message: fmt.Sprintf("prepared statement %q was made for another role or purpose, or under another policy", name), Hint: "prepare it again"}
	}
	return s.prepareAgain(ctx, name, st)
}

func (s *session) prepareAgain(ctx context.Context, name []byte, st *named) (*named, error) {
	again, err := s.make(ctx, []byte(st.asked))
	if err != nil {
		return nil, err
	}
	fresh := &named{plan: again.plan, privacy: again.privacy, asked: st.asked, params: st.params}
	params := st.params
	if params == nil {
		params = noParams
	}
	closing, parsing := s.take(flightClose), s.take(flightParse)
	closing.own, parsing.own = true, true
	parsing.name(&s.statements, string(name), fresh)
	if err := s.push(closing, parsing); err != nil {
		return nil, err
	}
	s.toS.Frame('C', []byte{'S'}, name, []byte{0})
	s.toS.Frame('P', name, []byte{0}, again.text(), []byte{0}, params)
	return fresh, nil
}

func (s *session) describe(frame []byte) error {
	b := wire.BodyOf(frame)
	kind, name := b.Byte(), b.String()
	if b.Err() != nil || kind != 'S' && kind != 'P' {
		return newFatal("08P01", "malformed Describe message")
	}
	f := s.take(flightDescribe)
	if err := s.known(kind, name); err != nil {
		return s.refuse(f, err, func(r *Refusal) { s.toS.Frame('D', []byte{kind}, r.poisonName()) })
	}
	if err := s.push(f); err != nil {
		return err
	}
	s.toS.Pass(frame)
	return nil
}

// known refuses names that a caller with restrictions has not defined through
// the proxy: whatever they are, nobody planned them.
func (s *session) known(kind byte, name []byte) error {
	if free(s.plans.Access) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind == 'S' && s.statements.get(name) == nil {
		return &rewrite.Refusal{Code: "26000", Message: fmt.Sprintf("prepared statement %q does not exist", name)}
	}
	if kind == 'P' && s.portals.get(name) == nil {
		return &rewrite.Refusal{Code: "34000", Message: fmt.Sprintf("portal %q does not exist", name)}
	}
	return nil
}

func (s *session) execute(ctx context.Context, frame []byte) error {
	b := wire.BodyOf(frame)
	name := b.String()
	b.Int32()
	if b.Err() != nil {
		return newFatal("08P01", "malformed Execute message")
	}
	f := s.take(flightExecute)
	p, err := s.openPortal(ctx, name)
	if err == nil && p != nil {
		err = s.checkNames(p.plan)
	}
	if err == nil && p != nil {
		f.privacy, err = s.request(ctx, p)
		f.seq, f.logged = p.seq, p.logged
		if err == nil && !p.logged {
			err = s.admit(ctx, f, p.plan)
		}
		f.plan = p.plan
	}
	if err != nil {
		return s.refuse(f, err, func(r *Refusal) { s.toS.Frame('E', r.poisonName(), []byte{0, 0, 0, 0}) })
	}
	if p != nil {
		p.seq, p.logged = f.seq, f.logged
		s.nameSteps(f, p.plan)
	}
	if err := s.push(f); err != nil {
		return err
	}
	s.toS.Pass(frame)
	return nil
}

// openPortal finds the portal to execute. One that was bound for another role
// or purpose stays closed.
func (s *session) openPortal(ctx context.Context, name []byte) (*named, error) {
	p, err := s.meaning(&s.portals, name)
	if err != nil || free(s.plans.Access) {
		return p, err
	}
	if p == nil {
		return nil, &rewrite.Refusal{Code: "34000", Message: fmt.Sprintf("portal %q does not exist", name)}
	}
	if err := s.settle(ctx, nil); err != nil {
		return nil, err
	}
	if p.plan.Access.ID != s.plans.Access.ID {
		return nil, refuseOtherAccess("portal", name)
	}
	return p, nil
}

func refuseOtherAccess(what string, name []byte) error {
	return &rewrite.Refusal{Code: "42501", Message: fmt.Sprintf("%s %q was opened for another role or purpose, or under another policy", what, name), Hint: "open it again"}
}

func (s *session) close(frame []byte) error {
	b := wire.BodyOf(frame)
	kind, name := b.Byte(), b.String()
	if b.Err() != nil || kind != 'S' && kind != 'P' {
		return newFatal("08P01", "malformed Close message")
	}
	f := s.take(flightClose)
	if kind == 'S' {
		f.name(&s.statements, string(name), nil)
	} else {
		f.name(&s.portals, string(name), nil)
	}
	if err := s.push(f); err != nil {
		return err
	}
	s.toS.Pass(frame)
	return nil
}

func (s *session) sync(frame []byte) error {
	s.mu.Lock()
	s.skipping = false
	s.mu.Unlock()
	if err := s.push(s.take(flightSync)); err != nil {
		return err
	}
	s.toS.Pass(frame)
	return nil
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

// checkNames refuses EXECUTE and FETCH of what was made for another access.
func (s *session) checkNames(p *rewrite.Plan) error {
	if free(s.plans.Access) || !p.Has(rewrite.Executes|rewrite.Fetches|rewrite.Ends) {
		return nil
	}
	s.mu.Lock()
	unsettled := s.unsettled
	s.mu.Unlock()
	if unsettled && len(p.Steps) > 1 && p.Has(rewrite.Ends) {
		return &rewrite.Refusal{Code: "0A000", Message: "what follows the end of the transaction in the same text depends on settings that end with it", Hint: "send the statements one by one"}
	}
	for _, step := range p.Steps {
		what, known := "prepared statement", &s.statements
		switch {
		case step.Effect&rewrite.Executes != 0:
		case step.Effect&rewrite.Fetches != 0:
			what, known = "cursor", &s.portals
		default:
			continue
		}
		made, err := s.meaning(known, []byte(step.Name))
		if err != nil {
			return err
		}
		if made == nil && !madeBefore(p, step) {
			return &rewrite.Refusal{Code: "26000", Message: fmt.Sprintf("%s %q does not exist", what, step.Name)}
		}
		if made != nil && made.plan.Access.ID != s.plans.Access.ID {
			return refuseOtherAccess(what, []byte(step.Name))
		}
	}
	return nil
}

// madeBefore tells whether the same text makes the name that a step uses.
func madeBefore(p *rewrite.Plan, use rewrite.Step) bool {
	for _, step := range p.Steps {
		if step == use {
			return false
		}
		if step.Name == use.Name && step.Effect&(rewrite.Prepares|rewrite.Declares) != 0 {
			return true
		}
	}
	return false
}

// nameSteps notes what a text's PREPARE and DECLARE name, and that it may
// change settings.
func (s *session) nameSteps(f *flight, p *rewrite.Plan) {
	f.plan = p
	if p == nil || !p.Has(rewrite.Prepares|rewrite.Declares|rewrite.Forgets|rewrite.Settings|rewrite.Resets|rewrite.Ends) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, step := range p.Steps {
		s.nameStep(f, p, i)
		if step.Effect&(rewrite.Settings|rewrite.Resets) != 0 {
			s.doubt, s.unsettled = true, true
		}
		if step.Effect&rewrite.Ends != 0 {
			s.block = false
			s.doubt = s.doubt || s.unsettled
		}
	}
}

// nameStep notes what one statement of a text does to names.
func (s *session) nameStep(f *flight, p *rewrite.Plan, i int) {
	made := &named{plan: p, bySQL: true}
	switch step := p.Steps[i]; {
	case step.Effect&rewrite.Prepares != 0:
		f.nameAt(i, &s.statements, step.Name, made)
	case step.Effect&rewrite.Declares != 0:
		f.nameAt(i, &s.portals, step.Name, made)
	case step.Effect&rewrite.Resets != 0:
		f.forgetAt(i, &s.statements)
		f.forgetAt(i, &s.portals)
	case step.Effect&rewrite.Forgets != 0 && step.Name == "":
		f.forgetAt(i, &s.statements)
	case step.Effect&rewrite.Forgets != 0:
		f.nameAt(i, &s.statements, step.Name, nil)
	}
}
