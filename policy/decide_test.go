package policy

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// shown spells a treatment in the words of the language.
func shown(t Treatment) string {
	switch t.Show {
	case ShowClear:
		return "clear"
	case ShowMasked:
		return t.Mask.String() + "/" + matchNames[t.Match]
	default:
		return "refuse"
	}
}

func TestRulesMerge(t *testing.T) {
	const head = `
version: 1
purposes: {p: {basis: contract}, q: {basis: contract}}
classes:
  open: [crm.customers.id]
  email: [crm.customers.email]
roles:
  a: {purposes: [p], tables: [{on: crm.customers}]}
  b: {purposes: [p, q], tables: [{on: crm.customers}]}
users: {u: {roles: a}, both: {roles: [a, b]}}
`
	for _, tt := range []struct {
		name, login, purpose string
		rules                []string
		want                 string
	}{
		{"no rule refuses", "u", "p", nil, "refuse"},
		{"a rule shows", "u", "p", []string{"{role: a, for: p, on: email, show: clear}"}, "clear"},
		{"a rule for another purpose does not", "u", "p", []string{"{role: a, for: q, on: email, show: clear}"}, "refuse"},
		{"a rule for another role does not", "u", "p", []string{"{role: b, for: p, on: email, show: clear}"}, "refuse"},
		{"a mask matches masked unless it says so", "u", "p", []string{"{role: a, for: p, on: email, show: email}"}, "email/masked"},
		{"a name beats any", "u", "p", []string{"{role: a, for: p, on: email, show: clear}", "{role: any, for: p, on: email, show: redact}"}, "clear"},
		{"a name beats any, narrower too", "u", "p", []string{"{role: any, for: any, on: any, show: clear}", "{role: a, for: any, on: any, show: redact}"}, "redact/masked"},
		{"a tie goes to the strictest", "u", "p", []string{"{role: a, for: any, on: email, show: clear}", "{role: any, for: p, on: email, show: redact}"}, "redact/masked"},
		{"a tie goes to the strictest match", "u", "p", []string{"{role: a, for: p, on: email, show: redact, match: equality}", "{role: a, for: p, on: email, show: email, match: refuse}"}, "redact/refuse"},
		{"a refusal wins over the more specific", "u", "p", []string{"{role: any, for: any, on: any, show: refuse}", "{role: a, for: p, on: email, show: clear}"}, "refuse"},
		{"a refusal to one role holds for the other", "both", "p", []string{"{role: a, for: any, on: email, show: refuse}", "{role: b, for: p, on: email, show: clear}"}, "refuse"},
		{"a refusal to a role that does not serve the purpose holds", "both", "q", []string{"{role: a, for: any, on: email, show: refuse}", "{role: b, for: q, on: email, show: clear}"}, "refuse"},
		{"a refusal to a role not held does not matter", "u", "p", []string{"{role: b, for: any, on: email, show: refuse}", "{role: a, for: p, on: email, show: clear}"}, "clear"},
		{"of two roles the clearest", "both", "p", []string{"{role: a, for: p, on: email, show: email}", "{role: b, for: p, on: email, show: clear}"}, "clear"},
		{"of two masks the clearest", "both", "p", []string{"{role: a, for: p, on: email, show: email}", "{role: b, for: p, on: email, show: redact}"}, "email/masked"},
		{"a role that does not serve the purpose gives nothing", "both", "q", []string{"{role: a, for: any, on: email, show: clear}", "{role: b, for: any, on: email, show: redact}"}, "redact/masked"},
		{"without a purpose nothing but open", "both", "", []string{"{role: any, for: any, on: any, show: clear}"}, "refuse"},
		{"the only purpose is implied", "u", "", []string{"{role: a, for: p, on: email, show: clear}"}, "clear"},
		{"a draft decides nothing", "u", "p", []string{"{role: a, for: p, on: email, show: clear}", "{role: a, for: p, on: email, show: refuse, state: draft}"}, "clear"},
		{"an observed rule decides nothing", "u", "p", []string{"{role: a, for: p, on: email, show: clear}", "{role: a, for: p, on: email, show: refuse, state: observe}"}, "clear"},
		{"a rule gives on its last day", "u", "p", []string{"{role: a, for: p, on: email, show: clear, expires: 2026-11-22}"}, "clear"},
		{"an expired rule gives nothing", "u", "p", []string{"{role: a, for: p, on: email, show: clear, expires: 2026-11-21}"}, "refuse"},
		{"an expired exemption falls back", "u", "p", []string{"{role: a, for: p, on: email, show: clear, expires: 2026-11-21}", "{role: any, for: p, on: email, show: redact}"}, "redact/masked"},
		{"an expired narrowing stays", "u", "p", []string{"{role: a, for: p, on: email, show: redact, expires: 2026-11-21}", "{role: any, for: p, on: email, show: clear}"}, "redact/masked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 { // in either order
				text := head
				if len(tt.rules) > 0 {
					text += "rules:\n  - " + strings.Join(tt.rules, "\n  - ")
				}
				s, cat := compileText(t, text)
				r := mustRelation(t, cat, "crm", "customers")
				ra := mustAccess(t, s, tt.login, tt.purpose).Relation(r)
				if len(ra.Views) != 1 {
					t.Fatalf("got %d views, want 1", len(ra.Views))
				}
				got := ra.Views[0].Columns[r.ColumnIndex("email")]
				if shown(got) != tt.want {
					t.Errorf("email is %s, want %s (because %q, by %s)", shown(got), tt.want, got.Because, got.Rule)
				}
				if got.Show == ShowRefuse && got.Because == "" {
					t.Error("it is refused without a reason")
				}
				if id := ra.Views[0].Columns[0]; shown(id) != "clear" {
					t.Errorf("the open column is %s", shown(id))
				}
				slices.Reverse(tt.rules)
			}
		})
	}
}

