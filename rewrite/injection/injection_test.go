package injection_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/rewrite/cases"
	"github.com/pgveil/pgveil/rewrite/injection"
	"github.com/pgveil/pgveil/rewrite/parse"
)

func signs(t testing.TB, sql string) []injection.Sign {
	t.Helper()
	stmts, err := parse.Parse(sql)
	if err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
	return injection.Signs(sql, stmts)
}

// attack is a text that somebody injects into.
type attack struct {
	sql    string
	kind   injection.Sign
	honest bool // it looks so, and is not recognised
}

func attacks(t testing.TB) (all []attack) {
	t.Helper()
	text, err := os.ReadFile("testdata/attacks.txt")
	if err != nil {
		t.Fatal(err)
	}
	kind := injection.Sign("")
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if name, heading := strings.CutPrefix(line, "== "); heading {
			kind = injection.Sign(name)
		} else if line != "" && !strings.HasPrefix(line, "#") {
			sql, honest := strings.CutPrefix(line, "~ ")
			all = append(all, attack{sql, kind, honest})
		}
	}
	return all
}

// TestAttacks holds what is recognised: the share that the documentation says.
func TestAttacks(t *testing.T) {
	all, recognised := attacks(t), 0
	for _, a := range all {
		got := signs(t, a.sql)
		switch {
		case a.honest && len(got) > 0:
			t.Errorf("%s\nhas signs %v: take its mark away", a.sql, got)
		case !a.honest && !slices.Contains(got, a.kind):
			t.Errorf("%s\nhas signs %v, want %s", a.sql, got, a.kind)
		}
		if len(got) > 0 {
			recognised++
		}
	}
	t.Logf("%d of %d attacks are recognised, %.1f %%", recognised, len(all), 100*float64(recognised)/float64(len(all)))
	if len(all) < 150 || recognised*100 < 85*len(all) {
		t.Errorf("%d of %d attacks are recognised, want 85 %% of 150 and more", recognised, len(all))
	}
}

// TestHonest holds that what applications, drivers and tools send has no sign:
// every case of ours but those of attacks, of ways around masks, and of what is
// refused or fails, unless applications send it all the same.
func TestHonest(t *testing.T) {
	texts := 0
	err := filepath.WalkDir("../../testdata/cases", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".case" || slices.Contains([]string{"attack", "mask", "refuse"}, filepath.Base(filepath.Dir(path))) {
			return err
		}
		f, err := cases.Load(path)
		if err != nil {
			return err
		}
		for _, c := range f.Cases {
			stmts, err := parse.Parse(c.SQL)
			if err != nil || !strings.Contains(path, "/clients/") && fails(c.Want) {
				continue
			}
			texts++
			if got := injection.Signs(c.SQL, stmts); len(got) > 0 {
				t.Errorf("%s:%d: %v\n%s", path, c.Line, got, c.SQL)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d texts have no sign", texts)
	if texts < 1000 {
		t.Errorf("%d texts are too few to tell", texts)
	}
}

// fails tells whether a case expects that its text is refused or fails.
func fails(want []string) bool {
	return len(want) > 0 && (strings.HasPrefix(want[0], "refuse") || strings.HasPrefix(want[0], "error"))
}

// TestLiteralsDecideNothing holds that the signs of a text are those of all texts
// that differ in literals only, where DependsOnLiterals does not say otherwise.
func TestLiteralsDecideNothing(t *testing.T) {
	for _, a := range attacks(t) {
		stmts, err := parse.Parse(a.sql)
		if err != nil || len(stmts) != 1 || strings.Contains(a.sql, "--") || strings.Contains(a.sql, "/*") || injection.DependsOnLiterals(stmts[0].Node) {
			continue
		}
		want := signs(t, a.sql)
		for _, value := range []string{"0", "1", "1934560000"} {
			other := number.ReplaceAllString(a.sql, "${1}"+value)
			if got := signs(t, other); !slices.Equal(got, want) {
				t.Errorf("%s has signs %v\n%s has %v", a.sql, want, other, got)
			}
		}
		for _, value := range []string{"''", "'pgveil literal 1'"} {
			other := text.ReplaceAllString(a.sql, value)
			if got := signs(t, other); !slices.Equal(got, want) {
				t.Errorf("%s has signs %v\n%s has %v", a.sql, want, other, got)
			}
		}
	}
}

var (
	number = regexp.MustCompile(`([ =(,])\d+\b`)
	text   = regexp.MustCompile(`'[^']*'`)
)

// FuzzSigns looks for texts on which it panics, or that cost out of proportion.
func FuzzSigns(f *testing.F) {
	for _, a := range attacks(f) {
		f.Add(a.sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		stmts, err := parse.Parse(sql)
		if err != nil {
			return
		}
		got := injection.Signs(sql, stmts)
		if again := injection.Signs(sql, stmts); !slices.Equal(got, again) {
			t.Errorf("%q has signs %v, and then %v", sql, got, again)
		}
		for _, st := range stmts {
			injection.DependsOnLiterals(st.Node)
		}
	})
}

// BenchmarkSigns is what a text costs that was not planned before.
func BenchmarkSigns(b *testing.B) {
	const sql = "SELECT c.id, c.name, c.email, o.total FROM crm.customers c JOIN crm.orders o ON o.customer_id = c.id WHERE c.country = 'DE' AND (o.total > 100 OR c.vip) ORDER BY o.placed_at DESC LIMIT 50"
	stmts, err := parse.Parse(sql)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		injection.Signs(sql, stmts)
	}
}
