package proxy_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// badges are what a page about a customer shows.
var badges = []string{
	"SELECT count(*) FROM orders WHERE customer_id = $1",
	"SELECT sum(total), avg(total) FROM orders WHERE customer_id = $1",
	"SELECT status, count(*) FROM orders WHERE customer_id = $1 GROUP BY status",
	"SELECT string_agg(status, ',') FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.id = $1",
}

// reordered is the crowd's database, each of whose customers has several orders.
func reordered(t *testing.T) (database string) {
	database = crowd(t)
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	if _, err := admin.Exec(t.Context(), `INSERT INTO orders (id, customer_id, placed_at, status, total)
		SELECT n + 200000, 1001 + n % 30, now(), CASE WHEN n % 4 = 0 THEN 'paid' ELSE 'new' END, 1 FROM generate_series(1, 300) n`); err != nil {
		t.Fatal(err)
	}
	return database
}

// TestBadges reads what is made of one customer's rows over and over, in every way
// that a client can: it is about that one.
func TestBadges(t *testing.T) {
	database := reordered(t)
	for name, mode := range map[string]pgx.QueryExecMode{
		"simple": pgx.QueryExecModeSimpleProtocol, "exec": pgx.QueryExecModeExec,
		"described": pgx.QueryExecModeDescribeExec, "prepared": pgx.QueryExecModeCacheStatement,
	} {
		f := start(t, database, limited("subjects: 20/day"), counts)
		c := f.config(t, database, "alice")
		c.DefaultQueryExecMode = mode
		conn, err := pgx.ConnectConfig(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for customer := 1001; customer <= 1020; customer++ {
			for i := range 30 {
				if got, err := obtained(t, conn, badges[i%len(badges)], customer); err != nil || len(got) == 0 {
					t.Fatalf("%s: badge %d of customer %d: %d rows, %v", name, i, customer, len(got), err)
				}
			}
		}
		for _, sql := range badges {
			_, err := obtained(t, conn, sql, 1021)
			wantStopped(t, name+": one more customer: "+sql, err)
		}
		closeConn(t, conn)
	}
}

// TestNotLone counts anew, each time, rows that are made of several customers'
// rows, of one's and nobody's, or that tell of others too.
func TestNotLone(t *testing.T) {
	database := reordered(t)
	for _, sql := range []string{
		"SELECT count(*) FROM orders WHERE customer_id IN (1001, 1002)",
		"SELECT string_agg(status, ',') FROM orders WHERE id IN (101001, 101002)",
		"SELECT string_agg(status || coalesce(c.first_name, ''), ',') FROM orders o LEFT JOIN customers c ON c.id = o.customer_id AND c.id = 1001 WHERE o.customer_id IN (1001, 1002)",
		"SELECT string_agg(o.status || coalesce(c.first_name, ''), ',') FROM customers c RIGHT JOIN orders o ON c.id = o.customer_id AND c.id = 1001 WHERE o.id IN (101001, 101002)",
		"SELECT count(c.id), min(o.status) FROM orders o FULL JOIN customers c ON c.id = o.customer_id AND c.id = 1001 WHERE o.id IN (101001, 101002)",
		"SELECT count(*), (SELECT first_name FROM customers WHERE id = 1002) FROM orders WHERE customer_id = 1001",
		"SELECT string_agg(o.status || c.first_name, ',') FROM orders o, customers c WHERE o.customer_id = 1001 AND c.id = 1002",
	} {
		f := start(t, database, limited("subjects: 20/day"), counts)
		conn := f.connect(t, database, "alice")
		var err error
		read := 0
		for ; err == nil && read <= 20; read++ {
			_, err = obtained(t, conn, sql)
		}
		wantStopped(t, sql, err)
	}
}

// TestLoneByText reads badges of subjects whose keys are text with blanks behind it.
func TestLoneByText(t *testing.T) {
	database := crowd(t)
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	if _, err := admin.Exec(t.Context(), `UPDATE customers SET country = 'SE' WHERE id > 1500; INSERT INTO countries VALUES ('x', 'X', 'EU'); UPDATE customers SET country = 'x' WHERE id < 1100`); err != nil {
		t.Fatal(err)
	}
	p := strings.NewReplacer("{customer: {table: public.customers, key: id}}", "{country: {table: public.countries, key: code}}", "[public.customers.id,", "[public.customers.id, public.customers.country,")
	f := start(t, database, p.Replace(limited("subjects: 2/day")), counts)
	conn := f.connect(t, database, "alice")
	const badge = "SELECT count(*), max(region) FROM customers WHERE country = $1"
	for range 10 {
		for _, code := range []string{"DE", "x"} {
			if _, err := obtained(t, conn, badge, code); err != nil {
				t.Fatalf("%s: %v", code, err)
			}
		}
		if got, err := obtained(t, conn, "SELECT code FROM countries WHERE code = 'x'"); err != nil || len(got) != 1 {
			t.Fatalf("the same one, by its own row: %v, %v", got, err)
		}
	}
	_, err := obtained(t, conn, badge, "SE")
	wantStopped(t, "a third", err)
}

// TestNamesLone has the log name the only customer of whose rows a row was made,
// and count those of the others.
func TestNamesLone(t *testing.T) {
	database := reordered(t)
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	f := start(t, database, limited("subjects: 500/day"), counts, names(t, database))
	conn := f.connect(t, database, "alice")
	for _, tt := range []struct{ sql, want string }{
		{"SELECT count(*) FROM orders WHERE customer_id = 1001", "customer 1001"},
		{"SELECT string_agg(status, ',') FROM orders WHERE customer_id = 1001", "customer 1001"},
		{"SELECT count(*) FROM customers WHERE id IN (1001, 1002)", "customer+2"},
		{"SELECT id - id % 2, string_agg(region, ',') FROM customers WHERE id IN (1001, 1002, 1003) GROUP BY 1 ORDER BY 1", "customer 1001, customer+2"},
		{"SELECT count(*) FROM orders WHERE customer_id < 0", ""},
	} {
		read := namesRead{f, admin, f.Audit.Stats().Appended}
		if _, err := obtained(t, conn, tt.sql); err != nil {
			t.Fatalf("%s: %v", tt.sql, err)
		}
		if got := read.since(t); got != tt.want {
			t.Errorf("%s: the log names %q, want %q", tt.sql, got, tt.want)
		}
	}
}
