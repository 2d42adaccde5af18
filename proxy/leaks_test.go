package proxy_test

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// leaksSchema has texts with personal data in every form that the protocol knows,
// in tables that are scanned in each way.
const leaksSchema = `
CREATE TYPE pair AS (n integer, said text);
CREATE TABLE calls (id bigint PRIMARY KEY, body text, data jsonb, js json, tags text[], pair pair, pairs pair[], at timestamptz, size bigint);
INSERT INTO calls VALUES
 (1, 'write to bob@example.com', '{"card": 4111111111111111, "n": 7}', '{"a": "x\nbob@example.com"}', '{plain,"4111 1111 1111 1111"}',
  (7, 'DE89370400440532013000'), ARRAY[(8, 'bob@example.com')::pair, (9, 'nothing')::pair], '2026-11-22 20:00+00', 4111111111111111),
 (2, 'nothing in it', NULL, '[]', '{}', NULL, NULL, NULL, 12);
CREATE TABLE letters (id bigint PRIMARY KEY, body text);
INSERT INTO letters SELECT i, CASE WHEN i = 5000 THEN 'my card is 4111111111111111' ELSE 'letter ' || i END FROM generate_series(1, 9000) i;
CREATE TABLE memos (id bigint PRIMARY KEY, body text, title text, owner text);
INSERT INTO memos VALUES (1, 'card 4111111111111111, bob@example.com', 'one', 'bob@example.com'), (2, 'card 4111111111111111', 'two', NULL);
CREATE VIEW seen AS SELECT id AS number, body AS said FROM calls;
GRANT ALL ON calls, letters, memos, seen TO PUBLIC;
`

const leaksPolicy = `
version: 1
purposes: {support: {basis: contract}}
classes:
  open:    [public.calls.id, public.letters.id, public.memos.id, "public.memos.title", "public.calls.at", "public.calls.size"]
  free:    {columns: ["public.calls.*"], scan: {then: scrub, except: auditor}}
  letter:  {columns: [public.letters.body], scan: {find: [card, iban], then: refuse}}
  memo:    {columns: [public.memos.body], scan: {find: card, then: alert}}
  name:    [public.memos.owner]
  rest:    ["public.c*.*", "public.o*.*"]
roles:
  agent:   {purposes: [support], tables: [{on: [public.calls, public.letters, public.memos, public.seen], do: [select, insert, update, delete]}]}
  auditor: {purposes: [support], tables: [{on: [public.calls, public.letters, public.memos]}]}
  dba:     {unrestricted: true}
rules:
  - {role: any, for: support, on: [free, letter, memo, name], show: clear}
users:
  alice: {roles: [agent]}
  bob:  {roles: [auditor]}
  dora:  {roles: [dba]}
unclassified: refuse
scan_writes: {find: [card, iban, email], then: alert}
`

// leaksTold collects what is raised.
type leaksTold struct {
	mu  sync.Mutex
	all []alert.Event
}

func (r *leaksTold) Raise(e alert.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, e)
}

// take gives the names and details of what came since it was last asked.
func (r *leaksTold) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, e := range r.all {
		words := []string{e.Name, e.User}
		for _, d := range e.Details {
			if d.Value.Kind() == slog.KindString || d.Value.Int64() != 0 {
				words = append(words, d.Value.String())
			}
		}
		all = append(all, strings.Join(words, " "))
	}
	r.all = nil
	return strings.Join(all, "; ")
}

// leaky starts a pgveil in front of those tables.
func leaky(t testing.TB, edits ...func(*proxy.Options)) (f *front, database string, told *leaksTold) {
	t.Helper()
	database, told = pgtest.Database(t, "shop"), &leaksTold{}
	exec(t, pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser)), leaksSchema)
	return start(t, database, leaksPolicy, append([]func(*proxy.Options){func(o *proxy.Options) { o.Alerts = told }}, edits...)...), database, told
}