func TestObservedRulesAreReported(t *testing.T) {
	s, cat := compileText(t, `
version: 1
purposes: {p: {basis: contract}}
classes: {email: [crm.customers.email]}
roles: {a: {purposes: [p], tables: [{on: crm.customers}]}}
users: {u: {roles: a}}
rules:
  - {role: a, for: p, on: email, show: clear}
  - {role: a, for: p, on: email, show: redact, state: observe}
`)
	r := mustRelation(t, cat, "crm", "customers")
	got := mustAccess(t, s, "u", "p").Relation(r).Views[0].Columns[r.ColumnIndex("email")]
	if want := "p.yaml:9 would mask it with redact"; got.Observed != want || got.Show != ShowClear {
		t.Errorf("got %+v, want clear, observed %q", got, want)
	}
}

func TestViewsAndOperations(t *testing.T) {
	s, cat := compileText(t, `
version: 1
purposes: {p: {basis: contract}}
classes:
  open: [crm.tickets.id]
  text: [crm.tickets.body]
roles:
  reader: {purposes: [p], tables: [{on: crm.*, do: select}]}
  agent:  {purposes: [p], tables: [{on: crm.tickets, do: [select, update], rows: "region = :region"}]}
  clerk:  {purposes: [p], tables: [{on: crm.tickets, do: insert}]}
  other:  {purposes: [p], tables: [{on: crm.tickets, do: [select, update], rows: "region = :region"}]}
rules:
  - {role: agent, for: p, on: text, show: clear}
  - {role: reader, for: p, on: text, show: redact}
users:
  reader: {roles: reader}
  agent: {roles: agent, region: "E'U"}
  lost: {roles: agent}
  both: {roles: [agent, reader], region: EU}
  lostboth: {roles: [agent, reader]}
  twice: {roles: [agent, other], region: EU}
  clerk: {roles: clerk}
  writer: {roles: [clerk, reader]}
  nobody: {}
`)
	for _, tt := range []struct {
		login string
		ops   Ops
		rows  []string
		body  []string
	}{
		{"reader", Select, []string{""}, []string{"redact/masked"}},
		{"agent", Select | Update, []string{"region = ('E''U')"}, []string{"clear"}},
		{"lost", Select | Update, []string{"false"}, []string{"clear"}},
		{"both", Select, []string{"", "region = ('EU')"}, []string{"redact/masked", "clear"}},
		{"lostboth", Select, []string{""}, []string{"redact/masked"}},
		{"twice", Select | Update, []string{"region = ('EU')"}, []string{"clear"}},
		{"clerk", Insert, []string{""}, []string{"refuse"}},
		{"writer", Select | Insert, []string{""}, []string{"redact/masked"}},
		{"nobody", 0, nil, nil},
	} {
		t.Run(tt.login, func(t *testing.T) {
			r := mustRelation(t, cat, "crm", "tickets")
			ra := mustAccess(t, s, tt.login, "").Relation(r)
			if ra.Ops != tt.ops {
				t.Errorf("may %s, want %s", ra.Ops, tt.ops)
			}
			var rows, body []string
			for _, v := range ra.Views {
				rows = append(rows, v.Rows)
				body = append(body, shown(v.Columns[r.ColumnIndex("body")]))
			}
			if diff := cmp.Diff(tt.rows, rows); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.body, body); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if ra.Because == "" {
				t.Error("no reason for what is lacking")
			}
		})
	}
	both := mustAccess(t, s, "both", "").Relation(mustRelation(t, cat, "crm", "tickets"))
	if got := both.Views[1].Ops; got != Select|Update {
		t.Errorf("its own rows it may %s, want select, update", got)
	}
}

