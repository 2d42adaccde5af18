package dsar

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
)

// Resolved is a subject that is there.
type Resolved struct {
	Key  []string // what identifies it, each column as text
	Name string   // its value of the policy's key: what ledgers, holds and the access log know it by
}

// Resolve gives the subject of some kind that a key stands for.
func (s *Service) Resolve(ctx context.Context, kind string, key privacy.Key) (found Resolved, err error) {
	err = s.With(ctx, kind, func(conn *pgx.Conn, g *Graph) error {
		found, err = g.resolve(ctx, conn, key)
		return err
	})
	return found, err
}

func (g *Graph) resolve(ctx context.Context, conn *pgx.Conn, key privacy.Key) (found Resolved, err error) {
	err = inSnapshot(ctx, conn, func(tx pgx.Tx) error {
		s, err := g.find(ctx, tx, key)
		if err != nil {
			return err
		}
		found, err = g.named(ctx, tx, s)
		return err
	})
	return found, err
}

// named gives what a subject is known by.
func (g *Graph) named(ctx context.Context, tx pgx.Tx, s subject) (found Resolved, err error) {
	columns := make([]string, len(g.key))
	for i, name := range g.key {
		columns[i] = fmt.Sprintf("CAST(c.%s AS text)", quote(name))
	}
	err = tx.QueryRow(ctx, fmt.Sprintf("SELECT ARRAY[%s], CAST(c.%s AS text) FROM %s WHERE c.tableoid = $1 AND c.ctid = $2",
		strings.Join(columns, ", "), quote(g.Subject.Key), g.family("c")), s.table, s.tuple).Scan(&found.Key, &found.Name)
	return found, err
}
