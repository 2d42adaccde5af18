package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// claims is a policy of an application that acts for others, one that does so
// by signed tokens only, and of groups.
const claims = `
version: 1
purposes: {support: {basis: contract}, billing: {basis: contract}, audit: {basis: contract}, root: {basis: contract}}
roles:
  agent:   {purposes: [support], tables: [{on: crm.tickets, rows: "region = :region"}]}
  clerk:   {purposes: [billing], tables: [{on: crm.orders}], privacy: [export]}
  auditor: {purposes: [audit], tables: [{on: crm.*}]}
  dba:     {unrestricted: true}
attributes: [region, trained_until]
groups: {staff: agent, finance: [clerk, auditor], admins: dba}
users:
  app:    {act_as: [agent, clerk], roles: [auditor], region: APP}
  signed: {act_as: {roles: [agent, clerk], signed: true}}
  plain:  {roles: agent}
  alice:  {roles: [agent, auditor], region: EU}
  bob:    {roles: [agent, clerk]}
  root:   {roles: dba}
  lapsed: {roles: agent, badge_until: 2026-11-21}
  gone:   {act_as: agent, badge_until: 2026-11-21}
second_factor: {roles: dba, privacy: export}
elevations:
  - {role: agent, to: billing, for: 1h, approval: before, by: auditor}
  - {role: agent, to: audit, for: 1h, approval: none}
`

// outcome says what a claim comes to, in one line.
func outcome(s *Set, c Claim) string {
	a, err := s.Decide(c)
	var purpose *PurposeError
	var unknown *UnknownLoginError
	var actAs *ActAsError
	switch {
	case errors.As(err, &purpose):
		return fmt.Sprintf("purpose refused, permitted %v, elevate %t", purpose.Permitted, purpose.Elevate)
	case errors.As(err, &unknown):
		return "unknown " + unknown.Login
	case errors.As(err, &actAs):
		return fmt.Sprintf("act_as refused, unsigned %t", actAs.Unsigned)
	case err != nil:
		return err.Error()
	}
	return fmt.Sprintf("%s %v for %q", a.User, a.Roles, a.Purpose)
}

