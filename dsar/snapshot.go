package dsar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgveil/pgveil/privacy"
)

// cancelWait is how long the server is given to take note that nobody waits
// for a statement any more.
const cancelWait = 5 * time.Second

// settings make the answer depend on nothing but the data: names mean the
// system's own, values are spelled in one way, one process reads one table
// after the other. With row_security off the server refuses what a row policy
// would silently leave out.
const settings = `
	SET LOCAL search_path = pg_catalog;
	SET LOCAL row_security = off;
	SET LOCAL client_encoding = 'UTF8';
	SET LOCAL standard_conforming_strings = on;
	SET LOCAL TimeZone = 'UTC';
	SET LOCAL IntervalStyle = 'iso_8601';
	SET LOCAL bytea_output = 'hex';
	SET LOCAL extra_float_digits = 1;
	SET LOCAL max_parallel_workers_per_gather = 0;
	SET LOCAL jit = off`

// cancelling tells the server to stop as well when ctx ends: closing the
// connection alone lets it work on until it next has something to send.
func cancelling(ctx context.Context, conn *pgx.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		wait, done := context.WithTimeout(context.WithoutCancel(ctx), cancelWait)
		defer done()
		// Whoever waits gets the error of ctx; if the server cannot be
		// reached to be told, it has lost the connection too.
		_ = conn.PgConn().CancelRequest(wait)
	})
}

// inSnapshot runs f in a read-only transaction that sees one state of the
// database.
func inSnapshot(ctx context.Context, conn *pgx.Conn, f func(pgx.Tx) error) error {
	stop := cancelling(ctx, conn)
	defer stop()
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settings); err != nil {
			return err
		}
		return f(tx)
	})
	if ended := ctx.Err(); err != nil && ended != nil {
		return ended
	}
	return withoutValues(err)
}

// place is where a row lies, for as long as the snapshot lasts.
type place struct {
	table uint32
	tuple pgtype.TID
}

// subject is the one that a key stands for.
type subject struct {
	place
	key string    // as a JSON object
	now time.Time // by the server's clock
}

// find finds the subject with a key, and makes sure that the database is still
// as the Graph knows it.
func (g *Graph) find(ctx context.Context, tx pgx.Tx, key privacy.Key) (subject, error) {
	if err := g.complete(); err != nil {
		return subject{}, err
	}
	if err := g.current(ctx, tx); err != nil {
		return subject{}, err
	}
	columns, err := g.columns(key)
	if err != nil {
		return subject{}, err
	}
	lookup, values, err := g.lookup(columns, key.Values)
	if err != nil {
		return subject{}, err
	}
	var s subject
	var matches int64
	var namesakes []int64
	err = tx.QueryRow(ctx, lookup, values...).Scan(&s.table, &s.tuple, &s.key, &s.now, &matches, &namesakes)
	var refused *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return subject{}, privacy.Fail(privacy.NotFound, "", "no such %s", g.Subject.Name)
	case errors.As(err, &refused) && aboutData(refused):
		return subject{}, privacy.Fail(privacy.BadKey, "write it in single quotes if it is not a number", "the value does not fit %s", g.typed(columns))
	case err != nil:
		return subject{}, fmt.Errorf("finding the %s: %w", g.Subject.Name, err)
	case matches > 1:
		return subject{}, privacy.Fail(privacy.Ambiguous, "ask for one by "+strings.Join(g.key, ", "), "%d of kind %q match", matches, g.Subject.Name)
	}
	return s, g.alone(namesakes)
}

// columns gives those that a key has values for.
func (g *Graph) columns(key privacy.Key) ([]string, error) {
	switch {
	case key.Column != "":
		known := append([]string{g.Subject.Key}, g.Subject.FindBy...)
		if !slices.Contains(known, key.Column) {
			return nil, privacy.Fail(privacy.NoColumn, privacy.DidYouMean(key.Column, known), "a %s cannot be looked up by that column", g.Subject.Name)
		}
		if len(key.Values) == 1 {
			return []string{key.Column}, nil
		}
	case len(key.Values) == len(g.key):
		return g.key, nil
	case len(key.Values) == 1:
		return []string{g.Subject.Key}, nil
	}
	return nil, privacy.Fail(privacy.Syntax, "", "the key of a %s has one value for each of %s", g.Subject.Name, strings.Join(g.key, ", "))
}

// lookup is the statement that finds a subject by columns, and tells how many
// others they fit, and how many have the same key.
func (g *Graph) lookup(columns, values []string) (sql string, args []any, err error) {
	root := g.Tables[0].Relation
	var key, where []string
	for _, name := range g.key {
		key = append(key, literal(name), "c."+quote(name))
	}
	for i, name := range columns {
		condition, more, err := g.Values.match(g.set, root, name, "c", values[i], len(args)+1)
		if err != nil {
			return "", nil, err
		}
		where, args = append(where, condition), append(args, more...)
	}
	return fmt.Sprintf("SELECT c.tableoid, c.ctid, jsonb_build_object(%s)::text, now(), count(*) OVER (), %s FROM %s WHERE %s LIMIT 1",
		strings.Join(key, ", "), g.namesakes("c"), g.family("c"), strings.Join(where, " AND ")), args, nil
}

// typed names columns with their types.
func (g *Graph) typed(columns []string) string {
	root := g.Tables[0].Relation
	named := make([]string, len(columns))
	for i, name := range columns {
		column, _ := root.Column(name)
		named[i] = fmt.Sprintf("%s.%s, which is %s", root.QualifiedName(), name, column.Type.SQL)
	}
	return strings.Join(named, ", and ")
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
