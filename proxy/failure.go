package proxy

import (
	"context"
	"slices"

	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// failed handles an error: it answers the flight at the head and, in the
// extended protocol, everything behind it up to the next Sync.
func (s *session) failed(ctx context.Context, f *flight, frame []byte) (bool, error) {
	if err := s.nameSubjects(ctx, f, true); err != nil {
		return false, err
	}
	fields, err := wire.Fields(frame)
	if err != nil {
		return false, newFatal("08P01", "the server: %w", err)
	}
	if err := s.chargeError(ctx, f, fieldOf(fields, wire.FieldCode)); err != nil {
		return false, err
	}
	if f.naming != nil {
		f.naming.ends(f.naming.rows + f.naming.copied)
	}
	f.failed = true
	f.state = fieldOf(fields, wire.FieldCode)
	if f.state == "0A000" || f.state == "26000" {
		s.mu.Lock()
		s.keeper.doubt = true
		s.mu.Unlock()
	}
	if f.probe != nil && f.state == "57014" { // it was meant for what the client sent
		f.probe.why = &rewrite.Refusal{Code: f.state, Message: fieldOf(fields, wire.FieldMessage)}
	}
	fatal := slices.Contains([]string{"FATAL", "PANIC"}, fieldOf(fields, wire.FieldSeverityUnlocalized))
	// An error of an own message that the client's depends on is the client's.
	pass := !f.own || fatal || f.probe == nil || f.probe.inline
	switch {
	case f.muted && !fatal:
		pass = false
	case f.stopped != nil && !fatal:
		f.state = f.stopped.Code
		s.toC.Frame('E', wire.AppendFields(nil, f.stopped.fields("ERROR")))
		pass = false
	case f.refusal != nil && !fatal:
		s.toC.Frame('E', wire.AppendFields(nil, f.refusal.fields("ERROR")))
		pass = false
	case pass:
		if edited := f.leaks.fields(fields, s.edit(f, fields)); edited != nil {
			s.toC.Frame('E', wire.AppendFields(nil, edited))
			pass = false
		}
	}
	if err := s.recordOutcome(f); err != nil {
		return false, newFatal("58030", "the access log cannot be written: %w", err)
	}
	f.logged = false
	if err := s.recordPassedOver(s.fall(f, fatal)); err != nil {
		return false, newFatal("58030", "the access log cannot be written: %w", err)
	}
	return pass, nil
}

// fall notes what an error does to the session. It gives the records of the
// statements that the server passes over because of it.
func (s *session) fall(f *flight, fatal bool) (passedOver []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copying = false
	s.parting = s.parting || fatal
	if f.probe != nil {
		f.probe.failed, s.probeLeft = true, true // what it has parsed stays until it is closed
	}
	if f.kind == flightQuery || f.kind == flightCall || f.kind == flightSync {
		f.undo()
		return nil
	}
	if f.kind == flightParse {
		f.loseUnnamed()
	}
	return s.skip()
}

// skip takes out of the queue what the server passes over after an error, and
// gives the records that were made of it.
func (s *session) skip() (passedOver []uint64) {
	for s.queue.n > 0 {
		f := s.queue.at(0)
		if f.kind == flightSync {
			s.settled.Broadcast()
			return passedOver
		}
		if f.probe != nil {
			f.probe.done, f.probe.skipped = true, true
		}
		if f.logged && !f.again && f.refusal == nil {
			passedOver = append(passedOver, f.seq)
		}
		f.done = beforeAll // not even that
		f.undo()
		s.queue.pop()
	}
	s.skipping = true
	s.settled.Broadcast()
	return passedOver
}

// edit gives the fields to send in place of an error's or notice's own, nil
// when those may pass.
func (s *session) edit(f *flight, fields []wire.Field) []wire.Field {
	switch p := f.plan; {
	case s.open(p):
		return nil
	case tellsOfRows(p):
		return redact(fields, runs(f) && (p == nil || f.meter != nil && f.meter.quota != nil || p.Has(rewrite.Writes|rewrite.Executes|rewrite.Ends)))
	case p.Changed:
		return withoutPosition(fields)
	default:
		return nil
	}
}

// runs tells whether the server does anything with rows for a flight, rather
// than read or plan what the client sent.
func runs(f *flight) bool {
	return f.kind != flightParse && f.kind != flightBind && f.kind != flightDescribe && f.kind != flightClose
}

// open tells whether the answers to a plan may pass as they are, because its
// caller has no restrictions or none are enforced.
func (s *session) open(p *rewrite.Plan) bool {
	if p != nil {
		return free(p.Access)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free
}

// tellsOfRows tells whether errors and notices of a plan can speak of governed
// rows: it touches them, or it ends a transaction, when deferred constraints
// and triggers have their say. A Sync without a plan can be such an end.
func tellsOfRows(p *rewrite.Plan) bool {
	return p == nil || p.Governed || p.Has(rewrite.Executes|rewrite.Fetches|rewrite.Ends)
}

// notice passes a notice on. Those that come with governed data are withheld
// from callers with restrictions: a trigger or function may put any value in
// them, and how many there are may tell of rows.
func (s *session) notice(f *flight, frame []byte) (bool, error) {
	if f.own {
		return false, nil
	}
	if !s.open(f.plan) && tellsOfRows(f.plan) {
		return false, nil
	}
	if f.leaks == nil {
		return true, nil
	}
	fields, err := wire.Fields(frame)
	if err != nil {
		return false, newFatal("08P01", "the server: %w", err)
	}
	edited := f.leaks.fields(fields, nil)
	if edited != nil {
		s.toC.Frame('N', wire.AppendFields(nil, edited))
	}
	return edited == nil, nil
}

func fieldOf(fields []wire.Field, typ byte) string {
	for _, f := range fields {
		if f.Type == typ {
			return f.Value
		}
	}
	return ""
}
