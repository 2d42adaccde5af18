package proxy_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/detect"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

const watchPolicy = `
version: 1
purposes: {support: {basis: contract}}
subjects: {customer: {table: public.customers, key: id}}
classes:
  open:  [public.customers.id, public.customers.region, "public.orders.*", "public.countries.*"]
  email: [public.customers.email]
  rest:  ["public.*.*"]
roles:
  agent: {purposes: [support], tables: [{on: [public.customers, public.orders, public.countries]}]}
  sync:  {purposes: [support], tables: [{on: public.customers}]}
  dba:   {unrestricted: true}
rules:
  - {role: agent, for: support, on: email, show: redact, match: equality}
users:
  alice:   {roles: [agent]}
  bob:     {roles: [sync]}
  dora:    {roles: [dba]}
  crm_app: {roles: [agent], act_as: [agent]}
unclassified: refuse
watch:
  injections:  {}
  refusals:    {more_than: 3, within: 1h}
  errors:      {more_than: 3, within: 1h}
  guesses:     {more_than: 3, within: 1h}
  enumeration: {more_than: 3, within: 1h, except: sync}
  clients:     {more_than: 2, within: 1h}
  applications: {more_than: 2, within: 1h}
  new_tables:  {after: 2}
  hours: off
`

// heard collects alerts.
type heard struct {
	mu     sync.Mutex
	events []alert.Event
}

func (h *heard) Raise(e alert.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// names gives what was heard since it was last asked: names of alerts and users.
func (h *heard) names() (names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		names = append(names, e.Name+" "+e.User)
	}
	h.events = nil
	return names
}

// watched starts a pgveil that watches.
func watched(t *testing.T, database, text string, edits ...func(*proxy.Options)) (*front, *heard) {
	t.Helper()
	h := &heard{}
	edits = append(edits, func(o *proxy.Options) { o.Watcher, o.Alerts = detect.New(100), h })
	return start(t, database, text, edits...), h
}

// TestWatch has each series end in one alert, which comes before the answer to
// what caused it.
func TestWatch(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f, h := watched(t, database, watchPolicy, names(t, database))
	for _, tt := range []struct {
		name, login string
		texts       []string
		want        []string
	}{
		{"an honest session", "alice", []string{"SELECT id, region FROM customers ORDER BY id", "SELECT id FROM customers WHERE email = 'nobody@example.com'", "SELECT nothing"}, nil},
		{"injected", "crm_app", []string{"SELECT id FROM customers WHERE id = 1 OR 1=1"}, []string{"watch_injections crm_app"}},
		{"injected and refused", "alice", []string{"SELECT id FROM customers WHERE id = 1 UNION SELECT usesysid FROM pg_shadow"}, []string{"watch_injections alice"}},
		{"injected by whom nothing is kept from", "dora", []string{"SELECT id FROM customers WHERE id = 1; DO $$BEGIN END$$"}, []string{"watch_injections dora"}},
		{"in one of texts that share a plan", "bob", []string{"SELECT id FROM customers WHERE id = 5 OR 1=0", "SELECT id FROM customers WHERE id = 6 OR 1=0", "SELECT id FROM customers WHERE id = 7 OR 2=2"}, []string{"watch_injections bob"}},
		{"refused", "bob", slices.Repeat([]string{"SELECT * FROM orders"}, 6), []string{"watch_refusals bob"}},
		{"failing", "bob", []string{"SELECT 1/0", "SELECT 'a'::int", "SELECT nothing", "SELECT 1/0", "SELECT 1/0"}, []string{"watch_errors bob"}},
		{"guessing", "alice", []string{
			"SELECT id FROM customers WHERE email = 'a@example.com'", "SELECT id FROM customers WHERE email = 'b@example.com'",
			"SELECT id FROM customers WHERE email IN ('c@example.com')", "SELECT id FROM customers WHERE region = 'EU' AND email = 'd@example.com'",
		}, []string{"watch_guesses alice"}},
		{"counting up", "alice", keysOf("SELECT region FROM customers WHERE id = %d"), []string{"watch_enumeration alice"}},
		{"counting up as a role may", "bob", keysOf("SELECT id FROM customers WHERE id = %d"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := f.connect(t, database, tt.login)
			h.names() // of logins
			for _, sql := range tt.texts {
				text(t.Context(), conn, sql)
			}
			if got := h.names(); !slices.Equal(got, tt.want) {
				t.Errorf("heard of %q, want %q\n%s", got, tt.want, f.Log)
			}
		})
	}
}

// keysOf asks for the shop's customers one by one.
func keysOf(sql string) (texts []string) {
	for id := range 5 {
		texts = append(texts, fmt.Sprintf(sql, id+1))
	}
	return texts
}

