package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

const auditorsPolicy = `
roles: {log_reader: {privacy: [audit]}}
users: {aud: {roles: [log_reader]}}
`

// withTable gives the site a table of the access log, and an auditor who reads
// it.
func (s *site) withTable(t *testing.T) {
	t.Helper()
	policy := filepath.Join(s.dir, "policy")
	path := filepath.Join(s.dir, "pgveil.yaml")
	config, err := os.ReadFile(path)
	if err == nil {
		err = os.CopyFS(policy, os.DirFS(pgtest.Fixture(t, "shop")))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(policy, "auditors.yaml"), []byte(auditorsPolicy), 0o600)
	}
	text := strings.Replace(string(config), "checkpoint: 100ms", "checkpoint: 100ms, table: {every: 20ms, auditors: [aud]}", 1)
	text = strings.Replace(text, filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml"), "policy", 1)
	if err = errors.Join(err, os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "DO $$ BEGIN CREATE ROLE aud LOGIN PASSWORD 'aud-password'; EXCEPTION WHEN duplicate_object THEN END $$")
	s.pgveil(t, 0, "schema", "--apply", "--config", path)
}

// pgveil runs a verb, and gives what it prints.
func (s *site) pgveil(t *testing.T, status int, args ...string) string {
	t.Helper()
	t.Chdir(s.dir)
	var out, errs strings.Builder
	if got := run(t.Context(), args, &out, &errs); got != status {
		t.Fatalf("pgveil %s: exit status %d, want %d\n%s%s", strings.Join(args, " "), got, status, &out, &errs)
	}
	return out.String() + errs.String()
}

