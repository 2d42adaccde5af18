package proxy_test

import (
	"context"
	"encoding/base32"
	"errors"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp/totp"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/state"
)

// stepsPolicy has what needs a step more than a login: a class a second factor,
// a purpose an elevation.
const stepsPolicy = `
version: 1
purposes:
  support: {basis: contract}
  billing: {basis: contract}
  rescue:  {basis: vital_interests}
classes:
  open:  [public.customers.id, public.customers.region]
  email: [public.customers.email]
  name:  [public.customers.first_name]
  rest:  ["public.*.*"]
roles:
  agent: {purposes: [support], tables: [{on: public.customers}]}
  lead:  {purposes: [support], tables: [{on: public.customers}]}
  dba:   {unrestricted: true}
rules:
  - {role: agent, for: support, on: name,  show: clear}
  - {role: agent, for: billing, on: email, show: clear}
  - {role: agent, for: rescue,  on: email, show: clear}
second_factor: {classes: [name], for: 1h}
elevations:
  - {role: agent, to: billing, for: 1h, by: [lead]}
  - {role: agent, to: rescue, for: 10m, approval: after, by: [lead], second_factor: true}
users:
  alice: {roles: [agent]}
  bob:   {roles: [lead]}
  max:   {roles: [lead, agent]}
  dora:  {roles: [dba]}
  crm_app: {act_as: [agent, lead]}
unclassified: refuse
`

// remembers gives pgveil its tables in a database. ahead is by how much its
// clock is, to which the database's own is not a stranger: it is the real one.
func remembers(t testing.TB, database string, ahead *atomic.Int64) (*state.Store, func(*proxy.Options)) {
	t.Helper()
	conn := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	exec(t, conn, state.Schema())
	var turn sync.Mutex
	store := &state.Store{Key: make([]byte, 32), Use: func(_ context.Context, f func(*pgx.Conn) error) error {
		turn.Lock()
		defer turn.Unlock()
		return f(conn)
	}}
	return store, func(o *proxy.Options) {
		o.State = store
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}
}

// script sends texts one by one, and compares what each gives: a SQLSTATE, or
// what a pattern matches.
func script(t *testing.T, conn *pgx.Conn, steps ...string) {
	t.Helper()
	for i := 0; i+1 < len(steps); i += 2 {
		got := text(t.Context(), conn, steps[i])
		if !regexp.MustCompile(`^(?s:` + steps[i+1] + `)`).MatchString(got) {
			t.Errorf("%s = %q, want %q", steps[i], got, steps[i+1])
		}
	}
}

