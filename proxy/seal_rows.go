package proxy

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/seal"
)

// opening opens the rows that answer a flight. It is the server half's.
type opening struct {
	steps   [][]opener // by statement of the text
	step    int
	types   []int16 // formats of the columns, as far as the answer or Bind says them
	formats []int16 // of a portal, as Bind says
	portal  bool
	data    []*rewrite.Data // by statement, how the data of a COPY is written
	copied  *copier
	why     error           // why the row that was read last does not leave
	hidden  map[string]bool // columns of which operators were told that NULL stands for a value
	row     []byte
	room    room

	shreds   bool // values can have data keys
	dataKeys map[seal.DataKeyID]seal.DataKey
	ids      []seal.DataKeyID
	covered  int // bytes of the rows that come next, whose data keys are there
}

// opens readies what opens the rows that answer a flight.
func (s *session) opens(f *flight, p *rewrite.Plan) error {
	if p == nil || s.foreign || f.privacy != nil || !s.engine.Seals() {
		return nil
	}
	o := &opening{}
	found := false
	for i := range p.Steps {
		outputs := s.outputsOf(p, i)
		step, err := s.openers(outputs)
		if err != nil {
			return err
		}
		found = found || len(step) > 0
		o.steps, o.data = append(o.steps, step), append(o.data, p.Seals.CopyOf(i).Written())
	}
	if err := s.expectSealed(p); err != nil {
		return err
	}
	if !found {
		return nil
	}
	if f.portal != nil {
		o.portal, o.formats = true, f.portal.formats
		if f.portal.odd {
			return &rewrite.Refusal{Code: "54000", Message: "a Bind message of that length cannot be followed while it returns sealed columns"}
		}
	}
	o.shreds = s.srv.dataKeys != nil
	f.opening = o
	if f.meter == nil {
		f.meter = newMeter(nil)
	}
	return nil
}