var execModes = map[string]pgx.QueryExecMode{
	"simple": pgx.QueryExecModeSimpleProtocol, "exec": pgx.QueryExecModeExec,
	"described": pgx.QueryExecModeDescribeExec, "prepared": pgx.QueryExecModeCacheStatement,
}

// connectIn connects a login that sends its statements in one way.
func (f *front) connectIn(t testing.TB, database, login string, mode pgx.QueryExecMode) *pgx.Conn {
	t.Helper()
	c := f.config(t, database, login)
	c.DefaultQueryExecMode = mode
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// TestScrubbed has answers of every form scrubbed, for callers with restrictions
// and without, and no other.
func TestScrubbed(t *testing.T) {
	f, database, told := leaky(t)
	const iban, card, mail = "**********************", "*******************", "***************"
	for _, tt := range []struct{ sql, want string }{
		{"SELECT body FROM calls ORDER BY id", "write to " + mail + "\nnothing in it\n"},
		{"SELECT id, size, at IS NULL FROM calls WHERE body LIKE 'write%'", "1|4111111111111111|f\n"},
		{"SELECT data FROM calls WHERE id = 1", `{"n": 7, "card": 1111111111111111}` + "\n"},
		{"SELECT js FROM calls WHERE id = 1", `{"a": "x\n` + mail + `"}` + "\n"},
		{"SELECT tags FROM calls WHERE id = 1", `{plain,"` + card + `"}` + "\n"},
		{"SELECT pair FROM calls WHERE id = 1", "(7," + iban + ")\n"},
		{"SELECT pairs FROM calls WHERE id = 1", `{"(8,` + mail + `)","(9,nothing)"}` + "\n"},
		{"SELECT upper(body) || '!' AS x FROM calls WHERE id = 1", "WRITE TO " + mail + "!\n"},
		{"SELECT x.said FROM calls t, unnest(t.pairs) x WHERE t.id = 1", mail + "\nnothing\n"},
		{"WITH x AS (SELECT string_agg(body, ';') AS all FROM calls) SELECT * FROM x", "write to " + mail + ";nothing in it\n"},
		{"SELECT said || '.' FROM seen ORDER BY number", "write to " + mail + ".\nnothing in it.\n"},
		{"SELECT 'bob@example.com' AS mine", "bob@example.com\n"},
		{"SELECT owner FROM memos WHERE id = 1", "bob@example.com\n"},
		{"UPDATE calls SET id = id WHERE id = 1 RETURNING body", "write to " + mail + "\n"},
	} {
		for _, login := range []string{"alice", "dora"} {
			for name, mode := range execModes {
				conn := f.connectIn(t, database, login, mode)
				for range 2 {
					if got := text(t.Context(), conn, tt.sql); got != tt.want {
						t.Errorf("%s, %s: %s gives\n%s, want\n%s", login, name, tt.sql, got, tt.want)
					}
				}
			}
		}
	}
	bob := f.connect(t, database, "bob")
	if got := text(t.Context(), bob, "SELECT body FROM calls WHERE id = 1"); got != "write to bob@example.com\n" {
		t.Errorf("whoever is not scanned gets %q", got)
	}
	if got := told.take(); got != "" {
		t.Errorf("what is scrubbed is told: %s", got)
	}
}

// TestScrubbedInBinary has values in the binary format scrubbed.
func TestScrubbedInBinary(t *testing.T) {
	f, database, _ := leaky(t)
	for _, login := range []string{"alice", "dora"} {
		conn := f.connect(t, database, login)
		want, err := conn.Prepare(t.Context(), "p", "SELECT body, data, js, tags, pair, pairs, id, size, at FROM calls ORDER BY id")
		if err != nil {
			t.Fatal(err)
		}
		formats := make([]int16, len(want.Fields))
		for i := range formats {
			formats[i] = 1
		}
		r := conn.PgConn().ExecPrepared(t.Context(), "p", nil, nil, formats).Read()
		if r.Err != nil || len(r.Rows) != 2 {
			t.Fatal(r.Rows, r.Err)
		}
		var all []string
		for _, v := range r.Rows[0][:6] {
			all = append(all, fmt.Sprintf("%q", v))
		}
		got := strings.Join(all, "\n")
		for _, secret := range []string{"bob", "4111", "DE89"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s gets %s", login, got)
			}
		}
		for _, there := range []string{"write to ***************", `\x01{\"n\": 7, \"card\": 1111111111111111}`, `x\\n***************`, "*******************", "**********************", "nothing"} {
			if !strings.Contains(got, there) {
				t.Errorf("%s gets %s, without %s", login, got, there)
			}
		}
		if size := fmt.Sprintf("%x", r.Rows[0][7]); size != fmt.Sprintf("%016x", 4111111111111111) {
			t.Errorf("a number became %s", size)
		}
	}
}

