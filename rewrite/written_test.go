package rewrite_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

const notesSchema = `
CREATE SCHEMA crm;
CREATE TABLE crm.notes (id bigint PRIMARY KEY, title text, body text, tags text[], data jsonb, secret text, made timestamptz, size numeric);
CREATE TABLE crm.others (id bigint PRIMARY KEY, body text);
`

const notesPolicy = `
version: 1
purposes: {p: {basis: contract}}
classes:
  open:   ["crm.notes.*", "crm.others.*"]
  secret: [crm.notes.secret]
roles:
  agent: {purposes: p, tables: [{on: "crm.*", do: [select, insert, update, delete]}]}
  quiet: {purposes: p, tables: [{on: "crm.*", do: [select, insert, update, delete]}]}
  dba:   {unrestricted: true}
users: {alice: {roles: agent}, dora: {roles: dba}, quentin: {roles: quiet}}
rules: [{role: any, for: any, on: secret, show: clear}]
scan_writes: {then: alert, except: quiet}
`

func notes(t testing.TB) *rewrite.Engine {
	t.Helper()
	cat, err := ddl.Parse(notesSchema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: notesPolicy})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	return rewrite.New(cat, set, 1<<20)
}

// notesSession is a session of a login.
func notesSession(t testing.TB, e *rewrite.Engine, login string) rewrite.Session {
	t.Helper()
	a, err := e.Policy.Access(login, "")
	if err != nil {
		t.Fatal(err)
	}
	return rewrite.Session{Access: a, Path: []string{"pg_catalog", "crm"}}
}

// written gives what a plan says of values that are written.
func written(all []rewrite.Written) string {
	var words []string
	for _, w := range all {
		word := strings.TrimPrefix(w.Column, "crm.")
		switch {
		case w.Parameter > 0:
			word += fmt.Sprintf(" $%d", w.Parameter)
		case w.Literal > 0:
			word += fmt.Sprintf(" literal %d", w.Literal)
		case w.Field > 0:
			word += fmt.Sprintf(" field %d", w.Field)
		case w.Argument > 0:
			word += fmt.Sprintf(" argument %d %q", w.Argument, w.Value)
		default:
			word += fmt.Sprintf(" %q", w.Value)
		}
		words = append(words, strings.TrimSpace(word))
	}
	return strings.Join(words, ", ")
}

