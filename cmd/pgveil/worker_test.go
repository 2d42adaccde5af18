package main

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// worker starts "pgveil worker" in a process of its own.
func (o *office) worker(t *testing.T, args ...string) *running {
	t.Helper()
	return o.process(t, append([]string{"worker"}, args...)...)
}

// process starts pgveil in a process of its own.
func (o *office) process(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{exited: make(chan struct{}), cmd: exec.Command("pgveil", args...)}
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = o.dir, &r.output, &r.output
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.err = r.cmd.Wait()
		close(r.exited)
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // it may have ended
		<-r.exited
	})
	return r
}

// restrictions has a request for restriction run for each of some members.
func (o *office) restrictions(t *testing.T, members ...string) {
	t.Helper()
	for _, m := range members {
		o.put(t, "one.csv", "what,subject,key,verified_by,reason\nrestriction,member,"+m+",contact,contested\n")
		o.dsar(t, 0, "batch", "one.csv", "--run")
	}
}

var working = regexp.MustCompile(`msg="working on requests" workers=(\d+)`)

const inForce = "SELECT coalesce(string_agg(subject::text, ' ' ORDER BY subject), '') FROM pgveil.member_restrictions WHERE purpose = '' AND subject IN (1, 2, 3)"

// TestWorker kills a worker amid a request, ends another, and lets a third one do
// what is left.
func TestWorker(t *testing.T) {
	o := newOffice(t, "dsar: {workers: 0}\n")
	o.restrictions(t, "1", "2", "3")
	blocker := pgtest.Connect(t, o.server.DSN(o.database, pgserver.Superuser))
	lock := func() pgx.Tx {
		tx, err := blocker.Begin(t.Context())
		if err == nil {
			_, err = tx.Exec(t.Context(), "LOCK TABLE pgveil.member_restrictions")
		}
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	free := func(tx pgx.Tx) {
		if err := tx.Rollback(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	waiting := "SELECT count(*)::text FROM pg_locks WHERE NOT granted AND relation = 'pgveil.member_restrictions'::regclass"

	const states = "SELECT string_agg(state, ' ' ORDER BY id) FROM pgveil.requests"

	tx := lock()
	r := o.worker(t, "--workers", "2")
	o.until(t, waiting, "1") // the other one waits for this one
	o.until(t, states, "running running queued")
	if err := r.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-r.exited
	free(tx)
	o.until(t, waiting, "0")
	if got := o.one(t, states); got != "running running queued" {
		t.Errorf("after the kill: %s", got)
	}

	tx = lock()
	r = o.worker(t)
	o.until(t, waiting, "1")
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	free(tx)
	r.ended(t)

	got := o.pgveil(t, 0, "worker", "--once", "--workers", "2")
	if !strings.Contains(got, "left=0") {
		t.Errorf("the last worker says\n%s", got)
	}
	if got := o.one(t, states); got != "completed completed completed" {
		t.Errorf("at the end: %s", got)
	}
	if got := o.one(t, inForce); got != "1 2 3" {
		t.Errorf("in force for %s", got)
	}
	if got := o.one(t, "SELECT max(n)::text FROM (SELECT count(*) AS n FROM pgveil.request_events WHERE what = 'completed' GROUP BY request) AS c"); got != "1" {
		t.Errorf("one was completed %s times", got)
	}
	o.recorded(t)
	o.pgveil(t, 0, "audit", "verify", "--dir", "audit")
}

// TestWorkersBeside has several workers and a proxy, each with a log of its own,
// do each request once.
func TestWorkersBeside(t *testing.T) {
	o := newOffice(t, "overlap: true\ndsar: {workers: 2}\n")
	proxy := o.serve(t, "")
	worker := o.worker(t, "--workers", "3", "--admin", "127.0.0.1:0")
	worker.address(t, admin)
	worker.address(t, working)
	o.put(t, "many.csv", "what,subject,key,verified_by,reason\n"+strings.Repeat("restriction,member,1,contact,contested\nrestriction,member,2,contact,contested\n", 20))
	if got := o.dsar(t, 1, "batch", "many.csv", "--run"); !strings.Contains(got, "both of its chains") {
		t.Errorf("with both chains written: %s", got)
	}
	worker.stop(t)
	o.dsar(t, 0, "batch", "many.csv", "--run")
	worker = o.worker(t, "--workers", "3")
	worker.address(t, working)
	o.until(t, "SELECT count(*)::text FROM pgveil.requests WHERE state = 'completed'", "40")
	worker.stop(t)
	proxy.stop(t)
	if got := o.one(t, "SELECT count(*)::text FROM pgveil.request_events WHERE what IN ('runs', 'goes on', 'completed')"); got != "80" {
		t.Errorf("40 requests were taken and completed in %s events", got)
	}
	o.recorded(t)
}
