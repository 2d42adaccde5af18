package proxy

import (
	"cmp"
	"context"
	"slices"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/rewrite"
)

// namedAtOnce is how many subjects are collected before the log is told of them.
const namedAtOnce = 1000

// naming finds out whose rows the answer to a flight returns or changes, and
// takes off the columns that are there for that alone. It is the server half's.
type naming struct {
	engine  *rewrite.Engine
	steps   []*rewrite.Naming // of the statements of the text; nil for one that is about nobody
	desc    *description      // of the extended protocol
	formats []int16           // what Bind says of the client's columns
	odd     bool              // what Bind says of them is not known
	utf8    bool              // what the client gets is

	step     int     // the statement that is being answered
	layout   *layout // of its rows; nil: not known
	reading  bool    // readable is what there is to read
	readable []keyColumn
	rows     int64
	counted  int64    // what its rows say that they were made of
	of       int64    // what the last row says of it
	lone     bool     // the last row was made of one subject's alone, who is known
	here     []rowKey // of the last row, each once
	absent   []string // the kinds of its keys that are NULL
	unread   int64    // rows of which a key was not read
	copied   int64    // messages of COPY: a row each at most

	subjects []subject                  // collected
	seen     map[string]map[string]bool // the same: kinds, keys
	met      int                        // how many there were, all together
	only     subject                    // one of them
	pictures pictures
	unnamed  []audit.Unnamed
	named    []string // of subjects, for the outcome
	trap     *trap    // nil: no record is planted
}

// rowKey is the key of a subject, in a row.
type rowKey struct {
	kind string
	text []byte
}

// description is what the server said of a prepared statement's rows, for all
// who execute it.
type description struct {
	layout *layout
	types  []uint32 // of the columns
}

// layout says where in the client's columns keys of subjects are.
type layout struct{ keys []keyColumn }

type keyColumn struct {
	at     int
	kinds  []string
	typ    uint32
	format int16 // of a text or a portal; Bind says that of others
}

// newDescription gives room for what the server will say of a statement's rows;
// nil where nobody asks.
func newDescription(p *rewrite.Plan) *description {
	if p == nil || len(p.Subjects) == 0 && !scanned(p) && p.Seals == nil {
		return nil
	}
	return &description{}
}

// namingOfNamed gives what Describe needs of a prepared statement or portal.
func (s *session) namingOfNamed(kind byte, name []byte) *naming {
	s.mu.Lock()
	of := &s.statements
	if kind == 'P' {
		of = &s.portals
	}
	made := of.get(name)
	s.mu.Unlock()
	if made == nil || made.desc == nil {
		return nil
	}
	n := s.newNaming(made.plan)
	n.boundAs(made)
	return n
}

// boundAs takes over what is known of a portal.
func (n *naming) boundAs(p *named) {
	if n != nil {
		n.desc, n.formats, n.odd = p.desc, p.formats, p.odd
	}
}

// nobody is the naming of a statement that is about nobody.
var nobody = &rewrite.Naming{}

// now gives how the subjects of the statement are named that is being answered.
func (n *naming) now() *rewrite.Naming {
	if n.step < len(n.steps) && n.steps[n.step] != nil {
		return n.steps[n.step]
	}
	return nobody
}

// newNaming prepares for the answer to a plan that is about to be sent. It gives
// nil where there is nothing to find out.
func (s *session) newNaming(p *rewrite.Plan) *naming {
	if p == nil || s.foreign || len(p.Subjects) == 0 {
		return nil
	}
	n := &naming{engine: s.engine, steps: p.Subjects, utf8: s.inUTF8(), trap: s.newTrap()}
	if p.Has(rewrite.Executes | rewrite.Fetches) {
		n.steps = s.stepsMade(p)
	}
	if !slices.ContainsFunc(n.steps, func(step *rewrite.Naming) bool { return step != nil }) {
		return nil
	}
	return n
}

func (s *session) inUTF8() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.encoding == "UTF8"
}

// stepsMade gives the namings of a text in which EXECUTE and FETCH stand for
// what was made with the names, by the text itself at last.
func (s *session) stepsMade(p *rewrite.Plan) []*rewrite.Naming {
	s.mu.Lock()
	defer s.mu.Unlock()
	steps := slices.Clone(p.Subjects)
	for i, step := range p.Steps {
		of, effect := &s.statements, rewrite.Prepares
		switch {
		case i >= len(steps) || writesCurrent(step) || step.Command == "EXPLAIN":
			continue
		case step.Effect&rewrite.Executes != 0:
		case step.Effect&rewrite.Fetches != 0:
			of, effect = &s.portals, rewrite.Declares
		default:
			continue
		}
		anybody := []rewrite.Reached{{Kind: rewrite.AnyKind, Each: rewrite.AnyNumber}}
		steps[i] = &rewrite.Naming{Reached: anybody, Charged: anybody}
		if j := lastMade(p.Steps[:i], effect, step.Name); j >= 0 {
			steps[i] = p.Subjects[j]
		} else if made := of.get([]byte(step.Name)); made != nil {
			steps[i] = p.Subjects[i]
			if j := max(0, lastMade(made.plan.Steps, effect, step.Name)); j < len(made.plan.Subjects) {
				steps[i] = made.plan.Subjects[j]
			}
		}
	}
	return steps
}

// lastMade gives the last of some steps that makes a name; -1 when none does.
func lastMade(steps []rewrite.Step, effect rewrite.Effect, name string) int {
	for i, step := range slices.Backward(steps) {
		if step.Effect&effect != 0 && step.Name == name {
			return i
		}
	}
	return -1
}

