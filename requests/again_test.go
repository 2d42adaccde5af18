package requests_test

import (
	"testing"
)

// TestOthersGoOn stops the worker at each thing that it writes down about requests
// that erase nobody, and lets another one go on.
func TestOthersGoOn(t *testing.T) {
	for _, sql := range []string{
		"PRIVACY OPEN RESTRICTION person 7 VERIFIED BY 'contact' BECAUSE 'x'",
		"PRIVACY OPEN OBJECTION person 7 TO marketing VERIFIED BY 'contact' BECAUSE 'x'",
		"PRIVACY OPEN RECTIFICATION person 7 SET email = 'new@example.com' VERIFIED BY 'contact' BECAUSE 'x'",
	} {
		for stop := 1; ; stop++ {
			s := newScene(t, shopPolicy)
			id := s.must(t, "petra", sql)[0]
			s.must(t, "petra", "PRIVACY RUN REQUEST "+id)
			stopped := s.workUntil(t, stop)
			s.work(t)
			if got := s.state(t, id); got != "completed" {
				t.Errorf("%s, stopped at %d: %s", sql, stop, got)
			}
			if n := s.one(t, "SELECT count(*)::text FROM pgveil.person_restrictions"); n > "1" {
				t.Errorf("%s, stopped at %d: %s are in force", sql, stop, n)
			}
			if !stopped {
				break
			}
		}
	}
}
