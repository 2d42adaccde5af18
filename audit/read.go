package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Read gives the records from seq on, to the end of the log as it is now. It
// may run beside the writer. Of damage it notices what the checksums tell and
// ends with that error; whether somebody changed the log is Verify's question.
func Read(dir string, from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		err := readFrom(dir, from, false, func(r *reader) error { return r.each(from, nil, yield) })
		if err != nil {
			yield(Record{}, err)
		}
	}
}

// ReadKinds is Read for whoever looks at some kinds alone: of records of another
// kind it gives Seq and Kind, which costs a fraction.
func ReadKinds(dir string, kinds ...Kind) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		err := readFrom(dir, 0, false, func(r *reader) error { return r.each(0, kinds, yield) })
		if err != nil {
			yield(Record{}, err)
		}
	}
}

// followEvery is how often Follow looks for more.
const followEvery = 100 * time.Millisecond

// Follow is Read that, at the end of the log, waits for more until ctx is
// done.
func Follow(ctx context.Context, dir string, from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		err := readFrom(dir, from, false, func(r *reader) error {
			tick := time.NewTicker(followEvery)
			defer tick.Stop()
			for {
				if err := r.each(from, nil, yield); err != nil {
					return err
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return nil
				}
			}
		})
		if err != nil {
			yield(Record{}, err)
		}
	}
}

// errStop ends a read whose consumer has enough.
var errStop = errors.New("stop")

// readFrom runs a function over a reader.
func readFrom(dir string, from uint64, deep bool, run func(*reader) error) error {
	r, err := openReader(dir, from, deep)
	if err != nil {
		return fmt.Errorf("read audit log %s: %w", dir, err)
	}
	defer func() { r.file.Close() }() // whichever it is by then
	if err := run(r); err != nil && !errors.Is(err, errStop) {
		return fmt.Errorf("read audit log %s: %w", dir, err)
	}
	return nil
}

// each yields the records from a seq on, until the log has no more; whole those
// of the given kinds, or all where none is given.
func (r *reader) each(from uint64, kinds []Kind, yield func(Record, error) bool) error {
	for {
		f, err := r.read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case f.seq < from:
			continue
		}
		rec := Record{Seq: f.seq, Kind: f.kind}
		if kinds == nil || slices.Contains(kinds, f.kind) {
			if err := json.Unmarshal(f.payload, &rec); err != nil {
				return fmt.Errorf("record %d: %w", f.seq, err)
			}
		}
		if !yield(rec, nil) {
			return errStop
		}
	}
}

// reader walks the frames of a log over its segments.
type reader struct {
	dir  string
	deep bool
	file *os.File
	*scanner
	retired    Tombstone
	segments   int
	bytes      int64 // of the segments before this one
	unfinished int64 // bytes behind the last frame, once it was found to be the last
}

// openReader opens the log at the segment that holds record from.
//
// Where records were retired before it, that is the first that there is.
func openReader(dir string, from uint64, deep bool) (*reader, error) {
	for {
		firsts, t, err := remaining(dir)
		if err != nil {
			return nil, err
		}
		if len(firsts) == 0 {
			return nil, errors.New("there is no audit log in this directory")
		}
		i, found := slices.BinarySearch(firsts, from)
		if !found {
			i = max(0, i-1)
		}
		r := &reader{dir: dir, deep: deep, retired: t}
		err = r.open(firsts[i])
		if errors.Is(err, os.ErrNotExist) && r.retiredSince() {
			continue
		}
		if err == nil && i == 0 && t.Records > 0 && r.chain != t.Chain {
			err = errors.Join(r.fault("the chain hash in the header does not follow from the records that were retired"), r.file.Close())
		}
		return r, err
	}
}

// retiredSince tells whether records were retired since the reader was opened.
func (r *reader) retiredSince() bool {
	t, err := readTombstone(r.dir)
	return err == nil && t.Records > r.retired.Records
}

