package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// frame is one frame as read. Its payload is valid until the next read.
type frame struct {
	offset  int64
	seq     uint64
	kind    Kind
	chain   hash
	payload []byte
}

// scanner walks the frames of one segment. It holds a window of the file,
// never more, whatever the bytes say.
type scanner struct {
	src  io.ReaderAt
	name string
	header
	idSum uint32
	floor uint64 // records with a lower seq are under a signed checkpoint
	deep  bool   // check chain hashes and payloads too, not only checksums

	offset int64  // of the next frame
	tip    int64  // of the frame before it; 0 when there is none
	next   uint64 // seq of the next frame
	before hash   // chain hash before it

	window []byte
	start  int64 // offset of the window
}

const windowSize = 256 << 10 // holds several of the largest frames

// newScanner reads the header of the segment that begins with record first.
func newScanner(src io.ReaderAt, first uint64, deep bool) (*scanner, error) {
	s := &scanner{src: src, name: segmentName(first), idSum: idSum(first), deep: deep, offset: headerSize, next: first}
	b, err := s.at(0, headerSize)
	if err != nil {
		return nil, err
	}
	s.header, err = decodeHeader(b)
	if err == nil && s.first != first {
		err = fmt.Errorf("the header says that it begins with record %d", s.first)
	}
	if err != nil {
		return nil, &Fault{Segment: s.name, Seq: first, Problem: err.Error()}
	}
	s.before = s.chain
	return s, nil
}

// scan gives the next frame; io.EOF where none begins, a *Fault where one
// begins and is not good. After either it may be called again: a log that is
// being written goes on there.
func (s *scanner) scan() (frame, error) {
	head, err := s.at(s.offset, frameSize)
	if err != nil {
		return frame{}, err
	}
	if len(head) < frameSize || binary.LittleEndian.Uint32(head) == 0 {
		s.forget()
		return frame{}, io.EOF
	}
	f, err := s.check(head)
	if err != nil {
		s.forget()
		return frame{}, err
	}
	s.tip, s.next, s.before = s.offset, s.next+1, f.chain
	s.offset += int64(frameSize + len(f.payload))
	return f, nil
}

// check reads the frame that begins with head.
func (s *scanner) check(head []byte) (frame, error) {
	length := binary.LittleEndian.Uint32(head)
	if length > maxPayload {
		return frame{}, s.torn("its length, %d, is more than a record can have", length)
	}
	b, err := s.at(s.offset, frameSize+int(length))
	if err != nil {
		return frame{}, err
	}
	f, ok := parseFrame(b, s.idSum)
	if !ok {
		return frame{}, s.torn("the checksum does not match")
	}
	f.offset = s.offset
	if f.seq != s.next {
		return frame{}, s.fault("record %d stands in its place", f.seq)
	}
	if s.deep {
		return f, s.checkDeep(f)
	}
	return f, nil
}

// parseFrame reads the frame at the start of b, when it is a whole one of the
// segment with that idSum.
func parseFrame(b []byte, idSum uint32) (frame, bool) {
	if len(b) < frameSize {
		return frame{}, false
	}
	length := binary.LittleEndian.Uint32(b)
	kind := b[kindAt]
	if length == 0 || length > maxPayload || len(b) < frameSize+int(length) || kind == 0 || int(kind) > len(kinds) {
		return frame{}, false
	}
	b = b[:frameSize+int(length)]
	return frame{
		seq:     binary.LittleEndian.Uint64(b[seqAt:]),
		kind:    kinds[kind-1],
		chain:   hash(b[chainAt:]),
		payload: b[frameSize:],
	}, binary.LittleEndian.Uint32(b[4:]) == checksum(idSum, b[seqAt:])
}

// checkDeep checks what an editor who knows about checksums would have to get
// right as well.
func (s *scanner) checkDeep(f frame) error {
	h := sha256.New()
	h.Write(s.before[:])
	h.Write(f.payload)
	if !bytes.Equal(h.Sum(nil), f.chain[:]) {
		return s.fault("the chain hash does not follow from the records before")
	}
	if seq, kind, ok := cutHead(f.payload); !ok || seq != f.seq || kind != f.kind {
		return s.fault("the payload is of another record or kind than the frame says")
	}
	return nil
}

