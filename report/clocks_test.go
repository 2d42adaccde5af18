package report

import (
	"testing"
	"time"
)

func TestSpans(t *testing.T) {
	dublin, err := ParseZone("Europe/Dublin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		t.Helper()
		v, err := time.ParseInLocation("2006-01-02 15:04:05", text, dublin)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tt := range []struct{ within, from, want string }{
		{"72h", "2026-11-22 08:15:00", "2026-11-25 08:15:00"},
		{"72h", "2026-10-24 08:15:00", "2026-10-27 07:15:00"}, // clocks go back: 72 hours are 72 hours
		{"30d", "2026-11-22 23:59:59", "2026-12-22 23:59:59"},
		{"60d", "2026-12-31 00:00:00", "2027-03-01 23:59:59"},
		{"3wd", "2026-11-20 10:00:00", "2026-11-25 23:59:59"}, // a Friday
		{"3wd", "2026-11-21 10:00:00", "2026-11-25 23:59:59"}, // a Saturday
		{"1wd", "2026-11-19 10:00:00", "2026-11-20 23:59:59"},
	} {
		s, err := parseWithin(tt.within)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.from(at(tt.from)); !got.Equal(at(tt.want)) {
			t.Errorf("%s from %s is %s, want %s", tt.within, tt.from, got, tt.want)
		}
	}
}

func TestRegimesRefuse(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"nothing", ""},
		{"no duties", "regimes: [{id: a, name: A}]"},
		{"an unknown key", "regimes: [{id: a, name: A, duties: [{id: x, to: y, source: z, wihtin: 3d}]}]"},
		{"no source", "regimes: [{id: a, name: A, duties: [{id: x, to: y, within: 3d}]}]"},
		{"a time that is none", "regimes: [{id: a, name: A, duties: [{id: x, to: y, source: z, within: 3 days}]}]"},
		{"a time below zero", "regimes: [{id: a, name: A, duties: [{id: x, to: y, source: z, within: -3d}]}]"},
		{"too long a time", "regimes: [{id: a, name: A, duties: [{id: x, to: y, source: z, within: 99999d}]}]"},
		{"after itself", "regimes: [{id: a, name: A, duties: [{id: x, to: y, source: z, within: 3d, after: x}]}]"},
		{"after what has no time", "regimes: [{id: a, name: A, duties: [{id: w, to: y, source: z}, {id: x, to: y, source: z, within: 3d, after: w}]}]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r, err := ParseRegimes([]byte(tt.text)); err == nil {
				t.Errorf("ParseRegimes took it: %+v", r)
			}
		})
	}
	r, err := BuiltinRegimes()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Only([]string{"gdpr", "atlantis"}); err == nil {
		t.Error("a regime that is not there is passed over")
	}
}

func TestScope(t *testing.T) {
	period := Scope{From: alice.From, To: alice.To}
	for _, tt := range []struct {
		name  string
		scope func(*Scope)
		ok    bool
	}{
		{"nobody", func(*Scope) {}, false},
		{"everybody, said so", func(s *Scope) { s.Everyone = true }, true},
		{"a user", func(s *Scope) { s.User = "alice" }, true},
		{"a network", func(s *Scope) { s.Client = "10.0.0.0/8" }, true},
		{"no network", func(s *Scope) { s.Client = "10.0.0.0/99" }, false},
		{"no address", func(s *Scope) { s.Client = "somewhere" }, false},
		{"no beginning", func(s *Scope) { s.User, s.From = "alice", time.Time{} }, false},
		{"the end first", func(s *Scope) { s.User, s.To = "alice", s.From }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := period
			tt.scope(&s)
			if err := s.Check(); (err == nil) != tt.ok {
				t.Errorf("Check(%+v) = %v", s, err)
			}
		})
	}
}
