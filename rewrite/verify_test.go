package rewrite_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/cases"
)

// eachCase visits the statements of the cases, each with its caller: all but
// those that clients send, of which there are many of the same form.
func eachCase(t *testing.T, visit func(e *rewrite.Engine, s rewrite.Session, where, sql string)) {
	t.Helper()
	files, err := filepath.Glob("../testdata/cases/*/*.case")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	fixtures := map[string]*cases.Fixture{}
	for _, path := range files {
		if filepath.Base(filepath.Dir(path)) == "clients" {
			continue
		}
		f, err := cases.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range f.Cases {
			fx := fixtures[c.Fixture]
			if fx == nil {
				if fx, err = cases.LoadFixture(filepath.Join("..", "testdata", "fixtures", c.Fixture), time.Time{}); err != nil {
					t.Fatal(err)
				}
				fixtures[c.Fixture] = fx
			}
			access, err := fx.Engine.Policy.Decide(c.Claim)
			if err != nil || access.Unrestricted {
				continue
			}
			s, err := fx.Engine.Session(access, c.SearchPath)
			if err != nil {
				t.Fatal(err)
			}
			visit(fx.Engine, s, fmt.Sprintf("%s:%d", path, c.Line), c.SQL)
		}
	}
}

// Whatever is wrong in a statement that is about to be sent, verification sees
// it: everything in Mutations is done at every place of every case's statement.
func TestVerifySeesMutations(t *testing.T) {
	done := map[string]int{}
	eachCase(t, func(e *rewrite.Engine, s rewrite.Session, where, sql string) {
		for i, places := range e.Places(s, sql) {
			m := rewrite.Mutations[i]
			for place := range places {
				sent, err := e.Mutate(s, sql, m, place)
				done[m.Name]++
				if !rewrite.IsVerification(err) {
					t.Errorf("%s: as %s: with %s, place %d, the error is %v, and what is sent\n%s", where, s.Access.Login, m.Name, place, err, sent)
				}
			}
		}
	})
	for _, m := range rewrite.Mutations {
		if done[m.Name] == 0 {
			t.Errorf("no case has a place for %q", m.Name)
		}
		t.Logf("%5d × %s", done[m.Name], m.Name)
	}
}

// unseen are the stages without which nothing is disclosed, and why.
var unseen = map[string]string{
	"resolve":         "nothing can follow",
	"look":            "nothing can follow",
	"find aggregates": "the uses that it allows are refused",
	"with least":      "the column is not in the sub-select, and the server does not find it",
	"uses":            "what it refuses is not in the sub-select, and the server does not find it",
	"preserves":       "it keeps data from harm, and discloses nothing",
	"group":           "the server refuses what is missing",
	"rows":            "it keeps types",
	"narrow":          "it is there for indexes",
	"unfiltered":      "it keeps who may see a table from reading all of it at once; what is sent discloses nothing that is hidden",
	"subjects":        "it names subjects for the access log (see TestNamedSubjectsChangeNothing)",
	"images":          "it has rows taken for the access log, and changes nothing else (see addColumns)",
	"values written":  "it says which values are written, and changes nothing (see TestWritten)",
	"follow sealed":   "sealed columns have tests of their own (see TestSealedVerified)",
	"seal":            "likewise",
	"pin":             "a bare name is not sent where it could mean what a target hides (see Mutations)",
}

// A statement of which one stage was left out is not sent, unless that stage
// changes nothing of it.
func TestVerifySeesMissingStages(t *testing.T) {
	for _, stage := range rewrite.Stages() {
		if unseen[stage] != "" {
			continue
		}
		t.Run(stage, func(t *testing.T) {
			seen := 0
			eachCase(t, func(e *rewrite.Engine, s rewrite.Session, where, sql string) {
				sent, want, err := e.Skip(s, sql, stage)
				switch {
				case rewrite.IsVerification(err):
					seen++
				case err == nil && sent != want:
					t.Errorf("%s: as %s: sent\n%s\nin place of\n%s", where, s.Access.Login, sent, want)
				}
			})
			if seen == 0 {
				t.Error("no case needs it")
			}
			t.Logf("%d statements were not sent", seen)
		})
	}
}