// open goes to the segment that begins with record first.
func (r *reader) open(first uint64) error {
	file, err := os.Open(filepath.Join(r.dir, segmentName(first)))
	if err != nil {
		return err
	}
	s, err := newScanner(file, first, r.deep)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if r.file != nil {
		r.bytes += r.offset
		r.file.Close() // only read from
	}
	r.file, r.scanner = file, s
	r.segments++
	return nil
}

// read gives the next frame, and io.EOF where the log ends for now: also
// before a frame that a crash left unfinished, or that is being written.
func (r *reader) read() (frame, error) {
	for {
		f, err := r.scan()
		if err == nil {
			return f, nil
		}
		next, later, lerr := r.later()
		if lerr != nil {
			return frame{}, lerr
		}
		if !later {
			return r.tail(err)
		}
		// The segment is complete now; it was not, perhaps, when scan saw it.
		if f, err = r.scan(); err == nil {
			return f, nil
		}
		if err := r.advance(err, next); err != nil {
			return frame{}, err
		}
	}
}

// later finds the segment after this one.
func (r *reader) later() (uint64, bool, error) {
	firsts, err := segments(r.dir)
	if err != nil {
		return 0, false, err
	}
	i, found := slices.BinarySearch(firsts, r.first)
	if found {
		i++
	}
	if i == len(firsts) {
		return 0, false, nil
	}
	return firsts[i], true, nil
}

// patience is how often, and tailPause after how long each, a gap before whole
// records is looked at again: the writer may have filled it meanwhile.
const (
	patience  = 5
	tailPause = 2 * time.Millisecond
)

// tail decides whether the end of the last segment is an end, or damage.
func (r *reader) tail(stop error) (frame, error) {
	if errors.Is(stop, io.EOF) && !r.deep {
		return frame{}, io.EOF
	}
	// What scan looked at may have been read before the writer went on: then there
	// is no end to be judged, for which all that is left of the file has to be read.
	f, err := r.scan()
	if err == nil {
		return f, nil
	}
	stop = err
	if r.last != 0 {
		return frame{}, r.fault("the segment is sealed, and the one after it is missing")
	}
	for try := 0; ; try++ {
		rest, err := r.judge(stop)
		switch {
		case err != nil:
			return frame{}, err
		case rest.whole == 0:
			r.unfinished = rest.bytes
			return frame{}, io.EOF
		case try == patience:
			return frame{}, r.fault("it is damaged; %d whole records stand behind it", rest.whole)
		}
		time.Sleep(tailPause)
		r.forget()
		f, err := r.scan()
		if err == nil {
			return f, nil
		}
		stop = err
	}
}

func (r *reader) hasSegment(first uint64) bool {
	_, err := os.Stat(filepath.Join(r.dir, segmentName(first)))
	return err == nil
}

// advance goes on to the next segment, given what scan said at the end of this
// one.
func (r *reader) advance(stop error, next uint64) error {
	if !errors.Is(stop, io.EOF) {
		return stop
	}
	if next != r.next && r.hasSegment(r.next) {
		next = r.next // the list of a folder can leave out what is renamed meanwhile
	}
	if next != r.next && r.retiredSince() {
		return fmt.Errorf("records from %d on were retired while the log was read", r.next)
	}
	if next != r.next {
		return missing(r.next, next)
	}
	if r.deep {
		if err := r.checkEnd(); err != nil {
			return err
		}
	}
	before := r.before
	if err := r.open(next); err != nil {
		return err
	}
	if r.chain != before {
		return &Fault{Segment: r.name, Seq: next, Problem: "the chain hash in the header does not follow from the segment before"}
	}
	return nil
}

// checkEnd checks the end of a segment that another follows.
func (r *reader) checkEnd() error {
	rest, err := r.readRest()
	switch {
	case err != nil:
		return err
	case rest.bytes > 0:
		return r.fault("%d bytes that are no record stand at the end of the segment", rest.bytes)
	case r.last != 0 && int64(r.last) != r.tip:
		return r.fault("the segment was sealed with its last record at byte %d, and ends with one at byte %d", r.last, r.tip)
	}
	return nil
}
