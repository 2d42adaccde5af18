package audit

import (
	"encoding/binary"
	"errors"
	"slices"
)

// What Contents hold at most, so that a record has room for them when they are
// sealed: the rest is cut, and how much it was is said.
const (
	maxContents  = 24 << 10
	maxText      = 12 << 10
	maxParameter = 1 << 10
)

// Contents are what a client sent: the text of a statement with its literals,
// and the values of its parameters. They are what the log otherwise leaves out.
// The zero Contents are empty.
type Contents struct {
	Text       []byte
	TextSize   int // of the whole text, of which Text is the beginning
	Parameters []Parameter
	Count      int // of all parameters, of which Parameters are the first
	used       int // by Parameters
}

// Parameter is the value of one.
type Parameter struct {
	Null   bool
	Binary bool
	Value  []byte
	Size   int // of the whole value, of which Value is the beginning
}

// CutText keeps what fits of a text, of which size bytes were sent. It holds on
// to nothing of it.
func (c *Contents) CutText(text []byte, size int) {
	c.Text, c.TextSize = slices.Clone(text[:min(len(text), maxText)]), size
}

// parameterSize is what a parameter takes beside its value at most.
const parameterSize = 1 + binary.MaxVarintLen32 + binary.MaxVarintLen32

// Room tells whether another parameter would fit.
func (c *Contents) Room() bool {
	return len(c.Text)+4*binary.MaxVarintLen32+c.used+parameterSize+maxParameter <= maxContents
}

// Add keeps what fits of the next parameter, of which size bytes were sent.
// There must be room.
func (c *Contents) Add(value []byte, size int, binary bool) {
	p := Parameter{Binary: binary, Value: slices.Clone(value[:min(len(value), maxParameter)]), Size: size}
	c.Parameters, c.used = append(c.Parameters, p), c.used+parameterSize+len(p.Value)
}

// AddNull keeps the next parameter, which is NULL. There must be room.
func (c *Contents) AddNull() {
	c.Parameters, c.used = append(c.Parameters, Parameter{Null: true}), c.used+parameterSize
}

// marshal writes contents as they are sealed: lengths are varints.
func (c Contents) marshal() []byte {
	b := make([]byte, 0, 64+len(c.Text))
	number := func(n int) { b = binary.AppendUvarint(b, uint64(n)) }
	number(c.TextSize)
	number(len(c.Text))
	b = append(b, c.Text...)
	number(c.Count)
	number(len(c.Parameters))
	for _, p := range c.Parameters {
		switch {
		case p.Null:
			b = append(b, 0)
			continue
		case p.Binary:
			b = append(b, 2)
		default:
			b = append(b, 1)
		}
		number(p.Size)
		number(len(p.Value))
		b = append(b, p.Value...)
	}
	return b
}

var errContents = errors.New("the contents are not written as contents are")

// parseContents reads what marshal wrote.
func parseContents(b []byte) (c Contents, err error) {
	number := func() int {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > 1<<31 {
			err, b = errContents, nil
			return 0
		}
		b = b[size:]
		return int(n)
	}
	value := func() []byte {
		n := number()
		if n > len(b) {
			err, n = errContents, len(b)
		}
		v := b[:n]
		b = b[n:]
		return v
	}
	c.TextSize, c.Text = number(), value()
	c.Count = number()
	for range number() {
		if len(b) == 0 || err != nil {
			return c, errContents
		}
		form := b[0]
		b = b[1:]
		p := Parameter{Null: form == 0, Binary: form == 2}
		if form > 2 {
			return c, errContents
		}
		if !p.Null {
			p.Size, p.Value = number(), value()
		}
		c.Parameters = append(c.Parameters, p)
	}
	if len(b) > 0 {
		err = errContents
	}
	return c, err
}
