package proxy

import (
	"fmt"

	"github.com/pgveil/pgveil/proxy/wire"
)

// copyOut looks into the data of a COPY TO STDOUT. The server sends a row in each
// message, but need not: what is not a whole row yet is held until it is.
type copyOut struct {
	binary bool
	begun  bool // what is before the rows in binary form was there
	held   []byte
}

// signature begins COPY's binary format.
const signature = "PGCOPY\n\377\r\n\x00"

// take takes the data of a message. It gives what the client may be sent, looked
// into and in the place of what was held, once that is whole rows; else nil. data
// is not kept, and may be what is given. The error is why a row cannot be held.
func (c *copyOut) take(v *sieve, data []byte) (whole []byte, refused bool, err error) {
	if len(c.held)+len(data) > maxAnswer {
		c.held = nil
		return nil, false, fmt.Errorf("a row of COPY is longer than the %d bytes that are looked into", maxAnswer)
	}
	if len(c.held) > 0 {
		c.held = append(c.held, data...)
		data = c.held
	}
	whole = data
	if c.binary {
		var ends bool
		if refused, ends = c.tuples(v, data); !ends {
			whole = nil
		}
	} else if len(data) > 0 && data[len(data)-1] != '\n' {
		whole = nil
	}
	switch {
	case whole == nil && len(c.held) == 0:
		c.held = append(c.held, data...)
		return nil, refused, nil
	case whole == nil:
		return nil, refused, nil
	case !c.binary:
		refused = v.text(data)
	}
	c.held = nil
	return whole, refused, nil
}

// rest gives what is held when the data ends, looked into.
func (c *copyOut) rest(v *sieve) (rest []byte, refused bool) {
	rest, c.held = c.held, nil
	if c.binary {
		return rest, v.opaque(rest)
	}
	return rest, v.text(rest)
}

// tuples looks into rows in binary form. ends tells whether the last of them is
// whole; if not, nothing is looked into, and all will come again.
func (c *copyOut) tuples(v *sieve, data []byte) (refused, ends bool) {
	b := wire.PartOf(data)
	begun := c.begun
	if !begun {
		if string(b.Bytes(min(len(data), len(signature)))) != signature[:min(len(data), len(signature))] {
			return v.opaque(data), true
		}
		b.Int32()
		b.Bytes(b.Int32())
		begun = b.Err() == nil
	}
	if !begun || !wholeTuples(b) {
		return false, false
	}
	c.begun = true
	for len(b.Rest()) > 0 {
		for n := b.Int16(); n > 0; n-- {
			eachSized(&b, 0, func(_ uint32, part []byte) { refused = v.value(0, part) || refused })
		}
	}
	return refused, true
}

// wholeTuples tells whether data ends where a row does.
func wholeTuples(b wire.Body) bool {
	for len(b.Rest()) > 0 && b.Err() == nil {
		for n := b.Int16(); n > 0 && b.Err() == nil; n-- {
			if size := b.Int32(); size > 0 {
				b.Bytes(size)
			}
		}
	}
	return b.Err() == nil
}

// copyFormat tells whether CopyOutResponse says that the data is binary.
func copyFormat(frame []byte) bool {
	b := wire.BodyOf(frame)
	return b.Byte() == 1
}
