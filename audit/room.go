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

// room is what is allocated ahead: the next segment, and a reserve. Allocating
// early finds a full disk while there is still room for what a careful shutdown
// has to say, and keeps the wait out of Append.
//
// When there is no next segment, statements and logins are refused, and the
// reserve takes what must be said all the same: how the statements ended that
// are under way, and that there is no room. Statements are taken again when
// there is a reserve anew, and then a segment.
type room struct {
	spare      *segment
	reserve    *segment
	short      bool // there is no reserve, or was none, and no segment to come since
	allocating bool
	err        error     // of the last attempt; nil after a success
	tried      time.Time // when it ended
	state      Room
	refused    uint64
	told       uint64 // of refused: how many the log has a record of
	said       bool   // the log has a record that there is no room
}

// Room says how much room the disk of a log has left.
type Room string

// The states of a disk.
const (
	RoomEnough Room = "enough"
	RoomLittle Room = "little" // for less than littleRoom further segments
	RoomNone   Room = "none"   // statements are refused, or will be soon
)

const littleRoom = 8

// startRoom makes the reserve. A log without one takes what is essential alone.
func (l *Log) startRoom() {
	r := &l.room
	r.reserve, r.err = allocate(l.dir, reserveName, l.opts.SegmentSize/reservePart)
	r.state, r.short = l.roomLeft(r.err), r.err != nil
	if r.state != RoomEnough && l.opts.RoomChanged != nil {
		l.opts.RoomChanged(r.state, r.err)
	}
}

// essential tells which records the reserve is for.
func essential(k Kind) bool { return k != KindStatement && k != KindSession }

// makeRoom sees to it that the current segment has need bytes left for a record
// of a kind. It changes to the next segment, for which it waits while that is
// being allocated: a burst can outrun that. The caller holds l.mu.
func (l *Log) makeRoom(need int, kind Kind) error {
	r := &l.room
	for {
		if err := l.stopped(); err != nil {
			return err
		}
		fits := l.cur.end+need <= len(l.cur.data)
		switch {
		case fits && (!r.short || essential(kind)):
			l.lookAhead(need)
			return nil
		case !fits && r.spare != nil && (r.reserve != nil || essential(kind)):
			if err := l.begin(&r.spare, spareName); err != nil {
				return err
			}
			continue
		}
		l.allocateAhead()
		switch {
		case r.allocating:
			l.changed.Wait()
		case essential(kind) && !fits && r.reserve != nil && need <= len(r.reserve.data)-headerSize:
			if err := l.begin(&r.reserve, reserveName); err != nil {
				return err
			}
		default:
			r.refused++
			if !essential(kind) {
				l.tellFull()
			}
			return fmt.Errorf("%w: %w", ErrFull, r.err)
		}
	}
}

// lookAhead readies what comes after the next need bytes. The caller holds l.mu.
func (l *Log) lookAhead(need int) {
	if !l.room.short && l.room.refused > l.room.told && l.cur.end+need+maxFrame <= len(l.cur.data) {
		l.tellRefused()
	}
	if l.cur.end > len(l.cur.data)/5*4 || l.room.short {
		l.allocateAhead()
	}
	l.warmAhead()
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

// begin makes an allocated segment the current one.
func (l *Log) begin(next **segment, name string) error {
	h := header{first: l.next, chain: l.chain, mark: l.next, boot: l.boot}
	if err := (*next).begin(l.dir, name, h); err != nil {
		return l.fail(fmt.Errorf("begin segment %s: %w", segmentName(l.next), err))
	}
	l.full = append(l.full, l.cur)
	l.room.short = name == reserveName
	l.cur, *next = *next, nil
	l.count++
	l.bytes += headerSize
	l.askSync() // to seal the one before
	l.askCheckpoint()
	return nil
}

// tellFull records, once, that there is no room. The caller holds l.mu.
func (l *Log) tellFull() {
	if l.room.said {
		return
	}
	l.room.said = true
	r := &Record{Kind: KindSystem, Message: fmt.Sprintf("the log's disk is full: statements and logins are refused until there is room: %v", l.room.err)}
	body := appendFitting(nil, r)
	if l.makeRoom(frameSize+maxHead+len(body), r.Kind) == nil { // else it is said when there is room again
		l.put(r, kindByte(r.Kind), body)
	}
}

// tellRefused records, once there is room again, that there was none. The
// current segment has room for this and what comes next. The caller holds l.mu.
func (l *Log) tellRefused() {
	n := l.room.refused - l.room.told
	l.room.told, l.room.said = l.room.refused, false
	r := &Record{Kind: KindSystem, Message: fmt.Sprintf("the log had no room, and refused %d records", n)}
	l.put(r, kindByte(r.Kind), appendBody(nil, r))
}

// allocateAhead starts to allocate the next segment in the background, and
// before it the reserve, unless they are there, or that is going on, or it
// failed a moment ago. The caller holds l.mu.
func (l *Log) allocateAhead() {
	r := &l.room
	if r.spare != nil && r.reserve != nil || r.allocating || r.err != nil && l.opts.Now().Sub(r.tried).Abs() < retryAfter {
		return
	}
	r.allocating = true
	reserved, ready := r.reserve != nil, r.spare != nil
	l.tasks.Go(func() {
		var reserve, spare *segment // what is new: the others may be in use by the end
		var err error
		if !reserved {
			reserve, err = allocate(l.dir, reserveName, l.opts.SegmentSize/reservePart)
		}
		if err == nil && !ready {
			spare, err = allocate(l.dir, spareName, l.opts.SegmentSize)
		}
		state := l.roomLeft(err)
		l.mu.Lock()
		changed := state != r.state
		if reserve != nil {
			r.reserve = reserve
		}
		if spare != nil {
			r.spare = spare
		}
		r.err, r.state, r.allocating, r.tried = err, state, false, l.opts.Now()
		r.short = r.short && err != nil
		l.changed.Broadcast()
		l.mu.Unlock()
		if changed && l.opts.RoomChanged != nil {
			l.opts.RoomChanged(state, err)
		}
	})
}

// roomLeft says how the disk stands, given how an allocation went.
func (l *Log) roomLeft(err error) Room {
	switch free, serr := freeBytes(l.dir); {
	case err != nil:
		return RoomNone
	case serr == nil && free < littleRoom*l.opts.SegmentSize:
		return RoomLittle
	default:
		return RoomEnough
	}
}

// freeBytes says how much may be written to the file system of a directory.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("look for room in %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// discard gives back the segment that was not needed. The reserve stays: the
// next start may find the disk full.
func (r *room) discard(dir string) error {
	var errs []error
	if r.reserve != nil {
		errs = append(errs, r.reserve.close())
	}
	if r.spare != nil {
		errs = append(errs, r.spare.close(), os.Remove(filepath.Join(dir, spareName)))
	}
	return errors.Join(errs...)
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