// outputsOf gives the columns to open of one statement, or of what it fetches from
// or runs.
func (s *session) outputsOf(p *rewrite.Plan, i int) []rewrite.Opened {
	step := p.Steps[i]
	of, effect := &s.statements, rewrite.Prepares
	switch {
	case step.Effect&rewrite.Executes != 0:
	case step.Effect&rewrite.Fetches != 0 && !writesCurrent(step):
		of, effect = &s.portals, rewrite.Declares
	default:
		return p.Seals.OutputsOf(i)
	}
	if j := lastMade(p.Steps[:i], effect, step.Name); j >= 0 {
		return p.Seals.OutputsOf(j)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	made := of.get([]byte(step.Name))
	if made == nil || made.plan == nil {
		return nil
	}
	return made.plan.Seals.OutputsOf(max(0, lastMade(made.plan.Steps, effect, step.Name)))
}

// opened gives what there is of a row once it is opened; nothing where it does not
// leave, or is held.
func (f *flight) opened(s *session, typ byte, frame []byte) ([]byte, error) {
	o := f.opening
	if o == nil || len(o.now()) == 0 {
		return frame, nil
	}
	var err error
	if typ == 'd' {
		frame, err = o.openCopy(s, frame)
	} else {
		frame, err = o.open(s, frame)
	}
	var refusal *rewrite.Refusal
	if errors.As(err, &refusal) {
		o.why, frame, err = err, nil, nil
	}
	return frame, err
}

// long acts on a row that is too long to be held. It tells whether it may leave
// as it is.
func (o *opening) long(size int) bool {
	if o == nil || len(o.now()) == 0 {
		return true
	}
	o.why = &rewrite.Refusal{
		Code: "54000", Message: fmt.Sprintf("a row of %d bytes with sealed values is longer than the %d that are opened", size, maxAnswer),
		Hint: "ask for fewer columns",
	}
	return false
}

// next begins another statement of the same text.
func (o *opening) next() {
	if o != nil {
		o.step++
		o.types, o.copied = o.types[:0], nil
	}
}

// refuses tells whether the row that was read last may not leave.
func (f *flight) refuses() bool { return f.leaks.refuses() || f.opening != nil && f.opening.why != nil }

// whyRefused gives why, once.
func (f *flight) whyRefused() error {
	if f.opening != nil && f.opening.why != nil {
		why := f.opening.why
		f.opening.why = nil
		return why
	}
	return f.leaks.refusal()
}

// describesSealed readies a Describe of a statement with sealed parameters or
// columns.
func (s *session) describesSealed(f *flight, kind byte, name []byte) error {
	of := &s.statements
	if kind == 'P' {
		of = &s.portals
	}
	s.mu.Lock()
	made := of.get(name)
	s.mu.Unlock()
	if made == nil || made.plan == nil || made.plan.Seals == nil {
		return nil
	}
	if kind == 'S' && sealsParams(made.plan) {
		f.sealed = made
	}
	all, err := s.openers(s.outputsOf(made.plan, 0))
	if err == nil && len(all) > 0 {
		f.opening = &opening{steps: [][]opener{all}}
	}
	return err
}

// now gives the openers of the statement that is being answered.
func (o *opening) now() []opener {
	if o == nil || o.step >= len(o.steps) {
		return nil
	}
	return o.steps[o.step]
}

// format gives the format in which the client gets a column.
func (o *opening) format(column int) int16 {
	formats := o.types
	if o.portal {
		formats = o.formats
	}
	switch {
	case o.portal && len(formats) == 1:
		return formats[0]
	case column < len(formats):
		return formats[column]
	default:
		return 0
	}
}

// open gives a DataRow with its sealed values opened. It is valid until the next.
func (o *opening) open(s *session, frame []byte) ([]byte, error) {
	all := o.now()
	if len(all) == 0 {
		return frame, nil
	}
	b := wire.BodyOf(frame)
	count := b.Int16()
	o.row = append(o.row[:0], frame[:wire.HeadLen+2]...)
	next := 0
	for i := range count {
		size := b.Int32()
		var v []byte
		if size >= 0 {
			v = b.Bytes(size)
		}
		if next < len(all) && all[next].at == i {
			if size >= 0 {
				var err error
				if v, err = o.value1(s, &all[next], v, o.format(i)); err != nil {
					return nil, err
				}
				size = len(v)
				if v == nil {
					size = -1
				}
			}
			next++
		}
		o.row = append(binary.BigEndian.AppendUint32(o.row, uint32(int32(size))), v...)
	}
	if b.Err() != nil {
		return nil, newFatal("08P01", "malformed DataRow message")
	}
	binary.BigEndian.PutUint32(o.row[1:], uint32(len(o.row)-1))
	return o.row, nil
}

// value1 opens one value, as the protocol has it in a format; nil is NULL.
func (o *opening) value1(s *session, of *opener, v []byte, format int16) ([]byte, error) {
	var value []byte
	null := of.as[0].Hide
	stored, err := v, error(nil)
	switch {
	case !of.as[0].Row:
		stored, err = storedOf(&o.room.stored, of.as[0].Stored, v, format)
	case s.recodes.Load() && !fitsAll("text", v):
		return nil, &rewrite.Refusal{Code: "22P05", Message: fmt.Sprintf("the key of a row cannot be read in this client_encoding, to which a value of %s is bound", of.as[0].Column), Hint: "set client_encoding to UTF8"}
	}
	if err == nil {
		value, null, err = of.open(&o.room, stored, o.dataKey)
	}
	switch {
	case err != nil && null:
		o.hides(s, of, err)
		return nil, nil
	case err != nil:
		return nil, s.damaged(of, err)
	case null:
		return nil, nil
	case s.recodes.Load() && !fitsAll(of.as[0].Values, value):
		return nil, &rewrite.Refusal{Code: "22P05", Message: fmt.Sprintf("a value of %s cannot be written in this client_encoding", of.as[0].Column), Hint: "set client_encoding to UTF8"}
	}
	out, err := wireOf(&o.room.wire, of.as[0].Values, value, format)
	switch {
	case err != nil:
		return nil, s.damaged(of, err)
	case out == nil:
		return []byte{}, nil
	default:
		return out, nil
	}
}

// hides tells operators, once for a statement, that NULL stands for what cannot be
// opened of a column.
func (o *opening) hides(s *session, of *opener, err error) {
	if o.hidden[of.as[0].Column] {
		return
	}
	if o.hidden == nil {
		o.hidden = map[string]bool{}
	}
	o.hidden[of.as[0].Column] = true
	s.tellDamaged(of, err)
}

// room holds one value on its way, so that the next takes no other memory.
type room struct{ stored, value, shown, wire, bound []byte }

// storedOf gives a stored value as it is opened, from what the protocol has in a
// format. room is for one that has to be decoded.
func storedOf(room *[]byte, typ string, v []byte, format int16) (_ []byte, err error) {
	switch {
	case typ == "bytea" && format == 0:
		*room, err = bytesOf((*room)[:0], v)
		return *room, err
	case typ == "jsonb" && format == 1 && len(v) > 0:
		return v[1:], nil // behind the version
	default:
		return v, nil
	}
}

// bytesOf appends bytes that the server wrote as text, with bytea_output hex or escape.
func bytesOf(dst, v []byte) ([]byte, error) {
	if digits, ok := bytes.CutPrefix(v, []byte(`\x`)); ok {
		return hex.AppendDecode(dst, digits)
	}
	for i := 0; i < len(v); i++ {
		b, n := v[i], 0
		if b == '\\' && i+1 < len(v) {
			b, n = escape(v[i+1:])
		}
		dst, i = append(dst, b), i+n
	}
	return dst, nil
}

// wireOf gives a value as the protocol has it in a format. room is for one that is
// another then.
func wireOf(room *[]byte, typ string, value []byte, format int16) (_ []byte, err error) {
	switch {
	case format == 1:
		*room, err = seal.AppendBinary((*room)[:0], typ, value)
		return *room, err
	case typ == "bytea":
		*room = hex.AppendEncode(append((*room)[:0], `\x`...), value)
		return *room, nil
	default:
		return value, nil
	}
}

// describes gives a RowDescription with the types that sealed columns have once
// they are opened.
func (o *opening) describes(frame []byte) ([]byte, error) {
	b := wire.BodyOf(frame)
	count := b.Int16()
	o.types = o.types[:0]
	all, out := o.now(), frame
	next := 0
	for i := range count {
		b.String()
		b.Bytes(6)
		at := len(frame) - len(b.Rest())
		b.Bytes(10)
		o.types = append(o.types, int16(b.Int16()))
		if b.Err() != nil {
			return nil, newFatal("08P01", "malformed RowDescription message")
		}
		if next == len(all) || all[next].at != i {
			continue
		}
		as := all[next].as[0]
		next++
		if as.Values == as.Stored && !as.Row {
			continue
		}
		if &out[0] == &frame[0] {
			out = slices.Clone(frame)
		}
		oid, size := seal.OID(as.Values)
		binary.BigEndian.PutUint32(out[at:], oid)
		binary.BigEndian.PutUint16(out[at+4:], uint16(size))
		binary.BigEndian.PutUint32(out[at+6:], 0xffffffff) // no type modifier
	}
	return out, nil
}