func TestClaims(t *testing.T) {
	roles := func(names ...string) *Vouched { return &Vouched{Roles: append([]string{}, names...)} }
	groups := func(names ...string) *Vouched { return &Vouched{Groups: names} }
	over := func(v Vouched, until time.Time) *Vouched { v.Until = until; return &v }
	s, _ := compileText(t, claims)
	for _, tt := range []struct {
		name  string
		claim Claim
		want  string
	}{
		{"nobody", Claim{}, "unknown "},
		{"nobody, vouched for", Claim{Vouched: groups("staff")}, "unknown "},
		{"nobody acts for somebody", Claim{User: "alice"}, "unknown "},
		{"a login", Claim{Login: "plain"}, `plain [agent] for "support"`},
		{"a login that names itself", Claim{Login: "plain", User: "plain"}, `plain [agent] for "support"`},
		{"an unknown login", Claim{Login: "mallory"}, "unknown mallory"},

		{"a login without act_as", Claim{Login: "alice", User: "bob"}, "act_as refused, unsigned false"},
		{"is not told who there is", Claim{Login: "alice", User: "mallory"}, "act_as refused, unsigned false"},
		{"nor by a token", Claim{Login: "alice", User: "mallory", Vouched: roles("agent")}, "act_as refused, unsigned false"},
		{"unsigned, listed", Claim{Login: "app", User: "alice"}, `alice [agent] for "support"`},
		{"unsigned, two in common", Claim{Login: "app", User: "bob"}, `bob [agent clerk] for ""`},
		{"unsigned, unlisted", Claim{Login: "app", User: "mallory"}, "unknown mallory"},
		{"unsigned, none in common", Claim{Login: "app", User: "root"}, "act_as refused, unsigned false"},
		{"unsigned, for itself", Claim{Login: "app", User: "app"}, `app [auditor] for "audit"`},
		{"unsigned where signed is asked for", Claim{Login: "signed", User: "alice"}, "act_as refused, unsigned true"},
		{"unsigned and unknown where signed is asked for", Claim{Login: "signed", User: "mallory"}, "act_as refused, unsigned true"},
		{"signed, listed", Claim{Login: "signed", User: "bob", Vouched: &Vouched{}}, `bob [agent clerk] for ""`},
		{"signed, unlisted, no roles", Claim{Login: "signed", User: "dan", Vouched: &Vouched{}}, "act_as refused, unsigned false"},
		{"signed, unlisted, an empty list", Claim{Login: "signed", User: "dan", Vouched: roles()}, "act_as refused, unsigned false"},
		{"signed, unlisted, within act_as", Claim{Login: "signed", User: "dan", Vouched: roles("clerk")}, `dan [clerk] for "billing"`},
		{"a token wider than act_as", Claim{Login: "signed", User: "dan", Vouched: roles("clerk", "auditor", "dba")}, `dan [clerk] for "billing"`},
		{"a token narrower than the user's own", Claim{Login: "signed", User: "bob", Vouched: roles("agent")}, `bob [agent] for "support"`},
		{"a token wider than the user's own", Claim{Login: "signed", User: "alice", Vouched: roles("agent", "clerk")}, `alice [agent] for "support"`},
		{"a token with none of the user's own", Claim{Login: "signed", User: "alice", Vouched: roles("clerk")}, "act_as refused, unsigned false"},
		{"a role that no policy has", Claim{Login: "signed", User: "dan", Vouched: roles("emperor")}, "act_as refused, unsigned false"},
		{"groups of an unlisted user", Claim{Login: "signed", User: "dan", Vouched: groups("finance")}, `dan [clerk] for "billing"`},
		{"groups beyond act_as", Claim{Login: "signed", User: "dan", Vouched: groups("admins")}, "act_as refused, unsigned false"},
		{"groups add to a listed user", Claim{Login: "app", User: "alice", Vouched: groups("finance")}, `alice [agent clerk] for ""`},
		{"roles narrow groups", Claim{Login: "app", User: "dan", Vouched: &Vouched{Groups: []string{"staff", "finance"}, Roles: []string{"clerk"}}}, `dan [clerk] for "billing"`},

		{"a login known by its groups", Claim{Login: "olga", Vouched: groups("staff", "staff", "none")}, `olga [agent] for "support"`},
		{"by no group of the policy", Claim{Login: "olga", Vouched: groups("none")}, "unknown olga"},
		{"by nothing", Claim{Login: "olga", Vouched: &Vouched{}}, "unknown olga"},
		{"roles do not make a login known", Claim{Login: "olga", Vouched: roles("agent")}, "unknown olga"},
		{"roles narrow a login's groups", Claim{Login: "olga", Vouched: &Vouched{Groups: []string{"staff", "finance"}, Roles: []string{"clerk"}}}, `olga [clerk] for "billing"`},
		{"groups add to a listed login", Claim{Login: "plain", Vouched: groups("finance")}, `plain [agent auditor clerk] for ""`},
		{"a token narrows a login", Claim{Login: "bob", Vouched: roles("clerk", "auditor")}, `bob [clerk] for "billing"`},
		{"to nothing", Claim{Login: "bob", Vouched: roles()}, `bob [] for ""`},
		{"whoever is known by a group acts for nobody", Claim{Login: "olga", User: "alice", Vouched: groups("staff")}, "unknown olga"},

		{"a role that needs a second factor", Claim{Login: "root"}, `root [] for ""`},
		{"with one", Claim{Login: "root", Second: true}, `root [dba] for ""`},
		{"from a group, without", Claim{Login: "olga", Vouched: groups("admins")}, `olga [] for ""`},

		{"an attribute has lapsed", Claim{Login: "lapsed"}, `lapsed [] for ""`},
		{"behind another login", Claim{Login: "app", User: "lapsed"}, `lapsed [] for ""`},
		{"of the login in front", Claim{Login: "gone", User: "plain"}, `plain [] for ""`},
		{"a token brings a last day", Claim{Login: "plain", Vouched: &Vouched{Attributes: map[string]string{"trained_until": "2026-11-22"}}}, `plain [agent] for "support"`},
		{"that is over", Claim{Login: "plain", Vouched: &Vouched{Attributes: map[string]string{"trained_until": "2026-11-21"}}}, `plain [] for ""`},
		{"or is none", Claim{Login: "plain", Vouched: &Vouched{Attributes: map[string]string{"trained_until": "never"}}}, `plain [] for ""`},
		{"it renews nothing of the policy's", Claim{Login: "lapsed", Vouched: &Vouched{Attributes: map[string]string{"badge_until": "2027-01-01"}}}, `lapsed [] for ""`},
		{"a token that is still valid", Claim{Login: "signed", User: "bob", Vouched: over(Vouched{}, testDay.Add(1))}, `bob [agent clerk] for ""`},
		{"a token that is over", Claim{Login: "signed", User: "bob", Vouched: over(Vouched{}, testDay)}, `bob [] for ""`},
		{"is not as good as none", Claim{Login: "app", User: "bob", Vouched: over(Vouched{Roles: []string{"agent"}}, testDay.Add(-1))}, `bob [] for ""`},

		{"a purpose that the roles do not permit", Claim{Login: "bob", Purpose: "audit"}, "purpose refused, permitted [billing support], elevate true"},
		{"one that is no purpose", Claim{Login: "bob", Purpose: "Support"}, "purpose refused, permitted [billing support], elevate false"},
		{"one that looks like one", Claim{Login: "bob", Purpose: "suррort"}, "purpose refused, permitted [billing support], elevate false"},
		{"a login that looks like one", Claim{Login: "аlice"}, "unknown аlice"},
		{"a user that looks like one", Claim{Login: "app", User: "alicе"}, "unknown alicе"},
		{"a login in capitals", Claim{Login: "Alice"}, "unknown Alice"},
		{"a login with a NUL", Claim{Login: "alice\x00"}, "unknown alice\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 { // as new, and from the cache
				if got := outcome(s, tt.claim); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			}
		})
	}
}

