package shred

import (
	"context"
	"errors"
	"fmt"
	"math"
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

// What keeps keys from being reaped.
var (
	ErrMany    = errors.New("more than half of the data keys are without a value")
	ErrReaping = errors.New("somebody else is reaping the data keys")
)

// Reap destroys the keys of values that are no more: overwritten ones, and those of
// deleted rows and of transactions that were rolled back. It reads the columns of the
// governed database, as a login that sees all rows. Unless many is true, it ends in
// ErrMany where more than half of the keys would go, and there are not half as many values
// as the last time: the wrong database looks like that. Where somebody else is at it, it
// ends in ErrReaping. A dry one destroys nothing.
func (k *Keys) Reap(ctx context.Context, governed *pgx.Conn, columns []*policy.Sealed, many, dry bool) (r Reaping, err error) {
	unlock, err := k.Store.lockReaping(ctx)
	if err != nil {
		return r, err
	}
	defer unlock()
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
	if dry {
		return r, nil
	}
	if !many && r.Unused*2 > r.Keys {
		if _, before, err := k.Store.LastReaping(ctx); err != nil || before == 0 || r.Live*2 < before {
			return r, errors.Join(err, ErrMany)
		}
	}
	if r.Gone, err = k.Destroy(ctx, unused); err != nil {
		return r, err
	}
	if _, err := k.Store.pool.Exec(ctx, "INSERT INTO pgveil.reapings (live, keys, gone) VALUES ($1, $2, $3)", r.Live, r.Keys, r.Gone); err != nil {
		return r, fmt.Errorf("noting in the store that keys were reaped: %w", err)
	}
	return r, nil
}

// LastReaping tells how long ago keys were reaped by the store's clock, and how many
// values had keys then; nothing where they never were.
func (s *Store) LastReaping(ctx context.Context) (ago time.Duration, live int64, err error) {
	err = s.pool.QueryRow(ctx, "SELECT clock_timestamp() - at, live FROM pgveil.reapings ORDER BY at DESC LIMIT 1").Scan(&ago, &live)
	if errors.Is(err, pgx.ErrNoRows) {
		return math.MaxInt64, 0, nil
	}
	if err != nil {
		err = fmt.Errorf("reading the store of data keys: %w", err)
	}
	return ago, live, err
}

// reapingLock is the number of the advisory lock of whoever reaps.
const reapingLock = 0x7067726561 // pgrea

// lockReaping keeps others from reaping until unlock is called.
func (s *Store) lockReaping(ctx context.Context) (unlock func(), err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the store of data keys: %w", err)
	}
	var got bool
	if err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", int64(reapingLock)).Scan(&got); err == nil && !got {
		err = ErrReaping
	}
	if err != nil {
		conn.Release()
		return nil, err
	}
	return func() {
		wait, done := context.WithTimeout(context.WithoutCancel(ctx), storeWithin)
		defer done()
		if _, err := conn.Exec(wait, "SELECT pg_advisory_unlock($1)", int64(reapingLock)); err != nil {
			_ = conn.Hijack().Close(wait) // the lock goes with the connection
			return
		}
		conn.Release()
	}, nil
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
