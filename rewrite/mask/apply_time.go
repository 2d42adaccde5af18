package mask

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// partOfDate shows the first day of what the mask keeps. Years before 1 count
// as 1.
func partOfDate(m policy.Mask) (show, error) {
	var first func(year int, month time.Month) (int, time.Month)
	switch m.Kind {
	case policy.MaskAgeBand:
		first = func(year int, _ time.Month) (int, time.Month) { return year - year%m.Args[0], time.January }
	case policy.MaskYear:
		first = func(year int, _ time.Month) (int, time.Month) { return year, time.January }
	case policy.MaskMonth:
		first = func(year int, month time.Month) (int, time.Month) { return year, month }
	default:
		return nil, notApplied(m)
	}
	return func(dst, value []byte) ([]byte, bool) {
		text := string(value)
		if text == "infinity" || text == "-infinity" {
			return append(dst, text...), true
		}
		text, bc := strings.CutSuffix(text, " BC")
		day, ok := parseDay(text, bc)
		if !ok {
			return dst, false
		}
		year, month := first(max(day.Year(), 1), day.Month())
		return appendMonth(dst, max(year, 1), month), true
	}, nil
}

// appendMonth appends the first day of a month.
func appendMonth(dst []byte, year int, month time.Month) []byte {
	if year > 9999 {
		return fmt.Appendf(dst, "%04d-%02d-01", year, month)
	}
	two := func(n int) (byte, byte) { return byte('0' + n/10), byte('0' + n%10) }
	a, b := two(year / 100)
	c, d := two(year % 100)
	m, n := two(int(month))
	return append(dst, a, b, c, d, '-', m, n, '-', '0', '1')
}

// partOfTimestamp cuts in UTC. What is before year 1 becomes its beginning,
// minus infinity too.
func partOfTimestamp(m policy.Mask, t catalog.Type) (show, error) {
	if m.Kind != policy.MaskYear && m.Kind != policy.MaskMonth {
		return nil, notApplied(m)
	}
	zoned := t.Base == "timestamptz"
	return func(dst, value []byte) ([]byte, bool) {
		text := string(value)
		if text == "infinity" {
			return append(dst, text...), true
		}
		at, ok := time.Time{}, true
		if text != "-infinity" {
			at, ok = parseTimestamp(text, zoned)
		}
		if !ok {
			return dst, false
		}
		year, month := at.Year(), at.Month()
		if year < 1 || m.Kind == policy.MaskYear {
			month = time.January
		}
		dst = append(appendMonth(dst, max(year, 1), month), " 00:00:00"...)
		if zoned {
			dst = append(dst, utcSuffix...)
		}
		return dst, true
	}, nil
}

// utcSuffix is how PostgreSQL writes that a time is in UTC.
const utcSuffix = "+00"

// parseDay reads a date. The year before 1 is 0 to time, and 1 BC to
// PostgreSQL.
func parseDay(text string, bc bool) (day time.Time, ok bool) {
	var parts [3]string
	parts[0], text, _ = strings.Cut(text, "-")
	parts[1], parts[2], _ = strings.Cut(text, "-")
	if len(parts[0]) < 4 || len(parts[0]) > 7 || len(parts[1]) != 2 || len(parts[2]) != 2 {
		return day, false
	}
	var numbers [3]int
	for i, p := range parts {
		for _, c := range []byte(p) {
			if c < '0' || c > '9' {
				return day, false
			}
			numbers[i] = 10*numbers[i] + int(c-'0')
		}
	}
	year, month := numbers[0], time.Month(numbers[1])
	if year == 0 {
		return day, false
	}
	if bc {
		year = 1 - year
	}
	day = time.Date(year, month, numbers[2], 0, 0, 0, 0, time.UTC)
	return day, day.Month() == month && day.Day() == numbers[2] // a day that does not exist becomes another
}

// zoneLayouts read the offset from UTC at the end of a time, by its length.
var zoneLayouts = map[int]string{0: "", 3: "-07", 6: "-07:00", 9: "-07:00:00"}

// parseTimestamp reads a timestamp, with an offset from UTC where it has a
// zone, up to the second.
func parseTimestamp(text string, zoned bool) (at time.Time, ok bool) {
	text, bc := strings.CutSuffix(text, " BC")
	date, clock, _ := strings.Cut(text, " ")
	day, ok := parseDay(date, bc)
	sign := strings.IndexAny(clock, "+-")
	if sign < 0 {
		sign = len(clock)
	}
	layout, known := zoneLayouts[len(clock)-sign]
	if !ok || !known || (layout != "") != zoned {
		return at, false
	}
	of, err := time.Parse(time.TimeOnly+layout, clock)
	if err != nil {
		return at, false
	}
	_, offset := of.Zone()
	return time.Date(day.Year(), day.Month(), day.Day(), of.Hour(), of.Minute(), of.Second()-offset, 0, time.UTC), true
}
