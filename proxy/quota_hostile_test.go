package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// unrestricted gives naming's policy with limits for those who may see everything.
func unrestricted(limits string) string {
	return strings.Replace(namingPolicy, `{unrestricted: true}`, `{unrestricted: true, limits: {`+limits+`}}`, 1)
}

// TestUnknownNamesAreLimited has somebody without restrictions make statements and
// cursors where pgveil does not see it: nobody can say whose rows they return.
func TestUnknownNamesAreLimited(t *testing.T) {
	database := crowd(t)
	f := start(t, database, unrestricted("subjects: 10/day"), counts)
	conn := f.connect(t, database, "dora")
	for _, sql := range []string{
		"DO $$ BEGIN EXECUTE 'PREPARE unseen AS SELECT id FROM customers WHERE id > 1000'; END $$",
		"DO $$ BEGIN EXECUTE 'DECLARE unseen CURSOR WITH HOLD FOR SELECT id FROM customers WHERE id > 1000'; END $$",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Logf("%s: %v", sql, err)
		}
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec} {
		for _, sql := range []string{"EXECUTE unseen", "FETCH ALL FROM unseen"} {
			if got, err := obtained(t, conn, sql, mode); err == nil || len(got) > 10 {
				t.Errorf("%s gives %d rows: %v", sql, len(got), err)
			}
		}
	}
	for name, messages := range map[string][]pgproto3.FrontendMessage{
		"Bind":    {query("DO $$ BEGIN EXECUTE 'PREPARE unseen AS SELECT id FROM customers WHERE id > 1000'; END $$"), bind("", "unseen"), execute("", 0), syncs},
		"Execute": {query("DO $$ BEGIN EXECUTE 'DECLARE unseen CURSOR WITH HOLD FOR SELECT id FROM customers WHERE id > 1000'; END $$"), execute("unseen", 0), syncs},
	} {
		if got := converseAs(t, f, database, "dora", messages); strings.Count(got, "row ") > 10 {
			t.Errorf("%s gives %d rows", name, strings.Count(got, "row "))
		}
	}
}

// TestCursorsAreOneStatement has several statements of a text go on with a cursor.
func TestCursorsAreOneStatement(t *testing.T) {
	database := crowd(t)
	for name, texts := range map[string][]string{
		"after others":    {"BEGIN; DECLARE c CURSOR FOR SELECT total FROM orders WHERE customer_id > 1000", "SELECT 1; FETCH 90 FROM c", "SELECT 1; FETCH 90 FROM c"},
		"twice":           {"BEGIN; DECLARE c CURSOR FOR SELECT total FROM orders WHERE customer_id > 1000", "FETCH 90 FROM c; FETCH 90 FROM c"},
		"with its making": {"BEGIN; DECLARE c CURSOR FOR SELECT total FROM orders WHERE customer_id > 1000; FETCH 90 FROM c", "FETCH 90 FROM c"},
		"twice in making": {"BEGIN; DECLARE c CURSOR FOR SELECT total FROM orders WHERE customer_id > 1000; FETCH 90 FROM c; FETCH 90 FROM c"},
	} {
		f := start(t, database, limited("rows: 100/query"), counts)
		var messages []pgproto3.FrontendMessage
		for _, text := range texts {
			messages = append(messages, query(text))
		}
		got := converse(t, f, database, messages)
		if n := strings.Count(got, `row ["1.00"]`); n != 100 && n != 90 || !strings.Contains(got, "ERROR 53400") {
			t.Errorf("%s: %d rows come, and %s", name, n, got[max(0, len(got)-300):])
		}
	}
}

// TestSessionIsCountedOnce changes who asks, amid a session: what it got is not
// forgotten.
func TestSessionIsCountedOnce(t *testing.T) {
	database := crowd(t)
	policy := strings.Replace(limited("rows: 25/session"), "purposes: {support: {basis: contract}}", "purposes: {support: {basis: contract}, other: {basis: contract, limits: {statements: 1000/session, bytes: 1000000/session}}}", 1)
	policy = strings.Replace(policy, "agent:  {purposes: [support]", "agent:  {purposes: [support, other]", 1)
	f := start(t, database, policy, counts)
	conn := f.connect(t, database, "alice")
	n := 0
	for i := range 10 {
		if _, err := conn.Exec(t.Context(), fmt.Sprintf("SET pgveil.purpose = '%s'", []string{"support", "other"}[i%2])); err != nil {
			t.Fatal(err)
		}
		got, err := obtained(t, conn, "SELECT region FROM customers WHERE id BETWEEN 1001 AND 1010")
		n += len(got)
		if err != nil {
			wantStopped(t, "session", err)
		}
	}
	if n != 25 {
		t.Errorf("%d rows came", n)
	}
}

