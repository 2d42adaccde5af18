package requests

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// Deed is something that a worker does about a request, as the access log hears
// of it: before it counts.
type Deed struct {
	Request int64
	Kind    string // of subject
	Token   string // what the access log calls the subject
	By      string
	What    string
	Table   string
	Rows    int64
	Digest  string
	Images  *audit.Images // of a row that was changed, to be sealed; nil: of none
}

// Worker runs requests that are queued, one at a time. Any number of them may
// work on one database, in one process or in many: each request is held by a lock
// of the worker's own session, which is gone the moment the worker is.
type Worker struct {
	Service *Service
	Name    string                                                                     // as requests say who did it
	Record  func(ctx context.Context, d Deed) (seq uint64, err error)                  // durable when it returns
	Package func(ctx context.Context, conn *pgx.Conn, r state.Request) (Packed, error) // answers a request for access; nil: nowhere to put it
	Notary  *Notary                                                                    // of erasures; nil: none is carried out
	Alerts  alert.Raiser                                                               // nil: nobody hears
	Log     *slog.Logger

	searchNext time.Time // the earliest moment of another search, after one that failed
	waitNext   time.Time // that of another look for erasures that wait for long
}

// How a worker waits.
const (
	idle        = 5 * time.Second // between looks, where nobody says that there is something to do
	firstWait   = 2 * time.Second // before what failed is tried again; it doubles
	longestWait = 10 * time.Minute
	maxAttempts = 10
	lockClass   = 0x7067_7271 // of advisory locks on requests: "pgrq"
)

// Work runs requests until the context ends. Errors of a request are the
// request's; what keeps the worker from its work is logged, and tried again.
func (w *Worker) Work(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.session(ctx); err != nil && ctx.Err() == nil {
			w.Log.Warn("requests: the worker begins anew", "err", err)
			pause(ctx, idle)
		}
	}
}

// session works on one connection until it breaks.
func (w *Worker) session(ctx context.Context) error {
	conn, err := w.Service.Data.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+state.RequestsChannel); err != nil {
		return err
	}
	for ctx.Err() == nil {
		busy, err := w.Step(ctx, conn)
		if err != nil {
			return err
		}
		if !busy {
			if err := await(ctx, conn, idle); err != nil {
				return err
			}
		}
	}
	return nil
}

// Step takes one request and runs it. busy tells whether there was one.
func (w *Worker) Step(ctx context.Context, conn *pgx.Conn) (busy bool, err error) {
	ids, err := state.Runnable(ctx, conn, 100)
	if err != nil {
		return false, state.Explain("looking for requests", err)
	}
	if long, err := w.waitLong(ctx, conn); err != nil {
		return false, err
	} else if long { // others that come in meanwhile must not keep these waiting for ever
		if busy, err := w.Search(ctx, conn); busy || err != nil {
			return busy, err
		}
	}
	for _, id := range ids {
		done, err := w.try(ctx, conn, id)
		if done || err != nil {
			return done, err
		}
	}
	return w.Search(ctx, conn)
}

// waitLong tells whether erasures have waited for others for long. It looks now and
// then: of thousands that wait it has to read each.
func (w *Worker) waitLong(ctx context.Context, conn *pgx.Conn) (bool, error) {
	if time.Now().Before(w.waitNext) {
		return false, nil
	}
	w.waitNext = time.Now().Add(idle)
	return state.Erased(ctx, conn, searchAfter)
}

// try runs a request, unless another worker has it.
func (w *Worker) try(ctx context.Context, conn *pgx.Conn, id int64) (done bool, err error) {
	return w.exclusively(ctx, conn, id, func() (bool, error) {
		r, ok, err := w.take(ctx, id)
		if !ok || err != nil {
			return false, err
		}
		run := errOften
		if r.Attempts <= maxAttempts {
			run = w.answer(ctx, conn, &r)
		}
		return true, w.finish(ctx, conn, r, run)
	})
}

// errOften says that a request was taken as often as any is, and that each time its
// worker ended before it could say why.
var errOften = errors.New("every attempt ended with its worker")

// exclusively calls f while nobody else has the number; done is false where
// somebody has.
func (w *Worker) exclusively(ctx context.Context, conn *pgx.Conn, id int64, f func() (bool, error)) (done bool, err error) {
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_lock($1, $2)", lockClass, int32(id)).Scan(&done); err != nil || !done {
		return false, err
	}
	defer func() {
		if conn.IsClosed() {
			return // and the lock with it
		}
		_, unlocked := conn.Exec(context.WithoutCancel(ctx), "SELECT pg_catalog.pg_advisory_unlock($1, $2)", lockClass, int32(id))
		err = errors.Join(err, unlocked)
	}()
	return f()
}

// take makes a request that may be run one that runs, and counts that before
// anything is done: one that ends its worker each time comes to an end, too.
func (w *Worker) take(ctx context.Context, id int64) (r state.Request, ok bool, err error) {
	err = w.Service.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) error {
		if r, err = state.LockRequest(ctx, tx, id); err != nil {
			return err
		}
		if ok = r.State == state.RequestQueued || r.State == state.RequestRunning; !ok {
			return nil
		}
		again := r.State == state.RequestRunning
		r.State = state.RequestRunning
		r.Attempts++
		what := "runs"
		switch {
		case r.Attempts > maxAttempts:
			what = "is not tried again"
		case again:
			what = "goes on"
		}
		if err := note(ctx, tx, r, w.Name, what, "", w.witness(r, what)); err != nil {
			return err
		}
		return state.SaveRequest(ctx, tx, r)
	})
	return r, ok, err
}

