package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pgveil/pgveil/audit"
)

// auditDay is the log that these tests read: a day with a login, a masked and
// a refused statement, a failed one, and one that has not ended.
func auditDay(t *testing.T) (string, *audit.Log) {
	t.Helper()
	dir := t.TempDir()
	now := time.Date(2026, 11, 22, 9, 29, 58, 5e8, time.UTC) // Open looks once
	log, err := audit.Open(dir, audit.Options{SegmentSize: 1, Now: func() time.Time {
		now = now.Add(1500 * time.Millisecond)
		return now
	}})
	if err != nil {
		t.Fatal(err)
	}
	alice := audit.Record{Kind: audit.KindStatement, Login: "crm_app", User: "alice", Roles: []string{"support_agent"}, Purpose: "support", Session: "s1"}
	masked := alice
	masked.Command, masked.Decision = "SELECT", "mask"
	masked.Columns = []audit.Column{
		{Name: "crm.customers.first_name", Class: "name", Show: "clear", Use: "read"},
		{Name: "crm.customers.card", Class: "card", Show: "last(4)", Use: "read"},
		{Name: "crm.tickets.body", Class: "free_text", Show: "clear", Use: "write"},
	}
	refused := alice
	refused.Command, refused.Decision, refused.SQLState, refused.ID = "SELECT", "refuse", "42501", "7QX4M2KD"
	refused.Columns = []audit.Column{{Name: "crm.customers.ssn", Class: "national_id", Show: "refuse", Use: "read"}}
	refused.Reasons = []string{"policy/crm.yaml:42"}
	for _, r := range []audit.Record{
		{Kind: audit.KindSession, Login: "crm_app", User: "crm_app", Message: "login from 10.0.3.17\x1b[2J"},
		masked,
		refused,
		{Kind: audit.KindOutcome, Ref: 1, Rows: 42, Tag: "SELECT 42", Duration: 3256 * time.Microsecond, Subjects: []string{"a1b2"}},
		{Kind: audit.KindStatement, Login: "bob", User: "bob", Roles: []string{"analyst", "dba"}, Command: "INSERT", Decision: "allow", Shape: "INSERT INTO  log\n VALUES ($1)"},
		{Kind: audit.KindOutcome, Ref: 4, SQLState: "23505", Duration: 2 * time.Second},
		{Kind: audit.KindStatement, Login: "bob", User: "bob", Roles: []string{"analyst"}, Command: "SELECT", Decision: "allow", Shape: "SELECT pg_sleep($1)"},
	} {
		if _, err := log.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	return dir, log
}

const auditDayTable = `
TIME (UTC)               USER               ROLES          PURPOSE  DECISION  COMMAND  ROWS   TOOK  COLUMNS, OR WHAT HAPPENED
2026-11-22 09:30:01.500  crm_app            -              -        session   -           -      -  login from 10.0.3.17·[2J
2026-11-22 09:30:03.000  alice via crm_app  support_agent  support  mask      SELECT     42  3.3ms  crm.customers(first_name clear, card last(4)) crm.tickets(body written)
2026-11-22 09:30:04.500  alice via crm_app  support_agent  support  refuse    SELECT      -      -  crm.customers(ssn refuse); refused policy/crm.yaml:42 id 7QX4M2KD; error 42501
2026-11-22 09:30:07.500  bob                analyst,dba    -        allow     INSERT      0     2s  INSERT INTO log VALUES ($1); error 23505
2026-11-22 09:30:10.500  bob                analyst        -        allow     SELECT      -      -  SELECT pg_sleep($1); no outcome yet
`

// auditRun calls the command as main does.
func auditRun(t *testing.T, status int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	if got := runAudit(t.Context(), args, &out, &errs); got != status {
		t.Fatalf("pgveil audit %s: exit status %d, want %d\n%s%s", strings.Join(args, " "), got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

func TestAuditTable(t *testing.T) {
	dir, log := auditDay(t)
	defer log.Close()
	for _, verb := range []string{"query", "tail"} {
		got, _ := auditRun(t, 0, verb, "--dir", dir)
		if diff := cmp.Diff(auditDayTable[1:], got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", verb, diff)
		}
	}
}

func TestAuditFilters(t *testing.T) {
	dir, log := auditDay(t)
	defer log.Close()
	for _, tt := range []struct {
		args string
		want string // the seqs
	}{
		{"", "0 1 2 4 6"},
		{"--user alice", "1 2"},
		{"--login bob", "4 6"},
		{"--role dba", "4"},
		{"--decision refuse", "2"},
		{"--kind session", "0"},
		{"--kind statement --command insert", "4"},
		{"--class card", "1"},
		{"--column crm.customers.*", "1 2"},
		{"--column crm.*.body", "1"},
		{"--class card --column crm.tickets.body", ""},
		{"--purpose support --session s1 --id 7QX4M2KD", "2"},
		{"--subject a1b2", "1"},
		{"--since 2026-11-22T09:30:04Z", "2 4 6"},
		{"--since 2026-11-22T10:30:04+01:00 --until 2026-11-22T09:30:10Z", "2 4"},
		{"--until 2026-11-22", ""},
		{"-n 2", "0 1"},
	} {
		out, _ := auditRun(t, 0, append([]string{"query", "--json", "--dir", dir}, strings.Fields(tt.args)...)...)
		var seqs []string
		for d := json.NewDecoder(strings.NewReader(out)); ; {
			var e audit.Entry
			if err := d.Decode(&e); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if e.Seq == 1 && (e.Outcome == nil || e.Outcome.Rows != 42) {
				t.Errorf("%s: statement 1 has outcome %+v", tt.args, e.Outcome)
			}
			seqs = append(seqs, fmt.Sprint(e.Seq))
		}
		if got := strings.Join(seqs, " "); got != tt.want {
			t.Errorf("query %s gives %q, want %q", tt.args, got, tt.want)
		}
	}
	if out, _ := auditRun(t, 0, "tail", "-n", "1", "--user", "alice", "--dir", dir); !strings.Contains(out, "7QX4M2KD") || strings.Count(out, "\n") != 2 {
		t.Errorf("tail of one entry:\n%s", out)
	}
}

func TestAuditVerify(t *testing.T) {
	dir, log := auditDay(t)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	head, _ := auditRun(t, 0, "head", "--dir", dir)
	head = strings.TrimSpace(head)
	if out, _ := auditRun(t, 0, "verify", "--dir", dir, "--head", head); !strings.HasPrefix(out, "good: 7 records in 1 segments") || !strings.Contains(out, head) {
		t.Errorf("verify:\n%s", out)
	}
	longer := "8" + head[1:]
	if _, errs := auditRun(t, 1, "verify", "--dir", dir, "--head", longer); !strings.Contains(errs, "1 are cut off") {
		t.Errorf("verify of a cut log:\n%s", errs)
	}
	path := filepath.Join(dir, "00000000000000000000.seg")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(data, []byte("alice"), []byte("mally"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs := auditRun(t, 1, "verify", "--dir", dir)
	for _, want := range []string{"THE LOG IS NOT GOOD", "00000000000000000000.seg at byte 2", "record 1:", "good before that: 1 records"} {
		if !strings.Contains(errs, want) {
			t.Errorf("verify does not say %q:\n%s", want, errs)
		}
	}
}

func TestAuditUsage(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string
	}{
		{"", "Usage: pgveil audit <verb>"},
		{"show", "pgveil audit --help"},
		{"query --usr alice", "there are --class, --column"},
		{"query --decision deny", "one of allow, mask, refuse, unrestricted, observe"},
		{"query --kind outcome", "one of statement, session, privacy, system"},
		{"query --since yesterday", "how long ago, like 90m, 24h or 7d"},
		{"query --since -5h", "how long ago"},
		{"query --column [", "column pattern"},
		{"query -n 0", "a number above zero"},
		{"query --follow", "not defined"},
		{"verify --head 12", "count:hash"},
		{"tail alice", `"alice" is not a flag`},
	} {
		if _, errs := auditRun(t, 2, strings.Fields(tt.args)...); !strings.Contains(errs, tt.want) {
			t.Errorf("pgveil audit %s says %q, want %q", tt.args, errs, tt.want)
		}
	}
	for _, args := range []string{"--help", "query --help", "tail -h", "verify --help", "head --help"} {
		if out, _ := auditRun(t, 0, strings.Fields(args)...); !strings.Contains(out, "Usage: pgveil audit") {
			t.Errorf("pgveil audit %s:\n%s", args, out)
		}
	}
	if _, errs := auditRun(t, 1, "tail", "--dir", t.TempDir()); !strings.Contains(errs, "there is no audit log in this directory") {
		t.Errorf("tail of nothing: %s", errs)
	}
}

// TestAuditFollow starts to follow, and then lets a statement begin and an
// older one end.
func TestAuditFollow(t *testing.T) {
	dir, log := auditDay(t)
	defer log.Close()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan int)
	go func() {
		var errs strings.Builder
		done <- runAudit(ctx, []string{"tail", "-f", "-n", "1", "--json", "--login", "bob", "--dir", dir}, in, &errs)
		in.Close()
	}()
	d := json.NewDecoder(out)
	expect := func(seq uint64, ended bool) {
		t.Helper()
		for {
			var e audit.Entry
			if err := d.Decode(&e); err != nil || e.Seq != seq {
				t.Fatalf("got %+v, %v; want record %d, ended %v", e, err, seq, ended)
			}
			if !ended || e.Outcome != nil {
				return // a statement may first be shown without its outcome
			}
		}
	}
	expect(6, false)
	for _, r := range []audit.Record{
		{Kind: audit.KindStatement, Login: "carol", Command: "SELECT"},
		{Kind: audit.KindStatement, Login: "bob", Command: "DELETE"},
		{Kind: audit.KindOutcome, Ref: 6, Rows: 1},
		{Kind: audit.KindOutcome, Ref: 8, Rows: 3},
	} {
		if _, err := log.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	expect(6, true)
	expect(8, true)
	cancel()
	if status := <-done; status != 0 {
		t.Errorf("exit status %d after an interrupt", status)
	}
}
