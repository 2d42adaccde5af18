package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/report"
	"github.com/pgveil/pgveil/state"
)

// The tokens of two customers, as the log of TestAuditIdentify has them.
const (
	token1 = "AAAAAAAAAAAAAAAAAAAAAA"
	token2 = "AAAAAAAAAAAAAAAAAAAAAQ"
)

func breachArgs(dir string, more ...string) []string {
	return append([]string{"breach", "--dir", dir, "--user", "alice", "--from", "2026-11-22", "--to", "2026-11-23"}, more...)
}

func readBreach(t *testing.T, text string) (b report.Breach) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAuditBreach(t *testing.T) {
	dir, log := auditDay(t)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	out, _ := auditRun(t, 0, breachArgs(dir, "--format", "json", "--aware", "2026-11-22")...)
	b := readBreach(t, out)
	if b.Rows != 42 || b.Refused != 1 || b.Statements.Ended != 1 || b.Clocks.Assumed || len(b.Evidence) != 1 || !b.Evidence[0].Verified || b.Evidence[0].Records != 7 {
		t.Errorf("the report is %s", out)
	}
	head, _ := auditRun(t, 0, "head", "--dir", dir)
	if !strings.HasSuffix(strings.TrimSpace(head), b.Evidence[0].Chain) {
		t.Errorf("the head is %s, the report's chain %s", head, b.Evidence[0].Chain)
	}
	folder := t.TempDir()
	_, said := auditRun(t, 0, breachArgs(dir, "--out", folder)...)
	if files, err := filepath.Glob(folder + "/breach-*"); err != nil || len(files) != 3 || strings.Count(said, "wrote ") != 3 {
		t.Errorf("wrote %v: %v\n%s", files, err, said)
	}
	one := filepath.Join(folder, "one.html")
	auditRun(t, 0, breachArgs(dir, "--out", one)...)
	if _, said := auditRun(t, 1, breachArgs(dir, "--out", one)...); !strings.Contains(said, "exists") {
		t.Errorf("a report that exists is written over: %s", said)
	}
	if info, err := os.Stat(one); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the report's file is %v: %v", info.Mode(), err)
	}
	for _, bad := range [][]string{
		{"breach", "--dir", dir, "--from", "1d"}, {"breach", "--dir", dir, "--user", "alice"}, breachArgs(dir, "--identify"), breachArgs(dir, "--out", "x.pdf"),
		breachArgs(dir, "--aware", "2999-01-01"), breachArgs(dir, "--format", "csv"),
	} {
		auditRun(t, 2, bad...)
	}
	for _, bad := range [][]string{breachArgs(dir, "--regime", "atlantis"), breachArgs(dir, "--zone", "Mars/Olympus"), breachArgs(dir, "--regimes", "nowhere"), breachArgs(dir, "--organisation", "nowhere")} {
		auditRun(t, 1, bad...)
	}
}

// A log that is not good is said to be so, and what stands before is reported.
func TestAuditBreachOfDamagedLog(t *testing.T) {
	dir, log := auditDay(t)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "00000000000000000000.seg")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(text), `"user":"bob"`)
	text[at+8] = 'r'
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, said := auditRun(t, 1, breachArgs(dir, "--format", "json")...)
	b := readBreach(t, out)
	if e := b.Evidence[0]; e.Verified || !strings.Contains(e.Result, "NOT GOOD") || e.Records != 4 || b.Rows != 42 || !strings.Contains(said, "NOT GOOD") {
		t.Errorf("%s\n%s", said, out)
	}
}

// Signed checkpoints are looked at where there is a key.
func TestAuditBreachSigned(t *testing.T) {
	log, dir, pub := signedLog(t, nil)
	appendLogins(t, log, 100)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	out, _ := auditRun(t, 0, "breach", "--dir", dir, "--everyone", "--from", "2020-01-01", "--format", "json", "--key", pub)
	if e := readBreach(t, out).Evidence[0]; !e.Verified || e.Signed != 101 || !strings.Contains(e.Signer, "given with --key") || e.Checkpoint == "" {
		t.Errorf("evidence %+v", e)
	}
	_, other, otherPub := signedLog(t, nil)
	if out, _ := auditRun(t, 1, "breach", "--dir", dir, "--everyone", "--from", "2020-01-01", "--format", "json", "--key", otherPub); readBreach(t, out).Evidence[0].Verified {
		t.Errorf("the key of %s is taken for the log's: %s", other, out)
	}
}