// What a token brings reaches a row filter only where the policy says that
// tokens may bring it, and gives the user none itself.
func TestVouchedAttributes(t *testing.T) {
	s, cat := compileText(t, `
version: 1
purposes: {p: {basis: contract}}
roles: {r: {purposes: p, tables: [{on: crm.tickets, rows: "region = :region AND body = :desk"}]}}
attributes: region
users: {app: {act_as: r, region: APP, desk: "1"}, ann: {roles: r, region: EU, desk: "2"}, ben: {roles: r, desk: "3"}, cid: {roles: r}}
`)
	tickets := mustRelation(t, cat, "crm", "tickets")
	brings := &Vouched{Roles: []string{"r"}, Attributes: map[string]string{"region": "x' OR 'a'='a", "desk": "9"}}
	for user, want := range map[string]string{
		"ann": "region = ('EU') AND body = ('2')",
		"ben": "region = ('x'' OR ''a''=''a') AND body = ('3')",
		"cid": "false",
		"dan": "false", // whom the policy does not list
	} {
		a, err := s.Decide(Claim{Login: "app", User: user, Vouched: brings})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Relation(tickets).Views[0].Rows; got != want {
			t.Errorf("%s sees the rows %q, want %q", user, got, want)
		}
	}
	if got := s.doc.users["ben"].attributes; len(got) != 1 {
		t.Errorf("a token changed the policy: %v", got)
	}
}

func TestWhoProves(t *testing.T) {
	for _, tt := range []struct {
		claim Claim
		want  bool
	}{
		{Claim{}, false},
		{Claim{Vouched: &Vouched{}}, false},
		{Claim{Login: "app"}, true},
		{Claim{Login: "app", User: "app"}, true},
		{Claim{Login: "app", User: "alice"}, false},
		{Claim{Login: "app", User: "alice", Second: true}, false},
		{Claim{Login: "app", User: "alice", Vouched: &Vouched{}}, true},
	} {
		if got := tt.claim.Proven(); got != tt.want {
			t.Errorf("%+v is proven: %t, want %t", tt.claim, got, tt.want)
		}
	}
}

