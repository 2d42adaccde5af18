// Package wire reads and writes frames of PostgreSQL's frontend/backend
// protocol: a type byte, a length that counts itself, a body. It does not look
// into bodies.
//
// A Reader hands out slices of its buffer; a Writer sends slices that lie side
// by side in one write. So frames that nobody changes go from one socket to
// the other without being copied, and a batch that arrives in one read leaves
// in one write.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// HeadLen is the length of a frame's head: the type and the length.
const HeadLen = 5

// MaxFrame is the longest frame that PostgreSQL itself sends or takes: the
// limit of a palloc'd buffer (MaxAllocSize), plus the head.
const MaxFrame = 1<<30 - 1 + 1

// ErrFrame is a head that cannot be one of a frame.
var ErrFrame = errors.New("malformed frame")

// Reader reads frames from a connection.
type Reader struct {
	src        io.Reader
	buf        []byte
	start, end int // what is buffered: buf[start:end]
	size       int // the buffer's usual size
	arrived    int // bytes read since Arrived was asked
}

// NewReader makes a reader with a buffer of size bytes, which grows for
// longer frames that are wanted whole.
func NewReader(src io.Reader, size int) *Reader {
	return &Reader{src: src, buf: make([]byte, size), size: size}
}

// Buffered tells how many bytes are there without reading.
func (r *Reader) Buffered() int { return r.end - r.start }

// Head looks at the next frame's head. n is the whole frame's length. ok is
// false when the head is not buffered yet.
func (r *Reader) Head() (typ byte, n int, ok bool, err error) {
	if r.Buffered() < HeadLen {
		return 0, 0, false, nil
	}
	length := binary.BigEndian.Uint32(r.buf[r.start+1:])
	if length < 4 || length > MaxFrame-1 {
		return 0, 0, false, fmt.Errorf("%w: type %q, length %d", ErrFrame, r.buf[r.start], length)
	}
	return r.buf[r.start], int(length) + 1, true, nil
}

// Arrived tells how many bytes were read since it was last asked.
func (r *Reader) Arrived() int {
	n := r.arrived
	r.arrived = 0
	return n
}

// Take consumes n buffered bytes. They are valid until the next Fill, and must
// not be appended to: what follows them in memory is the next frame.
func (r *Reader) Take(n int) []byte {
	b := r.buf[r.start : r.start+n : r.end]
	r.start += n
	return b
}

// Fill reads until at least n bytes are buffered. It invalidates what Take
// gave. The buffer grows as bytes arrive, not by what a head promises.
func (r *Reader) Fill(n int) error {
	if r.start == r.end {
		r.start, r.end = 0, 0
		if len(r.buf) > r.size && n <= r.size {
			r.buf = make([]byte, r.size)
		}
	}
	for r.Buffered() < n {
		if r.end == len(r.buf) {
			r.makeRoom()
		}
		got, err := r.src.Read(r.buf[r.end:])
		r.end += got
		r.arrived += got
		if err != nil && r.Buffered() < n {
			if err == io.EOF && r.Buffered() > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

func (r *Reader) makeRoom() {
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
		return
	}
	grown := make([]byte, 2*len(r.buf))
	copy(grown, r.buf)
	r.buf = grown
}

// Whole reads until the next frame is buffered as a whole and consumes it. A
// frame longer than limit is an error.
func (r *Reader) Whole(limit int) (frame []byte, err error) {
	if err := r.Fill(HeadLen); err != nil {
		return nil, err
	}
	_, n, _, err := r.Head()
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%w: %d bytes where at most %d are expected", ErrFrame, n, limit)
	}
	if err := r.Fill(n); err != nil {
		return nil, err
	}
	return r.Take(n), nil
}

// Writer collects frames and sends them together.
type Writer struct {
	dst  io.Writer
	buf  []byte // copied bytes
	tail []byte // a slice of a Reader's buffer that follows buf
}

// NewWriter makes a writer.
func NewWriter(dst io.Writer) *Writer { return &Writer{dst: dst} }

// keep is the capacity of buf that survives a Flush.
const keep = 64 << 10

// Pass adds bytes that stay valid until the next Flush. Slices that follow
// each other in memory are sent as one.
func (w *Writer) Pass(b []byte) {
	if len(w.tail) > 0 {
		n := len(w.tail)
		if cap(w.tail) > n && len(b) > 0 && &w.tail[:n+1][n] == &b[0] {
			w.tail = w.tail[: n+len(b) : n+cap(b)]
			return
		}
		w.buf = append(w.buf, w.tail...)
	}
	w.tail = b
}

// Copy adds bytes that need not stay valid.
func (w *Writer) Copy(b []byte) {
	w.settle()
	w.buf = append(w.buf, b...)
}

// Frame adds a frame made of a type and the parts of its body.
func (w *Writer) Frame(typ byte, parts ...[]byte) {
	w.settle()
	n := 4
	for _, p := range parts {
		n += len(p)
	}
	w.buf = append(w.buf, typ)
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(n))
	for _, p := range parts {
		w.buf = append(w.buf, p...)
	}
}

func (w *Writer) settle() {
	w.buf = append(w.buf, w.tail...)
	w.tail = nil
}

// Pending tells whether anything waits for a Flush.
func (w *Writer) Pending() bool { return len(w.buf)+len(w.tail) > 0 }

// Flush sends everything added, in one write when it lies together.
func (w *Writer) Flush() error {
	out := w.tail
	if len(w.buf) > 0 {
		w.settle()
		out = w.buf
	}
	if len(out) == 0 {
		return nil
	}
	_, err := w.dst.Write(out)
	w.tail = nil
	if cap(w.buf) > keep {
		w.buf = nil
	}
	w.buf = w.buf[:0]
	return err
}
