package load_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/audit/load"
)

// Check finds what anybody changes in the table, and says where.
func TestCheckFinds(t *testing.T) {
	s := newScene(t)
	r := rand.New(rand.NewPCG(7, 8))
	var open []uint64
	s.add(t, audit.Record{Kind: audit.KindSystem, Message: "start"})
	a := s.statement(t, "alice")
	s.add(t, audit.Record{Kind: audit.KindSubjects, Ref: a, Subjects: []string{"customer:aaaaaaaaaaaaaaaaaaaaaa"}})
	s.outcome(t, a, audit.Record{Rows: 1, Duration: 1500 * time.Microsecond})
	s.statement(t, "bob") // without an outcome
	for range 200 {
		s.anything(t, r, &open)
	}
	s.load(t, s.loader(t))
	s.good(t)
	type change struct{ sql, want string }
	changes := []change{
		{"DELETE FROM pgveil.access_log WHERE seq = 1", "row of record 1 is missing"},
		{"DELETE FROM pgveil.access_subjects WHERE seq = 1", "data subject of record 2 is missing"},
		{"INSERT INTO pgveil.access_subjects SELECT log, seq, at, record, 1, kind, token FROM pgveil.access_subjects WHERE record = 2", "data subject at record 2: there is no such in the log"},
		{"UPDATE pgveil.access_subjects SET token = 'b' WHERE record = 2", "data subject of record 2 is not as in the log: token"},
		{"INSERT INTO pgveil.access_log (log, seq, at, kind, roles, reasons, classes, columns, column_classes, column_shows, column_uses, subject_kinds, hash) " +
			"SELECT log, 1000, at, kind, roles, reasons, classes, columns, column_classes, column_shows, column_uses, subject_kinds, hash FROM pgveil.access_log WHERE seq = 1", "row at record 1000: there is no such in the log"},
		{"UPDATE pgveil.access_log SET outcome = 3, outcome_hash = '\\x00' WHERE seq = 4", "outcome at record 3: there is no such in the log"},
		{"UPDATE pgveil.access_log SET rows = 5 WHERE seq = 4", "row of record 4 is not as in the log: rows"},
		{"UPDATE pgveil.access_log SET outcome = NULL WHERE seq = 1", "row of record 1 is not as in the log: ended_at, rows, bytes, tag, took, outcome_hash"},
		{"UPDATE pgveil.access_log SET at = at + interval '1 microsecond' WHERE seq = 1", "row of record 1 is not as in the log: at"},
	}
	for _, c := range []string{"kind", "session", "login", "username", "purpose", "command", "shape", "decision", "ticket", "app", "client", "id", "message", "fingerprint", "generation", "database", "event", "signing_key"} {
		changes = append(changes, change{fmt.Sprintf("UPDATE pgveil.access_log SET %s = coalesce(%[1]s, '') || 'x' WHERE seq = 1", c), "row of record 1 is not as in the log: " + c})
	}
	for _, c := range []string{"roles", "reasons", "classes", "columns", "column_classes", "column_shows", "column_uses", "subject_kinds"} {
		changes = append(changes, change{fmt.Sprintf("UPDATE pgveil.access_log SET %s = %[1]s || '{x}' WHERE seq = 1", c), "row of record 1 is not as in the log: " + c})
	}
	for _, c := range []string{"rows = 7", "bytes = 7", "tag = 'x'", "sqlstate = 'x'", "took = '1s'", "outcome_message = 'x'", "outcome_hash = NULL", "ended_at = now()"} {
		column, _, _ := strings.Cut(c, " ")
		changes = append(changes, change{"UPDATE pgveil.access_log SET " + c + " WHERE seq = 1", "outcome of record 3 is not as in the log: " + column})
	}
	changes = append(changes, change{"UPDATE pgveil.access_log SET hash = '\\x00' WHERE seq = 1", "row of record 1 is not as in the log: hash"},
		change{"UPDATE pgveil.access_log SET about = 3 WHERE seq = 1", "row of record 1 is not as in the log: about"})
	for _, tt := range changes {
		t.Run(tt.want, func(t *testing.T) {
			rep := s.changed(t, tt.sql)
			if len(rep.Problems) == 0 || rep.Problems[0] != tt.want {
				t.Errorf("%s: Check tells %q, want %q", tt.sql, rep.Problems, tt.want)
			}
		})
	}
	s.good(t)
}

// changed changes the table, checks it, and takes the change back: a copy of what
// was there is put in its place.
func (s *scene) changed(t *testing.T, sql string) load.Report {
	t.Helper()
	s.exec(t, "DROP TABLE IF EXISTS public.l, public.s")
	s.exec(t, "CREATE TABLE public.l AS TABLE pgveil.access_log; CREATE TABLE public.s AS TABLE pgveil.access_subjects")
	s.exec(t, sql)
	rep := s.check(t)
	s.exec(t, "DELETE FROM pgveil.access_log; DELETE FROM pgveil.access_subjects; INSERT INTO pgveil.access_log TABLE public.l; INSERT INTO pgveil.access_subjects TABLE public.s")
	return rep
}
