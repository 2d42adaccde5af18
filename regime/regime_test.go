package regime

import (
	"testing"
	"time"
)

func day(t *testing.T, s string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestClock(t *testing.T) {
	for _, tt := range []struct {
		law                string
		right              Right
		received           string
		due, ext, confirms string // "": none
	}{
		{"gdpr", Access, "2026-11-22", "2026-12-22", "2027-02-22", ""},
		{"", Erasure, "2027-01-31", "2027-02-28", "2027-04-30", ""}, // the month has no such day
		{"gdpr", Erasure, "2028-01-30", "2028-02-29", "2028-04-30", ""},
		{"uk_gdpr", Correction, "2026-12-31", "2027-01-31", "2027-03-31", ""},
		{"ccpa", Erasure, "2026-11-22", "2027-01-06", "2027-02-20", "2026-12-04"}, // a Sunday: the tenth working day is a Friday
		{"ccpa", Access, "2026-11-20", "2027-01-04", "2027-02-18", "2026-12-04"},
		{"lgpd", Access, "2026-11-22", "2026-12-07", "", ""},
		{"hipaa", Access, "2026-11-22", "2026-12-22", "2027-01-21", ""},
		{"hipaa", Correction, "2026-11-22", "2027-01-21", "2027-02-20", ""},
	} {
		law, ok := Named(tt.law)
		if !ok {
			t.Fatal(tt.law)
		}
		c, ok := law.Clock(day(t, tt.received).Add(15*time.Hour), tt.right)
		show := func(d time.Time) string {
			if d.IsZero() {
				return ""
			}
			return d.Format(time.DateOnly)
		}
		if !ok || show(c.Due) != tt.due || show(c.Extended) != tt.ext || show(c.Confirm) != tt.confirms {
			t.Errorf("%s, received %s: due %s, extended %s, confirm %s", tt.law, tt.received, show(c.Due), show(c.Extended), show(c.Confirm))
		}
	}
}

func TestWhatIsNotThere(t *testing.T) {
	if _, ok := Named("gdpr2"); ok {
		t.Error("a law that nobody wrote")
	}
	law, _ := Named("hipaa")
	if _, ok := law.Clock(time.Now(), Erasure); ok {
		t.Error("HIPAA knows no general right to erasure")
	}
	if _, ok := law.Clock(time.Now(), 0); ok {
		t.Error("the zero Right has a time")
	}
}

func TestUsed(t *testing.T) {
	received := day(t, "2026-11-01")
	c := Clock{Due: day(t, "2026-11-10")}
	for at, want := range map[string]float64{"2026-11-01": 0, "2026-11-06": 0.5, "2026-11-11": 1, "2026-11-21": 2} {
		if got := c.Used(received, day(t, at)); got != want {
			t.Errorf("%s: %v, want %v", at, got, want)
		}
	}
}
