package proxy

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// copier changes fields of a COPY's data, which may be cut by messages anywhere: what
// is not a whole row is held until it is.
type copier struct {
	data   *rewrite.Data
	change func(column int, value []byte) (changed []byte, null bool, err error) // of what is in a field; unchanged where it gives nil
	is     func(column int) bool                                                 // a field that changes
	keys   []int                                                                 // columns whose values are to be known before others change
	key    [][]byte                                                              // those of the row that is changed; nil is NULL
	looks  bool                                                                  // at the keys of a row, and changes nothing
	fields int                                                                   // of a row that a client sends; 0 of one that the server does
	begun  bool                                                                  // what is before the rows was there
	over   bool                                                                  // the mark that ends the data was there
	held   []byte
	out    []byte
	value  []byte
}

// oddData refuses data that the server might read otherwise than it is read here: what
// is sealed would be in another place.
func oddData(format string, args ...any) error {
	return &rewrite.Refusal{Code: "22P04", Message: "the data of COPY of sealed columns cannot be followed: " + fmt.Sprintf(format, args...)}
}

// take gives what is to be passed on for more data. It is valid until the next.
func (c *copier) take(data []byte) (out []byte, err error) {
	if len(c.held)+len(data) > maxAnswer {
		return nil, &rewrite.Refusal{Code: "54000", Message: fmt.Sprintf("a row of COPY with sealed columns is longer than %d bytes", maxAnswer)}
	}
	if len(c.held) > 0 {
		c.held = append(c.held, data...)
		data = c.held
	}
	out = c.out[:0]
	for !c.over && len(data) > 0 {
		n := 0
		n, out, err = c.row(out, data)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		data = data[n:]
	}
	if c.over && len(data) > 0 {
		if c.data.Binary || c.data.CSV {
			return nil, oddData("something follows the mark that ends it")
		}
		data = nil // as the server does
	}
	c.held, c.out = append(c.held[:0], data...), out
	return out, nil
}

// rest gives what is to be passed on when the data ends.
func (c *copier) rest() (out []byte, err error) {
	if len(c.held) == 0 || c.over {
		return nil, nil
	}
	n := 0
	if !c.data.Binary {
		if string(c.held) == `\.` {
			return nil, oddData(`nothing ends the line of \.`) // to the server that is a corrupt mark, or a row
		}
		n, out, err = c.row(nil, append(c.held, '\n'))
	}
	if err == nil && n == 0 {
		return nil, oddData("it ends amid a row")
	}
	return bytes.TrimSuffix(out, []byte("\n")), err
}

// row changes the first row of data. n is how long it was; 0 when it is not whole.
func (c *copier) row(out, data []byte) (n int, _ []byte, err error) {
	one := c.line
	if c.data.Binary {
		one = c.tuple
	}
	if len(c.keys) == 0 {
		return one(out, data)
	}
	begun, over := c.begun, c.over
	c.key, c.looks = make([][]byte, len(c.keys)), true
	n, _, err = one(nil, data)
	c.begun, c.over, c.looks = begun, over, false
	if n == 0 || err != nil {
		return 0, out, err
	}
	return one(out, data)
}

// look keeps the value of a column of the key. It tells whether the row is just looked at.
func (c *copier) look(column int, value []byte) bool {
	if i := slices.Index(c.keys, column); c.looks && i >= 0 {
		c.key[i] = append([]byte{}, value...)
	}
	return c.looks
}

