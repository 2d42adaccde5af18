package proxy

import (
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// Sealing says which contents of statements their records hold, encrypted, and
// seals images of rows, if plans have some taken. The zero Sealing says that no
// record holds any.
type Sealing struct {
	By         *audit.Sealer
	Text       bool
	Parameters bool
}

// contentsOf takes what is to be sealed of a statement's text, of which left
// bytes are still to come; nil where nothing is.
func (s *session) contentsOf(text []byte, left int) *audit.Contents {
	if !s.srv.sealing.Text && !s.srv.sealing.Parameters {
		return nil
	}
	c := &audit.Contents{}
	if s.srv.sealing.Text {
		c.CutText(text, len(text)+left)
	}
	return c
}

// boundTo takes the contents of a portal: those of its statement, and the
// parameters. b is what follows the names in a Bind message, of which left bytes
// are still to come.
func (s *session) boundTo(of *audit.Contents, b wire.Body, left int) *audit.Contents {
	if of == nil || !s.srv.sealing.Parameters {
		return of
	}
	c := &audit.Contents{Text: of.Text, TextSize: of.TextSize}
	formats := make([]bool, uint16(b.Int16()))
	for i := range formats {
		formats[i] = b.Int16() == 1
	}
	c.Count = int(uint16(b.Int16()))
	for i := 0; i < c.Count && b.Err() == nil && c.Room(); i++ {
		isBinary := len(formats) == 1 && formats[0] || len(formats) > 1 && i < len(formats) && formats[i]
		addParameter(c, &b, isBinary, left)
	}
	return c
}

// addParameter reads the next parameter of a Bind message, of which left bytes
// are still to come.
func addParameter(c *audit.Contents, b *wire.Body, isBinary bool, left int) {
	size := b.Int32()
	switch {
	case b.Err() != nil:
	case size < 0:
		c.AddNull()
	case size <= len(b.Rest()):
		c.Add(b.Bytes(size), size, isBinary)
	case size <= len(b.Rest())+left:
		c.Add(b.Rest(), size, isBinary)
		b.Bytes(size) // there is no more
	}
}

// seal puts the contents of a statement into its record. Where that cannot be
// done, the statement must not be sent.
func (s *session) seal(r *audit.Record, c *audit.Contents) error {
	if c == nil {
		return nil
	}
	if err := s.srv.sealing.By.Seal(s.srv.now(), r, *c); err != nil {
		return s.refuseUnsealed(err, "what the statement holds")
	}
	return nil
}

func (s *session) refuseUnsealed(err error, what string) error {
	s.log.Error("statements are refused: "+what+" cannot be sealed", "err", err)
	return &rewrite.Refusal{Code: "58030", Message: what + " cannot be sealed for the access log, which must hold it", Hint: "an operator must look at it"}
}
