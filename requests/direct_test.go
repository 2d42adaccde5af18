package requests_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/privacy"
)

// TestDirectCommands: what the policy wants looked at is not done at once by who
// calls it something else.
func TestDirectCommands(t *testing.T) {
	commands := map[string]string{
		"access":      "PRIVACY EXPORT person 7",
		"portability": "PRIVACY EXPORT person WHERE email = 'person7@example.com'",
		"restriction": "PRIVACY RESTRICT person 7 BECAUSE 'contested'",
		"objection":   "PRIVACY OBJECT person 7 TO marketing BECAUSE 'no more'",
	}
	silent := newScene(t, shopPolicy)
	for _, sql := range commands {
		silent.must(t, "petra", sql)
	}
	for what, sql := range commands {
		for _, need := range []string{"identity: contact", "approvals: 1"} {
			s := newScene(t, strings.Replace(shopPolicy, "\nroles:", "\n  "+what+": {"+need+"}\nroles:", 1))
			for _, other := range commands {
				switch {
				case other == sql, strings.HasPrefix(other, "PRIVACY EXPORT") && strings.HasPrefix(sql, "PRIVACY EXPORT"):
					s.refused(t, s.as(t, "petra"), other, privacy.NotAllowed, "PRIVACY OPEN "+strings.ToUpper(what))
				default:
					s.must(t, "petra", other)
				}
			}
		}
	}
	s := newScene(t, strings.Replace(shopPolicy, "\nroles:", "\n  restriction: {identity: contact}\nroles:", 1))
	id := s.must(t, "petra", "PRIVACY OPEN RESTRICTION person 7 VERIFIED BY 'contact' BECAUSE 'contested'")[0]
	s.must(t, "petra", "PRIVACY RUN REQUEST "+id)
	erasure := s.erased(t, "8")
	s.work(t)
	for _, id := range []string{id, erasure} {
		if got := s.state(t, id); got != "completed" {
			t.Errorf("as a request: %s", got)
		}
	}
}

// TestNumbersTellNothing: who may not serve a request gets the answer of a number
// that none has, whatever they ask.
func TestNumbersTellNothing(t *testing.T) {
	s := newScene(t, shopPolicy)
	s.must(t, "petra", "PRIVACY OPEN ERASURE person 7")
	carl := s.as(t, "carl")
	for _, sql := range []string{
		"PRIVACY SHOW REQUEST #", "PRIVACY SHOW CERTIFICATE #", "PRIVACY PLAN REQUEST #", "PRIVACY APPROVE REQUEST #", "PRIVACY RUN REQUEST #",
		"PRIVACY VERIFY REQUEST # BY 'contact'", "PRIVACY DENY REQUEST # CODE other BECAUSE 'x'", "PRIVACY CANCEL REQUEST # BECAUSE 'x'",
		"PRIVACY EXTEND REQUEST # BECAUSE 'x'",
	} {
		_, there := s.ask(t, carl, strings.Replace(sql, "#", "1", 1))
		_, none := s.ask(t, carl, strings.Replace(sql, "#", "4711", 1))
		if there == nil || !reflect.DeepEqual(there, none) {
			t.Errorf("%s: %v, and where there is none %v", sql, there, none)
		}
	}
	_, there := s.service.Look(t.Context(), 1, carl)
	if _, none := s.service.Look(t.Context(), 4711, carl); there == nil || !reflect.DeepEqual(there, none) {
		t.Errorf("looked at: %v, and where there is none %v", there, none)
	}
}
