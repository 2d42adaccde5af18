package requests

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/state"
)

// watchEvery is how often deadlines are looked at.
const watchEvery = time.Minute

// reminders are how much of a request's time is over when somebody is reminded
// of it, in percent.
var reminders = []int{50, 80, 95, 100}

// Watch reminds of requests whose time runs out until the context ends. Of many
// that watch, one reminds.
func (w *Worker) Watch(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.Remind(ctx, time.Now()); err != nil && ctx.Err() == nil {
			w.Log.Warn("requests: deadlines could not be looked at", "err", err)
		}
		pause(ctx, watchEvery)
	}
}

// How many requests are looked at, and reminded of, at once: those that are reminded of
// are locked, and each is in the access log before the next.
const (
	lookAtOnce   = 1000
	remindAtOnce = 20
)

// Remind tells of the requests of which more time is over than was last said.
func (w *Worker) Remind(ctx context.Context, now time.Time) error {
	for after := int64(0); ; {
		var found []state.Request
		err := w.Service.transact(ctx, pgx.ReadOnly, func(tx pgx.Tx) (err error) {
			found, err = state.PendingRequests(ctx, tx, after, lookAtOnce)
			return err
		})
		if err != nil || len(found) == 0 {
			return err
		}
		after = found[len(found)-1].ID
		found = slices.DeleteFunc(found, func(r state.Request) bool { return due(r, now) <= r.Warned })
		for some := range slices.Chunk(found, remindAtOnce) {
			if err := w.remind(ctx, some, now); err != nil {
				return err
			}
		}
	}
}

// remind reminds of some requests.
func (w *Worker) remind(ctx context.Context, some []state.Request, now time.Time) error {
	var late []state.Request
	err := w.Service.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) error {
		late = nil
		for _, r := range some {
			r, err := state.LockRequest(ctx, tx, r.ID)
			if err != nil {
				return err
			}
			reached := due(r, now)
			if r.Warned >= reached || r.State.Over() {
				continue
			}
			r.Warned = reached
			what := fmt.Sprintf("reminder: %d%% of the time is over", reached)
			if err := note(ctx, tx, r, w.Name, what, "", w.witness(r, what)); err != nil {
				return err
			}
			if err := state.SaveRequest(ctx, tx, r); err != nil {
				return err
			}
			late = append(late, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range late {
		if r.Warned >= 100 {
			w.raise(r, alert.Event{Name: "request_overdue", Severity: alert.Critical, Message: "a data subject request is late"})
		} else {
			w.raise(r, alert.Event{Name: "request_due", Severity: alert.Warning, Message: "the time of a data subject request runs out"})
		}
	}
	return nil
}

// due gives the last reminder of a request that is due; 0: none.
func due(r state.Request, now time.Time) int { return reminder(clockOf(r).Used(r.Received, now)) }

// reminder gives the last reminder that is due; 0: none.
func reminder(used float64) (reached int) {
	for _, percent := range reminders {
		if used*100 >= float64(percent) {
			reached = percent
		}
	}
	return reached
}
