package proxy

import (
	"context"
	"errors"
	"io"

	"github.com/pgveil/pgveil/proxy/wire"
)

// maxAnswer bounds answers that are looked into: errors, notices, parameters.
const maxAnswer = 16 << 20

// stepServer acts on the next message of the server's. need and errWaits are as
// stepClient has them.
func (s *session) stepServer(ctx context.Context) (need int, err error) {
	if s.rest > 0 {
		return s.passRestOn(), nil
	}
	typ, n, ok, err := s.fromS.Head()
	if err != nil {
		return 0, newFatal("08P01", "the server: %w", err)
	}
	if s.staging != nil {
		return 0, s.release(ctx, s.staging)
	}
	if !ok {
		return wire.HeadLen, nil
	}
	if typ == 'D' || typ == 'd' {
		if f := s.measures(); f != nil {
			return s.measureRows(ctx, f)
		}
	}
	if s.streaming != nil && (typ == 'D' || typ == 'd') && s.passRows(typ) {
		return 0, nil
	}
	if typ == 'D' && s.streaming == nil {
		if f := s.first(); f != nil && f.naming != nil {
			return s.takeRows(ctx, f)
		}
	}
	want, err := s.serverWants(typ, n)
	if err != nil {
		return 0, err
	}
	if s.fromS.Buffered() < want {
		return want, nil
	}
	have := min(n, s.fromS.Buffered())
	frame := s.fromS.Take(have)
	pass, err := s.fromServer(ctx, typ, frame, n)
	if errors.Is(err, errWaits) {
		s.fromS.Untake(have)
		return 0, err
	}
	if err != nil {
		return 0, err
	}
	if pass {
		s.toC.Pass(frame)
	}
	s.rest, s.passing = n-have, pass
	return 0, nil
}

// serverWants tells how much of a frame must be there to act on it: rows and
// results nobody looks into.
func (s *session) serverWants(typ byte, n int) (int, error) {
	if (typ == 'D' || typ == 'd' || typ == 'V') && !s.answersProbe(typ) {
		return wire.HeadLen, nil
	}
	if n > maxAnswer && typ != 'T' {
		return 0, newFatal("08P01", "the server sent a message %q of %d bytes", typ, n)
	}
	return n, nil
}

// passRestOn passes to the client, or drops, what has come of a message whose
// beginning was acted on.
func (s *session) passRestOn() (need int) {
	part := s.fromS.Take(min(s.rest, s.fromS.Buffered()))
	s.rest -= len(part)
	if s.passing {
		s.toC.Pass(part)
	}
	return min(s.rest, 1)
}

// passRows passes on the rows that are there as a whole, behind another row of
// the same answer. It tells whether there were any.
func (s *session) passRows(typ byte) bool {
	f := s.streaming
	rows, n := s.fromS.Run(typ)
	f.rows += int64(n)
	f.bytes += int64(len(rows) - n*wire.HeadLen)
	if f.naming != nil {
		f.naming.copied += int64(n)
	}
	if typ == 'd' || f.relays() {
		s.toC.Pass(rows)
	}
	return n > 0
}

// answersProbe tells whether a row is for the proxy itself, which reads it.
func (s *session) answersProbe(typ byte) bool {
	if typ != 'D' || s.streaming != nil {
		return false
	}
	f := s.first()
	return f != nil && f.probe != nil
}

// serverGone tells the client, in the SQLSTATE for it, that the server is.
func (s *session) serverGone(err error) error {
	if reason := s.reason(); reason != nil {
		return reason
	}
	s.mu.Lock()
	expected := s.parting
	s.mu.Unlock()
	if expected {
		return io.EOF
	}
	return newFatal("08006", "the connection to the server was lost: %w", err)
}

// flushAnswers sends what the client is to get, once what the access log must
// hold of it is durable.
func (s *session) flushAnswers(ctx context.Context) error {
	s.tellProgress()
	if !s.toC.Pending() {
		return nil
	}
	err := s.gate(ctx)
	if errors.Is(err, errWaits) {
		return err
	}
	if err != nil {
		return newFatal("58030", "the access log cannot be made durable: %w", err)
	}
	if err := s.toC.Flush(); err != nil {
		return err
	}
	if s.leaving.Load() && s.idle() {
		return errShutdown
	}
	if s.hurriedS {
		return nil
	}
	return s.via.drained() // who makes up answers makes no more of them than the client takes
}

