package dsar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// rehearsed is how many rows are tried, of each step of a bigger subject.
const rehearsed = 1000

// errTakenBack ends a rehearsal.
var errTakenBack = errors.New("taken back")

// inWriting runs f in a transaction that may write, and in which nobody is kept
// waiting for long: a lock that another has is not waited for longer than wait.
func inWriting(ctx context.Context, conn *pgx.Conn, level pgx.TxIsoLevel, wait, statement time.Duration, f func(pgx.Tx) error) error {
	stop := context.AfterFunc(ctx, func() {
		wait, done := context.WithTimeout(context.WithoutCancel(ctx), cancelWait)
		defer done()
		_ = conn.PgConn().CancelRequest(wait) // see inSnapshot
	})
	defer stop()
	options := pgx.TxOptions{IsoLevel: level, AccessMode: pgx.ReadWrite}
	return pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
		limits := fmt.Sprintf("; SET LOCAL lock_timeout = %d; SET LOCAL statement_timeout = %d", wait.Milliseconds(), statement.Milliseconds())
		if _, err := tx.Exec(ctx, settings+limits); err != nil {
			return err
		}
		return f(tx)
	})
}

// PlanErasure finds out what erasing a subject would do, by doing it and taking
// it back: a constraint that would be broken, or a trigger that keeps rows, is
// found before anything begins. All of it sees one snapshot; where somebody
// else changes the rows meanwhile it begins anew. Of a subject with many rows
// some of each step are tried. It needs the right to write, holds locks for as long as it runs,
// and runs triggers. Once ctx has ended, conn is of no use any more.
func PlanErasure(ctx context.Context, conn *pgx.Conn, g *Graph, key privacy.Key) (ErasurePlan, error) {
	for attempt := 1; ; attempt++ {
		var plan ErasurePlan
		err := inWriting(ctx, conn, pgx.RepeatableRead, defaultLockWait, defaultStatement, func(tx pgx.Tx) (err error) {
			if plan, err = g.tried(ctx, tx, key); err != nil {
				return err
			}
			return errTakenBack
		})
		var broken *refused
		switch {
		case errors.Is(err, errTakenBack):
			return plan, nil
		case ctx.Err() != nil:
			return ErasurePlan{}, ctx.Err()
		case errors.As(err, &broken) && broken.code == foreignKey && attempt == maxAttempts:
			plan.refuse(g.Subject.Name, err.Error())
			return plan, nil
		case errors.As(err, &broken) && broken.code == foreignKey: // it may be that of a row that has just come
		case !again(err) || attempt == maxAttempts:
			return ErasurePlan{}, fmt.Errorf("planning to erase a %s: %w", g.Subject.Name, withoutValues(err))
		}
	}
}

// tried makes a plan and tries it.
func (g *Graph) tried(ctx context.Context, tx pgx.Tx, key privacy.Key) (ErasurePlan, error) {
	plan := ErasurePlan{Subject: g.Subject.Name}
	w, err := g.survey(ctx, tx, key)
	if err != nil {
		return plan, err
	}
	if err := w.describe(ctx, tx, &plan); err != nil || plan.Refused() {
		return plan, err
	}
	return plan, w.rehearse(ctx, tx, &plan)
}

// survey finds a subject's rows and what would happen to them.
func (g *Graph) survey(ctx context.Context, tx pgx.Tx, key privacy.Key) (*work, error) {
	s, err := g.find(ctx, tx, key)
	if err != nil {
		return nil, err
	}
	found, err := g.named(ctx, tx, s)
	if err != nil {
		return nil, err
	}
	holds, err := holdsIfAny(ctx, tx, g.Subject.Name, found.Name)
	if err != nil {
		return nil, err
	}
	scheme, err := g.scheme(ctx, tx, holds)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, makeRehearsal); err != nil {
		return nil, err
	}
	w, err := scheme.work(&journal{table: rehearsalTable, batch: 1}, privacy.Key{Values: found.Key}, s.place)
	if err != nil {
		return nil, err
	}
	return w, w.fill(ctx, tx)
}

// holdsIfAny gives the holds over a subject. A database without pgveil's tables
// has none.
func holdsIfAny(ctx context.Context, tx pgx.Tx, kind, name string) ([]state.Hold, error) {
	var there bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass('pgveil.holds') IS NOT NULL").Scan(&there); err != nil || !there {
		return nil, err
	}
	return state.HoldsOver(ctx, tx, kind, name)
}