// hiding gives how the subjects of the only statement of a plan are named, by
// which the client did not ask for some columns, or for no rows at all.
func (s *session) hiding(p *rewrite.Plan) *rewrite.Naming {
	if p == nil || len(p.Subjects) != 1 {
		return nobody
	}
	steps := p.Subjects
	if p.Has(rewrite.Executes | rewrite.Fetches) {
		steps = s.stepsMade(p)
	}
	return cmp.Or(steps[0], nobody)
}

// completed notes that a message of that type ended a statement, with the tag
// that CommandComplete has.
func (n *naming) completed(typ byte, tag string) {
	n.unpictured(typ, tag)
	rows := n.rows
	if typ == 'C' {
		rows = max(rows, tagRows(tag))
	}
	if n.now().Uncounted {
		rows = max(rows, 1)
	}
	n.ends(rows)
}

// ends notes the end of a statement, or of what a portal was asked for, which
// returned or changed so many rows.
func (n *naming) ends(rows int64) {
	step, keys := n.now(), n.keys()
	if step.Counted {
		rows = n.counted
	}
	for _, r := range step.Reached {
		n.leaves(r, rows, n.covered(r.Kind, step, keys))
	}
	n.rows, n.counted, n.unread, n.copied, n.layout, n.reading, n.readable = 0, 0, 0, 0, nil, false, nil
	n.step++
}

// covered tells how many subjects of a kind were read off a row.
func (n *naming) covered(kind string, step *rewrite.Naming, keys []keyColumn) (covered int64) {
	for _, added := range step.Added {
		if added == kind {
			covered++
		}
	}
	for _, k := range keys {
		if slices.Contains(k.kinds, kind) {
			covered++
		}
	}
	return covered
}

// known tells how many subjects of a kind that the last row may tell of are known:
// those whom it names, each once, for two columns may name one and the row tell of
// another; and those whom an outer join did not find, where NULL says so.
func (n *naming) known(kind string, step *rewrite.Naming) (known int64) {
	for _, k := range n.here {
		if k.kind == kind {
			known++
		}
	}
	for _, of := range n.absent {
		if of == kind && !step.Tied {
			known++
		}
	}
	return known
}

// leaves notes how many subjects were not named.
func (n *naming) leaves(r rewrite.Reached, rows, covered int64) {
	most := rows*max(0, r.Each-covered) + n.unread*min(r.Each, covered)
	switch {
	case rows == 0:
		return
	case r.Each == rewrite.AnyNumber || most < 0: // more than can be counted
		most = audit.AnyNumber
	case most == 0:
		return
	}
	n.leave(r.Kind, most)
}

func (n *naming) leave(kind string, most int64) {
	i := slices.IndexFunc(n.unnamed, func(u audit.Unnamed) bool { return u.Kind == kind })
	switch {
	case i < 0:
		n.unnamed = append(n.unnamed, audit.Unnamed{Kind: kind, AtMost: most})
	case most == audit.AnyNumber || n.unnamed[i].AtMost == audit.AnyNumber:
		n.unnamed[i].AtMost = audit.AnyNumber
	default:
		n.unnamed[i].AtMost = max(audit.AnyNumber, n.unnamed[i].AtMost+most)
	}
}

// nameSubjects finds the names of the subjects collected, and writes into the
// log those that an outcome has no room for. Where names cannot be had, the log
// says how many subjects those were.
func (s *session) nameSubjects(ctx context.Context, f *flight, ends bool) error {
	n := f.naming
	if n == nil || len(n.subjects) == 0 {
		return nil
	}
	names, missing := s.srv.namer.known(n.subjects)
	if len(missing) > 0 {
		if s.hurriedS {
			return errWaits
		}
		var err error
		if names, err = s.srv.namer.names(ctx, n.subjects); err != nil {
			s.unnamed(n)
		}
	}
	s.watchMet(f)
	n.subjects, n.seen = n.subjects[:0], nil
	for f.logged && len(names) > 0 {
		room := roomFor(names)
		if ends && room == len(names) {
			n.named = names
			return nil
		}
		r := audit.Record{Kind: audit.KindSubjects, Ref: f.seq, Session: s.id, Login: s.login, Subjects: names[:room]}
		names = names[room:]
		if _, err := s.srv.audit.Append(&r); err != nil {
			return newFatal("58030", "the access log cannot be written: %w", err)
		}
	}
	return nil
}

// owesNames tells whether the session ends amid an answer, of whose subjects the
// log does not know all that were collected.
func (s *session) owesNames() bool {
	f := s.first()
	return f != nil && f.logged && f.naming != nil && len(f.naming.subjects) > 0
}

// nameUnanswered names the subjects of the rows that a session got before it
// ended amid an answer. There is no outcome: what else was done nobody knows.
func (s *session) nameUnanswered() {
	if !s.owesNames() {
		return
	}
	s.hurriedS = false
	if err := s.nameSubjects(context.Background(), s.first(), false); err != nil {
		s.log.Error("recording whose rows a session got", "err", err)
	}
}

// What names take in one record at most, so that nothing of it is cut.
const (
	namesInRecord = 500
	bytesOfNames  = 45_000
)

// roomFor gives how many of some names go into one record.
func roomFor(names []string) int {
	size := 0
	for i, name := range names {
		if size += len(name) + len(`"",`); i == namesInRecord || i > 0 && size > bytesOfNames {
			return i
		}
	}
	return len(names)
}

// unnamed says of the subjects collected how many they were.
func (s *session) unnamed(n *naming) {
	s.srv.metrics.unnamed.Add(float64(len(n.subjects)))
	for _, subject := range n.subjects {
		n.leave(subject.kind, 1)
	}
}