// tellProgress lets others see how many rows there were of the answer at hand.
func (s *session) tellProgress() {
	rows := int64(0)
	if s.streaming != nil {
		rows = s.streaming.rows
	}
	if s.sent.Load() != rows {
		s.sent.Store(rows)
	}
}

// fromServer acts on one backend message. n is its whole length. pass tells
// whether the client gets it as it is.
func (s *session) fromServer(ctx context.Context, typ byte, frame []byte, n int) (pass bool, err error) {
	switch typ {
	case 'A':
		return s.notification(frame)
	case 'S':
		return true, s.parameter(frame)
	case 'Z':
		return s.ready(ctx, frame)
	}
	f := s.streaming // rows follow rows: no need to look for what they answer
	if f == nil || typ != 'D' && typ != 'd' {
		f = s.first()
	}
	s.streaming = nil
	if f == nil {
		return s.unasked(typ)
	}
	if f.logged && f.durable {
		s.audited = max(s.audited, f.seq+1)
	}
	if f.stopped != nil {
		if done, err := s.stopsShort(ctx, f, typ); done || err != nil {
			return false, err
		}
	}
	switch typ {
	case 'D':
		f.rows++
		f.bytes += int64(n - wire.HeadLen)
		if f.probe != nil {
			return false, f.probe.collect(frame)
		}
		s.streaming = f
		return f.relays(), nil
	case 'd':
		f.rows++
		f.bytes += int64(n - wire.HeadLen)
		if f.naming != nil {
			f.naming.copied++
		}
		s.streaming = f
		return true, nil
	case 'T', 't', 'n':
		return s.described(f, typ, frame)
	case '1', '2', '3':
		return s.acknowledged(f, typ)
	case 'C', 'I', 's':
		return s.completed(ctx, f, typ, frame)
	case 'E':
		return s.failed(ctx, f, frame)
	case 'N':
		return s.notice(f, frame)
	case 'G':
		s.copyIn()
		return true, nil
	case 'c':
		return s.copyRest(f) && s.copyEnds(f), nil
	case 'H':
		if f.leaks != nil {
			f.leaks.copying = copyOut{binary: copyFormat(frame)}
		}
		return true, nil
	case 'W', 'V':
		return true, nil
	default:
		return false, newFatal("08P01", "the server sent a message of type %q, which is not part of the protocol here", typ)
	}
}

func (s *session) first() *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.first()
}

func (s *session) pop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.pop()
	s.settled.Broadcast()
}

func (s *session) described(f *flight, typ byte, frame []byte) (bool, error) {
	pass := !f.own
	said := frame
	var err error
	switch {
	case typ == 'T' && f.opening != nil:
		frame, err = f.opening.describes(said)
	case typ == 't' && f.sealed != nil:
		frame, err = describesParams(f.sealed.plan, f.sealed.params, said)
	}
	if err == nil && typ == 'T' {
		err = f.describes(frame)
	}
	if err != nil {
		return false, err
	}
	if typ == 'T' && f.naming != nil {
		shown, err := f.naming.describe(frame[wire.HeadLen:])
		if err != nil {
			return false, err
		}
		if pass && len(shown) != len(frame)-wire.HeadLen {
			pass = false
			s.describeShown(f, shown)
		}
	}
	if pass && &frame[0] != &said[0] {
		pass = false
		s.toC.Copy(frame)
	}
	if f.kind == flightDescribe && typ != 't' {
		s.pop()
	}
	return pass, nil
}

// describeShown describes to the client what it gets of an answer's rows.
func (s *session) describeShown(f *flight, shown []byte) {
	switch {
	case shown != nil:
		s.toC.Frame('T', shown)
	case f.kind == flightDescribe:
		s.toC.Frame('n')
	}
}

