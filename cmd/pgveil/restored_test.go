package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
)

// eraseByLedger erases a customer of the shop as a request does.
func (s *site) eraseByLedger(t *testing.T, conn *pgx.Conn, id string) {
	t.Helper()
	ctx := t.Context()
	reg, err := openRegistry(filepath.Join(s.dir, "pgveil.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := reg.process.loadEngine(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l := s.ledger(t)
	subjects := engine.Policy.Subjects()
	subject := subjects[slices.IndexFunc(subjects, func(s policy.Subject) bool { return s.Name == "customer" })]
	person, err := erasures.Find(ctx, conn, subject, nil, id)
	if err != nil {
		t.Fatal(err)
	}
	where, err := erasures.Locate(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	begun, err := l.Intend(erasures.Intention{Request: 1, Person: person, Database: where})
	if err == nil {
		_, err = conn.Exec(ctx, "DELETE FROM customers WHERE id = $1::text::integer", id)
	}
	if err == nil {
		err = l.See(ctx, conn, begun)
	}
	if err == nil {
		_, err = l.Done(begun.Seq, erasures.Outcome{Database: where})
	}
	if err := errors.Join(err, reg.process.close()); err != nil {
		t.Fatal(err)
	}
}

// ledger opens the site's, until the test ends.
func (s *site) ledger(t *testing.T) *erasures.Ledger {
	t.Helper()
	cfg, err := config.Load(filepath.Join(s.dir, "pgveil.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := readKey(cfg.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := openErasures(cfg, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// backup keeps a database, and gives what makes it anew as it was: by pg_dump or,
// where there is none, by a copy of its files.
func backup(t *testing.T, s *pgserver.Server, database string) (restore func()) {
	t.Helper()
	admin := pgtest.Connect(t, s.DSN("postgres", pgserver.Superuser))
	exec := func(statements ...string) {
		t.Helper()
		for _, sql := range statements {
			if _, err := admin.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	program, ok := pgtest.Program(t, "pg_dump")
	if !ok {
		kept := database + "_kept"
		exec("CREATE DATABASE " + kept + " TEMPLATE " + database)
		t.Cleanup(func() {
			if _, err := admin.Exec(context.Background(), "DROP DATABASE "+kept); err != nil {
				t.Error(err)
			}
		})
		return func() { exec("DROP DATABASE "+database+" WITH (FORCE)", "CREATE DATABASE "+database+" TEMPLATE "+kept) }
	}
	run := func(program string, args ...string) {
		t.Helper()
		args = append(args, "-d", s.DSN(database, pgserver.Superuser))
		if out, err := s.Command(t.Context(), s.SocketDir(), program, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", program, err, out)
		}
	}
	dump := filepath.Join(s.SocketDir(), database+".dump")
	run(program, "-Fc", "-f", dump)
	t.Cleanup(func() { _ = os.Remove(dump) }) // its folder goes with the server
	return func() {
		t.Helper()
		exec("DROP DATABASE "+database+" WITH (FORCE)", "CREATE DATABASE "+database)
		run(filepath.Join(filepath.Dir(program), "pg_restore"), dump)
	}
}

// answered gives what a client gets in a session of its own: a number, or an
// SQLSTATE. pgveil may not have a connection again at once.
func (s *site) answered(t *testing.T, r *running, sql string) string {
	t.Helper()
	conn, err := s.connect(t.Context(), r.address(t, listens), "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var answer string
	err = conn.QueryRow(t.Context(), sql).Scan(&answer)
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// ready asks whether statements can be served.
func (r *running) ready(t *testing.T) (int, string) {
	t.Helper()
	answer, err := http.Get("http://" + r.address(t, admin) + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// until waits until a process logs words once more than before.
func (r *running) until(t *testing.T, words string, times int) {
	t.Helper()
	late := time.After(30 * time.Second)
	for tick := time.Tick(20 * time.Millisecond); strings.Count(r.output.String(), words) < times; {
		select {
		case <-tick:
		case <-late:
			t.Fatalf("pgveil does not log %q %d times:\n%s", words, times, r.output.String())
		}
	}
}

// TestRestore restores the database under a pgveil that serves, twice: clients get
// nothing of who was erased, until they are erased again, or an operator accepts.
func TestRestore(t *testing.T) {
	server, database := pgtest.Server(t), pgtest.Database(t, "shop")
	s := newSite(t, server, database, "127.0.0.1:0", "dsar: {hold_after_restore: true, workers: 0}\n")
	s.verb(t, 0, "schema", "--apply")
	dsn := server.DSN(database, pgserver.Superuser)
	restore := backup(t, server, database)

	r := s.serve(t, "")
	const all = "SELECT count(*)::text FROM customers"
	before := s.answered(t, r, all)
	if code, said := r.ready(t); code != http.StatusOK {
		t.Errorf("at first: %d %s", code, said)
	}
	conn := pgtest.Connect(t, dsn)
	var mail string
	if err := conn.QueryRow(t.Context(), "SELECT email FROM customers WHERE id = 1").Scan(&mail); err != nil {
		t.Fatal(err)
	}
	s.eraseByLedger(t, conn, "1")
	after := s.answered(t, r, all)
	if s.verb(t, 0, "dsar", "ledger", "status"); after == before {
		t.Fatalf("there are %s customers before and after", before)
	}
	s.verb(t, 0, "dsar", "replay", "--dry-run")
	var mails []string
	if err := conn.QueryRow(t.Context(), "SELECT array_agg(upper(email) ORDER BY id) FROM customers").Scan(&mails); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "import"), []byte(strings.Join(append(mails, "1", " "+strings.ToUpper(mail)), "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, want := s.verb(t, 1, "dsar", "ledger", "erased", "customer", "import"), fmt.Sprintf("%d\n%d\n", len(mails)+1, len(mails)+2); said != want {
		t.Errorf("to be imported are %q, want %q", said, want)
	}

	restore()
	r.until(t, "it was restored from a backup", 1)
	if got := s.answered(t, r, all); got != "57P03" {
		t.Errorf("after the restore a client gets %s", got)
	}
	if got := s.answered(t, r, "SELECT 1::text"); got != "1" {
		t.Errorf("what is about nobody: %s", got)
	}
	if code, said := r.ready(t); code != http.StatusServiceUnavailable || !strings.Contains(said, "1 erasures") {
		t.Errorf("after the restore: %d %s", code, said)
	}
	r.until(t, "alert=database_restored severity=critical", 1)
	s.verb(t, 1, "dsar", "ledger", "status")
	if said := s.verb(t, 1, "dsar", "replay", "--dry-run"); !strings.Contains(said, "customer: 1 who were erased are in the database") {
		t.Errorf("the dry run says\n%s", said)
	}
	// A pgveil that is started now holds as well, before it serves anybody.
	if got := s.answered(t, s.serve(t, "sed -i 's/audit: {dir: audit/audit: {dir: other/; s/^dsar: {/dsar: {ledger: audit\\/erasures.ledger, /' pgveil.yaml"), all); got != "57P03" {
		t.Errorf("a pgveil started after the restore: a client gets %s", got)
	}
	// A replay that was killed had begun somebody, who is gone.
	l := s.ledger(t)
	if _, err := l.Intend(erasures.Intention{Person: erasures.Person{Kind: "customer", Key: "999999"}, Again: 1, Database: erasures.Database{Name: database}}); err != nil {
		t.Fatal(err)
	}
	if said := s.verb(t, 0, "dsar", "replay"); !strings.Contains(said, "1 were erased again") {
		t.Errorf("the replay says\n%s", said)
	}
	r.until(t, "the database has all erasures that the ledger has", 1)
	if got := s.answered(t, r, all); got != after {
		t.Errorf("after the replay a client gets %s, want %s", got, after)
	}

	if open, err := l.Open(); err != nil || len(open) != 0 {
		t.Errorf("after the replay these are under way: %+v, %v", open, err)
	}

	restore()
	r.until(t, "it was restored from a backup", 2)
	s.verb(t, 2, "dsar", "replay", "--accept", "a reason", "--dry-run")
	if said := s.verb(t, 0, "dsar", "replay", "--accept", "a copy for tests"); !strings.Contains(said, "stay undone") {
		t.Errorf("accepted: %s", said)
	}
	r.until(t, "the database has all erasures that the ledger has", 2)
	if got := s.answered(t, r, all); got != before {
		t.Errorf("accepted, a client gets %s, want %s", got, before)
	}
	if said := s.verb(t, 0, "dsar", "ledger", "verify", "audit/erasures.ledger"); !strings.Contains(said, "good: ") {
		t.Errorf("verify: %s", said)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "audit/erasures.ledger"))
	if err != nil || !strings.Contains(string(text), "a copy for tests") {
		t.Errorf("the reason is not in the ledger: %v", err)
	}
	r.stop(t)
}

// TestLedgerDamaged has pgveil not serve beside a ledger that cannot be believed.
func TestLedgerDamaged(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	cfg, err := config.Load(filepath.Join(s.dir, "pgveil.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	path := cfg.ErasuresLedger()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("{}\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if said := s.verb(t, 1, "serve"); !strings.Contains(said, "ledger of erasures") || !strings.Contains(said, "line 1") {
		t.Errorf("serve says\n%s", said)
	}
}
