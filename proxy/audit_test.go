package proxy_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// records gives what the log says of statements, from a record on: each
// statement's decision and command, and each outcome with the number of its
// statement.
func (f *front) records(t *testing.T, from uint64) (lines []string, next uint64) {
	t.Helper()
	next = from
	numbers := map[uint64]int{}
	for r, err := range audit.Read(f.AuditDir, from) {
		if err != nil {
			t.Fatal(err)
		}
		next = r.Seq + 1
		switch r.Kind {
		case audit.KindStatement:
			numbers[r.Seq] = len(numbers) + 1
			lines = append(lines, words(r.Decision, r.Command, r.SQLState))
		case audit.KindOutcome:
			why, _, _ := strings.Cut(r.Message, ":")
			lines = append(lines, words("outcome of", strconv.Itoa(numbers[r.Ref]), r.Tag, r.SQLState, why))
		}
	}
	return lines, next
}

// words joins those that are there.
func words(w ...string) string { return strings.Join(strings.Fields(strings.Join(w, " ")), " ") }

// TestStatementsAreRecorded looks into the log as soon as an answer is there.
func TestStatementsAreRecorded(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy, func(o *proxy.Options) { o.Durable = true })
	conn := f.connect(t, database, "alice")
	_, from := f.records(t, 0)
	for _, tt := range []struct {
		name string
		sql  string
		want []string
	}{
		{"a query", "SELECT id FROM customers WHERE id = 1", []string{"allow SELECT", "outcome of 1 SELECT 1"}},
		{"one of masked columns", "SELECT email FROM customers WHERE id = 1", []string{"allow SELECT", "outcome of 1 SELECT 1"}},
		{"a change", "UPDATE orders SET status = 'paid' WHERE id = 1", []string{"allow UPDATE", "outcome of 1 UPDATE 1"}},
		{"an error", "SELECT 1/0", []string{"allow SELECT", "outcome of 1 22012"}},
		{"an error of the server's parser", "SELECT id FROM customers WHERE id = 'x'", []string{"allow SELECT", "outcome of 1 22P02"}},
		{"a refusal", "SELECT ssn FROM customers", []string{"refuse SELECT 42501"}},
		{"what cannot be parsed", "SELEKT", []string{"refuse 42601"}},
		{"several", "SELECT 1; SELECT 2", []string{"allow SELECT", "outcome of 1 SELECT 1"}},
		{"COPY", "COPY (SELECT id FROM orders WHERE id = 1) TO STDOUT", []string{"allow COPY", "outcome of 1 COPY 1"}},
		{"SET", "SET application_name = 'x'", []string{"allow SET", "outcome of 1 SET"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text(t.Context(), conn, tt.sql)
			var got []string
			got, from = f.records(t, from)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	script := func(name, user, sql string, want []string) {
		t.Run(name, func(t *testing.T) {
			f.script(t, database, user, sql)
			var got []string
			got, from = f.records(t, from)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	script("a portal in parts", "alice", `
send
Parse {"Query": "SELECT id FROM customers ORDER BY id"}
Bind
Execute {"MaxRows": 1}
Execute {"MaxRows": 1}
Sync
until ReadyForQuery`, []string{"allow SELECT", "outcome of 1", "outcome of 1"})
	script("a statement used twice", "alice", `
send
Parse {"Query": "SELECT id FROM customers WHERE id = 1"}
Bind
Execute
Bind
Execute
Sync
until ReadyForQuery`, []string{"allow SELECT", "allow SELECT", "outcome of 1 SELECT 1", "outcome of 2 SELECT 1"})
	// The second statement is sent before the error is there: its plan is known.
	script("what an error has the server pass over", "alice", `
send
Parse {"Query": "SELECT 1 / (id - 1) FROM customers WHERE id = 1"}
Bind
Execute
Parse {"Query": "SELECT id FROM customers WHERE id = 1"}
Bind
Execute
Sync
until ReadyForQuery`, []string{"allow SELECT", "allow SELECT", "outcome of 1 22012", "outcome of 2 not run"})
	script("nothing is recorded of what is not executed", "alice", `
send
Parse {"Query": "SELECT id FROM customers WHERE id = 1"}
Bind
Sync
until ReadyForQuery`, nil)
	script("an unrestricted caller", "dora", `
send
Query {"String": "SELECT ssn FROM customers WHERE id = 1"}
until ReadyForQuery`, []string{"unrestricted SELECT", "outcome of 1 SELECT 1"})
}

// TestObserveLetsThrough changes nothing, and records what would have been.
func TestObserveLetsThrough(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, strings.Replace(shopPolicy, "version: 1", "version: 1\nmode: observe", 1))
	plain := pgtest.Connect(t, pgtest.Server(t).DSN(database, "postgres"))
	conn := f.connect(t, database, "crm_app", "pgveil.purpose", "sales")
	_, from := f.records(t, 0)
	for _, sql := range []string{"SELECT email, ssn FROM customers WHERE id = 1", "SELECT email FROM customers WHERE id = 2", "SELECT count(*) FROM tickets"} {
		if got, want := text(t.Context(), conn, sql), text(t.Context(), plain, sql); got != want {
			t.Errorf("%s = %q, want %q", sql, got, want)
		}
		var got []string
		got, from = f.records(t, from)
		if want := []string{"observe SELECT", "outcome of 1 SELECT 1"}; !cmp.Equal(want, got) {
			t.Errorf("%s is recorded as %q, want %q", sql, got, want)
		}
	}
}

// TestFullLogRefuses lets the log run out of room: statements are refused in
// their order, logins too, and all goes on once there is room.
func TestFullLogRefuses(t *testing.T) {
	database := pgtest.Database(t, "shop")
	dir := t.TempDir()
	var ahead atomic.Int64 // of the clock
	log, err := audit.Open(dir, audit.Options{SegmentSize: 1, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	// A directory in its place keeps the next segment from being made.
	spare := filepath.Join(dir, "next.tmp")
	if err := os.RemoveAll(spare); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(spare, 0o700); err != nil {
		t.Fatal(err)
	}
	f := start(t, database, shopPolicy, func(o *proxy.Options) { o.Audit = log })
	conn := f.connect(t, database, "alice")
	got, n := "1\n", 0
	for ; got == "1\n" && n < 5000; n++ {
		got = text(t.Context(), conn, "SELECT id FROM customers WHERE id = 1")
	}
	if !strings.HasPrefix(got, "53100") && !strings.HasPrefix(got, "58030") {
		t.Fatalf("after %d statements: %q, want 53100", n, got)
	}
	if got := text(t.Context(), conn, "INSERT INTO countries VALUES ('XX', 'Nowhere', 'EU')"); !conn.IsClosed() && !strings.HasPrefix(got, "53100") {
		t.Errorf("with a full log: %q, want 53100", got)
	}
	// A login's record is short: a few may still find room.
	for n, err = 0, nil; err == nil && n < 100; n++ {
		var late *pgx.Conn
		if late, err = pgx.ConnectConfig(t.Context(), f.config(t, database, "alice")); err == nil {
			_ = late.Close(t.Context())
		}
	}
	if code(err) != "58030" && code(err) != "53100" {
		t.Errorf("%d logins with a full log: %v", n, err)
	}
	if err := os.Remove(spare); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(2 * time.Second))
	again := f.connect(t, database, "alice")
	if got := text(t.Context(), again, "SELECT count(*) FROM countries WHERE code = 'XX'"); got != "0\n" {
		t.Errorf("with room again: %q, want that nothing was changed unrecorded", got)
	}
}
