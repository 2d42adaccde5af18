package proxy_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgtest"
)

// shop starts a pgveil in front of a copy of the shop.
func shop(t testing.TB) (f *front, database string) {
	t.Helper()
	database = pgtest.Database(t, "shop")
	return start(t, database, shopPolicy), database
}

const (
	toSupport = "SET pgveil.purpose = 'support'"
	toSales   = "SET pgveil.purpose = 'sales'"
	askEmail  = "SELECT email FROM customers WHERE id = 1"
	masked    = "***\n"
)

// clear gives what the one who asks for askEmail may see for support.
func clearEmail(t testing.TB, f *front, database string) string {
	t.Helper()
	return text(t.Context(), f.connect(t, database, "dora"), askEmail)
}

// TestPurposeIsFollowed changes the purpose in every way that a session can,
// and takes it back in every way. What counts is the purpose in force on the
// server when a statement runs.
func TestPurposeIsFollowed(t *testing.T) {
	f, database := shop(t)
	email := clearEmail(t, f, database)
	f.hold(t, database, "crm_app", []dialogue{
		{"none", []string{askEmail}, "42501"},
		{"SET", []string{toSupport, askEmail}, email},
		{"SET to another", []string{toSupport, toSales, askEmail}, masked},
		{"SET in one string", []string{toSupport, "SELECT 1", toSales + "; SELECT 1", askEmail}, masked},
		{"SET SESSION", []string{"SET SESSION pgveil.purpose TO sales", askEmail}, masked},
		{"a comment", []string{toSales, "/* pgveil.purpose='support' */ " + askEmail}, email},
		{"a comment at the end", []string{askEmail + " /*app='crm',pgveil.purpose = 'support'*/"}, email},
		{"a comment holds for its text only", []string{toSales, "/* pgveil.purpose='support' */ " + askEmail, askEmail}, masked},
		{"a comment of a purpose that is not permitted", []string{toSupport, "/* pgveil.purpose='billing' */ " + askEmail}, "42501"},
		{"no comment but a string", []string{toSales, "SELECT email FROM customers WHERE id = 1 AND '/* pgveil.purpose=''support'' */' <> ''"}, masked},
		{"SET LOCAL, within", []string{toSupport, "BEGIN", "SET LOCAL pgveil.purpose = 'sales'", askEmail}, masked},
		{"SET LOCAL, rolled back", []string{toSupport, "BEGIN", "SET LOCAL pgveil.purpose = 'sales'", "ROLLBACK", askEmail}, email},
		{"SET LOCAL, committed", []string{toSupport, "BEGIN", "SET LOCAL pgveil.purpose = 'sales'", "COMMIT", askEmail}, email},
		{"SET, rolled back", []string{toSales, "BEGIN", toSupport, "ROLLBACK", askEmail}, masked},
		{"SET, committed", []string{toSales, "BEGIN", toSupport, "COMMIT", askEmail}, email},
		{"SET, failed", []string{toSales, "BEGIN", toSupport, "SELECT 1/0", "COMMIT", askEmail}, masked},
		{"SET in a string that fails", []string{toSales, toSupport + "; SELECT 1/0", askEmail}, masked},
		{"a savepoint rolled back to", []string{toSales, "BEGIN", "SAVEPOINT a", toSupport, "ROLLBACK TO a", askEmail}, masked},
		{"a savepoint released", []string{toSales, "BEGIN", "SAVEPOINT a", toSupport, "RELEASE a", askEmail}, email},
		{"savepoints within each other", []string{"BEGIN", toSales, "SAVEPOINT a", toSupport, "SAVEPOINT b", toSales, "RELEASE b", "ROLLBACK TO a", askEmail}, masked},
		{"ROLLBACK AND CHAIN", []string{toSales, "BEGIN", toSupport, "ROLLBACK AND CHAIN", askEmail}, masked},
		{"set_config", []string{toSales, "SELECT set_config('pgveil.purpose', 'support', false)", askEmail}, email},
		{"set_config, local, outside of a transaction", []string{toSales, "SELECT set_config('pgveil.purpose', 'support', true)", askEmail}, masked},
		{"set_config, local", []string{toSales, "BEGIN", "SELECT set_config('pgveil.purpose', 'support', true)", askEmail}, email},
		{"set_config, never run", []string{toSales, "SELECT set_config('pgveil.purpose', 'support', false) WHERE false", askEmail}, masked},
		{"RESET", []string{toSupport, "RESET pgveil.purpose", askEmail}, "42501"},
		{"SET TO DEFAULT", []string{toSupport, "SET pgveil.purpose TO DEFAULT", askEmail}, "42501"},
		{"RESET ALL", []string{toSupport, "RESET ALL", askEmail}, "42501"},
		{"DISCARD ALL", []string{toSupport, "DISCARD ALL", askEmail}, "42501"},
		{"a purpose that is not hers", []string{toSupport, "SET pgveil.purpose = 'audit'"}, "42501"},
		{"no purpose at all", []string{toSupport, "SET pgveil.purpose = ''", askEmail}, "42501"},
	})
}