func TestWritten(t *testing.T) {
	e := notes(t)
	for _, tt := range []struct{ sql, want string }{
		{"INSERT INTO notes (id, title, body) VALUES (1, 'a', $1)", `notes.title "a", notes.body $1`},
		{"INSERT INTO notes VALUES (1, 'a', $1, ARRAY['t', $2], '{}', 's', now(), 4)", `notes.title "a", notes.body $1, notes.tags "t", notes.tags $2, notes.data "{}"`},
		{"INSERT INTO notes (body, id) VALUES ('x', 1), ('y'::text, 2), (CAST($2 AS varchar), $1)", `notes.body "x", notes.body "y", notes.body $2`},
		{"INSERT INTO notes (id, body) VALUES (1, 4111111111111111)", `notes.body "4111111111111111"`},
		{"INSERT INTO notes (id, secret, made, size) VALUES ($1, $2, $3, $4)", ""},
		{"INSERT INTO notes (id, body) SELECT $1, 'a' || $2 || upper($3)", `notes.body "a", notes.body $2, notes.body $3`},
		{"INSERT INTO notes (id, body) SELECT id, body FROM others WHERE body = 'x'", ""},
		{"INSERT INTO notes (id, body) SELECT * FROM unnest($1::bigint[], $2::text[])", `notes $1, notes $2`},
		{"INSERT INTO notes (id, body) SELECT 1, $1 UNION SELECT 2, 'b'", `notes.body $1, notes.body "b"`},
		{"WITH v AS (SELECT $1::text AS b) INSERT INTO notes (id, body) SELECT 1, b FROM v", `notes $1`},
		{"INSERT INTO notes (id, body) VALUES (1, (SELECT $1 FROM others WHERE body = $2))", `notes.body $1`},
		{"INSERT INTO notes (id, body) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET body = excluded.body || $1", `notes.body "a", notes.body $1`},
		{"INSERT INTO notes DEFAULT VALUES", ""},
		{"UPDATE notes SET body = $1, size = $2, title = COALESCE($3, 'none') WHERE id = $4 AND title = 'x'", `notes.body $1, notes.title $3, notes.title "none"`},
		{"UPDATE notes SET (title, body) = ($1, 'b') WHERE id = 1", `notes.title $1, notes.body "b"`},
		{"UPDATE notes SET data = jsonb_set(data, '{card}', to_jsonb($1::text))", `notes.data "{card}", notes.data $1`},
		{"UPDATE notes SET secret = $1", ""},
		{"WITH u AS (UPDATE notes SET body = $1 RETURNING id) SELECT id FROM u", `notes.body $1`},
		{"MERGE INTO notes n USING (VALUES ($1, $2)) v(id, b) ON n.id = v.id::bigint WHEN MATCHED THEN UPDATE SET body = $3 WHEN NOT MATCHED THEN INSERT (id, body) VALUES (1, 'm')", `notes.body $3, notes.body "m", notes $1, notes $2`},
		{"DELETE FROM notes WHERE body = 'x'", ""},
		{"SELECT body FROM notes WHERE body = 'x'", ""},
		{"COPY notes (id, body, secret, title) FROM STDIN", "notes.body field 2, notes.title field 4"},
		{"COPY others FROM STDIN", "others.body field 2"},
		{"PREPARE w AS UPDATE notes SET body = $1", `notes.body $1`},
		{"EXECUTE w ('x')", `argument 1 "x"`},
		{"UPDATE notes SET body = 'a'; UPDATE others SET body = 'b'", `notes.body "a", others.body "b"`},
	} {
		for _, login := range []string{"alice", "dora"} {
			if login == "alice" && strings.HasPrefix(tt.sql, "EXECUTE") {
				continue // of what was not prepared
			}
			p, err := e.Plan(notesSession(t, e, login), tt.sql)
			if err != nil {
				t.Errorf("%s: %s: %v", login, tt.sql, err)
			} else if got := written(p.Written); got != tt.want {
				t.Errorf("%s: %s writes\n%s, want\n%s", login, tt.sql, got, tt.want)
			}
		}
		if p, err := e.Plan(notesSession(t, e, "quentin"), tt.sql); err == nil && p.Written != nil {
			t.Errorf("nobody asked what %s writes", tt.sql)
		}
	}
}

// TestWrittenNotUnderstood gives the text where it cannot be told what goes where.
func TestWrittenNotUnderstood(t *testing.T) {
	e := notes(t)
	long := "INSERT INTO notes (id, body) VALUES (1, 'x')" + strings.Repeat(", (2, 'y')", 600)
	for sql, want := range map[string]string{
		"INSERT INTO nowhere VALUES ('x')": fmt.Sprintf("%q", "INSERT INTO nowhere VALUES ('x')"),
		"INSRT 'x'":                        fmt.Sprintf("%q", "INSRT 'x'"),
		long:                               fmt.Sprintf("notes %q", long),
	} {
		p, err := e.Plan(notesSession(t, e, "dora"), sql)
		if err != nil {
			t.Fatal(err)
		}
		if got := written(p.Written); got != want {
			t.Errorf("%.60s writes %.200s, want %.200s", sql, got, want)
		}
	}
}

// TestWrittenIsShared gives the literals of each text that shares a plan.
func TestWrittenIsShared(t *testing.T) {
	e := notes(t)
	for _, login := range []string{"alice", "dora"} {
		var l rewrite.Lookup
		l.Use(e, notesSession(t, e, login))
		var got []string
		for i := range 5 {
			r, _, err := l.Plan(fmt.Appendf(nil, "INSERT INTO notes (id, title, body) VALUES (%d, 'a%d', 'it''s %d')", i, i, i))
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range r.Plan.Written {
				if w.Literal > 0 {
					w.Value = string(r.Literals[w.Literal-1])
				}
				got = append(got, strings.Trim(w.Value, "'"))
			}
		}
		want := "a0 it's 0 a1 it's 1 a2 it''s 2 a3 it''s 3 a4 it''s 4"
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", login, strings.Join(got, " "), want)
		}
	}
}
