package cases

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
)

const header = "use shop\nas alice\n"

var sameAddress = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestParse(t *testing.T) {
	f, err := Parse("x.case", `# Of everybody.
# In two lines.
use shop
as alice purpose=support
set search_path public, "$user"

plan
SELECT 1

FROM orders
----
allow

# Of one.
reveals public.customers.card
rows
SELECT 2
----
2`)
	if err != nil {
		t.Fatal(err)
	}
	want := []Case{
		{Line: 7, Comment: "Of everybody. In two lines.", Verb: VerbPlan, Fixture: "shop", Who: "alice purpose=support",
			Claim:      policy.Claim{Login: "alice", Purpose: "support"},
			SearchPath: `public, "$user"`, SQL: "SELECT 1\n\nFROM orders", Want: []string{"allow"}, start: 11, end: 12},
		{Line: 16, Comment: "Of one.", Verb: VerbRows, Fixture: "shop", Who: "alice purpose=support",
			Claim: policy.Claim{Login: "alice", Purpose: "support"}, SearchPath: `public, "$user"`,
			Reveals: []string{"public.customers.card"}, SQL: "SELECT 2", Want: []string{"2"}, start: 18, end: 19},
	}
	if diff := cmp.Diff(want, f.Cases, cmp.AllowUnexported(Case{}), sameAddress); diff != "" {
		t.Errorf("cases (-want +got):\n%s", diff)
	}
}

func TestParseClaim(t *testing.T) {
	f, err := Parse("x.case", `use desk
as app user=ann purpose=billing second_factor elevated=agent:billing elevated=agent:audit at=2026-11-22T19:12+01:00 from=10.1.2.3 vouched=roles:agent,clerk;groups:eu;region:EU
plan
SELECT 1
----

as app vouched from=unix at=2026-11-22T19:12:30Z
plan
SELECT 1
----

as app vouched=roles:
plan
SELECT 1
----`)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 18, 12, 0, 0, time.UTC)
	want := []policy.Claim{
		{Login: "app", User: "ann", Purpose: "billing", Second: true, From: netip.MustParseAddr("10.1.2.3"),
			Elevations: []policy.Elevation{{Role: "agent", Purpose: "billing", Until: at.Add(time.Hour)}, {Role: "agent", Purpose: "audit", Until: at.Add(time.Hour)}},
			Vouched:    &policy.Vouched{Roles: []string{"agent", "clerk"}, Groups: []string{"eu"}, Attributes: map[string]string{"region": "EU"}}},
		{Login: "app", From: policy.Unix(), Vouched: &policy.Vouched{}},
		{Login: "app", Vouched: &policy.Vouched{Roles: []string{}, Attributes: map[string]string{}}},
	}
	for i, c := range f.Cases {
		if diff := cmp.Diff(want[i], c.Claim, sameAddress); diff != "" {
			t.Errorf("claim %d (-want +got):\n%s", i, diff)
		}
	}
	if !f.Cases[0].At.Equal(at) || !f.Cases[1].At.Equal(at.Add(time.Hour+30*time.Second)) || !f.Cases[2].At.IsZero() {
		t.Errorf("they take place at %s, %s and %s", f.Cases[0].At, f.Cases[1].At, f.Cases[2].At)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no case", header, "there is no case in it"},
		{"unknown verb", header + "pln\nSELECT 1\n----\n", `x.case:3: unknown directive or verb "pln"`},
		{"argument of a verb", header + "plan all\nSELECT 1\n----\n", "plan takes no argument"},
		{"unknown argument", "use shop\nas alice role=x\n", `unknown word "role=x" after as; there are user=, purpose=`},
		{"a word without a value", "use shop\nas alice purpose=\n", `unknown word "purpose=" after as`},
		{"a word with a value too many", "use shop\nas alice second_factor=yes\n", `unknown word "second_factor=yes" after as`},
		{"a word twice", "use shop\nas alice at=2026-11-22T19:12Z at=2026-11-22T19:12Z\n", "as says at twice"},
		{"no time", "use shop\nas alice at=tomorrow\n", `"tomorrow" is not a time`},
		{"a time without a zone", "use shop\nas alice at=2026-11-22T19:12\n", "is not a time"},
		{"no address", "use shop\nas alice from=home\n", `from is an address or unix, not "home"`},
		{"half an elevation", "use shop\nas alice elevated=billing\n", `elevated=ROLE:PURPOSE, not "elevated=billing"`},
		{"nothing vouched", "use shop\nas alice vouched=agent\n", `vouched=roles:R,R;groups:G,G;ATTRIBUTE:VALUE, not "agent"`},
		{"unknown setting", header + "set role dora\n", `unknown setting "role"`},
		{"setting without a value", header + "set search_path\n", "set search_path needs a value"},
		{"directive without an argument", "use\n", "use needs an argument"},
		{"two fixtures", "use a b\n", "use takes one fixture"},
		{"no caller", "use shop\nplan\nSELECT 1\n----\n", "plan needs a use and an as above it"},
		{"use forgets who asked", header + "use crm\nplan\nSELECT 1\n----\n", "plan needs a use and an as above it"},
		{"no dashes", header + "plan\nSELECT 1\n", "plan has no ----"},
		{"the dashes of the next case", header + "plan\nSELECT 1\n\nrows\nSELECT 2\n----\n2\n", "plan on line 3 has no ----"},
		{"no SQL", header + "plan\n----\nallow\n", "plan has no SQL"},
		{"reveals of nothing", header + "plan\nSELECT 1\n----\nallow\n\nreveals a.b.c\n", "at the end has no case"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("x.case", tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v, want %q", err, tt.want)
			}
		})
	}
}

