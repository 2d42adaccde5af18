package ship

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// reader reads one chain for a feed, in order and without a gap, and adds to
// each record the statement that it is of.
type reader struct {
	*feed
	chain Chain
	next  place
	out   chan<- item
	made  statements
}

// run reads until toEnd is done, and then to the end of the log; or until hard
// is done.
func (r *reader) run(hard, toEnd context.Context) {
	if !r.await(toEnd) {
		return
	}
	if r.each(hard, audit.Follow(toEnd, r.chain.Dir, r.next.Next)) {
		r.each(hard, audit.Read(r.chain.Dir, r.next.Next)) // what came while Follow waited
	}
}

// await waits for a chain that nobody has begun. When all is to end and it is
// still not there, there is nothing to read.
func (r *reader) await(toEnd context.Context) bool {
	for {
		files, err := segments(r.chain.Dir)
		if len(files) > 0 || err != nil {
			return true // of an error, reading tells
		}
		select {
		case <-time.After(lookEvery):
		case <-toEnd.Done():
			return false
		}
	}
}

// each hands records on; it is false when there is no use in going on.
func (r *reader) each(hard context.Context, records iter.Seq2[audit.Record, error]) bool {
	for rec, err := range records {
		it := item{chain: r.chain, Record: rec, err: err}
		if err == nil {
			it.err = r.take(&it)
		}
		select {
		case r.out <- it:
		case <-hard.Done():
			return false
		}
		if it.err != nil {
			return false
		}
	}
	return hard.Err() == nil
}

// take checks that a record is the next, and finds its statement. What the record
// holds sealed stays in the log: it goes when its key or the segment does, and a
// copy elsewhere would not.
func (r *reader) take(it *item) (err error) {
	if it.Seq != r.next.Next {
		return fmt.Errorf("record %d of %s follows where %d should: records are missing", it.Seq, r.chain.Dir, r.next.Next)
	}
	r.next.Next++
	it.Sealed = ""
	if it.Kind == audit.KindStatement && it.Decision != "refuse" {
		kept := it.Record
		r.made.add(&kept)
		return nil
	}
	it.of, err = r.made.of(r.chain.Dir, &it.Record)
	return err
}
