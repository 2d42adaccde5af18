package requests_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/regime"
	"github.com/pgveil/pgveil/requests"
)

// TestLifecycle takes a request from its receipt through everybody who looks at
// it.
func TestLifecycle(t *testing.T) {
	s := newScene(t, shopPolicy)
	petra, paul, carl := s.as(t, "petra"), s.as(t, "paul"), s.as(t, "carl")
	received := time.Now().UTC().AddDate(0, 0, -10)
	law, _ := regime.Named("gdpr")
	clock, _ := law.Clock(received, regime.Erasure)
	row := s.must(t, "petra", "PRIVACY OPEN ERASURE person WHERE email = 'person7@example.com' RECEIVED '"+received.Format(time.DateOnly)+"' CHANNEL 'mail' BECAUSE 'letter'")
	id := row[0]
	if row[3] != "open" || row[4] != clock.Due.Format(time.DateOnly) || !strings.Contains(row[5], "account") || !strings.Contains(row[5], "approvals: 1") {
		t.Errorf("opened: %q", row)
	}
	if strings.Contains(strings.Join(row, " "), "person7") {
		t.Errorf("it names the person: %q", row)
	}
	s.refused(t, petra, "PRIVACY RUN REQUEST "+id, privacy.SchemaChanged, "lacks a check of the identity by account, a plan, approvals: 1")
	s.refused(t, paul, "PRIVACY APPROVE REQUEST "+id, privacy.SchemaChanged, "nothing is planned")
	s.must(t, "petra", "PRIVACY VERIFY REQUEST "+id+" BY 'contact'")
	s.refused(t, petra, "PRIVACY RUN REQUEST "+id, privacy.SchemaChanged, "the identity by account")
	s.must(t, "petra", "PRIVACY VERIFY REQUEST "+id+" BY 'account' EVIDENCE 'login of 3 May'")
	s.must(t, "petra", "PRIVACY PLAN REQUEST "+id)
	s.refused(t, petra, "PRIVACY APPROVE REQUEST "+id, privacy.NotAllowed, "nobody approves what they opened")
	unproven := paul
	unproven.Proven = false
	s.refused(t, unproven, "PRIVACY APPROVE REQUEST "+id, privacy.NotAllowed, "known for certain")
	s.refused(t, carl, "PRIVACY APPROVE REQUEST "+id, privacy.NotFound, "no such request")
	s.refused(t, requests.By{User: "x"}, "PRIVACY APPROVE REQUEST "+id, privacy.NotFound, "no such request")
	if row := s.must(t, "paul", "PRIVACY APPROVE REQUEST "+id); row[3] != "ready" || row[5] != "" {
		t.Errorf("approved: %q", row)
	}
	s.refused(t, paul, "PRIVACY APPROVE REQUEST "+id, privacy.NotAllowed, "already")
	s.must(t, "petra", "PRIVACY EXTEND REQUEST "+id+" BECAUSE 'many tables'")
	s.refused(t, petra, "PRIVACY EXTEND REQUEST "+id+" BECAUSE 'more'", privacy.NotAllowed, "once")
	if row := s.must(t, "petra", "PRIVACY DENY REQUEST "+id+" CODE no_match BECAUSE 'somebody else wrote'"); row[3] != "denied" || row[4] != clock.Extended.Format(time.DateOnly) {
		t.Errorf("denied: %q", row)
	}
	s.refused(t, petra, "PRIVACY RUN REQUEST "+id, privacy.SchemaChanged, "it was denied")
	s.refused(t, petra, "PRIVACY SHOW REQUEST 4711", privacy.NotFound, "no such request")
	rows, err := s.ask(t, petra, "PRIVACY SHOW REQUEST "+id)
	if err != nil || len(rows) != 9 || rows[8][2] != "now: denied" {
		t.Errorf("history: %q, %v", rows, err)
	}
	for i, digest := range s.digests {
		if rows[i][4] != digest {
			t.Errorf("event %d has digest %s, the access log has %s", i, rows[i][4], digest)
		}
	}
	if rows, _ := s.ask(t, carl, "PRIVACY SHOW REQUESTS ALL"); len(rows) != 0 {
		t.Errorf("carl may not erase, and sees %q", rows)
	}
}

