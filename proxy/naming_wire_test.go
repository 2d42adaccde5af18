package proxy_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// unnamedPolicy is namingPolicy without subjects: nothing is added to anything.
var unnamedPolicy = strings.Replace(namingPolicy, "subjects: {customer: {table: public.customers, key: id}}", "", 1)

// TestNamingIsNotSeen compares all that a client gets where subjects are named
// with what it gets where they are not, message by message.
func TestNamingIsNotSeen(t *testing.T) {
	database := pgtest.Database(t, "shop")
	named, unnamed := start(t, database, namingPolicy, names(t, database)), start(t, database, unnamedPolicy)
	const (
		sel = "SELECT first_name, region FROM customers WHERE id < 4 ORDER BY id"
		upd = "UPDATE customers SET region = region WHERE id < 4"
	)
	for name, messages := range map[string][]pgproto3.FrontendMessage{
		"EXECUTE":                   {prepare("p", sel), syncs, query("EXECUTE p")},
		"EXECUTE, formats":          {prepare("p", sel), prepare("", "EXECUTE p"), describe('S', ""), bind("", "", 0, 1), describe('P', ""), execute("", 0), syncs},
		"EXECUTE of a write":        {prepare("p", upd), prepare("", "EXECUTE p"), describe('S', ""), bind("", "", 1), describe('P', ""), execute("", 2), syncs, query("EXECUTE p")},
		"EXPLAIN EXECUTE":           {prepare("p", sel), syncs, query("EXPLAIN EXECUTE p")},
		"EXPLAIN EXECUTE, a write":  {prepare("p", upd), syncs, query("EXPLAIN EXECUTE p")},
		"prepared anew in the text": {prepare("p", sel), syncs, query("DEALLOCATE p; PREPARE p AS SELECT region FROM customers WHERE id < 3; EXECUTE p")},
		"declared anew in the text": {query("BEGIN"), prepare("p", sel), bind("c", "p"), syncs, query("CLOSE c; DECLARE c CURSOR FOR SELECT region FROM customers WHERE id < 3; FETCH 1 FROM c"), query("COMMIT")},
		"FETCH from a portal":       {query("BEGIN"), prepare("p", sel), bind("c", "p"), syncs, query("FETCH 2 FROM c"), query("MOVE 1 FROM c"), query("COMMIT")},
		"FETCH, formats":            {query("BEGIN"), prepare("p", sel), bind("c", "p"), prepare("", "FETCH 2 FROM c"), bind("", "", 1, 0), describe('P', ""), execute("", 0), syncs, query("COMMIT")},
		"a write, formats":          {prepare("p", upd), bind("", "p", 1), execute("", 1), bind("", "p", 1, 1), execute("", 1), syncs},
		"a write, described":        {prepare("p", upd), describe('S', "p"), bind("x", "p"), describe('P', "x"), execute("x", 1), syncs},
		"row by row":                {prepare("p", sel), describe('S', "p"), bind("", "p", 1, 0), describe('P', ""), execute("", 1), execute("", 0), execute("", 0), syncs},
		"no columns":                {prepare("p", "SELECT FROM customers WHERE id < 3"), describe('S', "p"), bind("", "p"), describe('P', ""), execute("", 1), execute("", 0), syncs},
		"RETURNING":                 {prepare("", upd+" RETURNING region, id"), describe('S', ""), bind("", "", 0, 1), describe('P', ""), execute("", 2), execute("", 2), syncs},
		"an error amid rows":        {prepare("", "SELECT 1/(id - 3) FROM customers"), bind("", ""), execute("", 1), execute("", 9), syncs},
		"an error behind rows":      {query(sel + "; " + upd + "; SELECT 1/0 FROM customers; " + sel)},
		"COPY, then rows":           {query("COPY (SELECT region FROM customers) TO STDOUT; " + sel)},
		"nothing":                   {query(";;"), prepare("", ""), describe('S', ""), bind("", ""), describe('P', ""), execute("", 0), syncs},
		"several":                   {query(";" + sel + ";;" + upd + ";" + upd + " RETURNING region;SELECT count(*) FROM orders;")},
		"a column that is not":      {query("SELECT first_name FROM customers ORDER BY 2")},
		"as many columns as can be": {query("SELECT 1" + strings.Repeat(", 1", 1663) + " FROM customers WHERE id = 1")},
		"as many counts as can be":  {query("SELECT 1" + strings.Repeat(", count(*)", 1663) + " FROM customers WHERE id = 1")},
		"RETURNING as many":         {query(upd + " RETURNING 1" + strings.Repeat(", 1", 1663))},
	} {
		want := converse(t, unnamed, database, messages)
		if got := converse(t, named, database, messages); got != want {
			t.Errorf("%s: the client gets\n%s, want\n%s", name, got, want)
		}
	}
	// A portal that changes rows is run once; the refusal has an identifier of ours.
	if got := converse(t, named, database, []pgproto3.FrontendMessage{prepare("p", upd), bind("x", "p"), execute("x", 0), execute("x", 0), syncs}); !strings.Contains(got, `ERROR 55000 portal "x" cannot be run`) {
		t.Errorf("a write that is executed twice gives %s", got)
	}
}

