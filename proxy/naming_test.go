package proxy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// names has a pgveil name data subjects in its log.
func names(t testing.TB, database string) func(*proxy.Options) {
	t.Helper()
	store, _ := remembers(t, database, new(atomic.Int64))
	return func(o *proxy.Options) { o.Names = store.SubjectTokens }
}

const namingPolicy = `
version: 1
purposes: {support: {basis: contract}}
subjects: {customer: {table: public.customers, key: id}}
classes:
  open:  [public.customers.id, public.customers.region, "public.orders.*", "public.order_items.*", "public.countries.*"]
  name:  [public.customers.first_name]
  rest:  ["public.*.*"]
roles:
  agent:  {purposes: [support], tables: [{on: ["public.*"], do: [select, insert, update, delete]}]}
  writer: {purposes: [support], tables: [{on: ["public.orders"], do: [insert, update]}]}
  dba:    {unrestricted: true}
rules:
  - {role: agent, for: support, on: name, show: "first(1)"}
users:
  alice: {roles: [agent]}
  bob:   {roles: [writer]}
  dora:  {roles: [dba]}
unclassified: refuse
`

// namesRead reads what the access log says of subjects.
type namesRead struct {
	front *front
	admin *pgx.Conn
	next  uint64
}

// since gives whom the records name that came since it was last asked, by their
// keys, and how many more there may be.
func (n *namesRead) since(t *testing.T) string {
	t.Helper()
	var tokens []string
	var unnamed []string
	for r, err := range audit.Read(n.front.AuditDir, n.next) {
		if err != nil {
			t.Fatal(err)
		}
		n.next = r.Seq + 1
		tokens = append(tokens, r.Subjects...)
		for _, u := range r.Unnamed {
			unnamed = append(unnamed, fmt.Sprintf("%s+%d", u.Kind, u.AtMost))
		}
	}
	rows, err := n.admin.Query(t.Context(), "SELECT kind || ' ' || key FROM pgveil.subjects WHERE kind || ':' || token = ANY ($1) ORDER BY kind, length(key), key", tokens)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(tokens)
	if n := len(slices.Compact(tokens)); n != len(keys) {
		t.Errorf("of %d tokens %d are in the table", n, len(keys))
	}
	return strings.Join(append(keys, unnamed...), ", ")
}

