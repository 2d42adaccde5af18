package dsar

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// club gives a service over a copy of the fixture with ledgers, whose tables are
// as "pgveil schema" makes them.
func club(t *testing.T) (*Service, *pgx.Conn) {
	t.Helper()
	dsn := pgtest.Server(t).DSN(pgtest.Database(t, "ledger"), pgserver.Superuser)
	conn := pgtest.Connect(t, dsn)
	doc, err := policy.Load(filepath.Join(pgtest.Fixture(t, "ledger"), "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := pgload.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // what is there already stays
		if _, err := conn.Exec(t.Context(), state.Schema(Ledgers(set)...)); err != nil {
			t.Fatal(err)
		}
	}
	return &Service{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) },
		Current: func() (*policy.Set, *catalog.Snapshot) { return set, cat },
	}, conn
}

// change runs a command that writes, and gives its answer without what is random.
func change(t *testing.T, s *Service, sql string) ([]string, error) {
	t.Helper()
	cmd, ok, err := privacy.ParseCommand(sql)
	if !ok || err != nil || !cmd.Changes() {
		t.Fatalf("ParseCommand(%s) = %+v, %v, %v", sql, cmd, ok, err)
	}
	var digest string
	row, err := s.Change(t.Context(), cmd, "petra", func(_ context.Context, d string) error { digest = d; return nil })
	if err != nil {
		return nil, err
	}
	if len(row) != len(Columns(cmd)) || row[5] != digest || len(digest) != 64 {
		t.Fatalf("%s: answered %q, the witness was told %s", sql, row, digest)
	}
	return row[:4], nil
}

