package retention

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// numbers is how many erasures a run has numbers for.
const numbers = 1_000_000_000

// subjects erases the subjects of a rule that are due, one by one.
func (w *runner) subjects(ctx context.Context, r *rule, result *RuleResult) error {
	var errs []error
	for last := ""; ctx.Err() == nil; {
		keys, err := w.keys(ctx, r, last)
		if err != nil || len(keys) == 0 {
			return errors.Join(append(errs, err)...)
		}
		for _, k := range keys {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			last = k
			rows, err := w.Erase(ctx, w.conn, r.Subject, k, w.number(), w.still(r, k))
			if errors.Is(err, errNotDue) {
				continue
			}
			if err != nil && len(errs) < mostTries {
				errs = append(errs, withoutValues(err))
			}
			if w.conn.IsClosed() {
				return errors.Join(errs...)
			}
			if err != nil || rows == 0 {
				continue
			}
			if err := w.erased(ctx, r, k, rows); err != nil {
				return err
			}
			result.Rows, result.Batches = result.Rows+rows, result.Batches+1
			wait(ctx, w.Pause)
		}
	}
	return ctx.Err()
}

// number gives the next erasure's: the same never again.
func (w *runner) number() int64 {
	w.erasures++
	return -(w.run*numbers + w.erasures)
}

// keys gives the keys of subjects that are due, as text, after the last.
func (w *runner) keys(ctx context.Context, r *rule, last string) (keys []string, err error) {
	err = w.reads(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := r.look(ctx, tx); err != nil {
			return err
		}
		key := "CAST(" + row + "." + ident(r.subject().Key) + " AS pg_catalog.text)"
		sql := fmt.Sprintf(`SELECT %s FROM %s WHERE %s AND NOT %s AND %[1]s COLLATE "C" > $1 ORDER BY %[1]s COLLATE "C" LIMIT $2`, key, from(r.Relation, row), r.todo(), r.held())
		rows, err := tx.Query(ctx, sql, last, w.Batch)
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return keys, err
}

// errNotDue says that a subject is not due any more.
var errNotDue = errors.New("the subject is not due any more")

// still gives what makes sure that the subject with a key is due: since its key was
// read it may have come back, or something of its may be newer.
func (w *runner) still(r *rule, key string) func(context.Context, pgx.Tx) error {
	return func(ctx context.Context, tx pgx.Tx) error {
		if err := r.look(ctx, tx); err != nil {
			return err
		}
		column, _ := r.Relation.Column(r.subject().Key)
		own := equal(r.Relation, column.Name, row, "CAST($1::pg_catalog.text AS "+ident(column.Type.Schema, column.Type.Name)+")")
		var due bool
		err := tx.QueryRow(ctx, "SELECT "+exists(from(r.Relation, row), own, r.todo(), "NOT "+r.held()), key).Scan(&due)
		if err == nil && !due {
			return errNotDue
		}
		return err
	}
}

// erased writes down that a subject was erased, which the erasure itself has
// recorded step by step.
func (w *runner) erased(ctx context.Context, r *rule, key string, rows int64) error {
	d := newDigest(w.Key, r.Relation.QualifiedName())
	d.add(key)
	w.batch++
	b := Batch{Run: w.run, N: w.batch, Rule: r.name, Took: []Took{{r.Relation.QualifiedName(), "erase", rows, d.sum()}}}
	return pgx.BeginFunc(ctx, w.conn, func(tx pgx.Tx) error {
		if err := b.write(ctx, tx); err != nil {
			return err
		}
		return w.Record(ctx, b)
	})
}
