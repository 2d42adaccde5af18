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

// What an erasure does where nothing else is said.
const (
	defaultBatch       = 10_000
	defaultLockWait    = 2 * time.Second
	defaultStatement   = 5 * time.Minute
	maxAttempts        = 5  // at a transaction that others are in the way of
	maxRounds          = 64 // of finding rows again: who adds more than that does not stop
	maxIdlePasses      = 3
	maxRefusals        = 5 // in a row, of rows that may have come between two looks
	changesElsewhere   = "triggers change rows of "
	rowsThatComeBack   = "rows of the %s come back as fast as they are erased: look for a trigger, or for who writes them"
	holdsHaveChanged   = "holds were made or released since the plan was made"
	schemeHasChanged   = "what would be done is no longer what the plan says"
	somebodyErasesThis = "somebody else is erasing this %s"
)

// EraseOptions say what to erase, and how.
type EraseOptions struct {
	Request int64       // names the erasure in its journal: the same number goes on with it
	Key     privacy.Key // of the subject
	Plan    ErasurePlan // that was approved

	Batch     int           // rows of one transaction; 0: 10,000. A subject with no more than that goes at once, or not at all
	LockWait  time.Duration // for a lock that somebody else has; 0: two seconds
	Statement time.Duration // for one statement; 0: five minutes

	// Record is told of each step before its transaction ends: an error undoes
	// the step, and a step may be told of twice after a crash, but never not at
	// all. It must not use the connection.
	Record   func(ctx context.Context, s ErasureStep) error
	Progress func(done, of int64) // after each transaction; rows that come meanwhile make of grow

	// Still is asked before anything is done, of a subject that goes at once when
	// its own row is locked: an error keeps it from being erased. nil: nobody asks.
	Still func(ctx context.Context, tx pgx.Tx) error

	// Shred destroys the keys of values that had one each. nil: such values are not
	// erased.
	Shred Shredder

	// LaterTidy leaves dead rows and statistics behind: the caller calls Tidy,
	// once for many subjects.
	LaterTidy bool
}

// Erased is what an erasure has done.
type Erased struct {
	Steps     []Step   `json:"steps"` // what was done, of all runs of the request, and what is kept
	Rows      int64    `json:"rows"`  // that were written
	Batches   int64    `json:"batches"`
	Plan      string   `json:"plan"`   // the hash
	Digest    string   `json:"digest"` // of the journal
	Tidied    Tidied   `json:"tidied"`
	Relations []string `json:"relations"`           // that were written: what Tidy wants
	DataKeys  int64    `json:"data_keys,omitempty"` // of single values that went: destroyed
}

// eraser is an erasure at work.
type eraser struct {
	conn *pgx.Conn
	g    *Graph
	o    EraseOptions
	key  privacy.Key // that the subject keeps until it is gone
	name string      // what holds know it by
	work *work
	j    *journal
	done int64
}

// Erase erases a subject, as a plan says that was made for it. It may be
// interrupted at any moment, and goes on from its journal when it is called
// again for the same request; once it is over it gives its outcome again. Each
// step is done and written down in one transaction, the subject's own row goes
// last, and what was added meanwhile goes too. Whatever is not as the plan says
// stops it: a changed schema, a new hold, a trigger that keeps rows. conn is
// its own while it runs, and of no use any more once ctx has ended.
func Erase(ctx context.Context, conn *pgx.Conn, g *Graph, o EraseOptions) (Erased, error) {
	if err := o.Plan.refusal(); err != nil {
		return Erased{}, err
	}
	if o.Request == 0 {
		return Erased{}, errors.New("internal error: an erasure without a number")
	}
	e := &eraser{conn: conn, g: g, o: o.defaults()}
	done, err := e.run(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return Erased{}, fmt.Errorf("erasing a %s: %w", g.Subject.Name, withoutValues(err))
	}
	return done, nil
}

func (o EraseOptions) defaults() EraseOptions {
	if o.Batch <= 0 {
		o.Batch = defaultBatch
	}
	if o.LockWait <= 0 {
		o.LockWait = defaultLockWait
	}
	if o.Statement <= 0 {
		o.Statement = defaultStatement
	}
	return o
}

