package sidedoor

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/state"
)

// Activity is what one host of the server lists.
type Activity struct {
	Doors    []state.Door // connections to the database, and all replication, whosever they are
	Unseen   int          // connections of which pgveil's login may not see where they come from
	Sessions int64        // how many the server has counted to the database
	Reset    time.Time    // since when
}

// Read reads what a host lists, but for the connection that asks.
func Read(ctx context.Context, conn *pgx.Conn, host, database string) (Activity, error) {
	var a Activity
	rows, err := conn.Query(ctx, `SELECT pid::bigint, backend_start, coalesce(backend_type, ''), coalesce(datname, ''), coalesce(usename, ''),
			coalesce(application_name, ''), coalesce(pg_catalog.host(client_addr), 'unix')
		FROM pg_catalog.pg_stat_activity
		WHERE pid <> pg_catalog.pg_backend_pid() AND (datname = $1 OR backend_type = 'walsender') AND usename IS NOT NULL
			AND (backend_type IS NULL OR backend_type IN ('client backend', 'walsender'))`, database)
	if err != nil {
		return a, fmt.Errorf("reading the connections of %s: %w", host, err)
	}
	d, began := state.Door{Host: host}, (*time.Time)(nil)
	_, err = pgx.ForEachRow(rows, []any{&d.PID, &began, &d.Kind, &d.Database, &d.Login, &d.App, &d.Addr}, func() error {
		if began == nil {
			a.Unseen++
			return nil
		}
		d.Began = *began
		a.Doors = append(a.Doors, d)
		return nil
	})
	if err != nil {
		return a, fmt.Errorf("reading the connections of %s: %w", host, err)
	}
	err = conn.QueryRow(ctx, `SELECT sessions, coalesce(stats_reset, 'epoch')
		FROM pg_catalog.pg_stat_database WHERE datname = $1`, database).Scan(&a.Sessions, &a.Reset)
	if err != nil {
		return a, fmt.Errorf("reading how many sessions %s counted: %w", host, err)
	}
	return a, nil
}
