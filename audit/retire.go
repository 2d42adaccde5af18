package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Retention says which records of a log may go. The zero Retention keeps all.
type Retention struct {
	// Keep is for how long records are kept; 0: for ever. Whole segments go,
	// so some stay longer.
	Keep time.Duration
	// Hold is the path of a file; while it is there, nothing goes.
	Hold string
	// Floor, when not nil, gives the lowest seq that must stay, because
	// somebody has yet to read it.
	Floor func() uint64
	// Retired and Failed, when not nil, are told of what went, and why nothing
	// did. They must not block.
	Retired func(Tombstone)
	Failed  func(error)
}

// retireEvery is how often a log looks for segments that may go.
const retireEvery = time.Minute

// held tells whether somebody has put a file in the way. One that cannot be
// seen counts as there.
func (r Retention) held() bool {
	if r.Hold == "" {
		return false
	}
	_, err := os.Stat(r.Hold)
	return !errors.Is(err, os.ErrNotExist)
}

// Retirable is what may go: the segments that begin with Firsts, up to the
// record Cut.
type Retirable struct {
	Firsts []uint64
	Cut    uint64 // seq of the first record that stays
	Bytes  int64
	Last   time.Time // the latest time of a record that goes, or went before
}

// retireSegments is how many segments go at a time at most.
const retireSegments = 16

// FindRetirable says what may go of the log in dir, so that no record goes that is
// not older than before, nor any from limit on. Only sealed segments go, and
// only from the start, and not too many at a time.
func FindRetirable(dir string, before time.Time, limit uint64) (Retirable, error) {
	firsts, t, err := remaining(dir)
	if err != nil {
		return Retirable{}, err
	}
	r := Retirable{Cut: t.Records, Last: t.Last}
	for i := 0; i+1 < len(firsts) && i < retireSegments && firsts[i+1] <= limit; i++ {
		size, last, err := lastOfSegment(dir, firsts[i])
		if err != nil {
			return r, err
		}
		if last.Before(r.Last) {
			last = r.Last // the clock went back
		}
		if size == 0 || !last.Before(before) {
			break
		}
		r.Firsts, r.Cut, r.Last = append(r.Firsts, firsts[i]), firsts[i+1], last
		r.Bytes += size
	}
	return r, nil
}

// lastOfSegment gives the size of a sealed segment, 0 of one that is not, and
// the time of its last record.
func lastOfSegment(dir string, first uint64) (int64, time.Time, error) {
	file, err := os.Open(filepath.Join(dir, segmentName(first)))
	if err != nil {
		return 0, time.Time{}, err
	}
	defer file.Close()
	s, err := newScanner(file, first, false)
	if err != nil || s.last == 0 {
		return 0, time.Time{}, err
	}
	b, err := s.at(int64(s.last), maxFrame)
	if err != nil {
		return 0, time.Time{}, err
	}
	f, ok := parseFrame(b, s.idSum)
	if !ok {
		return 0, time.Time{}, &Fault{Segment: s.name, Offset: int64(s.last), Problem: "the last record is damaged"}
	}
	last := f.time()
	if last.IsZero() {
		return 0, last, &Fault{Segment: s.name, Offset: int64(s.last), Seq: f.seq, Problem: "the record has no time"}
	}
	return int64(s.last) + int64(frameSize+len(f.payload)), last, nil
}

// retirement is what the signer knows of retention: it is the signer that
// removes, because it knows what is signed.
type retirement struct {
	tomb   Tombstone
	looked time.Time
	asked  chan chan error // of Retire, for the signer
}

// sweep removes segments below a cut, the oldest first.
func (l *Log) sweep(cut uint64) error {
	firsts, err := segments(l.dir)
	if err != nil {
		return err
	}
	removed := false
	for _, first := range firsts {
		if first >= cut {
			break
		}
		if err := os.Remove(filepath.Join(l.dir, segmentName(first))); err != nil {
			return err
		}
		removed = true
	}
	if !removed {
		return nil
	}
	return l.lock.Sync()
}

// retireDue looks, now and then, whether segments may go, and tells how that went.
func (l *Log) retireDue(ctx context.Context) {
	o, r := l.opts.Retention, &l.signing.retirement
	if o.Keep <= 0 || l.opts.Now().Sub(r.looked).Abs() < retireEvery {
		return
	}
	r.looked = l.opts.Now()
	before := r.tomb.Records
	err := l.retire(ctx)
	switch {
	case err != nil && ctx.Err() == nil && o.Failed != nil:
		o.Failed(fmt.Errorf("retire records of audit log %s: %w", l.dir, err))
	case err == nil && r.tomb.Records > before && o.Retired != nil:
		o.Retired(r.tomb)
	}
}

