package cases

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/rewrite"
)

// How many of the statements that clients send are refused? None, but for
// those that the corpus names with a reason: a comment that starts with
// "Refused:" stands above them and above no others, and who is refused is told
// what to do.
func TestClients(t *testing.T) {
	paths, err := filepath.Glob("../../testdata/cases/clients/*.case")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases of clients: %v", err)
	}
	r := &Runner{Fixtures: "../../testdata/fixtures"}
	var statements, refused int
	for _, path := range paths {
		f, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i := range f.Cases {
			c := &f.Cases[i]
			fx, err := r.fixture(f, c)
			if err != nil {
				t.Fatal(err)
			}
			_, err = fx.plan(c)
			var refusal *rewrite.Refusal
			if errors.As(err, &refusal) {
				n++
				if refusal.Hint == "" {
					t.Errorf("%s:%d: the refusal has no hint: %v", path, c.Line, err)
				}
			} else if err != nil {
				t.Errorf("%s:%d: %v", path, c.Line, err)
			}
			if reason := strings.HasPrefix(c.Comment, "Refused:"); reason != (refusal != nil) {
				t.Errorf("%s:%d: has a reason to be refused: %t, is refused: %v", path, c.Line, reason, err)
			}
		}
		t.Logf("%-20s %4d statements, %d refused", strings.TrimSuffix(filepath.Base(path), ".case"), len(f.Cases), n)
		statements, refused = statements+len(f.Cases), refused+n
	}
	t.Logf("%-20s %4d statements, %d refused: %.2f %%", "all", statements, refused, 100*float64(refused)/float64(statements))
}
