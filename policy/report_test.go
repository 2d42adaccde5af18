package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSummary(t *testing.T) {
	s, _ := compileText(t, `version: 1
purposes: {p: {basis: contract}, q: {basis: contract}}
classes: {email: [crm.customers.email], none: ["crm.visits.*"]}
roles: {a: {purposes: [p]}, b: {purposes: [p]}}
users: {u: {roles: a}}
rules:
  - {role: a, for: p, on: email, show: clear}
  - {role: a, for: q, on: email, show: clear}
  - {role: b, for: p, on: email, show: clear}
  - {role: a, for: p, on: email, show: clear, state: draft}
  - {role: a, for: p, on: email, show: clear, expires: 2026-01-01}
  - {role: a, for: q, on: email, show: refuse}
`)
	var b strings.Builder
	if err := s.Summary(&b); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "policy ") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{
		"class email: 1 columns",
		"class none: 3 columns",
		"unclassified: 36 columns",
		"p.yaml:4:29: no user has role b",
		"p.yaml:8:5: the rule never matches: its roles serve none of its purposes",
		"p.yaml:9:5: the rule never matches: no user has its roles",
		"p.yaml:10:5: the rule never matches: it is a draft",
		"p.yaml:11:5: the rule never matches: it has expired",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

func TestSetDescribesItself(t *testing.T) {
	s := docsSet(t)
	subjects := s.Subjects()
	if len(subjects) != 1 || subjects[0].Relation.Name != "customers" || subjects[0].Key != "id" ||
		subjects[0].Consent.Given != "given_at" || subjects[0].References[0].Columns[0] != "customer_ref" {
		t.Errorf("Subjects() = %+v", subjects)
	}
	class, ok := s.Class(subjects[0].Relation, "ssn")
	if want := (Class{Name: "national_id", Special: true, Sealing: Sealing{Mode: SealRandomized}, About: "Never leaves the database"}); !ok || class != want {
		t.Errorf("Class(ssn) = %+v, %v", class, ok)
	}
	if class, ok := s.Class(subjects[0].Relation, "nothing"); ok {
		t.Errorf("Class of no column = %+v", class)
	}
	alice := User{"alice", []string{"support_agent"}, []string{}, time.Date(2027, 3, 2, 0, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(alice, s.Users()[0]); diff != "" {
		t.Errorf("the first user (-want +got):\n%s", diff)
	}
	kept := s.Retention()
	if len(kept) != 2 || kept[0].After != "closed_at" || kept[0].Then != "delete" {
		t.Fatalf("Retention() = %+v", kept)
	}
	if got, want := kept[0].Keep.Before(testDay), testDay.AddDate(-3, 0, 0); !got.Equal(want) {
		t.Errorf("tickets are due before %v, want %v", got, want)
	}
}

func TestGenerationFollowsTheText(t *testing.T) {
	generation := func(files ...File) string {
		t.Helper()
		d, err := Parse(files...)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Compile(d, crm())
		if err != nil {
			t.Fatal(err)
		}
		return s.Generation()
	}
	one := generation(File{"a", "version: 1\n"})
	if again := generation(File{"a", "version: 1\n"}); one != again || one == "" {
		t.Errorf("the same text has generations %q and %q", one, again)
	}
	if other := generation(File{"a", "version: 1\nmode: observe\n"}); one == other {
		t.Errorf("another text has the same generation %q", one)
	}
}

func TestParseLimits(t *testing.T) {
	for _, tt := range []struct {
		of   Measure
		text string
		want Limit
	}{
		{LimitRows, "500/query", Limit{Of: LimitRows, Most: 500, Per: PerQuery, Whose: OfUser}},
		{LimitSubjects, "20 / session", Limit{Of: LimitSubjects, Most: 20, Per: PerSession, Whose: OfUser, Warn: 16}},
		{LimitBytes, "10kB/second", Limit{Of: LimitBytes, Most: 10 << 10, Per: PerWindow, Window: time.Second, Whose: OfUser, Warn: 8 << 10}},
		{LimitBytes, "1GB/month", Limit{Of: LimitBytes, Most: 1 << 30, Per: PerWindow, Window: 30 * 24 * time.Hour, Whose: OfUser, Warn: (1<<30*80 + 99) / 100}},
	} {
		if got, err := parseLimit(tt.of, tt.text); err != nil || got != tt.want {
			t.Errorf("parseLimit(%q) = %+v, %v, want %+v", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{"", "5", "0/day", "-1/day", "x/day", "10MB/day", "9999999999999999999/day", "5/"} {
		if got, err := parseLimit(LimitRows, text); err == nil {
			t.Errorf("parseLimit(%q) = %+v, want an error", text, got)
		}
	}
	if _, err := parseLimit(LimitBytes, "9223372036854775807GB/day"); err == nil {
		t.Error("a number of bytes overflows")
	}
	for text, want := range map[string]Keep{"3y": {Years: 3}, "18m": {Months: 18}, "6w": {Days: 42}, "90d": {Days: 90}} {
		if got, err := parseKeep(text); err != nil || got != want {
			t.Errorf("parseKeep(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "y", "3", "0y", "-1y", "3 y", "3x", "99999y"} {
		if got, err := parseKeep(text); err == nil {
			t.Errorf("parseKeep(%q) = %+v, want an error", text, got)
		}
	}
}
