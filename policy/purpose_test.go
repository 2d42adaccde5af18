package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tree is a policy whose purposes are within each other.
const tree = `
version: 1
purposes:
  marketing:  {basis: consent, consent: ads, about: "Tell them", limits: {rows: 100/query}}
  newsletter: {within: marketing, consent: news, limits: {rows: [500/query, 50/day]}}
  weekly:     {within: newsletter, limits: {rows: 40/query}}
  profiling:  {within: marketing, basis: legitimate_interest}
  scoring:    {within: profiling}
  support:    {basis: contract}
  refunds:    {within: support}
classes: {email: [crm.customers.email], phone: [crm.customers.phone]}
subjects:
  customer:
    table: crm.customers
    key: id
    consent: {table: crm.consents, subject: customer_id, purpose: purpose, given: given_at, withdrawn: withdrawn_at}
roles:
  marketer: {purposes: [marketing], not: [profiling], tables: [{on: crm.customers}]}
  writer:   {purposes: [newsletter], tables: [{on: crm.customers}]}
  both:     {purposes: [newsletter, marketing], tables: [{on: crm.customers}]}
  agent:    {purposes: [refunds], tables: [{on: crm.customers}]}
  broad:    {purposes: [marketing, support], not: [scoring, refunds], tables: [{on: crm.customers}]}
  dba:      {unrestricted: true}
users:
  max: {roles: marketer}
  wes: {roles: writer}
  bo:  {roles: both}
  ann: {roles: agent}
  two: {roles: [writer, marketer]}
  all: {roles: broad}
  dba: {roles: dba}
elevations:
  - {role: agent, to: support, for: 1h, approval: none}
  - {role: marketer, to: profiling, for: 1h, approval: none}
  - {role: agent, to: marketing, for: 1h, approval: none}
`

