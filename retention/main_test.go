package retention_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/retention"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/state"
)

// envVictim makes the test binary one process that runs retention: see TestKilled.
const envVictim = "PGVEIL_TEST_RETENTION"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(envVictim); dsn != "" {
		victim(dsn)
		return
	}
	pgtest.Main(m)
}

// site is a database with pgveil's tables and a policy.
type site struct {
	dsn  string
	conn *pgx.Conn
	text string
	set  *policy.Set
	cat  *catalog.Snapshot

	values dsar.Values
}

// newSite makes the tables, with a schema crm, and reads the policy.
func newSite(t *testing.T, schema, text string) *site {
	t.Helper()
	s := &site{dsn: pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser), text: text}
	s.conn = pgtest.Connect(t, s.dsn)
	s.exec(t, "CREATE SCHEMA crm; "+schema)
	s.load(t)
	s.exec(t, state.Schema(dsar.Ledgers(s.set)...))
	s.load(t)
	return s
}

func (s *site) load(t *testing.T) {
	t.Helper()
	var err error
	if s.set, s.cat, err = compile(t.Context(), s.conn, s.text); err != nil {
		t.Fatal(err)
	}
}

func compile(ctx context.Context, conn *pgx.Conn, text string) (*policy.Set, *catalog.Snapshot, error) {
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: "version: 1\n" + text})
	if err != nil {
		return nil, nil, err
	}
	cat, err := pgload.Load(ctx, conn)
	if err != nil {
		return nil, nil, err
	}
	cat = policy.Implied(doc, cat)
	set, err := policy.Compile(doc, cat, policy.CheckRows(func(expr string, r *catalog.Relation) error { return rewrite.CheckFilter(cat, expr, r) }))
	return set, cat, err
}

func (s *site) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := s.conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// ids gives a column of what a query finds, in one line.
func (s *site) ids(t *testing.T, sql string, args ...any) string {
	t.Helper()
	rows, err := s.conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		v, err := row.Values()
		return fmt.Sprint(v[0]), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(found, " ")
}

func (s *site) plan(t *testing.T) retention.Plan {
	t.Helper()
	p, err := retention.NewPlan(t.Context(), s.conn, s.set, s.cat, retention.Able{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var testKey = []byte("a key of tests, not of anybody's.")

// options are those of a run that records what it takes in recorded.
func (s *site) options(recorded *[]retention.Batch) retention.Options {
	return retention.Options{
		Set: s.set, Cat: s.cat, Key: testKey, By: "tester", Batch: 2, LockWait: 200 * time.Millisecond,
		Record: func(_ context.Context, b retention.Batch) error {
			*recorded = append(*recorded, b)
			return nil
		},
	}
}

func (s *site) run(t *testing.T) (retention.Result, []retention.Batch) {
	t.Helper()
	var recorded []retention.Batch
	r, err := retention.Run(t.Context(), pgtest.Connect(t, s.dsn), s.options(&recorded))
	if err != nil {
		t.Fatalf("%v: %+v", err, r)
	}
	return r, recorded
}

const (
	crm = `
		CREATE TABLE crm.customers (id int PRIMARY KEY, name text, seen timestamptz);
		CREATE TABLE crm.tickets (id int PRIMARY KEY, customer_id int REFERENCES crm.customers, status text, closed_at timestamptz);
		CREATE TABLE crm.comments (id int PRIMARY KEY, ticket_id int NOT NULL REFERENCES crm.tickets ON DELETE CASCADE, author_id int REFERENCES crm.customers);
		CREATE TABLE crm.calls (id int PRIMARY KEY, ticket_id int REFERENCES crm.tickets ON DELETE SET NULL);
		CREATE TABLE crm.files (id int PRIMARY KEY, comment_id int REFERENCES crm.comments);
		INSERT INTO crm.customers SELECT g, 'c' || g, now() FROM generate_series(1, 9) AS g;`

	customers = "subjects: {customer: {table: crm.customers, key: id}}\n"
)