func TestUntil(t *testing.T) {
	s, _ := compileText(t, `
version: 1
purposes: {p: {basis: contract}, q: {basis: contract}}
roles: {r: {purposes: p, tables: [{on: crm.*}]}}
attributes: badge_until
users: {ann: {roles: r, trained_until: 2026-11-30}, ben: {roles: r}}
elevations: [{role: r, to: q, for: 720h, approval: none}]
`)
	at := func(hours int) time.Time { return testDay.Add(time.Duration(hours) * time.Hour) }
	elevated := func(hours ...int) []Elevation {
		var found []Elevation
		for _, h := range hours {
			found = append(found, Elevation{"r", "q", at(h)})
		}
		return found
	}
	for _, tt := range []struct {
		name  string
		claim Claim
		want  time.Time
	}{
		{"nothing ends", Claim{Login: "ben"}, time.Time{}},
		{"an attribute", Claim{Login: "ann"}, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)},
		{"an attribute that a token brings", Claim{Login: "ben", Vouched: &Vouched{Attributes: map[string]string{"badge_until": "2026-11-23"}}}, time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)},
		{"a token", Claim{Login: "ann", Vouched: &Vouched{Until: at(1)}}, at(1)},
		{"a token that outlasts the attribute", Claim{Login: "ann", Vouched: &Vouched{Until: at(10000)}}, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)},
		{"a token without an end", Claim{Login: "ben", Vouched: &Vouched{}}, time.Time{}},
		{"an elevation", Claim{Login: "ben", Elevations: elevated(3)}, at(3)},
		{"the first of several", Claim{Login: "ben", Vouched: &Vouched{Until: at(5)}, Elevations: elevated(4, 2, 3)}, at(2)},
		{"an elevation that is over", Claim{Login: "ben", Elevations: elevated(-1, 0)}, time.Time{}},
		{"an elevation without an end", Claim{Login: "ben", Elevations: []Elevation{{Role: "r", Purpose: "q"}}}, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := s.Decide(tt.claim)
			if err != nil {
				t.Fatal(err)
			}
			if !a.Until.Equal(tt.want) {
				t.Errorf("until %v, want %v", a.Until, tt.want)
			}
		})
	}
}

// Equal IDs are for alike decisions only: a plan made for one claim is used for
// the other.
func TestIDsOfClaims(t *testing.T) {
	s, _ := compileText(t, claims)
	later := testDay.Add(time.Hour)
	billing, audit := Elevation{"agent", "billing", later}, Elevation{"agent", "audit", later}
	id := func(c Claim) uint64 {
		t.Helper()
		a, err := s.Decide(c)
		if err != nil {
			t.Fatal(err)
		}
		return a.ID
	}
	for _, alike := range [][2]Claim{
		{{Login: "plain"}, {Login: "olga", Vouched: &Vouched{Groups: []string{"staff"}}}},
		{{Login: "plain"}, {Login: "plain", Vouched: &Vouched{Until: later}}},
		{{Login: "plain"}, {Login: "plain", Vouched: &Vouched{Attributes: map[string]string{"desk": "1"}}}},
		{{Login: "plain"}, {Login: "plain", Elevations: []Elevation{{"agent", "billing", testDay}, {"clerk", "billing", later}, {"agent", "root", later}}}},
		{{Login: "plain", Elevations: []Elevation{billing, audit}}, {Login: "plain", Elevations: []Elevation{audit, billing, {"agent", "billing", later.Add(1)}}}},
		{{Login: "app", User: "alice"}, {Login: "app", User: "alice", Elevations: []Elevation{billing}}},
	} {
		if id(alike[0]) != id(alike[1]) {
			t.Errorf("%+v and %+v decide alike and have two IDs", alike[0], alike[1])
		}
	}
	seen := map[uint64]int{}
	for i, c := range []Claim{
		{Login: "plain"},
		{Login: "plain", Second: true},
		{Login: "plain", Elevations: []Elevation{billing}},
		{Login: "plain", Elevations: []Elevation{audit}},
		{Login: "plain", Elevations: []Elevation{audit, billing}},
		{Login: "plain", Elevations: []Elevation{billing}, Purpose: "billing"},
		{Login: "plain", Vouched: &Vouched{Attributes: map[string]string{"region": "EU"}}},
		{Login: "plain", Vouched: &Vouched{Attributes: map[string]string{"region": "US"}}},
		{Login: "plain", Vouched: &Vouched{Attributes: map[string]string{"region": `US" "desk"="1`}}},
		{Login: "plain", Vouched: &Vouched{Roles: []string{}}},
		{Login: "plain", Vouched: &Vouched{Until: testDay}},
		{Login: "bob"},
		{Login: "bob", Purpose: "support"},
		{Login: "bob", Purpose: "billing"},
		{Login: "root"},
		{Login: "root", Second: true},
		{Login: "lapsed"},
	} {
		got := id(c)
		if other, ok := seen[got]; ok || got == 0 {
			t.Errorf("claims %d and %d decide otherwise and have the ID %d", other, i, got)
		}
		seen[got] = i
	}
}

