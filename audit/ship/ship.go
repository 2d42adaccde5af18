package ship

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
)

// Chain is one chain of the access log.
type Chain struct {
	Name string // in cursors
	Dir  string
	Log  string // in events: its name among all logs
}

// Target is where events go.
type Target interface {
	// Send gives what of a batch was not taken, which without an error is
	// nothing. What it does not give was taken for good, or is in a *Refused. It
	// returns soon after its context is done.
	Send(ctx context.Context, batch []Event) (left []Event, err error)
	// Limit is how many bytes an event's body may have; 0: any number.
	Limit() int
	Close() error
}

// Refused is the error that a target will never take some events, however often
// they are sent.
type Refused struct {
	Events []Event
	Why    string
}

func (r *Refused) Error() string {
	return fmt.Sprintf("%d events are refused for good, the first of them record %d: %s", len(r.Events), r.Events[0].Record.Seq, r.Why)
}

// errTooLarge is that of a batch that a smaller one may not have.
var errTooLarge = errors.New("the batch is too large")

// busyError says when to try again.
type busyError struct {
	after time.Duration
	error
}

// Sink is a target with what goes there, and how.
type Sink struct {
	Name       string // of lower-case letters, digits, - and _
	To         Target
	Format     Format
	Only       []audit.Filter // what any of these chooses; none: everything
	FromNow    bool           // a sink without a cursor begins at the end of the log, not at its beginning
	Batch      int            // events at most
	Timeout    time.Duration  // of one try
	DeadLetter *File          // takes what the target refuses for good; nil: the sink stops there
}

// batchBytes is how many bytes of events a batch has, about, and scanned how
// many records it covers: those that no filter chooses, too.
const (
	batchBytes = 1 << 20
	scanned    = 20_000
)

// Options set up a Shipper.
type Options struct {
	Dir    string // of the log; cursors are in it
	Chains []Chain
	// Durable returns when a record of a chain outlives the machine: what is
	// shipped must not be gone after a crash.
	Durable func(ctx context.Context, c Chain, seq uint64) error
	Log     *slog.Logger
	Alerts  alert.Raiser // takes what somebody should look at; nil: Log does
	// Rest is the first pause between two tries, a second when 0. It doubles up
	// to sixty times as much.
	Rest time.Duration
	// From, when not nil, is where to begin in the first chain, alone: cursors
	// are neither read nor moved.
	From *uint64
}

// Shipper ships a log to its sinks. Nothing waits for it: each sink reads the
// files of the log at its own pace.
type Shipper struct {
	opts  Options
	feeds []*feed
	done  sync.WaitGroup
	end   context.CancelFunc // ship what is there, and end
	halt  context.CancelFunc // end

	mu    sync.Mutex
	heads map[string]head
}

var sinkName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// Start begins to ship. It fails where the settings are wrong; whether a sink can
// be reached, its Stats tell.
func Start(sinks []Sink, opts Options) (*Shipper, error) {
	if opts.Rest == 0 {
		opts.Rest = time.Second
	}
	if opts.From != nil {
		opts.Chains = opts.Chains[:1]
	}
	if opts.Alerts == nil {
		opts.Alerts = alert.Logger{Log: opts.Log}
	}
	s := &Shipper{opts: opts, heads: map[string]head{}}
	var names []string
	for _, sink := range sinks {
		if !sinkName.MatchString(sink.Name) || slices.Contains(names, sink.Name) {
			return nil, fmt.Errorf("sink %q: a name is of lower-case letters, digits, - and _, and no other sink's", sink.Name)
		}
		names = append(names, sink.Name)
		s.feeds = append(s.feeds, &feed{sink: sink, opts: &s.opts, log: opts.Log.With("sink", sink.Name)})
	}
	soft, end := context.WithCancel(context.Background())
	hard, halt := context.WithCancel(context.Background())
	s.end, s.halt = end, halt
	for _, f := range s.feeds {
		s.done.Go(func() { f.run(hard, soft) })
	}
	return s, nil
}

// Close ships what is in the log until the context is done, and ends. The log
// must not grow any more.
func (s *Shipper) Close(ctx context.Context) error {
	s.end()
	defer s.halt()
	gone := make(chan struct{})
	go func() { s.done.Wait(); close(gone) }()
	select {
	case <-gone:
		return s.err()
	case <-ctx.Done():
	}
	s.halt()
	select {
	case <-gone: // cursors are written
	case <-time.After(time.Second): // a file system that hangs keeps its goroutine
	}
	return errors.Join(ctx.Err(), s.err())
}

// err says which sinks have stopped, and why.
func (s *Shipper) err() error {
	var errs []error
	for _, f := range s.feeds {
		f.mu.Lock()
		if f.stopped != nil {
			errs = append(errs, fmt.Errorf("sink %s: %w", f.sink.Name, f.stopped))
		}
		f.mu.Unlock()
	}
	return errors.Join(errs...)
}

// Stats is what a sink tells of itself.
type Stats struct {
	Sink        string
	Sent        uint64        // events taken by the sink, by this process
	Errors      uint64        // tries that failed
	DeadLetters uint64        // events that it refused, and that are in the dead-letter file
	LagRecords  uint64        // records in the log that it does not have
	Lag         time.Duration // since the oldest of these was written
	LastSuccess time.Time
	Stopped     error // why nothing is shipped any more, until a restart
}

// Stats tells how each sink stands.
func (s *Shipper) Stats() (list []Stats) {
	for _, f := range s.feeds {
		st, at := f.stats()
		for _, c := range s.opts.Chains {
			if count := s.head(c); count > at[c.Name] {
				st.LagRecords += count - at[c.Name]
			}
		}
		if st.LagRecords == 0 {
			st.Lag = 0
		}
		list = append(list, st)
	}
	return list
}

// Failing names the sinks whose last try failed and that go on trying. It reads
// no file.
func (s *Shipper) Failing() (names []string) {
	for _, f := range s.feeds {
		f.mu.Lock()
		if f.trouble.count > 0 && f.stopped == nil {
			names = append(names, f.sink.Name)
		}
		f.mu.Unlock()
	}
	return names
}

// head is how long a chain was when somebody looked.
type head struct {
	count uint64
	at    time.Time
}

// headFor is how long that counts: to find it the last segment is read.
const headFor = 5 * time.Second

func (s *Shipper) head(c Chain) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.heads[c.Name]
	if time.Since(h.at) < headFor {
		return h.count
	}
	if files, err := segments(c.Dir); err != nil || len(files) == 0 {
		return 0
	}
	if now, err := audit.ReadHead(c.Dir); err == nil {
		h.count = now.Count
	}
	h.at = time.Now()
	s.heads[c.Name] = h
	return h.count
}