// TestElevation has purposes asked for, approved, used, and taken away.
func TestElevation(t *testing.T) {
	database := pgtest.Database(t, "shop")
	var ahead atomic.Int64
	_, with := remembers(t, database, &ahead)
	f := start(t, database, stepsPolicy, with)
	alice, bob := f.connect(t, database, "alice"), f.connect(t, database, "bob")
	carol, app := f.connect(t, database, "max"), f.connect(t, database, "crm_app")
	const billing, email = "SET pgveil.purpose = 'billing'", "SELECT email FROM customers WHERE id = 1"

	script(t, alice, billing, "42501 purpose \"billing\" is not permitted",
		"PRIVACY ELEVATE TO salaries FOR 30m BECAUSE 'why not'", "42501",
		"PRIVACY ELEVATE TO billing FOR 2h BECAUSE 'ticket 4711'", "42501",
		"PRIVACY ELEVATE TO billing FOR 30m BECAUSE 'ticket 4711'", `1\|alice\|billing\|asked\|`,
		billing, "42501",
		"PRIVACY APPROVE 1", "42501 nobody approves",
		"PRIVACY SHOW ELEVATIONS", `1\|alice\|billing\|asked`)
	script(t, app, "PRIVACY APPROVE 1", "P0002", "SET pgveil.end_user = 'bob'", "", "PRIVACY APPROVE 1", "P0002")
	script(t, bob, "PRIVACY SHOW ELEVATIONS", `1\|alice\|billing\|asked\|.*\|ticket 4711\|`,
		"PRIVACY APPROVE 99", "P0002",
		"PRIVACY APPROVE 1 BECAUSE 'seen'", `1\|alice\|billing\|granted\|`,
		"PRIVACY APPROVE 1", "55000",
		"PRIVACY ELEVATE TO billing FOR 30m BECAUSE 'me too'", "42501")

	prepared := "PREPARE p AS " + email
	script(t, alice, email, "42501", billing, "", email, ".+@", prepared, "", "EXECUTE p", ".+@")
	script(t, f.connect(t, database, "alice"), email, "42501", billing, "", email, ".+@") // her other sessions as well
	script(t, carol, billing, "42501")                                                    // and nobody else

	script(t, bob, "PRIVACY REVOKE 1 BECAUSE 'enough'", `1\|alice\|billing\|revoked`)
	script(t, alice, "EXECUTE p", "42501", email, "42501", "RESET pgveil.purpose", "", email, "42501", "SELECT id FROM customers WHERE id = 1", "1\n")

	script(t, carol, "PRIVACY ELEVATE TO billing FOR 10s BECAUSE 'x'", `2\|max`, "PRIVACY APPROVE 2", "42501 nobody approves", "PRIVACY DENY 2", `2\|max\|billing\|denied`)
	script(t, alice, "PRIVACY ELEVATE TO billing FOR 30m BECAUSE 'again'", `3\|alice`)
	script(t, bob, "PRIVACY APPROVE 3", `3\|alice\|billing\|granted`)
	script(t, alice, billing, "", email, ".+@")
	ahead.Store(int64(31 * time.Minute))
	script(t, alice, email, "42501 purpose \"billing\" is not permitted")
}

// TestElevationElsewhere has another proxy of the same database approve and
// revoke.
func TestElevationElsewhere(t *testing.T) {
	database := pgtest.Database(t, "shop")
	store, with := remembers(t, database, &atomic.Int64{})
	f := start(t, database, stepsPolicy, with)
	alice := f.connect(t, database, "alice")
	script(t, alice, "PRIVACY ELEVATE TO billing FOR 30m BECAUSE 'ticket 4711'", `1\|`)
	steps := []struct {
		do   func(context.Context, int64, string, string) error
		want string
	}{{store.Approve, ""}, {store.Revoke, "42501"}}
	for _, s := range steps {
		if err := s.do(t.Context(), 1, "bob", ""); err != nil {
			t.Fatal(err)
		}
		if err := f.ReadElevations(t.Context()); err != nil {
			t.Fatal(err)
		}
		script(t, alice, "SET pgveil.purpose = 'billing'", s.want)
	}
}

// TestElevationsUnread takes the tables away: what was granted is over soon.
func TestElevationsUnread(t *testing.T) {
	database := pgtest.Database(t, "shop")
	var ahead atomic.Int64
	store, with := remembers(t, database, &ahead)
	f := start(t, database, stepsPolicy, with)
	alice := f.connect(t, database, "alice")
	script(t, alice, "PRIVACY ELEVATE TO billing FOR 1h BECAUSE 'ticket 4711'", `1\|`)
	if err := store.Approve(t.Context(), 1, "bob", ""); err != nil {
		t.Fatal(err)
	}
	if err := f.ReadElevations(t.Context()); err != nil {
		t.Fatal(err)
	}
	script(t, alice, "SET pgveil.purpose = 'billing'", "", "SELECT email FROM customers WHERE id = 1", ".+@")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	exec(t, admin, "ALTER TABLE pgveil.elevations RENAME TO elsewhere")
	ahead.Store(int64(time.Minute))
	if err := f.ReadElevations(t.Context()); err == nil {
		t.Error("elevations are read from nowhere")
	}
	script(t, alice, "SELECT email FROM customers WHERE id = 1", "42501", "RESET pgveil.purpose", "", "PRIVACY SHOW ELEVATIONS", "0A000")
}