func TestChange(t *testing.T) {
	s, conn := club(t)
	for i, tt := range []struct{ sql, typ, of, note string }{
		{"PRIVACY CONSENT member 3 GIVE letters BY 'web form' WORDING 'v3' LANGUAGE 'en' JURISDICTION 'IE' UNTIL '2099-01-01'", "given", "letters", ""},
		{"PRIVACY CONSENT member 3 GIVE letters", "given", "letters", "it was in force already"},
		{"PRIVACY CONSENT member WHERE email = 'cat@example.org' WITHDRAW letters BY 'phone' BECAUSE 'too many'", "withdrawn", "letters", ""},
		{"PRIVACY CONSENT member 3 WITHDRAW letters", "withdrawn", "letters", "it was not in force"},
		{"PRIVACY RESTRICT member 1 BECAUSE 'accuracy contested'", "restricted", "every purpose", ""},
		{"PRIVACY RESTRICT member 1 FOR desk BECAUSE 'again'", "restricted", "desk", ""},
		{"PRIVACY OBJECT member 1 TO planning BECAUSE 'letter'", "objected", "planning", ""},
		{"PRIVACY OBJECT member 1 TO newsletter BECAUSE 'direct marketing'", "objected", "newsletter", ""},
		{"PRIVACY LIFT RESTRICTION member 1 BECAUSE 'settled'", "restriction lifted", "every purpose", ""},
		{"PRIVACY LIFT RESTRICTION member 1 BECAUSE 'settled'", "restriction lifted", "every purpose", "it was not in force"},
		{"PRIVACY LIFT OBJECTION member 1 TO planning BECAUSE 'asked to'", "objection lifted", "planning", ""},
		{"PRIVACY RESTRICT patron 'O''Hara' BECAUSE 'quotes'", "restricted", "every purpose", ""},
		{"PRIVACY CONSENT patron 'a\"b' GIVE letters", "given", "letters", ""},
		{"PRIVACY CONSENT member 3 WITHDRAW others BECAUSE 'no purpose rests on it any more'", "withdrawn", "others", ""},
	} {
		row, err := change(t, s, tt.sql)
		if want := []string{fmt.Sprint(i + 1), tt.typ, tt.of, tt.note}; err != nil || !slices.Equal(row, want) {
			t.Errorf("%s: %q, %v; want %q", tt.sql, row, err, want)
		}
	}
	if n, last, err := state.VerifyEvents(t.Context(), conn); n != 14 || len(last) != 32 || err != nil {
		t.Errorf("VerifyEvents = %d, %x, %v", n, last, err)
	}
	rows, tag, err := run(t, s, "PRIVACY SHOW RESTRICTIONS member 1")
	for i := range rows {
		rows[i] = rows[i][:4] // without the time
	}
	want := [][]string{{"member", "1", "restriction", "desk"}, {"member", "1", "objection", "newsletter"}}
	if diff := cmp.Diff(want, rows); diff != "" || tag != "PRIVACY SHOW RESTRICTIONS" || err != nil {
		t.Errorf("%s, %v: %s", tag, err, diff)
	}
	if rows, _, err := run(t, s, "PRIVACY SHOW RESTRICTIONS"); len(rows) != 9 || err != nil {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestShowConsent(t *testing.T) {
	s, conn := club(t)
	for _, sql := range []string{
		"PRIVACY CONSENT member 3 GIVE letters BY 'web form' WORDING 'v3' LANGUAGE 'en' JURISDICTION 'IE' UNTIL '2099-01-01 01:00+01'",
		"PRIVACY CONSENT member 3 WITHDRAW letters BY 'phone' BECAUSE 'too many'",
		"PRIVACY CONSENT member 2 GIVE letters",
	} {
		if _, err := change(t, s, sql); err != nil {
			t.Fatal(err)
		}
	}
	show := func(sql string) (rows [][]string) {
		rows, _, err := run(t, s, sql)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			r[1], r[12], r[13] = "", "", "" // what is never the same
		}
		return rows
	}
	want := [][]string{
		{"1", "", "given", "letters", "newsletter", "2099-01-01T00:00:00.000000Z", "petra", "web form", "v3", "en", "IE", "", "", "", "yes"},
		{"2", "", "withdrawn", "letters", "newsletter", "", "petra", "phone", "", "", "", "too many", "", "", "yes"},
	}
	if diff := cmp.Diff(want, show("PRIVACY SHOW CONSENT member WHERE email = 'cat@example.org'")); diff != "" {
		t.Error(diff)
	}
	// The history outlives who it is about.
	if _, err := conn.Exec(t.Context(), "DELETE FROM members WHERE id = 3"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, show("PRIVACY SHOW CONSENT member 3")); diff != "" {
		t.Error(diff)
	}
	// What is changed around the trigger is seen.
	if _, err := conn.Exec(t.Context(), "UPDATE pgveil.consent_events SET reason = NULL"); err == nil {
		t.Error("an event was changed")
	}
	if _, err := conn.Exec(t.Context(), "TRUNCATE pgveil.consent_events"); err == nil {
		t.Error("the events were truncated")
	}
	if _, err := conn.Exec(t.Context(), "SET session_replication_role = replica; DELETE FROM pgveil.consent_events"); err == nil {
		t.Error("events were deleted")
	}
	if _, err := conn.Exec(t.Context(), "ALTER TABLE pgveil.consent_events DISABLE TRIGGER USER; UPDATE pgveil.consent_events SET reason = 'none' WHERE seq = 2"); err != nil {
		t.Fatal(err)
	}
	if got := show("PRIVACY SHOW CONSENT member 3"); got[1][14] != "NO: it was changed since" || got[0][14] != "yes" {
		t.Errorf("the change is not seen: %q", got)
	}
	if n, _, err := state.VerifyEvents(t.Context(), conn); n != 1 || err == nil || !strings.Contains(err.Error(), "event 2 is not as it was written") {
		t.Errorf("VerifyEvents = %d, %v", n, err)
	}
}

func TestChangeErrors(t *testing.T) {
	s, conn := club(t)
	if _, err := conn.Exec(t.Context(), "ALTER TABLE members DROP CONSTRAINT members_email_key; UPDATE members SET email = 'twin' WHERE id < 3"); err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]struct {
		code privacy.Code
		hint string
	}{
		"PRIVACY CONSENT membr 1 GIVE letters":                       {privacy.NoSubject, "did you mean member?"},
		"PRIVACY CONSENT member 99 GIVE letters":                     {privacy.NotFound, ""},
		"PRIVACY CONSENT member 'x' GIVE letters":                    {privacy.BadKey, ""},
		"PRIVACY CONSENT member 1, 2 GIVE letters":                   {privacy.Syntax, ""},
		"PRIVACY CONSENT member WHERE name = 'Ann' GIVE letters":     {privacy.NoColumn, ""},
		"PRIVACY CONSENT member WHERE email = 'twin' GIVE letters":   {privacy.Ambiguous, ""},
		"PRIVACY CONSENT member 1 GIVE leters":                       {privacy.NoSubject, "did you mean letters?"},
		"PRIVACY CONSENT member 1 WITHDRAW leters":                   {privacy.NoSubject, "did you mean letters?"},
		"PRIVACY CONSENT member 1 GIVE letters UNTIL 'soon'":         {privacy.BadKey, ""},
		"PRIVACY CONSENT member 1 GIVE letters UNTIL '2001-01-01'":   {privacy.BadKey, ""},
		"PRIVACY RESTRICT member 1 FOR dsk BECAUSE 'x'":              {privacy.NoSubject, "did you mean desk?"},
		"PRIVACY RESTRICT member 1 FOR claims BECAUSE 'x'":           {privacy.NotAllowed, "despite_restriction"},
		"PRIVACY OBJECT member 1 TO desk BECAUSE 'x'":                {privacy.NotAllowed, "PRIVACY RESTRICT"},
		"PRIVACY LIFT OBJECTION member 1 TO plannng BECAUSE 'x'":     {privacy.NoSubject, "did you mean planning?"},
		"PRIVACY LIFT RESTRICTION member 99 BECAUSE 'x'":             {privacy.NotFound, ""},
		"PRIVACY CONSENT patron 'O''Hara'' OR ''''=''' GIVE letters": {privacy.NotFound, ""},
	} {
		row, err := change(t, s, sql)
		wantCode(t, err, want.code, want.hint)
		if row != nil {
			t.Errorf("%s: %q", sql, row)
		}
	}
	var events int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pgveil.consent_events").Scan(&events); events != 0 || err != nil {
		t.Errorf("%d events were written, %v", events, err)
	}
	if _, err := conn.Exec(t.Context(), "DROP SCHEMA pgveil CASCADE"); err != nil {
		t.Fatal(err)
	}
	_, err := change(t, s, "PRIVACY CONSENT member 1 GIVE letters")
	wantCode(t, err, privacy.NotAvailable, `"pgveil schema --apply"`)
}

// What the witness does not take does not count.
func TestChangeUnwitnessed(t *testing.T) {
	s, conn := club(t)
	cmd, _, _ := privacy.ParseCommand("PRIVACY CONSENT member 3 GIVE letters")
	full := errors.New("the log is full")
	if _, err := s.Change(t.Context(), cmd, "petra", func(context.Context, string) error { return full }); !errors.Is(err, full) {
		t.Errorf("error is %v", err)
	}
	var n int
	err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pgveil.consent_events").Scan(&n)
	if n != 0 || err != nil {
		t.Errorf("%d events, %v", n, err)
	}
}

// Officers who write at once make one chain.
func TestChangesAtOnce(t *testing.T) {
	s, conn := club(t)
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			cmd, _, _ := privacy.ParseCommand(fmt.Sprintf("PRIVACY CONSENT member %d GIVE letters", 1+i%7))
			if _, err := s.Change(t.Context(), cmd, "petra", func(context.Context, string) error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n, _, err := state.VerifyEvents(t.Context(), conn); n != 12 || err != nil {
		t.Errorf("VerifyEvents = %d, %v", n, err)
	}
}
