package retention_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/retention"
)

const (
	doomed      = 600
	victimBatch = 10
)

// victim is a process that runs retention and says when it has recorded a batch.
func victim(dsn string) {
	ctx := context.Background()
	err := func() error {
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return err
		}
		set, cat, err := compile(ctx, conn, threeYears)
		if err != nil {
			return err
		}
		_, err = retention.Run(ctx, conn, retention.Options{
			Set: set, Cat: cat, Key: testKey, By: "victim", Batch: victimBatch,
			Record: func(_ context.Context, b retention.Batch) error {
				_, err := fmt.Println("recorded", b.N)
				return err
			},
		})
		return err
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestKilled kills a run, in whatever it is doing, again and again: what it had
// committed is written down, what it had not is still there, and the next goes on.
func TestKilled(t *testing.T) {
	s := newSite(t, crm, threeYears)
	s.exec(t, "INSERT INTO crm.tickets SELECT g, 1, 'closed', now() - interval '4 years' FROM generate_series(1, $1::int) AS g", doomed)
	s.exec(t, "INSERT INTO crm.comments SELECT g, g FROM generate_series(1, $1::int) AS g", doomed)
	for n := 1; n <= 5; n++ {
		s.kill(t, 3*n)
		left := s.ids(t, "SELECT $1 - count(*) FROM crm.tickets", doomed)
		if got := s.ids(t, "SELECT coalesce(sum(rows), 0)::bigint FROM pgveil.retention_batches WHERE relation = 'crm.tickets'"); got != left {
			t.Errorf("%s rows are written down, %s are gone", got, left)
		}
		if got := s.ids(t, "SELECT count(*) FROM crm.comments AS c WHERE NOT EXISTS (SELECT FROM crm.tickets AS t WHERE t.id = c.ticket_id)"); got != "0" {
			t.Errorf("%s comments are left without a ticket", got)
		}
		if got := s.ids(t, "SELECT count(*) FROM (SELECT FROM pgveil.retention_batches GROUP BY run, batch HAVING count(*) <> 2) AS half"); got != "0" {
			t.Errorf("%s batches are half written", got)
		}
	}
	r, _ := s.run(t)
	if len(r.BrokenOff) != 1 || r.BrokenOff[0] != r.Run-1 {
		t.Errorf("of the killed runs it saw %v", r.BrokenOff)
	}
	if got := s.ids(t, "SELECT count(*) FROM crm.tickets") + s.ids(t, "SELECT sum(rows)::bigint FROM pgveil.retention_batches"); got != fmt.Sprint("0", 2*doomed) {
		t.Errorf("at the end there are %s left and written down", got)
	}
	if got := s.ids(t, "SELECT state FROM pgveil.retention_runs ORDER BY run"); got != "broken off broken off broken off broken off broken off done" {
		t.Errorf("the runs are %s", got)
	}
}

// kill starts a victim, and kills it when it has recorded some batches. It returns
// when the server has noticed.
func (s *site) kill(t *testing.T, after int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), envVictim+"="+s.dsn), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range after {
		if !lines.Scan() {
			t.Fatal("the victim ended by itself")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the victim ended well")
	}
	// The lock is free when the server has ended what the victim had begun.
	s.exec(t, "SELECT pg_advisory_lock(7366012, 1), pg_advisory_unlock(7366012, 1)")
}

// TestOneAtATime begins several runs at once.
func TestOneAtATime(t *testing.T) {
	s := newSite(t, crm, threeYears)
	s.exec(t, "INSERT INTO crm.tickets SELECT g, 1, 'closed', now() - interval '4 years' FROM generate_series(1, 400) AS g")
	type end struct {
		r   retention.Result
		err error
	}
	ends, start := make(chan end), make(chan struct{})
	const runs = 4
	for range runs {
		conn := pgtest.Connect(t, s.dsn)
		var recorded []retention.Batch
		o := s.options(&recorded)
		go func() {
			<-start
			r, err := retention.Run(t.Context(), conn, o)
			ends <- end{r, err}
		}()
	}
	close(start)
	var rows int64
	for range runs {
		e := <-ends
		if e.err != nil && !errors.Is(e.err, retention.ErrRunning) {
			t.Error(e.err)
		}
		rows += e.r.Rows()
	}
	if got := s.ids(t, "SELECT sum(rows)::bigint FROM pgveil.retention_batches"); rows != 400 || got != "400" {
		t.Errorf("together they took %d, and wrote down %s", rows, got)
	}
}

// TestStops ends the context in the middle: the batch at work is finished, and the
// run says that it was stopped.
func TestStops(t *testing.T) {
	s := newSite(t, crm+old, threeYears)
	ctx, stop := context.WithCancel(t.Context())
	var recorded []retention.Batch
	o := s.options(&recorded)
	record := o.Record
	o.Record = func(c context.Context, b retention.Batch) error {
		stop()
		return record(c, b)
	}
	r, err := retention.Run(ctx, pgtest.Connect(t, s.dsn), o)
	if !errors.Is(err, context.Canceled) || r.State != retention.Stopped {
		t.Errorf("%v, %+v", err, r)
	}
	if got := s.ids(t, "SELECT count(*) FROM crm.tickets") + s.ids(t, "SELECT state FROM pgveil.retention_runs"); got != "7stopped" {
		t.Errorf("left and state: %s", got)
	}
	s.run(t)
	if got := s.ids(t, "SELECT count(*) FROM crm.tickets"); got != "4" {
		t.Errorf("the next run left %s", got)
	}
}

