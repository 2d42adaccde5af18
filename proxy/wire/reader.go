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

// Reader reads frames from a connection. It either reads from a source itself
// (Fill), or is given what somebody else reads (Room, Added, Keep). It holds a
// buffer only while bytes are in it.
type Reader struct {
	src        io.Reader
	buf        []byte
	start, end int  // what is buffered: buf[start:end]
	lent       bool // buf is not the reader's own
	stream     bool // the last Fill found more than a small buffer holds
	arrived    int  // bytes read since Arrived was asked
}

// NewReader makes a reader of a source.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

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

// Run consumes the frames of one type that lie whole in the buffer, side by
// side, and tells how many they are.
func (r *Reader) Run(typ byte) (frames []byte, count int) {
	at := r.start
	for r.end-at >= HeadLen && r.buf[at] == typ {
		n := int(binary.BigEndian.Uint32(r.buf[at+1:])) + 1
		if n < HeadLen || n > r.end-at {
			break
		}
		at += n
		count++
	}
	return r.Take(at - r.start), count
}

// Arrived tells how many bytes were read since it was last asked.
func (r *Reader) Arrived() int {
	n := r.arrived
	r.arrived = 0
	return n
}

// Take consumes n buffered bytes. They are valid until the next Fill, Room or
// Keep, and must not be appended to: what follows them in memory is the next
// frame.
func (r *Reader) Take(n int) []byte {
	b := r.buf[r.start : r.start+n : r.end]
	r.start += n
	return b
}

// Untake gives back the last n bytes that Take gave.
func (r *Reader) Untake(n int) { r.start -= n }

// small is the size of the buffer that a Reader waits with: many wait, and
// most messages are small.
const small = 512

// Fill reads until at least n bytes are buffered. It invalidates what Take
// gave. The buffer grows as bytes arrive, not by what a head promises.
func (r *Reader) Fill(n int) error {
	for r.Buffered() < n {
		room := r.roomToFill()
		got, err := r.src.Read(room)
		r.Added(got)
		r.stream = got >= small
		if err != nil && r.Buffered() < n {
			if err == io.EOF && r.Buffered() > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

func (r *Reader) roomToFill() []byte {
	if r.Buffered() > 0 {
		return r.ownRoom()
	}
	r.start, r.end = 0, 0
	switch {
	case r.stream && len(r.buf) < pooled:
		r.buf = getBuffer()
	case !r.stream && len(r.buf) != small:
		putBuffer(r.buf)
		r.buf = make([]byte, small)
	}
	return r.buf
}

// Room gives where the next bytes are to be read: into lent, unless so much is
// left over that the reader needs a buffer of its own. It invalidates what Take
// gave. Added must be told how many were read, and Keep be called before lent is
// used for anything else.
func (r *Reader) Room(lent []byte) []byte {
	left := r.Buffered()
	if left > len(lent)/2 {
		return r.ownRoom()
	}
	copy(lent, r.buf[r.start:r.end])
	r.release()
	r.buf, r.start, r.end, r.lent = lent, 0, left, true
	return lent[left:]
}

// Added tells how many bytes were read where Room said.
func (r *Reader) Added(n int) {
	r.end += n
	r.arrived += n
}

// Keep moves what is left over from a lent buffer to one of the reader's own,
// and lets go of a buffer that is empty. It invalidates what Take gave.
func (r *Reader) Keep() {
	left := r.buf[r.start:r.end]
	switch {
	case len(left) == 0:
		r.release()
	case r.lent:
		own := bufferFor(len(left) + 1)
		r.start, r.end = 0, copy(own, left)
		r.buf, r.lent = own, false
	}
}

func (r *Reader) release() {
	if !r.lent {
		putBuffer(r.buf)
	}
	r.buf, r.start, r.end, r.lent = nil, 0, 0, false
}

// ownRoom gives room behind what is buffered in the reader's own buffer.
func (r *Reader) ownRoom() []byte {
	if r.lent {
		r.Keep()
	}
	if r.end == len(r.buf) {
		r.makeRoom()
	}
	return r.buf[r.end:]
}

func (r *Reader) makeRoom() {
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
		return
	}
	grown := bufferFor(2 * len(r.buf))
	copy(grown, r.buf)
	putBuffer(r.buf)
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
