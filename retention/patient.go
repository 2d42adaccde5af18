package retention

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// canceled is the SQLSTATE of a statement that was told to end.
const canceled = "57014"

// patient calls f, which waits for statements that may take long, with a context
// that does not end: where that of the run does, the server is told, so that
// it stops and the connection stays.
func (w *runner) patient(ctx context.Context, f func(ctx context.Context) error) error {
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		wait, done := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
		defer done()
		// If the server cannot be told, the run goes on until the statement ends.
		_ = w.conn.PgConn().CancelRequest(wait)
	})
	err := f(context.WithoutCancel(ctx))
	if !stop() {
		<-told
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// reads calls f in a transaction that sees one state of the database.
func (w *runner) reads(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) error {
	return w.patient(ctx, func(ctx context.Context) error {
		return pgx.BeginTxFunc(ctx, w.conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, settings); err != nil {
				return err
			}
			return f(ctx, tx)
		})
	})
}
