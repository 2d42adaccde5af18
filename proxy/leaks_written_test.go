package proxy_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// TestToldWrites tells operators of personal data that goes into open columns in
// every way in which it can, and of no other.
func TestToldWrites(t *testing.T) {
	f, database, told := leaky(t)
	const title = "public.memos.title"
	for _, tt := range []struct {
		sql  []string
		want string
	}{
		{[]string{"UPDATE memos SET title = 'a note' WHERE id = 1"}, ""},
		{[]string{"UPDATE memos SET title = 'card 4111 1111 1111 1111' WHERE id = 1"}, title + " card 1"},
		{[]string{"UPDATE memos SET title = 'bob@example.com and DE89370400440532013000' WHERE id = 1"}, title + " email 1, iban 1"},
		{[]string{"UPDATE memos SET owner = 'bob@example.com' WHERE id = 1"}, ""},
		{[]string{"SELECT id FROM memos WHERE title = 'bob@example.com'"}, ""},
		{[]string{"DELETE FROM memos WHERE title = 'bob@example.com'"}, ""},
		{[]string{"UPDATE memos SET title = 'tel +49 30 1234567' WHERE id = 1"}, ""},
		{[]string{"PREPARE p AS UPDATE memos SET title = $1 WHERE id = $2", "EXECUTE p ('bob@example.com', 1)", "EXECUTE p ('nobody', 1)", "DEALLOCATE p"}, title + " email 1"},
		{[]string{"BEGIN; UPDATE memos SET title = 'x@example.com' WHERE id = 2; ROLLBACK"}, title + " email 1"},
	} {
		for _, login := range []string{"alice", "dora"} {
			for name, mode := range execModes {
				if strings.Contains(tt.sql[0], ";") && name != "simple" {
					continue
				}
				conn := f.connectIn(t, database, login, mode)
				for _, sql := range tt.sql {
					if got := text(t.Context(), conn, sql); strings.Contains(got, "42501") {
						t.Errorf("%s, %s: %s: %s", login, name, sql, got)
					}
				}
				want := tt.want
				if login == "dora" && strings.HasPrefix(tt.sql[0], "PREPARE") {
					want = "" // what an unrestricted caller's EXECUTE runs is not followed
				}
				if want != "" {
					want = "personal_data_written " + login + " " + want
				}
				if got := told.take(); got != want {
					t.Errorf("%s, %s: %s tells %q, want %q", login, name, tt.sql, got, want)
				}
			}
		}
	}
}

// TestToldParameters tells of parameters in both formats, and of very long ones.
func TestToldParameters(t *testing.T) {
	f, database, told := leaky(t)
	long := strings.Repeat("word ", 1<<20) + "bob@example.com"
	for name, mode := range execModes {
		conn := f.connectIn(t, database, "alice", mode)
		for _, tt := range []struct{ value, want string }{
			{"plain", ""},
			{"card: 4111-1111-1111-1111", "personal_data_written alice public.memos.title card 1"},
			{long, "personal_data_written alice public.memos.title email 1"},
			{"\"bob@example.com\"", "personal_data_written alice public.memos.title email 1"},
		} {
			if _, err := conn.Exec(t.Context(), "UPDATE memos SET title = $1 WHERE id = $2", tt.value, 1); err != nil {
				t.Error(err)
			}
			if got := told.take(); got != tt.want {
				t.Errorf("%s: %.40q tells %q, want %q", name, tt.value, got, tt.want)
			}
			if _, err := conn.Exec(t.Context(), "UPDATE memos SET owner = $1 WHERE id = $2", tt.value, 1); err != nil {
				t.Error(err)
			}
			if got := told.take(); got != "" {
				t.Errorf("%s: a column that is not open tells %q", name, got)
			}
		}
	}
}

// copyForms are ways to write the same rows, of which the second is the third open
// column's and the last one another's.
var copyForms = []struct{ options, data string }{
	{"", "101\tnote bob@example.com\tx@example.com\n102\tline\\nDE89370400440532013000\t\\N\n103\tplain\ty@example.com\n"},
	{"(DELIMITER '|')", "101|note bob@example.com|x@example.com\n102|a\\|DE89370400440532013000|\\N\n103|plain|y@example.com\n"},
	{"(FORMAT csv)", "101,note bob@example.com,x@example.com\n102,\"a, \"\"b\"\"\nDE89370400440532013000\",\n103,plain,y@example.com\n"},
	{"(FORMAT csv, DELIMITER ';', ESCAPE '\\', QUOTE '''')", "101;note bob@example.com;x@example.com\n102;'a; \\'b\\'\nDE89370400440532013000';\n103;plain;y@example.com\n"},
}

