package proxy

import (
	"context"
	"errors"

	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// meter counts the rows that answer a flight against the limits of who asked.
// They are staged: no row leaves before it is counted. It is the server half's.
type meter struct {
	quota   *quota          // nil: no limits; the rows are looked into
	each    []*limits.Tally // of the statements of the text
	step    int             // the one that is answered
	query   *limits.Tally   // of that
	taking  limits.Taking
	own     limits.Verdict // of the rows that are staged, by the limits of the statement and the session
	judged  bool           // own is
	out     []byte         // what the client gets of them
	staged  []staged
	people  int             // in them
	touched []limits.Person // by a write that returns nothing
	long    bool            // the row that arrives is too long to be held, and counted
}

// staged is a row that waits to be counted.
type staged struct {
	end    int // of it in out
	before taken
}

// taken is what a naming has counted before a row.
type taken struct {
	rows, counted, unread, copied int64
	subjects                      int
}

const (
	stagedRows   = 512
	stagedBytes  = 64 << 10
	stagedPeople = 4 << 10
)

// newMeter makes a meter for a text whose statements have those tallies, as far as
// there are any.
func newMeter(q *quota, each ...*limits.Tally) *meter {
	m := &meter{quota: q, each: each, step: -1}
	m.next()
	return m
}

// next begins another statement of the same text.
func (m *meter) next() {
	if m == nil {
		return
	}
	m.step++
	if m.query = m.of(m.step); m.query == nil {
		m.query = &limits.Tally{}
	}
}

// of gives the tally of a statement of the text; nil when it has none of its own.
func (m *meter) of(step int) *limits.Tally {
	if m == nil || step >= len(m.each) {
		return nil
	}
	return m.each[step]
}

func (m *meter) full() bool {
	return len(m.staged) >= stagedRows || len(m.out) >= stagedBytes || m.people >= stagedPeople
}

// measures gives the flight whose rows are counted or kept back; nil when those
// that arrive are of another.
func (s *session) measures() *flight {
	if s.streaming != nil {
		return nil
	}
	if f := s.first(); f != nil && f.meter != nil && f.relays() {
		return f
	}
	return nil
}

// measureRows acts on the DataRows and CopyData of a flight that has a meter.
func (s *session) measureRows(ctx context.Context, f *flight) (need int, err error) {
	for {
		typ, size, ok, err := s.fromS.Head()
		if err != nil {
			return 0, newFatal("08P01", "the server: %w", err)
		}
		row := ok && (typ == 'D' || typ == 'd')
		long := row && f.tooLong(typ, size)
		full := f.naming != nil && f.naming.full()
		switch {
		case row && f.stopped != nil:
			return s.dropRow(size), nil
		case f.refuses():
			return 0, s.release(ctx, f)
		case len(f.meter.staged) > 0 && (!row || long || full || f.meter.full() || s.fromS.Buffered() < size):
			return 0, s.release(ctx, f)
		case !row:
			return 0, nil
		case full:
			return 0, s.nameSubjects(ctx, f, false)
		case long && !f.meter.long && !(f.leaks.long(size) && f.opening.long(size)):
			return 0, s.release(ctx, f)
		case long:
			return 0, s.measureLong(ctx, f, typ, size)
		case s.fromS.Buffered() < size:
			return size, nil
		}
		if err := s.readyDataKeys(ctx, f, typ, size); err != nil {
			return 0, err
		}
		if f.refuses() {
			continue
		}
		if f.logged && f.durable {
			s.audited = max(s.audited, f.seq+1)
		}
		if err := s.stage(f, typ, s.fromS.Take(size)); err != nil {
			return 0, err
		}
	}
}

// tooLong tells whether a row is passed on in parts, unread. One with columns to be
// taken off cannot be.
func (f *flight) tooLong(typ byte, size int) bool {
	return size > maxAnswer && !(f.naming != nil && typ == 'D' && f.naming.now().Hidden() > 0)
}

// dropRow takes a row off that the client does not get.
func (s *session) dropRow(size int) int {
	have := min(size, s.fromS.Buffered())
	s.fromS.Take(have)
	s.rest, s.passing = size-have, false
	return 0
}

// stage reads one row, and puts aside what the client gets of it.
func (s *session) stage(f *flight, typ byte, frame []byte) error {
	m, n := f.meter, f.naming
	frame, err := f.opened(s, typ, frame)
	if err != nil || frame == nil {
		s.staging = f
		return err
	}
	row := staged{before: n.taken()}
	counts := limits.Row{Times: 1}
	from := len(m.out)
	switch {
	case typ == 'd' && n != nil:
		n.copied++
		fallthrough
	case n == nil:
		m.out = append(m.out, frame...)
	default:
		end, shown, err := n.row(frame)
		if err != nil {
			return err
		}
		counts.Times = max(1, n.of)
		if err := s.recordImages(f, false); err != nil {
			return err
		}
		switch silent := n.now().Silent; {
		case silent && len(n.now().Charged) == 0:
			m.touch(s.srv, n.subjects[row.before.subjects:])
			return nil
		case !silent:
			m.out = appendRow(m.out, frame, end, shown)
		}
	}
	if f.leaks != nil && len(m.out) > from {
		kept, err := f.leaks.look(m.out[from:])
		if m.out = append(m.out[:from], kept...); err != nil || len(kept) == 0 {
			n.forget(row.before)
			s.staging = f
			return err
		}
	}
	counts.Bytes = max(0, int64(len(m.out)-from-wire.HeadLen))
	counts.People = s.peopleIn(f, typ, row.before)
	m.people += len(counts.People)
	row.end = len(m.out)
	s.staging = f
	m.staged = append(m.staged, row)
	m.taking.Rows = append(m.taking.Rows, counts)
	return nil
}

// touch notes whose rows a write changes, as long as those are few.
func (m *meter) touch(srv *Server, all []subject) {
	for _, sub := range all {
		if len(m.touched) < rewrite.Fewest {
			m.touched = append(m.touched, srv.person(sub))
		}
	}
}

// appendRow appends what the client gets of a row.
func appendRow(b, frame []byte, end, shown int) []byte {
	if end == len(frame) {
		return append(b, frame...)
	}
	return wire.AppendFrame(b, 'D', []byte{byte(shown >> 8), byte(shown)}, frame[wire.HeadLen+2:end])
}

func (n *naming) taken() taken {
	if n == nil {
		return taken{}
	}
	return taken{n.rows, n.counted, n.unread, n.copied, len(n.subjects)}
}

// forget takes back what was counted of rows that the client does not get.
func (n *naming) forget(t taken) {
	if n != nil {
		n.rows, n.counted, n.unread, n.copied = t.rows, t.counted, t.unread, t.copied
		n.subjects = n.subjects[:min(t.subjects, len(n.subjects))]
	}
}

// peopleIn gives the data subjects of whom a row tells that was just read: those
// whose keys are in it, and as many as it can tell of beside them.
func (s *session) peopleIn(f *flight, typ byte, before taken) (people []limits.Person) {
	n := f.naming
	if n == nil || f.meter.quota == nil {
		return nil
	}
	step, unread := n.now(), n.unread > before.unread
	if step.Counted && step.Statistic && n.of >= rewrite.Fewest {
		return nil
	}
	for _, sub := range n.subjects[before.subjects:] {
		people = append(people, s.srv.person(sub))
	}
	if n.lone && typ == 'D' {
		return people // and of nobody beside them
	}
	for _, r := range step.Charged {
		each := r.Each
		if typ == 'D' && !unread {
			each = max(0, each-n.known(r.Kind, step))
		}
		if r.Each == rewrite.AnyNumber {
			each = maxStrangers // where those are limited, the statement was refused
		}
		if typ == 'D' && step.Counted && !step.Whole {
			each *= n.of
		}
		people = append(people, strangers(r.Kind, each)...)
	}
	return people
}

// measureLong counts a row that is too long to be held, of which nobody reads
// whom it tells of.
func (s *session) measureLong(ctx context.Context, f *flight, typ byte, size int) error {
	m, n := f.meter, f.naming
	if !m.long {
		m.long = true
		row, counts := staged{before: n.taken()}, limits.Row{Times: 1, Bytes: int64(size - wire.HeadLen)}
		if n != nil {
			n.rows++
			n.unread++
			counts.People = s.peopleIn(f, typ, row.before)
		}
		m.staged, m.taking.Rows = append(m.staged, row), append(m.taking.Rows, counts)
		s.staging = f
		if err := s.release(ctx, f); err != nil || f.stopped != nil {
			return err
		}
	}
	m.long = false
	frame := s.fromS.Take(min(size, s.fromS.Buffered()))
	s.toC.Pass(frame)
	s.rest, s.passing = size-len(frame), true
	return nil
}

// release counts the rows that are staged and passes on those that the limits
// leave. What is beyond them stops the statement.
func (s *session) release(ctx context.Context, f *flight) error {
	m := f.meter
	if len(m.staged) == 0 {
		s.clearStage(f)
		if f.refuses() {
			s.stop(f, f.whyRefused())
		}
		return nil
	}
	v, err := s.measure(ctx, f)
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // the session has ended
	}
	if err != nil && !errors.Is(err, errWaits) {
		s.keepBack(f, 0)
		s.clearStage(f)
		s.stop(f, s.uncounted(err))
		return nil
	}
	if err != nil {
		return err
	}
	if v.Rows > 0 {
		s.toC.Copy(m.out[:m.staged[v.Rows-1].end])
	}
	f.rows += int64(v.Rows)
	for _, row := range m.taking.Rows[:v.Rows] {
		f.bytes += row.Bytes
	}
	if v.Rows < len(m.staged) {
		s.keepBack(f, v.Rows)
	}
	s.clearStage(f)
	switch {
	case v.Stopped != nil:
		s.stop(f, s.overLimit(v.Stopped))
	case f.refuses():
		s.stop(f, f.whyRefused())
	}
	return nil
}

