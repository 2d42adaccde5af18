package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// settle is how long sessions are idle before their memory counts: time for a
// contender to give back what it does not need any more.
const settle = 2 * time.Second

// logins is how many sessions log in at the same time.
const logins = 8

// idle opens sessions, has each run a statement, and gives the memory that
// each takes up in the contender while it does nothing. The first sessions do
// not count: what they make the contender keep, it keeps once.
func (b *bench) idle(ctx context.Context, r *running) (s sample, err error) {
	if r.process == nil {
		return sample{}, nil
	}
	var open []*pgconn.PgConn
	defer func() {
		err = errors.Join(err, closeAll(open), r.stop())
		if err == nil {
			err = b.awaitQuiet(ctx)
		}
	}()
	if open, err = b.connect(ctx, r, open, logins); err != nil {
		return s, err
	}
	before, err := b.settled(ctx, r)
	if err != nil {
		return s, err
	}
	if open, err = b.connect(ctx, r, open, b.o.idle); err != nil {
		return s, err
	}
	after, err := b.settled(ctx, r)
	s.KiB = float64(after-before) / float64(b.o.idle) / 1024
	return s, err
}

func (b *bench) settled(ctx context.Context, r *running) (int64, error) {
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	return memory(r.process.cmd.Process.Pid)
}

// connect adds n sessions.
func (b *bench) connect(ctx context.Context, r *running, open []*pgconn.PgConn, n int) ([]*pgconn.PgConn, error) {
	fresh := make([]*pgconn.PgConn, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(logins)
	for i := range fresh {
		g.Go(func() (err error) {
			if fresh[i], err = pgconn.Connect(ctx, b.clientDSN(r)); err != nil {
				return fmt.Errorf("session %d through %s: %w\n%s", len(open)+i, r.name, err, r.tail())
			}
			return fresh[i].Exec(ctx, "SELECT abalance, filler FROM pgbench_accounts WHERE aid = 1").Close()
		})
	}
	err := g.Wait()
	for _, c := range fresh {
		if c != nil {
			open = append(open, c)
		}
	}
	return open, err
}

// awaitQuiet waits until the server has ended the sessions of contenders that
// are gone. The others may each have one.
func (b *bench) awaitQuiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, b.server.DSN(database, pgserver.Superuser))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for {
		var n int
		err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE usename IN ($1, $2)", plainLogin, restrictedLogin).Scan(&n)
		if err != nil || n <= len(b.contenders) {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("the server keeps %d sessions: %w", n, err)
		}
	}
}

func closeAll(open []*pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(logins)
	for _, c := range open {
		g.Go(func() error { return c.Close(ctx) })
	}
	return g.Wait()
}