// TestElevationsUnanswered has the server say nothing any more to who reads them.
func TestElevationsUnanswered(t *testing.T) {
	database := pgtest.Database(t, "shop")
	var ahead atomic.Int64
	store, with := remembers(t, database, &ahead)
	f := start(t, database, stepsPolicy, with)
	alice := f.connect(t, database, "alice")
	script(t, alice, "PRIVACY ELEVATE TO billing FOR 1h BECAUSE 'ticket 4711'", `1\|`)
	if err := store.Approve(t.Context(), 1, "bob", ""); err != nil {
		t.Fatal(err)
	}
	if err := f.ReadElevations(t.Context()); err != nil {
		t.Fatal(err)
	}
	script(t, alice, "SET pgveil.purpose = 'billing'", "$", "SELECT email FROM customers WHERE id = 1", ".+@")
	store.Use = func(ctx context.Context, _ func(*pgx.Conn) error) error {
		ahead.Store(int64(time.Minute))
		<-ctx.Done()
		return ctx.Err()
	}
	if err := f.ReadElevations(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("reading: %v", err)
	}
	script(t, alice, "SELECT email FROM customers WHERE id = 1", "42501")
}

// TestSecondFactor steps up in a session, by every way to give a code, and tries
// to have it count where it does not.
func TestSecondFactor(t *testing.T) {
	database := pgtest.Database(t, "shop")
	var ahead atomic.Int64
	store, with := remembers(t, database, &ahead)
	f := start(t, database, stepsPolicy, with)
	enrolled, err := store.Enrol(t.Context(), state.Factor{User: "alice", Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second}, false)
	if err != nil {
		t.Fatal(err)
	}
	code := func(steps time.Duration) string {
		c, err := totp.GenerateCode(base32.StdEncoding.EncodeToString(enrolled.Secret), time.Now().Add(time.Duration(ahead.Load())+steps*30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const name, id = "SELECT first_name FROM customers WHERE id = 1", "SELECT id FROM customers WHERE id = 1"
	alice := f.connect(t, database, "alice")
	first := code(-1)
	script(t, alice, name, "42501", id, "1\n", "PRIVACY MFA 12345", "42601", "PRIVACY MFA "+first, "second factor.accepted for 1h", name, `\w+\n$`)
	script(t, f.connect(t, database, "alice"), name, "42501", "PRIVACY MFA "+first, "42501|28", name, "42501")
	script(t, f.connect(t, database, "bob"), "PRIVACY MFA 123456", "P0002 you have no second factor")
	script(t, f.connect(t, database, "crm_app"), "SET pgveil.end_user = 'alice'", "", "PRIVACY MFA "+code(0), "42501 a second factor needs a user who is known")

	byParameter := f.connect(t, database, "alice")
	var what, is string
	if err := byParameter.QueryRow(t.Context(), "SELECT pgveil.mfa($1)", pgx.QueryExecModeDescribeExec, code(0)).Scan(&what, &is); err != nil || !strings.HasPrefix(is, "accepted") {
		t.Errorf("by a parameter: %q, %v", is, err)
	}
	script(t, byParameter, name, `\w+\n$`)

	ahead.Store(int64(61 * time.Minute))
	script(t, alice, name, "42501", "PRIVACY ELEVATE TO rescue FOR 5m BECAUSE 'fire'", "42501 an elevation to rescue needs a second factor",
		"PRIVACY MFA "+code(0), "second factor", "PRIVACY ELEVATE TO rescue FOR 5m BECAUSE 'fire'", `1\|alice\|rescue\|granted`,
		"SET pgveil.purpose = 'rescue'", "", "SELECT email FROM customers WHERE id = 1", ".+@",
		"PRIVACY REVIEW 1 BECAUSE 'it was needed'", "42501 nobody approves or reviews")
	script(t, f.connect(t, database, "bob"), "PRIVACY REVIEW 1 BECAUSE 'it was needed'", `1\|alice\|rescue\|granted.*\|bob\|it was needed`)
}