// keepBack forgets the staged rows from the first that does not leave on.
func (s *session) keepBack(f *flight, from int) {
	if m := f.meter; from < len(m.staged) {
		f.naming.forget(m.staged[from].before)
	}
}

func (s *session) clearStage(f *flight) {
	m := f.meter
	m.out, m.staged, m.people, m.taking.Rows, m.judged = m.out[:0], m.staged[:0], 0, m.taking.Rows[:0], false
	s.staging = nil
}

// measure counts what is staged: by the limits of the statement and the session
// first, which need not be waited for, and what those leave over time.
func (s *session) measure(ctx context.Context, f *flight) (limits.Verdict, error) {
	m := f.meter
	t := &m.taking
	if m.quota == nil {
		return limits.Verdict{Rows: len(t.Rows)}, nil
	}
	if f.naming != nil {
		t.Clear = f.naming.now().Clear
	}
	if !m.judged {
		m.own = limits.Verdict{Rows: len(t.Rows)}
		m.narrow(m.query.Take(m.quota.query, t))
		t.Rows = t.Rows[:m.own.Rows]
		m.narrow(s.tally.Take(m.quota.session, t))
		t.Rows = t.Rows[:m.own.Rows]
		m.judged = true
		s.tell(f.by, m.own.Told)
	}
	t.Limits, t.Patient = m.quota.windows, !s.hurriedS
	v, err := s.srv.book.Take(ctx, t)
	if errors.Is(err, limits.ErrWaits) {
		return v, errWaits
	}
	if err != nil {
		return v, err
	}
	s.tell(f.by, v.Told)
	if v.Stopped == nil {
		v.Stopped = m.own.Stopped
	}
	return v, nil
}

// narrow takes over what further limits leave.
func (m *meter) narrow(v limits.Verdict) {
	m.own.Told = append(m.own.Told, v.Told...)
	if v.Stopped != nil {
		m.own.Rows, m.own.Stopped = v.Rows, v.Stopped
	}
}