// Tokens are resolved when that is asked for, and the server's log says so.
func TestAuditIdentify(t *testing.T) {
	server := pgtest.Server(t)
	dsn := server.DSN(pgtest.Database(t, ""), pgserver.Superuser)
	conn := pgtest.Connect(t, dsn)
	if _, err := conn.Exec(t.Context(), state.Schema()); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `INSERT INTO pgveil.subjects (kind, key, token) VALUES ('customer', '=42', $1), ('employee', '7', $2)`, token1, token2); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log, err := audit.Open(dir, audit.Options{Now: func() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []audit.Record{
		{Kind: audit.KindStatement, Login: "alice", User: "alice", Command: "SELECT", Decision: "allow", Kinds: []string{"customer"}, Columns: []audit.Column{{Name: "c.n", Class: "name", Show: "clear", Use: "read"}}},
		{Kind: audit.KindOutcome, Ref: 0, Rows: 2, Bytes: 20, Tag: "SELECT 2", Subjects: []string{"customer:" + token1, "customer:" + token2}},
	} {
		if _, err := log.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "subjects.csv")
	out, _ := auditRun(t, 0, breachArgs(dir, "--format", "json", "--identify", "--dsn", dsn, "--subjects", list)...)
	b := readBreach(t, out)
	if b.Identify == nil || b.Identify.Resolved != 1 || b.Identify.Unknown != 1 || len(b.Subjects) != 2 || b.Subjects[0].Key != "=42" || b.Subjects[1].Key != "" {
		t.Errorf("identified %+v, subjects %+v", b.Identify, b.Subjects)
	}
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(rows) != 3 || rows[1][2] != "'=42" || rows[1][5] != "name" {
		t.Errorf("the list is %v: %v", rows, err)
	}
	said, err := os.ReadFile(server.LogFile())
	if err != nil || !strings.Contains(string(said), "resolves tokens of 2 data subjects of the access log to keys (report on user alice)") {
		t.Errorf("the server's log does not say it (%v):\n%s", err, said)
	}
	t.Run("not where it is not written down", func(t *testing.T) { refusedIdentity(t, dir, server, conn) })
}

// refusedIdentity asks as somebody who may not have the server write it down.
func refusedIdentity(t *testing.T, dir string, server *pgserver.Server, conn *pgx.Conn) {
	if _, err := conn.Exec(t.Context(), `REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC; DROP ROLE IF EXISTS silent; CREATE ROLE silent LOGIN PASSWORD 'silent-password';
		GRANT USAGE ON SCHEMA pgveil TO silent; GRANT SELECT ON pgveil.subjects TO silent`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := conn.Exec(context.Background(), `DROP OWNED BY silent; DROP ROLE silent`); err != nil {
			t.Error(err)
		}
	})
	dsn := server.HostDSN(conn.Config().Database, "silent", "silent-password")
	out, said := auditRun(t, 1, breachArgs(dir, "--format", "json", "--identify", "--dsn", dsn)...)
	if out != "" || !strings.Contains(said, "nobody is identified") {
		t.Errorf("%s\n%s", said, out)
	}
}

// reviewArgs asks for a review of the log and policy of TestAuditUnused.
func reviewArgs(t *testing.T, more ...string) []string {
	args := unusedArgs(t, more...)
	args[0] = "review"
	return args
}

