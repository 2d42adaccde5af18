package detect

import (
	"cmp"
	"slices"
	"time"
)

// Habit is what somebody did on one day.
type Habit struct {
	User     string
	Day      string // as 2026-11-22
	Sketch   []byte // of the subjects read; nil: Subjects says it all
	Subjects int    // how many distinct ones
	Peak     int    // and how many within one hour of the day, at most
	Hours    uint32 // at which something was done: one bit each
	Tables   []string
	Networks []string
}

// historyKept is how many past days are compared with, at most.
const historyKept = 35

// leastDay gives the first day of which a history is wanted.
func leastDay(at time.Time) string { return at.AddDate(0, 0, -historyKept).Format(time.DateOnly) }

// habits is what is known of somebody's past days and of this one.
type habits struct {
	day    string // this one
	slot   int64  // of a quarter of an hour, to see soon that an hour may begin
	hour   int
	met    *sketch // on this day; nil: nobody
	met1h  *sketch // within this hour of the clock
	peak   int
	hours  uint32
	past   []Habit // without tables and networks
	always uint32  // hours of the past, and those beside them
	usual  spread  // of subjects a day
	rush   spread  // of subjects in a day's busiest hour

	tables, networks map[string]bool // ever seen; nil: none
	early            map[string]bool // tables that were used before the history was read
	last             []string        // tables of the last statement
	learned          bool            // the history was read
	changed          bool            // something is to be written
	fresh            Habit           // tables and networks that are to be written
}

// spread is the middle of some numbers, and how far they usually are from it.
type spread struct{ days, median, mad int }

func spreadOf(numbers []int) spread {
	if len(numbers) == 0 {
		return spread{}
	}
	s := spread{days: len(numbers), median: median(numbers)}
	away := make([]int, len(numbers))
	for i, n := range numbers {
		away[i] = max(n-s.median, s.median-n)
	}
	s.mad = median(away)
	return s
}

// median gives the middle of some numbers, the upper of two.
func median(numbers []int) int {
	sorted := slices.Sorted(slices.Values(numbers))
	return sorted[len(sorted)/2]
}

// limit gives what is beyond the usual: so many times the usual spread above the
// median. Who does the same every day may still do a quarter more.
func (s spread) limit(times int) int { return s.median + times*max(s.mad*3/2, s.median/4, 1) }

// turn begins a new day, or hour, when it is one.
func (h *habits) turn(at time.Time) {
	slot := at.Unix() / int64(15*time.Minute/time.Second) // by which the clocks of the world differ
	if slot == h.slot {
		return
	}
	h.slot = slot
	day, hour := at.Format(time.DateOnly), at.Hour()
	if day == h.day && hour == h.hour {
		return
	}
	h.hour, h.met1h = hour, nil
	if day == h.day {
		return
	}
	if h.day != "" && (h.met != nil || h.hours != 0) {
		h.past = append(h.past, Habit{Day: h.day, Subjects: h.met.count(), Peak: h.peak, Hours: h.hours})
		h.past = h.past[max(0, len(h.past)-historyKept):]
		h.summarise()
	}
	h.day = day
	h.met, h.peak, h.hours = nil, 0, 0
}

func (s *sketch) count() int {
	if s == nil {
		return 0
	}
	return s.n
}

// summarise works out what past days have in common. Days without subjects are
// none to compare with.
func (h *habits) summarise() {
	var days, peaks []int
	hours := uint32(0)
	for _, p := range h.past {
		hours |= p.Hours
		if p.Subjects > 0 {
			days, peaks = append(days, p.Subjects), append(peaks, p.Peak)
		}
	}
	h.usual, h.rush = spreadOf(days), spreadOf(peaks)
	h.always = (hours | hours<<1 | hours>>1 | hours>>23 | hours<<23) & (1<<24 - 1)
}

// learn takes in what was written down of somebody, of any days in any order.
func (h *habits) learn(history []Habit) {
	byDay := map[string]Habit{}
	for _, p := range h.past {
		byDay[p.Day] = p
	}
	for _, p := range history {
		for _, name := range p.Tables {
			put(&h.tables, name)
		}
		for _, name := range p.Networks {
			put(&h.networks, name)
		}
		switch known := byDay[p.Day]; {
		case p.Day == "":
		case p.Day == h.day:
			h.again(p)
		default:
			p.Subjects, p.Peak, p.Hours = max(p.Subjects, known.Subjects), max(p.Peak, known.Peak), p.Hours|known.Hours
			p.Sketch, p.Tables, p.Networks = nil, nil, nil
			byDay[p.Day] = p
		}
	}
	h.past = h.past[:0]
	for _, p := range byDay {
		h.past = append(h.past, p)
	}
	slices.SortFunc(h.past, func(a, b Habit) int { return cmp.Compare(a.Day, b.Day) })
	h.past = h.past[max(0, len(h.past)-historyKept):]
	h.learned = true
	h.last = nil // what was used early is looked at now
	h.summarise()
}

// again takes in what others saw of this day.
func (h *habits) again(p Habit) {
	if len(p.Sketch) > 0 {
		if h.met == nil {
			h.met = newSketch()
		}
		h.met.merge(p.Sketch)
	}
	h.peak, h.hours = max(h.peak, p.Peak), h.hours|p.Hours
}

// maxNames bounds how many tables, or networks, of somebody are remembered. Who
// comes by more has no usual ones.
const maxNames = 1000

// put notes a name, and tells whether it is new.
func put(names *map[string]bool, name string) bool {
	if (*names)[name] || len(*names) >= maxNames {
		return false
	}
	if *names == nil {
		*names = map[string]bool{}
	}
	(*names)[name] = true
	return true
}

// change gives what is to be written of this day.
func (h *habits) change(user string) Habit {
	c := Habit{User: user, Day: h.day, Subjects: h.met.count(), Peak: h.peak, Hours: h.hours, Tables: h.fresh.Tables, Networks: h.fresh.Networks}
	if h.met != nil {
		c.Sketch = slices.Clone(h.met.ranks[:])
	}
	h.changed, h.fresh = false, Habit{}
	return c
}