// TestPurposeAtStartup gives the purpose with the login.
func TestPurposeAtStartup(t *testing.T) {
	f, database := shop(t)
	email := clearEmail(t, f, database)
	for _, tt := range []struct {
		name     string
		settings []string
		want     string
	}{
		{"as a parameter", []string{"pgveil.purpose", "sales"}, masked},
		{"as an option", []string{"options", "-c pgveil.purpose=support"}, email},
		{"as a long option", []string{"options", "--pgveil.purpose=support"}, email},
		{"an option goes before a parameter", []string{"options", "-c pgveil.purpose=support", "pgveil.purpose", "sales"}, masked},
		{"a later option wins", []string{"options", "-c pgveil.purpose=sales -cpgveil.purpose=support"}, email},
		{"what else may be set", []string{"options", "-c statement_timeout=5s -c pgveil.purpose=support"}, email},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := text(t.Context(), f.connect(t, database, "crm_app", tt.settings...), askEmail); got != tt.want {
				t.Errorf("%v: %q, want %q", tt.settings, got, tt.want)
			}
			conn := f.connect(t, database, "crm_app", tt.settings...)
			if got := text(t.Context(), conn, toSales+"; RESET pgveil.purpose"); got != "" {
				t.Fatal(got)
			}
			if got := text(t.Context(), conn, askEmail); got != tt.want {
				t.Errorf("%v, after RESET: %q, want %q", tt.settings, got, tt.want)
			}
		})
	}
	for _, settings := range [][]string{
		{"pgveil.purpose", "audit"},
		{"options", "-c standard_conforming_strings=off"},
		{"options", "-c client_encoding=SJIS"},
		{"client_encoding", "GBK"},
		{"options", "-c role=dora"},
		{"session_preload_libraries", "x"},
		{"options", "-c pgveil.mask_key=x"},
		{"options", "-S 100"},
		{"replication", "database"},
	} {
		conn, err := pgx.ConnectConfig(t.Context(), f.config(t, database, "crm_app", settings...))
		if err == nil {
			_ = conn.Close(t.Context())
			t.Errorf("%v: let in", settings)
			continue
		}
		if got := code(err); got != "42501" && got != "28000" {
			t.Errorf("%v: %v, want a refusal", settings, err)
		}
	}
}

