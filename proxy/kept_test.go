package proxy_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/faulty"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// ask runs an unnamed statement with parameters and gives its rows as text.
func ask(ctx context.Context, conn *pgx.Conn, sql string, params ...string) string {
	var values [][]byte
	for _, p := range params {
		values = append(values, []byte(p))
	}
	r := conn.PgConn().ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if r.Err != nil {
		return said(r.Err)
	}
	return string(bytes.Join(flat(r.Rows), []byte("|")))
}

func flat(rows [][][]byte) (all [][]byte) {
	for _, row := range rows {
		all = append(all, row...)
	}
	return all
}

// TestKeptStatements repeats unnamed statements: the server gets each once, and
// again when what it is read under may have changed.
func TestKeptStatements(t *testing.T) {
	database := pgtest.Database(t, "shop")
	far, err := faulty.Listen("unix", socket(pgtest.Server(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := far.Close(); err != nil {
			t.Error(err)
		}
	})
	f := start(t, database, shopPolicy, func(o *proxy.Options) {
		o.KeepAfter = 3
		o.Upstream.Hosts = []proxy.Host{{Network: "tcp", Address: far.Addr()}}
	})
	const day = "SELECT ('02/03/2026'::date - '2026-01-01'::date)::text, region FROM customers WHERE id = $1"
	const masked = "SELECT email, region FROM customers WHERE id = $1"
	for _, tt := range []struct {
		name    string
		between func(ctx context.Context, conn *pgx.Conn) string // before each of the last four
		sql     string
		want    string
		parses  int // Parse messages of the statement that the server gets, of eight
	}{
		{"nothing happens", nil, masked, "***|EU", 3},
		{"another statement", func(ctx context.Context, conn *pgx.Conn) string { return ask(ctx, conn, "SELECT 1") }, masked, "***|EU", 3},
		{"a simple query", func(ctx context.Context, conn *pgx.Conn) string { return text(ctx, conn, "SELECT 1") }, masked, "***|EU", 3},
		{"a transaction", func(ctx context.Context, conn *pgx.Conn) string { return text(ctx, conn, "BEGIN; SELECT 1; COMMIT") }, masked, "***|EU", 3},
		{"a setting", func(ctx context.Context, conn *pgx.Conn) string { return text(ctx, conn, "SET datestyle = 'ISO, DMY'") }, day, "60|EU", 7},
		{"a setting of a transaction", func(ctx context.Context, conn *pgx.Conn) string {
			text(ctx, conn, "BEGIN")
			text(ctx, conn, "SET LOCAL datestyle = 'ISO, DMY'")
			got := ask(ctx, conn, day, "1")
			text(ctx, conn, "COMMIT")
			return got
		}, day, "33|EU", 11},
		{"a setting by a function", func(ctx context.Context, conn *pgx.Conn) string {
			return ask(ctx, conn, "SELECT set_config('datestyle', 'ISO, DMY', false)")
		}, day, "60|EU", 7},
		{"DISCARD ALL", func(ctx context.Context, conn *pgx.Conn) string { return text(ctx, conn, "DISCARD ALL") }, masked, "***|EU", 7},
		{"DEALLOCATE ALL", func(ctx context.Context, conn *pgx.Conn) string { return text(ctx, conn, "DEALLOCATE ALL") }, masked, "***|EU", 7},
		{"an error", func(ctx context.Context, conn *pgx.Conn) string { return ask(ctx, conn, "SELECT 1/0") }, masked, "***|EU", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			far.Set(faulty.Script{}, faulty.Script{})
			conn := f.connect(t, database, "crm_app", "pgveil.purpose", "sales", "datestyle", "ISO, MDY")
			for i := range 8 {
				if i >= 4 && tt.between != nil {
					tt.between(t.Context(), conn)
				}
				got := ask(t.Context(), conn, tt.sql, "1")
				if i == 7 && got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			}
			if got := text(t.Context(), conn, "SELECT count(*) FROM pg_prepared_statements"); got != "0\n" {
				t.Errorf("the client sees %q statements", got)
			}
			sent, _ := far.Passed()
			if got := parses(sent, "customers"); got != tt.parses {
				t.Errorf("the server got %d Parse messages of it, want %d", got, tt.parses)
			}
		})
	}
}

// parses counts the Parse messages with a word in their text.
func parses(stream []byte, word string) (n int) {
	if len(stream) < 4 {
		return 0
	}
	for _, f := range framesOf(stream[int(stream[2])<<8|int(stream[3]):]) {
		if f[0] == 'P' && bytes.Contains(f, []byte(word)) {
			n++
		}
	}
	return n
}

// TestKeptNames lets nobody use the names of what is kept.
func TestKeptNames(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy)
	conn := f.connect(t, database, "alice")
	const sql = "SELECT region FROM customers WHERE id = $1"
	for range 2 {
		if got := ask(t.Context(), conn, sql, "1"); got != "EU" {
			t.Fatalf("got %q", got)
		}
	}
	for _, use := range []string{"EXECUTE pgveil_kept_1(1)", "DEALLOCATE pgveil_kept_1", "PREPARE pgveil_kept_7 AS SELECT 1"} {
		if got := text(t.Context(), conn, use); got[:5] != "42939" {
			t.Errorf("%s: %q", use, got)
		}
	}
	if _, err := conn.PgConn().Prepare(t.Context(), "pgveil_kept_1", "SELECT 1", nil); code(err) != "42939" {
		t.Errorf("Parse: %v", err)
	}
	if r := conn.PgConn().ExecPrepared(t.Context(), "pgveil_kept_1", [][]byte{[]byte("1")}, nil, nil).Read(); code(r.Err) != "26000" {
		t.Errorf("Bind: %v", r.Err)
	}
	if err := conn.PgConn().Deallocate(t.Context(), "pgveil_kept_1"); err != nil {
		t.Errorf("Close: %v", err)
	}
	if got := ask(t.Context(), conn, sql, "1"); got != "EU" {
		t.Errorf("afterwards: %q", got)
	}
}

// BenchmarkUnnamed asks for one row by an unnamed statement, kept and not.
func BenchmarkUnnamed(b *testing.B) {
	for _, after := range []int{0, 3} {
		b.Run(fmt.Sprintf("after=%d", after), func(b *testing.B) {
			database := pgtest.Database(b, "shop")
			f := start(b, database, shopPolicy, func(o *proxy.Options) { o.KeepAfter = after })
			conn := f.connect(b, database, "crm_app", "pgveil.purpose", "sales")
			for b.Loop() {
				if got := ask(b.Context(), conn, "SELECT email FROM customers WHERE id = $1", "1"); got != "***" {
					b.Fatal(got)
				}
			}
		})
	}
}

// TestRestrictedSincePrepare takes a caller its freedom: what was prepared
// before has a text that nobody kept, so it cannot be planned.
func TestRestrictedSincePrepare(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy)
	conn := f.connect(t, database, "dora")
	if _, err := conn.PgConn().Prepare(t.Context(), "s", "SELECT ssn FROM customers WHERE id = 1", nil); err != nil {
		t.Fatal(err)
	}
	f.reload(t, strings.Replace(shopPolicy, "dora:    {roles: [dba]}", "dora:    {roles: [agent]}", 1))
	if r := conn.PgConn().ExecPrepared(t.Context(), "s", nil, nil, nil).Read(); code(r.Err) != "42501" {
		t.Errorf("got %q, %v; want 42501", r.Rows, r.Err)
	}
}
