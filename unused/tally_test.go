package unused

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
)

const testSchema = `
CREATE TABLE people (id int PRIMARY KEY, name text, email text, work_email text, card text, age int);
CREATE TABLE orders (id int PRIMARY KEY, person int REFERENCES people, total int);
CREATE TABLE notes (id int PRIMARY KEY, body text);`

const testPolicy = `version: 1
purposes:
  support: {basis: contract}
  phone: {within: support}
  sales: {basis: contract}
  audit: {basis: legal_obligation}
classes:
  open: ["public.*.id", public.orders.*]
  name: [public.people.name]
  email: [public.people.email, public.people.work_email]
  card: [public.people.card]
  age: [public.people.age]
  text: [public.notes.body]
roles:
  agent:
    purposes: [support]
    tables:
      - {on: [public.people], do: [select, update], rows: "id < 10"}
      - {on: [public.orders], do: [select, insert, delete]}
      - {on: ["public.*"], do: [select]}
    privacy: [export, erase, restrict, audit]
  seller: {purposes: [sales], tables: [{on: [public.people, public.orders], do: [select]}]}
  dba: {unrestricted: true}
rules:
  - {role: agent, for: support, on: [name, email, card], show: clear}
  - {role: agent, for: support, on: age, show: bucket(10)}
  - {role: agent, for: any, on: text, show: clear}
  - {role: any, for: any, on: text, show: "null"}
  - {role: seller, for: sales, on: [name, email], show: first(1)}
  - {role: seller, for: audit, on: card, show: last(4)}
  - {role: any, for: phone, on: card, show: refuse}
users:
  alice: {roles: [agent]}
  bob: {roles: [agent, seller]}
  dora: {roles: [dba]}
elevations:
  - {role: seller, to: audit, for: 1h, approval: none}
  - {role: seller, to: support, for: 1h, approval: none}
`

var (
	testFrom = time.Date(2026, 8, 24, 0, 0, 0, 0, time.UTC)
	testTo   = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
)

func testSet(t testing.TB, text string) *policy.Set {
	t.Helper()
	cat, err := ddl.Parse(testSchema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: text})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// said makes the record of a statement in the middle of the period. Columns are
// written as name or name=show, of people where they name no table; ! says that
// one is written.
func said(by, roles, purpose, shape, columns string) audit.Record {
	r := audit.Record{
		Kind: audit.KindStatement, Time: testFrom.AddDate(0, 1, 0), Login: by, User: by, Roles: strings.Fields(roles), Purpose: purpose,
		Command: strings.ToUpper(strings.Fields(shape)[0]), Shape: shape, Fingerprint: shape, Decision: "allow",
	}
	for _, c := range strings.Fields(columns) {
		c, written := strings.CutPrefix(c, "!")
		if !strings.Contains(c, ".") {
			c = "people." + c
		}
		use := audit.Column{Name: "public." + c, Show: "clear", Use: "read"}
		if written {
			use.Use = "write"
		}
		r.Columns = append(r.Columns, use)
	}
	return r
}

func with(r audit.Record, change func(*audit.Record)) audit.Record { change(&r); return r }

func report(t *testing.T, text string, few int, records ...audit.Record) Report {
	t.Helper()
	set := testSet(t, text)
	tally := New(set.Inventory(), Period{From: testFrom, To: testTo, Few: few}, set.Generation())
	for i := range records {
		tally.Add(&records[i])
	}
	return tally.Report()
}

// lines gives the items that have a verdict as kind:role/purpose/name/operation.
func lines(r Report, v Verdict, kinds ...Kind) []string {
	var found []string
	for _, i := range r.Items {
		for _, k := range kinds {
			if i.Kind == k && i.Verdict == v {
				found = append(found, strings.Join(strings.FieldsFunc(strings.Join([]string{i.Role, i.Purpose, i.Operation, i.Name}, " "), func(c rune) bool { return c == ' ' }), " "))
			}
		}
	}
	return found
}

