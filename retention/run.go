package retention

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/state"
)

// Options say what a run does, and how.
type Options struct {
	Set *policy.Set
	Cat *catalog.Snapshot // with which the policy was compiled
	Able
	Key       []byte        // of digests; not empty
	By        string        // who wants it
	Scheduled bool          // nobody asked for it: it is time
	Batch     int           // rows of a rule's table
	Pause     time.Duration // after each batch
	LockWait  time.Duration // for a lock that others have; 0: two seconds

	// Record writes down what a batch takes, durably, before that is committed;
	// an error keeps it from being.
	Record func(ctx context.Context, b Batch) error

	Progress func(b Batch, all int64) // after each batch, with all rows of the rule so far; nil: nobody hears
}

// Batch is what one transaction takes.
type Batch struct {
	Run  int64  `json:"run"`
	N    int64  `json:"batch"` // from 1 within a run
	Rule string `json:"rule"`
	Took []Took `json:"took"`
}

// Rows is how many rows a batch takes from all tables.
func (b Batch) Rows() (n int64) {
	for _, t := range b.Took {
		n += t.Rows
	}
	return n
}

// Took is what a batch takes from one table. The digest is over the keys of the
// rows, in order: see digest.
type Took struct {
	Relation string `json:"table"`
	Action   string `json:"action"`
	Rows     int64  `json:"rows"`
	Digest   []byte `json:"digest"`
}

// Result is what a run did.
type Result struct {
	Run       int64        `json:"run"`
	State     string       `json:"state"`
	BrokenOff []int64      `json:"broken_off,omitempty"` // runs before it that had ended without saying so
	Rules     []RuleResult `json:"rules"`
}

// RuleResult is what a run did by one rule.
type RuleResult struct {
	Rule    string   `json:"rule"`
	Rows    int64    `json:"rows"` // of all tables
	Batches int64    `json:"batches"`
	Refused []string `json:"refused,omitempty"`
	Error   string   `json:"error,omitempty"`
	Left    int64    `json:"left"` // rows still due, and neither held nor awaited: others had them locked, say
	Due     int64    `json:"due"`  // rows still due, whatever keeps them
}

// Rows is how many rows a run took.
func (r Result) Rows() (n int64) {
	for _, one := range r.Rules {
		n += one.Rows
	}
	return n
}

// errRules says that not all rules could be carried out. The Result says which.
var errRules = errors.New("not all retention rules could be carried out")

// endWithin is how long a run may take to say that it has ended, whether anybody
// still waits or not.
const endWithin = 30 * time.Second

// runner is one run.
type runner struct {
	Options
	conn     *pgx.Conn
	run      int64
	now      time.Time // by the server's clock, when the run began
	batch    int64
	erasures int64
}

// Run carries the rules out. When ctx ends it stops after the batch that it is at,
// and the error is that of ctx. The connection must be its own: it is locked for the
// run. What rules were refused or failed for is in the Result and makes an error; the
// others are carried out all the same.
func Run(ctx context.Context, conn *pgx.Conn, o Options) (result Result, err error) {
	if o.Record == nil || len(o.Key) == 0 || o.Batch < 1 {
		return Result{}, errors.New("retention: internal error: a run needs a record, a key and a batch size")
	}
	if o.LockWait <= 0 {
		o.LockWait = 2 * time.Second
	}
	if err := lock(ctx, conn); err != nil {
		return Result{}, state.Explain("beginning a run of retention", err)
	}
	w := &runner{Options: o, conn: conn}
	if w.run, result.BrokenOff, err = o.begin(ctx, conn); err != nil {
		return Result{}, state.Explain("beginning a run of retention", errors.Join(err, unlock(ctx, conn)))
	}
	result.Run = w.run
	result.Rules, err = w.rules(ctx)
	result.State = Done
	note := ""
	switch {
	case ctx.Err() != nil:
		result.State, err = Stopped, ctx.Err()
	case err != nil:
		result.State, note = Failed, err.Error()
	}
	if conn.IsClosed() { // the lock went with it, and the next run says that this one was broken off
		return result, err
	}
	return result, errors.Join(err, w.end(ctx, result.State, note))
}

