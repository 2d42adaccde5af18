package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// lapsing is a policy whose roles and users count at times and in places.
const lapsing = `
version: 1
purposes: {support: {basis: contract}, billing: {basis: contract}, refunds: {within: billing}}
classes: {open: [crm.customers.id], email: [crm.customers.email]}
roles:
  agent:   {purposes: support, tables: [{on: crm.customers}]}
  billing: {purposes: billing, tables: [{on: crm.customers}], hours: "mon-fri 08:00-18:00 Europe/Berlin"}
  inside:  {purposes: support, tables: [{on: crm.customers}], from: [10.0.0.0/8, "2001:db8::/32"]}
  local:   {purposes: support, tables: [{on: crm.customers}], from: unix}
  trained: {purposes: support, tables: [{on: crm.customers}], requires: trained}
rules: [{role: any, for: any, on: email, show: clear}]
attributes: badge_until
users:
  ann: {roles: [agent, billing]}
  bea: {roles: billing}
  ina: {roles: inside}
  lou: {roles: local}
  tim: {roles: trained, trained_until: 2027-01-31}
  tom: {roles: [agent, trained]}
  late: {roles: agent, hours: ["sat,sun 10:00-14:00 UTC", "mon 22:00-02:00 UTC"]}
  desk: {roles: agent, from: [192.0.2.7, 10.1.0.0/16]}
  app: {act_as: [agent, billing], from: 10.1.0.0/16}
`

