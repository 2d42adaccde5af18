package regime

import (
	"slices"
	"time"
)

// Span is how long something may take, in the units that laws count in.
type Span struct {
	Months, Days int // of the calendar
	Working      int // days from Monday to Friday
}

// After gives the last day of a span that begins with a moment. Spans of months
// end with the day of the same number, or with the last of the month (Regulation
// (EEC, Euratom) No 1182/71, Article 3(2)(c)).
func (s Span) After(from time.Time) time.Time {
	year, month, day := from.Date()
	end := time.Date(year, month+time.Month(s.Months), 1, 0, 0, 0, 0, from.Location())
	end = end.AddDate(0, 0, min(day, daysIn(end))-1+s.Days)
	for left := s.Working; left > 0; {
		if end = end.AddDate(0, 0, 1); end.Weekday() != time.Saturday && end.Weekday() != time.Sunday {
			left--
		}
	}
	return end
}

func daysIn(month time.Time) int { return month.AddDate(0, 1, -month.Day()).Day() }

// Right is what a data subject asks for, as far as laws set it a time of its own.
type Right uint8

// The rights. The zero Right has no time.
const (
	Access     Right = iota + 1 // and portability
	Correction                  // and restriction and objection
	Erasure
)

// Regime is one law's times. A zero Span is none.
type Regime struct {
	Name      string
	Law       string
	Answer    map[Right]Span
	Extension Span // beyond the answer's, once, when the data subject is told why within the answer's
	Confirm   Span // by when receipt is to be confirmed
	Records   Span // how long records of requests are kept at least
}

// regimes are the laws that are known.
var regimes = []Regime{
	{
		Name: "gdpr", Law: "Regulation (EU) 2016/679, Article 12(3)",
		Answer:    map[Right]Span{Access: {Months: 1}, Correction: {Months: 1}, Erasure: {Months: 1}},
		Extension: Span{Months: 2},
	},
	{
		Name: "uk_gdpr", Law: "UK GDPR, Article 12(3); Data Protection Act 2018",
		Answer:    map[Right]Span{Access: {Months: 1}, Correction: {Months: 1}, Erasure: {Months: 1}},
		Extension: Span{Months: 2},
	},
	{
		Name: "ccpa", Law: "California, 11 CCR § 7021; Civil Code § 1798.130",
		Answer:    map[Right]Span{Access: {Days: 45}, Correction: {Days: 45}, Erasure: {Days: 45}},
		Extension: Span{Days: 45}, Confirm: Span{Working: 10}, Records: Span{Months: 24},
	},
	{
		Name: "lgpd", Law: "Lei nº 13.709/2018, Articles 18 and 19",
		Answer: map[Right]Span{Access: {Days: 15}, Correction: {Days: 15}, Erasure: {Days: 15}},
	},
	{
		Name: "hipaa", Law: "45 CFR §§ 164.524 and 164.526",
		Answer:    map[Right]Span{Access: {Days: 30}, Correction: {Days: 60}},
		Extension: Span{Days: 30}, Records: Span{Months: 72},
	},
}

// Default is the regime of whoever names none.
const Default = "gdpr"

// Named gives the regime with a name; that of "" is Default.
func Named(name string) (r Regime, ok bool) {
	if name == "" {
		name = Default
	}
	i := slices.IndexFunc(regimes, func(r Regime) bool { return r.Name == name })
	if i < 0 {
		return Regime{}, false
	}
	return regimes[i], true
}

// Names gives the names of all regimes.
func Names() []string {
	var names []string
	for _, r := range regimes {
		names = append(names, r.Name)
	}
	return names
}

// Clock is by when a request is to be answered.
type Clock struct {
	Due      time.Time // the last day
	Extended time.Time // the last day of an extension; zero: there is none
	Confirm  time.Time // the last day to confirm receipt; zero: nobody need
}

// Clock gives the times of a request that was received at a moment; ok is false
// where the law knows no such right.
func (r Regime) Clock(received time.Time, right Right) (c Clock, ok bool) {
	span, ok := r.Answer[right]
	if !ok {
		return Clock{}, false
	}
	c.Due = span.After(received)
	if r.Extension != (Span{}) {
		both := Span{Months: span.Months + r.Extension.Months, Days: span.Days + r.Extension.Days}
		c.Extended = both.After(received)
	}
	if r.Confirm != (Span{}) {
		c.Confirm = r.Confirm.After(received)
	}
	return c, true
}

// Used gives how much of the time is over at a moment: 0 at receipt, 1 with the
// end of the last day, and more when it is late.
func (c Clock) Used(received, now time.Time) float64 {
	end := c.Due.AddDate(0, 0, 1)
	return float64(now.Sub(received)) / float64(end.Sub(received))
}