// TestApprovalsAreOfAPlan: who changes the plan needs new approvals.
func TestApprovalsAreOfAPlan(t *testing.T) {
	s := newScene(t, shopPolicy)
	id := s.must(t, "petra", "PRIVACY ERASE person 7 VERIFIED BY 'account' BECAUSE 'letter'")[0]
	if got := s.state(t, id); got != "open" {
		t.Fatal(got)
	}
	s.exec(t, "UPDATE pgveil.requests SET plan_hash = 'another' WHERE id = "+id)
	s.exec(t, "UPDATE pgveil.request_events SET plan = 'another'")
	s.must(t, "paul", "PRIVACY APPROVE REQUEST "+id)
	if got := s.state(t, id); got != "queued" {
		t.Errorf("approved and at once: %s", got)
	}
	s.exec(t, "UPDATE pgveil.requests SET state = 'open' WHERE id = "+id)
	s.must(t, "petra", "PRIVACY PLAN REQUEST "+id)
	if got := s.state(t, id); got != "open" {
		t.Errorf("after another plan: %s", got)
	}
}

func TestRestrictionAndObjection(t *testing.T) {
	s := newScene(t, shopPolicy)
	restriction := s.must(t, "petra", "PRIVACY OPEN RESTRICTION person 7 VERIFIED BY 'contact' BECAUSE 'accuracy contested'")[0]
	objection := s.must(t, "petra", "PRIVACY OPEN OBJECTION person 8 TO marketing VERIFIED BY 'contact' BECAUSE 'no more'")[0]
	impossible := s.must(t, "petra", "PRIVACY OPEN OBJECTION person 9 TO support VERIFIED BY 'contact' BECAUSE 'no more'")[0]
	for _, id := range []string{restriction, objection, impossible} {
		s.must(t, "petra", "PRIVACY RUN REQUEST "+id)
	}
	s.work(t)
	if got := s.state(t, restriction); got != "completed" {
		t.Errorf("restriction: %s", got)
	}
	if got := s.state(t, objection); got != "completed" {
		t.Errorf("objection: %s", got)
	}
	if got := s.state(t, impossible); !strings.HasPrefix(got, "failed: purpose \"support\" has basis contract") {
		t.Errorf("objection to a contract: %s", got)
	}
	if got := s.one(t, "SELECT string_agg(subject || kind || purpose, ' ' ORDER BY subject) FROM pgveil.person_restrictions"); got != "7restriction 8objectionmarketing" {
		t.Errorf("in force: %s", got)
	}
	if !strings.Contains(s.log.String(), "request_failed") {
		t.Error("nobody was told of what failed")
	}
}

func TestHolds(t *testing.T) {
	s := newScene(t, shopPolicy)
	petra := s.as(t, "petra")
	s.refused(t, s.as(t, "carl"), "PRIVACY HOLD person 7 BECAUSE 'case 7'", privacy.NotAllowed, "may not hold")
	s.refused(t, petra, "PRIVACY HOLD person 4711 BECAUSE 'case 7'", privacy.NotFound, "no such person")
	s.refused(t, petra, "PRIVACY HOLD TABLE shop.order BECAUSE 'case 7'", privacy.NotFound, "no such table")
	s.refused(t, petra, "PRIVACY HOLD TABLE shop.orders UNTIL 'soon' BECAUSE 'case 7'", privacy.BadKey, "UNTIL")
	id := s.must(t, "petra", "PRIVACY HOLD person WHERE email = 'person7@example.com' BECAUSE 'case 7'")[0]
	s.must(t, "petra", "PRIVACY HOLD TABLE shop.orders UNTIL '2999-01-01' BECAUSE 'audit'")
	rows, err := s.ask(t, petra, "PRIVACY SHOW HOLDS")
	if err != nil || len(rows) != 2 || rows[0][2] != "7" || rows[1][3] != "shop.orders" || rows[1][7] == "" {
		t.Errorf("%q, %v", rows, err)
	}
	s.must(t, "petra", "PRIVACY LIFT HOLD "+id+" BECAUSE 'settled'")
	s.refused(t, petra, "PRIVACY LIFT HOLD "+id+" BECAUSE 'settled'", privacy.NotFound, "no such hold")
	if len(s.digests) != 3 {
		t.Errorf("the access log heard of %d changes", len(s.digests))
	}
}