// at compiles the policy for a moment that a test may change.
func at(t testing.TB, text string, now *time.Time) *Set {
	t.Helper()
	d, err := Parse(File{"p.yaml", text})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(d, crm(), Clock(func() time.Time { return *now }))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRolesCountAtTimesAndInPlaces(t *testing.T) {
	addr := netip.MustParseAddr
	var now time.Time
	s := at(t, lapsing, &now)
	const work, evening, weekend = "2026-11-23T10:00:00+01:00", "2026-11-23T19:12:00+01:00", "2026-11-22T12:00:00Z"
	for _, tt := range []struct {
		name, at string
		claim    Claim
		want     string
		why      string // one of the sentences; "" for none of these
	}{
		{"in the hours", work, Claim{Login: "ann", Purpose: "refunds"}, `ann [agent billing] for "refunds"`, ""},
		{"outside them", evening, Claim{Login: "ann"}, `ann [agent] for "support"`, "role billing counts mon-fri 08:00-18:00 Europe/Berlin; again from Tue 2026-11-24 08:00 CET"},
		{"for what it serves", evening, Claim{Login: "ann", Purpose: "refunds"}, `ann [agent] for ""`,
			"role billing counts mon-fri 08:00-18:00 Europe/Berlin; again from Tue 2026-11-24 08:00 CET: until then only open columns are shown, or what another purpose permits"},
		{"the only role", evening, Claim{Login: "bea", Purpose: "billing"}, `bea [] for ""`, "role billing counts mon-fri 08:00-18:00 Europe/Berlin; again from Tue 2026-11-24 08:00 CET"},
		{"a purpose that is none", evening, Claim{Login: "bea", Purpose: "biling"}, "purpose refused, permitted [], elevate false", ""},
		{"a purpose that no role serves", evening, Claim{Login: "bea", Purpose: "support"}, `bea [] for ""`, ""},

		{"a user's hours", weekend, Claim{Login: "late"}, `late [agent] for "support"`, ""},
		{"none of them", work, Claim{Login: "late"}, `late [] for ""`, "the roles of late count sat,sun 10:00-14:00 UTC or mon 22:00-02:00 UTC; again from Mon 2026-11-23 22:00 UTC"},
		{"behind a login", work, Claim{Login: "app", User: "late", From: addr("10.1.2.3")}, `late [] for ""`, "the roles of late count sat,sun 10:00-14:00 UTC or mon 22:00-02:00 UTC; again from Mon 2026-11-23 22:00 UTC"},

		{"in the network", work, Claim{Login: "ina", From: addr("10.255.0.1")}, `ina [inside] for "support"`, ""},
		{"in the other", work, Claim{Login: "ina", From: addr("2001:db8::1")}, `ina [inside] for "support"`, ""},
		{"as a socket for both kinds writes it", work, Claim{Login: "ina", From: addr("::ffff:10.1.2.3")}, `ina [inside] for "support"`, ""},
		{"by an interface", work, Claim{Login: "ina", From: addr("2001:db8::1%eth0")}, `ina [inside] for "support"`, ""},
		{"outside", work, Claim{Login: "ina", From: addr("11.0.0.1")}, `ina [] for ""`, "role inside counts from 10.0.0.0/8, 2001:db8::/32 only, and this connection comes from elsewhere"},
		{"by a socket", work, Claim{Login: "ina", From: Unix()}, `ina [] for ""`, "role inside counts from 10.0.0.0/8, 2001:db8::/32 only, and this connection comes from elsewhere"},
		{"nobody knows from where", work, Claim{Login: "ina"}, `ina [] for ""`, "role inside counts from 10.0.0.0/8, 2001:db8::/32 only, and this connection comes from elsewhere"},
		{"a socket where it is asked for", work, Claim{Login: "lou", From: Unix()}, `lou [local] for "support"`, ""},
		{"a network instead", work, Claim{Login: "lou", From: addr("127.0.0.1")}, `lou [] for ""`, "role local counts from unix only, and this connection comes from elsewhere"},
		{"an address that looks like it", work, Claim{Login: "lou", From: addr("::")}, `lou [] for ""`, "role local counts from unix only, and this connection comes from elsewhere"},
		{"nobody knows whether it is one", work, Claim{Login: "lou"}, `lou [] for ""`, "role local counts from unix only, and this connection comes from elsewhere"},
		{"a user's address", work, Claim{Login: "desk", From: addr("192.0.2.7")}, `desk [agent] for "support"`, ""},
		{"beside it", work, Claim{Login: "desk", From: addr("192.0.2.8")}, `desk [] for ""`, "the roles of desk count from 192.0.2.7/32, 10.1.0.0/16 only, and this connection comes from elsewhere"},
		{"the network of the login in front", work, Claim{Login: "app", User: "ann", From: addr("10.1.2.3")}, `ann [agent billing] for ""`, ""},
		{"from elsewhere", work, Claim{Login: "app", User: "ann", From: addr("10.2.2.3")}, `ann [] for ""`, "the roles of app count from 10.1.0.0/16 only, and this connection comes from elsewhere"},

		{"what the role requires", work, Claim{Login: "tim"}, `tim [trained] for "support"`, ""},
		{"is not there", work, Claim{Login: "tom"}, `tom [agent] for "support"`, "role trained needs trained_until, which tom does not have"},
		{"nor may a token bring it unasked", work, Claim{Login: "tom", Vouched: &Vouched{Attributes: map[string]string{"trained_until": "2027-01-01"}}}, `tom [agent] for "support"`, "role trained needs trained_until, which tom does not have"},
		{"it has lapsed", "2027-02-01T00:00:00Z", Claim{Login: "tim"}, `tim [] for ""`, "trained_until of tim was 2027-01-31: until it is renewed, tim has no roles"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now = moment(t, tt.at)
			if got := outcome(s, tt.claim); got != tt.want {
				t.Fatalf("got  %s\nwant %s", got, tt.want)
			}
			a, err := s.Decide(tt.claim)
			if err != nil {
				return
			}
			why := a.Why()
			if tt.why != "" && !slices.Contains(why, tt.why) {
				t.Errorf("why lacks %q:\n%s", tt.why, strings.Join(why, "\n"))
			}
			if len(slices.Compact(slices.Sorted(slices.Values(why)))) != len(why) {
				t.Errorf("why says something twice:\n%s", strings.Join(why, "\n"))
			}
			if r := s.governed[len(s.governed)-1].relation; tt.why != "" && len(a.Roles) == 0 && a.Relation(r).Because != tt.why {
				t.Errorf("it is refused because %q, want %q", a.Relation(r).Because, tt.why)
			}
		})
	}
}

// A session that stays open loses the role when the hour ends, and has it again
// when it begins: Until is when to ask.
func TestUntilFollowsTheHours(t *testing.T) {
	now := moment(t, "2026-11-20T17:00:00+01:00")
	s := at(t, lapsing, &now)
	var got []string
	for range 4 {
		a, err := s.Decide(Claim{Login: "ann", Purpose: "billing"})
		if err != nil {
			t.Fatal(err)
		}
		now = a.Until.Add(-1)
		if b, err := s.Decide(Claim{Login: "ann", Purpose: "billing"}); err != nil || b != a {
			t.Fatalf("before it ends, %+v is %+v: %v", a, b, err)
		}
		got = append(got, fmt.Sprintf("%v until %s", a.Roles, a.Until.UTC().Format("Mon 15:04")))
		now = a.Until
	}
	want := "[agent billing] until Fri 17:00, [agent] until Mon 07:00, [agent billing] until Mon 17:00, [agent] until Tue 07:00"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	if len(s.accesses) != 1 {
		t.Errorf("%d accesses are kept for one claim", len(s.accesses))
	}
}

