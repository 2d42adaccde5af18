package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/retention"
	"github.com/pgveil/pgveil/rewrite"
)

// ableTo says what retention can do besides deleting rows. Each step of the erasure
// of a subject is recorded before it is committed.
func ableTo(e *rewrite.Engine, l retentionRecords) retention.Able {
	return retention.Able{
		Anonymise: func(ctx context.Context, tx pgx.Tx, r *catalog.Relation, rows int64) (columns, values []string, err error) {
			return dsar.Anonymising(ctx, tx, e.Policy, l.values, r, rows)
		},
		Erase: func(ctx context.Context, conn *pgx.Conn, subject, key string, number int64, still func(context.Context, pgx.Tx) error) (int64, error) {
			g, err := dsar.NewGraph(e.Policy, e.Catalog, subject)
			if err != nil {
				return 0, err
			}
			g.Values = l.values
			o := dsar.EraseOptions{Request: number, Key: privacy.Key{Values: []string{key}}, Record: l.step, Still: still, LaterTidy: true, Shred: l.shred}
			if o.Plan, err = dsar.PlanErasure(ctx, conn, g, o.Key); err != nil || o.Plan.Rows() == 0 && !o.Plan.Refused() {
				return 0, err
			}
			done, err := dsar.Erase(ctx, conn, g, o)
			return done.Rows, err
		},
	}
}

// step records a step of the erasure of a subject.
func (l retentionRecords) step(ctx context.Context, s dsar.ErasureStep) error {
	r := l.record("of a subject", s.Action)
	r.Relation, r.Rows, r.Event = s.Table, s.Rows, s.Digest
	return l.write(ctx, r)
}
