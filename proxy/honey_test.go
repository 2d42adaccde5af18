package proxy_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/requests"
)

// gathered collects events.
type gathered struct {
	mu     sync.Mutex
	events []alert.Event
}

func (r *gathered) Raise(e alert.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// take gives what was raised since it was last asked.
func (r *gathered) take() []alert.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

const honeyPolicy = namingPolicy + "honey: {except: [backup]}\n"

// TestHoneyTouched reads and changes rows in every way that a client can, of
// which customer 3 is planted.
func TestHoneyTouched(t *testing.T) {
	database := pgtest.Database(t, "shop")
	store, remember := remembers(t, database, new(atomic.Int64))
	events := &gathered{}
	text := strings.Replace(honeyPolicy, "users:\n", "users:\n  bea: {roles: [backup]}\n  max: {roles: [backup, agent]}\n", 1)
	text = strings.Replace(text, "  dba:", "  backup: {purposes: [support], tables: [{on: [\"public.*\"]}]}\n  dba:", 1)
	f := start(t, database, text, remember, func(o *proxy.Options) { o.Alerts = events })
	if _, err := store.PlantHoney(t.Context(), "customer", "3", true); err != nil {
		t.Fatal(err)
	}
	if err := f.ReadHoney(t.Context()); err != nil {
		t.Fatal(err)
	}
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	exec(t, admin, "INSERT INTO orders (customer_id, placed_at, status, total) VALUES (3, '2026-01-01', 'new', 1) ON CONFLICT DO NOTHING")
	modes := map[string]pgx.QueryExecMode{
		"simple": pgx.QueryExecModeSimpleProtocol, "exec": pgx.QueryExecModeExec,
		"described": pgx.QueryExecModeDescribeExec, "prepared": pgx.QueryExecModeCacheStatement,
	}
	for _, tt := range []struct {
		login, sql string
		touched    bool
	}{
		{"alice", "SELECT first_name FROM customers WHERE id = 3", true},
		{"alice", "SELECT id FROM customers ORDER BY id LIMIT 3", true},
		{"alice", "SELECT id FROM customers ORDER BY id LIMIT 2", false},
		{"alice", "SELECT x.id FROM (SELECT id FROM customers) x", true},
		{"alice", "SELECT status FROM orders WHERE customer_id = 3", true},
		{"alice", "SELECT status FROM orders WHERE customer_id = 2", false},
		{"alice", "UPDATE customers SET region = region WHERE id = 3", true},
		{"alice", "SELECT count(*) FROM customers", false}, // as docs/honey.md says
		{"dora", "SELECT * FROM customers", true},
		{"bea", "SELECT id FROM customers", false},
		{"max", "SELECT id FROM customers", true},
	} {
		for name, mode := range modes {
			c := f.config(t, database, tt.login)
			c.DefaultQueryExecMode = mode
			conn, err := pgx.ConnectConfig(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			given(t, conn, tt.sql)
			if err := conn.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := events.take()
			if (len(got) == 1) != tt.touched || len(got) > 1 {
				t.Errorf("%s, %s: %s: raised %+v, want one: %t", tt.login, name, tt.sql, got, tt.touched)
				continue
			}
			if tt.touched && (got[0].Name != "honey_touched" || got[0].Severity != alert.Critical || got[0].User != tt.login || fmt.Sprint(got[0].Details[0]) != "kind=customer" || len(got[0].Details) != 4) {
				t.Errorf("%s: raised %+v", tt.sql, got[0])
			}
		}
	}
}

// TestHoneyByCursor has cursors and prepared statements of SQL come to a planted
// record, and the trap taken away amid a session.
func TestHoneyByCursor(t *testing.T) {
	database := pgtest.Database(t, "shop")
	store, remember := remembers(t, database, new(atomic.Int64))
	events := &gathered{}
	f := start(t, database, namingPolicy, remember, func(o *proxy.Options) { o.Alerts = events })
	read := func() {
		t.Helper()
		if err := f.ReadHoney(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.PlantHoney(t.Context(), "customer", "3", true); err != nil {
		t.Fatal(err)
	}
	conn := f.connect(t, database, "alice")
	step := func(sql string, want int) {
		t.Helper()
		text(t.Context(), conn, sql)
		if got := events.take(); len(got) != want {
			t.Errorf("%s: raised %+v, want %d", sql, got, want)
		}
	}
	step("SELECT id FROM customers", 0) // it is not in force yet
	read()
	step("SELECT id FROM customers", 1)
	step("BEGIN; DECLARE c BINARY CURSOR FOR SELECT id FROM customers ORDER BY id", 0)
	step("FETCH 2 FROM c", 0)
	step("FETCH 1 FROM c", 1)
	step("FETCH 1 FROM c", 0)
	step("COMMIT; PREPARE p AS SELECT id FROM customers WHERE id = $1", 0)
	step("EXECUTE p (2)", 0)
	step("EXECUTE p (3)", 1)
	step("COPY (SELECT id FROM customers) TO STDOUT", 0) // as docs/honey.md says
	step("SELECT 1; SELECT first_name FROM customers WHERE id = 3; SELECT 1/0", 1)
	if _, err := store.ForgetHoney(t.Context(), "customer", "3"); err != nil {
		t.Fatal(err)
	}
	read()
	step("EXECUTE p (3)", 0)
}

// TestHoneyStays has what was read last count while the table cannot be read.
func TestHoneyStays(t *testing.T) {
	database := pgtest.Database(t, "shop")
	store, remember := remembers(t, database, new(atomic.Int64))
	events := &gathered{}
	f := start(t, database, namingPolicy+"honey: {then: [alert]}\n", remember, func(o *proxy.Options) { o.Alerts = events })
	if _, err := store.PlantHoney(t.Context(), "customer", "3", true); err != nil {
		t.Fatal(err)
	}
	if err := f.ReadHoney(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser)), "ALTER TABLE pgveil.honey RENAME TO elsewhere")
	if err := f.ReadHoney(t.Context()); err == nil {
		t.Error("nobody hears that planted records cannot be read")
	}
	text(t.Context(), f.connect(t, database, "alice"), "SELECT id FROM customers WHERE id = 3")
	if got := events.take(); len(got) != 1 {
		t.Errorf("raised %+v, want one", got)
	}
}

// TestHoneyResponse touches a planted record where the policy ends the session or
// keeps the user out: with "end" the row does not leave.
func TestHoneyResponse(t *testing.T) {
	for _, tt := range []struct {
		then string
		held bool // the row
	}{
		{"[alert]", false},
		{"[end]", true},
		{"[quarantine 24h]", false},
		{"[end, quarantine 24h]", true},
	} {
		t.Run(tt.then, func(t *testing.T) {
			database := pgtest.Database(t, "shop")
			store, remember := remembers(t, database, new(atomic.Int64))
			f := start(t, database, namingPolicy+"honey: {then: "+tt.then+"}\n", remember)
			if _, err := store.PlantHoney(t.Context(), "customer", "3", true); err != nil {
				t.Fatal(err)
			}
			if err := f.ReadHoney(t.Context()); err != nil {
				t.Fatal(err)
			}
			conn := f.connect(t, database, "alice")
			got := text(t.Context(), conn, "SELECT id FROM customers WHERE id = 3")
			if held := !strings.HasPrefix(got, "3\n"); held != tt.held {
				t.Errorf("the client gets %q, want the row held back: %t", got, tt.held)
			}
			if strings.Contains(tt.then, "quarantine") {
				until(t, "alice stays out", func() bool {
					c, err := pgx.ConnectConfig(t.Context(), f.config(t, database, "alice"))
					if err != nil {
						return true
					}
					if err := c.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
					return false
				})
			} else {
				f.connect(t, database, "alice")
			}
			f.connect(t, database, "bob")
		})
	}
}

// TestHoneyRequest has an officer ask for the data of somebody who is not there.
func TestHoneyRequest(t *testing.T) {
	database := pgtest.Database(t, "shop")
	dsn := pgtest.Server(t).DSN(database, pgserver.Superuser)
	store, remember := remembers(t, database, new(atomic.Int64))
	events := &gathered{}
	officers := strings.Replace(namingPolicy, "roles:\n", "roles:\n  officer: {purposes: [support], privacy: [export]}\n", 1)
	officers = strings.Replace(officers, "users:\n", "users:\n  petra: {roles: [officer]}\n", 1)
	f := start(t, database, officers, remember, func(o *proxy.Options) {
		o.Alerts = events
		enforcer := o.Enforcer
		o.Privacy = &requests.Service{Data: &dsar.Service{
			Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) },
			Current: func() (*policy.Set, *catalog.Snapshot) { e := enforcer.Engine(); return e.Policy, e.Catalog },
		}}
	})
	if _, err := store.PlantHoney(t.Context(), "customer", "3", true); err != nil {
		t.Fatal(err)
	}
	if err := f.ReadHoney(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := f.connect(t, database, "petra")
	for _, tt := range []struct {
		sql  string
		want int
	}{{"PRIVACY EXPORT customer 2", 0}, {"PRIVACY EXPORT customer 3", 1}} {
		if got := text(t.Context(), conn, tt.sql); !strings.Contains(got, "customers") {
			t.Errorf("%s: %.300s", tt.sql, got)
		}
		if got := events.take(); len(got) != tt.want {
			t.Errorf("%s: raised %+v, want %d", tt.sql, got, tt.want)
		}
	}
}
