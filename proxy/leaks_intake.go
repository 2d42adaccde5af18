package proxy

import (
	"bytes"

	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// intake looks for personal data in what COPY FROM STDIN brings into open columns.
// Rows and fields may be cut by messages anywhere. It is the client half's.
type intake struct {
	*writing
	data    *rewrite.Data
	columns map[int]string // by the number of the field, from 0 on
	refused bool           // the server was told that the data ends in failure

	field   int    // that is read
	value   []byte // what is known of it, when it goes into an open column
	quoted  bool   // it is within quotes
	escaped bool   // the byte before says that the next is data

	head []byte // in binary form: what is read of a number
	part int    // what is read next: see the parts
	left int    // bytes of it
	more int    // fields of the row that are still to come
}

// The parts of binary data, in their order.
const (
	partSignature = iota // with the flags
	partExtension        // its length
	partSkipped          // the extension itself
	partCount            // of fields
	partLength           // of a field
	partValue
)

// longField is how much of a field is held. A longer one is looked into in pieces,
// which overlap by what is longest of what is found in one piece.
const (
	longField = 1 << 20
	overlap   = 4 << 10
)

// expectData notes that data will come for the COPY statements of a plan.
func (s *session) expectData(by party, p *rewrite.Plan) {
	if p == nil || len(p.Written) == 0 {
		return
	}
	s.intakes = nil
	var last *intake
	for _, at := range p.Written {
		if at.Field == 0 {
			continue
		}
		if last == nil || last.data != at.Data {
			w := s.newWriting(by)
			if w == nil {
				return
			}
			last = &intake{writing: w, data: at.Data, columns: map[int]string{}, left: len(signature) + 4}
			s.intakes = append(s.intakes, last)
		}
		last.columns[at.Field-1] = at.Column
	}
}

// intake gives what looks into the data that comes now; nil where nobody asks.
func (s *session) intake() *intake {
	if len(s.intakes) == 0 {
		return nil
	}
	return s.intakes[0]
}

// copyData acts on data of a COPY, of which all is there that is looked into.
func (s *session) copyData(frame []byte) error {
	in := s.intake()
	switch {
	case s.hurriedC && s.sealIntake.shreds():
		return errWaits // for data keys, perhaps
	case in == nil:
		return s.passData(frame)
	case in.refused:
		s.dropping = true
		return nil
	case s.left > 0:
		in.unread++
	default:
		in.take(frame[wire.HeadLen:])
	}
	if in.scan.Refuse != 0 && (len(in.found) > 0 || in.unread > 0) {
		s.dropping = true
		return s.refuseData(in)
	}
	return s.passData(frame)
}

// passData passes on data of a COPY, sealed where its columns are.
func (s *session) passData(frame []byte) error {
	if s.sealIntake != nil {
		return s.sealData(s.sealIntake, frame)
	}
	s.toS.Pass(frame)
	return nil
}

// dataEnds acts on the end of a COPY's data.
func (s *session) dataEnds(typ byte) error {
	sealed := s.sealIntake
	s.sealIntake = nil
	in := s.intake()
	if in != nil {
		s.intakes = s.intakes[1:]
	}
	if in != nil && !in.refused && typ != 'f' {
		in.ends()
		if in.scan.Refuse != 0 && (len(in.found) > 0 || in.unread > 0) {
			if err := s.refuseData(in); err != nil {
				return err
			}
			return errSkipped
		}
		if err := s.tellWritten(in.writing); err != nil {
			return err
		}
	}
	if sealed != nil && typ != 'f' {
		return s.sealedEnds(sealed)
	}
	return nil
}

// refuseData ends a COPY for what is in its data.
func (s *session) refuseData(in *intake) error {
	in.refused = true
	return s.endData(s.tellWritten(in.writing))
}

// endData has the server end a COPY in failure, for a reason that the client gets in
// place of the server's.
func (s *session) endData(why error) error {
	r := s.asRefusal(why)
	s.mu.Lock()
	f := s.queue.copies
	if f != nil {
		f.stopped = r
	}
	s.mu.Unlock()
	if f == nil {
		return nil // the server ended it before, and passes over what still comes
	}
	s.srv.metrics.refused(r)
	s.copyEnd()
	s.toS.Frame('f', r.poison())
	return nil
}

// take looks into data, in the form in which it is written.
func (in *intake) take(data []byte) {
	switch {
	case in.data.Binary:
		in.takeBinary(data)
	default:
		for _, c := range data {
			in.takeByte(c)
		}
	}
}

// takeByte reads a byte of text or CSV, as CopyReadLine and what is around it do.
func (in *intake) takeByte(c byte) {
	d := in.data
	switch {
	case in.escaped:
		in.escaped = false
		if d.CSV && c != d.Quote && c != d.Escape {
			in.takeByte(c) // what looked like an escape was none
			return
		}
		if !d.CSV && bytes.IndexByte([]byte("bfnrtv"), c) >= 0 {
			c = ' '
		}
	case d.CSV && in.quoted && c == d.Escape && d.Escape != d.Quote:
		in.escaped = true
		return
	case d.CSV && c == d.Quote:
		in.quoted = !in.quoted
		return
	case !d.CSV && c == '\\':
		in.escaped = true
		return
	case in.quoted:
	case c == d.Delimiter:
		in.fieldEnds()
		return
	case c == '\n', c == '\r':
		in.fieldEnds()
		in.field = 0
		return
	}
	if _, open := in.columns[in.field]; open {
		in.keep(c)
	}
}

func (in *intake) keep(c ...byte) {
	if in.value = append(in.value, c...); len(in.value) >= longField {
		in.look(in.columns[in.field], in.value)
		in.value = append(in.value[:0], in.value[len(in.value)-overlap:]...)
	}
}

func (in *intake) fieldEnds() {
	if len(in.value) > 0 {
		in.look(in.columns[in.field], in.value)
	}
	in.value = in.value[:0]
	in.field++
}

// ends looks into what there is when the data ends.
func (in *intake) ends() { in.fieldEnds() }

// takeBinary reads binary data: see COPY's documentation.
func (in *intake) takeBinary(data []byte) {
	for len(data) > 0 {
		n := min(in.left, len(data))
		part := data[:n]
		data = data[n:]
		in.left -= n
		if in.part == partValue {
			if _, open := in.columns[in.field]; open {
				in.keep(part...)
			}
		} else if in.part != partSkipped {
			in.head = append(in.head, part...)
		}
		for in.left == 0 {
			in.partEnds()
		}
	}
}

// partEnds goes on to the next part of binary data.
func (in *intake) partEnds() {
	b := wire.PartOf(in.head)
	in.head = nil
	switch in.part {
	case partSignature:
		in.part, in.left = partExtension, 4
	case partExtension:
		in.part, in.left = partSkipped, max(0, b.Int32())
	case partSkipped:
		in.part, in.left = partCount, 2
	case partCount:
		in.field, in.more = 0, b.Int16()
		in.nextField()
	case partLength:
		in.part, in.left = partValue, max(0, b.Int32())
	case partValue:
		in.fieldEnds()
		in.more--
		in.nextField()
	}
}

func (in *intake) nextField() {
	if in.part, in.left = partLength, 4; in.more <= 0 {
		in.part, in.left = partCount, 2
	}
}