// run runs a text on the shop and gives the tally and the report.
func run(t *testing.T, r *Runner, text string) (Tally, string) {
	t.Helper()
	f, err := Parse("x.case", text)
	if err != nil {
		t.Fatal(err)
	}
	r.Fixtures = "../../testdata/fixtures"
	var report strings.Builder
	tally, err := r.Run(t.Context(), f, &report)
	if err != nil {
		t.Fatal(err)
	}
	return tally, report.String()
}

// says is an Executor that gives the same answer to everything.
func says(value string) Executor {
	return func(context.Context, Request) (Outcome, error) {
		return Outcome{
			Results: []Result{{Columns: []string{"a", "b"}, Rows: [][]*string{{&value, nil}}, Tag: "SELECT 1"}},
			Records: []audit.Record{{Decision: "mask", Command: "SELECT", Columns: []audit.Column{{Name: "x.y.z", Class: "c", Show: "null", Use: "read"}}}},
		}, nil
	}
}

func TestRun(t *testing.T) {
	masked := header + "plan\nSELECT card FROM customers\n----\n"
	for _, tt := range []struct {
		name, text string
		runner     *Runner
		want       Tally
		report     string // part of it
	}{
		{"states the decision only", masked + "mask\n", &Runner{}, Tally{Passed: 1}, ""},
		{"another decision", masked + "allow\n", &Runner{}, Tally{Failed: 1}, "- allow\n    + mask\n"},
		{"no decision", masked + "column public.customers.card card last(4)\n", &Runner{}, Tally{Failed: 1}, "+ mask"},
		{"columns must be complete", header + "plan\nSELECT id, card FROM customers\n----\nmask\ncolumn public.customers.card card last(4)\n",
			&Runner{}, Tally{Failed: 1}, "+ column public.customers.id open clear"},
		{"files are named from the fixture", "# A promise.\n" + header + "plan\nSELECT ssn FROM customers\n----\nrefuse 42501 column public.customers.ssn may not be used\nrule policy.yaml:1\n",
			&Runner{}, Tally{Failed: 1}, "+ rule policy.yaml:"},
		{"a refusal without a promise", header + "plan\nSELECT ssn FROM customers\n----\nrefuse 42501 column public.customers.ssn may not be used\n",
			&Runner{}, Tally{Failed: 1}, "needs a comment"},
		{"an error without a promise", header + "rows\nSELECT 1 / 0\n----\nerror 22012 division by zero\n", &Runner{Execute: says("1")}, Tally{Failed: 1}, "needs a comment"},
		{"an unknown kind of line", masked + "mask\ncolumns a\n", &Runner{}, Tally{Failed: 1}, `does not show lines of the kind "columns"`},
		{"an unknown user", "use shop\nas nobody\nplan\nSELECT 1\n----\nallow\n", &Runner{}, Tally{Failed: 1}, `the policy has no user "nobody"`},
		{"an unknown user behind a login", "use desk\nas app user=anne\nplan\nSELECT 1\n----\nallow\n", &Runner{}, Tally{Failed: 1}, `the policy has no user "anne"`},
		{"an unknown role", "use desk\nas ann vouched=roles:agnet\nplan\nSELECT 1\n----\nallow\n", &Runner{}, Tally{Failed: 1}, `the policy has no role "agnet"`},
		{"an unknown group", "use desk\nas olga vouched=groups:desk\nplan\nSELECT 1\n----\nallow\n", &Runner{}, Tally{Failed: 1}, `the policy has no group "desk"`},
		{"an attribute that tokens do not bring", "use desk\nas ann vouched=desk:1\nplan\nSELECT 1\n----\nallow\n", &Runner{}, Tally{Failed: 1}, `does not say that tokens bring an attribute "desk"`},
		{"an elevation that there is not", "use desk\nas ann elevated=clerk:audit\nplan\nSELECT 1\n----\nallow\n", &Runner{}, Tally{Failed: 1}, `elevates no role "clerk" to "audit"`},
		{"a login without groups that the policy does not list", "use desk\nas olga vouched\nplan\nSELECT 1\n----\nallow\n", &Runner{}, Tally{Failed: 1}, `the policy has no user "olga"`},
		{"an unknown column", header + "reveals public.customers.cart\nplan\nSELECT 1\n----\nallow\n", &Runner{}, Tally{Failed: 1}, "there is no such column"},
		{"no server", header + "rows\nSELECT 1\n----\n1\n\naudit\nSELECT 1\n----\ndecision allow\n", &Runner{Verbose: true}, Tally{Skipped: 2}, "skipped: no server"},
		{"rows", header + "rows\nSELECT 1\n----\na\\|b\\n | ∅\n", &Runner{Execute: says("a|b\n")}, Tally{Passed: 1}, ""},
		{"names of columns when asked for", header + "rows\nSELECT 1\n----\ncolumns a | b\n'' | ∅\n", &Runner{Execute: says("")}, Tally{Passed: 1}, ""},
		{"audit", header + "audit\nSELECT 1\n----\ncommand SELECT\ncolumn x.y.z c null\n", &Runner{Execute: says("")}, Tally{Passed: 1}, ""},
		{"the twin agrees", masked + "mask\n", &Runner{Execute: says("1"), Twin: says("1")}, Tally{Passed: 1, Compared: 1}, ""},
		{"the twin differs", masked + "mask\n", &Runner{Execute: says("1"), Twin: says("2")}, Tally{Failed: 1}, "- 1 | ∅\n    + 2 | ∅"},
		{"on purpose", header + "reveals public.customers.card\nplan\nSELECT card FROM customers\n----\nmask\n",
			&Runner{Execute: says("1"), Twin: says("2")}, Tally{Passed: 1, Compared: 1}, ""},
		{"on purpose, but nothing is told", header + "reveals public.customers.card\nplan\nSELECT card FROM customers\n----\nmask\n",
			&Runner{Execute: says("1"), Twin: says("1")}, Tally{Failed: 1}, "the line can go"},
		{"from whom nothing is hidden", "use shop\nas dora\nplan\nSELECT card FROM customers\n----\nunrestricted\n",
			&Runner{Execute: says("1"), Twin: says("2")}, Tally{Passed: 1}, ""},
		{"a purpose that is not permitted", "# A promise.\nuse shop\nas alice purpose=sales\nplan\nSELECT 1\n----\nrefuse 42501 purpose \"sales\" is not permitted; permitted: support\n",
			&Runner{}, Tally{Passed: 1}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, report := run(t, tt.runner, tt.text)
			if got != tt.want || !strings.Contains(report, tt.report) {
				t.Errorf("Run = %+v, want %+v; reported, want %q:\n%s", got, tt.want, tt.report, report)
			}
			if tt.report == "" && report != "" {
				t.Errorf("reported:\n%s", report)
			}
		})
	}
}

