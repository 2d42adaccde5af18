package dsar

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// Who saw a member is found by the key as the log has it, however the command says
// who is meant, also when the member is gone.
func TestWhoSaw(t *testing.T) {
	s, conn := club(t)
	const ask = "PRIVACY WHO SAW member 3"
	_, _, err := run(t, s, ask)
	var said *privacy.Error
	if !errors.As(err, &said) || said.Code != privacy.NotAvailable || !strings.Contains(said.Hint, "pgveil schema --apply") {
		t.Errorf("%s, without the tables: %v", ask, err)
	}
	if _, err := conn.Exec(t.Context(), state.AccessLogSchema(nil)+`
		SELECT pgveil.access_log_days('2026-11-22', '2026-11-22');
		INSERT INTO pgveil.subjects VALUES ('member', '3', 'aaaaaaaaaaaaaaaaaaaaaa');
		INSERT INTO pgveil.access_subjects VALUES ('club', 7, '2026-11-22 10:00+00', 8, 0, 'member', 'aaaaaaaaaaaaaaaaaaaaaa');
		INSERT INTO pgveil.access_log (log, seq, at, kind, username, roles, reasons, classes, columns, column_classes, column_shows, column_uses, subject_kinds, hash, outcome, rows, shape)
			VALUES ('club', 7, '2026-11-22 10:00+00', 'statement', 'pia', '{planner,clerk}', '{}', '{email}', '{public.members.email,public.members.name}', '{email,name}', '{hash,clear}', '{read,read}', '{member}', '\x00', 8, 1, 'SELECT 1')`); err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"2026-11-22 10:00:00+00", "true", "", "pia", "", "planner, clerk", "", "", "", "", "", "", "public.members.email, public.members.name", "hash, clear",
		"1", "", "", "", "club", "7", "SELECT 1"}}
	for sql, want := range map[string][][]string{
		ask:                           want,
		"PRIVACY WHO SAW member '03'": want,
		"PRIVACY WHO SAW member WHERE email = 'cat@example.org'": want,
		ask + " SINCE '2026-11-22 10:00+00' UNTIL '2026-11-23'":  want,
		ask + " SINCE '2026-11-22 10:00:01+00'":                  nil,
		ask + " UNTIL '2026-11-22 10:00+00'":                     nil,
		"PRIVACY WHO SAW member 1":                               nil,
	} {
		got, tag, err := run(t, s, sql)
		if diff := cmp.Diff(want, got); diff != "" || err != nil || tag != "PRIVACY WHO SAW" {
			t.Errorf("%s: %v, %q (-want +got):\n%s", sql, err, tag, diff)
		}
	}
	if len(want[0]) != len(Columns(privacy.Command{Verb: privacy.VerbWhoSaw})) {
		t.Error("the answer has not as many columns as it says")
	}
	if _, err := conn.Exec(t.Context(), "DELETE FROM members WHERE id = 3"); err != nil {
		t.Fatal(err)
	}
	if got, _, err := run(t, s, ask); err != nil || !cmp.Equal(got, want) {
		t.Errorf("%s, of one who is gone: %q, %v", ask, got, err)
	}
	for sql, want := range map[string]privacy.Code{
		"PRIVACY WHO SAW martian 3":               privacy.NoSubject,
		"PRIVACY WHO SAW member 'x'":              privacy.BadKey,
		"PRIVACY WHO SAW member WHERE name = 'x'": privacy.NoColumn,
		"PRIVACY WHO SAW member 3, 4":             privacy.Syntax,
		ask + " SINCE 'yesteryear'":               privacy.BadKey,
	} {
		if _, _, err := run(t, s, sql); !errors.As(err, &said) || said.Code != want {
			t.Errorf("%s: %v, want %s", sql, err, want)
		}
	}
}