// TestStopAnswersInTurn has each message behind a statement that is stopped get
// what it would behind any that fails.
func TestStopAnswersInTurn(t *testing.T) {
	database := crowd(t)
	f := start(t, database, limited("rows: 5/query"), counts)
	const sel = "SELECT region FROM customers WHERE id < 12"
	for name, messages := range map[string][]pgproto3.FrontendMessage{
		"Describe":         {prepare("p", sel), bind("a", "p"), execute("a", 0), describe('P', "a"), describe('S', "p"), syncs, query("SELECT 7")},
		"Describe nothing": {prepare("p", sel), bind("a", "p"), execute("a", 0), describe('P', "b"), syncs, query("SELECT 7")},
		"Close":            {prepare("p", sel), bind("a", "p"), execute("a", 0), &pgproto3.Close{ObjectType: 'P', Name: "a"}, syncs, query("SELECT 7")},
		"suspended":        {prepare("p", sel), bind("a", "p"), execute("a", 4), execute("a", 4), syncs, query("SELECT 7")},
		"a text":           {query(sel), query("SELECT 7")},
	} {
		for range 5 {
			got := converse(t, f, database, messages)
			at := strings.Index(got, "ERROR 53400")
			if at < 0 || !strings.HasPrefix(got[at:][strings.IndexByte(got[at:], '\n')+1:], "ready ") || !strings.Contains(got, `row ["7"]`) || strings.Count(got, "ERROR") != 1 {
				t.Errorf("%s: %s", name, got)
				break
			}
		}
	}
}

// TestStopHitsNothingElse sends the next statement while one is being stopped.
func TestStopHitsNothingElse(t *testing.T) {
	database := crowd(t)
	f := start(t, database, limited("rows: 5/query"), counts)
	hijacked, err := f.connect(t, database, "alice").PgConn().Hijack()
	if err != nil {
		t.Fatal(err)
	}
	defer hijacked.Conn.Close()
	c := pgproto3.NewFrontend(hijacked.Conn, hijacked.Conn)
	for i := range 300 {
		c.Send(query("SELECT region FROM customers WHERE id < 12"))
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); time.Since(began) < time.Duration(5*i)*time.Microsecond; {
		}
		c.Send(query(fmt.Sprintf("SELECT 'next %d', count(*) FROM generate_series(1, 5000)", i)))
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		var errors []string
		rows := 0
		for ready := 0; ready < 2; {
			switch m, err := c.Receive(); m := m.(type) {
			case nil:
				t.Fatal(err)
			case *pgproto3.ReadyForQuery:
				ready++
			case *pgproto3.DataRow:
				rows++
			case *pgproto3.ErrorResponse:
				errors = append(errors, m.Code+" "+m.Message)
			}
		}
		if len(errors) != 1 || rows != 6 {
			t.Fatalf("%d: %d rows, %q", i, rows, errors)
		}
	}
}

// TestLateStopSaysWhatIsDone stops what the server has ended already, behind what
// has changed something.
func TestLateStopSaysWhatIsDone(t *testing.T) {
	database := crowd(t)
	f := start(t, database, limited("rows: 5/query"), counts)
	for i := range 20 {
		got := converse(t, f, database, []pgproto3.FrontendMessage{
			prepare("", fmt.Sprintf("UPDATE orders SET total = 1000 + %d WHERE id = 101001", i)), bind("", ""), execute("", 0),
			prepare("", "SELECT region FROM customers WHERE id < 12"), bind("", ""), execute("", 0), syncs,
			query("SELECT total FROM orders WHERE id = 101001"),
		})
		if strings.Contains(got, fmt.Sprintf(`row ["%d.00"]`, 1000+i)) && !strings.Contains(got, "not undone") {
			t.Errorf("the client is told that it failed, and it was done: %s", got)
			break
		}
	}
}

