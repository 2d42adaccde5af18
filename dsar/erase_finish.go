package dsar

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// refusal is the error of rows that refer to what would go.
func (w *work) refusal() error {
	var steps []Step
	for _, j := range w.jobs {
		if j.action == Refuse {
			steps = append(steps, Step{Table: w.table(j), Rows: j.rows, Action: Refuse, Reason: w.why(w.ties[j.of])})
		}
	}
	return ErasurePlan{Steps: steps}.refusal()
}

// left counts the rows to be written before the last ones.
func (w *work) left() int64 {
	n := w.rows(SetNull, Anonymise, Delete)
	for _, u := range w.last() {
		for _, j := range u.jobs {
			n -= j.rows
		}
	}
	return n
}

// finish does what was found, in one transaction: it locks the rows, finds them
// again until nobody has added to them, and does what there is to do until
// nothing but the subject's own row is left, and then that.
func (w *work) finish(ctx context.Context, tx pgx.Tx, record func(context.Context, ErasureStep) error) (done int64, err error) {
	if err := w.lockRoot(ctx, tx); err != nil {
		return 0, err
	}
	locked := int64(-1) // rows, when they were last locked and nothing was done since
	refusals := 0
	for round := range maxRounds {
		if err := w.again(ctx, tx, round); err != nil {
			return done, err
		}
		if err := w.refusal(); err != nil {
			if refusals++; refusals == maxRefusals {
				return done, err
			}
			continue
		}
		refusals = 0
		total, over := w.rows(SetNull, Anonymise, Delete), w.left() == 0
		if total != locked && (round == 0 || total > 1) { // one is the subject's own, which is locked
			if locked, err = w.lockAll(ctx, tx); err != nil {
				return done, err
			}
			continue
		}
		units := w.units()
		if over {
			units = w.last()
		}
		n, all, err := w.doAll(ctx, tx, units, record)
		if err != nil {
			return done, err
		}
		done += n
		if over && all && units == nil && w.count(Keep, w.home) == 0 {
			return done, errChanged // the subject's own row is not where it was
		}
		if over && all {
			return done, w.add(ctx, tx, doneAction, "", 0, record)
		}
		locked = -1
	}
	return done, privacy.Fail(privacy.NotAllowed, "", rowsThatComeBack, w.g.Subject.Name)
}

// doAll does units one after the other, until one finds rows changed.
func (w *work) doAll(ctx context.Context, tx pgx.Tx, units []unit, record func(context.Context, ErasureStep) error) (done int64, all bool, err error) {
	for _, u := range units {
		n, err := w.do(ctx, tx, u.all(), record)
		if err != nil {
			return done, false, err
		}
		if done += n; n < rowsOf(u.all()) {
			return done, false, nil
		}
	}
	return done, true, nil
}

// again finds the rows of a round anew, but for the first, of which they were
// found before the subject was locked. What follows goes by their places. The
// subject's own row may have another by then: triggers keep counts in it.
func (w *work) again(ctx context.Context, tx pgx.Tx, round int) error {
	if round > 0 {
		if _, err := tx.Exec(ctx, byCost); err != nil {
			return err
		}
		found, err := w.g.find(ctx, tx, w.key)
		if err != nil {
			return err
		}
		if w.place, w.home = found.place, w.tableOf(found.table); w.home < 0 {
			return errChanged
		}
		if err := w.fill(ctx, tx); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, byPlace)
	return err
}

// note writes down what is kept, when an erasure begins: later it may no longer
// be known whose it was.
func (w *work) note(ctx context.Context, tx pgx.Tx, record func(context.Context, ErasureStep) error) error {
	if w.j.last.Step > 0 {
		return nil
	}
	for i, t := range w.g.Tables {
		if n := w.count(Keep, i); n > 0 {
			if err := w.add(ctx, tx, Keep.String(), t.Relation.QualifiedName(), n, record); err != nil {
				return err
			}
		}
	}
	return nil
}

// add writes a step that changes no rows.
func (w *work) add(ctx context.Context, tx pgx.Tx, action, table string, rows int64, record func(context.Context, ErasureStep) error) error {
	step, err := w.j.write(ctx, tx, action, table, rows)
	if err == nil && record != nil {
		err = record(ctx, step)
	}
	return err
}

// lockRoot keeps rows with a foreign key to the subject from being added.
func (w *work) lockRoot(ctx context.Context, tx pgx.Tx) error {
	tag, err := tx.Exec(ctx, fmt.Sprintf("SELECT FROM %s WHERE c.tableoid = $1 AND c.ctid = $2 FOR UPDATE", as(w.g.Tables[w.home].Relation, "c")), w.place.table, w.place.tuple)
	if err == nil && tag.RowsAffected() != 1 {
		return &refused{"40001", "the subject's row was changed meanwhile"}
	}
	return err
}

// lockAll locks what was listed; the number is -1 when some of it was changed.
func (w *work) lockAll(ctx context.Context, tx pgx.Tx) (int64, error) {
	var total int64
	for _, j := range w.jobs {
		if j.action != SetNull && j.action != Anonymise && j.action != Delete {
			continue
		}
		n, err := w.lock(ctx, tx, part{j, 0, j.rows})
		if err != nil {
			return 0, err
		}
		if n != j.rows {
			return -1, nil
		}
		total += n
	}
	return total, nil
}

// sameHolds keeps new holds out for the rest of a transaction, and gives an
// error when there are others by now than those that the scheme was made with.
func (e *eraser) sameHolds(ctx context.Context, tx pgx.Tx) error {
	if err := state.LockHolds(ctx, tx); err != nil {
		return state.Explain("keeping new holds out", err)
	}
	holds, err := state.HoldsOver(ctx, tx, e.g.Subject.Name, e.name)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(holds, e.work.holds, func(a, b state.Hold) bool { return a.ID == b.ID }) {
		return privacy.Fail(privacy.SchemaChanged, "make a new plan and have it approved", holdsHaveChanged)
	}
	return nil
}

// still asks whether the subject is still to be erased, as long as nothing is done.
func (e *eraser) still(ctx context.Context, tx pgx.Tx) error {
	if e.o.Still == nil || e.j.last.Step > 0 {
		return nil
	}
	if err := e.work.lockRoot(ctx, tx); err != nil {
		return err
	}
	return e.o.Still(ctx, tx)
}