// end says that the run has ended, whether anybody still waits or not.
func (w *runner) end(ctx context.Context, as, note string) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer done()
	err := end(ctx, w.conn, w.run, as, note)
	if coded(err, canceled) { // meant for the statement before
		err = end(ctx, w.conn, w.run, as, note)
	}
	if err = errors.Join(err, unlock(ctx, w.conn)); err != nil {
		return fmt.Errorf("ending run %d: %w", w.run, err)
	}
	return nil
}

// rules carries out one rule after the other.
func (w *runner) rules(ctx context.Context) (all []RuleResult, err error) {
	rules := newRules(w.Set, w.Cat)
	failed := false
	for _, r := range rules {
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		result, err := w.rule(ctx, r)
		if err != nil && ctx.Err() == nil {
			result.Error = withoutValues(err).Error()
		}
		failed = failed || result.Error != "" || result.Refused != nil
		all = append(all, result)
		if w.conn.IsClosed() {
			return all, fmt.Errorf("%s: %w", r.name, withoutValues(err))
		}
	}
	if failed {
		return all, errRules
	}
	return all, nil
}

// plan gives the rule's plan as it is now, and settles its cut.
func (w *runner) plan(ctx context.Context, r *rule) (p RulePlan, err error) {
	err = w.reads(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		if w.now.IsZero() {
			if w.now, err = serverTime(ctx, tx); err != nil {
				return err
			}
		}
		p, err = r.plan(ctx, tx, w.now, w.Able)
		return err
	})
	return p, err
}

// rule carries one rule out.
func (w *runner) rule(ctx context.Context, r *rule) (result RuleResult, err error) {
	result.Rule = r.name
	p, err := w.plan(ctx, r)
	if err != nil || len(p.Refused) > 0 {
		result.Due, result.Left = p.Due, p.Free()
		if len(p.Refused) > 0 {
			result.Refused = p.Refused
		}
		return result, err
	}
	if r.Subject != "" {
		err = w.subjects(ctx, r, &result)
	} else {
		err = w.batches(ctx, r, &result)
	}
	if result.Rows == 0 {
		result.Due, result.Left = p.Due, p.Free()
		return result, err
	}
	err = errors.Join(err, w.tidy(ctx, r))
	if ctx.Err() != nil || w.conn.IsClosed() {
		return result, err
	}
	p, failed := w.plan(ctx, r)
	result.Due, result.Left = p.Due, p.Free()
	return result, errors.Join(err, failed)
}

// tidy takes out of the tables what the rows that went have left there: dead rows,
// their entries in indexes however few they are, and values in statistics.
func (w *runner) tidy(ctx context.Context, r *rule) error {
	tables := r.tables
	if r.Subject != "" {
		tables = slices.DeleteFunc(r.set.Reaching(r.Subject), func(t *catalog.Relation) bool { return !r.set.Stores(t.QualifiedName()) })
	}
	for _, t := range tables {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := w.patient(ctx, func(ctx context.Context) error {
			_, err := w.conn.Exec(ctx, "VACUUM (ANALYZE, SKIP_LOCKED, INDEX_CLEANUP ON) "+ident(t.Schema, t.Name))
			return err
		})
		if err != nil {
			return fmt.Errorf("vacuum %s: %w", t.QualifiedName(), err)
		}
	}
	return nil
}

// Tries of a batch that others are in the way of, and the wait before the next.
const (
	mostTries = 5
	tryAgain  = 200 * time.Millisecond
)

// batches takes a rule's rows until none is left that can be had.
func (w *runner) batches(ctx context.Context, r *rule, result *RuleResult) error {
	tries := 0
	for ctx.Err() == nil {
		b, picked, err := w.take(ctx, r)
		switch {
		case err == nil && picked == 0:
			return nil
		case err == nil && b.Rows() > 0:
			tries = 0
			result.Rows += b.Rows()
			result.Batches++
			if w.Progress != nil {
				w.Progress(b, result.Rows)
			}
			wait(ctx, w.Pause)
		case err != nil && !passing(err), tries == mostTries:
			return err
		default:
			tries++
			wait(ctx, tryAgain<<tries)
		}
	}
	return ctx.Err()
}

// passing tells whether a batch may do better the next time: a lock that others
// have, a deadlock, a row that began to refer meanwhile.
func passing(err error) bool {
	return coded(err, "55P03", "40P01", "40001", "23503")
}

// wait waits, or until the context ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
