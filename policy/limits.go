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
)

// Scope is over what a limit counts. The zero Scope is none.
type Scope uint8

// Over what a limit counts.
const (
	PerQuery Scope = iota + 1
	PerSession
	PerWindow // a sliding window of time
)

// Limit bounds what one user gets.
type Limit struct {
	Of     Measure
	Most   int64
	Per    Scope
	Window time.Duration // of PerWindow
}

// Limits are the limits of one caller. The zero Limits limit nothing.
type Limits struct {
	Each             []Limit
	RefuseCopy       bool // COPY is refused
	RefuseUnfiltered bool // reading a governed table without WHERE or LIMIT is refused
}

// and gives the limits under which both hold. Roles add rights, never quota:
// whoever holds two roles stays within the narrower of their limits.
func (l Limits) and(m Limits) Limits {
	l.RefuseCopy = l.RefuseCopy || m.RefuseCopy
	l.RefuseUnfiltered = l.RefuseUnfiltered || m.RefuseUnfiltered
	l.Each = slices.Clone(l.Each)
	for _, limit := range m.Each {
		i := slices.IndexFunc(l.Each, func(o Limit) bool {
			return o.Of == limit.Of && o.Per == limit.Per && o.Window == limit.Window
		})
		if i < 0 {
			l.Each = append(l.Each, limit)
			continue
		}
		l.Each[i].Most = min(l.Each[i].Most, limit.Most)
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
	limit := Limit{Of: of, Most: most}
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
	return limit, nil
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
