package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/proxy"
)

// counts has a pgveil count what limits are of.
func counts(o *proxy.Options) {
	o.Counters, o.CountKey = limits.NewBook(limits.NewMemory(time.Now), time.Now), []byte("key")
}

// limited gives naming's policy with limits for agents.
func limited(limits string) string {
	return strings.Replace(namingPolicy, `do: [select, insert, update, delete]}]}`, `do: [select, insert, update, delete]}], limits: {`+limits+`}}`, 1)
}

// crowd is a database with a thousand customers, and as many orders.
func crowd(t testing.TB) (database string) {
	t.Helper()
	database = pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	if _, err := admin.Exec(t.Context(), `
		INSERT INTO customers (id, loyalty_no, first_name, last_name, email, postcode, region, country)
		SELECT n, 'L' || n, 'Name ' || n, 'Last', 'c' || n || '@example.com', '10115', 'EU', 'DE' FROM generate_series(1001, 2000) n;
		INSERT INTO orders (id, customer_id, placed_at, status, total) SELECT n + 100000, n, now(), 'new', 1 FROM generate_series(1001, 2000) n`); err != nil {
		t.Fatal(err)
	}
	return database
}

// obtained runs a query to its end, and gives what rows it got.
func obtained(t testing.TB, conn *pgx.Conn, sql string, args ...any) (values []string, err error) {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		v, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, fmt.Sprint(v...))
	}
	return values, rows.Err()
}

const atLimit = "53400"

func wantStopped(t testing.TB, what string, err error) {
	t.Helper()
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != atLimit || !strings.Contains(e.Message, "limit") || !strings.Contains(e.Hint, "PRIVACY SHOW LIMITS") && !strings.Contains(e.Hint, "at once") && !strings.Contains(e.Hint, "session") {
		t.Errorf("%s: %v, want a limit reached", what, err)
	}
}

// TestStopsAmidRows has rows beyond a limit kept back, in every way that rows come.
func TestStopsAmidRows(t *testing.T) {
	database := crowd(t)
	for name, mode := range map[string]pgx.QueryExecMode{
		"simple": pgx.QueryExecModeSimpleProtocol, "exec": pgx.QueryExecModeExec,
		"described": pgx.QueryExecModeDescribeExec, "prepared": pgx.QueryExecModeCacheStatement,
	} {
		f := start(t, database, limited("subjects: 300/day"), counts)
		c := f.config(t, database, "alice")
		c.DefaultQueryExecMode = mode
		conn, err := pgx.ConnectConfig(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := obtained(t, conn, "SELECT first_name FROM customers WHERE id > 1000 ORDER BY id")
		wantStopped(t, name, err)
		if len(got) != 300 {
			t.Errorf("%s: %d rows came", name, len(got))
		}
		if got, err := obtained(t, conn, "SELECT first_name FROM customers WHERE id BETWEEN 1001 AND 1300"); err != nil || len(got) != 300 {
			t.Errorf("%s: of those that were seen before, %d come: %v", name, len(got), err)
		}
		got, err = obtained(t, conn, "SELECT first_name FROM customers WHERE id = 1301")
		if wantStopped(t, name, err); len(got) != 0 {
			t.Errorf("%s: one more comes", name)
		}
		if got, err := obtained(t, conn, "SELECT 1 + 1"); err != nil || len(got) != 1 {
			t.Errorf("%s: the session cannot be used any more: %v", name, err)
		}
		closeConn(t, conn)
	}
}

// TestStopsInTransaction stops a statement in a transaction block: those before it
// are undone, as after any error.
func TestStopsInTransaction(t *testing.T) {
	database := crowd(t)
	f := start(t, database, limited("rows: 100/query"), counts)
	conn := f.connect(t, database, "alice")
	for range 20 {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "UPDATE orders SET status = 'paid' WHERE id = 101001"); err != nil {
			t.Fatal(err)
		}
		rows, err := tx.Query(t.Context(), "SELECT o.total FROM orders o, orders p WHERE o.customer_id > 1000")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		if wantStopped(t, "amid a transaction", rows.Err()); n != 100 {
			t.Fatalf("%d rows came", n)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := obtained(t, conn, "SELECT status FROM orders WHERE id = 101001"); err != nil || got[0] != "new" {
		t.Errorf("it is %v: %v", got, err)
	}
}

// TestEveryWayCounts takes customers in ways that are all to count the same.
func TestEveryWayCounts(t *testing.T) {
	database := crowd(t)
	f := start(t, database, limited("subjects: 300/day"), counts)
	ctx := t.Context()
	seen := map[string]bool{}
	note := func(values []string) {
		for _, v := range values {
			seen[v] = true
		}
	}
	for offset := 0; offset < 100; offset += 20 { // paging, each on a connection of its own
		conn := f.connect(t, database, "alice")
		got, err := obtained(t, conn, "SELECT id FROM customers WHERE id > 1000 ORDER BY id LIMIT 20 OFFSET $1", offset)
		if err != nil {
			t.Fatal(err)
		}
		note(got)
		closeConn(t, conn)
	}
	conn := f.connect(t, database, "alice")
	for id := 1101; id <= 1150; id++ { // one by one
		got, err := obtained(t, conn, "SELECT id FROM customers WHERE id = $1", id)
		if err != nil {
			t.Fatal(err)
		}
		note(got)
	}
	tx, err := conn.Begin(ctx) // by a cursor
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "DECLARE c CURSOR FOR SELECT id FROM customers WHERE id > 1150 ORDER BY id"); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		got, err := obtained(t, conn, "FETCH 20 FROM c")
		if err != nil {
			t.Fatal(err)
		}
		note(got)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	_, err = conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT id FROM customers WHERE id > 1250 ORDER BY id) TO STDOUT")
	wantStopped(t, "COPY", err)
	note(strings.Fields(out.String()))
	if len(seen) != 300 {
		t.Errorf("%d customers were taken, of 300", len(seen))
	}
}