// describe writes a plan's steps, with the number of rows that were found.
func (w *work) describe(ctx context.Context, tx pgx.Tx, plan *ErasurePlan) error {
	plan.Scheme, plan.Warnings = w.lines(), w.warnings
	plan.Steps = slices.Clone(w.refusals)
	var kept, nulls, changed, deleted []Step
	for i, t := range w.ties {
		plan.Steps = append(plan.Steps, w.tied(Refuse, i)...)
		nulls = append(nulls, w.tied(SetNull, i)...)
		if n := w.count(Anonymise, len(w.g.Tables)+i); n > 0 {
			changed = append(changed, Step{Table: t.child, Rows: n, Action: Anonymise, Path: w.path(t),
				Reason: "rows of others tell of the " + w.g.Subject.Name, Columns: columns(t.hidden)})
		}
	}
	for _, group := range w.g.deletion {
		for _, i := range group {
			k, c, d, err := w.treated(ctx, tx, i, group)
			if err != nil {
				return err
			}
			kept, changed, deleted = append(kept, k...), append(changed, c...), append(deleted, d...)
		}
	}
	plan.Steps = slices.Concat(plan.Steps, kept, nulls, changed, deleted)
	for _, s := range plan.Steps {
		if s.Rows > defaultBatch {
			plan.Warnings = append(plan.Warnings, fmt.Sprintf("%d rows of %s: in batches, each in a transaction of its own, unless they refer to each other", s.Rows, s.Table))
		}
	}
	return nil
}

// count gives how many rows of one table, or tie, are listed for an action.
func (w *work) count(a Action, of int) (n int64) {
	for _, j := range w.jobs {
		if j.action == a && j.of == of {
			n += j.rows
		}
	}
	return n
}

func (w *work) path(t *tie) string { return t.String() + " -> " + w.g.Tables[t.table].nearest }

// tied describes what happens to the rows that a tie keeps from staying as
// they are. That rows live on without the subject is said even of none.
func (w *work) tied(a Action, index int) []Step {
	t := w.ties[index]
	n := w.count(a, index)
	always := a == SetNull && (t.onDelete == 'n' || t.onDelete == 'd') && w.ends(t) == SetNull && w.goes(t.table)
	if n == 0 && !always {
		return nil
	}
	s := Step{Table: t.child, Rows: n, Action: a, Path: w.path(t), Reason: w.why(t)}
	if a == SetNull {
		s.Columns = columns(w.set(job{action: SetNull, of: index}))
	}
	return []Step{s}
}

// why says why a reference to a row that goes is taken out, or why it cannot be.
func (w *work) why(t *tie) string {
	names := strings.Join(t.columns, ", ")
	way := fmt.Sprintf("let what they refer to be anonymised: {on: [%s], do: anonymise} under subjects, %s, erase", t.parent, w.g.Subject.Name)
	switch matter := w.matter(t.child); {
	case matter != "":
		return fmt.Sprintf("they are held (%s) and refer to rows of %s that would go; hold the %s as a whole, or %s", matter, t.parent, w.g.Subject.Name, way)
	case len(t.nullable) == 0:
		return fmt.Sprintf("rows that stay refer by %s, which cannot be null; %s", names, way)
	case t.onDelete == 'n' || t.onDelete == 'd':
		return fmt.Sprintf("the schema lets the row live on without %s; the rest of it may still tell of the %s", strings.Join(t.nullable, ", "), w.g.Subject.Name)
	default:
		return "rows of others refer by " + strings.Join(t.nullable, ", ")
	}
}