func (e *eraser) run(ctx context.Context) (Erased, error) {
	if err := e.mayShred(); err != nil {
		return Erased{}, err
	}
	var err error
	if e.j, err = openJournal(ctx, e.conn, e.o.Request, e.o.Plan.Hash()); err != nil {
		return Erased{}, err
	}
	if e.j.finished() {
		err = e.gone(ctx)
	} else {
		err = e.alone(ctx, e.passes)
	}
	if err != nil {
		return Erased{}, err
	}
	keys, err := e.shred(ctx)
	if err != nil {
		return Erased{}, err
	}
	done, err := e.outcome(ctx)
	done.DataKeys = keys
	return done, err
}

// alone calls f while nobody else erases the subject.
func (e *eraser) alone(ctx context.Context, f func(context.Context) error) (err error) {
	found, err := e.g.resolve(ctx, e.conn, e.o.Key)
	if err != nil {
		return err
	}
	e.key, e.name = privacy.Key{Values: found.Key}, found.Name
	const lock = "hashtextextended('pgveil erases ' || $1::text || ' ' || $2::text, 0)"
	err = inWriting(ctx, e.conn, pgx.ReadCommitted, e.o.LockWait, e.o.Statement, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT pg_advisory_lock("+lock+")", e.g.Subject.Name, e.name)
		return err
	})
	if again(err) {
		return privacy.Fail(privacy.NotAvailable, "wait until that is over", somebodyErasesThis, e.g.Subject.Name)
	}
	if err != nil {
		return err
	}
	defer func() {
		if ctx.Err() == nil && !e.conn.IsClosed() {
			_, failed := e.conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_unlock(pg_catalog."+lock+")", e.g.Subject.Name, e.name)
			err = errors.Join(err, failed)
		}
	}()
	return f(ctx)
}

// passes find what is to be done and do it, until nothing is left.
func (e *eraser) passes(ctx context.Context) error {
	idle := 0
	for {
		before := e.done
		big, err := e.pass(ctx)
		if err != nil || !big {
			return err
		}
		if err := e.batches(ctx); err != nil {
			return err
		}
		if idle++; e.done > before {
			idle = 0
		}
		if idle == maxIdlePasses {
			return privacy.Fail(privacy.NotAllowed, "", rowsThatComeBack, e.g.Subject.Name)
		}
	}
}

// pass finishes the erasure where no more than a batch is left to do; else big is
// true, and what there is to do is listed.
func (e *eraser) pass(ctx context.Context) (big bool, err error) {
	if e.o.Plan.Rows()-e.done > int64(e.o.Batch) {
		if big, err = e.list(ctx); err != nil || big {
			return big, err
		}
	}
	if big, err = e.finish(ctx); err != nil || !big {
		return big, err
	}
	return e.list(ctx)
}

// list lists what is to be done, as one snapshot has it: a row that comes while
// it is looked for is not found by one statement and missed by another.
func (e *eraser) list(ctx context.Context) (big bool, err error) {
	err = e.transaction(ctx, pgx.RepeatableRead, func(tx pgx.Tx) error {
		if err := e.prepare(ctx, tx); err != nil {
			return err
		}
		if err := e.still(ctx, tx); err != nil {
			return err
		}
		if err := e.work.fill(ctx, tx); err != nil {
			return err
		}
		if err := e.work.refusal(); err != nil {
			return err
		}
		big = e.work.left() > int64(e.o.Batch)
		return e.work.note(ctx, tx, e.o.Record)
	})
	return big, err
}

// finish does what is left, the subject's own row included, unless that is too
// much for one transaction.
func (e *eraser) finish(ctx context.Context) (big bool, err error) {
	err = e.transaction(ctx, pgx.ReadCommitted, func(tx pgx.Tx) error {
		if err := e.prepare(ctx, tx); err != nil {
			return err
		}
		if err := e.work.fill(ctx, tx); err != nil {
			return err
		}
		if big = e.work.left() > int64(e.o.Batch); big {
			return nil
		}
		if err := e.sameHolds(ctx, tx); err != nil {
			return err
		}
		if err := e.still(ctx, tx); err != nil {
			return err
		}
		if err := e.work.note(ctx, tx, e.o.Record); err != nil {
			return err
		}
		done, err := e.work.finish(ctx, tx, e.o.Record)
		e.done += done
		return err
	})
	if err == nil && !big {
		e.progress()
	}
	return big, err
}