func TestPurposesWithinPurposes(t *testing.T) {
	s, _ := compileText(t, tree)
	to := func(role, purpose string) []Elevation { return []Elevation{{role, purpose, testDay.Add(time.Hour)}} }
	for _, tt := range []struct {
		name  string
		claim Claim
		want  string
	}{
		{"the only one that is not within another is implied", Claim{Login: "max"}, `max [marketer] for "marketing"`},
		{"one that is within", Claim{Login: "max", Purpose: "weekly"}, `max [marketer] for "weekly"`},
		{"one that the role is not for", Claim{Login: "max", Purpose: "profiling"}, "purpose refused, permitted [marketing newsletter weekly], elevate true"},
		{"nor what is within it", Claim{Login: "max", Purpose: "scoring"}, "purpose refused, permitted [marketing newsletter weekly], elevate true"},
		{"a part does not permit the whole", Claim{Login: "wes", Purpose: "marketing"}, "purpose refused, permitted [newsletter weekly], elevate false"},
		{"nor what is beside it", Claim{Login: "wes", Purpose: "profiling"}, "purpose refused, permitted [newsletter weekly], elevate false"},
		{"both listed are the same as the whole", Claim{Login: "bo"}, `bo [both] for "marketing"`},
		{"of two roles too", Claim{Login: "two"}, `two [marketer writer] for "marketing"`},
		{"two wholes", Claim{Login: "all"}, `all [broad] for ""`},
		{"not, further down", Claim{Login: "all", Purpose: "profiling"}, `all [broad] for "profiling"`},
		{"and below", Claim{Login: "all", Purpose: "scoring"}, "purpose refused, permitted [marketing newsletter profiling support weekly], elevate false"},
		{"unrestricted", Claim{Login: "dba", Purpose: "scoring"}, `dba [dba] for "scoring"`},
		{"nothing is implied for them", Claim{Login: "dba"}, `dba [dba] for ""`},
		{"a leaf", Claim{Login: "ann"}, `ann [agent] for "refunds"`},
		{"an elevation to the whole is not implied", Claim{Login: "ann", Elevations: to("agent", "support")}, `ann [agent] for "refunds"`},
		{"it is asked for", Claim{Login: "ann", Purpose: "support", Elevations: to("agent", "support")}, `ann [agent] for "support"`},
		{"an elevation covers what is within", Claim{Login: "ann", Purpose: "scoring", Elevations: to("agent", "marketing")}, `ann [agent] for "scoring"`},
		{"but not what is above", Claim{Login: "max", Purpose: "profiling", Elevations: to("marketer", "scoring")}, "purpose refused, permitted [marketing newsletter weekly], elevate true"},
		{"an elevation to what the role is not for", Claim{Login: "max", Purpose: "scoring", Elevations: to("marketer", "profiling")}, `max [marketer] for "scoring"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := outcome(s, tt.claim); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// An elevation to a whole gives nothing of it that the role says not to.
func TestElevationLeavesNot(t *testing.T) {
	s, _ := compileText(t, `
version: 1
purposes: {all: {basis: contract}, part: {within: all}, not: {within: part}, below: {within: not}, other: {basis: contract}, way: {within: other}}
roles: {r: {purposes: [part, other], not: [not, way]}}
users: {u: {roles: r}}
elevations: [{role: r, to: all, for: 1h, approval: none}, {role: r, to: not, for: 1h, approval: none}]
`)
	later := testDay.Add(time.Hour)
	for purpose, want := range map[string][2]string{ // elevated to all, and to what the role is not for
		"all":   {`u [r] for "all"`, "purpose refused, permitted [other part], elevate true"},
		"not":   {"purpose refused, permitted [other part], elevate true", `u [r] for "not"`},
		"below": {"purpose refused, permitted [other part], elevate true", `u [r] for "below"`},
		"way":   {"purpose refused, permitted [other part], elevate false", "purpose refused, permitted [other part], elevate false"},
	} {
		for i, to := range []string{"all", "not"} {
			if got := outcome(s, Claim{Login: "u", Purpose: purpose, Elevations: []Elevation{{"r", to, later}}}); got != want[i] {
				t.Errorf("elevated to %s, for %s: got %s, want %s", to, purpose, got, want[i])
			}
		}
	}
}

func TestPurposesInherit(t *testing.T) {
	s, cat := compileText(t, tree)
	for name, want := range map[string]string{
		"marketing":  `consent "ads" "Tell them" [100 rows/query]`,
		"newsletter": `consent "news" "Tell them" [100 rows/query 50 rows/day]`,
		"weekly":     `consent "news" "Tell them" [40 rows/query 50 rows/day]`,
		"profiling":  `legitimate_interest "" "Tell them" [100 rows/query]`,
		"scoring":    `legitimate_interest "" "Tell them" [100 rows/query]`,
		"refunds":    `contract "" "" []`,
	} {
		p := s.doc.purposes[name]
		if got := fmt.Sprintf("%s %q %q %v", basisNames[p.basis-1], p.consent, p.about, p.limits.Each); got != want {
			t.Errorf("%s has %s, want %s", name, got, want)
		}
	}
	for purpose, want := range map[string]string{"marketing": "'ads'", "newsletter": "'news'", "weekly": "'news'"} {
		got := mustAccess(t, s, "max", purpose).Relation(mustRelation(t, cat, "crm", "customers")).Consent.ByRow
		if !strings.Contains(got, want) {
			t.Errorf("consent for %s is %s, want %s in it", purpose, got, want)
		}
	}
	if diff := cmp.Diff([]Limit{{Of: LimitRows, Most: 40, Per: PerQuery, Whose: OfUser}, {Of: LimitRows, Most: 50, Per: PerWindow, Window: 24 * time.Hour, Whose: OfUser, Warn: 40}}, mustAccess(t, s, "max", "weekly").Limits.Each); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	var line []string
	for _, p := range s.purposeAndAncestors(s.doc.purposes["weekly"]) {
		line = append(line, p.name.text)
	}
	if diff := cmp.Diff([]string{"weekly", "newsletter", "marketing"}, line); diff != "" {
		t.Errorf("weekly and its ancestors (-want +got):\n%s", diff)
	}
	if got := s.purposeAndAncestors(nil); got != nil {
		t.Errorf("no purpose has the ancestors %v", got)
	}
}

func TestRulesForWhatIsWithin(t *testing.T) {
	const head = `
version: 1
purposes: {a: {basis: contract}, b: {within: a}, c: {within: b}, d: {within: a}}
classes: {email: [crm.customers.email], phone: [crm.customers.phone]}
roles: {r: {purposes: a, tables: [{on: crm.customers}]}}
users: {u: {roles: r}}
`
	for _, tt := range []struct {
		name, purpose string
		rules         []string
		want          string
	}{
		{"a rule for the whole", "c", []string{"{role: r, for: a, on: email, show: clear}"}, "clear"},
		{"a rule for a part", "a", []string{"{role: r, for: b, on: email, show: clear}"}, "refuse"},
		{"for another part", "d", []string{"{role: r, for: b, on: email, show: clear}"}, "refuse"},
		{"the nearest", "c", []string{"{role: r, for: a, on: email, show: redact}", "{role: r, for: b, on: email, show: clear}"}, "clear"},
		{"the nearest, if stricter", "c", []string{"{role: r, for: a, on: email, show: clear}", "{role: r, for: b, on: email, show: redact}"}, "redact/masked"},
		{"itself", "c", []string{"{role: r, for: b, on: email, show: redact}", "{role: r, for: c, on: email, show: clear}"}, "clear"},
		{"more names win over the nearer", "c", []string{"{role: r, for: a, on: email, show: clear}", "{role: any, for: c, on: email, show: redact}"}, "clear"},
		{"among equally near the strictest", "c", []string{"{role: r, for: b, on: any, show: clear}", "{role: any, for: b, on: email, show: redact}"}, "redact/masked"},
		{"for any is as near as the nearest", "c", []string{"{role: r, for: any, on: email, show: redact}", "{role: any, for: b, on: email, show: clear}"}, "redact/masked"},
		{"and does not bring the farther back", "c", []string{"{role: r, for: any, on: email, show: clear}", "{role: any, for: b, on: email, show: clear}", "{role: any, for: a, on: email, show: redact}"}, "clear"},
		{"a list counts by its nearest", "c", []string{"{role: r, for: [a, c], on: email, show: clear}", "{role: r, for: b, on: email, show: redact}"}, "clear"},
		{"a refusal for the whole refuses", "c", []string{"{role: any, for: a, on: email, show: refuse}", "{role: r, for: c, on: email, show: clear}"}, "refuse"},
		{"a refusal for a part does not refuse the whole", "a", []string{"{role: any, for: b, on: email, show: refuse}", "{role: r, for: a, on: email, show: clear}"}, "clear"},
		{"nor what is beside it", "d", []string{"{role: any, for: b, on: email, show: refuse}", "{role: r, for: a, on: email, show: clear}"}, "clear"},
		{"an expired exemption of a part", "c", []string{"{role: r, for: c, on: email, show: clear, expires: 2026-11-21}", "{role: r, for: a, on: email, show: redact}"}, "redact/masked"},
		{"an expired narrowing of a part stays", "c", []string{"{role: r, for: c, on: email, show: redact, expires: 2026-11-21}", "{role: r, for: a, on: email, show: clear}"}, "redact/masked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 { // in either order
				s, cat := compileText(t, head+"rules:\n  - "+strings.Join(tt.rules, "\n  - "))
				r := mustRelation(t, cat, "crm", "customers")
				got := mustAccess(t, s, "u", tt.purpose).Relation(r).Views[0].Columns[r.ColumnIndex("email")]
				if shown(got) != tt.want {
					t.Errorf("email is %s, want %s (because %q, by %s)", shown(got), tt.want, got.Because, got.Rule)
				}
				slices.Reverse(tt.rules)
			}
		})
	}
}

func TestVocabulary(t *testing.T) {
	terms := vocabularyTerms()
	for term, than := range map[string]string{"CustomerCare": "CustomerManagement", "TargetedAdvertising": "Marketing", "RecruitmentTargetedAdvertising": "HumanResourceManagement"} {
		if !narrower(terms, term, than) || narrower(terms, than, term) {
			t.Errorf("%s is not within %s, or the other way round", term, than)
		}
	}
	for term, broader := range terms {
		for _, b := range broader {
			if _, ok := terms[b]; !ok {
				t.Errorf("%s is within %s, which is no term", term, b)
			}
			if narrower(terms, b, term) {
				t.Errorf("%s is within itself, by %s", term, b)
			}
		}
	}
	s, _ := compileText(t, `
version: 1
purposes:
  marketing: {basis: contract, means: dpv:Marketing}
  letters:   {within: marketing, means: dpv:DirectMarketing}
  aimed:     {within: letters, means: dpv:TargetedAdvertising}
  plain:     {within: letters}
  care:      {within: plain, means: dpv:CustomerCare}
`)
	var lines []string
	for _, line := range s.misplaced() {
		_, text, _ := strings.Cut(line, ": ")
		lines = append(lines, text)
	}
	want := []string{
		"purpose aimed is within letters, but dpv:TargetedAdvertising is not within dpv:DirectMarketing",
		"purpose care is within letters, but dpv:CustomerCare is not within dpv:DirectMarketing",
		"purpose care is within marketing, but dpv:CustomerCare is not within dpv:Marketing",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("misplaced (-want +got):\n%s", diff)
	}
	if got := outcome(s, Claim{Login: "u"}); got != "unknown u" {
		t.Errorf("a purpose made a user: %s", got)
	}
}

func TestIdleRulesKnowWhatIsServed(t *testing.T) {
	s, _ := compileText(t, `
version: 1
purposes: {a: {basis: contract}, b: {within: a}, c: {basis: contract}, d: {within: c}, e: {basis: contract}}
classes: {email: [crm.customers.email]}
roles: {r: {purposes: a}, s: {}, t: {}}
groups: {g: r}
users: {app: {act_as: s}}
elevations: [{role: r, to: c, for: 1h, approval: none}]
rules:
  - {role: r, for: a, on: email, show: clear}
  - {role: r, for: b, on: email, show: clear}
  - {role: r, for: d, on: email, show: clear}
  - {role: r, for: e, on: email, show: clear}
  - {role: t, for: a, on: email, show: clear}
`)
	var b strings.Builder
	if err := s.Summary(&b); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{"p.yaml:13:5: the rule never matches: its roles serve none", "p.yaml:14:5: the rule never matches: no user has its roles", "no user has role t"} {
		if !strings.Contains(got, want) {
			t.Errorf("the summary lacks %q:\n%s", want, got)
		}
	}
	if n := strings.Count(got, "never matches"); n != 2 || strings.Contains(got, "role r\n") || strings.Contains(got, "role s\n") {
		t.Errorf("too much has no effect:\n%s", got)
	}
}