// TestLimitsConcurrently has many take as much as they can at once.
func TestLimitsConcurrently(t *testing.T) {
	database := crowd(t)
	f := start(t, database, limited("subjects: 300/day"), counts)
	results := make(chan []string)
	for worker := range 8 {
		conn := f.connect(t, database, "alice")
		go func() {
			var all []string
			for i := range 40 {
				rows, err := conn.Query(context.Background(), "SELECT id FROM customers WHERE id > $1 ORDER BY id LIMIT 20", 1000+(worker*125+i*20)%1000)
				if err == nil {
					for rows.Next() {
						v, _ := rows.Values()
						all = append(all, fmt.Sprint(v...))
					}
				}
			}
			results <- all
		}()
	}
	seen := map[string]bool{}
	for range 8 {
		for _, v := range <-results {
			seen[v] = true
		}
	}
	if len(seen) != 300 {
		t.Errorf("%d customers were taken, of 300", len(seen))
	}
}

// TestPortalIsOneStatement has a portal's rows counted as those of one statement,
// however often it is executed.
func TestPortalIsOneStatement(t *testing.T) {
	database := crowd(t)
	f := start(t, database, limited("rows: 100/query"), counts)
	conn := f.connect(t, database, "alice")
	if _, err := conn.Exec(t.Context(), "BEGIN; DECLARE c CURSOR FOR SELECT total FROM orders WHERE customer_id > 1000"); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range 3 {
		got, err := obtained(t, conn, "FETCH 40 FROM c")
		if n += len(got); err != nil {
			wantStopped(t, "FETCH", err)
			break
		}
	}
	if n != 100 {
		t.Errorf("%d rows came by a cursor", n)
	}
}