// TestNamingLongBinds has Bind messages say how results are written behind values
// of many sizes, and behind as many as there can be.
func TestNamingLongBinds(t *testing.T) {
	database := pgtest.Database(t, "shop")
	named, unnamed := start(t, database, namingPolicy, names(t, database)), start(t, database, unnamedPolicy)
	compare := func(what, sql string, values ...[]byte) {
		b := bind("", "", 1, 0)
		b.Parameters = values
		messages := []pgproto3.FrontendMessage{prepare("", sql), describe('S', ""), b, execute("", 0), syncs}
		want := converse(t, unnamed, database, messages)
		if got := converse(t, named, database, messages); got != want || !strings.Contains(got, "row ") {
			t.Errorf("%s: the client gets\n%s, want\n%s", what, got[max(0, len(got)-500):], want[max(0, len(want)-500):])
		}
	}
	for _, size := range []int{0, 4050, 4 << 10, 70 << 10, 5 << 20} {
		compare(fmt.Sprintf("%d bytes", size), "SELECT first_name, region FROM customers WHERE id < 4 AND $1::text IS NOT NULL", bytes.Repeat([]byte("x"), size))
	}
	const most = 40000
	var sql strings.Builder
	var values [][]byte
	for i := range most {
		fmt.Fprintf(&sql, ", $%d", i+1)
		values = append(values, []byte("1"))
	}
	compare("many values", "SELECT first_name, region FROM customers WHERE id = ANY (ARRAY["+sql.String()[2:]+"]::integer[])", values...)
}

// converse gives what a client gets that sends messages all at once.
func converse(t *testing.T, f *front, database string, messages []pgproto3.FrontendMessage) string {
	t.Helper()
	return converseAs(t, f, database, "alice", messages)
}

func converseAs(t *testing.T, f *front, database, user string, messages []pgproto3.FrontendMessage) string {
	t.Helper()
	hijacked, err := f.connect(t, database, user).PgConn().Hijack()
	if err != nil {
		t.Fatal(err)
	}
	defer hijacked.Conn.Close()
	c := pgproto3.NewFrontend(hijacked.Conn, hijacked.Conn)
	ends := 0
	for _, m := range messages {
		c.Send(m)
		switch m.(type) {
		case *pgproto3.Sync, *pgproto3.Query:
			ends++
		}
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for ends > 0 {
		m, err := c.Receive()
		if err != nil {
			t.Fatalf("%v, after %s", err, got.String())
		}
		switch m := m.(type) {
		case *pgproto3.ReadyForQuery:
			ends--
			fmt.Fprintf(&got, "ready %c\n", m.TxStatus)
		case *pgproto3.ErrorResponse:
			fmt.Fprintf(&got, "ERROR %s %s; %s\n", m.Code, m.Message, m.Detail)
		case *pgproto3.DataRow:
			fmt.Fprintf(&got, "row %q\n", m.Values)
		case *pgproto3.RowDescription:
			fmt.Fprintf(&got, "columns %+v\n", m.Fields)
		default:
			fmt.Fprintf(&got, "%T %v\n", m, m)
		}
	}
	return got.String()
}

var syncs = &pgproto3.Sync{}

func query(sql string) *pgproto3.Query         { return &pgproto3.Query{String: sql} }
func prepare(name, sql string) *pgproto3.Parse { return &pgproto3.Parse{Name: name, Query: sql} }

func bind(portal, statement string, formats ...int16) *pgproto3.Bind {
	return &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: statement, ResultFormatCodes: formats}
}

func describe(kind byte, name string) *pgproto3.Describe {
	return &pgproto3.Describe{ObjectType: kind, Name: name}
}

func execute(portal string, rows uint32) *pgproto3.Execute {
	return &pgproto3.Execute{Portal: portal, MaxRows: rows}
}

// TestNamingNeedsNoPrivileges has logins write and read what they may, on a
// database where naming the subjects would take more than that.
func TestNamingNeedsNoPrivileges(t *testing.T) {
	database := pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	exec(t, admin, "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'scribe') THEN CREATE ROLE scribe LOGIN; END IF; END $$")
	exec(t, admin, "GRANT INSERT, DELETE ON orders TO scribe; GRANT SELECT ON order_items TO scribe")
	f := start(t, database, strings.Replace(namingPolicy, "users:", "users:\n  scribe: {roles: [agent]}", 1), names(t, database))
	for _, tt := range []struct{ sql, want string }{
		{"SELECT product FROM order_items LIMIT 2", "customer+2"},
		{"INSERT INTO orders (customer_id, placed_at, status, total) VALUES (2, '2026-01-01', 'new', 1)", "customer+1"},
	} {
		conn := f.connect(t, database, "scribe")
		read := namesRead{f, admin, f.Audit.Stats().Appended}
		got := text(t.Context(), conn, tt.sql)
		if named := read.since(t); strings.Contains(got, "permission denied") || named != tt.want {
			t.Errorf("%s gives %s; the log names %q, want %q", tt.sql, got, named, tt.want)
		}
	}
	if _, err := audit.Verify(f.AuditDir); err != nil {
		t.Error(err)
	}
}
