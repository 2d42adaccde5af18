package retention

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/state"
)

// ErrRunning says that another run is under way.
var ErrRunning = errors.New("another run of retention is under way")

// turn is the advisory lock of who runs. It belongs to the connection, and is free
// when that is gone: whoever has it knows that no other run is alive.
const turn = "7366012, 1"

// lock takes the turn.
func lock(ctx context.Context, conn *pgx.Conn) error {
	var got bool
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_lock("+turn+")").Scan(&got); err != nil {
		return err
	}
	if !got {
		return ErrRunning
	}
	return nil
}

func unlock(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_unlock("+turn+")")
	return err
}

// The states of a run.
const (
	Running   = "running"
	Done      = "done"
	Failed    = "failed"
	Stopped   = "stopped"
	BrokenOff = "broken off" // it ended without saying so: what it had committed is in its batches
)

// begin writes down that a run begins, and that those before it which did not say
// that they ended are over.
func (o Options) begin(ctx context.Context, conn *pgx.Conn) (run int64, broken []int64, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE pgveil.retention_runs SET state = 'broken off', ended_at = pg_catalog.clock_timestamp() WHERE state = 'running' RETURNING run`)
		if err != nil {
			return err
		}
		if broken, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `INSERT INTO pgveil.retention_runs (state, asked_by, scheduled, generation) VALUES ('running', $1, $2, $3) RETURNING run`,
			o.By, o.Scheduled, o.Set.Generation()).Scan(&run)
	})
	return run, broken, err
}

func end(ctx context.Context, conn *pgx.Conn, run int64, state, note string) error {
	_, err := conn.Exec(ctx, `UPDATE pgveil.retention_runs SET state = $2, note = nullif($3, ''), ended_at = pg_catalog.clock_timestamp() WHERE run = $1`, run, state, note)
	return err
}

// write writes down what a batch took, in its transaction.
func (b Batch) write(ctx context.Context, tx pgx.Tx) error {
	for part, t := range b.Took {
		_, err := tx.Exec(ctx, `INSERT INTO pgveil.retention_batches (run, batch, part, rule, relation, action, rows, digest) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			b.Run, b.N, part+1, b.Rule, t.Relation, t.Action, t.Rows, t.Digest)
		if err != nil {
			return err
		}
	}
	return nil
}

// Status is how a run stands.
type Status struct {
	Run       int64     `json:"run"`
	State     string    `json:"state"`
	By        string    `json:"by"`
	Scheduled bool      `json:"scheduled"`
	Began     time.Time `json:"began"`
	Ended     time.Time `json:"ended,omitzero"`
	Batches   int64     `json:"batches"`
	Rows      int64     `json:"rows"`
	Note      string    `json:"note,omitempty"`
}

const statusSQL = `SELECT r.run, r.state, r.asked_by, r.scheduled, r.began_at, coalesce(r.ended_at, '0001-01-01Z'),
	(SELECT pg_catalog.count(DISTINCT b.batch) FROM pgveil.retention_batches AS b WHERE b.run = r.run),
	coalesce((SELECT pg_catalog.sum(b.rows)::bigint FROM pgveil.retention_batches AS b WHERE b.run = r.run), 0), coalesce(r.note, '')
	FROM pgveil.retention_runs AS r `

// Lately gives the last runs, the newest first.
func Lately(ctx context.Context, conn *pgx.Conn, n int) ([]Status, error) {
	rows, err := conn.Query(ctx, statusSQL+"ORDER BY r.run DESC LIMIT $1", n)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Status])
}

// Scheduled gives the server's time, and when the last scheduled run began that came
// to its end or is under way; zero where there was none. Of those that were stopped
// or broken off, what they had not done is still to be done: then it is a moment before them.
func Scheduled(ctx context.Context, conn *pgx.Conn) (now, last time.Time, err error) {
	var began *time.Time
	err = conn.QueryRow(ctx, "SELECT pg_catalog.clock_timestamp(), "+scheduledSQL).Scan(&now, &began)
	if began != nil {
		last = *began
	}
	return now, last, state.Explain("looking when retention is due", err)
}

const scheduledSQL = `(SELECT coalesce(
	pg_catalog.max(r.began_at) FILTER (WHERE r.state IN ('done', 'failed') OR r.state = 'running' AND EXISTS (
		SELECT FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_database AS d ON d.oid = l.database
		WHERE d.datname = pg_catalog.current_database() AND l.locktype = 'advisory' AND l.classid = 7366012 AND l.objid = 1 AND l.granted)),
	pg_catalog.min(r.began_at) - interval '1 day')
	FROM pgveil.retention_runs AS r WHERE r.scheduled)`