func TestStatementsAreLimited(t *testing.T) {
	database := crowd(t)
	f := start(t, database, limited("statements: 5/hour"), counts)
	conn := f.connect(t, database, "alice")
	for range 5 {
		if _, err := obtained(t, conn, "SELECT total FROM orders LIMIT 1"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := obtained(t, conn, "SELECT total FROM orders LIMIT 1")
	wantStopped(t, "a sixth", err)
	if _, err := conn.Exec(t.Context(), "BEGIN; COMMIT"); err != nil {
		t.Errorf("what limits are not for: %v", err)
	}
	other := f.connect(t, database, "dora")
	if _, err := obtained(t, other, "SELECT total FROM orders LIMIT 1"); err != nil {
		t.Errorf("somebody else: %v", err)
	}
}

func closeConn(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestThens tries what happens at the ends of limits.
func TestThens(t *testing.T) {
	database := crowd(t)
	rest := limited("subjects: {most: 30/day, then: mask}")
	f := start(t, database, rest, counts)
	conn := f.connect(t, database, "alice")
	if got, err := obtained(t, conn, "SELECT region FROM customers WHERE id = 1001"); err != nil || got[0] == "<nil>" {
		t.Fatalf("%v, %v", got, err)
	}
	got, err := obtained(t, conn, "SELECT first_name FROM customers WHERE id > 1000 ORDER BY id")
	if wantStopped(t, "mask", err); len(got) != 30 || !strings.HasPrefix(got[0], "N") {
		t.Errorf("%d rows came, of %v", len(got), got)
	}
	got, err = obtained(t, conn, "SELECT id, first_name FROM customers WHERE id > 1000 ORDER BY id LIMIT 100")
	if err != nil || len(got) != 100 || strings.Contains(got[0], "N*") {
		t.Errorf("beyond it %d rows come: %v, %v", len(got), got[:min(3, len(got))], err)
	}
	other := f.connect(t, database, "alice")
	if got, err := obtained(t, other, "SELECT first_name FROM customers WHERE id = 1500"); err != nil || len(got) != 1 || strings.Contains(got[0], "N*") {
		t.Errorf("in another session: %v, %v", got, err)
	}
	rows, err := obtained(t, other, "PRIVACY SHOW LIMITS")
	if err != nil || len(rows) != 1 || !strings.Contains(rows[0], "30 subjects/day") || !strings.Contains(rows[0], "user alice") {
		t.Errorf("limits: %q, %v", rows, err)
	}

	g := start(t, database, limited("rows: {most: 10/hour, then: alert}, statements: {most: 3/hour, then: slow}, subjects: {most: 5/day, then: step-up}"), counts)
	conn = g.connect(t, database, "alice")
	for range 3 {
		if _, err := obtained(t, conn, "SELECT first_name FROM customers WHERE id BETWEEN 1001 AND 1005"); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	_, err = obtained(t, conn, "SELECT first_name FROM customers WHERE id = 1006")
	if wantStopped(t, "step-up", err); !strings.Contains(err.(*pgconn.PgError).Hint, "PRIVACY MFA") {
		t.Errorf("%v says no way out", err)
	}
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("a fourth statement took %v", took)
	}
	for _, want := range []string{"limit_near", "limit_reached"} {
		if !strings.Contains(g.Log.String(), want) {
			t.Errorf("nobody is told of %s:\n%s", want, g.Log)
		}
	}
}

// TestOfASession has what a session gets counted for it alone.
func TestOfASession(t *testing.T) {
	database := crowd(t)
	f := start(t, database, limited("rows: 25/session"), counts)
	for range 2 {
		conn, n := f.connect(t, database, "alice"), 0
		for range 5 {
			got, err := obtained(t, conn, "SELECT region FROM customers WHERE id BETWEEN 1001 AND 1010")
			if n += len(got); err != nil {
				wantStopped(t, "session", err)
				break
			}
		}
		if n != 25 {
			t.Errorf("%d rows came", n)
		}
	}
}

// TestErrorsHoldNoValues has errors that quote what was read say nothing to those
// whose rows are counted: an error is not.
func TestErrorsHoldNoValues(t *testing.T) {
	database := crowd(t)
	f := start(t, database, limited("subjects: 300/day"), counts)
	conn := f.connect(t, database, "alice")
	for _, sql := range []string{
		"SELECT first_name::integer FROM customers WHERE id = 1001",
		"SELECT 1 FROM customers WHERE id = 1001 AND first_name::date > now()",
		"SELECT ('{' || first_name)::text[] FROM customers WHERE id = 1001",
	} {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement} {
			_, err := obtained(t, conn, sql, mode)
			var e *pgconn.PgError
			if !errors.As(err, &e) || !strings.HasPrefix(e.Code, "22") || strings.Contains(fmt.Sprint(*e), "Name 1001") {
				t.Errorf("%s: %v", sql, err)
			}
		}
	}
}
