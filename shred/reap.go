package shred

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/seal"
)

// Reaping is what a Reap did, or would do.
type Reaping struct {
	Before time.Time // keys that were made later stay: their values may be on their way
	Live   int64     // values found that have a data key
	Keys   int64     // in the store that were made before
	Unused int64     // of those, without a value
	Gone   int64     // destroyed
}

// ErrMany tells that more than half of the keys are without a value.
var ErrMany = errors.New("more than half of the data keys are without a value")

// Reap destroys the keys of values that are no more: overwritten ones, and those of
// deleted rows and of transactions that were rolled back. It reads the columns of the
// governed database, as a login that sees all rows. Unless many is true, it ends in
// ErrMany where more than half of the keys would go: the wrong database looks like that. A
// dry one destroys nothing.
func (k *Keys) Reap(ctx context.Context, governed *pgx.Conn, columns []*policy.Sealed, many, dry bool) (r Reaping, err error) {
	// The two clocks may differ: what counts is how long ago it was by each.
	if err := k.Store.pool.QueryRow(ctx, "SELECT now()").Scan(&r.Before); err != nil {
		return r, fmt.Errorf("reading the store of data keys: %w", err)
	}
	age, err := oldest(ctx, governed)
	if err != nil {
		return r, err
	}
	r.Before = r.Before.Add(-age - 2*freshFor)
	var live []seal.DataKeyID
	for _, c := range columns {
		if live, err = liveIn(ctx, governed, c, live); err != nil {
			return r, fmt.Errorf("reading %s: %w", c.Column, err)
		}
	}
	r.Live = int64(len(live))
	slices.Sort(live)
	var unused []seal.DataKeyID
	rows, err := k.Store.pool.Query(ctx, "SELECT id FROM pgveil.data_keys WHERE made < $1", r.Before)
	if err != nil {
		return r, fmt.Errorf("reading the store of data keys: %w", err)
	}
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		r.Keys++
		if _, ok := slices.BinarySearch(live, seal.DataKeyID(id)); !ok {
			unused = append(unused, seal.DataKeyID(id))
		}
		return nil
	})
	if r.Unused = int64(len(unused)); err != nil {
		return r, fmt.Errorf("reading the store of data keys: %w", err)
	}
	switch {
	case dry:
		return r, nil
	case !many && r.Unused*2 > r.Keys:
		return r, ErrMany
	}
	r.Gone, err = k.Destroy(ctx, unused)
	return r, err
}

// oldest tells how long ago the oldest transaction began that is not over. A key waits
// to be used for freshFor at most, and a statement is on its way for less than that: keys
// that were made twice that before have no value that is still to be seen.
func oldest(ctx context.Context, governed *pgx.Conn) (age time.Duration, err error) {
	var sees bool
	err = governed.QueryRow(ctx, `SELECT now() - least(pg_catalog.min(a.xact_start), (SELECT pg_catalog.min(prepared) FROM pg_catalog.pg_prepared_xacts), pg_catalog.now()),
			pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
		FROM pg_catalog.pg_stat_activity a WHERE a.pid <> pg_catalog.pg_backend_pid()`).Scan(&age, &sees)
	switch {
	case err != nil:
		return 0, fmt.Errorf("looking for transactions that are running: %w", err)
	case !sees:
		return 0, errors.New("transactions of others are hidden from this login: grant it pg_read_all_stats")
	}
	return age, nil
}

// liveIn appends the data keys that the values of a column name.
func liveIn(ctx context.Context, governed *pgx.Conn, c *policy.Sealed, live []seal.DataKeyID) ([]seal.DataKeyID, error) {
	column, table := pgx.Identifier{c.Name}.Sanitize(), pgx.Identifier{c.Schema, c.Table}.Sanitize()
	head := fmt.Sprintf("pg_catalog.left(%s::text, 40)", column)
	if c.Stored == "bytea" {
		head = fmt.Sprintf("pg_catalog.substr(%s, 1, 20)", column)
	}
	tx, err := governed.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return live, err
	}
	defer func() { _ = tx.Rollback(context.Background()) }() // it only read
	// Rows that a policy hid would look like rows that are no more.
	if _, err := tx.Exec(ctx, "SET LOCAL row_security = off"); err != nil {
		return live, err
	}
	rows, err := tx.Query(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE %s IS NOT NULL", head, table, column))
	if err != nil {
		return live, err
	}
	defer rows.Close()
	for rows.Next() {
		live = seal.DataKeysIn(live, rows.RawValues()[0])
	}
	return live, rows.Err()
}

// Columns gives the columns whose values have data keys, as names for people.
func Columns(all []*policy.Sealed) string {
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.Column
	}
	return strings.Join(names, ", ")
}