// What the server does not take is a failure, whatever the twin says.
func TestRunSendsNoBadSQL(t *testing.T) {
	rejects := func(context.Context, Request) (Outcome, error) {
		return Outcome{Error: &Error{Code: "42803", Message: "must appear in GROUP BY"}}, nil
	}
	got, report := run(t, &Runner{Execute: rejects, Twin: rejects}, header+"plan\nSELECT id FROM customers\n----\nmask\n")
	if got != (Tally{Failed: 1}) || !strings.Contains(report, "the server rejects what is sent: 42803") {
		t.Errorf("Run = %+v:\n%s", got, report)
	}
}

func TestRewrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.case")
	text := header + "\n# Kept.\nplan\nSELECT id FROM orders\n----\n\nplan\nSELECT card FROM customers\n----\nallow\ncommand x\n\nplan\nSELECT 1\n----\nallow\n"
	want := header + "\n# Kept.\nplan\nSELECT id FROM orders\n----\nallow\ncolumn public.orders.id open clear\n\nplan\nSELECT card FROM customers\n----\n" +
		"mask\ncommand SELECT\n\nplan\nSELECT 1\n----\nallow\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &Runner{Fixtures: "../../testdata/fixtures", Rewrite: true}
	for _, tally := range []Tally{{Passed: 3, Rewritten: 2}, {Passed: 3}} { // the second time there is nothing left to do
		f, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Run(t.Context(), f, &strings.Builder{})
		if err != nil || got != tally {
			t.Errorf("Run = %+v, %v, want %+v", got, err, tally)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("the file (-want +got):\n%s", diff)
	}
}

