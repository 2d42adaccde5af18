package dsar

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// The environment of a process that erases until it is killed: by itself, at a
// step before or after its transaction ends.
const (
	killedDSN    = "PGVEIL_TEST_ERASE_DSN"
	killedBefore = "PGVEIL_TEST_ERASE_BEFORE"
	killedAfter  = "PGVEIL_TEST_ERASE_AFTER"
)

const killBatch = 3

// killScene has every kind of step: references taken out of rows of others,
// rows anonymised, kept, deleted in batches, in a cycle, and the subject.
const killScene = `
	CREATE TABLE customers (id int PRIMARY KEY, name text, main int);
	CREATE TABLE accounts (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers);
	ALTER TABLE customers ADD FOREIGN KEY (main) REFERENCES accounts;
	CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, note text);
	CREATE TABLE lines (order_id int NOT NULL REFERENCES orders, what text);
	CREATE TABLE visits (customer_id int, page text);
	CREATE TABLE leads (id int PRIMARY KEY, customer_id int REFERENCES customers ON DELETE SET NULL, customer_name text);
	CREATE TABLE invoices (id int PRIMARY KEY, customer_no int, buyer text, paid date);
	INSERT INTO customers SELECT i, 'Ada ' || i FROM generate_series(1, 3) AS i;
	INSERT INTO accounts SELECT 10 * i + j, i FROM generate_series(1, 3) AS i, generate_series(1, 2) AS j;
	UPDATE customers SET main = 10 * id + 1;
	INSERT INTO orders SELECT 10 * i + j, i, 'secret' FROM generate_series(1, 3) AS i, generate_series(0, 3) AS j;
	INSERT INTO lines SELECT o.id, 'thing ' || j FROM orders AS o, generate_series(1, 2) AS j;
	INSERT INTO visits SELECT i, '/' || j FROM generate_series(1, 3) AS i, generate_series(1, 4) AS j;
	INSERT INTO leads SELECT 10 * i + j, i, 'Ada' FROM generate_series(1, 3) AS i, generate_series(0, 3) AS j;
	INSERT INTO invoices SELECT 10 * i + j, i, 'Ada', date '2000-01-01' + 4000 * j FROM generate_series(1, 3) AS i, generate_series(0, 4) AS j;`

const killPolicy = `version: 1
mode: enforce
classes: {open: ["public.*.*"], name: {columns: ["public.orders.note"]}}
subjects:
  customer:
    table: public.customers
    key: id
    references: [{from: public.visits.customer_id}, {from: public.invoices.customer_no}]
    erase: [{on: [public.orders], do: anonymise}, {on: [public.invoices], do: keep, because: tax, for: 10y, after: paid}]
`

func killGraph(ctx context.Context, conn *pgx.Conn) (*Graph, error) {
	doc, err := policy.Parse(policy.File{Name: "kill.yaml", Text: killPolicy})
	if err != nil {
		return nil, err
	}
	cat, err := pgload.Load(ctx, conn)
	if err != nil {
		return nil, err
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		return nil, err
	}
	return NewGraph(set, cat, "customer")
}

// eraseAndDie is what the process does. That it comes to the end of the erasure
// is an exit code of its own.
func eraseAndDie(dsn string) {
	before, _ := strconv.Atoi(os.Getenv(killedBefore))
	after, _ := strconv.Atoi(os.Getenv(killedAfter))
	die := func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }
	err := func() error {
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return err
		}
		g, err := killGraph(ctx, conn)
		if err != nil {
			return err
		}
		plan, err := PlanErasure(ctx, conn, g, byKey("1"))
		if err != nil {
			return err
		}
		steps, transactions := 0, 0
		_, err = Erase(ctx, conn, g, EraseOptions{Request: 7, Key: byKey("1"), Plan: plan, Batch: killBatch, LaterTidy: true,
			Record: func(context.Context, ErasureStep) error {
				if steps++; steps == before {
					die()
				}
				return nil
			},
			Progress: func(int64, int64) {
				if transactions++; transactions == after {
					die()
				}
			}})
		return err
	}()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// killedAt runs the process, and tells whether it was killed.
func killedAt(t *testing.T, dsn, when string, n int) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), killedDSN+"="+dsn, when+"="+strconv.Itoa(n))
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return false
}

// An erasure that is killed at any step goes on where it was, and ends as one
// that nobody disturbed.
func TestKilled(t *testing.T) {
	setup := database(t, "", state.Schema())
	dsn := pgtest.Server(t).DSN(setup.Config().Database, pgserver.Superuser)
	fresh := func() (*pgx.Conn, *Graph) {
		const empty = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; TRUNCATE pgveil.erasure_steps;"
		if _, err := setup.Exec(t.Context(), empty+killScene); err != nil {
			t.Fatal(err)
		}
		conn := pgtest.Connect(t, dsn)
		g, err := killGraph(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		return conn, g
	}
	conn, g := fresh()
	undisturbed := erase(t, conn, g, EraseOptions{Request: 7, Batch: killBatch, LaterTidy: true}, "1")
	want := contents(t, conn)
	if text := strings.Join(want, "\n"); strings.Count(text, "secret") != 8 || strings.Count(text, "Ada") != 2+8+10+3 {
		t.Fatalf("erased:\n%s", text)
	}
	for _, when := range []string{killedBefore, killedAfter} {
		deaths := 0
		for n := 1; ; n++ {
			conn, g := fresh()
			p := plan(t, conn, g, "1")
			if !killedAt(t, dsn, when, n) {
				break
			}
			deaths++
			done, err := Erase(t.Context(), conn, g, EraseOptions{Request: 7, Key: byKey("1"), Plan: p, Batch: killBatch, LaterTidy: true})
			var gone *privacy.Error
			if errors.As(err, &gone) && gone.Code == privacy.NotAvailable {
				t.Fatalf("the killed process is still at work: %v", err)
			}
			if err != nil {
				t.Fatalf("%s %d: %v", when, n, err)
			}
			if diff := cmp.Diff(want, contents(t, conn)); diff != "" {
				t.Errorf("%s %d: -undisturbed +resumed:\n%s", when, n, diff)
			}
			if done.Rows != undisturbed.Rows || keptRows(done) != 3 || keptRows(undisturbed) != 3 {
				t.Errorf("%s %d: %d rows by the journal, undisturbed %d; kept %d", when, n, done.Rows, undisturbed.Rows, keptRows(done))
			}
			if _, err := Journal(t.Context(), conn, 7); err != nil {
				t.Error(err)
			}
		}
		if deaths < 10 {
			t.Errorf("%s: killed only %d times", when, deaths)
		}
	}
}

func keptRows(e Erased) (n int64) {
	for _, s := range e.Steps {
		if s.Action == Keep && s.Reason == "tax" && s.Until != nil {
			n += s.Rows
		}
	}
	return n
}
