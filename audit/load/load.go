package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
)

// Loader brings one log into the database. Its methods but Run may be called
// from any goroutine.
type Loader struct {
	Dir   string
	Name  string        // the log's in the table; "" for an id made of its first record
	Keep  int           // days
	Batch int           // records in one transaction at most
	Every time.Duration // how long a record waits for others

	// Use calls f with a connection of pgveil's own, which f alone has
	// meanwhile. What is set in its session stays.
	Use func(ctx context.Context, f func(*pgx.Conn) error) error
	// Durable returns once every record up to seq outlives the machine.
	Durable func(ctx context.Context, seq uint64) error
	// Loading, when not nil, is told how many records of the log are in the table.
	Loading func(records uint64)
	Log     *slog.Logger
	Now     func() time.Time

	*state // nil: to be read from the database
	tail   *audit.Tail

	mu      sync.Mutex
	loaded  uint64    // records that are in the table
	through time.Time // when the last of the log's records was
}

// state is what the database knows of a log.
type state struct {
	encoder
	joiner
	next     uint64
	parts    map[time.Time]bool // days for which there are parts
	tended   time.Time          // when days were last made ahead
	progress time.Time          // when it was last said how far it has come
}

const (
	firstRest = time.Second // between two tries, doubled up to
	longRest  = time.Minute
)

// Run loads until ctx is done. What fails is tried again; nothing waits for it.
func (l *Loader) Run(ctx context.Context) {
	defer l.Forget()
	l.note(0, false)
	rest := firstRest
	var trouble trouble
	for {
		more, err := l.Step(ctx)
		if ctx.Err() != nil {
			return
		}
		pause := l.Every
		switch {
		case errors.Is(err, errMoved):
			l.Forget()
		case err != nil:
			l.Forget()
			trouble.tell(l, err)
			pause, rest = rest, min(2*rest, longRest)
		default:
			trouble.over(l)
			rest = firstRest
			if more {
				pause = 0
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// Step loads one batch, and tells whether there is more to load at once. After
// an error of a step there must be a Forget before the next one.
func (l *Loader) Step(ctx context.Context) (more bool, err error) {
	if l.state == nil {
		if err := l.begin(ctx); errors.Is(err, fs.ErrNotExist) {
			return false, nil // there is no such log yet
		} else if err != nil {
			return false, err
		}
	}
	b, more, err := l.read()
	if err != nil {
		return false, err
	}
	if b.last != nil {
		if err := l.Durable(ctx, b.last.Seq); err != nil {
			return false, err
		}
	} else if !l.due(l.Now()) {
		l.note(l.next, true)
		return false, nil
	}
	if err := l.Use(ctx, func(c *pgx.Conn) error { return l.write(ctx, c, b) }); err != nil {
		return false, err
	}
	l.next = b.next
	l.note(l.next, !more)
	l.tell(b)
	return more, nil
}

// begin asks the database how far the log is loaded, and opens it there.
func (l *Loader) begin(ctx context.Context) error {
	first, err := audit.First(l.Dir)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the log is empty: %w", fs.ErrNotExist)
	} else if err != nil {
		return err
	}
	var s *state
	err = l.Use(ctx, func(c *pgx.Conn) error {
		if s, err = l.resume(ctx, c, &first); err != nil {
			return err
		}
		return l.tend(ctx, c, s)
	})
	if err != nil {
		return err
	}
	tail, err := audit.OpenTail(l.Dir, max(s.next, first.Seq))
	if err != nil {
		return err
	}
	l.state, l.tail = s, tail
	l.note(s.next, false)
	return nil
}

// Forget drops what is known of the database: the next step asks it.
func (l *Loader) Forget() {
	if l.tail != nil {
		_ = l.tail.Close() // only read from
	}
	l.state, l.tail = nil, nil
}

// read takes what the log has, as much as one batch holds.
func (l *Loader) read() (b *batch, more bool, err error) {
	b = newBatch(l.encoder, &l.joiner, l.next)
	for !b.full(l.Batch) {
		r, some, err := l.tail.Next()
		if err != nil || !some {
			return b, false, err
		}
		b.add(&r)
	}
	return b, true, nil
}

// note remembers how far the loading has come, and when it had all of the log.
func (l *Loader) note(loaded uint64, all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded = max(loaded, l.loaded)
	if l.Loading != nil {
		l.Loading(l.loaded)
	}
	if all || l.through.IsZero() {
		l.through = l.Now()
	}
}

// Loaded gives how many records of the log are in the table, and when these were
// all there were.
func (l *Loader) Loaded() (records uint64, through time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loaded, l.through
}

// progressEvery is how often it is said how far the loading has come, while there
// is much to load.
const progressEvery = 10 * time.Second

func (l *Loader) tell(b *batch) {
	now := l.Now()
	switch {
	case l.progress.IsZero():
		l.progress = now
	case b.full(l.Batch) && now.Sub(l.progress) >= progressEvery:
		l.progress = now
		l.Log.Info("the access log's table is catching up", "dir", l.Dir, "loaded", b.next, "through", b.last.Time)
	}
}
