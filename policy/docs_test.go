package policy

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// docsPolicy gives the examples of the documentation as files of one policy.
func docsPolicy(t testing.TB) []File {
	t.Helper()
	text, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	var files []File
	for _, block := range yamlBlock.FindAllSubmatchIndex(text, -1) {
		line := strings.Count(string(text[:block[2]]), "\n")
		files = append(files, File{fmt.Sprintf("policy.md+%d", line), string(text[block[2]:block[3]])})
	}
	return files
}

func docsSet(t testing.TB) *Set {
	t.Helper()
	d, err := Parse(docsPolicy(t)...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(d, crm(), Clock(atTestDay))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDocsExamplesAreOneValidPolicy(t *testing.T) {
	if n := len(docsPolicy(t)); n < 10 {
		t.Fatalf("docs/policy.md has %d examples; is the pattern right?", n)
	}
	s := docsSet(t)
	var b strings.Builder
	if err := s.Summary(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"class email: 2 columns", "unclassified: ", "  crm.transfers.payer\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the summary lacks %q:\n%s", want, b.String())
		}
	}
}

func TestDocsNameEveryMask(t *testing.T) {
	text, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range MaskKinds() {
		if !regexp.MustCompile(`(?m)^\| ` + "`" + k.String() + "[`(]").Match(text) {
			t.Errorf("docs/policy.md does not explain the mask %s", k)
		}
	}
}

func TestDocsFileOrderNeverMatters(t *testing.T) {
	files := docsPolicy(t)
	reversed := make([]File, len(files))
	for i, f := range files {
		reversed[len(files)-1-i] = f
	}
	d, err := Parse(reversed...)
	if err != nil {
		t.Fatal(err)
	}
	cat := crm()
	s, err := Compile(d, cat, Clock(atTestDay))
	if err != nil {
		t.Fatal(err)
	}
	straight := docsSet(t)
	for _, login := range []string{"alice", "bob", "carol", "dan", "crm_app", "root"} {
		for _, purpose := range []string{"", "support", "analytics", "marketing", "offers", "profiling", "billing"} {
			got, want := describe(s, login, purpose), describe(straight, login, purpose)
			if got != want {
				t.Errorf("reversed files: %s for %q:\n%s\nwant:\n%s", login, purpose, got, want)
			}
		}
	}
}

// describe spells out all that an access decides.
func describe(s *Set, login, purpose string) string {
	a, err := s.Access(login, purpose)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n", a.Why())
	for _, t := range s.governed {
		ra := a.Relation(t.relation)
		fmt.Fprintf(&b, "%s: %s, %v, consent %q, because %s\n", t.relation.QualifiedName(), ra.Ops, ra.Views, ra.Consent.ByRow, ra.Because)
	}
	return b.String()
}