func TestUnknownFixture(t *testing.T) {
	f, err := Parse("x.case", "use nowhere\nas alice\nplan\nSELECT 1\n----\nallow\n")
	if err != nil {
		t.Fatal(err)
	}
	_, err = new(Runner).Run(t.Context(), f, &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "x.case:3: load fixture: open nowhere/schema.sql") {
		t.Errorf("Run = %v", err)
	}
}

func TestDiff(t *testing.T) {
	for _, tt := range []struct{ want, got, diff string }{
		{"", "", ""},
		{"a b", "a b", " a  b"},
		{"a b c", "a x c", " a -b +x  c"},
		{"a", "", "-a"},
		{"", "a b", "+a +b"},
		{"b a", "a b", "-b  a +b"},
	} {
		var lines []string
		for _, line := range diff(strings.Fields(tt.want), strings.Fields(tt.got)) {
			lines = append(lines, line[:1]+line[2:])
		}
		if got := strings.Join(lines, " "); got != tt.diff {
			t.Errorf("diff(%q, %q) = %q, want %q", tt.want, tt.got, got, tt.diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(header + "# c\nreveals a.b.c\nplan\nSELECT 1\n----\nallow\n\nrows\nSELECT 2\n----\n2\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("x.case", text)
		if err != nil {
			return
		}
		if got := file.rewritten(nil); got != text {
			t.Errorf("rewritten(nil) = %q, want %q", got, text)
		}
	})
}