// errLost says that a request is no more the worker's: its session ended without
// its knowing, and somebody else has gone on.
var errLost = errors.New("another worker has the request")

// still locks a request that the worker took, as long as it is the worker's. What
// others may change while it runs is as they made it.
func still(ctx context.Context, tx pgx.Tx, r *state.Request) error {
	now, err := state.LockRequest(ctx, tx, r.ID)
	if err == nil && (now.State != state.RequestRunning || now.Attempts != r.Attempts) {
		err = errLost
	}
	if err == nil {
		theirs(r, now)
	}
	return err
}

// theirs takes over what officers and reminders may change of a request at any
// time.
func theirs(r *state.Request, now state.Request) {
	r.Due, r.Extended, r.Warned = now.Due, now.Extended, now.Warned
}

// witness records what happens to a request in the access log.
func (w *Worker) witness(r state.Request, what string) Witness {
	return func(ctx context.Context, digest string) error {
		_, err := w.Record(ctx, Deed{Request: r.ID, Kind: r.Kind, Token: r.Token, By: w.Name, What: r.What + ": " + what, Digest: digest})
		return err
	}
}

// answer does what a request asks for.
func (w *Worker) answer(ctx context.Context, conn *pgx.Conn, r *state.Request) error {
	what, _ := policy.RequestTypeNamed(r.What)
	switch what {
	case policy.Restriction, policy.Objection:
		return w.restrain(ctx, r)
	case policy.Erasure:
		return w.erase(ctx, conn, r)
	case policy.Rectification:
		return w.rectify(ctx, conn, r)
	case policy.AccessRequest, policy.Portability:
		return w.pack(ctx, conn, r)
	default:
		return fmt.Errorf("internal error: a request for %q", r.What)
	}
}

// finish writes down how a run ended. Where the context ended it did not: the
// next worker goes on.
func (w *Worker) finish(ctx context.Context, conn *pgx.Conn, r state.Request, run error) error {
	if run != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	var said *privacy.Error
	what, wait := "completed", time.Duration(0)
	switch {
	case run == nil && r.State == state.RequestErased:
		what = "erased"
	case run == nil:
		r.State, r.Failure = state.RequestCompleted, ""
	case errors.As(run, &said):
		r.State, r.Failure, what = state.RequestFailed, said.Error(), "failed"
	case r.Attempts < maxAttempts:
		wait = min(firstWait<<r.Attempts, longestWait)
		r.State, r.Failure, what = state.RequestQueued, "it is tried again: pgveil's log says why", "put off"
	default:
		r.State, r.Failure, what = state.RequestFailed, fmt.Sprintf("%d attempts failed: pgveil's log says why", maxAttempts), "failed"
	}
	if run != nil {
		w.Log.Warn("requests: "+what, "request", r.ID, "err", run)
	}
	if r.State == state.RequestFailed {
		if err := w.giveUp(ctx, conn, &r); err != nil {
			return err
		}
	}
	err := w.Service.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) error {
		if err := still(ctx, tx, &r); err != nil {
			return err
		}
		if err := note(ctx, tx, r, w.Name, what, r.Failure, w.witness(r, what)); err != nil {
			return err
		}
		if wait > 0 {
			if err := state.PutOff(ctx, tx, r.ID, wait); err != nil {
				return err
			}
		}
		return state.SaveRequest(ctx, tx, r)
	})
	switch {
	case errors.Is(err, errLost):
		w.Log.Warn("requests: lost", "request", r.ID, "err", err)
		return nil
	case err == nil && r.State == state.RequestFailed:
		w.raise(r, alert.Event{Name: "request_failed", Severity: alert.Warning, Message: "a data subject request could not be done"})
	}
	return err
}

func (w *Worker) raise(r state.Request, e alert.Event) {
	if w.Alerts == nil {
		return
	}
	e.Details = []slog.Attr{slog.Int64("request", r.ID), slog.String("what", r.What), slog.String("due", r.Due.Format(time.DateOnly))}
	w.Alerts.Raise(e)
}

// restrain puts a restriction or an objection in force.
func (w *Worker) restrain(ctx context.Context, r *state.Request) error {
	cmd := privacy.Command{Verb: privacy.VerbRestrict, Subject: r.Kind, Key: privacy.Key{Values: r.Key}, Purpose: r.Purpose, Because: r.Reason}
	if r.What == policy.Objection.String() {
		cmd.Verb = privacy.VerbObject
	}
	_, err := w.Service.Data.Change(ctx, cmd, r.OpenedBy, w.witness(*r, "in force"))
	return err
}

// await waits until somebody says that there is something to do, or for a while.
func await(ctx context.Context, conn *pgx.Conn, most time.Duration) error {
	wait, done := context.WithTimeout(ctx, most)
	defer done()
	_, err := conn.WaitForNotification(wait)
	if wait.Err() != nil {
		return ctx.Err()
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
