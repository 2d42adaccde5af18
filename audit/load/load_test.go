package load_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/audit"
)

// A row is a statement with its outcome, whenever that comes.
func TestOutcomesComeLater(t *testing.T) {
	s := newScene(t)
	l := s.loader(t)
	s.add(t, audit.Record{Kind: audit.KindSystem, Message: "start"})
	a, b := s.statement(t, "alice"), s.statement(t, "bob")
	s.outcome(t, b, audit.Record{Rows: 1, Subjects: []string{"customer:bbbbbbbbbbbbbbbbbbbbbb"}})
	s.load(t, l)
	const rows = "SELECT seq, username, outcome, rows, tag FROM pgveil.access_log ORDER BY seq"
	if diff := cmp.Diff([]string{"(0,,,,)", "(1,alice,,,)", `(2,bob,3,1,"SELECT 1")`}, s.ask(t, rows)); diff != "" {
		t.Errorf("before the outcome (-want +got):\n%s", diff)
	}
	s.add(t, audit.Record{Kind: audit.KindSubjects, Ref: a, Subjects: []string{"customer:aaaaaaaaaaaaaaaaaaaaaa"}})
	s.outcome(t, a, audit.Record{Rows: 2, Unnamed: []audit.Unnamed{{Kind: "customer", AtMost: 1}}})
	s.load(t, s.loader(t)) // another process
	if diff := cmp.Diff([]string{"(0,,,,)", `(1,alice,5,2,"SELECT 1")`, `(2,bob,3,1,"SELECT 1")`}, s.ask(t, rows)); diff != "" {
		t.Errorf("after the outcome (-want +got):\n%s", diff)
	}
	want := []string{"(1,4,0,customer,aaaaaaaaaaaaaaaaaaaaaa,)", "(1,5,0,customer,,1)", "(2,3,0,customer,bbbbbbbbbbbbbbbbbbbbbb,)"}
	if diff := cmp.Diff(want, s.ask(t, "SELECT seq, record, n, kind, token, at_most FROM pgveil.access_subjects ORDER BY seq, record, n")); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
}