func TestReminders(t *testing.T) {
	s := newScene(t, shopPolicy)
	s.must(t, "petra", "PRIVACY OPEN ACCESS person 7 RECEIVED '2026-11-01'")
	at := func(day string) time.Time {
		d, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, tt := range []struct{ day, says string }{
		{"2026-11-10", ""}, {"2026-11-17", "request_due"}, {"2026-11-18", ""}, {"2026-11-26", "request_due"}, {"2026-12-01", "request_due"},
		{"2026-12-02", "request_overdue"}, {"2027-01-01", ""},
	} {
		s.log.Reset()
		if err := s.worker.Remind(t.Context(), at(tt.day)); err != nil {
			t.Fatal(err)
		}
		if got := s.log.String(); (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) {
			t.Errorf("%s: %q, want %q", tt.day, got, tt.says)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	s := newScene(t, shopPolicy)
	petra := s.as(t, "petra")
	for sql, want := range map[string]privacy.Code{
		"PRIVACY OPEN ACCESS person 4711":                                    privacy.NotFound,
		"PRIVACY OPEN ACCESS persson 7":                                      privacy.NoSubject,
		"PRIVACY OPEN ACCESS person WHERE phone = 'x'":                       privacy.NoColumn,
		"PRIVACY OPEN ACCESS person 'seven'":                                 privacy.BadKey,
		"PRIVACY OPEN ACCESS person 7 REGIME 'gpdr'":                         privacy.NoSubject,
		"PRIVACY OPEN ERASURE person 7 REGIME 'hipaa'":                       privacy.NotAvailable,
		"PRIVACY OPEN ACCESS person 7 RECEIVED 'soon'":                       privacy.BadKey,
		"PRIVACY OPEN ACCESS person 7 RECEIVED '2999-01-01'":                 privacy.BadKey,
		"PRIVACY OPEN ACCESS person 7 RECEIVED '-infinity'":                  privacy.BadKey,
		"PRIVACY ERASE person 4711 VERIFIED BY 'account' BECAUSE 'x'":        privacy.NotFound,
		"PRIVACY RECTIFY person 4711 SET email = 'x' BECAUSE 'x'":            privacy.NotFound,
		"PRIVACY OPEN RECTIFICATION nobody 7 SET email = 'x'":                privacy.NoSubject,
		"PRIVACY OPEN OBJECTION person 4711 TO marketing BECAUSE 'no more'":  privacy.NotFound,
		"PRIVACY OPEN PORTABILITY person WHERE email = 'x@y.z' CHANNEL 'ab'": privacy.NotFound,
	} {
		s.refused(t, petra, sql, want, "")
	}
	if n := s.one(t, "SELECT count(*)::text FROM pgveil.requests"); n != "0" {
		t.Errorf("%s requests were written down all the same", n)
	}
	s.refused(t, s.as(t, "carl"), "PRIVACY OPEN ERASURE person 7", privacy.NotAllowed, "may not erase")
}

func TestRectification(t *testing.T) {
	s := newScene(t, shopPolicy)
	ok := s.must(t, "petra", "PRIVACY RECTIFY person 7 SET email = 'new@example.com', phone = NULL VERIFIED BY 'contact' BECAUSE 'letter'")
	if ok[3] != "queued" {
		t.Fatalf("opened: %q", ok)
	}
	row := s.must(t, "petra", "PRIVACY RECTIFY person 7 IN shop.orders 6 SET note = 'ring twice' VERIFIED BY 'contact' BECAUSE 'letter'")[0]
	bad := s.must(t, "petra", "PRIVACY RECTIFY person 8 SET email = 'person9@example.com' VERIFIED BY 'contact' BECAUSE 'letter'")[0]
	other := s.must(t, "petra", "PRIVACY RECTIFY person 7 IN shop.orders 1 SET note = 'x' VERIFIED BY 'contact' BECAUSE 'letter'")[0]
	if n := s.one(t, "SELECT count(*)::text FROM pgveil.requests AS r WHERE r::text ~ 'example.com|ring twice'"); n != "0" {
		t.Errorf("%s requests hold their values in clear", n)
	}
	s.work(t)
	for id, want := range map[string]string{ok[0]: "completed", row: "completed", bad: "failed: ", other: "failed: "} {
		if got := s.state(t, id); !strings.HasPrefix(got, want) || strings.Contains(got, "person9") {
			t.Errorf("request %s: %s, want %s", id, got, want)
		}
	}
	if got := s.one(t, "SELECT email || coalesce(phone, '-') || (SELECT note FROM shop.orders WHERE id = 6) FROM shop.persons WHERE id = 7"); got != "new@example.com-ring twice" {
		t.Errorf("it is now %s", got)
	}
	if n := s.one(t, "SELECT count(*)::text FROM pgveil.requests WHERE state = 'completed' AND asked IS NOT NULL"); n != "0" {
		t.Errorf("%s requests keep what was asked for", n)
	}
}

func TestExplain(t *testing.T) {
	s := newScene(t, shopPolicy)
	if got := s.must(t, "carl", "PRIVACY EXPLAIN person")[0]; !strings.Contains(got, "shop.orders") {
		t.Errorf("as text: %s", got)
	}
	if got := s.must(t, "carl", "PRIVACY EXPLAIN person AS SVG")[0]; !strings.HasPrefix(got, "<svg") {
		t.Errorf("as SVG: %.100s", got)
	}
	if got := s.must(t, "carl", "PRIVACY EXPLAIN person AS DOT")[0]; !strings.HasPrefix(got, "digraph") {
		t.Errorf("as DOT: %.100s", got)
	}
}
