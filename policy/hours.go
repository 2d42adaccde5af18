package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the hours of a policy need no time zones of the machine

	"go.yaml.in/yaml/v4"
)

// hours are when a role or a user counts: in any of the windows. No hours are
// always.
type hours []window

// window is a stretch of time on days of the week, as clocks in a zone show it.
// Where they are set back it may be there twice, where they are set forward not
// at all.
type window struct {
	text     string // as the policy writes it
	days     [7]bool
	from, to int // in minutes since midnight; to is beyond a day's where it ends on the next
	zone     *time.Location
}

const fullDay = 24 * 60 // in minutes

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} // in the order of time.Weekday

func (r *reader) hours(n *yaml.Node) hours {
	var all hours
	r.list(n, "hours", func(n *yaml.Node) {
		w := r.text(n, "hours, as mon-fri 08:00-18:00 Europe/Berlin")
		if w.text == "" {
			return
		}
		window, err := parseWindow(w.text)
		if err != nil {
			r.add(w.pos, "hours: %v", err)
		}
		all = append(all, window)
	})
	return all
}

// parseWindow reads "mon-fri 08:00-18:00 Europe/Berlin".
func parseWindow(text string) (window, error) {
	w := window{text: text}
	words := strings.Fields(text)
	if len(words) != 3 {
		return w, fmt.Errorf("%q is not days, times and a time zone, as in mon-fri 08:00-18:00 Europe/Berlin", text)
	}
	days, err := parseDays(words[0])
	if err != nil {
		return w, err
	}
	w.days = days
	begin, end, _ := strings.Cut(words[1], "-")
	from, okFrom := parseMinute(begin)
	to, okTo := parseMinute(end)
	if !okFrom || !okTo || from == to || from == fullDay {
		return w, fmt.Errorf("%q is not two times, as in 08:00-18:00; a whole day is 00:00-24:00", words[1])
	}
	if to < from {
		to += fullDay
	}
	w.from, w.to = from, to
	if w.zone, err = time.LoadLocation(words[2]); err != nil || words[2] == "Local" {
		return w, fmt.Errorf("unknown time zone %q: write UTC, or a name like Europe/Berlin", words[2])
	}
	return w, nil
}

// parseDays reads "mon-fri", "sat,sun", "mon,wed-fri".
func parseDays(text string) (days [7]bool, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		i, end := slices.Index(weekdays, first), slices.Index(weekdays, last)
		if i < 0 || end < 0 {
			return days, fmt.Errorf("%q is not a day or a range of days: mon, tue, wed, thu, fri, sat, sun", part)
		}
		for ; i != end; i = (i + 1) % 7 {
			days[i] = true
		}
		days[end] = true
	}
	return days, nil
}

// parseMinute reads "08:30", up to "24:00", as minutes since midnight.
func parseMinute(text string) (minute int, ok bool) {
	if text == "24:00" {
		return fullDay, true
	}
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err == nil && len(text) == len("15:04")
}

// open tells whether a moment is in the window.
func (w *window) open(t time.Time) bool {
	t = t.In(w.zone)
	today, minute := int(t.Weekday()), t.Hour()*60+t.Minute()
	return w.days[today] && w.from <= minute && minute < w.to || w.days[(today+6)%7] && minute+fullDay < w.to
}

// next gives the first moment after t at which the window may open or close:
// where it does, or where the zone's clocks are set anew.
func (w *window) next(t time.Time) time.Time {
	t = t.In(w.zone)
	_, offset := t.Zone()
	_, next := t.ZoneBounds()
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, -offset, 0, time.UTC)
	for ahead := -1; ahead <= 7; ahead++ {
		if !w.days[(int(t.Weekday())+ahead+7)%7] {
			continue
		}
		for _, minute := range []int{w.from, w.to} {
			if moment := midnight.Add(time.Duration(ahead*fullDay+minute) * time.Minute); moment.After(t) {
				next = earlier(next, moment)
			}
		}
	}
	return next
}

// open tells whether a moment is in the hours.
func (h hours) open(t time.Time) bool {
	return len(h) == 0 || slices.ContainsFunc(h, func(w window) bool { return w.open(t) })
}

// next gives the first moment after t at which the hours may begin or end; zero
// when there is none.
func (h hours) next(t time.Time) time.Time {
	var next time.Time
	for i := range h {
		next = earlier(next, h[i].next(t))
	}
	return next
}

// again says, of hours that a moment is not in, when they begin again.
func (h hours) again(t time.Time) string {
	const most = 100 // far more than a week with a change of clocks in it has
	for range most {
		t = h.next(t)
		for i := range h {
			if h[i].open(t) {
				return "; again from " + t.In(h[i].zone).Format("Mon 2006-01-02 15:04 MST")
			}
		}
	}
	return ""
}

func (h hours) String() string {
	texts := make([]string, len(h))
	for i, w := range h {
		texts[i] = w.text
	}
	return strings.Join(texts, " or ")
}
