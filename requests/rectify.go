package requests

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// rectify makes of a subject's rows what was asked for. What they were is, sealed,
// in the access log, where that seals images.
func (w *Worker) rectify(ctx context.Context, conn *pgx.Conn, r *state.Request) error {
	a, err := w.Service.askedOf(*r)
	if err != nil {
		return err
	}
	g, err := w.Service.Data.Graph(r.Kind)
	if err != nil {
		return err
	}
	changes := make([]dsar.Change, len(a.Changes))
	for i, c := range a.Changes {
		changes[i] = dsar.Change{Table: a.Table, Row: privacy.Key{Values: a.Row}, Column: c.Column, Value: c.Value, Null: c.Null}
		if a.Table == "" {
			changes[i].Table = g.Subject.Relation.QualifiedName()
		}
	}
	done, err := dsar.Rectify(ctx, conn, g, privacy.Key{Values: r.Key}, changes, dsar.RectifyOptions{
		Record: func(ctx context.Context, rows []dsar.RectifiedRow) error { return w.recordRectified(ctx, r, rows) },
	})
	if err != nil {
		return err
	}
	r.Asked, r.Done, r.Todo = nil, int64(len(done.Rows)), int64(len(done.Rows))
	r.Outcome, err = json.Marshal(done)
	return err
}

func (w *Worker) recordRectified(ctx context.Context, r *state.Request, rows []dsar.RectifiedRow) error {
	for _, row := range rows {
		_, err := w.Record(ctx, Deed{
			Request: r.ID, Kind: r.Kind, Token: r.Token, By: w.Name, What: "rectification: " + strings.Join(row.Columns, ", "),
			Table: row.Table, Rows: 1, Images: row.Images(),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
