package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// What callers of a Log may want to tell apart.
var (
	ErrFull   = errors.New("the audit log has no room") // for now: it goes on by itself when there is room
	ErrFailed = errors.New("the audit log failed")      // for good: what was not yet durable is in doubt
	ErrClosed = errors.New("the audit log is closed")
	ErrInUse  = errors.New("another process writes this audit log")
)

// Options set up a Log. The zero Options are the defaults.
type Options struct {
	// SegmentSize is how much room is reserved at a time, 64 MiB when 0. It
	// is rounded up to whole pages and never below 64 KiB.
	SegmentSize int64
	// Now is the clock that stamps records, time.Now when nil.
	Now func() time.Time

	// Key signs checkpoints of the log's Merkle tree, every CheckpointEvery
	// (10 s when 0) in which there are new records, at the end of each segment
	// and on Close. Nil: there are none, which is refused where there were.
	Key *Key
	// KeyBefore is the key that Key takes over from. It signs once more, what
	// says so.
	KeyBefore *Key
	// CheckpointEvery is the longest time for which a record is unsigned.
	CheckpointEvery time.Duration
	// Signed, when not nil, is told of each new checkpoint once it is durable,
	// and how many records have none yet. It must not block.
	Signed func(c Checkpoint, unsigned uint64)
	// SignFailed, when not nil, is told why there is no new one. It is tried
	// again.
	SignFailed func(error)

	// RoomChanged, when not nil, is told how much room the disk has when that
	// changes, with the error where there is none. It must not block.
	RoomChanged func(Room, error)

	// Retention removes old records. It takes a Key, which signs what is gone.
	Retention Retention
}

const (
	defaultSegmentSize = 64 << 20
	minSegmentSize     = 64 << 10

	defaultCheckpointEvery = 10 * time.Second
)

func (o Options) withDefaults() Options {
	if o.SegmentSize == 0 {
		o.SegmentSize = defaultSegmentSize
	}
	page := int64(os.Getpagesize())
	o.SegmentSize = (max(o.SegmentSize, minSegmentSize) + page - 1) / page * page
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = defaultCheckpointEvery
	}
	return o
}

// Log is an access log open for writing. All methods may be called from any
// goroutine.
type Log struct {
	dir     string
	lock    *os.File // the directory, locked; also for making names durable
	opts    Options
	boot    bootID
	bodies  sync.Pool     // *[]byte
	wake    chan struct{} // tells the syncer that somebody waits; holds one
	quit    chan struct{}
	tasks   sync.WaitGroup
	durable atomic.Uint64 // records with a lower seq are durable
	syncs   atomic.Uint64
	signing *signing // nil: no checkpoints

	mu       sync.Mutex
	changed  sync.Cond     // of err and the fields of room.go
	round    chan struct{} // closed when the sync that begins next has ended
	notices  []*notice     // to be given then
	cur      *segment
	full     []*segment // older than cur, not sealed yet
	next     uint64     // seq of the next record
	chain    hash
	bytes    int64
	count    int    // segments
	first    uint64 // seq of the first record that is there
	err      error  // wraps ErrFailed: nothing is appended any more
	closed   bool
	room     room
	begun    time.Time // when it was opened, with the monotonic reading
	since    time.Time // what that is taken for: see SureTime
	lastMark time.Time // of the syncer
	latest   time.Time // of the last record; zero before the first
	signed   uint64    // records under the last checkpoint
	signErr  error     // why there is none newer; nil when nothing is wrong
}

// Open opens the log in dir for writing, and makes it when there is none. A
// tail that a crash left unfinished is cut off, and the log says so in a
// record of its own. Other damage is an error, a *Fault, and the log stays as
// it is: what it then takes is a person to look at it.
func Open(dir string, opts Options) (*Log, error) {
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open audit log %s: %w", dir, err)
	}
	l := &Log{
		dir: dir, lock: lock, opts: opts.withDefaults(), boot: currentBoot(),
		bodies: sync.Pool{New: func() any { return new([]byte) }},
		wake:   make(chan struct{}, 1), quit: make(chan struct{}), round: make(chan struct{}),
	}
	l.changed.L = &l.mu
	if l.signing, err = openSigning(dir, l.opts); err != nil {
		return nil, errors.Join(fmt.Errorf("open audit log %s: %w", dir, err), lock.Close())
	}
	var notes []string
	if err = l.takeTombstone(); err == nil {
		notes, err = l.recover()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open audit log %s: %w", dir, err), l.signing.close(), lock.Close())
	}
	l.startClock()
	l.startRoom()
	l.tasks.Go(l.syncer)
	err = l.tell(notes)
	if err == nil && l.signing != nil {
		err = l.startSigning()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open audit log %s: %w", dir, err), l.abandon())
	}
	return l, nil
}