// cutHead reads seq and kind out of a payload, without parsing the rest.
func cutHead(payload []byte) (uint64, Kind, bool) {
	rest, ok := bytes.CutPrefix(payload, []byte(`{"seq":`))
	digits, rest, ok2 := bytes.Cut(rest, []byte(`,"time":"`))
	_, rest, ok3 := bytes.Cut(rest, []byte(`","kind":"`))
	kind, _, ok4 := bytes.Cut(rest, []byte(`"`))
	seq, err := strconv.ParseUint(string(digits), 10, 64)
	return seq, Kind(kind), ok && ok2 && ok3 && ok4 && err == nil
}

// time is that of the record, zero where it has none that can be read.
func (f frame) time() time.Time {
	var r struct{ Time time.Time }
	if json.Unmarshal(f.payload, &r) != nil {
		return time.Time{}
	}
	return r.Time
}

// lastTime is the time of the record before the next.
func (s *scanner) lastTime() time.Time {
	b, err := s.at(s.tip, maxFrame)
	if err != nil {
		return time.Time{}
	}
	f, _ := parseFrame(b, s.idSum)
	return f.time()
}

func (s *scanner) fault(format string, args ...any) *Fault {
	return &Fault{Segment: s.name, Offset: s.offset, Seq: s.next, Problem: fmt.Sprintf(format, args...)}
}

func (s *scanner) torn(format string, args ...any) *Fault {
	f := s.fault(format, args...)
	f.torn = true
	return f
}

// at gives n bytes at an offset, fewer at the end of the file. They are valid
// until the next call.
func (s *scanner) at(offset int64, n int) ([]byte, error) {
	if i := offset - s.start; i < 0 || i+int64(n) > int64(len(s.window)) {
		if s.window == nil {
			s.window = make([]byte, 0, windowSize)
		}
		got, err := s.src.ReadAt(s.window[:windowSize], offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read segment %s: %w", s.name, err)
		}
		s.window, s.start = s.window[:got], offset
	}
	b := s.window[offset-s.start:]
	return b[:min(n, len(b))], nil
}

// forget drops the window, so that the next read sees what was written since.
func (s *scanner) forget() { s.window = s.window[:0] }

// rest is what lies behind the last good frame of a segment.
type rest struct {
	bytes int64 // up to the last that is not zero
	whole int   // frames in it that are whole, and can only be of later records
}

// judge says what stopped a scan of the last segment, given scan's error: the
// rest, when a crash can have left it; else an error.
func (s *scanner) judge(stop error) (rest, error) {
	var fault *Fault
	switch {
	case errors.As(stop, &fault) && !fault.torn:
		return rest{}, fault
	case fault == nil && !errors.Is(stop, io.EOF):
		return rest{}, stop
	case s.next < s.floor && fault == nil:
		return rest{}, s.fault("it is missing, though a checkpoint of %d records is signed", s.floor)
	case s.next < s.floor:
		return rest{}, s.fault("%s, though a checkpoint of %d records is signed", fault.Problem, s.floor)
	case s.next < s.mark && fault == nil:
		return rest{}, s.fault("it is missing, though every record below %d was durable once", s.mark)
	case s.next < s.mark:
		return rest{}, s.fault("%s, though every record below %d was durable once", fault.Problem, s.mark)
	}
	return s.readRest()
}

// readRest reads on from where scan stopped.
func (s *scanner) readRest() (rest, error) {
	var r rest
	for at := s.offset; ; {
		b, err := s.at(at, windowSize)
		if err != nil || len(b) == 0 {
			return r, err
		}
		if end := len(bytes.TrimRight(b, "\x00")); end > 0 {
			r.bytes = at + int64(end) - s.offset
		}
		step := len(b)
		if step == windowSize {
			step -= maxFrame // a frame may lie across the end
		}
		r.whole += s.countWhole(b, step)
		at += int64(step)
	}
}

// countWhole counts the whole frames of later records that begin in the first
// n bytes of b.
func (s *scanner) countWhole(b []byte, n int) int {
	count := 0
	for i := 0; i < n && i+frameSize <= len(b); i++ {
		if b[i+kindAt] == 0 || int(b[i+kindAt]) > len(kinds) || binary.LittleEndian.Uint64(b[i+seqAt:])-s.next > maxAhead {
			continue // most offsets: no need of the checksum
		}
		if f, ok := parseFrame(b[i:], s.idSum); ok {
			count++
			i += frameSize + len(f.payload) - 1
		}
	}
	return count
}

// maxAhead bounds how far ahead a record in the same segment can be.
const maxAhead = 1 << 40
