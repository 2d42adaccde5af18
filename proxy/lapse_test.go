package proxy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/internal/pgtest"
)

// TestFreedomEnds takes from sessions what they were not restricted by, amid
// messages that carry no text of their own: each is decided anew.
func TestFreedomEnds(t *testing.T) {
	const secret = "SELECT first_name FROM customers WHERE id = 1"
	for _, tt := range []struct {
		name, before string // before the end
		after        []pgproto3.FrontendMessage
	}{
		{"a function call", "SELECT 1", []pgproto3.FrontendMessage{&pgproto3.FunctionCall{
			Function:  2924, // query_to_xml
			Arguments: [][]byte{[]byte(secret), []byte("f"), []byte("f"), {}},
		}}},
		{"a statement that a block prepared", "DO $$BEGIN EXECUTE 'PREPARE x AS " + secret + "'; END$$", []pgproto3.FrontendMessage{
			&pgproto3.Bind{PreparedStatement: "x"}, &pgproto3.Execute{}, &pgproto3.Sync{},
		}},
		{"a cursor that a block opened", "BEGIN; DO $$BEGIN EXECUTE 'DECLARE x CURSOR FOR " + secret + "'; END$$", []pgproto3.FrontendMessage{
			&pgproto3.Execute{Portal: "x"}, &pgproto3.Sync{},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			database := pgtest.Database(t, "shop")
			observed := strings.Replace(shopPolicy, "version: 1\n", "version: 1\nmode: observe\n", 1)
			f := start(t, database, observed)
			conn := f.connect(t, database, "crm_app")
			if got := text(t.Context(), conn, tt.before); strings.Contains(got, "42501") {
				t.Fatal(got)
			}
			f.reload(t, shopPolicy)
			for _, m := range tt.after {
				conn.PgConn().Frontend().Send(m)
			}
			if err := conn.PgConn().Frontend().Flush(); err != nil {
				t.Fatal(err)
			}
			for {
				m, err := conn.PgConn().ReceiveMessage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				switch m := m.(type) {
				case *pgproto3.FunctionCallResponse:
					t.Errorf("answered: %s", m.Result)
				case *pgproto3.DataRow:
					t.Errorf("answered: %s", m.Values)
				case *pgproto3.ErrorResponse:
					t.Log(m.Code, m.Message)
				case *pgproto3.ReadyForQuery:
					return
				}
			}
		})
	}
}

// TestUnreadIsRecorded has callers without restrictions run what carries no text
// of its own: the access log has it.
func TestUnreadIsRecorded(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy)
	conn := f.connect(t, database, "dora")
	exec(t, conn, "DO $$BEGIN EXECUTE 'PREPARE x AS SELECT 1'; END$$")
	_, from := f.records(t, 0)
	front := conn.PgConn().Frontend()
	front.Send(&pgproto3.FunctionCall{Function: 2026}) // pg_backend_pid
	front.Send(&pgproto3.Bind{PreparedStatement: "x"})
	front.Send(&pgproto3.Execute{})
	front.Send(&pgproto3.Sync{})
	if err := front.Flush(); err != nil {
		t.Fatal(err)
	}
	for ready := 0; ready < 2; {
		switch m, err := conn.PgConn().ReceiveMessage(t.Context()); m := m.(type) {
		case nil:
			t.Fatal(err)
		case *pgproto3.ErrorResponse:
			t.Error(m.Message)
		case *pgproto3.ReadyForQuery:
			ready++
		}
	}
	got, _ := f.records(t, from)
	want := []string{"unrestricted", "outcome of 1", "unrestricted", "outcome of 2 SELECT 1"}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("the log says %q, want %q in some order", got, want)
	}
}

