package ship

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pgveil/pgveil/alert"
)

// deliver has the sink take a batch, however long that takes, and moves the
// cursor behind it.
func (f *feed) deliver(hard context.Context, b *batch) error {
	for _, c := range f.opts.Chains {
		if r, some := b.last[c.Name]; some {
			if err := f.durable(hard, c, r.Seq); err != nil {
				return err
			}
		}
	}
	if len(b.events) > 0 {
		f.mu.Lock()
		f.oldest = b.events[0].Record.Time
		f.mu.Unlock()
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

// durable waits until a crash of the machine cannot take a record back. Otherwise
// another one would take its place, behind the cursor.
func (f *feed) durable(ctx context.Context, c Chain, seq uint64) error {
	if f.opts.Durable == nil {
		return nil
	}
	return f.opts.Durable(ctx, c, seq)
}

// deliverAll sends events again and again until all are taken.
func (f *feed) deliverAll(hard context.Context, events []Event) error {
	for rest := f.opts.Rest; ; rest = min(2*rest, f.longest()) {
		left, pause, err := f.try(hard, events)
		if err != nil || len(left) == 0 {
			return err
		}
		if len(left) < len(events) {
			rest = f.opts.Rest // it takes some
		}
		f.save() // this may last
		select {
		case <-time.After(max(rest, pause)):
		case <-hard.Done():
			return hard.Err()
		}
		events = left
	}
}

// longest is the longest pause between two tries.
func (f *feed) longest() time.Duration { return 60 * f.opts.Rest }

// try sends events once. It gives those that are to be sent again, and not before
// which pause; an error is the end.
func (f *feed) try(hard context.Context, events []Event) (left []Event, pause time.Duration, end error) {
	ctx, cancel := context.WithTimeout(hard, f.sink.Timeout)
	left, err := f.sink.To.Send(ctx, events)
	cancel()
	var refused *Refused
	var busy *busyError
	errors.As(err, &refused)
	f.took(events, left, refused, err)
	switch half := len(left) / 2; {
	case err == nil:
		return nil, 0, nil
	case hard.Err() != nil:
		return nil, 0, hard.Err()
	case refused != nil:
		return left, 0, f.bury(hard, refused)
	case errors.Is(err, errTooLarge) && half == 0:
		return nil, 0, f.bury(hard, &Refused{Events: left, Why: err.Error()})
	case errors.Is(err, errTooLarge):
		if err := f.deliverAll(hard, left[:half]); err != nil {
			return nil, 0, err
		}
		return nil, 0, f.deliverAll(hard, left[half:])
	case errors.As(err, &busy):
		return left, min(busy.after, f.longest()), nil
	default:
		return left, 0, nil
	}
}

// took counts a try, and tells of trouble.
func (f *feed) took(events, left []Event, refused *Refused, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tally.Sent += uint64(len(events) - len(left))
	if refused != nil {
		f.tally.Sent -= uint64(len(refused.Events))
	}
	if err != nil {
		f.tally.Errors++
		f.trouble.tried(f.log, err)
		return
	}
	f.tally.LastSuccess = time.Now()
	f.trouble.over(f.log)
}

// bury puts what the sink refuses where somebody can look at it; without such a
// place it is the end.
func (f *feed) bury(ctx context.Context, r *Refused) error {
	if f.sink.DeadLetter == nil {
		return r
	}
	f.log.Error("the sink refuses events; they are put in the dead-letter file", "err", r)
	f.opts.Alerts.Raise(alert.Event{
		Name: "ship_refused", Severity: alert.Warning, Message: "a sink of the access log refuses records for good", Key: f.sink.Name,
		Details: []slog.Attr{slog.String("sink", f.sink.Name), slog.Int("records", len(r.Events))},
	})
	if _, err := f.sink.DeadLetter.Send(ctx, r.Events); err != nil {
		return fmt.Errorf("dead-letter file: %w, after: %w", err, r)
	}
	f.mu.Lock()
	f.tally.DeadLetters += uint64(len(r.Events))
	f.mu.Unlock()
	return nil
}