// TestWatchPrepared counts keys up by one prepared statement, from two sessions.
func TestWatchPrepared(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f, h := watched(t, database, watchPolicy, names(t, database))
	conns := []*pgx.Conn{f.connect(t, database, "alice"), f.connect(t, database, "alice")}
	for id := range 5 {
		var region string
		if err := conns[id%2].QueryRow(t.Context(), "SELECT region FROM customers WHERE id = $1", id+1).Scan(&region); err != nil {
			t.Fatal(id, err)
		}
	}
	if got := h.names(); !slices.Equal(got, []string{"watch_enumeration alice"}) {
		t.Errorf("heard of %q", got)
	}
}

// TestInjectionIsNotSent has the policy end sessions that inject: the statement
// is not run.
func TestInjectionIsNotSent(t *testing.T) {
	database := pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	exec(t, admin, "CREATE TABLE traces (at timestamptz)")
	// A quarantine may be known before the statement is answered.
	for then, codes := range map[string]string{"end": "57P01|28000", "quarantine login 1m": "57P01|28000|42501"} {
		f, h := watched(t, database, strings.Replace(watchPolicy, "injections:  {}", "injections: {then: "+then+"}", 1))
		conn := f.connect(t, database, "dora")
		script(t, conn, "INSERT INTO traces SELECT now() WHERE 1 = 2 OR 1 = 0", "",
			"INSERT INTO traces SELECT now() WHERE 1 = 2 OR 2 = 2", codes)
		var n int
		if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM traces").Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d rows were written, %v", then, n, err)
		}
		until(t, "the session ends", func() bool { return text(t.Context(), conn, "SELECT 1") != "1\n" })
		if got := h.names(); len(got) == 0 || got[0] != "watch_injections dora" {
			t.Errorf("%s: heard of %q", then, got)
		}
	}
}

// TestHabitsOfSessions has a process write what alice does, and the next compare
// her with that.
func TestHabitsOfSessions(t *testing.T) {
	database := pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	var ahead atomic.Int64
	store, _ := remembers(t, database, &ahead)
	with := func(o *proxy.Options) {
		o.Names, o.Habits = store.SubjectTokens, store
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}
	for day := range 4 {
		f, h := watched(t, database, watchPolicy, with)
		ahead.Store(int64(day) * int64(24*time.Hour))
		conn := f.connect(t, database, "alice")
		script(t, conn, "SELECT count(*) FROM customers WHERE region = 'EU'", "", "SELECT id FROM customers", "")
		for range 2 { // reads the history, then there is something to compare with
			if err := f.KeepHabits(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want := []string(nil)
		if day == 3 {
			script(t, conn, "SELECT name FROM countries", "")
			want = []string{"watch_new_tables alice"}
		}
		script(t, conn, "SELECT region FROM customers", "")
		if got := h.names(); !slices.Equal(got, want) {
			t.Errorf("day %d: heard of %q, want %q", day, got, want)
		}
		if err := f.KeepHabits(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var days, subjects int
	if err := admin.QueryRow(t.Context(), "SELECT count(*), max(subjects) FROM pgveil.habits WHERE username = 'alice'").Scan(&days, &subjects); err != nil || days != 4 {
		t.Errorf("%d days were written, %v", days, err)
	}
	var customers int
	if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM customers").Scan(&customers); err != nil || subjects != customers {
		t.Errorf("%d of %d customers were counted on a day, %v", subjects, customers, err)
	}
}

// TestHabitsLost takes the tables away: an error for the operators, and nothing
// else.
func TestHabitsLost(t *testing.T) {
	database := pgtest.Database(t, "shop")
	store, _ := remembers(t, database, new(atomic.Int64))
	f, h := watched(t, database, watchPolicy, func(o *proxy.Options) { o.Habits = store })
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	exec(t, admin, "DROP TABLE pgveil.habits")
	conn := f.connect(t, database, "alice")
	for range 3 {
		script(t, conn, "SELECT region FROM customers WHERE id = 1", "")
		if err := f.KeepHabits(t.Context()); err == nil {
			t.Error("habits were kept without a table")
		}
	}
	if got := h.names(); got != nil {
		t.Errorf("heard of %q", got)
	}
	exec(t, admin, "CREATE TABLE pgveil.habits (username text, day date, sketch bytea, subjects int, peak int, hours int, PRIMARY KEY (username, day))")
	script(t, conn, "SELECT region FROM customers WHERE id = 1", "")
	if err := f.KeepHabits(t.Context()); err != nil {
		t.Error(err)
	}
	var tables string
	if err := admin.QueryRow(t.Context(), "SELECT username FROM pgveil.habits").Scan(&tables); err != nil || tables != "alice" {
		t.Errorf("written: %q, %v", tables, err)
	}
}
