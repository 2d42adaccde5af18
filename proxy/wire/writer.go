package wire

import (
	"encoding/binary"
	"io"
)

// Writer collects frames and sends them together. It holds a buffer only while
// something waits to be sent.
type Writer struct {
	dst  io.Writer
	buf  []byte // copied bytes
	tail []byte // a slice of a Reader's buffer that follows buf
}

// NewWriter makes a writer.
func NewWriter(dst io.Writer) *Writer { return &Writer{dst: dst} }

// To sends what is added from now on elsewhere. Nothing may be pending.
func (w *Writer) To(dst io.Writer) { w.dst = dst }

// Pass adds bytes that stay valid until the next Flush or Keep. Slices that
// follow each other in memory are sent as one.
func (w *Writer) Pass(b []byte) {
	if len(b) == 0 {
		return
	}
	if n := len(w.tail); n > 0 {
		if cap(w.tail) > n && &w.tail[:n+1][n] == &b[0] {
			w.tail = w.tail[: n+len(b) : n+cap(b)]
			return
		}
		w.append(w.tail)
	}
	w.tail = b
}

// Copy adds bytes that need not stay valid.
func (w *Writer) Copy(b []byte) {
	w.Keep()
	w.append(b)
}

// Frame adds a frame made of a type and the parts of its body.
func (w *Writer) Frame(typ byte, parts ...[]byte) {
	w.Keep()
	w.append(nil)
	w.buf = AppendFrame(w.buf, typ, parts...)
}

// Head adds the head of a frame of n bytes in all, whose body follows.
func (w *Writer) Head(typ byte, n int) {
	w.Keep()
	w.append(nil)
	w.buf = append(w.buf, typ)
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(n-1))
}

// AppendFrame appends a frame made of a type and the parts of its body.
func AppendFrame(b []byte, typ byte, parts ...[]byte) []byte {
	n := 4
	for _, p := range parts {
		n += len(p)
	}
	b = append(b, typ)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// Keep copies what was passed, so that it need not stay valid.
func (w *Writer) Keep() {
	if len(w.tail) > 0 {
		w.append(w.tail)
		w.tail = nil
	}
}

func (w *Writer) append(b []byte) {
	if w.buf == nil {
		w.buf = getBuffer()[:0]
	}
	w.buf = append(w.buf, b...)
}

// Pending tells whether anything waits for a Flush.
func (w *Writer) Pending() bool { return len(w.buf)+len(w.tail) > 0 }

// Flush sends everything added, in one write when it lies together.
func (w *Writer) Flush() error {
	out := w.tail
	if len(w.buf) > 0 {
		w.Keep()
		out = w.buf
	}
	if len(out) == 0 {
		return nil
	}
	_, err := w.dst.Write(out)
	putBuffer(w.buf)
	w.buf, w.tail = nil, nil
	return err
}