// TestToldCopies tells of what COPY brings, however its data is cut.
func TestToldCopies(t *testing.T) {
	f, database, told := leaky(t)
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	forms := copyForms
	exec(t, admin, "INSERT INTO memos (id, title, owner) VALUES (101, 'note bob@example.com', 'x@example.com'), (102, 'DE89370400440532013000', NULL), (103, 'plain', 'y@example.com')")
	var binary bytes.Buffer
	if _, err := admin.PgConn().CopyTo(t.Context(), &binary, "COPY (SELECT id, title, owner FROM memos WHERE id > 100) TO STDOUT (FORMAT binary)"); err != nil {
		t.Fatal(err)
	}
	forms = append(forms, struct{ options, data string }{"(FORMAT binary)", binary.String()})
	for _, login := range []string{"alice", "dora"} {
		for _, form := range forms {
			for _, size := range []int{1, 7, 1 << 16} {
				exec(t, admin, "DELETE FROM memos WHERE id > 100")
				got := copyPieces(t, f, database, login, "COPY memos (id, title, owner) FROM STDIN "+form.options, form.data, size)
				if !strings.Contains(got, "COPY 3") || strings.Contains(got, "ERROR") {
					t.Errorf("%s, %s, %d: %s", login, form.options, size, got)
				}
				if got, want := told.take(), "personal_data_written "+login+" public.memos.title email 1, iban 1"; got != want {
					t.Errorf("%s, %s, %d: told %q, want %q", login, form.options, size, got, want)
				}
			}
		}
	}
}

// copyPieces sends data in messages of some size, and gives the answers.
func copyPieces(t *testing.T, f *front, database, login, sql, data string, size int) string {
	t.Helper()
	hijacked, err := f.connect(t, database, login).PgConn().Hijack()
	if err != nil {
		t.Fatal(err)
	}
	defer hijacked.Conn.Close()
	c := pgproto3.NewFrontend(hijacked.Conn, hijacked.Conn)
	c.Send(query(sql))
	for ; len(data) > 0; data = data[min(size, len(data)):] {
		c.Send(&pgproto3.CopyData{Data: []byte(data[:min(size, len(data))])})
	}
	c.Send(&pgproto3.CopyDone{})
	c.Send(query("SELECT 1"))
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for ends := 2; ends > 0; {
		m, err := c.Receive()
		if err != nil {
			t.Fatalf("%v, after %s", err, got.String())
		}
		switch m := m.(type) {
		case *pgproto3.ReadyForQuery:
			ends--
			fmt.Fprintf(&got, "ready %c; ", m.TxStatus)
		case *pgproto3.ErrorResponse:
			fmt.Fprintf(&got, "ERROR %s %s; ", m.Code, m.Message)
		case *pgproto3.CommandComplete:
			fmt.Fprintf(&got, "%s; ", m.CommandTag)
		}
	}
	return got.String()
}

// TestRefusedWrites writes nothing where the policy refuses it, and goes on.
func TestRefusedWrites(t *testing.T) {
	database := pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	exec(t, admin, leaksSchema)
	told := &leaksTold{}
	f := start(t, database, strings.Replace(leaksPolicy, "email], then: alert}", "email], then: refuse}", 1), func(o *proxy.Options) { o.Alerts = told })
	for _, login := range []string{"alice", "dora"} {
		for name, mode := range execModes {
			conn := f.connectIn(t, database, login, mode)
			for _, sql := range []string{"UPDATE memos SET title = 'bob@example.com'", "INSERT INTO memos (id, title) VALUES (9, '4111111111111111')"} {
				if got := text(t.Context(), conn, sql); !strings.HasPrefix(got, "42501 the statement writes what may not stand in open columns") {
					t.Errorf("%s, %s: %s: %q", login, name, sql, got)
				}
			}
			_, err := conn.Exec(t.Context(), "UPDATE memos SET title = $1", "bob@example.com")
			if err == nil || !strings.Contains(err.Error(), "email into public.memos.title (SQLSTATE 42501)") {
				t.Errorf("%s, %s: %v", login, name, err)
			}
			if got := text(t.Context(), conn, "UPDATE memos SET title = 'fine' WHERE id = 1 RETURNING title"); got != "fine\n" {
				t.Errorf("%s, %s: the session goes on with %q", login, name, got)
			}
		}
		for _, form := range copyForms {
			for _, size := range []int{1, 1 << 16} {
				got := copyPieces(t, f, database, login, "COPY memos (id, title, owner) FROM STDIN "+form.options, form.data, size)
				if !strings.HasPrefix(got, "ERROR 42501 the statement writes what may not stand in open columns: ") || !strings.HasSuffix(got, "ready I; SELECT 1; ready I; ") {
					t.Errorf("%s, %s, %d: %s", login, form.options, size, got)
				}
			}
		}
	}
	if got := text(t.Context(), admin, "SELECT count(*) FROM memos WHERE title ~ '@|41|DE' OR id > 100"); got != "0\n" {
		t.Errorf("%s rows were written", got)
	}
	if got := told.take(); got != "" {
		t.Errorf("what is refused is told: %s", got)
	}
}
