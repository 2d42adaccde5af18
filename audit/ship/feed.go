package ship

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// feed ships to one sink: a goroutine that sends, and one for each chain that
// reads.
type feed struct {
	sink Sink
	opts *Options
	log  *slog.Logger

	// Of run alone:
	cursor  cursor // of what was taken
	dirty   bool   // it is not written yet
	trouble trouble

	mu      sync.Mutex // of what Stats tells
	tally   Stats
	oldest  time.Time // of the record that is being sent
	at      map[string]uint64
	stopped error
}

// item is a record that was read, or why no more come of its chain.
type item struct {
	chain Chain
	audit.Record
	of  *audit.Record
	err error
}

const (
	readAhead = 256                   // items
	linger    = 50 * time.Millisecond // that a batch waits to be filled
	saveEvery = time.Second           // that a cursor is written at most, while there is much to send
	lookEvery = time.Second           // for a lock, or a chain that is not there yet
)

// run ships until soft is done and the log at its end, or hard is done.
func (f *feed) run(hard, soft context.Context) {
	err := f.ship(hard, soft)
	if err == nil || hard.Err() != nil && errors.Is(err, context.Canceled) {
		return
	}
	f.log.Error("nothing is shipped any more until a restart; the log keeps what the sink does not have", "alert", "ship_stopped", "err", err)
	f.mu.Lock()
	f.stopped = err
	f.mu.Unlock()
}

func (f *feed) ship(hard, soft context.Context) (err error) {
	defer func() { err = errors.Join(err, f.sink.To.Close()) }()
	if f.opts.From == nil {
		unlock, err := f.lock(soft)
		if unlock == nil {
			return err
		}
		defer unlock()
	}
	if err := f.begin(); err != nil {
		return err
	}
	defer f.save()
	items := make(chan item, readAhead)
	reading, stop := context.WithCancel(hard)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stop()
	toEnd, ending := context.WithCancel(reading)
	defer context.AfterFunc(soft, ending)()
	for _, c := range f.opts.Chains {
		r := reader{feed: f, chain: c, next: f.cursor[c.Name], out: items}
		readers.Go(func() { r.run(reading, toEnd) })
	}
	go func() { readers.Wait(); close(items) }()
	return f.send(hard, items)
}

// lock waits until no other process ships to the sink: the one before, after a
// restart, may not have ended.
func (f *feed) lock(soft context.Context) (unlock func(), err error) {
	for told := false; ; told = true {
		file, err := lock(f.opts.Dir, f.sink.Name)
		if err == nil {
			return func() { file.Close() }, nil // what it holds is a lock
		}
		if !errors.Is(err, errLocked) {
			return nil, err
		}
		if !told {
			f.log.Info("another process ships to this sink; this one goes on when that has ended")
		}
		select {
		case <-time.After(lookEvery):
		case <-soft.Done():
			return nil, nil
		}
	}
}

// begin finds where to go on in each chain. A sink that has come nowhere yet
// gets a cursor at once: what it has not must not expire.
func (f *feed) begin() (err error) {
	if f.opts.From != nil {
		f.cursor = cursor{f.opts.Chains[0].Name: {Next: *f.opts.From}}
	} else if f.cursor, err = readCursor(cursorPath(f.opts.Dir, f.sink.Name)); err != nil {
		return err
	}
	if f.cursor == nil {
		if f.cursor, err = f.first(); err != nil {
			return err
		}
		if err := f.cursor.write(cursorPath(f.opts.Dir, f.sink.Name)); err != nil {
			return fmt.Errorf("cursor: %w", err)
		}
	}
	for _, c := range f.opts.Chains {
		if err := f.check(c, f.cursor[c.Name]); err != nil {
			return err
		}
	}
	f.publish()
	return nil
}

// first is the cursor of a sink that has none.
func (f *feed) first() (cursor, error) {
	made := cursor{}
	for _, c := range f.opts.Chains {
		first, some, err := firstRecord(c.Dir)
		if err == nil && some && f.sink.FromNow {
			var h audit.Head
			h, err = audit.ReadHead(c.Dir)
			first = h.Count
		}
		if err != nil {
			return nil, err
		}
		made[c.Name] = place{Next: first}
	}
	return made, nil
}

// check holds a place to the log: a log that was replaced, cut short, or expired
// before the sink had it, must not go unnoticed.
func (f *feed) check(c Chain, p place) error {
	first, some, err := firstRecord(c.Dir)
	switch {
	case err != nil:
		return err
	case !some && p.Next > 0:
		return fmt.Errorf("the sink has the records of %s before %d, and there is no log", c.Dir, p.Next)
	case p.Next < first:
		return fmt.Errorf("records %d to %d of %s are gone, and the sink does not have them", p.Next, first-1, c.Dir)
	case p.Next == first:
		return nil // nothing to compare with
	}
	r, err := at(c.Dir, p.Next-1)
	switch {
	case err != nil:
		return err
	case r == nil:
		return fmt.Errorf("the sink goes on at record %d of %s, and the log ends before: it was cut short or replaced", p.Next, c.Dir)
	case p.Last != "" && digest(r) != p.Last:
		return fmt.Errorf("record %d of %s is not the one that the sink has: the log was replaced", p.Next-1, c.Dir)
	}
	return nil
}

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

