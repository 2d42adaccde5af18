package proxy_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// TestHeld has the database held while sessions are open, by what they prepared,
// opened and have seen planned before: nothing on governed data is sent, to nobody,
// and all goes on when it is over.
func TestHeld(t *testing.T) {
	database := pgtest.Database(t, "shop")
	var held atomic.Bool
	f := start(t, database, shopPolicy, func(o *proxy.Options) {
		o.Held = func() string {
			if held.Load() {
				return "the database was restored"
			}
			return ""
		}
	})
	const read = "SELECT count(*) FROM customers"
	exact := pgx.QueryExecModeCacheStatement
	simple, extended, cursor := f.connect(t, database, "alice"), f.connectIn(t, database, "alice", exact), f.connect(t, database, "alice")
	free := f.connect(t, database, "dora")
	for _, sql := range []string{"PREPARE counted AS " + read, read} {
		text(t.Context(), simple, sql)
	}
	for _, sql := range []string{"BEGIN", "DECLARE c CURSOR FOR SELECT id FROM customers", "FETCH 1 FROM c"} {
		if got := text(t.Context(), cursor, sql); strings.Contains(got, "42") && sql != "FETCH 1 FROM c" {
			t.Fatalf("%s: %s", sql, got)
		}
	}
	counted := func() (answer string) {
		var n int64
		if err := extended.QueryRow(t.Context(), read).Scan(&n); err != nil {
			return said(err)
		}
		return fmt.Sprintln(n)
	}
	before := counted()
	for _, step := range []bool{true, false} {
		held.Store(step)
		for name, got := range map[string]string{
			"simple": text(t.Context(), simple, read), "executed": text(t.Context(), simple, "EXECUTE counted"), "extended": counted(),
			"copied":  text(t.Context(), simple, "COPY (SELECT id FROM customers) TO STDOUT"),
			"written": text(t.Context(), simple, "UPDATE customers SET region = region WHERE id = -1"),
			"free":    text(t.Context(), free, read), "called": text(t.Context(), free, "SELECT query_to_xml('SELECT 1 FROM customers', true, true, '')::text <> ''"),
			"open": text(t.Context(), cursor, "FETCH 1 FROM c"),
		} {
			if refused := strings.Contains(got, "57P03"); refused != step && !(name == "open" && !step) {
				t.Errorf("held: %v, %s: %s", step, name, got)
			}
		}
		for _, sql := range []string{"SELECT 1", "BEGIN", "ROLLBACK", "SHOW server_version"} {
			if got := text(t.Context(), simple, sql); strings.Contains(got, "57P03") {
				t.Errorf("held: %v, %s: %s", step, sql, got)
			}
		}
	}
	if after := counted(); after != before || before == "" {
		t.Errorf("before %s, after %s", before, after)
	}
}
