package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

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
	n.here, n.absent, n.lone = n.here[:0], n.absent[:0], false
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
		case hidden > len(step.Added):
			n.lone = !none && of > 0 && n.add(value, step.Lone)
		case hidden == len(step.Added):
			of = n.count(value)
		case hidden >= 0:
			n.notes(none, step.Added[hidden])
			whole = (none || n.add(value, step.Added[hidden])) && whole
		default:
			for _, k := range keys {
				if k.at == i {
					n.notes(none, k.kinds...)
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
	n.of = of
	if n.lone {
		n.counted -= of // is named
	}
	if !whole {
		n.unread += of
	}
	if err := n.trap.over(); err != nil {
		return 0, 0, err
	}
	return end, shown, n.pictured(step)
}

// notes notes a key that is NULL.
func (n *naming) notes(null bool, kinds ...string) {
	if null {
		n.absent = append(n.absent, kinds...)
	}
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
		if !slices.ContainsFunc(n.here, func(k rowKey) bool { return k.kind == kind && bytes.Equal(k.text, key) }) {
			n.here = append(n.here, rowKey{kind, key})
		}
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
		n.trap.look(kind, key)
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
