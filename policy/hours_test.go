package policy

import (
	"strings"
	"testing"
	"time"
)

func mustHours(t testing.TB, texts ...string) hours {
	t.Helper()
	var all hours
	for _, text := range texts {
		w, err := parseWindow(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	return all
}

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	found, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestHours(t *testing.T) {
	const office, night, berlin = "mon-fri 08:00-18:00 Europe/Berlin", "fri,sun 22:00-06:00 UTC", "sun 01:00-02:30 Europe/Berlin"
	for _, tt := range []struct {
		name, hours, at string
		open            bool
		next            string // "" for none
	}{
		{"the first moment", office, "2026-11-23T08:00:00+01:00", true, "2026-11-23T18:00:00+01:00"},
		{"the moment before", office, "2026-11-23T07:59:59.999+01:00", false, "2026-11-23T08:00:00+01:00"},
		{"the last moment", office, "2026-11-23T17:59:59+01:00", true, "2026-11-23T18:00:00+01:00"},
		{"the end", office, "2026-11-23T18:00:00+01:00", false, "2026-11-24T08:00:00+01:00"},
		{"over the weekend", office, "2026-11-20T18:00:00+01:00", false, "2026-11-23T08:00:00+01:00"},
		{"another zone's Monday", office, "2026-11-23T01:00:00+05:30", false, "2026-11-23T08:00:00+01:00"},
		{"summer", office, "2026-07-01T07:30:00+02:00", false, "2026-07-01T08:00:00+02:00"},

		{"into the night", night, "2026-11-20T23:00:00Z", true, "2026-11-21T06:00:00Z"},
		{"the morning after", night, "2026-11-21T05:59:00Z", true, "2026-11-21T06:00:00Z"},
		{"the evening after", night, "2026-11-21T22:30:00Z", false, "2026-11-22T22:00:00Z"},
		{"the end of the week", night, "2026-11-23T00:00:00Z", true, "2026-11-23T06:00:00Z"},
		{"the morning of the day itself", night, "2026-11-20T05:00:00Z", false, "2026-11-20T22:00:00Z"},

		{"a whole day", "sat 00:00-24:00 UTC", "2026-11-21T23:59:59Z", true, "2026-11-22T00:00:00Z"},
		{"and the next", "sat 00:00-24:00 UTC", "2026-11-22T00:00:00Z", false, "2026-11-28T00:00:00Z"},
		{"days around the week's end", "sat-mon 09:00-10:00 UTC", "2026-11-22T09:30:00Z", true, "2026-11-22T10:00:00Z"},
		{"all days but one", "thu-tue 09:00-10:00 UTC", "2026-11-25T09:30:00Z", false, "2026-11-26T09:00:00Z"},

		{"the hour that there is not", "sun 02:00-03:00 Europe/Berlin", "2026-03-29T01:59:59+01:00", false, "2026-03-29T01:00:00Z"},
		{"after it", "sun 02:00-03:00 Europe/Berlin", "2026-03-29T03:00:00+02:00", false, "2026-04-05T02:00:00+02:00"},
		{"a window over it", "sun 01:00-04:00 Europe/Berlin", "2026-03-29T01:30:00+01:00", true, "2026-03-29T01:00:00Z"},
		{"its end", "sun 01:00-04:00 Europe/Berlin", "2026-03-29T03:30:00+02:00", true, "2026-03-29T04:00:00+02:00"},
		{"the day after", office, "2026-03-30T07:30:00+02:00", false, "2026-03-30T08:00:00+02:00"},
		{"the hour that there is twice", berlin, "2026-10-25T02:29:00+02:00", true, "2026-10-25T02:30:00+02:00"},
		{"between", berlin, "2026-10-25T02:31:00+02:00", false, "2026-10-25T01:00:00Z"},
		{"again", berlin, "2026-10-25T02:15:00+01:00", true, "2026-10-25T02:30:00+01:00"},
		{"and over", berlin, "2026-10-25T02:30:00+01:00", false, "2026-11-01T01:00:00+01:00"},
		{"the days around the change", office, "2026-10-26T07:30:00+01:00", false, "2026-10-26T08:00:00+01:00"},
		{"half an hour's change", "sun 01:00-03:00 Australia/Lord_Howe", "2026-10-04T02:45:00+11:00", true, "2026-10-04T03:00:00+11:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, at := mustHours(t, tt.hours), moment(t, tt.at)
			if got := h.open(at); got != tt.open {
				t.Errorf("at %s it is open: %t, want %t", tt.at, got, tt.open)
			}
			if got := h.next(at); !got.Equal(moment(t, tt.next)) {
				t.Errorf("after %s it changes at %s, want %s", tt.at, got, tt.next)
			}
		})
	}
	if always := hours(nil); !always.open(testDay) || !always.next(testDay).IsZero() {
		t.Error("no hours are not always")
	}
}

// Between one change and the next nothing changes, at no minute of weeks in
// which clocks are set in many ways.
func TestHoursChangeOnlyThen(t *testing.T) {
	for _, tt := range []struct{ zone, from string }{
		{"Europe/Berlin", "2026-03-26T00:00:00Z"}, {"Europe/Berlin", "2026-10-22T00:00:00Z"},
		{"America/St_Johns", "2026-03-05T00:00:00Z"}, {"Australia/Lord_Howe", "2026-10-01T00:00:00Z"},
		{"Africa/Casablanca", "2026-02-12T00:00:00Z"}, {"Pacific/Apia", "2011-12-28T00:00:00Z"}, // which left a day out
		{"Asia/Kathmandu", "2026-01-01T00:00:00Z"},
	} {
		for _, texts := range [][]string{
			{"mon-fri 08:00-18:00 "}, {"sun 01:30-02:30 "}, {"sat,sun 23:30-02:15 "}, {"mon-sun 00:00-24:00 "}, {"fri 20:00-19:00 ", "mon 02:00-03:00 "},
		} {
			var all []string
			for _, text := range texts {
				all = append(all, text+tt.zone)
			}
			h := mustHours(t, all...)
			at := moment(t, tt.from)
			open, next := h.open(at), h.next(at)
			for range 10 * fullDay {
				at = at.Add(time.Minute)
				if next.After(at) {
					if h.open(at) != open || !h.next(at).Equal(next) {
						t.Fatalf("%s changes at %s, before %s", h, at, next)
					}
					continue
				}
				if !next.Equal(at) {
					t.Fatalf("%s changes at %s, which is over at %s", h, next, at)
				}
				open, next = h.open(at), h.next(at)
			}
		}
	}
}

func TestParseWindowRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "is not days, times and a time zone",
		"mon-fri":                          "is not days, times and a time zone",
		"mon-fri 08:00-18:00":              "is not days, times and a time zone",
		"mon-fri 08:00 - 18:00 UTC":        "is not days, times and a time zone",
		"mon-fry 08:00-18:00 UTC":          `"mon-fry" is not a day`,
		"Mon 08:00-18:00 UTC":              `"Mon" is not a day`,
		"mon, 08:00-18:00 UTC":             `"" is not a day`,
		"mon-tue-wed 08:00-18:00 UTC":      `"mon-tue-wed" is not a day`,
		"mon 8:00-18:00 UTC":               "is not two times",
		"mon 08:00 UTC":                    "is not two times",
		"mon 08:00-25:00 UTC":              "is not two times",
		"mon 08:00-24:01 UTC":              "is not two times",
		"mon 08:00-08:00 UTC":              "is not two times",
		"mon 24:00-08:00 UTC":              "is not two times",
		"mon 08:00-18:00-20:00 UTC":        "is not two times",
		"mon 08:00-18:00 Local":            `unknown time zone "Local"`,
		"mon 08:00-18:00 Berlin":           `unknown time zone "Berlin"`,
		"mon 08:00-18:00 ../../etc/passwd": "unknown time zone",
		"mon 08:00-18:00 /etc/localtime":   "unknown time zone",
	} {
		if _, err := parseWindow(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