// Retire removes now what may go, and gives the tombstone of all that went ever.
func (l *Log) Retire(ctx context.Context) (Tombstone, error) {
	if l.signing == nil || l.opts.Retention.Keep <= 0 {
		return Tombstone{}, errors.New("retire records: it takes a key, and a time to keep them for")
	}
	asked := make(chan error, 1)
	select {
	case l.signing.asked <- asked:
	case <-l.quit:
		return Tombstone{}, ErrClosed
	case <-ctx.Done():
		return Tombstone{}, ctx.Err()
	}
	if err := <-asked; err != nil {
		return Tombstone{}, fmt.Errorf("retire records of audit log %s: %w", l.dir, err)
	}
	return readTombstone(l.dir)
}

// retireAll removes everything that may go.
func (l *Log) retireAll(ctx context.Context) error {
	err := l.checkpoint(ctx)
	for before := ^uint64(0); err == nil && ctx.Err() == nil && l.signing.tomb.Records != before; {
		before = l.signing.tomb.Records
		err = l.retire(ctx)
	}
	return errors.Join(err, ctx.Err())
}

// retire removes the segments that may go: first a record says so, then the
// tombstone, both durably, and then they go. A segment whose records are not
// those that were signed stays, for people to look at.
func (l *Log) retire(ctx context.Context) error {
	s, o := l.signing, l.opts.Retention
	if o.held() || s.tree.n < s.last.Size {
		return nil
	}
	if err := l.sweep(s.retirement.tomb.Records); err != nil {
		return err
	}
	limit := s.last.Size
	if o.Floor != nil {
		limit = min(limit, o.Floor())
	}
	found, err := FindRetirable(l.dir, l.SureTime().Add(-o.Keep), limit)
	if err != nil || len(found.Firsts) == 0 {
		return err
	}
	t, err := s.bury(found)
	if err != nil {
		return err
	}
	t.At, t.Why = l.opts.Now().UTC().Round(0), fmt.Sprintf("kept for %s", o.Keep)
	if err := l.putTombstone(ctx, t); err != nil {
		return err
	}
	if err := l.sweep(found.Cut); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first, l.count = found.Cut, l.count-len(found.Firsts)
	l.bytes -= found.Bytes
	return nil
}

// bury reads what is to go once more, holds it to the last checkpoint, and says
// in a tombstone what it was.
func (s *signing) bury(found Retirable) (Tombstone, error) {
	t := s.retirement.tomb
	r, err := openReader(s.dir, t.Records, true)
	if err != nil {
		return t, err
	}
	defer func() { r.file.Close() }() // only read from
	var stored []byte
	for t.tree.n < found.Cut {
		f, err := r.read()
		if errors.Is(err, io.EOF) {
			return t, r.fault("it is not in the file any more")
		} else if err != nil {
			return t, err
		}
		stored = t.tree.grow(tlog.RecordHash(f.payload), stored[:0])
	}
	t.Records, t.Chain, t.Last, t.Covered = found.Cut, r.before, found.Last, s.last.Size
	if t.Records == s.last.Size && t.Root() == s.last.Root {
		return t, nil
	}
	proof, err := tlog.ProveTree(int64(s.last.Size), int64(t.Records), storedHashes{s.hashes})
	if err == nil {
		err = tlog.CheckTree(proof, int64(s.last.Size), s.last.Root, int64(t.Records), t.Root())
	}
	if err != nil {
		return t, fmt.Errorf("records below %d are not those under the checkpoint of %d, or %s is not of them; none is removed: %w",
			t.Records, s.last.Size, hashesName, err)
	}
	return t, nil
}

// putTombstone records that records are about to go, and writes the tombstone.
func (l *Log) putTombstone(ctx context.Context, t Tombstone) error {
	s := l.signing
	if err := t.sign(s.keys); err != nil {
		return err
	}
	seq, err := l.Append(&Record{Kind: KindSystem, Message: fmt.Sprintf("records %d to %d are retired, %s, the last of %s; chain %x, root %s",
		s.retirement.tomb.Records, t.Records-1, t.Why, t.Last.Format(time.RFC3339), t.Chain, t.Root())})
	if err == nil {
		err = l.Sync(ctx, seq)
	}
	if err == nil {
		err = replaceFile(l.lock, filepath.Join(l.dir, retiredName), t.Note)
	}
	if err == nil {
		s.retirement.tomb = t
	}
	return err
}