func TestWhatIsUsed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		record audit.Record
		kind   Kind
		want   []string
	}{
		{"a column uses its class", said("alice", "agent", "support", "SELECT email FROM people", "email"), KindRight, []string{"agent support email"}},
		{"for that purpose alone", said("alice", "agent", "phone", "SELECT email FROM people", "email"), KindRight, []string{"agent phone email"}},
		{"a purpose within another uses its rule", said("alice", "agent", "phone", "SELECT email FROM people", "email"), KindRule, []string{"p.yaml:25"}},
		{"every role counts", said("bob", "agent seller", "sales", "SELECT email FROM people", "email"), KindRole, []string{"agent", "seller"}},
		{"a role without the purpose shows nothing for it", said("bob", "agent seller", "sales", "SELECT email FROM people", "email"), KindRight, []string{"seller sales email"}},
		{"a refused statement uses nothing", with(said("alice", "agent", "support", "SELECT email FROM people", "email"), func(r *audit.Record) { r.Decision = "refuse" }), KindRight, nil},
		{"nor states a purpose", with(said("alice", "agent", "support", "SELECT ?", ""), func(r *audit.Record) { r.Decision = "refuse" }), KindPurpose, nil},
		{"before the period", with(said("alice", "agent", "support", "SELECT email FROM people", "email"), func(r *audit.Record) { r.Time = testFrom.Add(-1) }), KindRight, nil},
		{"at its beginning", with(said("alice", "agent", "support", "SELECT name FROM people", "name"), func(r *audit.Record) { r.Time = testFrom }), KindRight, []string{"agent support name"}},
		{"at its end", with(said("alice", "agent", "support", "SELECT name FROM people", "name"), func(r *audit.Record) { r.Time = testTo }), KindRight, nil},
		{"a table that only its name tells of", said("alice", "agent", "support", "SELECT count(*) FROM orders", ""), KindGrant, []string{"agent select public.orders"}},
		{"in another case, and quoted", said("alice", "agent", "support", `DELETE FROM "public"."ORDERS"`, ""), KindGrant, []string{"agent delete public.orders"}},
		{"an update reads what its condition names", said("alice", "agent", "support", "UPDATE people SET name = ? WHERE id = ?", "!name id"), KindGrant, []string{"agent select public.people", "agent update public.people"}},
		{"what was prepared may have done anything", said("alice", "agent", "support", "EXECUTE x", "orders.total"), KindGrant, []string{"agent delete public.orders", "agent insert public.orders", "agent select public.orders"}},
		{"a setting that is called like a table", said("alice", "agent", "support", "SET x.orders = ?", ""), KindGrant, nil},
		{"a longer name is another table", said("alice", "agent", "support", "SELECT count(*) FROM orders_old", ""), KindGrant, nil},
		{"a login and the user behind it", with(said("alice", "agent", "support", "SELECT ?", ""), func(r *audit.Record) { r.Login = "bob" }), KindUser, []string{"alice", "bob"}},
		{"an elevation is used by its purpose", said("bob", "seller", "audit", "SELECT card FROM people", "card"), KindElevation, []string{"seller audit"}},
		{"also by one within it", said("bob", "seller", "phone", "SELECT ?", ""), KindElevation, []string{"seller support"}},
		{"but not by one that the role has anyway", said("bob", "seller", "sales", "SELECT ?", ""), KindElevation, nil},
		{"a request of a data subject", audit.Record{Kind: audit.KindPrivacy, Time: testFrom, Message: "begun", User: "alice", Roles: []string{"agent"}, Shape: "PRIVACY EXPORT customer ?"}, KindPrivacy, []string{"agent export"}},
		{"an objection taken back", audit.Record{Kind: audit.KindPrivacy, Time: testFrom, Message: "begun", User: "alice", Roles: []string{"agent"}, Shape: "PRIVACY LIFT OBJECTION customer ? TO sales BECAUSE ?"}, KindPrivacy, []string{"agent restrict"}},
		{"a look into the access log", audit.Record{Kind: audit.KindPrivacy, Time: testFrom, Message: "begun", User: "alice", Roles: []string{"agent"}, Shape: "PRIVACY WHO SAW customer ?"}, KindPrivacy, []string{"agent audit"}},
		{"what is about oneself", audit.Record{Kind: audit.KindPrivacy, Time: testFrom, Message: "begun", User: "alice", Roles: []string{"agent"}, Shape: "PRIVACY SHOW ACCESS"}, KindPrivacy, nil},
		{"and its end, which is not another", audit.Record{Kind: audit.KindPrivacy, Time: testFrom, Message: "done", User: "alice", Roles: []string{"agent"}, Shape: "PRIVACY EXPORT customer ?"}, KindPrivacy, nil},
		{"a login uses nothing", audit.Record{Kind: audit.KindSession, Time: testFrom, User: "alice", Roles: []string{"agent"}, Purpose: "support"}, KindPurpose, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := used(report(t, testPolicy, 0, tt.record), tt.kind)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("used (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFewUsersAndLastUse(t *testing.T) {
	one := said("alice", "agent", "support", "SELECT name FROM people", "name")
	before := with(said("alice", "agent", "support", "SELECT age FROM people", "age"), func(r *audit.Record) { r.Time = testFrom.AddDate(-1, 0, 0) })
	r := report(t, testPolicy, 2, before, one, one, said("alice", "agent", "support", "SELECT email FROM people", "email"),
		said("bob", "agent", "support", "SELECT email FROM people", "email work_email"))
	if diff := cmp.Diff([]string{"agent support name"}, lines(r, Few, KindRight)); diff != "" {
		t.Errorf("used by few (-want +got):\n%s", diff)
	}
	for _, i := range r.Items {
		switch {
		case i.Kind == KindRight && i.Name == "name" && i.Purpose == "support":
			if i.Statements != 2 || strings.Join(i.Users, " ") != "alice" || !i.Last.Equal(one.Time) {
				t.Errorf("name is used as %+v", i)
			}
		case i.Kind == KindRight && i.Name == "age" && i.Purpose == "support":
			if i.Verdict != Unused || !i.Last.Equal(before.Time) {
				t.Errorf("age is used as %+v", i)
			}
		}
	}
}

func TestColumnsOfAUsedClass(t *testing.T) {
	r := report(t, testPolicy, 0, said("alice", "agent", "support", "SELECT email FROM people", "email"))
	if diff := cmp.Diff([]string{"agent support public.people.work_email"}, lines(r, Unused, KindColumn)); diff != "" {
		t.Errorf("unused columns (-want +got):\n%s", diff)
	}
}

func TestChanges(t *testing.T) {
	everything := []audit.Record{
		said("alice", "agent", "support", "SELECT email, age, card, name FROM people", "email age card name"),
		said("alice", "agent", "support", "SELECT body FROM notes", "notes.body"),
		said("alice", "agent", "support", "UPDATE people SET name = ?", "!name"),
		said("alice", "agent", "support", "INSERT INTO orders SELECT ?", ""),
		said("alice", "agent", "support", "DELETE FROM orders", ""),
		said("bob", "seller", "sales", "SELECT name, email FROM people, orders", "name email"),
		said("bob", "seller", "audit", "SELECT card FROM people", "card"),
		said("bob", "seller", "support", "SELECT ?", ""),
	}
	without := func(i ...int) []audit.Record {
		var left []audit.Record
		for n, r := range everything {
			keep := true
			for _, gone := range i {
				keep = keep && n != gone
			}
			if keep {
				left = append(left, r)
			}
		}
		return left
	}
	cut := with(everything[5], func(r *audit.Record) { r.Columns = []audit.Column{{Name: "… (3 more)"}} })
	for _, tt := range []struct {
		name    string
		records []audit.Record
		want    []string
	}{
		{"all is used", everything, nil},
		{"an empty log proposes nothing", nil, nil},
		{"two classes of a rule", append(without(0), said("alice", "agent", "support", "SELECT name, age FROM people", "name age")), []string{
			"p.yaml:25 - {role: agent, for: support, on: [name, email, card], show: clear, …}",
			"p.yaml:25 + {role: agent, for: support, on: name, show: clear, …}",
		}},
		{"a whole rule, and a class that another rule would show stays", append(without(0, 1), said("alice", "agent", "support", "SELECT email, card, name FROM people, notes", "email card name")), []string{
			"p.yaml:26 - {role: agent, for: support, on: age, show: bucket(10), …}",
		}},
		{"operations", without(2, 3, 4), []string{
			// Without an entry of its own, orders would be read by that of public.*.
			`p.yaml:18 - {on: [public.people], do: [select, update], rows: "id < 10"}`,
			`p.yaml:18 + {on: [public.people], do: [select], rows: "id < 10"}`,
		}},
		{"an elevation, and what is seen under it", without(6), []string{
			"p.yaml:30 - {role: seller, for: audit, on: card, show: last(4), …}",
			"p.yaml:37 - {role: seller, to: audit, …}",
		}},
		{"what a trimmed record hides is not proposed", append(without(5), cut), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, c := range report(t, testPolicy, 0, tt.records...).Changes {
				for _, l := range c.Remove {
					got = append(got, c.At+" - "+l)
				}
				for _, l := range c.Add {
					got = append(got, c.At+" + "+l)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotes(t *testing.T) {
	one := said("alice", "agent", "support", "SELECT name FROM people", "name")
	at := func(day time.Time) audit.Record { return with(one, func(r *audit.Record) { r.Time = day }) }
	for _, tt := range []struct {
		name    string
		records []audit.Record
		want    string
	}{
		{"nothing", nil, "the log is empty"},
		{"another time", []audit.Record{at(testFrom.AddDate(0, 0, -3))}, "the log has no record of the period"},
		{"begins late", []audit.Record{at(testFrom.AddDate(0, 0, 10))}, "the log begins 10 days after the period does"},
		{"ends early", []audit.Record{at(testFrom), at(testTo.AddDate(0, 0, -5))}, "the log ends 5 days before the period does"},
		{"refusals", []audit.Record{with(one, func(r *audit.Record) { r.Decision = "refuse" })}, "1 statements were refused"},
		{"unrestricted", []audit.Record{with(one, func(r *audit.Record) { r.Decision = "unrestricted" })}, "1 statements are of callers without restrictions"},
		{"by shape", []audit.Record{with(one, func(r *audit.Record) {
			r.Decision, r.Reasons = "unrestricted", []string{"not resolved: recorded by shape only"}
		})}, "1 of them were not understood"},
		{"trimmed", []audit.Record{with(one, func(r *audit.Record) { r.Shape = "SELECT name… (9 bytes more)" })}, "1 records are trimmed"},
		{"another policy", []audit.Record{one}, "1 statements were decided by another policy"},
		{"another role", []audit.Record{with(one, func(r *audit.Record) { r.Roles = []string{"gone"} })}, "1 statements had roles that the policy does not have"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if notes := strings.Join(report(t, testPolicy, 0, tt.records...).Notes, "\n"); !strings.Contains(notes, tt.want) {
				t.Errorf("notes do not say %q:\n%s", tt.want, notes)
			}
		})
	}
}

// used gives the items of a kind that were used, sorted.
func used(r Report, kind Kind) []string {
	found := lines(r, Used, kind)
	slices.Sort(found)
	return found
}