// prepare finds the subject, and makes sure that what would be done to it is
// what the plan says.
func (e *eraser) prepare(ctx context.Context, tx pgx.Tx) error {
	found, err := e.g.find(ctx, tx, e.key)
	if err != nil {
		return err
	}
	holds, err := state.HoldsOver(ctx, tx, e.g.Subject.Name, e.name)
	if err != nil {
		return state.Explain("reading holds", err)
	}
	s, err := e.g.scheme(ctx, tx, holds)
	if err != nil {
		return err
	}
	planned := slices.DeleteFunc(slices.Clone(e.o.Plan.Scheme), func(l string) bool { return strings.HasPrefix(l, changesElsewhere) })
	if !slices.Equal(planned, s.lines()) || e.o.Plan.Subject != e.g.Subject.Name {
		return privacy.Fail(privacy.SchemaChanged, "make a new plan and have it approved", schemeHasChanged)
	}
	if s.refusals != nil {
		return ErasurePlan{Steps: s.refusals}.refusal()
	}
	e.work, err = s.work(e.j, e.key, found.place)
	return err
}

// transaction runs f, again when others were in the way, and makes sure that
// nothing was written but what the plan says.
func (e *eraser) transaction(ctx context.Context, level pgx.TxIsoLevel, f func(pgx.Tx) error) error {
	for attempt := 1; ; attempt++ {
		mark, done := e.j.mark(), e.done
		err := inWriting(ctx, e.conn, level, e.o.LockWait, e.o.Statement, func(tx pgx.Tx) error {
			before, err := writes(ctx, tx)
			if err != nil {
				return err
			}
			e.j.batch++
			if err := f(tx); err != nil {
				return err
			}
			if err := e.work.constraints(ctx, tx); err != nil {
				return err
			}
			return e.expected(ctx, tx, before)
		})
		if err == nil {
			return nil
		}
		*e.j, e.done = mark, done
		if !again(err) || attempt == maxAttempts {
			return err
		}
	}
}

// expected gives an error when triggers have written what the plan does not say.
func (e *eraser) expected(ctx context.Context, tx pgx.Tx, before map[uint32]written) error {
	now, err := e.work.since(ctx, tx, before)
	if err != nil {
		return err
	}
	for _, table := range now.inserts {
		return insertsElsewhere(table)
	}
	for _, table := range now.changes {
		if !slices.Contains(e.o.Plan.Scheme, changesElsewhere+table) {
			return privacy.Fail(privacy.NotAllowed, "make a new plan and have it approved", "triggers change rows of %s, of which the plan says nothing", table)
		}
	}
	return nil
}

func insertsElsewhere(table string) error {
	return privacy.Fail(privacy.NotAllowed, "keep the trigger from running for the login of pgveil, as in WHEN (current_user <> 'pgveil')",
		"a trigger puts rows into %s, which may hold what is erased", table)
}

// batches does what the last pass listed, each batch in a transaction of its
// own. It stops where rows have to be found again: those that somebody changed,
// and those of which another reference was just taken out.
func (e *eraser) batches(ctx context.Context) error {
	for _, u := range e.work.units() {
		for _, parts := range u.parts(int64(e.o.Batch)) {
			all, err := e.batch(ctx, parts)
			var broken *refused
			if errors.As(err, &broken) && broken.code == foreignKey {
				return nil // somebody has added what refers to it: find it
			}
			if err != nil {
				return err
			}
			e.progress()
			if !all {
				return nil
			}
		}
	}
	return nil
}

// batch does parts in a transaction of their own, and tells whether all of
// their rows were as they were listed.
func (e *eraser) batch(ctx context.Context, parts []part) (all bool, err error) {
	err = e.transaction(ctx, pgx.ReadCommitted, func(tx pgx.Tx) error {
		if err := e.sameHolds(ctx, tx); err != nil {
			return err
		}
		if err := e.g.current(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, byPlace); err != nil {
			return err
		}
		if all, err = e.work.intact(ctx, tx, parts); err != nil || !all {
			return err
		}
		if all, err = e.work.unattended(ctx, tx, parts); err != nil || !all {
			return err
		}
		n, err := e.work.do(ctx, tx, parts, e.o.Record)
		e.done += n
		all = n == rowsOf(parts)
		return err
	})
	return all, err
}

func (e *eraser) progress() {
	if e.o.Progress != nil {
		e.o.Progress(e.done, max(e.done, e.o.Plan.Rows()))
	}
}