// line changes the first line of data. n is how long it was; 0 when it is not whole.
func (c *copier) line(out, data []byte) (n int, _ []byte, err error) {
	if bytes.IndexByte(data, '\n') < 0 {
		return 0, out, nil
	}
	from, column, quoted := 0, 0, false
	fields := out
	for i := 0; i < len(data); i++ {
		b := data[i]
		switch {
		case !c.data.CSV && b == '\\':
			if c.fields > 0 && i > 0 && i+1 < len(data) && data[i+1] == '.' {
				return 0, nil, oddData(`\. is not alone on its line`)
			}
			i++
			continue
		case !quoted && b == '\r' && i+1 < len(data) && data[i+1] != '\n':
			return 0, nil, oddData("a carriage return is not quoted")
		case c.data.CSV && quoted && b == c.data.Escape && c.data.Escape != c.data.Quote && i+1 < len(data) && (data[i+1] == c.data.Quote || data[i+1] == c.data.Escape):
			i++
			continue
		case c.data.CSV && b == c.data.Quote:
			quoted = !quoted
			continue
		case quoted || b != '\n' && b != c.data.Delimiter:
			continue
		}
		end := i
		if b == '\n' && end > from && data[end-1] == '\r' {
			end--
		}
		if c.fields > 0 && from == 0 && string(data[:end]) == `\.` {
			if c.over = b == '\n'; c.over {
				return i + 1, out, nil
			}
			if !c.data.CSV {
				return 0, nil, oddData(`\. is not alone on its line`)
			}
		}
		if fields, err = c.field(fields, column, data[from:end]); err != nil {
			return 0, nil, err
		}
		fields = append(fields, data[end:i+1]...)
		if b == '\n' {
			header := !c.begun && c.data.Header
			if c.begun = true; c.fields > 0 && !header && column+1 != c.fields {
				return 0, nil, oddData("a row has %d fields, not %d", column+1, c.fields)
			}
			return i + 1, fields, nil
		}
		from, column = i+1, column+1
	}
	return 0, out, nil
}

// field appends a field of text or CSV, changed.
func (c *copier) field(out []byte, column int, raw []byte) ([]byte, error) {
	switch {
	case c.looks && string(raw) != c.data.Null && (c.data.Default == "" || string(raw) != c.data.Default) && slices.Contains(c.keys, column):
		c.look(column, c.unescaped(raw))
		return out, nil
	case c.looks, !c.begun && c.data.Header, !c.is(column), string(raw) == c.data.Null, c.data.Default != "" && string(raw) == c.data.Default:
		return append(out, raw...), nil
	}
	value := c.unescaped(raw)
	changed, null, err := c.change(column, value)
	switch {
	case err != nil:
		return nil, err
	case null:
		return append(out, c.data.Null...), nil
	default:
		return c.escaped(out, changed), nil
	}
}

// textEscapes are the letters that stand for bytes behind a backslash.
var textEscapes = map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}

// unescaped gives what a field of text or CSV holds, as CopyReadAttributesText and
// CopyReadAttributesCSV in PostgreSQL's copyfromparse.c read it.
func (c *copier) unescaped(raw []byte) []byte {
	special := byte('\\')
	if c.data.CSV {
		special = c.data.Quote
	}
	if bytes.IndexByte(raw, special) < 0 {
		return raw
	}
	value, quoted := c.value[:0], false
	defer func() { c.value = value }()
	for i := 0; i < len(raw); i++ {
		b := raw[i]
		switch {
		case c.data.CSV && quoted && b == c.data.Escape && i+1 < len(raw) && (raw[i+1] == c.data.Quote || raw[i+1] == c.data.Escape):
			i++
			value = append(value, raw[i])
		case c.data.CSV && b == c.data.Quote:
			quoted = !quoted
		case !c.data.CSV && b == '\\' && i+1 < len(raw):
			var n int
			b, n = escape(raw[i+1:])
			i += n
			value = append(value, b)
		default:
			value = append(value, b)
		}
	}
	return value
}

// escape reads what follows a backslash in text: a letter, up to three octal digits,
// or x and up to two hexadecimal ones. n is how many bytes that is.
func escape(after []byte) (b byte, n int) {
	digits := func(from []byte, base, most int) (v, n int) {
		for n < min(most, len(from)) {
			d := bytes.IndexByte([]byte("0123456789abcdef"), from[n]|lowerBit(from[n]))
			if d < 0 || d >= base {
				break
			}
			v, n = v*base+d, n+1
		}
		return v, n
	}
	if v, n := digits(after, 8, 3); n > 0 {
		return byte(v), n
	}
	if after[0] == 'x' {
		if v, n := digits(after[1:], 16, 2); n > 0 {
			return byte(v), n + 1
		}
	}
	if control, ok := textEscapes[after[0]]; ok {
		return control, 1
	}
	return after[0], 1
}

