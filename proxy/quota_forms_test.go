package proxy_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// TestFormsOfRows takes rows in forms that are read in other ways: at most as many
// come as the limit leaves.
func TestFormsOfRows(t *testing.T) {
	database := crowd(t)
	const most = 40
	for name, messages := range map[string][]pgproto3.FrontendMessage{
		"binary":          {prepare("", "SELECT id FROM customers WHERE id > 1000"), bind("", "", 1), execute("", 0), syncs},
		"never described": {prepare("", "SELECT region FROM customers WHERE id > 1000"), bind("", ""), execute("", 0), syncs},
		"a row each":      {prepare("p", "SELECT id FROM customers WHERE id > 1000"), query("BEGIN"), bind("a", "p"), execute("a", 30), syncs, execute("a", 30), syncs},
		"flushed":         {prepare("p", "SELECT id FROM customers WHERE id > 1000"), bind("a", "p"), execute("a", 30), &pgproto3.Flush{}, execute("a", 0), &pgproto3.Flush{}, syncs},
		"portals":         {prepare("p", "SELECT id FROM customers WHERE id > 1000"), bind("a", "p"), bind("b", "p"), execute("a", 30), execute("b", 0), syncs},
		"NULL keys":       {query("SELECT o.total FROM orders o LEFT JOIN customers c ON false WHERE o.customer_id > 1000")},
		"texts":           {query("SELECT id FROM customers WHERE id BETWEEN 1001 AND 1030; SELECT id FROM customers WHERE id > 1030")},
		"RETURNING":       {query("UPDATE customers SET region = region WHERE id > 1000 RETURNING region")},
		"a cursor":        {query("BEGIN; DECLARE c CURSOR FOR SELECT id FROM customers WHERE id > 1000; FETCH 30 FROM c; MOVE 10 FROM c; FETCH ALL FROM c")},
		"EXECUTE":         {query("PREPARE e AS SELECT id FROM customers WHERE id > 1000; EXECUTE e")},
		"an error amid":   {query("SELECT 1 / (id - 1035) FROM customers WHERE id > 1000 ORDER BY id"), query("SELECT id FROM customers WHERE id > 1000")},
	} {
		f := start(t, database, limited(fmt.Sprintf("subjects: %d/day", most)), counts)
		got := converse(t, f, database, append(messages, query("SELECT 'in turn'")))
		if n := strings.Count(got, "\nrow ") - 1; n > most || !strings.Contains(got, "ERROR 53400") {
			t.Errorf("%s: %d rows come: %s", name, n, got[max(0, len(got)-400):])
		}
		if !strings.Contains(got, "in turn") && !strings.Contains(got, "ERROR 25P02") {
			t.Errorf("%s: what follows has no answer: %s", name, got[max(0, len(got)-400):])
		}
	}
	for _, form := range []string{"text", "csv", "binary"} {
		f := start(t, database, limited(fmt.Sprintf("subjects: %d/day", most)), counts)
		var out bytes.Buffer
		_, err := f.connect(t, database, "alice").PgConn().CopyTo(t.Context(), &out, "COPY (SELECT 'row' FROM customers WHERE id > 1000) TO STDOUT (FORMAT "+form+")")
		if wantStopped(t, "COPY", err); bytes.Count(out.Bytes(), []byte("row")) > most {
			t.Errorf("%s: %d rows come", form, bytes.Count(out.Bytes(), []byte("row")))
		}
	}
}
