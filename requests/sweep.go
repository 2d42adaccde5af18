package requests

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/sweep"
)

// mostLooks is how often a search begins anew because the schema has changed.
const mostLooks = 3

// sweep looks through every table that there is, those too that came after the
// catalog was read: a schema changes at any time, and the access log's table has
// parts of pgveil's own that are new each day.
func (w *Worker) sweep(ctx context.Context, conn *pgx.Conn, needles []sweep.Needle) (found sweep.Report, err error) {
	for range mostLooks {
		_, cat := w.Service.Data.Current()
		found, err = sweep.Database(ctx, conn, cat, needles, sweep.Options{})
		if !errors.Is(err, sweep.ErrSchemaChanged) || w.Service.Data.Look == nil {
			return found, err
		}
		if looked := w.Service.Data.Look(ctx); looked != nil {
			return found, errors.Join(err, looked)
		}
	}
	return found, err
}
