package proxy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/proxy/wire"
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
	counted  int64 // what its rows say that they were made of
	unread   int64 // rows of which a key was not read
	copied   int64 // messages of COPY: a row each at most

	subjects []subject                  // collected
	seen     map[string]map[string]bool // the same: kinds, keys
	pictures pictures
	unnamed  []audit.Unnamed
	named    []string // of subjects, for the outcome
}

// description is what the server said of a prepared statement's rows, for all
// who execute it.
type description struct{ layout *layout }

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
	if p == nil || len(p.Subjects) == 0 {
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
	n := &naming{engine: s.engine, steps: p.Subjects, utf8: s.inUTF8()}
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
		steps[i] = &rewrite.Naming{Reached: []rewrite.Reached{{Kind: rewrite.AnyKind, Each: rewrite.AnyNumber}}}
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

// describe acts on a RowDescription: it gives what the client gets of its body,
// nil when that gets none.
func (n *naming) describe(body []byte) ([]byte, error) {
	b := wire.BodyOf(append(make([]byte, wire.HeadLen), body...))
	count := b.Int16()
	shown := count - n.now().Hidden()
	if shown < 0 {
		return nil, newFatal("08P01", "the server described %d columns, which are too few", count)
	}
	l := &layout{}
	origins := map[rewrite.Origin]bool{}
	end := 0
	for i := range count {
		if i == shown {
			end = len(body) - len(b.Rest())
		}
		b.String()
		at := rewrite.Origin{Relation: uint32(b.Int32()), Column: int16(b.Int16())}
		typ := uint32(b.Int32())
		b.Bytes(6)
		format := int16(b.Int16())
		if kinds := n.engine.KeysOf(at); i < shown && len(kinds) > 0 && !origins[at] {
			origins[at] = true
			l.keys = append(l.keys, keyColumn{i, kinds, typ, format})
		}
	}
	if b.Err() != nil {
		return nil, newFatal("08P01", "malformed RowDescription message")
	}
	n.layout = l
	if n.desc != nil {
		n.desc.layout = l
	}
	if n.now().Silent {
		return nil, nil
	}
	if shown == count {
		return body, nil
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(shown)), body[2:end]...), nil
}

// row reads the keys in a DataRow. It gives where in it the columns end that the
// client gets, and how many those are.
func (n *naming) row(frame []byte) (end, shown int, err error) {
	b := wire.BodyOf(frame)
	count, step, keys := b.Int16(), n.now(), n.keys()
	shown, end = count-step.Hidden(), len(frame)
	if shown < 0 {
		return 0, 0, newFatal("08P01", "the server sent a row of %d columns, which are too few", count)
	}
	whole, of, images := true, int64(1), step.Hidden()-step.Pictured()
	for i := range count {
		if i == shown {
			end = len(frame) - len(b.Rest())
		}
		size, none := b.Int32(), false
		if none = size < 0; none {
			size = 0
		}
		value := b.Bytes(size)
		switch hidden := i - shown; {
		case hidden >= images:
			n.picture(step, hidden-images, value, none)
		case hidden >= len(step.Added):
			of = n.count(value)
		case hidden >= 0:
			whole = (none || n.add(value, step.Added[hidden])) && whole
		default:
			for _, k := range keys {
				if k.at == i {
					// Without a key, a group of several sets of columns may be of anybody.
					whole = (none && !step.Counted || !none && n.add(k.text(value), k.kinds...)) && whole
				}
			}
		}
	}
	if b.Err() != nil {
		return 0, 0, newFatal("08P01", "malformed DataRow message")
	}
	n.rows++
	if !whole {
		n.unread += of
	}
	return end, shown, n.pictured(step)
}

// count gives how many rows one says that it was made of, and adds them up.
func (n *naming) count(value []byte) (rows int64) {
	rows, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0
	}
	n.counted += rows
	return rows
}

// maxKey is the longest key that is read, in bytes: more than an index takes.
const maxKey = 3000

// add notes a subject by its key as text. It tells whether it could.
func (n *naming) add(key []byte, kinds ...string) bool {
	if key == nil || len(key) > maxKey || !n.utf8 && !ascii(key) || !utf8.Valid(key) {
		return false
	}
	for _, kind := range kinds {
		seen := n.seen[kind]
		if seen[string(key)] {
			continue
		}
		if seen == nil {
			if n.seen == nil {
				n.seen = map[string]map[string]bool{}
			}
			seen = map[string]bool{}
			n.seen[kind] = seen
		}
		seen[string(key)] = true
		n.subjects = append(n.subjects, subject{kind, string(key)})
	}
	return true
}

func ascii(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c >= utf8.RuneSelf })
}

// full tells whether the log must be told before more is collected.
func (n *naming) full() bool { return len(n.subjects) >= namedAtOnce }

