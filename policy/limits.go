package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Measure is what a limit counts. The zero Measure counts nothing.
type Measure uint8

// What a limit counts.
const (
	LimitRows Measure = iota + 1
	LimitBytes
	LimitSubjects // distinct data subjects
	LimitStatements
	LimitValues // of a class, shown as they are
)

func (m Measure) String() string {
	if m < LimitRows || m > LimitValues {
		return "nothing"
	}
	return [...]string{"rows", "bytes", "subjects", "statements", "values"}[m-LimitRows]
}

// Scope is over what a limit counts. The zero Scope is none.
type Scope uint8

// Over what a limit counts.
const (
	PerQuery Scope = iota + 1
	PerSession
	PerWindow // a sliding window of time
)

// Whose says for whom together a limit counts. The zero Whose is nobody.
type Whose uint8

// For whom a limit counts together.
const (
	OfUser      Whose = iota + 1 // who acts: the login, or the end user behind it
	OfLogin                      // all who act by a login
	OfAddress                    // all who come from an address
	OfRole                       // all who have the role that the limit stands under
	OfPurpose                    // all who act for the purpose that the limit stands under
	OfEverybody                  // all to whom the policy applies
)

var whoses = []string{"user", "login", "address", "role", "purpose", "everybody"}

func (w Whose) String() string {
	if w < OfUser || w > OfEverybody {
		return "nobody"
	}
	return whoses[w-OfUser]
}

// Then is what happens to whoever has reached a limit. The zero Then refuses.
type Then uint8

// What happens at a limit.
const (
	ThenRefuse  Then = iota
	ThenMask         // the rest does not leave; from the next statement on values are hidden
	ThenSlow         // statements wait before they are sent
	ThenStepUp       // only who has given a second factor in the session goes on
	ThenElevate      // only who acts under an elevation goes on
	ThenAlert        // somebody is told, which is done in all cases
)

var thens = []string{"refuse", "mask", "slow", "step-up", "elevate", "alert"}

func (t Then) String() string {
	if t > ThenAlert {
		return "refuse"
	}
	return thens[t]
}

// Stops tells whether nothing beyond the limit leaves.
func (t Then) Stops() bool { return t != ThenSlow && t != ThenAlert }

// Limit bounds what callers get.
type Limit struct {
	Of     Measure
	Name   string // of LimitSubjects: their kind, "" for all kinds; of LimitValues: the class
	Most   int64
	Per    Scope
	Window time.Duration // of PerWindow
	Whose  Whose
	Under  string // of OfRole and OfPurpose: the role or purpose
	Then   Then
	Warn   int64 // somebody is told when so much is reached already; 0: nobody is
}

// alike tells whether two limits count the same and do the same at their ends.
func (l Limit) alike(m Limit) bool {
	m.Most, m.Warn = l.Most, l.Warn
	return l == m
}

// String gives a limit as a policy says it.
func (l Limit) String() string {
	text := fmt.Sprintf("%d %s", l.Most, l.Of)
	if l.Name != "" {
		text += " of " + l.Name
	}
	text += "/" + l.Span()
	if l.Whose != OfUser {
		text += " per " + l.Whose.String()
	}
	if l.Under != "" {
		text += " " + l.Under
	}
	return text
}

// Span names what a limit is counted over.
func (l Limit) Span() string {
	switch l.Per {
	case PerQuery:
		return "query"
	case PerSession:
		return "session"
	}
	for name, d := range windows {
		if d == l.Window {
			return name
		}
	}
	return l.Window.String()
}

// Limits are the limits of one caller. The zero Limits limit nothing.
type Limits struct {
	Each             []Limit
	RefuseCopy       bool // COPY is refused
	RefuseUnfiltered bool // reading a governed table without an effective filter is refused
}

// Texts gives the limits as a policy says them.
func (l Limits) Texts() []string {
	var texts []string
	for _, limit := range l.Each {
		texts = append(texts, limit.String())
	}
	if l.RefuseCopy {
		texts = append(texts, "no COPY")
	}
	if l.RefuseUnfiltered {
		texts = append(texts, "nothing without a filter")
	}
	return texts
}

