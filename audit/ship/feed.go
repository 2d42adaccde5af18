package ship

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
)

// feed ships to one sink: a goroutine that sends, and one for each chain that
// reads.
type feed struct {
	sink Sink
	opts *Options
	log  *slog.Logger

	// Of run alone:
	cursor cursor // of what was taken
	dirty  bool   // it is not written yet

	mu      sync.Mutex // of what Stats tells
	trouble trouble
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
	f.log.Error("nothing is shipped any more until a restart; the log keeps what the sink does not have", "err", err)
	f.opts.Alerts.Raise(alert.Event{
		Name: "ship_stopped", Severity: alert.Critical, Message: "a sink of the access log has stopped until a restart", Key: f.sink.Name,
		Details: []slog.Attr{slog.String("sink", f.sink.Name)},
	})
	f.mu.Lock()
	f.stopped = err
	f.mu.Unlock()
}

func (f *feed) ship(hard, soft context.Context) (err error) {
	defer func() {
		err = errors.Join(err, f.sink.To.Close())
		if f.sink.DeadLetter != nil {
			err = errors.Join(err, f.sink.DeadLetter.Close())
		}
	}()
	if f.opts.From == nil {
		unlock, err := f.lock(soft)
		if unlock == nil {
			return err
		}
		defer unlock()
	}
	if err := f.begin(hard); err != nil {
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
func (f *feed) begin(ctx context.Context) (err error) {
	if f.opts.From != nil {
		f.cursor = cursor{f.opts.Chains[0].Name: {Next: *f.opts.From}}
	} else if f.cursor, err = readCursor(cursorPath(f.opts.Dir, f.sink.Name)); err != nil {
		return err
	}
	if f.cursor == nil {
		if f.cursor, err = f.first(ctx); err != nil {
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
func (f *feed) first(ctx context.Context) (cursor, error) {
	made := cursor{}
	for _, c := range f.opts.Chains {
		first, some, err := firstRecord(c.Dir)
		if err == nil && some && f.sink.FromNow {
			var h audit.Head
			h, err = audit.ReadHead(c.Dir)
			first = h.Count
		}
		if err == nil && first > 0 {
			err = f.durable(ctx, c, first-1)
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
	f.at, f.oldest = f.cursor.nexts(), time.Time{}
}

func (f *feed) stats() (Stats, map[string]uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.tally
	st.Sink, st.Stopped = f.sink.Name, f.stopped
	if !f.oldest.IsZero() {
		st.Lag = time.Since(f.oldest)
	}
	if f.at != nil {
		return st, f.at
	}
	c, err := readCursor(cursorPath(f.opts.Dir, f.sink.Name)) // another process ships
	if err != nil {
		return st, nil // that one tells
	}
	return st, c.nexts()
}