// send sends what comes until there are no more items.
func (f *feed) send(hard context.Context, items <-chan item) error {
	save := time.NewTicker(saveEvery)
	defer save.Stop()
	for {
		select {
		case it, more := <-items:
			if !more {
				return nil
			}
			b := batch{last: map[string]audit.Record{}}
			err := f.gather(&b, it, items)
			if sent := f.deliver(hard, &b); sent != nil {
				return sent
			}
			if err != nil {
				return err
			}
		case <-save.C:
			f.save()
		}
	}
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

// chosen tells whether a record is for this sink. Outcomes and subjects go with
// their statement, and where that is not known any more they go, too.
func (f *feed) chosen(it *item) bool {
	if len(f.sink.Only) == 0 {
		return true
	}
	of := it.of
	if it.Kind != audit.KindOutcome && it.Kind != audit.KindSubjects {
		of = &it.Record
	}
	return of == nil || slices.ContainsFunc(f.sink.Only, func(only audit.Filter) bool { return only.Match(of) })
}

// deliver has the sink take a batch, however long that takes, and moves the
// cursor behind it.
func (f *feed) deliver(hard context.Context, b *batch) error {
	if len(b.events) > 0 {
		f.mu.Lock()
		f.oldest = b.events[0].Record.Time
		f.mu.Unlock()
		if err := f.durable(hard, b); err != nil {
			return err
		}
		if err := f.deliverAll(hard, b.events); err != nil {
			return err
		}
	}
	for chain, r := range b.last {
		f.cursor[chain], f.dirty = place{Next: r.Seq + 1, Last: digest(&r)}, true
	}
	f.publish()
	return nil
}

func (f *feed) durable(ctx context.Context, b *batch) error {
	for _, c := range f.opts.Chains {
		if r, some := b.last[c.Name]; some && f.opts.Durable != nil {
			if err := f.opts.Durable(ctx, c, r.Seq); err != nil {
				return err
			}
		}
	}
	return nil
}

// deliverAll sends events again and again until all are taken.
func (f *feed) deliverAll(hard context.Context, events []Event) error {
	rest := f.opts.Rest
	for {
		try, cancel := context.WithTimeout(hard, f.sink.Timeout)
		left, err := f.sink.To.Send(try, events)
		cancel()
		var refused *Refused
		var busy *busyError
		taken := len(events) - len(left)
		if errors.As(err, &refused) {
			taken -= len(refused.Events)
		}
		f.took(taken, err)
		pause := rest
		switch {
		case err == nil:
			return nil
		case hard.Err() != nil:
			return hard.Err()
		case refused != nil:
			if err := f.bury(hard, refused); err != nil {
				return err
			}
			if len(left) == 0 {
				return nil
			}
		case errors.Is(err, errTooLarge) && len(left) > 1:
			if err := f.deliverAll(hard, left[:len(left)/2]); err != nil {
				return err
			}
			left, pause = left[len(left)/2:], 0
		case errors.Is(err, errTooLarge):
			if err := f.bury(hard, &Refused{Events: left, Why: err.Error()}); err != nil {
				return err
			}
			return nil
		case errors.As(err, &busy):
			pause = max(rest, min(busy.after, 60*f.opts.Rest))
		}
		if len(left) < len(events) {
			rest = f.opts.Rest // it takes some
		} else {
			rest = min(2*rest, 60*f.opts.Rest)
		}
		events = left
		select {
		case <-time.After(pause):
		case <-hard.Done():
			return hard.Err()
		}
	}
}

// bury puts what the sink refuses where somebody can look at it; without such a
// place it is the end.
func (f *feed) bury(ctx context.Context, r *Refused) error {
	if f.sink.DeadLetter == nil {
		return r
	}
	f.log.Error("the sink refuses events; they are in the dead-letter file", "alert", "ship_refused", "err", r)
	if _, err := f.sink.DeadLetter.Send(ctx, r.Events); err != nil {
		return fmt.Errorf("dead-letter file: %w, after: %w", err, r)
	}
	f.mu.Lock()
	f.tally.DeadLetters += uint64(len(r.Events))
	f.mu.Unlock()
	return nil
}

// save writes the cursor if it has moved. Where it cannot be written, more will
// be sent again after a restart.
func (f *feed) save() {
	if !f.dirty || f.opts.From != nil {
		return
	}
	err := f.cursor.write(cursorPath(f.opts.Dir, f.sink.Name))
	f.dirty = err != nil
	if err != nil {
		f.mu.Lock()
		f.tally.Errors++
		f.mu.Unlock()
		f.trouble.cursor(f.log, err)
	}
}

// publish shows Stats how far the sink has come.
func (f *feed) publish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.oldest = map[string]uint64{}, time.Time{}
	for chain, p := range f.cursor {
		f.at[chain] = p.Next
	}
}

// took counts a try, and tells of trouble.
func (f *feed) took(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tally.Sent += uint64(n)
	if err != nil {
		f.tally.Errors++
		f.trouble.tried(f.log, err)
		return
	}
	f.tally.LastSuccess = time.Now()
	f.trouble.over(f.log)
}

func (f *feed) stats() (Stats, map[string]uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.tally
	st.Sink, st.Stopped = f.sink.Name, f.stopped
	if !f.oldest.IsZero() {
		st.Lag = time.Since(f.oldest)
	}
	return st, f.at
}
