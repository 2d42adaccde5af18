package proxy

import (
	"bytes"
	"slices"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/recognise"
)

// sieve looks into values for what a scan asks for, and writes over what it is to
// scrub. No value changes its length, so that nothing around it does.
type sieve struct {
	scan  policy.Scan
	with  *recognise.Scanner       // finds what scan asks for
	found map[recognise.Kind]int64 // how often; nil: nothing
}

// text looks into text. refused tells that it must not leave.
func (v *sieve) text(b []byte) (refused bool) {
	for m, ok := v.with.Next(b, 0); ok; m, ok = v.with.Next(b, m.To) {
		v.note(m.Kind)
		switch {
		case v.scan.Refuse.Has(m.Kind):
			refused = true
		case v.scan.Scrub.Has(m.Kind):
			recognise.Scrub(b, m)
		}
	}
	return refused
}

// opaque looks into what is not text and has a form that nobody knows: nothing is
// written over, so where that would have to be it is refused.
func (v *sieve) opaque(b []byte) (refused bool) {
	for m, ok := v.with.Next(b, 0); ok; m, ok = v.with.Next(b, m.To) {
		v.note(m.Kind)
		refused = refused || v.scan.Refuse.Has(m.Kind) || v.scan.Scrub.Has(m.Kind)
	}
	return refused
}

func (v *sieve) note(k recognise.Kind) {
	if v.found == nil {
		v.found = map[recognise.Kind]int64{}
	}
	v.found[k]++
}

// value looks into a value as the protocol has it. Types whose values hold no text
// are passed over; 0 is a type that is not known.
//
// In which of the two formats the value is need not be known: those of text are the
// same in both, JSON's differ by a byte in front, and no other text has a zero in it.
func (v *sieve) value(typ uint32, b []byte) (refused bool) {
	switch {
	case textless(typ):
		return false
	case bytes.IndexByte(b, 0) < 0:
		return v.text(b)
	default:
		return v.structure(b)
	}
}

// structure looks into the texts that a value in binary form is made of.
func (v *sieve) structure(b []byte) (refused bool) {
	for _, form := range []func([]byte, func(uint32, []byte)) bool{eachElement, eachField, eachPair} {
		if !form(b, func(uint32, []byte) {}) {
			continue
		}
		form(b, func(typ uint32, part []byte) { refused = v.value(typ, part) || refused })
		return refused
	}
	return v.opaque(b)
}

// textlessTypes are the OIDs of types whose values hold no text of anybody's, and
// of their arrays. Numbers are among them: what takes a number for a name cannot
// do with another.
var textlessTypes = []uint32{
	16, 17, 18, 20, 21, 23, 26, 27, 28, 29, 600, 601, 602, 603, 604, 628, 650, 700, 701, 718, 774, 790, 829, 869,
	1000, 1001, 1005, 1007, 1016, 1021, 1022, 1028, 1082, 1083, 1114, 1115, 1182, 1183, 1184, 1185, 1186, 1187, 1231, 1266, 1270,
	1560, 1562, 1700, 2950, 2951, 3220, 5069,
}

func textless(typ uint32) bool {
	_, found := slices.BinarySearch(textlessTypes, typ)
	return found
}

// eachElement takes apart an array in binary form, as array_recv does. It tells
// whether it is one.
func eachElement(value []byte, each func(typ uint32, part []byte)) bool {
	b := wire.PartOf(value)
	dimensions, flags, typ := b.Int32(), b.Int32(), uint32(b.Int32())
	if dimensions < 1 || dimensions > 6 || flags&^1 != 0 {
		return false
	}
	n := 1
	for range dimensions {
		n *= max(0, min(b.Int32(), len(value)))
		b.Int32()
		if n > len(value) {
			return false
		}
	}
	for ; n > 0 && b.Err() == nil; n-- {
		eachSized(&b, typ, each)
	}
	return b.Err() == nil && len(b.Rest()) == 0
}

// eachField takes apart a record in binary form, as record_recv does.
func eachField(value []byte, each func(typ uint32, part []byte)) bool {
	b := wire.PartOf(value)
	for n := b.Int32(); n > 0 && b.Err() == nil; n-- {
		eachSized(&b, uint32(b.Int32()), each)
	}
	return b.Err() == nil && len(b.Rest()) == 0
}

// eachPair takes apart the keys and values of an hstore in binary form.
func eachPair(value []byte, each func(typ uint32, part []byte)) bool {
	b := wire.PartOf(value)
	for n := b.Int32(); n > 0 && b.Err() == nil; n-- {
		eachSized(&b, 0, each)
		eachSized(&b, 0, each)
	}
	return b.Err() == nil && len(b.Rest()) == 0
}

// eachSized takes a value behind its length, which is negative for NULL.
func eachSized(b *wire.Body, typ uint32, each func(typ uint32, part []byte)) {
	if size := b.Int32(); size >= 0 {
		part := b.Bytes(size)
		if b.Err() == nil {
			each(typ, part)
		}
	}
}

// row looks into a DataRow whose columns are of those types, as far as they are
// known.
func (v *sieve) row(frame []byte, types []uint32) (refused bool, err error) {
	b := wire.BodyOf(frame)
	for i := range b.Int16() {
		size := b.Int32()
		if size < 0 {
			continue
		}
		typ := uint32(0)
		if i < len(types) {
			typ = types[i]
		}
		refused = v.value(typ, b.Bytes(size)) || refused
	}
	if b.Err() != nil {
		return false, newFatal("08P01", "malformed DataRow message")
	}
	return refused, nil
}

// typesIn gives the types of the columns that a RowDescription describes.
func typesIn(frame []byte) ([]uint32, error) {
	b := wire.BodyOf(frame)
	types := make([]uint32, 0, max(0, min(b.Int16(), len(frame))))
	for range cap(types) {
		b.String()
		b.Bytes(6)
		types = append(types, uint32(b.Int32()))
		b.Bytes(8)
	}
	if b.Err() != nil {
		return nil, newFatal("08P01", "malformed RowDescription message")
	}
	return types, nil
}
