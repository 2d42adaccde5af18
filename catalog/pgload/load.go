// Package pgload reads the schema of a live PostgreSQL database, 14 to 18.
//
// Load takes everything from one transaction, in a handful of queries that lie
// beside it in sql/. Version is the fingerprint that a timer polls to learn
// whether Load would now find something else.
package pgload

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
)

// Load reads the schema of the database that conn is connected to: also the
// system's own, but no temporary or TOAST relations.
//
// pg_get_viewdef looks past the transaction's snapshot. A view that changes
// during Load may thus come out newer than the rest, or fail the load. Who
// takes Version before Load, never after it, sees such a change at the next
// poll.
func Load(ctx context.Context, conn *pgx.Conn) (*catalog.Snapshot, error) {
	parts, err := Parts(ctx, conn)
	if err != nil {
		return nil, err
	}
	return catalog.New(parts), nil
}

// Parts reads what Load makes a snapshot of.
func Parts(ctx context.Context, conn *pgx.Conn) (catalog.Parts, error) {
	var l loader
	if err := inCatalog(ctx, conn, func(tx pgx.Tx) error { return l.load(ctx, tx) }); err != nil {
		return catalog.Parts{}, fmt.Errorf("loading catalog: %w", err)
	}
	return l.parts, nil
}

// inCatalog runs f in a read-only transaction that sees one state of the
// database and in which only the system's own names need no schema: no
// function or operator of a user can stand in for one that we call, and
// whatever PostgreSQL spells out for us is qualified.
func inCatalog(ctx context.Context, conn *pgx.Conn, f func(pgx.Tx) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL search_path = pg_catalog"); err != nil {
			return err
		}
		return f(tx)
	})
}

// loader holds what the queries have in common while a load runs.
type loader struct {
	parts     catalog.Parts
	types     map[uint32]typeRow
	relations map[uint32]int // OID → index into parts.Relations
}

func (l *loader) load(ctx context.Context, tx pgx.Tx) error {
	row := tx.QueryRow(ctx, "SELECT current_database(), current_setting('server_version_num')::int")
	if err := row.Scan(&l.parts.Database, &l.parts.ServerVersion); err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		load func(context.Context, pgx.Tx) error
	}{
		{"schemas", l.loadSchemas},
		{"types", l.loadTypes},
		{"relations", l.loadRelations},
		{"columns", l.loadColumns},
		{"constraints", l.loadConstraints},
		{"parents", l.loadParents},
		{"functions", l.loadFuncs},
		{"operators", l.loadOperators},
	} {
		if err := step.load(ctx, tx); err != nil {
			return fmt.Errorf("reading %s: %w", step.what, err)
		}
	}
	return nil
}

// each runs a query and calls add after each row is scanned into dest.
func each(ctx context.Context, tx pgx.Tx, sql string, dest []any, add func() error) error {
	rows, err := tx.Query(ctx, sql)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, dest, add)
	return err
}
