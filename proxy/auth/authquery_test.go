package auth

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// longest is a role's name. PostgreSQL cuts longer ones to this length when it
// casts them to name, and makes them somebody else's.
const longest = "role_with_a_name_as_long_as_names_can_be_which_is_63_characters"

func TestAuthQueryFindsWhoMayLogIn(t *testing.T) {
	q := authQuery(t)
	for user, want := range map[string]error{
		"alice": nil, "future": nil, "trusted": nil, longest: nil, longest + "x": ErrNoVerifier,
		"past": ErrNoVerifier, "group_only": ErrNoVerifier, "bare": ErrNoVerifier, "old": ErrNoVerifier,
		"nobody": ErrNoVerifier, "": ErrNoVerifier, "alice' OR true --": ErrNoVerifier, `"alice"`: ErrNoVerifier,
	} {
		if v, err := q.Lookup(t.Context(), user); !errors.Is(err, want) || v.usable() != (want == nil) {
			t.Errorf("Lookup(%q) = usable %v, %v, want %v", user, v.usable(), err, want)
		}
	}
}

func TestAuthQueryReconnects(t *testing.T) {
	q := authQuery(t)
	admin := pgtest.Connect(t, server(t).DSN("postgres", pgserver.Superuser))
	for range 3 {
		if _, err := q.Lookup(t.Context(), "alice"); err != nil {
			t.Fatalf("Lookup = %v", err)
		}
		if _, err := admin.Exec(t.Context(), "SELECT pg_terminate_backend($1, 5000)", int(q.conn.PgConn().PID())); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAuthQueryIgnoresSearchPath asks by an unqualified name, which an operator's
// query may hold: the service login's own search_path leads into a trap.
func TestAuthQueryIgnoresSearchPath(t *testing.T) {
	q := authQuery(t)
	q.query = "SELECT rolpassword FROM pg_authid WHERE rolname = $1"
	if _, err := q.Lookup(t.Context(), "alice"); err != nil {
		t.Errorf("Lookup = %v, want the verifier of pg_catalog.pg_authid", err)
	}
}

// TestAuthQueryOutages tells what an operator must mend from what a user did.
func TestAuthQueryOutages(t *testing.T) {
	base, err := pgx.ParseConfig(server(t).HostDSN("postgres", "service", "service"))
	if err != nil {
		t.Fatal(err)
	}
	wrong := base.Copy()
	wrong.Password = "wrong"
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		config *pgx.ConnConfig
		query  string
	}{
		{"service login refused", t.Context(), wrong, ""},
		{"time is over", ended, base, ""},
		{"no such table", t.Context(), base, "SELECT x FROM missing WHERE name = $1"},
		{"two rows", t.Context(), base, "SELECT rolpassword FROM pg_authid WHERE rolname <> $1"},
		{"two columns", t.Context(), base, "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := NewAuthQuery(opener(tt.config), tt.query)
			defer q.Close(context.Background())
			if _, err := q.Lookup(tt.ctx, "alice"); err == nil || errors.Is(err, ErrNoVerifier) {
				t.Errorf("Lookup = %v, want an outage", err)
			}
		})
	}
}

func TestAuthQueryKeeps(t *testing.T) {
	q := authQuery(t)
	q.Keep = time.Hour
	if _, err := q.Lookup(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	q.query = "SELECT pg_sleep($1::int)::text" // fails when asked
	if _, err := q.Lookup(t.Context(), "alice"); err != nil {
		t.Errorf("Lookup of a kept verifier = %v, want nil", err)
	}
	k := q.kept[0]["alice"]
	k.until = time.Now()
	q.kept[0]["alice"] = k
	if _, err := q.Lookup(t.Context(), "alice"); err == nil {
		t.Error("Lookup of a verifier kept too long = nil, want the server's error")
	}
}

// TestAuthQueryKeepsRefusals answers for whom there was no verifier as fast as
// for others: the difference would tell who has one.
func TestAuthQueryKeepsRefusals(t *testing.T) {
	q := authQuery(t)
	q.Keep = time.Hour
	users := []string{"nobody", "bare", "old", "past"}
	for _, user := range users {
		if _, err := q.Lookup(t.Context(), user); !errors.Is(err, ErrNoVerifier) {
			t.Errorf("Lookup(%q) = %v, want %v", user, err, ErrNoVerifier)
		}
	}
	asks := q.query
	q.query = "SELECT pg_sleep($1::int)::text" // fails when asked
	for _, user := range users {
		if _, err := q.Lookup(t.Context(), user); !errors.Is(err, ErrNoVerifier) {
			t.Errorf("Lookup(%q) of whom the server does not know = %v, want %v", user, err, ErrNoVerifier)
		}
	}
	if _, err := q.Lookup(t.Context(), "alice"); err == nil || errors.Is(err, ErrNoVerifier) {
		t.Errorf("Lookup while the server fails = %v, want its error", err)
	}
	q.query = asks
	if _, err := q.Lookup(t.Context(), "alice"); err != nil {
		t.Errorf("Lookup after the server failed = %v: an outage was kept", err)
	}
}

// TestAuthQueryKeepsABoundedNumber fills what is kept: those without a verifier,
// whom anybody can make up, take no place of the others.
func TestAuthQueryKeepsABoundedNumber(t *testing.T) {
	q := authQuery(t)
	q.Keep = time.Hour
	until := time.Now().Add(time.Hour)
	q.keep("alice", kept{until: until})
	for i := range maxKept + 10 {
		q.keep(strconv.Itoa(i), kept{none: ErrNoVerifier, until: until})
	}
	if _, ok := q.recall("alice"); !ok || len(q.kept[1]) != maxKept {
		t.Errorf("%d without a verifier are kept, want %d; and alice: %t", len(q.kept[1]), maxKept, ok)
	}
	for name, k := range q.kept[1] {
		k.until = time.Now()
		q.kept[1][name] = k
	}
	q.keep("one more", kept{none: ErrNoVerifier, until: until})
	if len(q.kept[1]) != 1 {
		t.Errorf("%d are kept once all others are too old, want 1", len(q.kept[1]))
	}
	q.keep("one more", kept{until: until})
	if len(q.kept[1]) != 0 || len(q.kept[0]) != 2 {
		t.Errorf("who has a verifier now: %d and %d are kept, want 2 and 0", len(q.kept[0]), len(q.kept[1]))
	}
}

// TestAuthQueryAsksOnce lets many ask for one user at once, with a query that
// counts.
func TestAuthQueryAsksOnce(t *testing.T) {
	q := authQuery(t)
	q.Keep = time.Hour
	admin := pgtest.Connect(t, server(t).DSN("postgres", pgserver.Superuser))
	if _, err := admin.Exec(t.Context(), "CREATE SEQUENCE lookups"); err != nil {
		t.Fatal(err)
	}
	q.query = "SELECT rolpassword FROM pg_authid WHERE rolname = $1 AND nextval('public.lookups') > 0"
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if _, err := q.Lookup(t.Context(), "alice"); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	var times int
	if err := admin.QueryRow(t.Context(), "SELECT last_value FROM lookups").Scan(&times); err != nil || times != 1 {
		t.Errorf("the server was asked %d times, %v, want once", times, err)
	}
}

func TestAuthQueryIsShared(t *testing.T) {
	q := authQuery(t)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 5 {
				if _, err := q.Lookup(t.Context(), "alice"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}