// lowerBit is what makes an upper case letter a lower case one.
func lowerBit(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return 0x20
	}
	return 0
}

// escaped appends a field that holds a value.
func (c *copier) escaped(out, value []byte) []byte {
	if !c.data.CSV {
		from := 0
		for i, b := range value {
			switch {
			case b >= '\b' && b <= '\r':
				b = "btnvfr"[b-'\b']
			case b != '\\' && b != c.data.Delimiter:
				continue
			}
			out = append(append(out, value[from:i]...), '\\', b)
			from = i + 1
		}
		return append(out, value[from:]...)
	}
	odd := string(value) == c.data.Null || string(value) == `\.` || bytes.ContainsAny(value, string([]byte{c.data.Delimiter, c.data.Quote, '\n', '\r'}))
	if !odd {
		return append(out, value...)
	}
	out = append(out, c.data.Quote)
	for _, b := range value {
		if b == c.data.Quote || b == c.data.Escape {
			out = append(out, c.data.Escape)
		}
		out = append(out, b)
	}
	return append(out, c.data.Quote)
}

// tuple changes the first row of data in binary form, or passes on what is before the
// rows. n is how long it was; 0 when it is not whole.
func (c *copier) tuple(out, data []byte) (n int, _ []byte, err error) {
	b := wire.PartOf(data)
	if !c.begun {
		b.Bytes(len(signature))
		b.Int32()
		b.Bytes(max(0, b.Int32()))
		if b.Err() != nil {
			return 0, out, nil
		}
		c.begun = true
		n = len(data) - len(b.Rest())
		return n, append(out, data[:n]...), nil
	}
	count := b.Int16()
	fields := binary.BigEndian.AppendUint16(out, uint16(int16(count)))
	c.over = b.Err() == nil && count == -1
	if c.fields > 0 && b.Err() == nil && !c.over && count != c.fields {
		return 0, nil, oddData("a row has %d fields, not %d", count, c.fields)
	}
	for column := range max(0, count) {
		size := b.Int32()
		value := b.Bytes(max(0, size))
		if b.Err() != nil {
			return 0, out, nil
		}
		if size >= 0 && !c.look(column, value) && c.is(column) {
			var null bool
			if value, null, err = c.change(column, value); err != nil {
				return 0, nil, err
			}
			if size = len(value); null {
				size = -1
			}
		}
		fields = append(binary.BigEndian.AppendUint32(fields, uint32(int32(size))), value...)
	}
	if b.Err() != nil {
		return 0, out, nil
	}
	return len(data) - len(b.Rest()), fields, nil
}

// openCopy gives a CopyData message with its sealed values opened; nothing while it
// is held.
func (o *opening) openCopy(s *session, frame []byte) ([]byte, error) {
	if o.copied == nil {
		data := o.data[o.step]
		all := o.now()
		o.copied = &copier{data: data, is: func(column int) bool { return openerAt(all, column) != nil }}
		format := int16(0)
		if data.Binary {
			format = 1
		}
		o.copied.change = func(column int, value []byte) ([]byte, bool, error) {
			v, err := o.value1(s, openerAt(all, column), value, format)
			return v, v == nil, err
		}
	}
	out, err := o.copied.take(frame[wire.HeadLen:])
	if err != nil || len(out) == 0 {
		return nil, err
	}
	o.row = wire.AppendFrame(o.row[:0], 'd', out)
	return o.row, nil
}

func openerAt(all []opener, column int) *opener {
	if i := slices.IndexFunc(all, func(o opener) bool { return o.at == column }); i >= 0 {
		return &all[i]
	}
	return nil
}

