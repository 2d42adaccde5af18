package reseal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/seal"
)

// Job changes how values are stored. Its connection is nobody else's.
type Job struct {
	Conn *pgx.Conn

	// Ring gives the keys as they are now: the same ring as long as they are the same.
	// It is asked before each batch and once more before that is committed.
	Ring func(context.Context) (*seal.Ring, error)

	Batch           int           // rows of one transaction; 0: 2000
	Pause           time.Duration // after each
	WithoutTriggers bool          // triggers and foreign keys do not see what is changed
	LeaveUnknown    bool          // go on although there are values whose keys nobody knows

	Progress func(Progress) // after each batch; nil: nobody hears
}

// Progress is how far a job is.
type Progress struct {
	Column     string
	Done, Todo int64 // values
	Elapsed    time.Duration
}

// Remaining estimates how long it takes to the end, at the pace until now.
func (p Progress) Remaining() time.Duration {
	if p.Done <= 0 || p.Todo <= p.Done {
		return 0
	}
	return time.Duration(float64(p.Elapsed) / float64(p.Done) * float64(p.Todo-p.Done))
}

// Result is what a job did.
type Result struct {
	Done    int64         // values that were changed
	Batches int64         // transactions that changed some
	Passes  int           // times through the table
	Elapsed time.Duration // from first to last
	Unfit   []Unfit       // values that were left, the first of them
	Left    int64         // values that are still to be changed
	Census  *Census       // as it is afterwards
}

// Unfit is a value that cannot be changed.
type Unfit struct {
	Table string
	At    string // the row's ctid
	Why   error
}

func (u Unfit) String() string { return fmt.Sprintf("%s at ctid %s: %v", u.Table, u.At, u.Why) }

// What ends a job before its end.
var (
	ErrStopped = errors.New("stopped after a whole batch: what is done is done, and the same command goes on")
	ErrLocked  = errors.New("some rows are locked by others for long: the same command goes on when they are free")
	ErrUnfit   = errors.New("some values were left as they are")
	ErrBusy    = errors.New("somebody else is at work on this column")
)

const (
	defaultBatch = 2000
	batchWithin  = 10 * time.Minute // whether anybody still waits or not
	maxStep      = 4096             // pages
	maxBytes     = 32 << 20         // of values in one transaction, if they are in more than one page
	maxUnfit     = 20               // that are told
	idlePasses   = 5
)

// change is what a job does to values.
type change struct {
	where string // which rows of t
	plan  func(*seal.Ring, *Column) (converter, error)
	todo  func(*Census) int64
	heeds func(topic) bool // what findings keep it from being done
}

// converter makes of what is stored what is to be stored, under the keys of one ring.
type converter interface {
	where() string                            // rows that are left by it; "" for none
	convert(stored, row []byte) (next, error) // row is the key of the row, where values are bound to that
	same(n *next, stored, blind []byte) error // nil when what was written means what it must
}

// next is what a row is to hold.
type next struct {
	at, version       string // its ctid and xmin
	old, row          []byte // what it holds, and its key, where values are bound to that
	value             []byte
	stored, blindHash []byte
}

// lock keeps other jobs from the column until unlock is called.
func (j *Job) lock(ctx context.Context, c *Column) (unlock func() error, err error) {
	const key = "pg_catalog.hashtextextended($1, 0)"
	name, got := "pgveil seal "+c.Column, false
	if err := j.Conn.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_lock("+key+")", name).Scan(&got); err != nil {
		return nil, err
	}
	if !got {
		return nil, fmt.Errorf("%s: %w", c.Column, ErrBusy)
	}
	return func() error {
		if j.Conn.IsClosed() {
			return nil // the lock went with it
		}
		wait, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
		_, err := j.Conn.Exec(wait, "SELECT pg_catalog.pg_advisory_unlock("+key+")", name)
		return err
	}, nil
}

// settle gives the session what it needs. Row security would hide rows, which then
// would stay as they are: off, it is an error instead.
func (j *Job) settle(ctx context.Context, c *Column) error {
	_, err := j.Conn.Exec(ctx, "SET row_security = off; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET search_path = pg_catalog, "+ident(c.Schema)+", public")
	return err
}

// passBy has triggers and foreign keys see nothing, where that is asked for.
func (j *Job) passBy(ctx context.Context) error {
	if !j.WithoutTriggers {
		return nil
	}
	_, err := j.Conn.Exec(ctx, "SET session_replication_role = replica")
	if err != nil {
		return fmt.Errorf("%w: --without-triggers takes a superuser, or GRANT SET ON PARAMETER session_replication_role; name one by --admin-url", err)
	}
	return nil
}

// run changes values until none is left to be changed.
func (j *Job) run(ctx context.Context, c *Column, ch change, before *Census) (r *Result, err error) {
	r = &Result{Census: before}
	begun := time.Now()
	todo := ch.todo(before)
	tell := func() {
		r.Elapsed = time.Since(begun)
		if j.Progress != nil {
			j.Progress(Progress{Column: c.Column, Done: r.Done, Todo: todo, Elapsed: r.Elapsed})
		}
	}
	for idle := 0; ; {
		p := pass{Job: j, column: c, change: ch, result: r, tell: tell}
		if err := p.all(ctx); err != nil {
			return r, err
		}
		r.Passes++
		ring, err := j.Ring(ctx)
		if err != nil {
			return r, err
		}
		if r.Census, err = Count(ctx, j.Conn, ring, c); err != nil {
			return r, err
		}
		r.Elapsed, r.Unfit = time.Since(begun), p.unfit
		switch r.Left = ch.todo(r.Census); {
		case p.unfits > 0 && r.Left <= p.unfits:
			return r, fmt.Errorf("%s: %d values: %w", c.Column, p.unfits, ErrUnfit)
		case r.Left == 0:
			return r, nil
		case p.done > 0:
			idle = 0
		default:
			idle++
		}
		if idle == idlePasses {
			return r, fmt.Errorf("%s: %d values are left: %w", c.Column, r.Left, ErrLocked)
		}
		if err := j.wait(ctx, time.Duration(idle)*time.Second); err != nil {
			return r, err
		}
	}
}

func (j *Job) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ErrStopped
	case <-time.After(d):
		return nil
	}
}