// tell records what recovery did, durably: what was cut off is gone by now.
func (l *Log) tell(notes []string) error {
	for _, n := range notes {
		seq, err := l.Append(&Record{Kind: KindSystem, Message: n})
		if err == nil {
			err = l.Sync(context.Background(), seq)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lockDir makes the directory where it is missing, and locks it for as long
// as the file is open: two writers would each believe in their own chain.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrInUse
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Append adds a record and sets its Seq, and its Time when that is zero. When
// it returns, the record survives the death of this process; Sync makes it
// survive that of the machine. It makes no system call and waits for nothing
// but other Appends, except that a burst may have to wait for the segment
// that is being allocated.
//
// After an error the record is not in the log, and what it stands for must not
// happen. Records that are too long are trimmed, never refused.
func (l *Log) Append(r *Record) (seq uint64, err error) {
	kind := kindByte(r.Kind)
	if kind == 0 {
		return 0, fmt.Errorf("append audit record: %q is not a kind of record", r.Kind)
	}
	body := l.bodies.Get().(*[]byte)
	defer l.bodies.Put(body)
	*body = appendFitting((*body)[:0], r)

	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.tick(); err != nil {
		return 0, fmt.Errorf("append audit record: %w", err)
	}
	if err := l.makeRoom(frameSize+maxHead+len(*body), r.Kind); err != nil {
		return 0, fmt.Errorf("append audit record: %w", err)
	}
	l.put(r, kind, *body)
	return r.Seq, nil
}

// put writes a record for which there is room. The caller holds l.mu.
func (l *Log) put(r *Record, kind byte, body []byte) {
	r.Seq, r.Time = l.next, l.stamp(r.Time)
	before := l.cur.end
	l.chain = l.cur.append(r.Seq, kind, r.Time, body, l.chain)
	l.bytes += int64(l.cur.end - before)
	l.next++
}

// Stats is what a Log tells of itself.
type Stats struct {
	Appended uint64 // records ever, over the life of the log
	Durable  uint64 // those of them that Sync has made durable, or recovery found
	Syncs    uint64 // by this process
	Refused  uint64 // appends refused for want of room, by this process
	Room     Room   // that the disk has
	Free     int64  // bytes that the disk has left; -1 where it does not say
	Bytes    int64  // written in segments, headers included
	Segments int
	First    uint64 // seq of the first record that was not retired
	Signed   uint64 // records under the last signed checkpoint
	SignErr  error  // why there is no newer one; nothing is refused for it
	Err      error  // what Append now fails with; nil when it does not
}

// Lag is how many records are not yet durable.
func (s Stats) Lag() uint64 { return s.Appended - s.Durable }

// Stats tells how the log stands.
func (l *Log) Stats() Stats {
	free, err := freeBytes(l.dir)
	if err != nil {
		free = -1
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{
		Appended: l.next,
		Durable:  min(l.durable.Load(), l.next),
		Syncs:    l.syncs.Load(),
		Refused:  l.room.refused,
		Room:     l.room.state,
		Free:     free,
		Bytes:    l.bytes,
		Segments: l.count,
		First:    l.first,
		Signed:   l.signed,
		SignErr:  l.signErr,
		Err:      errors.Join(l.stopped(), l.room.err),
	}
}

// Close makes everything durable, signs it, and lets go of the directory. Later
// Appends fail with ErrClosed. An error means that the last records may not be
// durable, or not signed; the next start signs them.
func (l *Log) Close() error {
	if !l.stop() {
		return ErrClosed
	}
	err := l.finish()
	if err == nil {
		err = l.lastCheckpoint()
	}
	return errors.Join(err, l.release())
}

// abandon lets go of a log that cannot be opened after all, and signs nothing.
func (l *Log) abandon() error {
	l.stop()
	return errors.Join(l.finish(), l.release())
}

// stop ends what goes on in the background; false when it has ended before.
func (l *Log) stop() bool {
	l.mu.Lock()
	was := l.closed
	l.closed = true
	l.changed.Broadcast()
	l.mu.Unlock()
	if was {
		return false
	}
	close(l.quit)
	l.tasks.Wait()
	l.give(l.notices)
	return true
}

// finish syncs what is left and marks all of it durable, so that from now on
// any damage is told from a torn tail.
func (l *Log) finish() error {
	defer close(l.round)
	if l.err != nil {
		return l.err
	}
	if err := l.flush(l.full, l.cur); err != nil {
		return fmt.Errorf("close audit log: %w", err)
	}
	l.full = nil
	l.durable.Store(l.next)
	l.cur.setMark(l.next)
	if err := l.cur.sync(); err != nil {
		return fmt.Errorf("close audit log: %w", err)
	}
	return nil
}

// stopped gives the reason why nothing is appended any more; nil when there is
// none. The caller holds l.mu.
func (l *Log) stopped() error {
	if l.err == nil && l.closed {
		return ErrClosed
	}
	return l.err
}

// release closes the files.
func (l *Log) release() error {
	errs := []error{l.room.discard(l.dir), l.signing.close()}
	for _, s := range append(l.full, l.cur) {
		errs = append(errs, s.close())
	}
	return errors.Join(append(errs, l.lock.Close())...)
}
