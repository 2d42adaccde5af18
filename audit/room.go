package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// retryAfter is the least time between two attempts to allocate a segment
// after one failed.
const retryAfter = time.Second

// room is the segment allocated ahead. Allocating early finds a full disk
// while there is still room for what a careful shutdown has to say, and keeps
// the wait out of Append.
type room struct {
	spare      *segment
	allocating bool
	err        error     // of the last attempt; nil after a success
	tried      time.Time // when it ended
	refused    uint64
	told       uint64 // of refused: how many the log has a record of
}

// makeRoom sees to it that the current segment has need bytes left. The
// caller holds l.mu.
func (l *Log) makeRoom(need int) error {
	if err := l.stopped(); err != nil {
		return err
	}
	if l.cur.end+need > len(l.cur.data) {
		return l.rotate(need)
	}
	if l.cur.end > len(l.cur.data)/5*4 {
		l.allocateAhead()
	}
	l.warmAhead()
	return nil
}

// warmStep is how much of a segment is made ready to be written at a time, and
// how long before it is.
const warmStep = 1 << 20

// warmAhead has the pages that come next made ready in the background: the
// first write to each asks the file system, which may be busy making older ones
// durable. The caller holds l.mu.
func (l *Log) warmAhead() {
	s := l.cur
	if s.warming || s.warm == len(s.data) || s.end+warmStep <= s.warm {
		return
	}
	page := os.Getpagesize()
	from := max(s.warm, s.end/page*page)
	to := min(from+warmStep, len(s.data))
	s.warming = true
	s.users.Go(func() {
		// Where the system does not know this, a write waits as it did.
		_ = unix.Madvise(s.data[from:to], unix.MADV_POPULATE_WRITE)
		l.mu.Lock()
		defer l.mu.Unlock()
		s.warm, s.warming = to, false
	})
}

// rotate changes to the next segment, for which it waits while it is being
// allocated: a burst can outrun that.
func (l *Log) rotate(need int) error {
	for l.room.spare == nil {
		l.allocateAhead()
		if !l.room.allocating {
			l.room.refused++
			return fmt.Errorf("%w: %w", ErrFull, l.room.err)
		}
		l.changed.Wait()
		if err := l.stopped(); err != nil {
			return err
		}
	}
	if l.cur.end+need <= len(l.cur.data) {
		return nil // another Append rotated meanwhile
	}
	h := header{first: l.next, chain: l.chain, mark: l.next, boot: l.boot}
	if err := l.room.spare.begin(l.dir, h); err != nil {
		return l.fail(fmt.Errorf("begin segment %s: %w", segmentName(l.next), err))
	}
	l.full = append(l.full, l.cur)
	l.cur, l.room.spare = l.room.spare, nil
	l.count++
	l.bytes += headerSize
	l.askSync() // to seal the one before
	l.askCheckpoint()
	l.tellRefused()
	return nil
}

// tellRefused records, once there is room again, that there was none. The new
// segment is empty, so it has room for this and what comes next. The caller
// holds l.mu.
func (l *Log) tellRefused() {
	n := l.room.refused - l.room.told
	if n == 0 {
		return
	}
	l.room.told = l.room.refused
	r := &Record{Kind: KindSystem, Message: fmt.Sprintf("the log had no room, and refused %d records", n)}
	l.put(r, kindByte(r.Kind), appendBody(nil, r))
}

// allocateAhead starts to allocate the next segment in the background, unless
// there is one, or that is going on, or it failed a moment ago. The caller
// holds l.mu.
func (l *Log) allocateAhead() {
	r := &l.room
	if r.spare != nil || r.allocating || r.err != nil && l.opts.Now().Sub(r.tried).Abs() < retryAfter {
		return
	}
	r.allocating = true
	l.tasks.Go(func() {
		s, err := allocate(l.dir, l.opts.SegmentSize)
		l.mu.Lock()
		defer l.mu.Unlock()
		r.spare, r.err, r.allocating, r.tried = s, err, false, l.opts.Now()
		l.changed.Broadcast()
	})
}

// discard gives back the segment that was not needed.
func (r *room) discard(dir string) error {
	if r.spare == nil {
		return nil
	}
	return errors.Join(r.spare.close(), os.Remove(filepath.Join(dir, spareName)))
}

// fail ends the log for writing: nothing after this moment may be believed to
// be recorded. The caller holds l.mu.
func (l *Log) fail(cause error) error {
	if l.err == nil {
		l.err = fmt.Errorf("%w: %w", ErrFailed, cause)
		l.changed.Broadcast()
	}
	return l.err
}