// copyRest passes on what is held of a COPY whose data ends. It tells whether the
// client may learn of the end.
func (s *session) copyRest(f *flight) bool {
	if f.opening == nil || f.opening.copied == nil {
		return true
	}
	rest, err := f.opening.copied.rest()
	f.opening.copied = nil
	if err != nil {
		s.stop(f, err)
		return false
	}
	if len(rest) > 0 {
		s.toC.Frame('d', rest)
	}
	return true
}

// sealIntake seals the data of a COPY FROM STDIN. It is the client half's.
type sealIntake struct {
	copier
	failed bool // the server was told that the data ends in failure
	keyed  bool // values get data keys
}

// expectSealed notes that data will come for a plan whose columns are sealed.
func (s *session) expectSealed(p *rewrite.Plan) error {
	s.sealIntake = nil
	for i := range p.Steps {
		of := p.Seals.CopyOf(i)
		switch {
		case of == nil || of.Taken == nil:
			continue
		case len(p.Steps) > 1:
			return &rewrite.Refusal{Code: "0A000", Message: "COPY FROM of sealed columns beside other statements cannot be followed", Hint: "send it alone"}
		}
		if s.recodes.Load() && !of.Data.Binary { // in some, a character's second byte is a backslash
			return &rewrite.Refusal{Code: "0A000", Message: "the data of COPY FROM of sealed columns cannot be followed in this client_encoding", Hint: "set client_encoding to UTF8"}
		}
		with, err := s.sealersOf()
		if err != nil {
			return err
		}
		in := &sealIntake{copier: copier{data: of.Data, fields: len(of.Taken)}, keyed: slices.ContainsFunc(of.Taken, func(c *policy.Sealed) bool { return c != nil && c.Shred })}
		in.keys = of.Key
		in.is = func(column int) bool { return column < len(of.Taken) && of.Taken[column] != nil }
		in.change = func(column int, value []byte) ([]byte, bool, error) {
			var row []byte
			if c := of.Taken[column]; c.Row {
				var err error
				if row, err = with.copiedRow(c, in.key, of.Data.Binary); err != nil {
					return nil, false, err
				}
			}
			v, err := with.copied(of.Taken[column], value, of.Data.Binary, row)
			return v, false, err
		}
		s.sealIntake = in
	}
	return nil
}

// copied seals the value of a field. row is the key of the row that it is bound to; nil for
// none.
func (a *sealers) copied(c *policy.Sealed, value []byte, inBinary bool, row []byte) ([]byte, error) {
	given := parameter{value: value}
	if inBinary {
		given.format = 1
	}
	text, err := textOf(c, given, 0)
	if err != nil {
		return nil, err
	}
	stored, err := a.stored(a.room, c, text, false, row)
	if err == nil {
		a.room = stored
	}
	switch {
	case err != nil:
		return nil, err
	case c.Stored == "bytea" && !inBinary:
		return hex.AppendEncode([]byte(`\x`), stored), nil
	case c.Stored == "jsonb" && inBinary:
		return append([]byte{1}, stored...), nil
	default:
		return stored, nil
	}
}

// sealData seals data of a COPY.
func (s *session) sealData(in *sealIntake, frame []byte) error {
	if in.failed {
		s.dropping = true
		return nil
	}
	if s.left > 0 {
		s.dropping = true
		return s.failData(in, &rewrite.Refusal{Code: "54000", Message: fmt.Sprintf("a message of %d bytes of COPY is too long to be sealed", len(frame)+s.left)})
	}
	out, err := in.take(frame[wire.HeadLen:])
	if err != nil {
		return s.failData(in, err)
	}
	if len(out) > 0 {
		s.toS.Frame('d', out)
	}
	return nil
}

// sealedEnds passes on what is held when the data ends.
func (s *session) sealedEnds(in *sealIntake) error {
	if in.failed {
		return errSkipped
	}
	out, err := in.rest()
	if err != nil {
		if err := s.failData(in, err); err != nil {
			return err
		}
		return errSkipped
	}
	if len(out) > 0 {
		s.toS.Frame('d', out)
	}
	return nil
}

// failData has the server end a COPY in failure.
func (s *session) failData(in *sealIntake, why error) error {
	in.failed = true
	return s.endData(why)
}
