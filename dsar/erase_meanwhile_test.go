package dsar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/privacy"
)

const busyScene = `
	CREATE TABLE customers (id int PRIMARY KEY, name text);
	CREATE TABLE orders (id serial PRIMARY KEY, customer_id int NOT NULL REFERENCES customers);
	CREATE TABLE lines (order_id int NOT NULL REFERENCES orders, what text);
	CREATE TABLE visits (customer_id int);
	CREATE TABLE other (id int);
	INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob');
	INSERT INTO orders (customer_id) SELECT 1 + i % 2 FROM generate_series(1, 40) AS i;
	INSERT INTO lines SELECT id, 'thing' FROM orders;
	INSERT INTO visits SELECT 1 + i % 2 FROM generate_series(1, 40) AS i`

var busyPolicy = allOpen(", references: [{from: public.visits.customer_id}]")

func second(t *testing.T, conn *pgx.Conn) *pgx.Conn {
	t.Helper()
	return pgtest.Connect(t, pgtest.Server(t).DSN(conn.Config().Database, pgserver.Superuser))
}

// What others do between two batches: rows that come go too, rows that were
// given to somebody else stay, and what the plan did not know stops the rest.
func TestMeanwhile(t *testing.T) {
	for _, tt := range []struct {
		name, sql string
		code      privacy.Code // "" when the erasure goes on
		left      string       // of orders, lines, visits, of customer 1 and of customer 2
	}{
		{"rows come", "INSERT INTO orders (customer_id) VALUES (1), (2); INSERT INTO lines SELECT max(id) - 1, 'new' FROM orders; INSERT INTO visits VALUES (1)", "", "0 0 0, 21 20 20"},
		{"rows of theirs come to rows that are to go", "INSERT INTO lines SELECT max(id), 'new' FROM orders WHERE customer_id = 1", "", "0 0 0, 20 20 20"},
		{"rows are somebody else's", "UPDATE orders SET customer_id = 2 WHERE id = (SELECT max(id) FROM orders WHERE customer_id = 1)", "", "0 0 0, 21 21 20"},
		{"rows change", "UPDATE lines SET what = 'other'", "", "0 0 0, 20 20 20"},
		{"a hold", "INSERT INTO pgveil.holds (kind, key, relation, matter, made_by, ends_at) VALUES ('customer', '1', '', 'Smith v. us', 'x', 'infinity')", privacy.SchemaChanged, ""},
		{"a hold on somebody else", "INSERT INTO pgveil.holds (kind, key, relation, matter, made_by, ends_at) VALUES ('customer', '2', '', 'Smith v. us', 'x', 'infinity')", "", "0 0 0, 20 20 20"},
		{"a column", "ALTER TABLE orders ADD note text", privacy.SchemaChanged, ""},
		{"a table that refers", "CREATE TABLE more (order_id int REFERENCES orders)", privacy.SchemaChanged, ""},
		{"a trigger that copies", `CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.other VALUES (1); RETURN OLD; END';
			CREATE TRIGGER t BEFORE DELETE ON customers FOR EACH ROW EXECUTE FUNCTION f()`, privacy.NotAllowed, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, g := erasable(t, busyScene, busyPolicy)
			other := second(t, conn)
			done := false
			p := plan(t, conn, g, "1")
			_, err := Erase(t.Context(), conn, g, EraseOptions{Request: 1, Key: byKey("1"), Plan: p, Batch: 8, LaterTidy: true, Progress: func(int64, int64) {
				if !done {
					done = true
					if _, err := other.Exec(t.Context(), tt.sql); err != nil {
						t.Error(err)
					}
				}
			}})
			if tt.code != "" {
				wantCode(t, err, tt.code, "")
				if n := query[int](t, other, "SELECT count(*)::int FROM customers"); n[0] != 2 {
					t.Errorf("%d customers are left", n[0])
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			left := query[string](t, other, `SELECT (SELECT count(*) FROM orders WHERE customer_id = c) || ' ' || (SELECT count(*) FROM lines JOIN orders ON order_id = id WHERE customer_id = c)
				|| ' ' || (SELECT count(*) FROM visits WHERE customer_id = c) FROM generate_series(1, 2) AS c`)
			if got := strings.Join(left, ", "); got != tt.left {
				t.Errorf("left are %s, want %s", got, tt.left)
			}
		})
	}
}

// A second officer is told to wait; once the first has done it, there is nobody
// to erase any more.
func TestTwoOfficers(t *testing.T) {
	conn, g := erasable(t, busyScene, busyPolicy)
	other := second(t, conn)
	p := plan(t, conn, g, "1")
	o := EraseOptions{Request: 1, Key: byKey("1"), Plan: p, Batch: 8, LaterTidy: true}
	asked := false
	o.Progress = func(int64, int64) {
		if asked {
			return
		}
		asked = true
		_, err := Erase(t.Context(), other, g, EraseOptions{Request: 2, Key: byKey("1"), Plan: p, LockWait: time.Millisecond})
		wantCode(t, err, privacy.NotAvailable, "somebody else is erasing this customer")
	}
	if _, err := Erase(t.Context(), conn, g, o); err != nil || !asked {
		t.Fatal(err, asked)
	}
	_, err := Erase(t.Context(), other, g, EraseOptions{Request: 2, Key: byKey("1"), Plan: p})
	wantCode(t, err, privacy.NotFound, "")
	_, err = Erase(t.Context(), other, g, EraseOptions{Request: 1, Key: byKey("2"), Plan: p})
	wantCode(t, err, privacy.NotAllowed, "erasure 1 is over, and there is such a customer")
	if _, err := Erase(t.Context(), other, g, EraseOptions{Request: 3, Key: byKey("2")}); err == nil {
		t.Error("erased without a plan")
	}
}

// Whoever holds a lock is not waited for longer than said, and who waits for
// us waits no longer than a batch takes; nothing is half done.
func TestLocked(t *testing.T) {
	conn, g := erasable(t, busyScene, busyPolicy)
	other := second(t, conn)
	p := plan(t, conn, g, "1")
	before := contents(t, other)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "UPDATE lines SET what = 'mine'"); err != nil {
		t.Fatal(err)
	}
	o := EraseOptions{Request: 1, Key: byKey("1"), Plan: p, LockWait: 10 * time.Millisecond}
	if _, err := Erase(t.Context(), conn, g, o); !again(err) {
		t.Errorf("error is %v, want one of a lock", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := contents(t, other); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("half done: %v", after)
	}
	if _, err := Erase(t.Context(), conn, g, o); err != nil {
		t.Fatal(err)
	}
}

// A record that cannot be written takes its step back.
func TestUnrecorded(t *testing.T) {
	conn, g := erasable(t, busyScene, busyPolicy)
	before := contents(t, conn)
	p := plan(t, conn, g, "1")
	steps := 0
	_, err := Erase(t.Context(), conn, g, EraseOptions{Request: 1, Key: byKey("1"), Plan: p, Record: func(context.Context, ErasureStep) error {
		if steps++; steps == 3 {
			return fmt.Errorf("the disk is full")
		}
		return nil
	}})
	if err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("error is %v", err)
	}
	if after := contents(t, conn); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("half done: %v", after)
	}
}