// TestStopsAmidAPlan ends the context while the rows are being counted: the server
// stops counting, and the run says that it was stopped.
func TestStopsAmidAPlan(t *testing.T) {
	s := newSite(t, crm+old, strings.Replace(threeYears, "because:", `where: "pg_catalog.pg_sleep(id::double precision * 1000) IS NOT NULL", because:`, 1))
	ctx, stop := context.WithCancel(t.Context())
	conn := pgtest.Connect(t, s.dsn)
	var recorded []retention.Batch
	done := make(chan error)
	go func() {
		r, err := retention.Run(ctx, conn, s.options(&recorded))
		if r.State != retention.Stopped {
			err = fmt.Errorf("%+v: %w", r, err)
		}
		done <- err
	}()
	for s.ids(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'") != "1" {
		select {
		case err := <-done:
			t.Fatal(err)
		default:
		}
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := s.ids(t, "SELECT state FROM pgveil.retention_runs"); got != "stopped" {
		t.Errorf("the run is %s", got)
	}
}

// TestScheduled has runs that ended in every way: those that had not done all are to
// be done again.
func TestScheduled(t *testing.T) {
	s := newSite(t, crm, threeYears)
	for _, tt := range []struct{ runs, last string }{
		{"", "none"},
		{"('done', 1)", "1"},
		{"('failed', 1), ('stopped', 0)", "1"},
		{"('done', 2), ('broken off', 1), ('running', 0)", "2"}, // nobody has the lock: it is not running
		{"('stopped', 3)", "4"},
	} {
		s.exec(t, "TRUNCATE pgveil.retention_runs CASCADE")
		if tt.runs != "" {
			s.exec(t, `INSERT INTO pgveil.retention_runs (state, asked_by, scheduled, generation, began_at, ended_at)
				SELECT s, 'tester', true, '', now() - d * interval '1 day', CASE WHEN s <> 'running' THEN now() END FROM (VALUES `+tt.runs+`) AS r (s, d)`)
		}
		now, last, err := retention.Scheduled(t.Context(), s.conn)
		got := "none"
		if !last.IsZero() {
			got = fmt.Sprint(int(now.Sub(last).Round(time.Hour) / (24 * time.Hour)))
		}
		if err != nil || got != tt.last {
			t.Errorf("%s: the last began %s days ago, want %s; %v", tt.runs, got, tt.last, err)
		}
	}
	if err := s.lockedRun(t); err != nil {
		t.Error(err)
	}
}

// lockedRun makes sure that a run which is under way counts.
func (s *site) lockedRun(t *testing.T) error {
	s.exec(t, `TRUNCATE pgveil.retention_runs CASCADE;
		INSERT INTO pgveil.retention_runs (state, asked_by, scheduled, generation) VALUES ('running', 'tester', true, '');
		SELECT pg_advisory_lock(7366012, 1)`)
	now, last, err := retention.Scheduled(t.Context(), pgtest.Connect(t, s.dsn))
	if err == nil && now.Sub(last) > time.Minute {
		err = fmt.Errorf("one that is under way began %s ago", now.Sub(last))
	}
	return err
}

// TestUnderLoad has others who write and hold rows while a run is under way: nobody
// gets an error that they would not have had, and what is held stays.
func TestUnderLoad(t *testing.T) {
	s := newSite(t, crm, threeYears)
	s.exec(t, "INSERT INTO crm.tickets SELECT g, 1 + g % 9, 'closed', now() - interval '4 years' FROM generate_series(1, 900) AS g")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	writer, holder := pgtest.Connect(t, s.dsn), pgtest.Connect(t, s.dsn)
	written, held := make(chan error, 1), make(chan error, 1)
	var kept int64
	write := func() error {
		for i := range 100 {
			_, err := writer.Exec(ctx, `INSERT INTO crm.comments SELECT $1, id FROM crm.tickets ORDER BY id DESC LIMIT 1`, i)
			if err != nil && !isForeignKey(err) { // the ticket went meanwhile
				return err
			}
		}
		return nil
	}
	hold := func() error {
		if _, err := holder.Exec(ctx, "INSERT INTO pgveil.holds (kind, key, relation, matter, made_by, ends_at) VALUES ('customer', '3', '', 'case', 'olga', 'infinity')"); err != nil {
			return err
		}
		return holder.QueryRow(ctx, "SELECT count(*) FROM crm.tickets WHERE customer_id = 3").Scan(&kept)
	}
	var recorded []retention.Batch
	o := s.options(&recorded)
	o.Batch, o.LockWait = 20, 2*time.Second
	o.Progress = func(b retention.Batch, _ int64) {
		switch b.N {
		case 2:
			go func() { written <- write() }()
		case 5:
			go func() { held <- hold() }()
		}
	}
	if _, err := retention.Run(ctx, pgtest.Connect(t, s.dsn), o); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-written, <-held); err != nil {
		t.Fatal(err)
	}
	if got := s.ids(t, "SELECT count(*) FROM crm.tickets WHERE customer_id = 3"); got != fmt.Sprint(kept) || kept == 0 {
		t.Errorf("of %d rows that were held, %s are there", kept, got)
	}
	if got := s.ids(t, "SELECT count(*) FROM crm.tickets WHERE customer_id <> 3"); got != "0" {
		t.Errorf("%s rows that nobody held are left", got)
	}
}

func isForeignKey(err error) bool {
	var said interface{ SQLState() string }
	return errors.As(err, &said) && said.SQLState() == "23503"
}