// TestNamesSubjects runs statements in every way that a client can, and compares
// whom the log names, and what the client gets with what the server says.
func TestNamesSubjects(t *testing.T) {
	database := pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	f := start(t, database, namingPolicy, names(t, database))
	modes := map[string]pgx.QueryExecMode{
		"simple": pgx.QueryExecModeSimpleProtocol, "exec": pgx.QueryExecModeExec,
		"described": pgx.QueryExecModeDescribeExec, "prepared": pgx.QueryExecModeCacheStatement,
	}
	for _, tt := range []struct{ login, sql, want string }{
		{"alice", "SELECT 1", ""},
		{"alice", "SELECT first_name FROM customers WHERE id IN (1, 2) ORDER BY id", "customer 1, customer 2"},
		{"alice", "SELECT id, first_name FROM customers WHERE id = 3", "customer 3"},
		{"alice", "SELECT first_name, region, id AS x FROM customers WHERE id = 3", "customer 3"},
		{"alice", "SELECT * FROM orders WHERE customer_id = 2 ORDER BY id LIMIT 1", "customer 2"},
		{"alice", "SELECT status FROM orders WHERE customer_id = 2 ORDER BY id LIMIT 1", "customer 2"},
		{"alice", "SELECT i.product FROM order_items i JOIN orders o ON o.id = i.order_id WHERE o.customer_id = 1 ORDER BY 1 LIMIT 1", "customer 1"},
		{"alice", "SELECT FROM customers WHERE id = 1", "customer 1"},
		{"alice", "SELECT first_name FROM customers WHERE id < 0", ""},
		{"alice", "SELECT count(*) FROM customers WHERE id IN (1, 2)", "customer+2"},
		{"alice", "SELECT count(*) FROM customers WHERE id < 0", ""},
		{"alice", "SELECT id, count(*) FROM customers WHERE id IN (1, 2) GROUP BY id", "customer 1, customer 2"},
		{"alice", "SELECT id, count(*) FROM customers WHERE id IN (1, 2) GROUP BY ROLLUP (id) HAVING id IS NULL", "customer+2"},
		{"alice", "SELECT DISTINCT region FROM customers WHERE id IN (1, 2)", "customer+-1"},
		{"alice", "SELECT x.first_name FROM (SELECT first_name FROM customers WHERE id IN (1, 2)) x ORDER BY 1", "customer+2"},
		{"alice", "SELECT x.id FROM (SELECT id FROM customers WHERE id IN (1, 2)) x ORDER BY 1", "customer 1, customer 2"},
		{"alice", "UPDATE customers SET region = region WHERE id IN (1, 2)", "customer 1, customer 2"},
		{"alice", "UPDATE customers SET region = region WHERE id = 3 RETURNING first_name", "customer 3"},
		{"alice", "UPDATE customers SET region = region WHERE id < 0", ""},
		{"alice", "INSERT INTO orders (customer_id, placed_at, status, total) VALUES (2, '2026-01-01', 'new', 1)", "customer 2"},
		{"alice", "DELETE FROM orders WHERE id = (SELECT min(id) FROM orders WHERE customer_id = 2)", "customer 2"},
		{"bob", "INSERT INTO orders (customer_id, placed_at, status, total) VALUES (2, '2026-01-01', 'new', 1)", "customer+1"},
		{"alice", "UPDATE orders SET customer_id = 2 WHERE id = (SELECT max(id) FROM orders WHERE customer_id = 2)", "customer 2, customer+1"},
		{"dora", "SELECT count(*) FROM customers", "customer+-1"},
		{"dora", "SELECT id, first_name FROM customers WHERE id = 3", "customer 3"},
		{"dora", "SELECT first_name FROM customers WHERE id = 3", "customer+1"},
		{"dora", "UPDATE customers SET region = region WHERE id IN (1, 2)", "customer+2"},
		{"dora", "SELECT customer_id, id FROM orders WHERE customer_id = 2 ORDER BY id LIMIT 1", "customer 2"},
	} {
		for name, mode := range modes {
			c := f.config(t, database, tt.login)
			c.DefaultQueryExecMode = mode
			conn, err := pgx.ConnectConfig(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			read := namesRead{f, admin, f.Audit.Stats().Appended}
			for range 3 { // the third time the server keeps the statement
				if got := given(t, conn, tt.sql); strings.Contains(got, "pgveil") || !strings.HasSuffix(got, "<nil>\n") {
					t.Errorf("%s, %s: %s gives\n%s", tt.login, name, tt.sql, got)
				}
				if got := read.since(t); got != tt.want {
					t.Errorf("%s, %s: %s: the log names %q, want %q", tt.login, name, tt.sql, got, tt.want)
				}
			}
			if err := conn.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
}

// given gives what a statement gives: columns, rows and tag.
func given(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var b strings.Builder
	for _, d := range rows.FieldDescriptions() {
		b.WriteString(d.Name + " ")
	}
	for rows.Next() {
		values, err := rows.Values()
		fmt.Fprintln(&b, values, err)
	}
	fmt.Fprintln(&b, rows.CommandTag(), rows.Err())
	return b.String()
}

// TestNamesWhatIsMade has the log name whom cursors and prepared statements of
// SQL return.
func TestNamesWhatIsMade(t *testing.T) {
	database := pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	f := start(t, database, namingPolicy, names(t, database))
	for _, tt := range []struct {
		login string
		sql   []string
		want  string
	}{
		{"alice", []string{"BEGIN", "DECLARE c CURSOR FOR SELECT id, first_name FROM customers WHERE id < 4 ORDER BY id", "FETCH 2 FROM c", "FETCH 2 FROM c"}, "customer 1, customer 2, customer 3"},
		{"alice", []string{"BEGIN; DECLARE c BINARY CURSOR FOR SELECT id FROM customers WHERE id < 3; FETCH ALL FROM c"}, "customer 1, customer 2"},
		{"alice", []string{"BEGIN", "DECLARE c CURSOR FOR SELECT first_name FROM customers WHERE id < 4", "FETCH 2 FROM c", "FETCH 2 FROM c"}, "customer+2, customer+1"},
		{"alice", []string{"PREPARE p AS SELECT id FROM customers WHERE id = $1", "EXECUTE p (2)", "EXECUTE p (3)"}, "customer 2, customer 3"},
		{"alice", []string{"PREPARE p AS UPDATE customers SET region = region WHERE id = $1", "EXECUTE p (2)"}, "customer+1"},
		{"alice", []string{"SELECT first_name FROM customers WHERE id = 1; SELECT 1; SELECT count(*) FROM customers WHERE id < 3; SELECT id FROM customers WHERE id = 2"}, "customer 1, customer 2, customer+2"},
		{"alice", []string{"COPY (SELECT id, first_name FROM customers WHERE id < 3) TO STDOUT"}, "customer+2"},
		{"alice", []string{"COPY (SELECT 1 / (4 - x.id) FROM (SELECT id FROM customers ORDER BY id OFFSET 0) x) TO STDOUT"}, "customer+3"}, // it fails at the fourth
		{"alice", []string{"EXPLAIN SELECT first_name FROM customers"}, ""},
		{"alice", []string{"CREATE TEMP TABLE mine AS SELECT first_name FROM customers WHERE id < 3"}, "customer+2"},
		{"alice", []string{"SELECT first_name FROM customers WHERE id = 1; SELECT 1/0"}, "customer 1"},
		{"dora", []string{"BEGIN", "DECLARE c CURSOR FOR SELECT id, first_name FROM customers WHERE id < 4 ORDER BY id", "FETCH 2 FROM c", "COMMIT"}, "customer 1, customer 2, *+-1"},
		{"dora", []string{"PREPARE p AS SELECT first_name FROM customers WHERE id = $1", "EXECUTE p (2)"}, "*+-1"},
		{"dora", []string{"COPY orders TO STDOUT"}, "customer+" + text(t.Context(), admin, "SELECT count(*) FROM orders")},
		{"dora", []string{"SET search_path = nowhere", "SELECT id FROM public.customers WHERE id = 2"}, "customer 2"},
		{"dora", []string{"DO $$ BEGIN PERFORM 1; END $$"}, "*+-1"},
		{"dora", []string{"CREATE TEMP TABLE mine AS SELECT first_name FROM customers WHERE id < 3"}, "customer+2"},
		{"dora", []string{"BEGIN; TRUNCATE consents; ROLLBACK"}, "customer+-1"},
	} {
		conn := f.connect(t, database, tt.login)
		read := namesRead{f, admin, f.Audit.Stats().Appended}
		for _, sql := range tt.sql {
			if got := text(t.Context(), conn, sql); strings.Contains(got, "pgveil_key") {
				t.Errorf("%s: %s", sql, got)
			}
		}
		if got := read.since(t); got != strings.TrimSpace(tt.want) {
			t.Errorf("%s, %s: the log names %q, want %q", tt.login, strings.Join(tt.sql, "; "), got, tt.want)
		}
	}
}

// TestNamesMany has the log name more subjects than a record has room for, and
// the client get every row all the same.
func TestNamesMany(t *testing.T) {
	database := pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	exec(t, admin, `INSERT INTO customers SELECT r.* FROM customers c, generate_series(1, 3700) g,
		jsonb_populate_record(NULL::customers, to_jsonb(c) || jsonb_build_object('id', 10000 + g, 'email', 'x' || g || '@example.com')) r WHERE c.id = 1`)
	f := start(t, database, namingPolicy, names(t, database))
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement} {
		c := f.config(t, database, "alice")
		c.DefaultQueryExecMode = mode
		conn, err := pgx.ConnectConfig(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{
			"SELECT first_name FROM customers WHERE id > 10000",
			"SELECT id FROM customers WHERE id > 10000",
			"UPDATE customers SET region = region WHERE id > 10000",
		} {
			read := namesRead{f, admin, f.Audit.Stats().Appended}
			tag, err := conn.Exec(t.Context(), sql)
			if err != nil || tag.RowsAffected() != 3700 {
				t.Errorf("%s: %v, %v", sql, tag, err)
			}
			if got := strings.Count(read.since(t), "customer 1"); got != 3700 {
				t.Errorf("%s: the log names %d, want 3700", sql, got)
			}
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := audit.Verify(f.AuditDir); err != nil {
		t.Error(err)
	}
}

// TestNamesOfRowsBeforeTheEnd has the log name whose rows a client got that did
// not wait for the end of the answer.
func TestNamesOfRowsBeforeTheEnd(t *testing.T) {
	database := pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	f := start(t, database, namingPolicy, names(t, database))
	read := namesRead{f, admin, f.Audit.Stats().Appended}
	conn := f.connect(t, database, "alice")
	rows, err := conn.Query(t.Context(), "SELECT c.id, repeat('x', 100000) FROM generate_series(1, 1000) g, customers c WHERE c.id = 2")
	if err != nil || !rows.Next() {
		t.Fatal(err, rows.Err())
	}
	if err := conn.PgConn().Conn().Close(); err != nil {
		t.Fatal(err)
	}
	rows.Close()
	drain, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.close(drain); err != nil {
		t.Fatal(err)
	}
	if got := read.since(t); got != "customer 2" {
		t.Errorf("the log names %q, want customer 2", got)
	}
}

// TestNamesNobodyKeeps has the log say how many subjects there were when their
// names cannot be had; the client gets its rows.
func TestNamesNobodyKeeps(t *testing.T) {
	database := pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	exec(t, admin, "CREATE SCHEMA pgveil; CREATE TABLE pgveil.subjects (kind text, key text, token text)")
	for name, edit := range map[string]func(*proxy.Options){
		"nobody": func(*proxy.Options) {},
		"the database fails": func(o *proxy.Options) {
			o.Names = func(ctx context.Context, _ string, _ []string) (map[string]string, error) {
				return nil, admin.QueryRow(ctx, "SELECT 1/0").Scan(nil)
			}
		},
	} {
		f := start(t, database, namingPolicy, edit)
		conn := f.connect(t, database, "alice")
		read := namesRead{f, admin, 0}
		got := text(t.Context(), conn, "SELECT first_name FROM customers WHERE id IN (1, 2) ORDER BY id")
		if strings.Count(got, "\n") != 2 || strings.Contains(got, "|") {
			t.Errorf("%s: the client gets %q", name, got)
		}
		if got := read.since(t); got != "customer+2" {
			t.Errorf("%s: the log says %q, want customer+2", name, got)
		}
	}
}

// TestNamesAnew gives who was forgotten another name, once what was remembered is
// too old.
func TestNamesAnew(t *testing.T) {
	database := pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	var ahead atomic.Int64
	store, clock := remembers(t, database, &ahead)
	f := start(t, database, namingPolicy, clock, func(o *proxy.Options) { o.Names = store.SubjectTokens })
	conn := f.connect(t, database, "alice")
	token := func() string {
		text(t.Context(), conn, "SELECT first_name FROM customers WHERE id = 1")
		return text(t.Context(), admin, "SELECT token FROM pgveil.subjects WHERE key = '1'")
	}
	first := token()
	exec(t, admin, "DELETE FROM pgveil.subjects")
	ahead.Add(int64(6 * time.Minute))
	if again := token(); first == "" || again == "" || again == first {
		t.Errorf("the name was %q, and is %q", first, again)
	}
}