func (s *session) acknowledged(f *flight, typ byte) (bool, error) {
	want := flightClose
	switch {
	case typ == '1' || f.standIn:
		want = flightParse
	case typ == '2':
		want = flightBind
	}
	if f.kind != want || f.standIn && typ != '3' {
		return false, newFatal("08P01", "the server sent a message of type %q out of turn", typ)
	}
	own := f.own
	if f.standIn {
		s.toC.Frame('1')
		own = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.last {
		f.probe.done, s.probeLeft = true, false
	}
	s.queue.pop()
	s.settled.Broadcast()
	return !own, nil
}

// completed handles the end of a statement, or of what a portal was asked for.
func (s *session) completed(ctx context.Context, f *flight, typ byte, frame []byte) (bool, error) {
	own := f.own
	if f.kind == flightExecute {
		if err := s.nameSubjects(ctx, f, true); err != nil {
			return false, err
		}
	}
	if err := s.chargeCount(ctx, f); err != nil {
		return false, err
	}
	if f.privacy != nil {
		if s.hurriedS {
			return false, errWaits
		}
		own = true
		if err := s.fulfil(ctx, f); err != nil {
			return false, err
		}
	}
	if typ == 'C' {
		b := wire.BodyOf(frame)
		if tag := b.String(); string(tag) != s.tag {
			s.tag = string(tag)
		}
		s.took(f, s.tag)
	}
	if f.naming != nil {
		f.naming.completed(typ, s.tag)
	}
	if f.kind == flightQuery {
		f.meter.next()
		f.opening.next()
		return !own, nil // its outcome comes with ReadyForQuery
	}
	if f.kind != flightExecute {
		return false, newFatal("08P01", "the server sent a message of type %q out of turn", typ)
	}
	if err := s.recordOutcome(f); err != nil {
		return false, newFatal("58030", "the access log cannot be written: %w", err)
	}
	s.pop()
	return !own, nil
}

// copyIn notes that the server takes in data: a Sync sent before the data's
// end is passed over. There is one only behind what nobody took for a COPY.
func (s *session) copyIn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copying = true
	s.settled.Broadcast()
	for i := 1; i < s.queue.n; {
		switch s.queue.at(i).kind {
		case flightCopyEnd:
			s.queue.remove(i)
			s.copying = false
			return
		case flightSync:
			s.queue.remove(i)
		default:
			i++
		}
	}
}

// ready handles ReadyForQuery: a text or a Sync is answered.
func (s *session) ready(ctx context.Context, frame []byte) (bool, error) {
	b := wire.BodyOf(frame)
	status := b.Byte()
	if s.calling.Load() {
		if err := s.called(s.hurriedS); err != nil {
			return false, err
		}
	}
	f := s.first()
	if f == nil || f.kind != flightSync && f.kind != flightQuery && f.kind != flightCall || b.Err() != nil {
		return false, newFatal("08P01", "the server sent ReadyForQuery out of turn")
	}
	if f.kind != flightSync && !f.failed {
		if err := s.nameSubjects(ctx, f, true); err != nil {
			return false, err
		}
		if f.kind == flightCall && f.naming != nil {
			f.naming.ends(1)
		}
		if err := s.recordOutcome(f); err != nil {
			return false, newFatal("58030", "the access log cannot be written: %w", err)
		}
	}
	own := f.own
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.pop()
	s.tx = status
	s.block = status != 'I' && (s.block || s.queue.n == 0)
	s.copying = false
	if s.oneShot && status == 'I' {
		s.doubt = true // its transaction is over
	}
	if s.unsettled {
		s.doubt = s.doubt || status != 'T' && !own   // a block that goes on keeps what was set in it
		s.unsettled = status != 'I' || s.queue.n > 0 // what is not answered yet may have changed some
	}
	if status == 'I' && s.queue.n == 0 {
		s.portals.endTransaction()
	}
	if s.ddl && status == 'I' {
		s.ddl = false
		if !s.foreign {
			s.srv.enforcer.invalidate()
		}
	}
	s.settled.Broadcast()
	return !own, nil
}
