package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// way is one way for requests to say whose they are.
type way struct {
	name    string
	pool    *pgxpool.Pool
	request func(context.Context, *pgxpool.Pool) error
	most    int // requests in a second
}

// measure compares the ways, in turns of a second each until the time is over. The
// best second of each counts, as others on the machine only ever slow it down. Alice has the end users' rights by her own login, and need not say anything.
func measure(ctx context.Context, pool *pgxpool.Pool, total time.Duration) error {
	config := pool.Config()
	config.ConnConfig.User, config.ConnConfig.Password = "alice", "alice-password"
	own, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer own.Close()
	ways := []*way{
		{name: "transaction, nothing to say", pool: own, request: plainTransaction},
		{name: "transaction, SET LOCAL with BEGIN", pool: pool, request: signedTransaction},
		{name: "transaction, set_config($1)", pool: pool, request: configured},
		{name: "statement, nothing to say", pool: own, request: plain},
		{name: "statement, nothing to say, simple", pool: own, request: simple},
		{name: "statement, comment, simple", pool: pool, request: commented},
		{name: "signing alone", pool: pool, request: func(context.Context, *pgxpool.Pool) error { _, err := fresh(); return err }},
	}
	for until := time.Now().Add(total); time.Now().Before(until); {
		for _, w := range ways {
			n, err := w.turn(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			w.most = max(w.most, n)
		}
	}
	for _, w := range ways {
		fmt.Fprintf(os.Stderr, "%8d/s %5.2f  %s\n", w.most, float64(w.most)/float64(ways[0].most), w.name)
	}
	return nil
}

// turn does requests for a second, one after the other.
func (w *way) turn(ctx context.Context) (n int, err error) {
	for until := time.Now().Add(time.Second); time.Now().Before(until); n++ {
		if err := w.request(ctx, w.pool); err != nil {
			return n, err
		}
	}
	return n, nil
}

func see(ctx context.Context, q querier, sql string, args ...any) error {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err == nil && len(ids) != len(users[0].sees) {
		return fmt.Errorf("%d rows", len(ids))
	}
	return err
}

func fresh() (string, error) { return sign(rand.Text(), users[0].Name, key, nil) }

func plainTransaction(ctx context.Context, pool *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return see(ctx, tx, customer, 0) })
}

func signedTransaction(ctx context.Context, pool *pgxpool.Pool) error {
	return As(ctx, pool, users[0], func(tx pgx.Tx) error { return see(ctx, tx, customer, 0) })
}

func configured(ctx context.Context, pool *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		token, err := fresh()
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT set_config('pgveil.token', $1, true)", token); err != nil {
			return err
		}
		return see(ctx, tx, customer, 0)
	})
}

func plain(ctx context.Context, pool *pgxpool.Pool) error { return see(ctx, pool, customer, 0) }

func simple(ctx context.Context, pool *pgxpool.Pool) error {
	return see(ctx, pool, customer, pgx.QueryExecModeSimpleProtocol, 0)
}

func commented(ctx context.Context, pool *pgxpool.Pool) error {
	token, err := fresh()
	if err != nil {
		return err
	}
	return see(ctx, pool, customer+" /*pgveil.token='"+token+"'*/", pgx.QueryExecModeSimpleProtocol, 0)
}
