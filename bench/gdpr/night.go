package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// probe is another client, which reads one customer after the other while
// something else is done.
type probe struct {
	conn      *pgx.Conn
	customers int
	n         int
}

func newProbe(ctx context.Context, s *stage, customers int) (*probe, error) {
	conn, err := s.through(ctx, "processor")
	if err == nil {
		err = execute(ctx, conn, "SET pgveil.purpose = 'support'")
	}
	return &probe{conn: conn, customers: customers}, err
}

// during reads fifty times a second until f has ended, and prints how long that
// took.
func (p *probe) during(ctx context.Context, what string, f func() error) error {
	done := make(chan error, 1)
	start := time.Now()
	go func() { done <- f() }()
	var took []time.Duration
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			slices.Sort(took)
			fmt.Printf("| %s | %.1f s | %s | %s | %s | %d |\n", what, time.Since(start).Seconds(), quantile(took, 50), quantile(took, 99), quantile(took, 100), len(took))
			return err
		case <-tick.C:
		}
		before := time.Now()
		p.n++
		if _, err := p.conn.Exec(ctx, "SELECT name, email FROM customers WHERE id = $1", p.n*7919%p.customers+1); err != nil {
			return errors.Join(err, <-done)
		}
		took = append(took, time.Since(before))
	}
}

// quantile gives one of sorted durations.
func quantile(sorted []time.Duration, percent int) string {
	if len(sorted) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f ms", sorted[(len(sorted)-1)*percent/100].Seconds()*1e3)
}

const probeHead = "| meanwhile | took | p50 | p99 | longest | statements |\n|---|---:|---:|---:|---:|---:|"

// night opens requests for erasure by a file, and has workers do them.
func night(ctx context.Context, s *stage, o options) error {
	p, err := newProbe(ctx, s, o.customers)
	if err != nil {
		return err
	}
	var file strings.Builder
	file.WriteString("what,subject,key,verified_by,reference\n")
	for i := range o.requests {
		fmt.Fprintf(&file, "erasure,customer,%d,account,R-%d\n", i*o.customers/o.requests+1, i)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "night.csv"), []byte(file.String()), 0o600); err != nil {
		return err
	}
	fmt.Println(probeHead)
	err = p.during(ctx, "nothing else", func() error { return sleep(ctx, o.seconds) })
	if err != nil {
		return err
	}
	err = p.during(ctx, fmt.Sprintf("dsar batch opens %d", o.requests), func() error {
		_, err := s.pgveil(ctx, "dsar", "batch", "night.csv", "--run")
		return err
	})
	if err != nil {
		return err
	}
	var said string
	err = p.during(ctx, fmt.Sprintf("worker --workers %d does them", o.workers), func() error {
		said, err = s.pgveil(ctx, "worker", "--config", "worker.yaml", "--workers", fmt.Sprint(o.workers), "--once")
		return err
	})
	if err != nil {
		return err
	}
	if err := s.in(ctx, governed, func(c *pgx.Conn) error { return judgeNight(ctx, c, o.requests) }); err != nil {
		return fmt.Errorf("%w; the worker says\n%s", err, said)
	}
	return p.conn.Close(ctx)
}

// judgeNight looks whether everybody is gone and has a certificate, and prints
// when.
func judgeNight(ctx context.Context, c *pgx.Conn, requests int) error {
	var done, left int
	var stuck string
	if err := c.QueryRow(ctx, "SELECT coalesce(min(state || ': ' || failure), '') FROM pgveil.requests WHERE state <> 'completed'").Scan(&stuck); err != nil || stuck != "" {
		return errors.Join(err, fmt.Errorf("a request is %s", stuck))
	}
	var erasing, ending float64
	err := c.QueryRow(ctx, `WITH e AS (SELECT min(at) FILTER (WHERE what = 'runs') begun, max(at) FILTER (WHERE what = 'erased') gone, max(at) FILTER (WHERE what = 'completed') ended FROM pgveil.request_events)
		SELECT (SELECT count(*) FROM pgveil.requests WHERE state = 'completed' AND certificate IS NOT NULL),
		extract(epoch FROM gone - begun), extract(epoch FROM ended - gone) FROM e`).Scan(&done, &erasing, &ending)
	if err != nil {
		return err
	}
	if err := c.QueryRow(ctx, "SELECT count(*) FROM customers WHERE id IN (SELECT i::bigint * (SELECT max(id) FROM customers) / $1 + 1 FROM generate_series(0, $1 - 1) i)", requests).Scan(&left); err != nil {
		return err
	}
	fmt.Printf("\n%d erased with certificates; erasing: %.1f s, %.1f a second; search and certificates: %.1f s, %.1f a second\n", done, erasing, float64(done)/erasing, ending, float64(done)/ending)
	if done != requests || left > 0 {
		return fmt.Errorf("%d of %d requests have a certificate, %d customers are there still", done, requests, left)
	}
	return nil
}

// big erases one subject that has most of the rows.
func big(ctx context.Context, s *stage, o options) error {
	const subject = 1
	err := s.in(ctx, governed, func(c *pgx.Conn) error {
		return execute(ctx, c, fmt.Sprintf("INSERT INTO visits SELECT g, %d, '/page/' || g %% 90, '2024-01-01' FROM generate_series(100000000, 100000000 + %d - 1) g", subject, o.requests), "VACUUM ANALYZE visits")
	})
	if err != nil {
		return err
	}
	p, err := newProbe(ctx, s, o.customers)
	if err != nil {
		return err
	}
	officer, err := s.through(ctx, "customer")
	if err != nil {
		return err
	}
	fmt.Println(probeHead)
	if err := p.during(ctx, "nothing else", func() error { return sleep(ctx, o.seconds) }); err != nil {
		return err
	}
	err = p.during(ctx, fmt.Sprintf("the plan for a subject with %d rows", o.requests), func() error {
		return execute(ctx, officer, fmt.Sprintf("PRIVACY ERASE customer %d VERIFIED BY 'account' BECAUSE 'a letter'", subject))
	})
	if err != nil {
		return err
	}
	for _, until := range []string{"erased", "completed"} {
		err := p.during(ctx, "until it is "+until, func() error {
			return s.in(ctx, governed, func(c *pgx.Conn) error { return awaitEvent(ctx, c, 1, until) })
		})
		if err != nil {
			return err
		}
	}
	err = s.in(ctx, governed, func(c *pgx.Conn) error {
		var steps, left int
		if err := c.QueryRow(ctx, "SELECT (SELECT count(*) FROM pgveil.erasure_steps), (SELECT count(*) FROM visits WHERE customer_id = $1)", subject).Scan(&steps, &left); err != nil {
			return err
		}
		fmt.Printf("\n%d steps, %d rows left\n", steps, left)
		if left > 0 {
			return errors.New("the subject's rows are there still")
		}
		return nil
	})
	return errors.Join(err, p.conn.Close(ctx), officer.Close(ctx))
}

// awaitEvent waits until something has happened to a request.
func awaitEvent(ctx context.Context, c *pgx.Conn, request int64, what string) error {
	for {
		var there bool
		var state, failure string
		err := c.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pgveil.request_events e WHERE e.request = r.id AND e.what = $2), state, failure FROM pgveil.requests r WHERE id = $1`,
			request, what).Scan(&there, &state, &failure)
		if there || err != nil {
			return err
		}
		if state == "failed" || state == "review" || state == "open" {
			return fmt.Errorf("request %d is %s: %s", request, state, failure)
		}
		if err := sleep(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
