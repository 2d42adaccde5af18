package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/report"
	"github.com/pgveil/pgveil/retention"
)

const shopRetention = `version: 1
retention:
  - {on: public.tickets, keep: 3y, after: closed_at, then: delete, because: no claim is possible any more}
`

// retentionSite is a shop with tickets that are long over.
func retentionSite(t *testing.T, more string) (*site, *pgx.Conn) {
	t.Helper()
	server, database := pgtest.Server(t), pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, server.DSN(database, pgserver.Superuser))
	s := retentionAt(t, server, database, more)
	s.verb(t, 0, "schema", "--apply")
	overdue(t, admin, 100)
	return s, admin
}

// retentionAt makes a site on a database, whose policy has a rule.
func retentionAt(t *testing.T, server *pgserver.Server, database, more string) *site {
	t.Helper()
	s := newSite(t, server, database, "127.0.0.1:0", more)
	path := filepath.Join(s.dir, "pgveil.yaml")
	policy := filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml")
	for _, f := range []struct{ from, to string }{{policy, "policy/shop.yaml"}, {path, "pgveil.yaml"}, {"", "policy/retention.yaml"}} {
		text := shopRetention
		if f.from != "" {
			read, err := os.ReadFile(f.from)
			if err != nil {
				t.Fatal(err)
			}
			text = strings.Replace(string(read), "policy: "+policy, "policy: policy", 1)
		}
		to := filepath.Join(s.dir, f.to)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func overdue(t *testing.T, admin *pgx.Conn, n int) {
	t.Helper()
	_, err := admin.Exec(t.Context(), `INSERT INTO tickets (customer_id, region, subject, body, opened_at, closed_at)
		SELECT 1, 'EU', 'old', 'old', now() - interval '5 years', now() - interval '4 years' FROM generate_series(1, $1::int)`, n)
	if err != nil {
		t.Fatal(err)
	}
}

func leftOver(t *testing.T, admin *pgx.Conn) (n int) {
	t.Helper()
	if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM tickets WHERE subject = 'old'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// batchesIn gives the rows that the access log says batches took, of both chains.
func (s *site) batchesIn(t *testing.T) (rows int64) {
	t.Helper()
	for _, dir := range []string{s.log(), filepath.Join(s.log(), besideDir)} {
		if !isDir(dir) {
			continue
		}
		for r, err := range audit.Read(dir, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(r.Shape, "batch ") && r.Event != "" && r.Relation == "public.tickets" {
				rows += r.Rows
			}
		}
	}
	return rows
}

func TestRetentionVerbs(t *testing.T) {
	s, admin := retentionSite(t, "")
	var plan retention.Plan
	if err := json.Unmarshal([]byte(s.verb(t, 0, "retention", "plan", "--json")), &plan); err != nil || plan.Rules[0].Due < 100 {
		t.Fatalf("%v, %+v", err, plan)
	}
	due := plan.Rules[0].Due
	if said := s.verb(t, 0, "retention", "run", "--dry-run"); !strings.Contains(said, "public.tickets (closed_at) has no index") {
		t.Errorf("the plan does not warn:\n%s", said)
	}
	if n := leftOver(t, admin); n != 100 {
		t.Fatalf("after the plan %d are left", n)
	}
	said := s.verb(t, 0, "retention", "run", "--batch", "30", "--pause", "0")
	if n := leftOver(t, admin); n != 0 || !strings.Contains(said, fmt.Sprintf("run 1: done, %d rows", due)) {
		t.Errorf("%d are left after\n%s", n, said)
	}
	if rows := s.batchesIn(t); rows != due {
		t.Errorf("the access log has batches of %d rows, want %d", rows, due)
	}
	auditRun(t, 0, "verify", "--dir", s.log(), "--key", filepath.Join(s.dir, "audit.key.pub"))

	// Where a process serves, the records go into the chain that it does not write.
	r := s.serve(t, "")
	overdue(t, admin, 7)
	s.verb(t, 0, "retention", "run")
	if rows := s.batchesIn(t); rows != due+7 || leftOver(t, admin) != 0 {
		t.Errorf("beside a process that serves, the access log has batches of %d rows, want %d", rows, due+7)
	}
	r.stop(t)

	overdue(t, admin, 3)
	if _, err := admin.Exec(t.Context(), "INSERT INTO pgveil.holds (kind, key, relation, matter, made_by, ends_at) VALUES ('customer', '1', '', 'case 7', 'olga', 'infinity')"); err != nil {
		t.Fatal(err)
	}
	s.verb(t, 0, "retention", "run")
	if n := leftOver(t, admin); n != 3 {
		t.Errorf("of what is held %d are left", n)
	}
	var made report.Retention
	if err := json.Unmarshal([]byte(s.verb(t, 0, "retention", "report", "--format", "json")), &made); err != nil {
		t.Fatal(err)
	}
	if p := made.Plan.Rules[0]; p.Held != 3 || len(made.Runs) != 3 || len(made.Unruled) == 0 || len(made.Unused) == 0 {
		t.Errorf("the report is %+v", made)
	}
	s.verb(t, 0, "retention", "report", "--out", s.dir)
	pages, err := filepath.Glob(filepath.Join(s.dir, "retention-*.html"))
	if err != nil || len(pages) != 1 {
		t.Errorf("pages: %v, %v", pages, err)
	}
}

// TestRetentionScheduled has two processes in front of one database: one of them
// makes up for a run that was missed.
func TestRetentionScheduled(t *testing.T) {
	const schedule = "retention_schedule: {at: \"03:00\", every: 24h, batch: 30, pause: 1ms}\n"
	s, admin := retentionSite(t, schedule)
	other := retentionAt(t, s.server, s.database, schedule)
	missed := `INSERT INTO pgveil.retention_runs (state, asked_by, scheduled, generation, began_at, ended_at) VALUES ('done', 'schedule', true, '', now() - interval '2 days', now())`
	if _, err := admin.Exec(t.Context(), missed); err != nil {
		t.Fatal(err)
	}
	one, two := s.serve(t, ""), other.serve(t, "")
	await(t, "what is due is gone", func() bool { return leftOver(t, admin) == 0 })
	await(t, "a process says so", func() bool {
		return strings.Contains(one.output.String()+two.output.String(), "msg=retention run=2 state=done rows=")
	})
	var runs int
	if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM pgveil.retention_runs").Scan(&runs); err != nil || runs != 2 {
		t.Errorf("%d runs, %v", runs, err)
	}
	ran := one
	if !strings.Contains(one.output.String(), "msg=retention run=2") {
		ran = two
	}
	metric := ran.metrics(t)
	if took := metric(`pgveil_retention_rows_total{rule="public.tickets: delete 3y after closed_at"}`); took < 100 || metric("pgveil_retention_last_success_timestamp_seconds") == 0 {
		t.Errorf("metrics say that %v rows went", took)
	}
}

// TestRetentionFails has a run that cannot carry its rule out: people are told.
func TestRetentionFails(t *testing.T) {
	s, admin := retentionSite(t, "retention_schedule:\n")
	for _, sql := range []string{
		"CREATE RULE kept AS ON DELETE TO tickets DO INSTEAD NOTHING",
		`INSERT INTO pgveil.retention_runs (state, asked_by, scheduled, generation, began_at, ended_at) VALUES ('done', 'schedule', true, '', now() - interval '2 days', now())`,
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	r := s.serve(t, "")
	r.awaits(t, "alert=retention_run_failed severity=warning", func() {})
	if n := leftOver(t, admin); n != 100 {
		t.Errorf("%d are left", n)
	}
	if said := s.verb(t, 1, "retention", "plan"); !strings.Contains(said, "REFUSED: tickets has the rule kept") && !strings.Contains(said, "has the rule kept") {
		t.Errorf("the plan says:\n%s", said)
	}
}

// TestRetentionKilled kills a run: the log is whole, has every batch that was
// committed, and the next run says that it was broken off.
func TestRetentionKilled(t *testing.T) {
	s, admin := retentionSite(t, "")
	cmd := exec.Command("pgveil", "retention", "run", "--batch", "5", "--pause", "20ms")
	cmd.Dir = s.dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "some rows are gone", func() bool { return leftOver(t, admin) < 90 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("it ended before it was killed")
	}
	if _, err := admin.Exec(t.Context(), "SELECT pg_advisory_lock(7366012, 1), pg_advisory_unlock(7366012, 1)"); err != nil {
		t.Fatal(err)
	}
	if leftOver(t, admin) == 0 {
		t.Fatal("nothing was left for the next run")
	}
	var result retention.Result
	said := s.verb(t, 0, "retention", "run", "--json")
	if err := json.Unmarshal([]byte(said[strings.IndexByte(said, '{'):]), &result); err != nil { // behind what is said of progress
		t.Fatal(err)
	}
	if len(result.BrokenOff) != 1 || leftOver(t, admin) != 0 {
		t.Errorf("the next run: %+v", result)
	}
	var written int64
	if err := admin.QueryRow(t.Context(), "SELECT sum(rows)::bigint FROM pgveil.retention_batches").Scan(&written); err != nil {
		t.Fatal(err)
	}
	// A batch that was recorded and not committed is in the log, and in it again.
	if rows := s.batchesIn(t); rows < written || rows > written+5 {
		t.Errorf("the access log has batches of %d rows, %d went", rows, written)
	}
	auditRun(t, 0, "verify", "--dir", s.log(), "--key", filepath.Join(s.dir, "audit.key.pub"))
}
