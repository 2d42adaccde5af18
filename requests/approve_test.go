package requests_test

import (
	"strings"
	"testing"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// TestFourEyesOfTwoPersons: who opens a request in a name that is not proven may
// be the one who approves it, and so it takes another approval.
func TestFourEyesOfTwoPersons(t *testing.T) {
	s := newScene(t, shopPolicy)
	unproven := s.as(t, "petra")
	unproven.Proven = false
	rows, err := s.ask(t, unproven, "PRIVACY ERASE person 7 VERIFIED BY 'account' BECAUSE 'letter'")
	if err != nil {
		t.Fatal(err)
	}
	id := rows[0][0]
	if rows[0][5] != "approvals: 2" {
		t.Errorf("opened by nobody who is known: it lacks %q", rows[0][5])
	}
	if row := s.must(t, "paul", "PRIVACY APPROVE REQUEST "+id); row[3] != "open" || row[5] != "approvals: 1" {
		t.Errorf("approved by who may have opened it: %q", row)
	}
	s.refused(t, s.as(t, "paul"), "PRIVACY APPROVE REQUEST "+id, privacy.NotAllowed, "already")
	s.refused(t, s.as(t, "petra"), "PRIVACY APPROVE REQUEST "+id, privacy.NotAllowed, "nobody approves what they opened")
	if row := s.must(t, "olga", "PRIVACY APPROVE REQUEST "+id); row[3] != "queued" {
		t.Errorf("approved by two: %q", row)
	}
	if got := s.one(t, "SELECT what FROM pgveil.request_events WHERE seq = 1 AND request = "+id); got != "opened, in a name that nobody has proven" {
		t.Errorf("its history begins with %q", got)
	}
	rows, err = s.ask(t, unproven, "PRIVACY OPEN ACCESS person 7 VERIFIED BY 'contact'")
	if err != nil || rows[0][3] != "ready" {
		t.Errorf("where the policy wants no approval: %q, %v", rows, err)
	}
}

// TestDespiteTakesOthers: that something may stay takes as many persons as the
// erasure took, and they agree to the places and rows that were shown.
func TestDespiteTakesOthers(t *testing.T) {
	s := newScene(t, shopPolicy)
	s.exec(t, "INSERT INTO shop.notes VALUES (7, 'called person7@example.com back')")
	id := s.erased(t, "7")
	s.work(t)
	s.refused(t, s.as(t, "paul"), "PRIVACY APPROVE REQUEST "+id, privacy.SchemaChanged, "this one is review")
	if row := s.must(t, "paul", "PRIVACY RUN REQUEST "+id+" DESPITE 'a court wants it'"); row[3] != "review" || row[5] != "approvals: 1" {
		t.Errorf("one person said so: %q", row)
	}
	s.work(t)
	if got := s.state(t, id); !strings.HasPrefix(got, "review") {
		t.Fatalf("one person ended it: %s", got)
	}
	s.refused(t, s.as(t, "paul"), "PRIVACY APPROVE REQUEST "+id, privacy.NotAllowed, "nobody approves the reason that they gave")
	s.must(t, "petra", "PRIVACY RUN REQUEST "+id) // which takes it back
	s.exec(t, "INSERT INTO shop.notes VALUES (8, 'and person7@example.com again')")
	s.work(t)
	s.refused(t, s.as(t, "olga"), "PRIVACY APPROVE REQUEST "+id, privacy.SchemaChanged, "this one is review")
	unproven := s.as(t, "petra")
	unproven.Proven = false
	if rows, err := s.ask(t, unproven, "PRIVACY RUN REQUEST "+id+" DESPITE 'a court wants both'"); err != nil || rows[0][5] != "approvals: 2" {
		t.Errorf("said by nobody who is known: %q, %v", rows, err)
	}
	s.must(t, "paul", "PRIVACY APPROVE REQUEST "+id)
	if rows, _ := s.ask(t, s.as(t, "petra"), "PRIVACY SHOW REQUEST "+id); rows[len(rows)-3][3] != "approvals: 1" {
		t.Errorf("its history does not say what it lacks: %q", rows[len(rows)-3])
	}
	if row := s.must(t, "olga", "PRIVACY APPROVE REQUEST "+id); row[3] != "queued" {
		t.Errorf("approved by two: %q", row)
	}
	s.work(t)
	if got := s.state(t, id); got != "completed" {
		t.Errorf("as others agreed: %s", got)
	}
}

// TestDespiteIsApprovedAsShown: approvals of a reason are of what was left when it was given.
func TestDespiteIsApprovedAsShown(t *testing.T) {
	s := newScene(t, strings.Replace(shopPolicy, "approvals: 1", "approvals: 2", 1))
	s.exec(t, "INSERT INTO shop.notes VALUES (7, 'called person7@example.com back')")
	id := s.must(t, "petra", "PRIVACY ERASE person 7 VERIFIED BY 'account' BECAUSE 'letter'")[0]
	s.must(t, "paul", "PRIVACY APPROVE REQUEST "+id)
	s.must(t, "olga", "PRIVACY APPROVE REQUEST "+id)
	s.work(t)
	s.must(t, "petra", "PRIVACY RUN REQUEST "+id+" DESPITE 'a court wants it'")
	s.must(t, "paul", "PRIVACY APPROVE REQUEST "+id)
	s.must(t, "petra", "PRIVACY RUN REQUEST "+id+" DESPITE 'it is in the way'")
	if row := s.must(t, "olga", "PRIVACY APPROVE REQUEST "+id); row[3] != "review" || row[5] != "approvals: 1" {
		t.Errorf("an approval of another reason counted: %q", row)
	}
	s.exec(t, `UPDATE pgveil.requests SET outcome = jsonb_set(outcome, '{seen,shop.notes.body}', '5') WHERE id = `+id)
	if row := s.must(t, "paul", "PRIVACY APPROVE REQUEST "+id); row[3] != "review" || row[5] != "approvals: 1" {
		t.Errorf("an approval of other rows counted: %q", row)
	}
}

// TestApprovalsNameThePlan: who looked at one plan does not agree to another.
func TestApprovalsNameThePlan(t *testing.T) {
	s := newScene(t, strings.Replace(shopPolicy, "approvals: 1", "approvals: 1, approve: plan", 1))
	row := s.must(t, "petra", "PRIVACY ERASE person 7 VERIFIED BY 'account' BECAUSE 'letter'")
	id, plan := row[0], row[7]
	if hash := s.one(t, "SELECT plan_hash FROM pgveil.requests WHERE id = "+id); len(plan) != 12 || !strings.HasPrefix(hash, plan) {
		t.Errorf("shown %q of plan %s", plan, hash)
	}
	s.refused(t, s.as(t, "paul"), "PRIVACY APPROVE REQUEST "+id, privacy.Syntax, "which plan is approved")
	s.refused(t, s.as(t, "paul"), "PRIVACY APPROVE REQUEST "+id+" PLAN '"+plan[:7]+"'", privacy.Syntax, "not followed by the hash")
	s.refused(t, s.as(t, "paul"), "PRIVACY APPROVE REQUEST "+id+" PLAN '%%%%%%%%'", privacy.Syntax, "not followed by the hash")
	s.exec(t, "UPDATE pgveil.requests SET plan_hash = 'f00d' || plan_hash WHERE id = "+id)
	s.refused(t, s.as(t, "paul"), "PRIVACY APPROVE REQUEST "+id+" PLAN '"+plan+"'", privacy.SchemaChanged, "the plan is another now")
	if row := s.must(t, "petra", "PRIVACY PLAN REQUEST "+id); row[len(row)-1] != plan {
		t.Errorf("planned again: %q", row)
	}
	if rows, _ := s.ask(t, s.as(t, "paul"), "PRIVACY SHOW REQUEST "+id); rows[len(rows)-4][3] != plan {
		t.Errorf("shown: %q", rows)
	}
	if row := s.must(t, "paul", "PRIVACY APPROVE REQUEST "+id+" PLAN '"+strings.ToUpper(plan)+"'"); row[3] != "queued" {
		t.Errorf("approved: %q", row)
	}
}

// TestRectificationsShowColumns: others see what is to be changed, and not to what.
func TestRectificationsShowColumns(t *testing.T) {
	s := newScene(t, shopPolicy)
	for sql, want := range map[string]string{
		"SET email = 'new@example.com', phone = NULL": "shop.persons 1 rectification  columns: email, phone",
		"IN shop.orders 6 SET note = 'ring twice'":    "shop.orders 1 rectification  columns: note",
	} {
		id := s.must(t, "petra", "PRIVACY OPEN RECTIFICATION person 7 "+sql)[0]
		row := s.must(t, "paul", "PRIVACY PLAN REQUEST "+id)
		if got := strings.Join(row[:5], " "); got != want {
			t.Errorf("%s: planned %q, want %q", sql, got, want)
		}
		if n := s.one(t, "SELECT count(*)::text FROM pgveil.requests AS r WHERE r::text ~ 'new@example|ring twice' AND id = "+id); n != "0" {
			t.Errorf("%s: the plan holds a value", sql)
		}
	}
}

// TestOlderTables: tables that an earlier pgveil made are brought up to date by the
// schema, and until then it is said what to do.
func TestOlderTables(t *testing.T) {
	s := newScene(t, shopPolicy)
	id := s.must(t, "petra", "PRIVACY ERASE person 7 VERIFIED BY 'account' BECAUSE 'letter'")[0]
	s.exec(t, "ALTER TABLE pgveil.requests DROP opener_proven, DROP despite_by, DROP despite_proven")
	s.refused(t, s.as(t, "petra"), "PRIVACY SHOW REQUEST "+id, privacy.NotAvailable, "schema --apply")
	s.exec(t, state.Schema())
	if row := s.must(t, "paul", "PRIVACY APPROVE REQUEST "+id); row[5] != "approvals: 1" {
		t.Errorf("nobody knows who opened it, and it lacks %q", row[5])
	}
}
