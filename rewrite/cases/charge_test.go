package cases

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// limited gives a fixture as it is where everybody may see so many subjects a day.
func limited(t *testing.T, name string, at time.Time) *Fixture {
	t.Helper()
	dir := filepath.Join("../../testdata/fixtures", name)
	paths, err := filepath.Glob(filepath.Join(dir, "policy", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		paths = []string{filepath.Join(dir, "policy.yaml")}
	}
	files := []policy.File{{Name: "limits.yaml", Text: "version: 1\nlimits: {subjects: 500/day}\n"}}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, policy.File{Name: path, Text: string(text)})
	}
	schema, err := os.ReadFile(filepath.Join(dir, "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := ddl.Parse(string(schema))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(files...)
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat, policy.Clock(func() time.Time { return at }))
	if err != nil {
		t.Fatal(err)
	}
	e := rewrite.New(cat, set, 1<<20)
	e.NameSubjects()
	return &Fixture{Dir: dir, Engine: e}
}

// unbounded tells whether nothing bounds how many subjects a plan's rows disclose.
func unbounded(p *rewrite.Plan) bool {
	for i := range p.Subjects {
		if slices.ContainsFunc(p.Naming(i).Charged, func(r rewrite.Reached) bool { return r.Each == rewrite.AnyNumber }) {
			return true
		}
	}
	return false
}

// TestLimitsRefuseFew counts the statements of applications that a limit of
// subjects refuses because nobody can say how many they disclose.
func TestLimitsRefuseFew(t *testing.T) {
	for _, tt := range []struct {
		corpus string
		most   int
	}{{"benign", 8}, {"clients", 0}} {
		paths, err := filepath.Glob("../../testdata/cases/" + tt.corpus + "/*.case")
		if err != nil || len(paths) == 0 {
			t.Fatalf("no cases: %v", err)
		}
		fixtures := map[string]*Fixture{}
		planned, refused := 0, 0
		for _, path := range paths {
			f, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := range f.Cases {
				c := &f.Cases[i]
				key := c.Fixture + c.At.String()
				if fixtures[key] == nil {
					fixtures[key] = limited(t, c.Fixture, c.At)
				}
				p, err := fixtures[key].plan(c)
				var refusal *rewrite.Refusal
				if errors.As(err, &refusal) {
					continue
				}
				if err != nil {
					t.Errorf("%s:%d: %v", path, c.Line, err)
					continue
				}
				if planned++; unbounded(p) {
					refused++
					t.Logf("%s:%d: %s", filepath.Base(path), c.Line, strings.Join(strings.Fields(c.SQL), " "))
				}
			}
		}
		t.Logf("%s: %d statements, %d refused", tt.corpus, planned, refused)
		if refused > tt.most {
			t.Errorf("%s: %d of %d statements are refused, want %d at most", tt.corpus, refused, planned, tt.most)
		}
	}
}
