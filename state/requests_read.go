package state

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// ReadRequest gives a request as it is, and keeps nobody from changing it.
func ReadRequest(ctx context.Context, tx pgx.Tx, id int64) (Request, error) {
	rows, err := tx.Query(ctx, "SELECT "+requestColumns+" FROM pgveil.requests WHERE id = $1", id)
	if err != nil {
		return Request{}, err
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanRequest)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, NoRequest()
	}
	return r, err
}

// RequestByChannel gives the request that came by a channel, which a batch makes
// different for each: the first, where there are several; ok is false for none.
func RequestByChannel(ctx context.Context, tx pgx.Tx, channel string) (r Request, ok bool, err error) {
	rows, err := tx.Query(ctx, "SELECT "+requestColumns+" FROM pgveil.requests WHERE channel = $1 AND channel <> '' ORDER BY id LIMIT 1", channel)
	if err != nil {
		return r, false, err
	}
	r, err = pgx.CollectExactlyOneRow(rows, scanRequest)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, false, nil
	}
	return r, err == nil, err
}

// AnswersAbout gives the files that requests of a subject were answered with.
func AnswersAbout(ctx context.Context, tx pgx.Tx, kind, token string) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT outcome ->> 'file' FROM pgveil.requests
		WHERE kind = $1 AND token = $2 AND what IN ('access', 'portability') AND state = 'completed' AND outcome ->> 'file' <> '' ORDER BY id`, kind, token)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// RequestCount says how requests of one type, under one law, ended and how long
// they took.
type RequestCount struct {
	What      string `json:"what"`
	Regime    string `json:"regime"`
	Received  int64  `json:"received"`
	Completed int64  `json:"completed"`
	Denied    int64  `json:"denied"`
	Cancelled int64  `json:"cancelled"`
	Pending   int64  `json:"pending"`
	Failed    int64  `json:"failed"` // of those that are pending: they failed, or something is left for people to decide about
	Late      int64  `json:"late"`   // answered after the last day, or still pending after it
	Extended  int64  `json:"extended"`

	// Days from receipt to completion or denial; nil where there was none.
	MedianDays *float64 `json:"median_days"`
	MeanDays   *float64 `json:"mean_days"`
	MostDays   *float64 `json:"most_days"`
}

// RequestDenials says how often requests of one type were denied with a code.
type RequestDenials struct {
	What  string `json:"what"`
	Code  string `json:"code"`
	Count int64  `json:"count"`
}

// requestSpan is the condition for requests that were received within a time.
const requestSpan = "received_at >= $1 AND received_at < $2"

// CountRequests counts the requests that were received from one moment on and
// before another.
func CountRequests(ctx context.Context, tx pgx.Tx, since, until time.Time) (counts []RequestCount, denials []RequestDenials, err error) {
	rows, err := tx.Query(ctx, `SELECT what, regime, count(*), count(*) FILTER (WHERE state = 'completed'), count(*) FILTER (WHERE state = 'denied'),
			count(*) FILTER (WHERE state = 'cancelled'), count(*) FILTER (WHERE ended_at IS NULL), count(*) FILTER (WHERE state IN ('failed', 'review')),
			count(*) FILTER (WHERE state <> 'cancelled' AND coalesce(ended_at, clock_timestamp())::date > due_on), count(*) FILTER (WHERE extended),
			percentile_cont(0.5) WITHIN GROUP (ORDER BY days), avg(days)::float8, max(days)
		FROM (SELECT *, CASE WHEN state IN ('completed', 'denied') THEN extract(epoch FROM ended_at - received_at)::float8 / 86400 END AS days
			FROM pgveil.requests WHERE `+requestSpan+`) AS r
		GROUP BY what, regime ORDER BY what, regime`, since, until)
	if err != nil {
		return nil, nil, err
	}
	if counts, err = pgx.CollectRows(rows, pgx.RowToStructByPos[RequestCount]); err != nil {
		return nil, nil, err
	}
	rows, err = tx.Query(ctx, `SELECT what, code, count(*) FROM pgveil.requests WHERE state = 'denied' AND `+requestSpan+`
		GROUP BY what, code ORDER BY what, code`, since, until)
	if err != nil {
		return nil, nil, err
	}
	denials, err = pgx.CollectRows(rows, pgx.RowToStructByPos[RequestDenials])
	return counts, denials, err
}

// RequestsToLookAt gives requests received within a time that are late, or that
// failed or wait for people to decide, the most urgent first.
func RequestsToLookAt(ctx context.Context, tx pgx.Tx, since, until time.Time, most int) ([]Request, error) {
	rows, err := tx.Query(ctx, "SELECT "+requestColumns+` FROM pgveil.requests WHERE `+requestSpan+`
			AND (state IN ('failed', 'review') OR state <> 'cancelled' AND coalesce(ended_at, clock_timestamp())::date > due_on)
		ORDER BY ended_at IS NOT NULL, due_on, id LIMIT $3`, since, until, most)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanRequest)
}

// QueuedRequests gives how many requests workers are not done with, whether or not
// one may take them yet.
func QueuedRequests(ctx context.Context, c *pgx.Conn) (n int64, err error) {
	err = c.QueryRow(ctx, "SELECT count(*) FROM pgveil.requests WHERE ended_at IS NULL AND state IN ('queued', 'running', 'erased')").Scan(&n)
	return n, err
}