// TestScrubbedCopies has what COPY gives scrubbed, in all its formats.
func TestScrubbedCopies(t *testing.T) {
	f, database, _ := leaky(t)
	for _, login := range []string{"alice", "dora"} {
		conn := f.connect(t, database, login)
		for _, sql := range []string{
			"COPY calls TO STDOUT", "COPY calls TO STDOUT (FORMAT csv)", "COPY calls TO STDOUT (FORMAT binary)",
			"COPY (SELECT body, js, data, tags, pair, pairs FROM calls) TO STDOUT",
		} {
			var b strings.Builder
			tag, err := conn.PgConn().CopyTo(t.Context(), &b, sql)
			if err != nil || tag.RowsAffected() != 2 {
				t.Errorf("%s: %s: %v, %v", login, sql, tag, err)
			}
			got := b.String()
			if strings.Contains(got, "bob@") || strings.Contains(got, "4111 1111") || strings.Contains(got, "DE89") || !strings.Contains(got, "nothing in it") || !strings.Contains(got, "write to ***************") {
				t.Errorf("%s: %s gives\n%q", login, sql, got)
			}
		}
	}
}

// TestRefusedRows stops a statement at the row that may not leave, and goes on.
func TestRefusedRows(t *testing.T) {
	f, database, _ := leaky(t)
	for _, login := range []string{"alice", "dora"} {
		for name, mode := range execModes {
			conn := f.connectIn(t, database, login, mode)
			for range 2 {
				rows, err := conn.Query(t.Context(), "SELECT id, body FROM letters ORDER BY id")
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				for rows.Next() {
					n++
				}
				if err := rows.Err(); n >= 5000 || err == nil || !strings.Contains(err.Error(), "a row holds what may not leave: card (SQLSTATE 42501)") {
					t.Errorf("%s, %s: %d rows, then %v", login, name, n, err)
				}
				if got := text(t.Context(), conn, "SELECT body FROM letters WHERE id = 4999"); got != "letter 4999\n" {
					t.Errorf("%s, %s: the session goes on with %q", login, name, got)
				}
				if got := text(t.Context(), conn, "SELECT body FROM letters WHERE id = 5000"); !strings.HasPrefix(got, "42501") {
					t.Errorf("%s, %s: the row alone is %q", login, name, got)
				}
			}
		}
		conn := f.connect(t, database, login)
		var b strings.Builder
		if _, err := conn.PgConn().CopyTo(t.Context(), &b, "COPY letters TO STDOUT"); err == nil || !strings.Contains(err.Error(), "42501") || strings.Contains(b.String(), "card is") {
			t.Errorf("%s: COPY ends with %v", login, err)
		}
		exec(t, conn, "BEGIN")
		exec(t, conn, "DECLARE c CURSOR FOR SELECT body FROM letters ORDER BY id OFFSET 4990")
		if got := text(t.Context(), conn, "FETCH 5 FROM c"); !strings.HasPrefix(got, "letter 4991") {
			t.Errorf("%s: FETCH gives %q", login, got)
		}
		if got := text(t.Context(), conn, "FETCH 10 FROM c"); got != "letter 4996\nletter 4997\nletter 4998\nletter 4999\n42501 a row holds what may not leave: card" {
			t.Errorf("%s: FETCH gives %q", login, got)
		}
		exec(t, conn, "ROLLBACK")
		if got := text(t.Context(), conn, "SELECT 1"); got != "1\n" {
			t.Errorf("%s: afterwards %q", login, got)
		}
	}
	said := 0
	for r, err := range audit.Read(f.AuditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(r.Message, "what may not leave") && strings.Contains(strings.Join(r.Reasons, " "), "public.letters.body") {
			said++
		}
		if strings.Contains(fmt.Sprint(r), "4111111111111111") {
			t.Errorf("the log has the card: %v", r)
		}
	}
	if said == 0 {
		t.Error("the log does not say why")
	}
}

