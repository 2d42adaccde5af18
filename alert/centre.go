package alert

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sink is where alerts go.
type Sink interface {
	// Send sends an alert once. It returns soon after its context is done. An
	// error that is a *Refused is final; after any other it is sent again.
	Send(ctx context.Context, a *Alert) error
	Close() error
}

// Refused is the error of a sink that will never take an alert, however often it
// is sent.
type Refused struct{ Why string }

func (r *Refused) Error() string { return r.Why }

// Route is a sink with what goes there.
type Route struct {
	Name    string
	To      Sink
	Least   Severity      // what is less severe does not go there
	Timeout time.Duration // of one try
}

// Options set up a Centre.
type Options struct {
	Log     *slog.Logger  // has every alert, and what goes wrong with those to others
	Window  time.Duration // in which alike events are one alert; five minutes when 0
	Host    string        // the machine, as alerts name it
	Metrics prometheus.Registerer
	Rest    time.Duration // the first pause between two tries; a second when 0
}

// Centre sends events to the log and to routes. It is ready once New gives it.
type Centre struct {
	opts    Options
	metrics *metrics
	toLog   *feed

	mu     sync.Mutex
	folds  map[what]*fold
	order  []*fold        // by when they end
	apart  map[string]int // folds of a name that are told apart
	timer  *time.Timer    // calls sweep at the end of the first
	feeds  []*feed        // of the routes
	going  sync.WaitGroup // feeds of routes that were taken away, until they are through
	closed bool
}

// logName is the name of the log among sinks, in metrics. No route may have it.
const logName = "log"

// New gives a Centre that sends to the log; Replace adds routes.
func New(o Options) *Centre {
	o.Rest, o.Window = cmp.Or(o.Rest, time.Second), cmp.Or(o.Window, 5*time.Minute)
	c := &Centre{opts: o, metrics: newMetrics(o.Metrics), folds: map[what]*fold{}, apart: map[string]int{}}
	c.toLog = c.start(Route{Name: logName, To: Logger{o.Log}, Timeout: time.Minute})
	c.timer = time.AfterFunc(time.Hour, c.sweep)
	c.timer.Stop()
	return c
}

// Raise takes an event. What comes after Close is counted, and goes nowhere.
func (c *Centre) Raise(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if e.Severity < Notice || e.Severity > Critical {
		e.Severity = Critical // nobody said that it can wait
	}
	c.metrics.raised.WithLabelValues(e.Name, e.Severity.String()).Inc()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		c.metrics.dropped.WithLabelValues(logName).Inc()
		return
	}
	w := whatOf(&e)
	f := c.folds[w]
	if f == nil && c.apart[e.Name] >= apart {
		w = what{name: e.Name, severity: e.Severity, others: true}
		f = c.folds[w]
	}
	if f != nil {
		f.add(e)
		return
	}
	c.begin(w)
	c.send(Alert{Event: e, Count: 1, Since: e.Time})
}

// begin begins a window. The caller holds c.mu.
func (c *Centre) begin(w what) {
	f := &fold{what: w}
	c.folds[w] = f
	if !w.others {
		c.apart[w.name]++
	}
	c.await(f)
}

// await has a window end when it is over. All are as long as each other, so
// what begins last ends last. The caller holds c.mu.
func (c *Centre) await(f *fold) {
	f.ends = time.Now().Add(c.opts.Window)
	if c.order = append(c.order, f); len(c.order) == 1 {
		c.timer.Reset(c.opts.Window)
	}
}

// sweep ends the windows that are over: what has come in one is told, and
// another begins; where nothing has, the next event is the first again.
func (c *Centre) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for len(c.order) > 0 && !c.closed {
		f := c.order[0]
		if wait := f.ends.Sub(now); wait > 0 {
			c.timer.Reset(wait)
			return
		}
		c.order = c.order[1:]
		if f.count > 0 {
			c.send(f.sum())
			c.await(f)
			continue
		}
		delete(c.folds, f.what)
		if f.others {
			continue
		}
		if c.apart[f.name]--; c.apart[f.name] == 0 {
			delete(c.apart, f.name)
		}
	}
}

// send gives an alert to every sink that takes it. The caller holds c.mu.
func (c *Centre) send(a Alert) {
	a.ID, a.Host = newID(), c.opts.Host
	a.clean()
	c.toLog.put(&a)
	for _, f := range c.feeds {
		f.put(&a)
	}
}

// newID names an alert; no two have the same.
func newID() string { return "alert_" + rand.Text() }

// Replace puts routes in place of those before. What waits for these is still
// sent, for as long as within.
func (c *Centre) Replace(routes []Route, within time.Duration) {
	var feeds []*feed
	for _, r := range routes {
		feeds = append(feeds, c.start(r))
	}
	c.mu.Lock()
	before := c.feeds
	c.feeds = feeds
	c.mu.Unlock()
	for _, f := range before {
		c.going.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), within)
			defer cancel()
			if err := f.close(ctx); err != nil {
				c.opts.Log.Error("alerts were not delivered before their sink was taken away", "err", err)
			}
		})
	}
}

// Close tells what is not told yet and sends what waits, until the context is
// done. An error says what was not delivered.
func (c *Centre) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.timer.Stop()
	for _, f := range c.order {
		if f.count > 0 {
			c.send(f.sum())
		}
	}
	c.closed = true
	feeds := append(c.feeds, c.toLog)
	c.mu.Unlock()
	errs := make([]error, len(feeds))
	var done sync.WaitGroup
	for i, f := range feeds {
		done.Go(func() { errs[i] = f.close(ctx) })
	}
	done.Wait()
	return errors.Join(append(errs, c.gone(ctx))...)
}

// gone waits for feeds that were taken away.
func (c *Centre) gone(ctx context.Context) error {
	through := make(chan struct{})
	go func() { c.going.Wait(); close(through) }()
	select {
	case <-through:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sinks that were taken away have not ended: %w", ctx.Err())
	}
}

// Test sends an event through a route, once, and says what became of it.
func (r Route) Test(ctx context.Context, e Event, host string) error {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	now := time.Now()
	a := Alert{Event: e, ID: newID(), Count: 1, Since: now, Host: host}
	a.Time = now
	a.clean()
	return errors.Join(r.To.Send(ctx, &a), r.To.Close())
}
