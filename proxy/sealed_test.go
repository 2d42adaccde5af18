package proxy_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// sealingFront seals text and parameters.
func sealingFront(t *testing.T, database string, edits ...func(*proxy.Options)) (*front, *audit.Sealer, string) {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keys")
	sealer, err := audit.NewSealer(keys, "", bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	edits = append(edits, func(o *proxy.Options) { o.Sealing = proxy.Sealing{By: sealer, Text: true, Parameters: true} })
	return start(t, database, shopPolicy, edits...), sealer, keys
}

// sealed gives what the records of statements hold, from a record on.
func (f *front) sealed(t *testing.T, by *audit.Sealer, from uint64) (all []audit.Contents, next uint64) {
	t.Helper()
	for r, err := range audit.Read(f.AuditDir, from) {
		if err != nil {
			t.Fatal(err)
		}
		next = r.Seq + 1
		if r.Kind != audit.KindStatement || r.Decision == "refuse" {
			continue
		}
		c, err := by.Open(&r)
		if err != nil {
			t.Fatalf("%s: %v", r.Shape, err)
		}
		all = append(all, c)
	}
	return all, next
}

func values(c audit.Contents) string {
	words := []string{fmt.Sprintf("%s/%d", c.Text, c.TextSize)}
	for _, p := range c.Parameters {
		word := fmt.Sprintf("%q/%d", p.Value, p.Size)
		if p.Null {
			word = "NULL"
		}
		if p.Binary {
			word = "binary " + word
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// TestSealedContents finds in the log what clients sent, of each way to send it,
// and nothing of it in clear.
func TestSealedContents(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f, sealer, _ := sealingFront(t, database)
	conn := f.connect(t, database, "alice")
	_, from := f.sealed(t, sealer, 0)
	expect := func(name string, want ...string) {
		t.Helper()
		var all []audit.Contents
		all, from = f.sealed(t, sealer, from)
		var got []string
		for _, c := range all {
			got = append(got, values(c))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	const literal = "SELECT id FROM orders WHERE status = 'secretname'"
	text(t.Context(), conn, literal)
	expect("a literal", literal+"/49")
	const sql = "SELECT id FROM orders WHERE id = $1 OR status = $2"
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
		if _, err := conn.Exec(t.Context(), sql, mode, 7, "othersecret"); err != nil {
			t.Fatal(err)
		}
	}
	expect("parameters", sql+`/50 binary "\x00\x00\x00\a"/4 "othersecret"/11`, sql+`/50 binary "\x00\x00\x00\a"/4 "othersecret"/11`, sql+`/50 "7"/1 "othersecret"/11`)
	if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeExec, 7, nil); err != nil {
		t.Fatal(err)
	}
	expect("NULL", sql+`/50 "7"/1 NULL`)
	f.script(t, database, "alice", `
send
Parse {"Name": "s", "Query": "SELECT id FROM customers WHERE id = $1"}
Bind {"PreparedStatement": "s", "DestinationPortal": "a", "Parameters": [{"text": "1"}]}
Bind {"PreparedStatement": "s", "DestinationPortal": "b", "Parameters": [{"text": "2"}]}
Execute {"Portal": "b", "MaxRows": 1}
Execute {"Portal": "a"}
Execute {"Portal": "b"}
Sync
until ReadyForQuery`)
	const byID = "SELECT id FROM customers WHERE id = $1/38 "
	expect("two portals", byID+`"2"/1`, byID+`"1"/1`)
	for r, err := range audit.Read(f.AuditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if said := fmt.Sprintf("%+v", r); strings.Contains(said, "secretname") || strings.Contains(said, "othersecret") {
			t.Errorf("in clear: %s", said)
		}
	}
}

// TestSealedContentsHostile sends as much as the protocol lets pass.
func TestSealedContentsHostile(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f, sealer, _ := sealingFront(t, database)
	conn := f.connect(t, database, "dora")
	_, from := f.sealed(t, sealer, 0)
	long := "SELECT '" + strings.Repeat("x", 16<<20) + "' IS NULL"
	if got := text(t.Context(), conn, long); got != "f\n" {
		t.Fatalf("a long text: %.100q", got)
	}
	all, from := f.sealed(t, sealer, from)
	if c := all[0]; !strings.HasPrefix(long, string(c.Text)) || len(c.Text) < 10<<10 || c.TextSize < len(long) || c.TextSize > len(long)+1 {
		t.Errorf("of a text of %d bytes %d are sealed, and %d said", len(long), len(c.Text), c.TextSize)
	}
	args := make([]any, 1+65535)
	args[0] = pgx.QueryExecModeExec
	var sql strings.Builder
	sql.WriteString("SELECT 1 WHERE 0 IN (")
	for i := range 65535 {
		fmt.Fprintf(&sql, "$%d::int,", i+1)
		args[i+1] = i
	}
	if _, err := conn.Exec(t.Context(), strings.TrimSuffix(sql.String(), ",")+")", args...); err != nil {
		t.Fatal(err)
	}
	all, from = f.sealed(t, sealer, from)
	if c := all[0]; c.Count != 65535 || len(c.Parameters) < 100 || string(c.Parameters[42].Value) != "42" {
		t.Errorf("of 65535 parameters %d are sealed, and %d said", len(c.Parameters), c.Count)
	}
	value := strings.Repeat("y", 8<<20)
	if _, err := conn.Exec(t.Context(), "SELECT $1::text IS NULL, $2::text", pgx.QueryExecModeExec, value, "behind"); err != nil {
		t.Fatal(err)
	}
	all, _ = f.sealed(t, sealer, from)
	if c := all[0]; c.Count != 2 || c.Parameters[0].Size != len(value) || len(c.Parameters[0].Value) != 1<<10 {
		t.Errorf("of a long parameter: %d parameters, %.200s", len(c.Parameters), values(c))
	}
}

// TestSealingFails has no key to seal with: nothing runs.
func TestSealingFails(t *testing.T) {
	database := pgtest.Database(t, "shop")
	var ahead atomic.Int64
	f, _, keys := sealingFront(t, database, func(o *proxy.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	conn := f.connect(t, database, "alice")
	if err := os.RemoveAll(keys); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(62 * 24 * time.Hour)) // another month, another key
	for _, sql := range []string{"SELECT id FROM customers WHERE id = 1", "INSERT INTO countries VALUES ('YY', 'Nowhere', 'EU')"} {
		if got := text(t.Context(), conn, sql); !strings.HasPrefix(got, "58030") {
			t.Errorf("%s = %q, want 58030", sql, got)
		}
	}
}