// TestSearchPathIsFollowed lets a table of another schema come before the
// shop's, which only a caller who says so sees.
func TestSearchPathIsFollowed(t *testing.T) {
	f, database := shop(t)
	dora := f.connect(t, database, "dora")
	exec(t, dora, "CREATE SCHEMA other; CREATE TABLE other.orders (id int, secret text); INSERT INTO other.orders VALUES (1, 'x'); GRANT ALL ON SCHEMA other TO PUBLIC; GRANT ALL ON other.orders TO PUBLIC")
	const ask = "SELECT id FROM orders WHERE id = 1"
	for _, tt := range []struct {
		name string
		sql  []string
		want string
	}{
		{"as it is", []string{ask}, "1\n"},
		{"SET", []string{"SET search_path = other, public", ask}, "42501"},
		{"SET, rolled back", []string{"BEGIN", "SET search_path = other", "ROLLBACK", ask}, "1\n"},
		{"SET LOCAL", []string{"BEGIN", "SET LOCAL search_path = other", ask}, "42501"},
		{"set_config", []string{"SELECT set_config('search_path', 'other', false)", ask}, "42501"},
		{"RESET", []string{"SET search_path = other", "RESET search_path", ask}, "1\n"},
		{"none", []string{"SET search_path = ''", ask}, "42P01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := f.connect(t, database, "alice")
			got := ""
			for _, sql := range tt.sql {
				got = text(t.Context(), conn, sql)
			}
			if got != tt.want && !(len(tt.want) == 5 && strings.HasPrefix(got, tt.want)) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// wire runs messages of a wire script and gives the rows and SQLSTATEs that
// came back, in order.
func (f *front) wire(t testing.TB, database, user, script string) string {
	t.Helper()
	out := f.script(t, database, user, script)
	var got []string
	for line := range strings.Lines(out) {
		switch {
		case strings.Contains(line, ": DataRow"):
			_, v, _ := strings.Cut(line, `"Values":`)
			v = strings.NewReplacer(`{"text":"`, "", `"}`, "", "]}", "", "[", "").Replace(strings.TrimSpace(v))
			got = append(got, v)
		case strings.Contains(line, ": ErrorResponse"):
			got = append(got, strings.Fields(line)[3])
		case strings.Contains(line, ": PortalSuspended"):
			got = append(got, "suspended")
		}
	}
	return strings.Join(got, " ")
}

// TestPreparedUnderAnotherPurpose uses statements, portals and cursors after
// the purpose changed. Statements are planned again; what is open stays shut.
func TestPreparedUnderAnotherPurpose(t *testing.T) {
	f, database := shop(t)
	email := strings.TrimSpace(clearEmail(t, f, database))
	const parse = `Parse {"Name": "s", "Query": "SELECT email FROM customers WHERE id = $1"}`
	const bind = `Bind {"PreparedStatement": "s", "Parameters": [{"text": "1"}]}`
	support, sales := `Query {"String": "`+toSupport+`"}`, `Query {"String": "`+toSales+`"}`
	for _, tt := range []struct {
		name   string
		script []string
		want   string
	}{
		{"a statement is planned again", []string{support, parse, bind, "Execute", "Sync", sales, bind, "Execute", "Sync"}, email + " ***"},
		{"and back", []string{support, parse, "Sync", sales, bind, "Execute", "Sync", support, bind, "Execute", "Sync"}, "*** " + email},
		{"within a pipeline", []string{support, parse, `Parse {"Query": "SET pgveil.purpose = 'sales'"}`, "Bind", "Execute", bind, "Execute", "Sync"}, "***"},
		{"the unnamed statement, set in a pipeline", []string{sales, `Parse {"Query": "SET pgveil.purpose = 'support'"}`, "Bind", "Execute",
			`Parse {"Query": "SELECT email FROM customers WHERE id = 1"}`, "Bind", "Execute", "Sync"}, email},
		{"set in a pipeline that fails", []string{sales, `Parse {"Query": "SET pgveil.purpose = 'support'"}`, "Bind", "Execute",
			`Parse {"Query": "SELECT 1/0"}`, "Bind", "Execute", "Sync", `Query {"String": "` + askEmail + `"}`}, "22012 ***"},
		{"a portal", []string{`Query {"String": "BEGIN"}`, support, parse, `Bind {"PreparedStatement": "s", "DestinationPortal": "p", "Parameters": [{"text": "1"}]}`, "Sync",
			sales, `Execute {"Portal": "p"}`, "Sync"}, "42501"},
		{"a portal, amid its rows", []string{`Query {"String": "BEGIN"}`, support, `Parse {"Query": "SELECT email FROM customers WHERE id < 3 ORDER BY id"}`, `Bind {"DestinationPortal": "p"}`, `Execute {"Portal": "p", "MaxRows": 1}`, "Sync",
			sales, `Execute {"Portal": "p"}`, "Sync"}, email + " suspended 42501"},
		{"a portal, back in its purpose", []string{`Query {"String": "BEGIN"}`, support, parse, `Bind {"PreparedStatement": "s", "DestinationPortal": "p", "Parameters": [{"text": "1"}]}`, "Sync",
			sales, support, `Execute {"Portal": "p"}`, "Sync"}, email},
		{"a cursor", []string{`Query {"String": "BEGIN"}`, support, `Query {"String": "DECLARE c CURSOR FOR SELECT email FROM customers WHERE id = 1"}`,
			sales, `Query {"String": "FETCH c"}`}, "42501"},
		{"a cursor by an Execute", []string{`Query {"String": "BEGIN"}`, support, `Parse {"Query": "DECLARE c CURSOR FOR SELECT email FROM customers WHERE id = 1"}`, "Bind", "Execute",
			`Parse {"Name": "f", "Query": "FETCH c"}`, "Sync", sales, `Bind {"PreparedStatement": "f"}`, "Execute", "Sync"}, "42501"},
		{"a cursor held", []string{support, `Query {"String": "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT email FROM customers WHERE id = 1; COMMIT"}`,
			sales, `Query {"String": "FETCH c"}`, support, `Query {"String": "FETCH c"}`}, "42501 " + email},
		{"a cursor's current row", []string{`Query {"String": "BEGIN"}`, support, `Query {"String": "DECLARE c CURSOR FOR SELECT email FROM customers WHERE id = 1"}`, `Query {"String": "FETCH c"}`,
			sales, `Query {"String": "UPDATE customers SET region = 'EU' WHERE CURRENT OF c RETURNING email"}`}, email + " 42501"},
		{"a cursor's current row by PREPARE", []string{`Query {"String": "BEGIN"}`, support, `Query {"String": "DECLARE c CURSOR FOR SELECT email FROM customers WHERE id = 1"}`, `Query {"String": "FETCH c"}`,
			sales, `Query {"String": "PREPARE p AS UPDATE customers SET region = 'EU' WHERE CURRENT OF c RETURNING email"}`}, email + " 0A000"},
		{"a cursor's current row by Parse", []string{`Query {"String": "BEGIN"}`, support, `Query {"String": "DECLARE c CURSOR FOR SELECT email FROM customers WHERE id = 1"}`, `Query {"String": "FETCH c"}`,
			sales, `Parse {"Query": "UPDATE customers SET region = 'EU' WHERE CURRENT OF c RETURNING email"}`, "Bind", "Execute", "Sync"}, email + " 42501"},
		{"the current row of no cursor", []string{sales, `Query {"String": "UPDATE customers SET region = 'EU' WHERE CURRENT OF c RETURNING email"}`}, "34000"},
		{"a portal by FETCH", []string{`Query {"String": "BEGIN"}`, support, parse, `Bind {"PreparedStatement": "s", "DestinationPortal": "p", "Parameters": [{"text": "1"}]}`, "Sync",
			sales, `Query {"String": "FETCH p"}`}, "42501"},
		{"PREPARE", []string{support, `Query {"String": "PREPARE q AS SELECT email FROM customers WHERE id = 1"}`, sales, `Query {"String": "EXECUTE q"}`,
			`Bind {"PreparedStatement": "q"}`, "Sync", support, `Query {"String": "EXECUTE q"}`}, "42501 42501 " + email},
		{"EXECUTE of a Parse", []string{support, parse, "Sync", sales, `Query {"String": "EXECUTE s (1)"}`, `Parse {"Query": "EXECUTE s (1)"}`, "Bind", "Execute", "Sync"}, "42501 42501"},
		{"a name that stays when it is taken", []string{support, parse, "Sync", sales, `Parse {"Name": "s", "Query": "SELECT 1"}`, `Parse {"Name": "s", "Query": "SELECT 2"}`, "Sync",
			bind, "Execute", "Sync"}, "42P05 ***"},
		{"a name that stays, over two pipelines", []string{support, parse, "Sync", sales, `Parse {"Name": "s", "Query": "SELECT 1"}`, "Sync", `Parse {"Name": "s", "Query": "SELECT 2"}`, "Sync",
			bind, "Execute", "Sync"}, "42P05 42P05 ***"},
		{"a name given anew before an error", []string{sales, `Query {"String": "PREPARE q AS SELECT 'old'"}`, support,
			`Query {"String": "DEALLOCATE q; PREPARE q AS SELECT email FROM customers WHERE id = 1; SELECT 1/0"}`, sales, `Query {"String": "EXECUTE q"}`}, "22012 42501"},
		{"an unnamed statement that was passed over", []string{support, `Parse {"Query": "SELECT email FROM customers WHERE id = 1"}`, "Sync",
			`Parse {"Name": "t", "Query": "SET pgveil.purpose = 'sales'"}`, `Bind {"PreparedStatement": "t"}`, "Execute", "Sync",
			`Bind {"PreparedStatement": "nobody"}`, `Parse {"Query": "SELECT 'never'"}`, "Sync", "Bind", "Execute", "Sync"}, "26000 ***"},
		{"names after DISCARD ALL, sent at once", []string{support, parse, "Sync", `Query {"String": "DISCARD ALL"}`, sales, parse, bind, "Execute", "Sync"}, "***"},
		{"a name given anew in one string", []string{support, `Query {"String": "PREPARE q AS SELECT 'old'"}`,
			`Query {"String": "DEALLOCATE q; PREPARE q AS SELECT email FROM customers WHERE id = 1"}`, `Query {"String": "EXECUTE q"}`}, email},
		{"DISCARD ALL that fails keeps names", []string{support, parse, "Sync", `Query {"String": "BEGIN"}`, `Query {"String": "DISCARD ALL"}`, `Query {"String": "ROLLBACK"}`,
			bind, "Execute", "Sync"}, "25001 " + email},
		{"DEALLOCATE ALL takes what the same string made", []string{support, `Query {"String": "PREPARE q AS SELECT 1; DEALLOCATE ALL"}`, `Query {"String": "EXECUTE q"}`}, "26000"},
		{"set in a pipeline that fails in a transaction", []string{sales, `Query {"String": "BEGIN"}`, `Parse {"Query": "SET pgveil.purpose = 'support'"}`, "Bind", "Execute",
			`Parse {"Query": "SELECT 1/0"}`, "Bind", "Execute", "Sync", `Query {"String": "ROLLBACK"}`, `Query {"String": "` + askEmail + `"}`}, "22012 ***"},
		{"set before a Query in place of Sync", []string{sales, `Parse {"Query": "SET pgveil.purpose = 'support'"}`, "Bind", "Execute",
			`Query {"String": "SELECT 1/0"}`, `Query {"String": "` + askEmail + `"}`}, "22012 ***"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := f.wire(t, database, "crm_app", "send\n"+strings.Join(tt.script, "\n")+"\nQuery {\"String\": \"ROLLBACK\"}\nQuery {\"String\": \"SELECT 'end'\"}\nTerminate\nend"); got != strings.TrimSpace(tt.want+" end") {
				t.Errorf("all at once: got %q, want %q", got, tt.want+" end")
			}
			if got := f.wire(t, database, "crm_app", turns(tt.script)); got != tt.want {
				t.Errorf("in turns: got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRolledBack changes the purpose in a transaction, has it known, and goes back:
// with the changes sent at once, and by a ROLLBACK that no Sync follows, so that
// no ReadyForQuery has said that the transaction is over.
func TestRolledBack(t *testing.T) {
	f, database := shop(t)
	const change, check = `Query {"String": "BEGIN"}` + "\n" + `Query {"String": "` + toSupport + `"}`, `Query {"String": "SELECT 'known'"}`
	const ready, fail = "\nuntil ReadyForQuery\nsend\n", `Query {"String": "SELECT 1/0"}`
	first, ask := `Query {"String": "`+toSales+`"}`, `Query {"String": "`+askEmail+`"}`+"\nuntil ReadyForQuery"
	for _, tt := range []struct{ name, script, want string }{
		{"sent at once", first + "\n" + change + "\n" + check + "\nuntil" + strings.Repeat(" ReadyForQuery", 4) +
			"\nsend\n" + `Query {"String": "ROLLBACK"}` + ready + ask, "known ***"},
		{"without Sync", first + ready + change + "\nuntil ReadyForQuery ReadyForQuery\nsend\n" + check + ready + fail + ready +
			`Parse {"Query": "ROLLBACK"}` + "\nBind\nExecute\nFlush\nuntil CommandComplete\nsend\n" + ask, "known 22012 ***"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := f.wire(t, database, "crm_app", "send\n"+tt.script); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// turns makes a script that waits for the answer to each Query and Sync.
func turns(messages []string) string {
	var b strings.Builder
	b.WriteString("send\n")
	for i, m := range messages {
		b.WriteString(m + "\n")
		if m == "Sync" || strings.HasPrefix(m, "Query") {
			b.WriteString("until ReadyForQuery\n")
			if i+1 < len(messages) {
				b.WriteString("send\n")
			}
		}
	}
	return b.String()
}

// TestReloadBetweenParseAndBind puts another policy in force while statements
// are prepared: they are planned by the new one.
func TestReloadBetweenParseAndBind(t *testing.T) {
	f, database := shop(t)
	email := strings.TrimSpace(clearEmail(t, f, database))
	conn := f.connect(t, database, "alice")
	ctx := t.Context()
	if _, err := conn.Prepare(ctx, "s", "SELECT email FROM customers WHERE id = $1"); err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		r := conn.PgConn().ExecPrepared(ctx, "s", [][]byte{[]byte("1")}, nil, nil).Read()
		if r.Err != nil {
			return said(r.Err)
		}
		return string(r.Rows[0][0])
	}
	if got := ask(); got != email {
		t.Errorf("before: %q, want %q", got, email)
	}
	exec(t, conn, "BEGIN; DECLARE c CURSOR FOR SELECT email FROM customers")
	f.reload(t, strings.ReplaceAll(shopPolicy, "on: email, show: clear", "on: email, show: redact"))
	if got := ask(); got != "***" {
		t.Errorf("after a reload that masks: %q, want ***", got)
	}
	if got := text(ctx, conn, "FETCH c"); !strings.HasPrefix(got, "42501") {
		t.Errorf("a cursor from before the reload: %q, want 42501", got)
	}
	exec(t, conn, "ROLLBACK")
	f.reload(t, strings.ReplaceAll(shopPolicy, "on: email, show: clear", "on: email, show: refuse"))
	if got := ask(); !strings.HasPrefix(got, "42501") {
		t.Errorf("after a reload that refuses: %q, want 42501", got)
	}
	f.reload(t, strings.ReplaceAll(shopPolicy, "  alice:   {roles: [agent]}\n", ""))
	if got := ask(); !strings.HasPrefix(got, "42501") && !strings.HasPrefix(got, "28") {
		t.Errorf("after a reload that knows her no more: %q, want a refusal", got)
	}
	f.reload(t, shopPolicy)
	if got := ask(); got != email {
		t.Errorf("after a reload to what was: %q, want %q", got, email)
	}
	bad := "version: 1\nnonsense: true\n"
	f.policy.Store(&bad)
	if err := f.Enforcer.Reload(context.WithoutCancel(ctx)); err == nil {
		t.Error("a policy that makes no sense was put in force")
	}
}

// TestSchemaChanges lets the schema change under a session that has planned
// with the old one.
func TestSchemaChanges(t *testing.T) {
	f, database := shop(t)
	dora, alice := f.connect(t, database, "dora"), f.connect(t, database, "alice")
	ctx := t.Context()
	if got := text(ctx, alice, "SELECT total FROM orders WHERE id = 1"); strings.Contains(got, " ") {
		t.Fatal(got)
	}
	exec(t, dora, "ALTER TABLE orders RENAME total TO amount; ALTER TABLE orders ADD note text")
	if got := text(ctx, alice, "SELECT amount FROM orders WHERE id = 1"); strings.Contains(got, " ") {
		t.Errorf("a column that was renamed: %q", got)
	}
	if got := text(ctx, alice, "SELECT total FROM orders WHERE id = 1"); !strings.HasPrefix(got, "42703") {
		t.Errorf("a column's old name: %q, want 42703", got)
	}
	exec(t, dora, "BEGIN; ALTER TABLE orders RENAME amount TO total; COMMIT")
	if got := text(ctx, alice, "SELECT total FROM orders WHERE id = 1"); strings.Contains(got, " ") {
		t.Errorf("a column that got its name back: %q", got)
	}
}