func TestConsent(t *testing.T) {
	s := docsSet(t)
	given := func(alias string) string {
		return `EXISTS (SELECT 1 FROM "crm"."consents" AS pgveil_c WHERE pgveil_c."customer_id" OPERATOR("pg_catalog".=) ` + alias + `."id"` +
			` AND pgveil_c."purpose" OPERATOR("pg_catalog".=) 'newsletter' AND pgveil_c."given_at" IS NOT NULL AND pgveil_c."withdrawn_at" IS NULL)`
	}
	via := func(alias, inner, column, rest string) string {
		return `EXISTS (SELECT 1 FROM "crm"."customers" AS ` + inner + ` WHERE ` + inner + `."id" OPERATOR("pg_catalog".=) ` + alias + `."` + column + `" AND ` + rest + `)`
	}
	p := s.doc.purposes["marketing"]
	for table, want := range map[string]string{
		"customers":   given("pgveil_t"),
		"visits":      via("pgveil_t", "pgveil_1", "customer_ref", given("pgveil_1")),
		"orders_2026": via("pgveil_t", "pgveil_1", "customer_id", given("pgveil_1")),
		"transfers":   via("pgveil_t", "pgveil_1", "payer", given("pgveil_1")) + " AND " + via("pgveil_t", "pgveil_1", "payee", given("pgveil_1")),
		"order_lines": `EXISTS (SELECT 1 FROM "crm"."orders" AS pgveil_1 WHERE pgveil_1."id" OPERATOR("pg_catalog".=) pgveil_t."order_id" AND ` +
			via("pgveil_1", "pgveil_2", "customer_id", given("pgveil_2")) + `)`,
		"consents": "",
	} {
		for _, governed := range s.governed {
			if governed.relation.Name == table {
				if diff := cmp.Diff(want, s.consent(governed.relation, p, byRow)); diff != "" {
					t.Errorf("consent for %s (-want +got):\n%s", table, diff)
				}
			}
		}
	}
}

func TestConsentHoldsForItsPurposeOnly(t *testing.T) {
	s, cat := compileText(t, `
version: 1
purposes: {m: {basis: consent, consent: "it's"}, c: {basis: contract}}
subjects:
  customer:
    table: crm.customers
    key: id
    consent: {table: crm.consents, subject: customer_id, purpose: purpose, given: given_at, withdrawn: withdrawn_at}
roles: {r: {purposes: [m, c], tables: [{on: [crm.customers, crm.customer_overview]}]}}
users: {u: {roles: r}}
`)
	customers, overview := mustRelation(t, cat, "crm", "customers"), mustRelation(t, cat, "crm", "customer_overview")
	if got := mustAccess(t, s, "u", "m").Relation(customers).Consent.ByRow; !strings.Contains(got, "'it''s'") {
		t.Errorf("consent is %q", got)
	}
	if got := mustAccess(t, s, "u", "c").Relation(customers).Consent.ByRow; got != "" {
		t.Errorf("consent for a contract is %q", got)
	}
	if got := mustAccess(t, s, "u", "m").Relation(overview); got.Ops != 0 || len(got.Views) != 0 || got.Because == "" {
		t.Errorf("a view without a reference gives %+v", got)
	}
	if got := mustAccess(t, s, "u", "c").Relation(overview); got.Ops != Select {
		t.Errorf("a view for a contract gives %+v", got)
	}
}

func TestAccessErrors(t *testing.T) {
	s := docsSet(t)
	if _, err := s.Access("mallory", ""); !isError[*UnknownLoginError](err) {
		t.Errorf("an unknown login: %v", err)
	}
	_, err := s.Access("bob", "marketing")
	purpose, ok := errors.AsType[*PurposeError](err)
	if !ok {
		t.Fatalf("a purpose that is not permitted: %v", err)
	}
	if diff := cmp.Diff([]string{"analytics", "support"}, purpose.Permitted); diff != "" {
		t.Errorf("permitted (-want +got):\n%s", diff)
	}
	if _, err := s.Decide(Claim{Login: "alice", User: "bob", Purpose: ""}); !isError[*ActAsError](err) {
		t.Errorf("alice acts as bob: %v", err)
	}
	if _, err := s.Decide(Claim{Login: "crm_app", User: "carol", Purpose: ""}); !isError[*ActAsError](err) {
		t.Errorf("crm_app acts in a role not listed: %v", err)
	}
	if _, err := s.Decide(Claim{Login: "crm_app", User: "mallory", Purpose: ""}); !isError[*UnknownLoginError](err) {
		t.Errorf("crm_app acts for nobody known: %v", err)
	}
	a, err := s.Decide(Claim{Login: "crm_app", User: "bob", Purpose: ""})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"support_agent"}, a.Roles); diff != "" || a.Purpose != "support" {
		t.Errorf("crm_app for bob has purpose %q and roles (-want +got):\n%s", a.Purpose, diff)
	}
}