// and gives the limits under which both hold. Roles add rights, never quota:
// whoever holds two roles stays within the narrower of their limits.
func (l Limits) and(m Limits) Limits {
	l.RefuseCopy = l.RefuseCopy || m.RefuseCopy
	l.RefuseUnfiltered = l.RefuseUnfiltered || m.RefuseUnfiltered
	l.Each = slices.Clone(l.Each)
	for _, limit := range m.Each {
		i := slices.IndexFunc(l.Each, limit.alike)
		if i < 0 {
			l.Each = append(l.Each, limit)
			continue
		}
		if limit.Most < l.Each[i].Most {
			l.Each[i] = limit
		}
	}
	return l
}

// windows are the stretches of time a limit is counted over.
var windows = map[string]time.Duration{
	"second": time.Second, "minute": time.Minute, "hour": time.Hour,
	"day": 24 * time.Hour, "week": 7 * 24 * time.Hour, "month": 30 * 24 * time.Hour,
}

// parseLimit reads "500/query", "10MB/hour".
func parseLimit(of Measure, text string) (Limit, error) {
	count, per, found := strings.Cut(text, "/")
	if !found {
		return Limit{}, errors.New("a limit is a number and what it is counted over: 500/query, 200/day")
	}
	most, err := parseCount(of, strings.TrimSpace(count))
	if err != nil {
		return Limit{}, err
	}
	limit := Limit{Of: of, Most: most, Whose: OfUser}
	switch per = strings.TrimSpace(per); per {
	case "query":
		limit.Per = PerQuery
	case "session":
		limit.Per = PerSession
	default:
		limit.Per, limit.Window = PerWindow, windows[per]
	}
	switch {
	case limit.Per == PerWindow && limit.Window == 0:
		return Limit{}, fmt.Errorf("unknown window %q: query, session, second, minute, hour, day, week or month", per)
	case of == LimitStatements && limit.Per == PerQuery:
		return Limit{}, errors.New("a query is one statement: count statements over session or a time")
	}
	limit.Warn = limit.at(80)
	return limit, nil
}

// at gives so many percent of a limit, rounded up.
func (l Limit) at(percent int64) int64 {
	if l.Per == PerQuery {
		return 0 // who would be told what of a statement that is over
	}
	return l.Most/100*percent + (l.Most%100*percent+99)/100
}

// parseCount reads a positive number, of bytes with a unit if need be.
func parseCount(of Measure, text string) (int64, error) {
	unit := int64(1)
	if of == LimitBytes {
		for i, suffix := range []string{"kB", "MB", "GB"} {
			if number, found := strings.CutSuffix(text, suffix); found {
				text, unit = number, 1<<(10*(i+1))
			}
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a whole number above 0", text)
	}
	return n * unit, nil
}

// Keep is how long rows are kept, in the calendar's units.
type Keep struct{ Years, Months, Days int }

// Before gives the moment that a row must be older than to be due at now.
func (k Keep) Before(now time.Time) time.Time { return now.AddDate(-k.Years, -k.Months, -k.Days) }

// After gives the moment until which something is kept from a moment on.
func (k Keep) After(from time.Time) time.Time { return from.AddDate(k.Years, k.Months, k.Days) }

// parseKeep reads "3y", "18m", "6w", "90d".
func parseKeep(text string) (Keep, error) {
	bad := fmt.Errorf("%q is not a time to keep: a number and y, m, w or d, as in 3y", text)
	if len(text) < 2 {
		return Keep{}, bad
	}
	n, err := strconv.Atoi(text[:len(text)-1])
	if err != nil || n < 1 || n > 10000 {
		return Keep{}, bad
	}
	switch text[len(text)-1] {
	case 'y':
		return Keep{Years: n}, nil
	case 'm':
		return Keep{Months: n}, nil
	case 'w':
		return Keep{Days: 7 * n}, nil
	case 'd':
		return Keep{Days: n}, nil
	}
	return Keep{}, bad
}