// TestAuditReviewKept makes reviews, signs them off, and finds what was done to
// them since.
func TestAuditReviewKept(t *testing.T) {
	log, _, pub := signedLog(t, nil)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	made := func(name string) string {
		path := filepath.Join(dir, name)
		auditRun(t, 0, reviewArgs(t, "--state", dir, "--out", path)...)
		return path
	}
	sign := func(path string, more ...string) []string {
		return append([]string{"review", "--sign-off", "Dora Privacy", "--review", path, "--signing-key", strings.TrimSuffix(pub, ".pub")}, more...)
	}
	var files []string
	for _, name := range []string{"review-1.json", "review-2.json", "review-3.json"} {
		path := made(name)
		auditRun(t, 0, sign(path, "--note", "ticket 4711")...)
		files = append(files, path)
	}
	var second report.Review
	text, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &second); err != nil {
		t.Fatal(err)
	}
	if b := second.Before; b == nil || b.File != "review-1.json" || b.Reviewer != "Dora Privacy" || len(second.Changes) != 0 {
		t.Errorf("the second review is held to %+v: %v", b, second.Changes)
	}
	out, _ := auditRun(t, 0, "review", "--check", dir, "--key", pub)
	if strings.Count(out, "good: ") != 3 || strings.Count(out, "signed by crm.example/audit/review+") != 3 {
		t.Errorf("the check says %s", out)
	}
	if _, said := auditRun(t, 1, sign(files[0])...); !strings.Contains(said, "make a new one") {
		t.Errorf("a review is signed off behind another: %s", said)
	}
	for _, tt := range []struct {
		name, file string
		to         func([]byte) []byte // nil removes it
		want       string
	}{
		{"a review was changed", "review-2.json", func(b []byte) []byte { return append(slices.Clone(b), ' ') }, "is not as it was signed off"},
		{"a review is missing", "review-1.json", nil, "is missing"},
		{"a sign-off is missing", "review-2.json.signoff", nil, "follows a sign-off that is not there"},
		{"a sign-off says otherwise", "review-3.json.signoff", func(b []byte) []byte { return []byte(strings.Replace(string(b), "4711", "4712", 1)) }, "not as it was signed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(copied, tt.file)
			text, err := os.ReadFile(path)
			if err == nil {
				err = os.Remove(path)
			}
			if err == nil && tt.to != nil {
				err = os.WriteFile(path, tt.to(text), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, said := auditRun(t, 1, "review", "--check", copied, "--key", pub); !strings.Contains(said, tt.want) {
				t.Errorf("the check says %s, want %q", said, tt.want)
			}
		})
	}
}

func TestAuditReviewForms(t *testing.T) {
	out, _ := auditRun(t, 0, reviewArgs(t, "--format", "csv")...)
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 9 || rows[1][0] != "alice" {
		t.Errorf("the rights are %v: %v", rows, err)
	}
	args := unusedArgs(t)
	args[0] = "ropa"
	if out, _ := auditRun(t, 0, args...); !strings.Contains(out, "# Record of processing activities") || !strings.Contains(out, "| purpose declared, never observed | sales |") {
		t.Errorf("the record of processing is\n%s", out)
	}
}

// What was retired is not in a report, and the report says so.
func TestAuditBreachOfRetiredLog(t *testing.T) {
	log, dir, pub := signedLog(t, nil)
	now := time.Now()
	for i := range 1000 {
		r := audit.Record{Kind: audit.KindSession, User: "alice", Time: now.AddDate(0, 0, i-1000), Message: strings.Repeat("x", 300)}
		if _, err := log.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	retiring(t, dir, strings.TrimSuffix(pub, ".pub"))
	out, _ := auditRun(t, 0, "breach", "--dir", dir, "--everyone", "--from", "900d", "--format", "json", "--key", pub)
	b := readBreach(t, out)
	if e := b.Evidence[0]; !e.Verified || e.First == 0 || len(b.Notes) < 2 || !strings.Contains(b.Notes[0], "after the period does") || !strings.Contains(b.Notes[1], "were retired") {
		t.Errorf("evidence %+v, notes %q", b.Evidence, b.Notes)
	}
	out, _ = auditRun(t, 0, "breach", "--dir", dir, "--everyone", "--from", "90d", "--format", "json")
	if notes := readBreach(t, out).Notes; strings.Contains(notes[0], "after the period does") {
		t.Errorf("notes %q", notes)
	}
}

// retiring removes what is older than 400 days.
func retiring(t *testing.T, dir, path string) {
	t.Helper()
	key, err := readAuditKey(path)
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(dir, audit.Options{SegmentSize: 1, Key: &key, Retention: audit.Retention{Keep: 400 * 24 * time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	tomb, err := log.Retire(t.Context())
	if err != nil || tomb.Records == 0 {
		t.Errorf("retired %d records: %v", tomb.Records, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}