func isError[E error](err error) bool { _, ok := errors.AsType[E](err); return ok }

func TestTimeChangesAccess(t *testing.T) {
	d, err := Parse(File{"p.yaml", `
version: 1
purposes: {p: {basis: contract}}
classes: {email: [crm.customers.email]}
roles: {a: {purposes: [p], tables: [{on: crm.customers}], privacy: export}}
rules: [{role: a, for: p, on: email, show: clear, expires: 2026-11-30}]
users: {u: {roles: a, trained_until: 2026-12-31}}
`})
	if err != nil {
		t.Fatal(err)
	}
	now, cat := testDay, crm()
	s, err := Compile(d, cat, Clock(func() time.Time { return now }))
	if err != nil {
		t.Fatal(err)
	}
	r := mustRelation(t, cat, "crm", "customers")
	email := r.ColumnIndex("email")

	first := mustAccess(t, s, "u", "")
	if want := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC); !first.Until.Equal(want) {
		t.Errorf("until %v, want %v", first.Until, want)
	}
	if got := first.Relation(r).Views[0].Columns[email]; got.Show != ShowClear {
		t.Errorf("before the rule expires: %+v", got)
	}
	now = first.Until
	second := mustAccess(t, s, "u", "")
	if got := second.Relation(r).Views[0].Columns[email]; got.Show != ShowRefuse || second.ID == first.ID {
		t.Errorf("after the rule expired: %+v", got)
	}
	now = second.Until
	third := mustAccess(t, s, "u", "")
	if got := third.Relation(r); got.Ops != 0 || !strings.Contains(got.Because, "trained_until of u was 2026-12-31") {
		t.Errorf("after the training lapsed: %+v", got)
	}
	if third.May("export") || len(third.Roles) != 0 || !third.Until.IsZero() {
		t.Errorf("after the training lapsed: %+v", third)
	}
}

func TestIDsAreEqualOnlyForAlikeDecisions(t *testing.T) {
	text := `
version: 1
purposes: {p: {basis: contract}, q: {basis: contract}}
roles:
  a: {purposes: [p, q], tables: [{on: crm.customers, rows: "region = :region"}]}
  b: {purposes: [p], tables: [{on: crm.customers}]}
users:
  ann: {roles: a, region: EU, desk: "1"}
  bea: {roles: a, region: EU, desk: "2"}
  cid: {roles: a, region: US}
  dan: {roles: [a, b], region: EU}
  eva: {roles: a, region: EU, limits: {copy: refuse}}
  fay: {roles: a, region: EU, limits: {unfiltered: refuse}}
`
	s, _ := compileText(t, text)
	other, _ := compileText(t, text)
	id := func(s *Set, login, purpose string) uint64 { return mustAccess(t, s, login, purpose).ID }
	ann := id(s, "ann", "p")
	if got := id(s, "bea", "p"); got != ann {
		t.Errorf("the same roles and region have IDs %d and %d", ann, got)
	}
	if a, b := mustAccess(t, s, "ann", "p"), mustAccess(t, s, "ann", "p"); a != b {
		t.Error("an access is not kept")
	}
	different := map[uint64]string{ann: "ann"}
	for name, got := range map[string]uint64{
		"another purpose": id(s, "ann", "q"),
		"no purpose":      id(s, "ann", ""),
		"another region":  id(s, "cid", "p"),
		"another role":    id(s, "dan", "p"),
		"another set":     id(other, "ann", "p"),
		"no COPY":         id(s, "eva", "p"),
		"no whole tables": id(s, "fay", "p"),
	} {
		if got == 0 || different[got] != "" {
			t.Errorf("%s has ID %d, like %s", name, got, different[got])
		}
		different[got] = name
	}
}

