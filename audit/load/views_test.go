package load_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/audit"
)

// Views and sums say what happened.
func TestViews(t *testing.T) {
	s := newScene(t)
	night := s.now.Truncate(24*time.Hour).AddDate(0, 0, -1).Add(3 * time.Hour)
	for d := range 6 { // alice comes at nine, bob at night; on the last night alice, too
		for _, user := range []string{"alice", "bob"} {
			s.now = night.AddDate(0, 0, d-6)
			if user == "alice" {
				s.now = s.now.Add(6 * time.Hour)
			}
			s.outcome(t, s.statement(t, user), audit.Record{Rows: 2})
		}
	}
	s.now = night
	s.outcome(t, s.statement(t, "alice"), audit.Record{Rows: 5, SQLState: "57014"})
	s.outcome(t, s.statement(t, "bob"), audit.Record{Rows: 7})
	s.add(t, audit.Record{Kind: audit.KindStatement, User: "bob", Purpose: "support", Command: "SELECT", Decision: "refuse", ID: "q1", SQLState: "42501", Message: "no", Reasons: []string{"rows", "policy.yaml:7"}})
	s.add(t, audit.Record{Kind: audit.KindStatement, User: "alice", Purpose: "support", Command: "SELECT", Decision: "refuse", SQLState: "42501", Message: "your roles may not"})
	s.load(t, s.loader(t))
	s.exec(t, `INSERT INTO pgveil.elevations (login, username, role, purpose, reason, approval, lasts, state, ends_at)
		VALUES ('alice', 'alice', 'agent', 'billing', 'ticket 1', 'none', '1h', 'granted', '2026-11-22')`)
	for _, tt := range []struct {
		sql  string
		want []string
	}{
		{"SELECT day, rule, refused, users FROM pgveil.refusals_by_rule('2026-11-01') ORDER BY rule", []string{"(2026-11-21,policy.yaml:7,1,1)", `(2026-11-21,"your roles may not",1,1)`}},
		{"SELECT username, id, sqlstate FROM pgveil.refusals ORDER BY seq", []string{"(bob,q1,42501)", "(alice,,42501)"}},
		{"SELECT day, purpose, class, shown, used, statements, users, rows FROM pgveil.access_by_purpose('2026-11-20', '2026-11-22')", []string{`(2026-11-20,support,email,"last(4)",read,2,2,4)`, `(2026-11-21,support,email,"last(4)",read,2,2,12)`}},
		{"SELECT username, decision, statements, rows, failed FROM pgveil.user_days('2026-11-21') ORDER BY 1, 2", []string{"(alice,mask,1,5,1)", "(alice,refuse,1,,1)", "(bob,mask,1,7,0)", "(bob,refuse,1,,1)"}},
		{"SELECT username, what, name, at FROM pgveil.first_accesses ORDER BY 1, 2", []string{
			`(alice,class,email,"2026-11-15 09:00:00+00")`, `(alice,relation,crm.customers,"2026-11-15 09:00:00+00")`,
			`(bob,class,email,"2026-11-15 03:00:00+00")`, `(bob,relation,crm.customers,"2026-11-15 03:00:00+00")`}},
		{"SELECT hour, username, statements, classified, refused, days_before FROM pgveil.unusual_hours", []string{`("2026-11-21 03:00:00+00",alice,2,1,1,6)`}},
		{"SELECT username, purpose, reason, state FROM pgveil.elevation_history", []string{`(alice,billing,"ticket 1",granted)`}},
		{"SELECT name, class, shown, used, rows FROM pgveil.access_columns WHERE username = 'bob' AND at >= '2026-11-21'", []string{`(crm.customers.email,email,"last(4)",read,7)`}},
		{"SELECT newest, kept_since FROM pgveil.access_loaded", []string{`("2026-11-21 03:00:00+00","2025-10-17 00:00:00+00")`}},
	} {
		if diff := cmp.Diff(tt.want, s.ask(t, tt.sql)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.sql, diff)
		}
	}
}

// A statement is said to have touched a subject for certain where a record names
// it, and perhaps where nobody can say that it did not.
func TestWhoSaw(t *testing.T) {
	s := newScene(t)
	s.exec(t, "INSERT INTO pgveil.subjects VALUES ('customer', '42', 'aaaaaaaaaaaaaaaaaaaaaa'), ('customer', 'c56a4180-65aa-42ec-a945-5fd21dec0538', 'uuuuuuuuuuuuuuuuuuuuuu')")
	named := func(tokens ...string) audit.Record { return audit.Record{Subjects: tokens} }
	unnamed := func(kind string, most ...int64) (r audit.Record) {
		for _, m := range most {
			r.Unnamed = append(r.Unnamed, audit.Unnamed{Kind: kind, AtMost: m})
		}
		return r
	}
	s.outcome(t, s.statement(t, "saw"), named("customer:bbbbbbbbbbbbbbbbbbbbbb", "customer:aaaaaaaaaaaaaaaaaaaaaa"))
	s.outcome(t, s.statement(t, "other"), named("customer:bbbbbbbbbbbbbbbbbbbbbb"))
	s.outcome(t, s.statement(t, "staff"), named("employee:aaaaaaaaaaaaaaaaaaaaaa"))
	s.outcome(t, s.statement(t, "some"), unnamed("customer", 3, 4))
	s.outcome(t, s.statement(t, "any"), unnamed("customer", 3, audit.AnyNumber))
	s.outcome(t, s.statement(t, "nobody"), unnamed("employee", 3))
	s.statement(t, "running")
	s.add(t, audit.Record{Kind: audit.KindStatement, User: "refused", Decision: "refuse", Kinds: []string{"customer"}})
	s.add(t, audit.Record{Kind: audit.KindStatement, User: "elsewhere", Decision: "allow"})
	s.outcome(t, s.statement(t, "uuid"), named("customer:uuuuuuuuuuuuuuuuuuuuuu"))
	s.load(t, s.loader(t))
	for _, tt := range []struct {
		call string
		want []string
	}{
		{"'customer', 42", []string{"(t,,saw)", "(f,7,some)", "(f,-1,any)", "(f,-1,running)"}},
		{"'customer', '42'", []string{"(t,,saw)", "(f,7,some)", "(f,-1,any)", "(f,-1,running)"}},
		{"'customer', 'c56a4180-65aa-42ec-a945-5fd21dec0538'::uuid", []string{"(f,7,some)", "(f,-1,any)", "(f,-1,running)", "(t,,uuid)"}},
		{"'customer', 43", []string{"(f,7,some)", "(f,-1,any)", "(f,-1,running)"}},
		{"'employee', 1", []string{"(f,3,nobody)"}},
		{"'customer', 42, since => '2026-11-23'", []string{}},
		{"'customer', 42, until => '2026-11-22'", []string{}},
		{"'customer', NULL::text", []string{"(f,7,some)", "(f,-1,any)", "(f,-1,running)"}},
	} {
		if diff := cmp.Diff(tt.want, s.ask(t, "SELECT certain, at_most, username FROM pgveil.who_saw("+tt.call+")")); diff != "" {
			t.Errorf("who_saw(%s) (-want +got):\n%s", tt.call, diff)
		}
	}
	var files []string
	seen, err := audit.WhoSaw(audit.Read(s.dir, 0), "customer", "aaaaaaaaaaaaaaaaaaaaaa", time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range seen {
		files = append(files, e.User)
	}
	if diff := cmp.Diff([]string{"saw", "some", "any", "running"}, files); diff != "" {
		t.Errorf("WhoSaw of the files (-want +got):\n%s", diff)
	}
}