// What is shown for want of a role is what the roles that count show.
func TestOpenColumnsOutsideTheHours(t *testing.T) {
	now := moment(t, "2026-11-23T19:12:00+01:00")
	s := at(t, lapsing, &now)
	r := s.governed[slices.IndexFunc(s.governed, func(t *table) bool { return t.relation.Name == "customers" })].relation
	show := func(purpose, column string) Treatment {
		return mustAccess(t, s, "ann", purpose).Relation(r).Views[0].Columns[r.ColumnIndex(column)]
	}
	if shown(show("billing", "email")) != "refuse" || shown(show("billing", "id")) != "clear" || shown(show("support", "email")) != "clear" {
		t.Errorf("email for billing is %+v, id %+v, email for support %+v", show("billing", "email"), show("billing", "id"), show("support", "email"))
	}
	if because := show("billing", "email").Because; !strings.Contains(because, "again from Tue 2026-11-24 08:00 CET") {
		t.Errorf("it is refused because %q", because)
	}
	now = moment(t, "2026-11-24T08:00:00+01:00")
	if got := show("billing", "email"); shown(got) != "clear" {
		t.Errorf("in the hours it is %+v", got)
	}
}

// Refusals say which role is missing: accesses for want of another role are not
// alike.
func TestIDsTellWhatIsMissing(t *testing.T) {
	now := moment(t, "2026-11-23T19:12:00+01:00")
	s := at(t, `
version: 1
purposes: {p: {basis: contract}, q: {basis: contract}, r: {basis: contract}, s: {basis: contract}}
roles:
  a: {purposes: [p, q], tables: [{on: crm.customers}]}
  b: {purposes: r, tables: [{on: crm.customers}], hours: "mon-fri 08:00-18:00 UTC"}
  c: {purposes: s, tables: [{on: crm.customers}], from: unix}
users: {ann: {roles: [a, b, c]}, ben: {roles: a}}
`, &now)
	seen := map[uint64]Claim{}
	for _, c := range []Claim{{Login: "ann", Purpose: "r"}, {Login: "ann", Purpose: "s"}, {Login: "ben"}} {
		a, err := s.Decide(c)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[a.ID]; ok || a.Purpose != "" {
			t.Errorf("%+v has the ID of %+v, and purpose %q", c, other, a.Purpose)
		}
		seen[a.ID] = c
	}
}

// From how many addresses they come must not matter to the memory.
func TestPlacesAreBounded(t *testing.T) {
	now := moment(t, "2026-11-23T10:00:00+01:00")
	s := at(t, lapsing, &now)
	if got := s.places.String(); got != "192.0.2.7/32, 2001:db8::/32, 10.1.0.0/16, 10.0.0.0/8, unix" && got != "2001:db8::/32, 192.0.2.7/32, 10.1.0.0/16, 10.0.0.0/8, unix" {
		t.Errorf("places are %s", got)
	}
	for i := range 1000 {
		for _, b := range [][4]byte{{10, 1, byte(i >> 8), byte(i)}, {10, 2, byte(i >> 8), byte(i)}, {192, 0, byte(i >> 8), byte(i)}} {
			if _, err := s.Decide(Claim{Login: "desk", From: netip.AddrFrom4(b)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if most := len(s.places) + 1; len(s.accesses) > most {
		t.Errorf("%d accesses are kept, of at most %d", len(s.accesses), most)
	}
	one, err := s.Decide(Claim{Login: "ina", From: netip.MustParseAddr("10.9.9.9")})
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.Decide(Claim{Login: "ina", From: netip.MustParseAddr("10.8.8.8")})
	if err != nil || one != two {
		t.Errorf("alike addresses have %p and %p: %v", one, two, err)
	}
}

func BenchmarkDecide(b *testing.B) {
	now := moment(b, "2026-11-23T10:00:00+01:00")
	s := at(b, lapsing+"elevations: [{role: agent, to: billing, for: 1h, approval: none}]\n", &now)
	for name, c := range map[string]Claim{
		"plain":    {Login: "ann", Purpose: "support", From: netip.MustParseAddr("10.1.2.3")},
		"vouched":  {Login: "app", User: "ann", Purpose: "support", From: netip.MustParseAddr("10.1.2.3"), Vouched: &Vouched{Roles: []string{"agent"}, Until: now.Add(time.Hour)}},
		"elevated": {Login: "ann", Purpose: "billing", Elevations: []Elevation{{"agent", "billing", now.Add(time.Hour)}}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Decide(c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
