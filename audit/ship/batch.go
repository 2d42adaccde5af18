package ship

import (
	"slices"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// batch is what is sent at a time, and where the log then stands.
type batch struct {
	events []Event
	last   map[string]audit.Record // of each chain
	bytes  int
	count  int // of records, those that no filter chooses as well
}

func (b *batch) full(f *feed) bool {
	return len(b.events) >= f.sink.Batch || b.bytes >= batchBytes || b.count >= scanned
}

// gather fills a batch with what is ready. An error is of the log, and what was
// gathered before it is good.
func (f *feed) gather(b *batch, it item, items <-chan item) error {
	enough := time.NewTimer(linger)
	defer enough.Stop()
	for {
		if it.err != nil {
			return it.err
		}
		if err := f.add(b, &it); err != nil {
			return err
		}
		if b.full(f) {
			return nil
		}
		var more bool
		select {
		case it, more = <-items:
			if !more {
				return nil
			}
		case <-enough.C:
			return nil
		}
	}
}

// add puts a record into the batch if a filter chooses it.
func (f *feed) add(b *batch, it *item) error {
	if f.chosen(it) {
		e := newEvent(it.chain.Log, &it.Record, it.of)
		if err := e.fill(f.sink.Format, f.sink.To.Limit()); err != nil {
			return err
		}
		b.events = append(b.events, e)
		b.bytes += len(e.Body)
	}
	b.last[it.chain.Name] = it.Record
	b.count++
	return nil
}

// chosen tells whether a record is for this sink. What is part of a
// statement goes with it, and where that is not known any more they go, too.
func (f *feed) chosen(it *item) bool {
	if len(f.sink.Only) == 0 {
		return true
	}
	of := it.of
	if !it.Kind.Part() {
		of = &it.Record
	}
	return of == nil || slices.ContainsFunc(f.sink.Only, func(only audit.Filter) bool { return only.Match(of) })
}
