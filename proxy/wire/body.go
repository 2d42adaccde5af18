package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Body takes a frame's body apart. After the first field that is not there,
// every further one is empty and Err tells.
type Body struct {
	b   []byte
	err error
}

// BodyOf gives a frame's body.
func BodyOf(frame []byte) Body { return Body{b: frame[HeadLen:]} }

// PartOf gives a part of a body, to be taken apart as one.
func PartOf(body []byte) Body { return Body{b: body} }

// Err tells whether a field was missing.
func (b *Body) Err() error { return b.err }

// Rest gives what was not taken yet.
func (b *Body) Rest() []byte { return b.b }

// String takes a zero-terminated string, without its zero.
func (b *Body) String() []byte {
	i := bytes.IndexByte(b.b, 0)
	if i < 0 {
		b.fail("string")
		return nil
	}
	s := b.b[:i]
	b.b = b.b[i+1:]
	return s
}

// Byte takes a byte.
func (b *Body) Byte() byte {
	if len(b.b) < 1 {
		b.fail("byte")
		return 0
	}
	c := b.b[0]
	b.b = b.b[1:]
	return c
}

// Int16 takes a 16-bit integer.
func (b *Body) Int16() int {
	if len(b.b) < 2 {
		b.fail("16-bit integer")
		return 0
	}
	n := int(int16(binary.BigEndian.Uint16(b.b)))
	b.b = b.b[2:]
	return n
}

// Int32 takes a 32-bit integer.
func (b *Body) Int32() int {
	if len(b.b) < 4 {
		b.fail("32-bit integer")
		return 0
	}
	n := int(int32(binary.BigEndian.Uint32(b.b)))
	b.b = b.b[4:]
	return n
}

// Bytes takes n bytes; a negative n is an error.
func (b *Body) Bytes(n int) []byte {
	if n < 0 || n > len(b.b) {
		b.fail(fmt.Sprintf("%d bytes", n))
		return nil
	}
	p := b.b[:n]
	b.b = b.b[n:]
	return p
}

func (b *Body) fail(what string) {
	if b.err == nil {
		b.err = fmt.Errorf("%w: no %s where one is expected", ErrFrame, what)
	}
	b.b = nil
}

// CString gives a string with its terminating zero.
func CString(s string) []byte { return append([]byte(s), 0) }

// Error fields, from the protocol's "Error and Notice Message Fields".
const (
	FieldSeverity            = 'S'
	FieldSeverityUnlocalized = 'V'
	FieldCode                = 'C'
	FieldMessage             = 'M'
	FieldDetail              = 'D'
	FieldHint                = 'H'
	FieldPosition            = 'P'
	FieldInternalPosition    = 'p'
	FieldInternalQuery       = 'q'
	FieldWhere               = 'W'
	FieldSchema              = 's'
	FieldTable               = 't'
	FieldColumn              = 'c'
	FieldDatatype            = 'd'
	FieldConstraint          = 'n'
)

// Field is one field of an ErrorResponse or NoticeResponse.
type Field struct {
	Type  byte
	Value string
}

// Fields takes the body of an ErrorResponse or NoticeResponse apart.
func Fields(frame []byte) ([]Field, error) {
	b := BodyOf(frame)
	var fields []Field
	for {
		typ := b.Byte()
		if typ == 0 || b.err != nil {
			return fields, b.err
		}
		fields = append(fields, Field{typ, string(b.String())})
	}
}

// AppendFields appends the body of an ErrorResponse or NoticeResponse.
func AppendFields(dst []byte, fields []Field) []byte {
	for _, f := range fields {
		if f.Value == "" {
			continue
		}
		dst = append(append(append(dst, f.Type), f.Value...), 0)
	}
	return append(dst, 0)
}
