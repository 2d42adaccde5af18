package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	queued        = 256              // alerts that wait for a sink at most
	tries         = 5                // of an alert, at a sink
	longest       = 30 * time.Second // between two tries
	tellFullEvery = time.Minute      // between two lines of the log about a full queue
)

// feed has a sink's alerts wait for it, and sends them, the most severe first.
type feed struct {
	Route
	centre     *Centre
	log        *slog.Logger
	wake       chan struct{} // holds one
	soft, hard context.Context
	end, halt  context.CancelFunc // send what waits, and end; end
	done       chan struct{}

	mu    sync.Mutex
	queue [Critical][]*Alert // by severity
	count int                // of all in queue
	lost  int                // that the sink was never told of
	full  int                // of them, since the log was told of a full queue
	told  time.Time          // when that was
}

func (c *Centre) start(r Route) *feed {
	f := &feed{Route: r, centre: c, log: c.opts.Log.With("sink", r.Name), wake: make(chan struct{}, 1), done: make(chan struct{})}
	f.soft, f.end = context.WithCancel(context.Background())
	f.hard, f.halt = context.WithCancel(context.Background())
	c.metrics.begin(r.Name)
	go f.run()
	return f
}

// put has an alert wait. Where there is no place left, the oldest of those less
// severe goes, or else the new one: whoever makes many alerts that do not matter
// must not push one out that does.
func (f *feed) put(a *Alert) {
	if a.Severity < f.Least {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count == queued {
		f.drop()
		if !f.yield(a.Severity) {
			return
		}
	}
	at := a.Severity - Notice
	f.queue[at] = append(f.queue[at], a)
	f.count++
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// drop counts an alert that is lost. It does not log that: whoever raises an
// event must not wait for the log. The caller holds f.mu.
func (f *feed) drop() {
	f.lost++
	f.full++
	f.centre.metrics.dropped.WithLabelValues(f.Name).Inc()
}

// tellFull tells the log, now and then, that there were too many alerts.
func (f *feed) tellFull() {
	f.mu.Lock()
	n := f.full
	if n == 0 || time.Since(f.told) < tellFullEvery {
		f.mu.Unlock()
		return
	}
	f.full, f.told = 0, time.Now()
	f.mu.Unlock()
	f.log.Error("too many alerts wait for the sink: some are dropped", "dropped", n)
}

// yield takes away the oldest alert of those below a severity. The caller holds
// f.mu.
func (f *feed) yield(to Severity) bool {
	for i := range f.queue[:to-Notice] {
		if len(f.queue[i]) > 0 {
			f.queue[i][0], f.queue[i] = nil, f.queue[i][1:]
			f.count--
			return true
		}
	}
	return false
}

func (f *feed) take() *Alert {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.queue) - 1; i >= 0; i-- {
		if q := f.queue[i]; len(q) > 0 {
			a := q[0]
			q[0], f.queue[i] = nil, q[1:]
			f.count--
			return a
		}
	}
	return nil
}

// run sends what comes until soft is done and nothing waits, or hard is done.
func (f *feed) run() {
	defer close(f.done)
	for f.hard.Err() == nil {
		if a := f.take(); a != nil {
			f.deliver(a)
			continue
		}
		select {
		case <-f.wake:
			continue
		default:
		}
		if f.soft.Err() != nil {
			return
		}
		select {
		case <-f.wake:
		case <-f.soft.Done():
		case <-f.hard.Done():
		}
	}
}

// deliver sends an alert until the sink takes it, as often as that is worth it.
func (f *feed) deliver(a *Alert) {
	rest := f.centre.opts.Rest
	for n := 1; ; n++ {
		err := f.try(a)
		f.tellFull()
		if err == nil {
			f.centre.metrics.delivered.WithLabelValues(f.Name, "sent").Inc()
			f.tellLost()
			return
		}
		ending := f.soft.Err() != nil && n > 1
		if n == tries || ending || f.hard.Err() != nil || errors.As(err, new(*Refused)) {
			f.giveUp(a, n, err)
			return
		}
		f.log.Warn("an alert was not delivered; it is sent again", "event", a.Name, "id", a.ID, "err", err)
		select {
		case <-time.After(rest):
		case <-f.soft.Done():
		case <-f.hard.Done():
		}
		rest = min(4*rest, longest)
	}
}

func (f *feed) try(a *Alert) error {
	ctx, cancel := context.WithTimeout(f.hard, f.Timeout)
	defer cancel()
	return f.To.Send(ctx, a)
}

// giveUp counts an alert that the sink has not taken. All sinks are told: the
// others get there. That this cannot be told is told no more.
func (f *feed) giveUp(a *Alert, tries int, err error) {
	f.centre.metrics.delivered.WithLabelValues(f.Name, "failed").Inc()
	f.log.Error("an alert was not delivered", "event", a.Name, "id", a.ID, "severity", a.Severity.String(), "tries", tries, "err", err)
	f.mu.Lock()
	f.lost++
	f.mu.Unlock()
	if a.Name != "alert_sink_failing" && f.hard.Err() == nil {
		f.centre.Raise(Event{
			Name: "alert_sink_failing", Severity: Warning, Message: "a sink of alerts does not take them", Key: f.Name,
			Details: []slog.Attr{slog.String("sink", f.Name), slog.Int("tries", tries)},
		})
	}
}

// tellLost tells a sink that takes alerts again how many it has missed. Where
// that fails, the next one that it takes is another occasion.
func (f *feed) tellLost() {
	f.mu.Lock()
	lost := f.lost
	f.mu.Unlock()
	if lost == 0 {
		return
	}
	now := time.Now()
	a := Alert{ID: newID(), Count: 1, Since: now, Host: f.centre.opts.Host, Event: Event{
		Name: "alerts_lost", Severity: Warning, Time: now, Message: "alerts did not reach this sink; the log has them",
		Details: []slog.Attr{slog.String("sink", f.Name), slog.Int("lost", lost)},
	}}
	if err := f.try(&a); err != nil {
		f.log.Warn("the sink could not be told how many alerts it has missed; that is tried again", "lost", lost, "err", err)
		return
	}
	f.mu.Lock()
	f.lost -= lost
	f.mu.Unlock()
}

// close sends what waits until the context is done, and ends.
func (f *feed) close(ctx context.Context) error {
	f.end()
	defer f.halt()
	select {
	case <-f.done:
	case <-ctx.Done():
		f.halt()
		select {
		case <-f.done:
		case <-time.After(time.Second): // a sink that does not heed its context keeps its goroutine
			return fmt.Errorf("sink %s: it has not ended: %w", f.Name, ctx.Err())
		}
	}
	f.mu.Lock()
	left := f.count + f.lost
	f.mu.Unlock()
	err := f.To.Close()
	if left > 0 {
		err = errors.Join(err, fmt.Errorf("%d alerts were not delivered", left))
	}
	if err != nil {
		return fmt.Errorf("sink %s: %w", f.Name, err)
	}
	return nil
}