func TestUnrestrictedObserveAndRights(t *testing.T) {
	s := docsSet(t)
	if got := mustAccess(t, s, "root", ""); got.Unrestricted || got.May("erase") {
		t.Errorf("root without a second factor: %+v", got)
	}
	root, err := s.Decide(Claim{Login: "root", Second: true})
	if err != nil {
		t.Fatal(err)
	}
	if !root.Unrestricted || !root.May("erase") || root.May("nothing") || !root.Function("x", "y", "") {
		t.Errorf("root: %+v", root)
	}
	alice := mustAccess(t, s, "alice", "support")
	if alice.Unrestricted || alice.Observe || alice.May("erase") {
		t.Errorf("alice: %+v", alice)
	}
	if !alice.Function("crm", "shipping_cost", "") || !alice.Function("ext", "similarity", "postgis") || alice.Function("crm", "other", "") {
		t.Error("alice may call what the policy does not allow, or not what it allows")
	}
	if !alice.Discloses("crm", "customer_overview") || alice.Discloses("crm", "customers") {
		t.Error("discloses is not what the policy says")
	}
	day := 24 * time.Hour
	want := []Limit{
		{Of: LimitRows, Most: 100000, Per: PerWindow, Window: day, Whose: OfUser, Warn: 80000},
		{Of: LimitBytes, Most: 200 << 20, Per: PerWindow, Window: time.Hour, Whose: OfUser, Warn: 160 << 20},
		{Of: LimitStatements, Most: 600, Per: PerWindow, Window: time.Minute, Whose: OfUser, Warn: 480},
		{Of: LimitRows, Most: 500, Per: PerQuery, Whose: OfUser},
		{Of: LimitSubjects, Most: 200, Per: PerWindow, Window: day, Whose: OfUser, Warn: 160},
	}
	if diff := cmp.Diff(Limits{want, true, true}, alice.Limits); diff != "" {
		t.Errorf("alice's limits (-want +got):\n%s", diff)
	}
	for _, r := range crm().Relations() { // of another snapshot, and the system's
		if ra := root.Relation(r); ra.Ops != 0 {
			t.Errorf("%s is granted, though it is not of the policy's catalog", r.QualifiedName())
		}
	}

	observed, _ := compileText(t, "version: 1\nroles: {a: {state: observe}, b: {}}\nusers: {a: {roles: a}, ab: {roles: [a, b]}, none: {}}\n")
	for login, want := range map[string]bool{"a": true, "ab": false, "none": false} {
		if got := mustAccess(t, observed, login, "").Observe; got != want {
			t.Errorf("Observe of %s = %v, want %v", login, got, want)
		}
	}
}

func TestZeroAccessGrantsNothing(t *testing.T) {
	var a Access
	if a.Function("crm", "f", "postgis") || a.Discloses("crm", "v") || a.May("export") {
		t.Error("the zero Access grants something")
	}
	if ra := a.Relation(crm().Relations()[0]); ra.Ops != 0 || ra.Because == "" {
		t.Errorf("the zero Access gives %+v", ra)
	}
}

func TestUnclassified(t *testing.T) {
	s, cat := compileText(t, `
version: 1
purposes: {p: {basis: contract}}
unclassified: initials
roles: {a: {purposes: [p], tables: [{on: crm.customers}]}}
users: {u: {roles: a}}
`)
	r := mustRelation(t, cat, "crm", "customers")
	columns := mustAccess(t, s, "u", "p").Relation(r).Views[0].Columns
	if got := shown(columns[r.ColumnIndex("notes")]); got != "initials/masked" {
		t.Errorf("notes is %s", got)
	}
	if got := columns[r.ColumnIndex("birth_date")]; got.Show != ShowRefuse || got.Because == "" {
		t.Errorf("a column that the mask is not defined for is %+v", got)
	}
}

func TestConcurrentAccess(t *testing.T) {
	s := docsSet(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for _, login := range []string{"alice", "bob", "carol"} {
				describe(s, login, "")
			}
		})
	}
	group.Wait()
}

func BenchmarkRelation(b *testing.B) {
	s := docsSet(b)
	a := mustAccess(b, s, "alice", "support")
	r := s.governed[0].relation
	b.ReportAllocs()
	for b.Loop() {
		if a.Relation(r) == nil {
			b.Fatal("nothing")
		}
	}
}

func BenchmarkAccess(b *testing.B) {
	s := docsSet(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Access("alice", "support"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	d, err := Parse(docsPolicy(b)...)
	if err != nil {
		b.Fatal(err)
	}
	cat := crm()
	for b.Loop() {
		if _, err := Compile(d, cat); err != nil {
			b.Fatal(err)
		}
	}
}
