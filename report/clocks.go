package report

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

//go:embed regimes.yaml
var builtinRegimes []byte

// Regimes is a file of them: whom the law says to tell of a breach, and when.
type Regimes struct {
	AsOf    string   `yaml:"as_of"`
	Regimes []Regime `yaml:"regimes"`
}

// Regime is a law, or what stands for one.
type Regime struct {
	ID     string `yaml:"id"`
	Name   string `yaml:"name"`
	Duties []Duty `yaml:"duties"`
}

// Duty is to tell somebody. Within is 72h, 30d, 3wd or "", for no number.
type Duty struct {
	ID     string `yaml:"id"`
	To     string `yaml:"to"`
	Within string `yaml:"within"`
	After  string `yaml:"after"` // the duty from whose end it counts; "": from when one is aware
	Source string `yaml:"source"`
	If     string `yaml:"if"`
}

// BuiltinRegimes gives those that come with pgveil.
func BuiltinRegimes() (Regimes, error) { return ParseRegimes(builtinRegimes) }

// ParseRegimes reads and checks a file of regimes.
func ParseRegimes(text []byte) (Regimes, error) {
	var r Regimes
	if err := yaml.Load(text, &r, yaml.WithKnownFields()); err != nil {
		return Regimes{}, fmt.Errorf("regimes: %w", err)
	}
	if len(r.Regimes) == 0 {
		return Regimes{}, errors.New("regimes: there are none")
	}
	for _, g := range r.Regimes {
		if g.ID == "" || g.Name == "" || len(g.Duties) == 0 {
			return Regimes{}, fmt.Errorf("regimes: %q needs an id, a name and duties", g.ID)
		}
		for i, d := range g.Duties {
			if d.ID == "" || d.To == "" || d.Source == "" {
				return Regimes{}, fmt.Errorf("regimes: %s: duty %d needs an id, to and source", g.ID, i+1)
			}
			if _, err := parseWithin(d.Within); err != nil {
				return Regimes{}, fmt.Errorf("regimes: %s: %s: %w", g.ID, d.ID, err)
			}
			if d.After != "" && !slices.ContainsFunc(g.Duties[:i], func(e Duty) bool { return e.ID == d.After && e.Within != "" }) {
				return Regimes{}, fmt.Errorf("regimes: %s: %s: after names no duty with a time that stands above", g.ID, d.ID)
			}
		}
	}
	return r, nil
}

// Only gives those of the given ids, in the order of the file; all for none.
func (r Regimes) Only(ids []string) (Regimes, error) {
	if len(ids) == 0 {
		return r, nil
	}
	some := Regimes{AsOf: r.AsOf}
	for _, g := range r.Regimes {
		if slices.Contains(ids, g.ID) {
			some.Regimes = append(some.Regimes, g)
		}
	}
	for _, id := range ids {
		if !slices.ContainsFunc(some.Regimes, func(g Regime) bool { return g.ID == id }) {
			return Regimes{}, fmt.Errorf("there is no regime %q", id)
		}
	}
	return some, nil
}

// span is a time within which something has to be done.
type span struct {
	n    int
	unit string // h, d, wd; "" for no number
}

// maxSpan is more of any unit than a law says.
const maxSpan = 10_000

func parseWithin(text string) (span, error) {
	if text == "" {
		return span{}, nil
	}
	for _, unit := range []string{"h", "wd", "d"} {
		if digits, ok := strings.CutSuffix(text, unit); ok {
			n, err := strconv.Atoi(digits)
			if err != nil || n < 1 || n > maxSpan {
				break
			}
			return span{n, unit}, nil
		}
	}
	return span{}, fmt.Errorf("within takes hours, days or working days, as 72h, 30d or 3wd, not %q", text)
}

// from gives when a span ends that begins at a moment. Days end at their last
// second, in the zone of the moment.
func (s span) from(t time.Time) time.Time {
	switch s.unit {
	case "h":
		return t.Add(time.Duration(s.n) * time.Hour)
	case "d":
		return endOfDay(t, s.n)
	case "wd":
		days := 0
		for left := s.n; left > 0; {
			days++
			if d := t.AddDate(0, 0, days).Weekday(); d != time.Saturday && d != time.Sunday {
				left--
			}
		}
		return endOfDay(t, days)
	default:
		return time.Time{}
	}
}

func endOfDay(t time.Time, later int) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day+later, 23, 59, 59, 0, t.Location())
}

// Clocks is who has to be told by when.
type Clocks struct {
	Aware   time.Time `json:"aware"`
	Assumed bool      `json:"assumed"` // nobody said since when one is aware: it is when the report was made
	AsOf    string    `json:"regimes_as_of"`
	Clocks  []Clock   `json:"clocks"`
}

// Clock is one duty, with its end.
type Clock struct {
	Regime string    `json:"regime"`
	Name   string    `json:"name"`
	To     string    `json:"to"`
	Within string    `json:"within,omitempty"`
	After  string    `json:"after,omitempty"`
	Due    time.Time `json:"due,omitzero"` // zero: without undue delay, or as If says
	Late   bool      `json:"late"`         // it was over when the report was made
	Source string    `json:"source"`
	If     string    `json:"if,omitempty"`
}

// Clocks computes the ends of all duties, in the zone of aware.
func (r Regimes) Clocks(aware, now time.Time, assumed bool) (Clocks, error) {
	c := Clocks{Aware: aware, Assumed: assumed, AsOf: r.AsOf, Clocks: []Clock{}}
	for _, g := range r.Regimes {
		ends := map[string]time.Time{}
		for _, d := range g.Duties {
			within, err := parseWithin(d.Within)
			if err != nil {
				return Clocks{}, fmt.Errorf("%s: %s: %w", g.ID, d.ID, err)
			}
			from := aware
			if d.After != "" {
				from = ends[d.After]
			}
			due := within.from(from)
			ends[d.ID] = due
			c.Clocks = append(c.Clocks, Clock{
				Regime: g.ID, Name: g.Name, To: d.To, Within: d.Within, After: d.After, Due: due,
				Late: !due.IsZero() && now.After(due), Source: d.Source, If: d.If,
			})
		}
	}
	return c, nil
}
