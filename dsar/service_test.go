package dsar

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// service gives one over a copy of the fixture.
func service(t *testing.T) *Service {
	t.Helper()
	dsn := pgtest.Server(t).DSN(pgtest.Database(t, "crm"), pgserver.Superuser)
	doc, err := policy.Load(filepath.Join(pgtest.Fixture(t, "crm"), "policy"))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := pgload.Load(t.Context(), pgtest.Connect(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	return &Service{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) },
		Current: func() (*policy.Set, *catalog.Snapshot) { return set, cat },
	}
}

func run(t *testing.T, s *Service, sql string) (rows [][]string, tag string, err error) {
	t.Helper()
	cmd, ok, err := privacy.ParseCommand(sql)
	if !ok || err != nil {
		t.Fatalf("ParseCommand(%s) = %v, %v", sql, ok, err)
	}
	tag, err = s.Run(t.Context(), cmd, "petra", func(row []string) error {
		if len(row) != len(Columns(cmd)) {
			t.Errorf("%s: a row of %d values for columns %v", sql, len(row), Columns(cmd))
		}
		rows = append(rows, append([]string(nil), row...))
		return nil
	})
	return rows, tag, err
}

func TestService(t *testing.T) {
	s := service(t)
	for _, tt := range []struct{ sql, tag, first string }{
		{"PRIVACY HELP", "PRIVACY HELP", "PRIVACY EXPORT subject key [PRETTY]"},
		{"PRIVACY EXPORT customer 1", "PRIVACY EXPORT", `{"subject":"customer","key":{"id":1}`},
		{"PRIVACY EXPORT customer WHERE email = 'lena.hartmann@example.de' PRETTY", "PRIVACY EXPORT", `{"subject":"customer","key":{"id":1}`},
		{"PRIVACY ERASE customer 1 DRY RUN", "PRIVACY ERASE", "crm.contacts"},
	} {
		rows, tag, err := run(t, s, tt.sql)
		if err != nil || tag != tt.tag || len(rows) == 0 || !strings.HasPrefix(rows[0][0], tt.first) {
			t.Errorf("%s: %v, %q, %v", tt.sql, rows, tag, err)
		}
	}
	for sql, code := range map[string]privacy.Code{
		"PRIVACY ERASE customer 1 BECAUSE 'x'":         privacy.NotAvailable,
		"PRIVACY EXPORT customer 99":                   privacy.NotFound,
		"PRIVACY EXPORT custmer 1":                     privacy.NoSubject,
		"PRIVACY EXPORT customer 'x'":                  privacy.BadKey,
		"PRIVACY EXPORT customer WHERE ssn = '1'":      privacy.NoColumn,
		"PRIVACY ERASE customer WHERE id = 99 DRY RUN": privacy.NotFound,
	} {
		rows, tag, err := run(t, s, sql)
		wantCode(t, err, code, "")
		if rows != nil {
			t.Errorf("%s: %v, %q", sql, rows, tag)
		}
	}
	if _, err := s.Run(t.Context(), privacy.Command{}, "petra", nil); err == nil {
		t.Error("no command runs")
	}
	want := []string{"crm.order_lines", "3", "delete", "crm.order_lines.order_id -> crm.orders.customer_id -> crm.customers", ""}
	if rows, _, _ := run(t, s, "PRIVACY ERASE customer 1 DRY RUN"); !cmp.Equal(rows[1], want) {
		t.Errorf("the second step is %q, want %q", rows[1], want)
	}
}

// A connection is closed also when the caller goes away.
func TestServiceClosesConnections(t *testing.T) {
	s := service(t)
	var conn *pgx.Conn
	connect := s.Connect
	s.Connect = func(ctx context.Context) (c *pgx.Conn, err error) {
		conn, err = connect(ctx)
		return conn, err
	}
	gone := errors.New("the caller is gone")
	cmd, _, _ := privacy.ParseCommand("PRIVACY EXPORT customer 1")
	if _, err := s.Run(t.Context(), cmd, "petra", func([]string) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("error is %v", err)
	}
	if !conn.IsClosed() {
		t.Error("the connection is still open")
	}
}