// append adds records to the log, as an earlier process did.
func (s *site) append(t *testing.T, dir string, records ...audit.Record) {
	t.Helper()
	key, err := readAuditKey(filepath.Join(s.dir, "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	if dir != s.log() {
		key = key.For(besideOrigin(key.Name()))
	}
	log, err := audit.Open(dir, audit.Options{Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if _, err := log.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

const annToken = "AAAAAAAAAAAAAAAAAAAAAA"

// earlier are records of what others did before: to Ann's rows for certain, to
// somebody's, and nobody knows.
func earlier() []audit.Record {
	at := time.Date(2026, 11, 22, 9, 0, 0, 123456789, time.UTC)
	statement := func(user string) audit.Record {
		at = at.Add(time.Minute)
		return audit.Record{Kind: audit.KindStatement, Time: at, Login: "crm_app", User: user, Roles: []string{"agent"}, Purpose: "support", Command: "SELECT",
			Shape: "SELECT email FROM customers WHERE last_name = $1", Decision: "mask", Kinds: []string{"customer"},
			Columns: []audit.Column{{Name: "public.customers.email", Class: "email", Show: "last(4)", Use: "read"}}}
	}
	outcome := func(ref uint64, r audit.Record) audit.Record {
		r.Kind, r.Ref, r.Time, r.Tag, r.Rows, r.Duration = audit.KindOutcome, ref, at.Add(time.Second), "SELECT 1", 1, time.Millisecond
		return r
	}
	return []audit.Record{ // record 0 says whose key signs
		statement("saw"), outcome(1, audit.Record{Subjects: []string{"customer:" + annToken}}),
		statement("other"), outcome(3, audit.Record{Subjects: []string{"customer:BBBBBBBBBBBBBBBBBBBBBB"}}),
		statement("counted"), outcome(5, audit.Record{Unnamed: []audit.Unnamed{{Kind: "customer", AtMost: 3}, {Kind: "customer", AtMost: 4}}}),
		statement("many"), {Kind: audit.KindSubjects, Ref: 7, Time: at, Subjects: []string{"customer:" + annToken}}, outcome(7, audit.Record{Unnamed: []audit.Unnamed{{Kind: "customer", AtMost: audit.AnyNumber}}}),
		statement("killed"),
		statement("o'hostile\n\"user\"\\"), outcome(11, audit.Record{Unnamed: []audit.Unnamed{{Kind: "customer", AtMost: audit.AnyNumber}}}),
		statement("staff"), outcome(13, audit.Record{Unnamed: []audit.Unnamed{{Kind: "employee", AtMost: 9}}}),
	}
}

// loaded waits until all of the log is in the table.
func (s *site) loaded(t *testing.T) {
	t.Helper()
	count := s.counter(t)
	for _, dir := range []string{s.log(), filepath.Join(s.log(), besideDir)} {
		head, err := audit.ReadHead(dir)
		if err != nil {
			continue // there was no overlap
		}
		first, err := audit.LeafHash(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		await(t, "the log is in the table", func() bool {
			return count(fmt.Sprintf("SELECT coalesce(max(records), 0) FROM pgveil.access_loads WHERE first = '\\x%x'", first[:])) >= int64(head.Count)
		})
	}
}

// counter is count over one connection, for those who ask often.
func (s *site) counter(t *testing.T) func(sql string) int64 {
	conn := pgtest.Connect(t, s.server.DSN(s.database, pgserver.Superuser))
	return func(sql string) (n int64) {
		if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// TestAuditorsSQL does what an auditor does, through pgveil: asks who saw whom, in
// three ways that must agree, and reads the log in SQL, which is in the log then.
func TestAuditorsSQL(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "overlap: true\n")
	s.withTable(t)
	s.exec(t, "INSERT INTO pgveil.subjects VALUES ('customer', '1', '"+annToken+"')")
	s.append(t, s.log(), earlier()...)
	s.append(t, filepath.Join(s.log(), besideDir), earlier()[:2]...)
	r := s.serve(t, "")
	addr := r.address(t, listens)
	alice, err := s.connect(t.Context(), addr, "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer alice.Close(t.Context())
	if _, err := alice.Exec(t.Context(), "SELECT ssn FROM customers"); err == nil {
		t.Error("national identifiers are open")
	}
	s.loaded(t)
	aud, err := s.connect(t.Context(), addr, "aud")
	if err != nil {
		t.Fatal(err)
	}
	defer aud.Close(t.Context())

	const fields = "at::text, certain::text, coalesce(at_most::text, ''), username, command, coalesce(rows::text, ''), log, seq::text, shape"
	inSQL := texts(t, aud, "SELECT "+fields+" FROM pgveil.who_saw('customer', 1, since => '2026-11-22 09:01:30+00')")
	if len(inSQL) != 4 {
		t.Errorf("who_saw gives %d statements, want 4: %q", len(inSQL), inSQL)
	}
	var saw []string
	for _, line := range inSQL {
		saw = append(saw, strings.Join(strings.Split(line, "|")[1:4], " "))
	}
	want := []string{"false 7 counted", "true  many", "false -1 killed", "false -1 o'hostile\n\"user\"\\"}
	if diff := cmp.Diff(want, saw); diff != "" {
		t.Errorf("who_saw (-want +got):\n%s", diff)
	}
	all := texts(t, aud, "SELECT "+fields+" FROM pgveil.who_saw('customer', 1)")
	if len(all) != 6 { // one more in either chain
		t.Errorf("who_saw without a time gives %d statements: %q", len(all), all)
	}
	if diff := cmp.Diff(all, privacyTexts(t, aud, "PRIVACY WHO SAW customer 1")); diff != "" {
		t.Errorf("PRIVACY WHO SAW (-SQL +PRIVACY):\n%s", diff)
	}
	if diff := cmp.Diff(inSQL, privacyTexts(t, aud, "PRIVACY WHO SAW customer '01' SINCE '2026-11-22 09:01:30+00'")); diff != "" {
		t.Errorf("PRIVACY WHO SAW SINCE (-SQL +PRIVACY):\n%s", diff)
	}
	config := filepath.Join(s.dir, "pgveil.yaml")
	for _, args := range [][]string{{"1", "--config", config}, {"--token", annToken, "--dir", s.log()}} {
		files := s.pgveil(t, 0, append([]string{"audit", "who-saw", "customer", "--json"}, args...)...)
		if diff := cmp.Diff(all, fileTexts(t, files)); diff != "" {
			t.Errorf("pgveil audit who-saw %v (-SQL +files):\n%s", args, diff)
		}
	}
	if out := s.pgveil(t, 0, "audit", "who-saw", "customer", "1", "--config", config); strings.Count(out, "\n") != 7 || !strings.Contains(out, "site.example/audit/beside:1") {
		t.Errorf("pgveil audit who-saw prints\n%s", out)
	}

	if got := texts(t, aud, "SELECT username, command, cardinality(reasons) > 0, shape FROM pgveil.refusals"); len(got) != 1 || !strings.HasPrefix(got[0], "alice|SELECT|") {
		t.Errorf("refusals: %q", got)
	}
	for sql, want := range map[string]string{
		"SELECT email FROM customers":                                "42501",
		"DELETE FROM pgveil.access_log":                              "42501",
		"SELECT * FROM pgveil.subjects":                              "42501",
		"PRIVACY WHO SAW customer 1 SINCE 'yesteryear'":              "22P02",
		"PRIVACY WHO SAW martian 1":                                  "42704",
		"PRIVACY EXPORT customer 1":                                  "42501",
		"SELECT count(*) FROM pgveil.access_log WHERE 1 / (seq) = 0": "22012",
	} {
		if got := sqlState(aud, t, sql); got != want {
			t.Errorf("%s: SQLSTATE %q, want %q", sql, got, want)
		}
	}
	for _, sql := range []string{"SELECT * FROM pgveil.access_log", "SELECT * FROM pgveil.who_saw('customer', 1)", "PRIVACY WHO SAW customer 1"} {
		if got := sqlState(alice, t, sql); got != "42501" {
			t.Errorf("alice: %s: SQLSTATE %q, want 42501", sql, got)
		}
	}
	s.loaded(t)
	if got := texts(t, aud, "SELECT count(*) > 0 FROM pgveil.access_columns WHERE username = 'aud' AND class = 'access_log' AND name = 'pgveil.refusals.username'"); got[0] != "true" {
		t.Error("what the auditor read is not in the log")
	}
	if got := texts(t, aud, "SELECT count(*) FROM pgveil.access_log WHERE username = 'aud' AND kind = 'privacy' AND shape LIKE 'PRIVACY WHO SAW%' AND message = 'done'"); got[0] != "2" {
		t.Errorf("%s looks by PRIVACY are in the log, want 2", got)
	}
	r.stop(t)

	if out := s.pgveil(t, 0, "audit", "verify", "--table", "--config", config); strings.Count(out, "table good: ") != 2 {
		t.Errorf("verify --table prints\n%s", out)
	}
	s.exec(t, "UPDATE pgveil.access_log SET username = 'nobody' WHERE username = 'saw'; DELETE FROM pgveil.access_subjects WHERE seq = 3; "+
		"INSERT INTO pgveil.access_subjects (log, seq, at, record, n, kind) SELECT 'forged', seq, at, record, n, kind FROM pgveil.access_subjects LIMIT 1")
	out := s.pgveil(t, 1, "audit", "verify", "--table", "--config", config)
	for _, want := range []string{"THE TABLE IS NOT GOOD", "row of record 1 is not as in the log: username", "data subject of record 4 is missing", "rows of logs that nobody loaded: forged"} {
		if !strings.Contains(out, want) {
			t.Errorf("verify --table does not say %q:\n%s", want, out)
		}
	}
}

// texts gives rows as one text each.
func texts(t *testing.T, conn *pgx.Conn, sql string) []string {
	t.Helper()
	res, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var all []string
	for _, row := range res[0].Rows {
		var cells []string
		for _, c := range row {
			cells = append(cells, string(c))
		}
		all = append(all, strings.NewReplacer("|t|", "|true|", "|f|", "|false|").Replace(strings.Join(cells, "|")))
	}
	if len(all) == 1 && all[0] == "t" {
		all[0] = "true"
	}
	return all
}

// privacyTexts gives the fields of who_saw that texts gives above.
func privacyTexts(t *testing.T, conn *pgx.Conn, sql string) []string {
	t.Helper()
	var all []string
	for _, row := range texts(t, conn, sql) {
		f := strings.Split(row, "|")
		all = append(all, strings.Join([]string{f[0], f[1], f[2], f[3], f[10], f[14], f[18], f[19], f[20]}, "|"))
	}
	return all
}

// fileTexts gives them of what the log's files have.
func fileTexts(t *testing.T, lines string) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(lines) {
		var s struct {
			Log     string
			Certain bool
			AtMost  json.Number `json:"at_most"`
			audit.Entry
		}
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rows := ""
		if s.Outcome != nil {
			rows = fmt.Sprint(s.Outcome.Rows)
		}
		all = append(all, fmt.Sprintf("%s|%t|%s|%s|%s|%s|%s|%d|%s", s.Time.Truncate(time.Microsecond).Format("2006-01-02 15:04:05.999999-07"), s.Certain, s.AtMost,
			s.User, s.Command, rows, s.Log, s.Seq, s.Shape))
	}
	return all
}

// sqlState gives that of a statement; "" when there is no error.
func sqlState(conn *pgx.Conn, t *testing.T, sql string) string {
	_, err := conn.Exec(t.Context(), sql)
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// TestTableOfKilledProcesses kills processes amid their loading, shuts the
// database down in between, and lets two processes overlap: nothing is lost, and
// nothing is there twice.
func TestTableOfKilledProcesses(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the server is another user
		t.Fatal(err)
	}
	first := ownServer(t, pgserver.Options{Dir: filepath.Join(dir, "data"), Password: "secret"})
	s := newSite(t, first, "shop", "127.0.0.1:0", "overlap: true\n"+fmt.Sprintf(byAddress, first.Port()))
	s.shop(t)
	s.withTable(t)
	s.append(t, s.log(), many(20_000)...)
	count := s.counter(t)
	for range 5 { // amid catching up, or just after
		r := s.serve(t, "")
		addr := r.address(t, listens)
		before := count("SELECT coalesce(sum(records), 0)::bigint FROM pgveil.access_loads")
		if err := s.ask(addr); err != nil {
			t.Fatal(err)
		}
		await(t, "more is loaded", func() bool {
			return count("SELECT coalesce(sum(records), 0)::bigint FROM pgveil.access_loads") > before
		})
		if err := r.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-r.exited
	}
	r := s.serve(t, "")
	addr := r.address(t, listens)
	if err := s.ask(addr); err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	await(t, "the process says that it cannot load", func() bool { return strings.Contains(r.output.String(), "the access log's table is not loaded") })
	s.server = ownServer(t, pgserver.Options{Dir: filepath.Join(dir, "data"), Port: first.Port(), Password: "secret"})
	await(t, "it loads again", func() bool { return strings.Contains(r.output.String(), "the access log's table is loaded again") })
	next := s.serve(t, "")
	for range 5 {
		if err := errors.Join(s.ask(addr), s.ask(next.address(t, listens))); err != nil {
			t.Fatal(err)
		}
	}
	r.stop(t)
	next.stop(t)
	last := s.serve(t, "")
	s.loaded(t)
	last.stop(t)
	if out := s.pgveil(t, 0, "audit", "verify", "--table", "--config", filepath.Join(s.dir, "pgveil.yaml")); strings.Count(out, "table good: ") != 2 {
		t.Errorf("verify --table prints\n%s", out)
	}
}

// many are statements with their outcomes.
func many(n int) []audit.Record {
	var records []audit.Record
	for len(records) < n {
		seq := uint64(len(records)) + 1 // record 0 says whose key signs
		records = append(records, audit.Record{Kind: audit.KindStatement, User: "alice", Shape: "SELECT 1", Decision: "allow"},
			audit.Record{Kind: audit.KindOutcome, Ref: seq, Rows: 1, Subjects: []string{"customer:" + annToken}})
	}
	return records
}

// A database that hangs does not keep the process from ending.
func TestTableAndHungDatabase(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	s.withTable(t)
	lock := pgtest.Connect(t, s.server.DSN(s.database, pgserver.Superuser))
	if _, err := lock.Exec(t.Context(), "BEGIN; LOCK TABLE pgveil.access_loads IN SHARE ROW EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	r := s.serve(t, "")
	if err := s.ask(r.address(t, listens)); err != nil {
		t.Error(err)
	}
	began := time.Now()
	r.stop(t)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to end", took)
	}
}