// TestScrubbedErrors has values that errors quote scrubbed or withheld.
func TestScrubbedErrors(t *testing.T) {
	f, database, _ := leaky(t)
	for _, login := range []string{"alice", "dora"} {
		conn := f.connect(t, database, login)
		for sql, want := range map[string]string{
			"SELECT body::integer FROM calls WHERE id = 1":      `22P02 invalid input syntax for type integer: "write to ***************"`,
			"SELECT body::integer FROM letters WHERE id = 5000": "22P02 (pgveil withholds the text: it holds what may not leave)",
			"SELECT body::integer FROM letters WHERE id = 1":    `22P02 invalid input syntax for type integer: "letter 1"`,
		} {
			if got := text(t.Context(), conn, sql); got != want {
				t.Errorf("%s: %s gives %s, want %s", login, sql, got, want)
			}
		}
	}
}

// TestScrubbedOpen has columns scrubbed that everybody sees.
func TestScrubbedOpen(t *testing.T) {
	database := pgtest.Database(t, "shop")
	exec(t, pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser)), leaksSchema+"UPDATE memos SET title = 'call bob@example.com';")
	open := regexp.MustCompile(`(?m)^  open: +(.*)$`)
	f := start(t, database, open.ReplaceAllString(leaksPolicy, "  open: {columns: $1, scan: scrub}"))
	for _, login := range []string{"alice", "dora"} {
		if got, want := text(t.Context(), f.connect(t, database, login), "SELECT id, title FROM memos WHERE id = 1"), "1|call ***************\n"; got != want {
			t.Errorf("%s gets %q, want %q", login, got, want)
		}
	}
}

// TestToldRows tells operators once a statement, and lets the rows pass.
func TestToldRows(t *testing.T) {
	f, database, told := leaky(t)
	for _, login := range []string{"alice", "dora"} {
		for name, mode := range execModes {
			conn := f.connectIn(t, database, login, mode)
			if got := text(t.Context(), conn, "SELECT body FROM memos ORDER BY id"); got != "card 4111111111111111, bob@example.com\ncard 4111111111111111\n" {
				t.Errorf("%s, %s: the rows are %q", login, name, got)
			}
			if got, want := told.take(), "personal_data_read "+login+" public.memos.body card 2"; got != want {
				t.Errorf("%s, %s: told %q, want %q", login, name, got, want)
			}
			_ = text(t.Context(), conn, "SELECT title FROM memos")
			if got := told.take(); got != "" {
				t.Errorf("%s, %s: another column tells %q", login, name, got)
			}
		}
	}
	// The rows of a portal that are asked for one by one are one statement's.
	conn := f.connect(t, database, "alice")
	exec(t, conn, "BEGIN")
	exec(t, conn, "DECLARE c CURSOR FOR SELECT body FROM memos")
	for range 3 {
		_ = text(t.Context(), conn, "FETCH 1 FROM c")
	}
	exec(t, conn, "COMMIT")
	if got, want := told.take(), "personal_data_read alice public.memos.body card 1"; got != want {
		t.Errorf("a cursor tells %q, want %q", got, want)
	}
}