// many is a customer with n orders, each with a line, and another with one.
func many(t testing.TB, n int) (*pgx.Conn, *Graph) {
	t.Helper()
	return scene(t, fmt.Sprintf(`
		CREATE TABLE customers (id int PRIMARY KEY);
		CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, note text);
		CREATE TABLE lines (order_id int REFERENCES orders, line int, PRIMARY KEY (order_id, line));
		INSERT INTO customers VALUES (1), (2);
		INSERT INTO orders VALUES (0, 2);
		INSERT INTO orders SELECT i, 1, repeat('x', 200) FROM generate_series(1, %d) AS i;
		INSERT INTO lines SELECT id, 1 FROM orders;
		CREATE INDEX ON orders (customer_id);
		ANALYZE`, n), customerByID)
}

const manyOrders = 100_000

func TestMemoryIsBounded(t *testing.T) {
	conn, g := many(t, manyOrders)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var size, peak uint64
	rows, err := Export(t.Context(), conn, g, byKey("1"), ExportOptions{}, func(chunk []byte) error {
		size += uint64(len(chunk))
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapAlloc)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if rows != 2*manyOrders+1 || size < 20<<20 {
		t.Errorf("the document has %d rows and %d bytes", rows, size)
	}
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("a document of %d bytes took %d bytes of memory", size, grown)
	}
	want := []string{"delete 100000 lines", "delete 100000 orders", "delete 1 customers"}
	if diff := cmp.Diff(want, steps(dryRun(t, conn, g, "1"))); diff != "" {
		t.Error(diff)
	}
}

// A yield that fails ends the work of the server soon, and leaves the
// connection as it was.
func TestYieldFails(t *testing.T) {
	conn, g := many(t, 20_000)
	full := errors.New("disk full")
	chunks := 0
	_, err := Export(t.Context(), conn, g, byKey("1"), ExportOptions{}, func([]byte) error {
		chunks++
		return full
	})
	if !errors.Is(err, full) || chunks != 1 {
		t.Errorf("after %d chunks the error is %v", chunks, err)
	}
	if mustExport(t, conn, g, "2").Counts["public.orders"] != 1 {
		t.Error("the connection is of no use")
	}
}

// A server that waits for a lock has nothing to send, and learns all the same
// that nobody waits for it.
func TestCancel(t *testing.T) {
	locker, g := many(t, 10)
	conn, err := pgx.ConnectConfig(t.Context(), locker.Config())
	if err != nil {
		t.Fatal(err)
	}
	tx, err := locker.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE orders"); err != nil {
		t.Fatal(err)
	}
	pid := conn.PgConn().PID()
	waiting := func() bool {
		return query[int64](t, locker, "SELECT count(*) FROM pg_locks WHERE pid = $1 AND NOT granted", pid)[0] > 0
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := Export(ctx, conn, g, byKey("1"), ExportOptions{}, func([]byte) error { return nil })
		done <- err
	}()
	for !waiting() {
		if t.Context().Err() != nil {
			t.Fatal("the export never waited")
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	for waiting() {
		if t.Context().Err() != nil {
			t.Fatal("the server still waits")
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkExport(b *testing.B) {
	conn, g := many(b, manyOrders)
	var rows, size int64
	for b.Loop() {
		n, err := Export(b.Context(), conn, g, byKey("1"), ExportOptions{}, func(chunk []byte) error {
			size += int64(len(chunk))
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		rows += n
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(size)/b.Elapsed().Seconds()/1e6, "MB/s")
}

func BenchmarkNewGraph(b *testing.B) {
	conn := database(b, "crm", "")
	doc, err := policy.Load(filepath.Join(pgtest.Fixture(b, "crm"), "policy"))
	if err != nil {
		b.Fatal(err)
	}
	cat, err := pgload.Load(b.Context(), conn)
	if err != nil {
		b.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := NewGraph(set, cat, "customer"); err != nil {
			b.Fatal(err)
		}
	}
}

// The commands of the documentation are commands.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/data-subject-requests.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "PRIVACY ") {
			continue
		}
		found++
		if _, _, err := privacy.ParseCommand(line); err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(line), err)
		}
	}
	if found < 5 {
		t.Errorf("the documentation has %d commands", found)
	}
}