// A plan that another policy made is not carried out.
func TestAnotherPlan(t *testing.T) {
	conn, g := erasable(t, busyScene, busyPolicy)
	p := plan(t, conn, g, "1")
	anonymous := erasing(t, conn, allOpen(", references: [{from: public.visits.customer_id}], erase: [{on: [public.visits], do: anonymise}]"))
	_, err := Erase(t.Context(), conn, anonymous, EraseOptions{Request: 1, Key: byKey("1"), Plan: p})
	wantCode(t, err, privacy.SchemaChanged, "no longer what the plan says")
	if hash := plan(t, conn, anonymous, "1").Hash(); hash == p.Hash() {
		t.Error("both plans have one hash")
	}
	if _, err := conn.Exec(t.Context(), "INSERT INTO visits VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	more := plan(t, conn, g, "1")
	if more.Hash() != p.Hash() || more.Rows() != p.Rows()+1 {
		t.Errorf("with a row more the plan is another: %v", planLines(more))
	}
}

// What has to be kept, and comes between the look and the deletion of what it
// refers to, does not go with that, as the schema alone would have it.
func TestCascadeMeanwhile(t *testing.T) {
	conn, g := erasable(t, `
		CREATE TABLE customers (id int PRIMARY KEY);
		CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers);
		CREATE TABLE invoices (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE);
		CREATE TABLE notes (id int PRIMARY KEY, order_id int DEFAULT 0 REFERENCES orders ON DELETE SET DEFAULT);
		INSERT INTO customers VALUES (1), (2); INSERT INTO orders SELECT g, 1 FROM generate_series(1, 20) AS g; INSERT INTO orders VALUES (0, 2);
		INSERT INTO invoices VALUES (1, 1)`, allOpen(`, erase: [{on: [public.invoices], do: keep, because: tax}]`))
	other := second(t, conn)
	p := plan(t, conn, g, "1")
	batches := 0
	_, err := Erase(t.Context(), conn, g, EraseOptions{Request: 1, Key: byKey("1"), Plan: p, Batch: 8, LaterTidy: true, Progress: func(int64, int64) {
		if batches++; batches != 2 { // the first is of references that are taken out
			return
		}
		if _, err := other.Exec(t.Context(), "INSERT INTO invoices VALUES (2, 18); INSERT INTO notes VALUES (1, 19)"); err != nil {
			t.Error(err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	wantContents(t, other, `
customers {"id": 2}
invoices {"id": 1, "order_id": null}
invoices {"id": 2, "order_id": null}
notes {"id": 1, "order_id": null}
orders {"id": 0, "customer_id": 2}`)
}

// A dump of what was half done may be loaded in one transaction: the steps have
// the xmin of all rows then, and speak for none of them.
func TestLoadedFromDump(t *testing.T) {
	conn, g := erasable(t, `
		CREATE TABLE customers (id int PRIMARY KEY, name text);
		CREATE TABLE tickets (id int PRIMARY KEY, customer_id int REFERENCES customers, body text);
		INSERT INTO customers VALUES (1, 'Ada'); INSERT INTO tickets SELECT g, 1, 'x' FROM generate_series(1, 20) AS g`, `
classes: {open: ["public.*.id", "public.*.customer_id"], name: [public.customers.name], note: [public.tickets.body]}
subjects:
  customer: {table: public.customers, key: id, erase: [{on: [public.customers, public.tickets], do: anonymise}]}
`)
	o := EraseOptions{Request: 1, Key: byKey("1"), Plan: plan(t, conn, g, "1"), Batch: 8, LaterTidy: true}
	stopped := errors.New("stopped")
	o.Record = func(_ context.Context, s ErasureStep) error {
		if s.Batch == 3 {
			return stopped
		}
		return nil
	}
	if _, err := Erase(t.Context(), conn, g, o); !errors.Is(err, stopped) {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "BEGIN; UPDATE pgveil.erasure_steps SET batch = batch; UPDATE tickets SET body = 'x'; UPDATE customers SET name = name; COMMIT"); err != nil {
		t.Fatal(err)
	}
	o.Record = nil
	if _, err := Erase(t.Context(), conn, g, o); err != nil {
		t.Fatal(err)
	}
	if n := query[int](t, conn, "SELECT (SELECT count(body) FROM tickets)::int + (SELECT count(name) FROM customers)::int"); n[0] != 0 {
		t.Errorf("%d rows tell of the customer", n[0])
	}
}

// What has to be kept for some time after a moment without a time zone is kept until
// that is over everywhere, and of a day until the day is.
func TestKeptEverywhere(t *testing.T) {
	const made = "SELECT g, 1, (now() AT TIME ZONE 'UTC' - interval '10 days' - g * interval '1 day')::date FROM generate_series(0, 3) AS g"
	conn, g := erasable(t, `
		CREATE TABLE customers (id int PRIMARY KEY);
		CREATE TABLE days (id int PRIMARY KEY, customer_id int REFERENCES customers, at date);
		CREATE TABLE moments (id int PRIMARY KEY, customer_id int REFERENCES customers, at timestamp);
		CREATE TABLE instants (id int PRIMARY KEY, customer_id int REFERENCES customers, at timestamptz);
		INSERT INTO customers VALUES (1);
		INSERT INTO days `+made+`;
		INSERT INTO moments SELECT g, 1, now() AT TIME ZONE 'UTC' - interval '10 days' - g * interval '1 hour' FROM unnest(ARRAY[1, 11, 13]) AS g;
		INSERT INTO instants SELECT g, 1, now() - interval '10 days' - g * interval '1 hour' FROM unnest(ARRAY[-1, 1]) AS g`,
		allOpen(", erase: [{on: [public.customers], do: anonymise}, {on: [public.days, public.moments, public.instants], do: keep, because: tax, for: 10d, after: at}]"))
	erase(t, conn, g, EraseOptions{Request: 1, LaterTidy: true}, "1")
	kept := query[string](t, conn, "SELECT 'instant ' || id FROM instants UNION ALL SELECT 'moment ' || id FROM moments ORDER BY 1")
	if got := strings.Join(kept, ", "); got != "instant -1, moment 1, moment 11" {
		t.Errorf("kept are %s", got)
	}
	const notOver = "at + 11 > (now() AT TIME ZONE INTERVAL '-12:00')::date"
	days := query[int](t, conn, "SELECT count(*)::int FROM days WHERE "+notOver+" UNION ALL SELECT count(*)::int FROM days UNION ALL SELECT count(*)::int FROM ("+made+") AS m (id, c, at) WHERE "+notOver)
	if days[0] != days[1] || days[0] != days[2] || days[0] == 0 {
		t.Errorf("of days %d are kept, %d of those that are not over, which were %d", days[1], days[0], days[2])
	}
}