// TestLexingOutlivesFreedom has who has no restrictions yet change how the server
// reads texts: whoever is restricted then is not read otherwise than decided.
func TestLexingOutlivesFreedom(t *testing.T) {
	const (
		escaped = `SELECT '\'', (SELECT first_name FROM customers WHERE id = 1) --'`
		shifted = `SELECT 'ッ\', ', (SELECT first_name FROM customers WHERE id = 1) --'` // 83 5C is one character of SJIS
	)
	for _, tt := range []struct{ name, before, after string }{
		{"strings with escapes", "SET standard_conforming_strings = off", escaped},
		{"strings with escapes, by a function", "SELECT set_config('standard_conforming_strings', 'off', false)", escaped},
		{"strings with escapes, by a block", "DO $$BEGIN SET standard_conforming_strings = off; END$$", escaped},
		{"characters with a backslash in them", "SET backslash_quote = on; SET client_encoding = 'SJIS'", shifted},
		{"characters with a backslash in them, by a function", "SELECT set_config('client_encoding', 'SJIS', false)", shifted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			database := pgtest.Database(t, "shop")
			f := start(t, database, strings.Replace(shopPolicy, "version: 1\n", "version: 1\nmode: observe\n", 1))
			conn := f.connect(t, database, "crm_app")
			if got := text(t.Context(), conn, tt.before); strings.Contains(got, "42501") {
				t.Fatal(got)
			}
			f.reload(t, shopPolicy)
			if got := text(t.Context(), conn, tt.after); !strings.HasPrefix(got, "42501") {
				t.Errorf("%s: %q, want 42501", tt.after, got)
			}
		})
	}
}

// TestLexingOfActors has a login without restrictions work for who has some, in
// an encoding that is not open to those: by a setting, and by a comment.
func TestLexingOfActors(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, strings.Replace(shopPolicy, "dora:    {roles: [dba]}", "dora:    {roles: [dba], act_as: [agent]}\n  eve:     {roles: [agent]}", 1))
	const want = "42501 client_encoding SJIS is not open to callers with restrictions"
	conn := f.connect(t, database, "dora", "client_encoding", "SJIS")
	if got := text(t.Context(), conn, "/*pgveil.end_user='eve'*/ SELECT id FROM customers WHERE id = 1"); got != want {
		t.Errorf("for eve, by a comment: %q", got)
	}
	if got := text(t.Context(), conn, "SELECT id FROM customers WHERE id = 1"); got != "1\n" {
		t.Errorf("for itself: %q", got)
	}
	exec(t, conn, "SET pgveil.end_user = 'eve'")
	if got := text(t.Context(), conn, "SELECT id FROM customers WHERE id = 1"); got != want {
		t.Errorf("for eve, by a setting: %q", got)
	}
}

// TestUnrestrictedActs has a login without restrictions say in every way that it
// works for somebody who has some: then those hold.
func TestUnrestrictedActs(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, strings.Replace(shopPolicy, "dora:    {roles: [dba]}", "dora:    {roles: [dba], act_as: [agent]}\n  eve:     {roles: [agent]}", 1))
	const ask, want = "SELECT last_name FROM customers WHERE id = 1", "42501 column public.customers.last_name may not be used"
	for _, say := range []string{
		"SET pgveil.end_user = 'eve'", "SELECT set_config('pgveil.end_user', 'eve', false)", "DO $$BEGIN SET pgveil.end_user = 'eve'; END$$",
		"BEGIN; SET LOCAL pgveil.end_user = 'eve'", "SELECT 1; SET pgveil.end_user = 'eve'",
	} {
		for name, mode := range map[string]pgx.QueryExecMode{"simple": pgx.QueryExecModeSimpleProtocol, "extended": pgx.QueryExecModeExec} {
			conn := f.connect(t, database, "dora")
			if got := text(t.Context(), conn, ask); got != "Keller\n" {
				t.Fatalf("for itself: %q", got)
			}
			if _, err := conn.Exec(t.Context(), say, mode); code(err) == "42601" {
				continue // several statements are for the simple protocol
			} else if err != nil {
				t.Fatal(err)
			}
			if got := text(t.Context(), conn, ask); got != want {
				t.Errorf("after %s, %s: %q, want %q", say, name, got, want)
			}
			exec(t, conn, "ROLLBACK")
			exec(t, conn, "RESET pgveil.end_user")
			if got := text(t.Context(), conn, ask); got != "Keller\n" {
				t.Errorf("for itself again: %q", got)
			}
		}
	}
}