// keys gives the client's own columns that keys are read from.
func (n *naming) keys() []keyColumn {
	if n.reading || n.odd {
		return n.readable
	}
	n.reading = true
	l := n.layout
	if n.desc != nil {
		l = n.desc.layout
	}
	if l == nil {
		return nil
	}
	for _, k := range l.keys {
		switch {
		case n.desc == nil:
		case len(n.formats) == 1:
			k.format = n.formats[0]
		case k.at < len(n.formats):
			k.format = n.formats[k.at]
		default:
			k.format = 0
		}
		if k.readable() {
			n.readable = append(n.readable, k)
		}
	}
	return n.readable
}

// The OIDs of the types whose binary form is read.
const (
	oidInt2, oidInt4, oidInt8 = 21, 23, 20
	oidText, oidVarchar       = 25, 1043
	oidBpchar, oidName        = 1042, 19
	oidUUID                   = 2950
)

func (k keyColumn) readable() bool {
	switch k.typ {
	case oidInt2, oidInt4, oidInt8, oidText, oidVarchar, oidBpchar, oidName, oidUUID:
		return true
	default:
		return k.format == 0
	}
}

// text gives a key as the server casts it to text; nil where it is not what its
// type says.
func (k keyColumn) text(value []byte) []byte {
	if k.typ == oidBpchar {
		return bytes.TrimRight(value, " ")
	}
	if k.format == 0 {
		return value
	}
	switch {
	case k.typ == oidInt2 && len(value) == 2:
		return strconv.AppendInt(nil, int64(int16(binary.BigEndian.Uint16(value))), 10)
	case k.typ == oidInt4 && len(value) == 4:
		return strconv.AppendInt(nil, int64(int32(binary.BigEndian.Uint32(value))), 10)
	case k.typ == oidInt8 && len(value) == 8:
		return strconv.AppendInt(nil, int64(binary.BigEndian.Uint64(value)), 10)
	case k.typ == oidUUID && len(value) == 16:
		return fmt.Appendf(nil, "%x-%x-%x-%x-%x", value[:4], value[4:6], value[6:8], value[8:10], value[10:])
	case k.typ == oidText, k.typ == oidVarchar, k.typ == oidName:
		return value
	default:
		return nil
	}
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
	n.subjects, n.seen = n.subjects[:0], nil
	for from := 0; f.logged; from += namesInRecord {
		rest := names[min(from, len(names)):]
		if ends && len(rest) <= namesInRecord {
			n.named = rest
			return nil
		}
		if len(rest) == 0 {
			return nil
		}
		r := audit.Record{Kind: audit.KindSubjects, Ref: f.seq, Session: s.id, Login: s.login, Subjects: rest[:min(namesInRecord, len(rest))]}
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

// namesInRecord keeps a record with names of the longest kinds short enough for
// nothing to be cut.
const namesInRecord = 500

// unnamed says of the subjects collected how many they were.
func (s *session) unnamed(n *naming) {
	s.srv.metrics.unnamed.Add(float64(len(n.subjects)))
	for _, subject := range n.subjects {
		n.leave(subject.kind, 1)
	}
}

// takeRows acts on the DataRows of a flight whose subjects are named.
func (s *session) takeRows(ctx context.Context, f *flight) (need int, err error) {
	n := f.naming
	for taken := false; ; taken = true {
		typ, size, ok, err := s.fromS.Head()
		switch {
		case err != nil:
			return 0, newFatal("08P01", "the server: %w", err)
		case taken && (!ok || typ != 'D' || s.fromS.Buffered() < size || n.full()):
			return 0, nil
		case s.fromS.Buffered() < size && !s.passes(n, size):
			return size, nil
		case n.full():
			if err := s.nameSubjects(ctx, f, false); err != nil {
				return 0, err
			}
		}
		if f.logged && f.durable {
			s.audited = max(s.audited, f.seq+1)
		}
		have := min(size, s.fromS.Buffered())
		if err := s.takeRow(f, s.fromS.Take(have), size); err != nil || have < size {
			return 0, err
		}
	}
}

// passes tells whether a row is so long that it is passed on in parts, unread.
func (s *session) passes(n *naming, size int) bool {
	return size > maxAnswer && n.now().Hidden() == 0
}

// takeRow passes on one row. size is its whole length.
func (s *session) takeRow(f *flight, frame []byte, size int) error {
	n := f.naming
	f.rows++
	f.bytes += int64(size - wire.HeadLen)
	if s.passes(n, size) {
		n.rows++
		n.unread++
		s.toC.Pass(frame)
		s.rest, s.passing = size-len(frame), true
		return nil
	}
	end, shown, err := n.row(frame)
	switch {
	case err != nil:
		return err
	case n.now().Silent:
		f.rows--
		f.bytes -= int64(size - wire.HeadLen)
	case end == len(frame):
		s.toC.Pass(frame)
	default:
		f.bytes -= int64(size - end)
		s.toC.Head('D', end)
		s.toC.Copy([]byte{byte(shown >> 8), byte(shown)})
		s.toC.Copy(frame[wire.HeadLen+2 : end])
	}
	return s.recordImages(f, false)
}