// Whoever sends what they like must not fill the memory.
func TestCachesAreBounded(t *testing.T) {
	s, _ := compileText(t, claims)
	for i := range 3 * maxDecisions {
		name := fmt.Sprint("x", i)
		for _, c := range []Claim{{Login: name}, {Login: "app", User: name}, {Login: "alice", User: name}, {Login: "bob", Purpose: name}} {
			if a, err := s.Decide(c); err == nil {
				t.Fatalf("%+v gives %+v", c, a)
			}
		}
		if _, err := s.Decide(Claim{Login: "plain", Vouched: &Vouched{Attributes: map[string]string{"region": name}}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.accesses) != 0 || len(s.decisions) > maxDecisions {
		t.Errorf("%d accesses and %d decisions are kept", len(s.accesses), len(s.decisions))
	}
	all := []string{"app", "signed", "plain", "alice", "bob", "root", "lapsed", "gone", "mallory", ""}
	for range 2 {
		for _, login := range all {
			for _, user := range all {
				for _, purpose := range []string{"", "support", "billing", "audit", "root", "none"} {
					for _, second := range []bool{false, true} {
						s.Decide(Claim{Login: login, User: user, Purpose: purpose, Second: second}) //nolint:errcheck // only what is kept matters
					}
				}
			}
		}
	}
	if most := 8 * 8 * 5 * 2; len(s.accesses) == 0 || len(s.accesses) > most {
		t.Errorf("%d accesses are kept, of at most %d", len(s.accesses), most)
	}
}

func TestNobody(t *testing.T) {
	a := Nobody(Claim{Login: "app", User: "alice", Second: true, Vouched: &Vouched{Roles: []string{"dba"}}})
	if a.User != "alice" || a.Login != "app" {
		t.Errorf("nobody is %+v", a)
	}
	if a.ID != 0 || a.May("export") || a.Lacks("export") || a.Decides("agent", "billing") || a.Offers() != nil || a.Function("crm", "f", "") || a.Discloses("crm", "v") {
		t.Errorf("nobody may something: %+v", a)
	}
	if ra := a.Relation(crm().Relations()[0]); ra.Ops != 0 || len(ra.Views) != 0 {
		t.Errorf("nobody sees %+v", ra)
	}
}

func TestWhyTellsTheClaim(t *testing.T) {
	s, _ := compileText(t, claims)
	later := testDay.Add(time.Hour)
	for want, c := range map[string]Claim{
		"app acts for alice, within the roles that both have":                                   {Login: "app", User: "alice"},
		"without a second factor root does not have dba; give it with PRIVACY MFA":              {Login: "root"},
		"plain is elevated to audit until 2026-11-22 13:00:00":                                  {Login: "plain", Elevations: []Elevation{{"agent", "audit", later}}},
		"what vouched for bob is no longer valid: until there is a new token, bob has no roles": {Login: "app", User: "bob", Vouched: &Vouched{Until: testDay}},
		"badge_until of lapsed was 2026-11-21: until it is renewed, lapsed has no roles":        {Login: "app", User: "lapsed"},
		"trained_until of plain is not a date: until it is, plain has no roles":                 {Login: "plain", Vouched: &Vouched{Attributes: map[string]string{"trained_until": ""}}},
	} {
		a, err := s.Decide(c)
		if err != nil {
			t.Fatal(err)
		}
		if why := a.Why(); !slices.Contains(why, want) {
			t.Errorf("why lacks %q:\n%s", want, strings.Join(why, "\n"))
		}
	}
}

func TestClaimErrors(t *testing.T) {
	s, _ := compileText(t, claims)
	for want, c := range map[string]Claim{
		`the policy has no user "mallory"`:                                            {Login: "mallory"},
		`"signed" may act for others by a signed token only`:                          {Login: "signed", User: "alice"},
		`"app" may not act for "root": they have no role in common that act_as lists`: {Login: "app", User: "root"},
		`purpose "x" is not permitted; permitted: billing, support`:                   {Login: "bob", Purpose: "x"},
	} {
		if _, err := s.Decide(c); err == nil || err.Error() != want {
			t.Errorf("Decide = %v, want %s", err, want)
		}
	}
}