// TestValuesOfNobody limits values of a class in a table that is about nobody.
func TestValuesOfNobody(t *testing.T) {
	database := crowd(t)
	policy := strings.NewReplacer(`"public.countries.*"]`, "public.countries.code]\n  place: [public.countries.name]",
		"rules:\n", "rules:\n  - {role: agent, for: support, on: place, show: clear}\n").Replace(limited("values: {most: 3/day, of: place}"))
	f := start(t, database, policy, counts)
	conn := f.connect(t, database, "alice")
	n := 0
	for _, sql := range []string{"SELECT name FROM countries LIMIT 2", "PREPARE p AS SELECT name FROM countries", "EXECUTE p", "EXECUTE p", "EXECUTE p"} {
		got, err := obtained(t, conn, sql)
		if n += len(got); err != nil {
			wantStopped(t, sql, err)
		}
	}
	if n != 3 {
		t.Errorf("%d values came, of 3", n)
	}
}

// TestMaskHidesWhatWasOpen opens a cursor before values are hidden.
func TestMaskHidesWhatWasOpen(t *testing.T) {
	database := crowd(t)
	f := start(t, database, limited("subjects: {most: 30/day, then: mask}"), counts)
	conn, other := f.connect(t, database, "alice"), f.connect(t, database, "alice")
	if _, err := conn.Exec(t.Context(), "DECLARE c CURSOR WITH HOLD FOR SELECT first_name FROM customers WHERE id > 1500"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "PREPARE p AS SELECT first_name FROM customers WHERE id > 1500"); err != nil {
		t.Fatal(err)
	}
	if _, err := obtained(t, other, "SELECT first_name FROM customers WHERE id > 1000"); err == nil {
		t.Fatal("no limit")
	}
	for _, sql := range []string{"FETCH 40 FROM c", "EXECUTE p"} {
		got, err := obtained(t, conn, sql)
		if err == nil && (len(got) == 0 || strings.Contains(got[0], "N")) {
			t.Errorf("%s gives %d, like %s", sql, len(got), got[0])
		}
	}
}

// TestBitByBit asks questions whose answers are errors, or numbers of changed rows:
// they are charged, and end.
func TestBitByBit(t *testing.T) {
	database := crowd(t)
	for name, ask := range map[string]string{
		"error":  "SELECT 1 / (CASE WHEN email LIKE 'c%%' THEN 0 ELSE 1 END) FROM customers WHERE id = %d",
		"update": "UPDATE customers SET region = region WHERE id = %d AND email LIKE '%%'",
	} {
		open := strings.NewReplacer("  rest: ", "  email: [public.customers.email]\n  rest: ", "rules:", "rules:\n  - {role: agent, for: support, on: email, show: clear}")
		f := start(t, database, open.Replace(limited("subjects: 20/day")), counts)
		conn := f.connect(t, database, "alice")
		learnt := 0
		for id := 1001; id < 1100; id++ {
			_, err := conn.Exec(t.Context(), fmt.Sprintf(ask, id))
			if code(err) == atLimit {
				break
			}
			learnt++
		}
		if learnt > 20+21 { // with what it is let off
			t.Errorf("%s: %d answers about customers of whom 20 may be known", name, learnt)
		}
		for range 30 {
			if _, err := conn.Exec(t.Context(), fmt.Sprintf(ask, 1001)); code(err) != atLimit {
				t.Errorf("%s: it goes on with %v", name, err)
				break
			}
		}
		if _, err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := start(t, database, limited("subjects: 5/day"), counts)
	conn := f.connect(t, database, "alice")
	for range 30 { // what anybody gets wrong
		if _, err := conn.Exec(t.Context(), "SELEC 1"); code(err) != "42601" {
			t.Fatal(err)
		}
	}
	for range 30 {
		if _, err := conn.Exec(t.Context(), "UPDATE orders SET status = 'paid' WHERE id = 101001"); err != nil {
			t.Fatal(err)
		}
	}
}