// treated describes what happens to the subject's rows of one table.
func (w *work) treated(ctx context.Context, tx pgx.Tx, table int, group []int) (kept, changed, deleted []Step, err error) {
	f, t := w.fates[table], w.g.Tables[table]
	s := Step{Table: t.Relation.QualifiedName(), Path: t.Path}
	if !w.g.owns(table) && !f.said {
		return nil, nil, nil, nil
	}
	if f.do == Keep {
		k := s
		k.Action, k.Reason, k.Rows = Keep, f.reason, w.count(Keep, table)
		if k.Until, err = w.until(ctx, tx, table); err != nil {
			return nil, nil, nil, err
		}
		kept = []Step{k}
	}
	switch {
	case f.do == Anonymise:
		s.Action, s.Rows, s.Columns = Anonymise, w.count(Anonymise, table), columns(f.set)
		changed = []Step{s}
	case f.deletes():
		s.Action, s.Rows = Delete, w.count(Delete, table)
		if f.after != "" {
			s.Reason = fmt.Sprintf("%s after %s", f.lasts, f.after)
		}
		if with := w.together(table, group); with != nil {
			s.Reason = "in one statement with " + strings.Join(with, ", ") + ": they refer to each other"
		}
		deleted = []Step{s}
	}
	return kept, changed, deleted, nil
}

// together names the tables whose rows go in one statement with a table's.
func (w *work) together(table int, group []int) (with []string) {
	for _, i := range group {
		if i != table && w.g.owns(i) && w.fates[i].deletes() {
			with = append(with, w.g.Tables[i].Relation.QualifiedName())
		}
	}
	return with
}

// until gives when the last of the rows that are kept need no longer be; nil
// when that is not known of all of them.
func (w *work) until(ctx context.Context, tx pgx.Tx, table int) (*time.Time, error) {
	f := w.fates[table]
	if f.after == "" {
		return nil, nil
	}
	var last *time.Time
	err := tx.QueryRow(ctx, fmt.Sprintf("SELECT CASE WHEN bool_and(coalesce(isfinite(q.over), false)) THEN max(q.over) END FROM (SELECT %s AS over FROM pg_temp.pgveil_work AS s JOIN %s ON %s WHERE s.a = %d AND s.t = %d) AS q",
		w.over(table), as(w.g.Tables[table].Relation, "c"), samePlace("c"), Keep, table)).Scan(&last)
	if err != nil {
		return nil, fmt.Errorf("reading how long rows are kept: %w", err)
	}
	return last, nil
}

// rehearse does what a plan says, and adds what it finds out by that.
func (w *work) rehearse(ctx context.Context, tx pgx.Tx, plan *ErasurePlan) error {
	before, err := writes(ctx, tx)
	if err != nil {
		return err
	}
	if w.left() <= defaultBatch {
		_, err = w.finish(ctx, tx, nil)
	} else {
		err = w.sample(ctx, tx)
	}
	if err == nil {
		err = w.constraints(ctx, tx)
	}
	var known *privacy.Error
	var schema *refused
	switch {
	case err == nil:
	case errors.As(err, &known) && known.Code == privacy.NotAllowed, errors.As(err, &schema) && schema.code != foreignKey && !again(err):
		plan.refuse(w.g.Subject.Name, err.Error())
		return nil
	default:
		return err
	}
	now, err := w.since(ctx, tx, before)
	if err != nil {
		return err
	}
	for _, table := range now.inserts {
		plan.refuse(table, insertsElsewhere(table).Error())
	}
	for _, table := range now.beside {
		plan.Warnings = append(plan.Warnings, fmt.Sprintf("triggers change other rows of %s, or these once more: see that they keep nothing of what is erased", table))
	}
	for _, table := range now.changes {
		plan.Scheme = append(plan.Scheme, changesElsewhere+table)
		plan.Warnings = append(plan.Warnings, changesElsewhere+table)
	}
	return nil
}

func (p *ErasurePlan) refuse(table, reason string) {
	p.Steps = slices.Insert(p.Steps, 0, Step{Table: table, Action: Refuse, Reason: reason})
}

// sample does some of each step that can be done by itself: references taken
// out, rows anonymised, and those deleted that nothing listed refers to.
func (w *work) sample(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, byPlace); err != nil {
		return err
	}
	for _, u := range append(w.anonymising(), w.removing()...) {
		j := u.jobs[0]
		if u.whole || j.action == Delete && w.referred(j) {
			continue
		}
		if _, err := w.do(ctx, tx, []part{{j, 0, min(j.rows, rehearsed)}}, nil); err != nil {
			return err
		}
	}
	return nil
}

// referred tells whether listed rows may refer to those of a job.
func (w *work) referred(j job) bool {
	return slices.ContainsFunc(w.ties, func(t *tie) bool {
		child := w.tableOf(t.childOID)
		return t.table == j.of && child >= 0 && w.count(Delete, child) > 0
	})
}
