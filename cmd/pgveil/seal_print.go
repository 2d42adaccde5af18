package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pgveil/pgveil/reseal"
	"github.com/pgveil/pgveil/reseal/forecast"
)

// printedColumn is a column as it is printed.
type printedColumn struct {
	Column   string           `json:"column"`
	Class    string           `json:"class"`
	Seal     string           `json:"seal"`
	Rows     int64            `json:"rows"`
	Null     int64            `json:"null"`
	Clear    int64            `json:"clear"`
	Damaged  int64            `json:"damaged"`
	OwnKeys  int64            `json:"own_keys,omitempty"`
	Formed   int64            `json:"formed,omitempty"` // keep a format: nothing tells whether they are sealed
	Keys     []printedUnder   `json:"keys"`
	Wall     *printedWall     `json:"wall,omitempty"`
	Findings []reseal.Finding `json:"findings,omitempty"`
	Unfit    []string         `json:"unfit,omitempty"`
}

type printedUnder struct {
	Key      string `json:"key"`
	State    string `json:"state"` // or unknown
	Values   int64  `json:"values"`
	Unhashed int64  `json:"unhashed,omitempty"`
	Unbound  int64  `json:"unbound,omitempty"`
}

type printedWall struct {
	Name  string `json:"name"`
	Valid bool   `json:"valid"`
}

func printedOf(c *reseal.Column, s *reseal.Census) printedColumn {
	p := printedColumn{Column: c.Column, Class: c.Class, Seal: c.Mode.String(), Rows: s.Rows, Null: s.Null, Clear: s.Clear, Damaged: s.Damaged, OwnKeys: s.OwnKeys, Formed: s.Formed, Keys: []printedUnder{}}
	for _, u := range s.Under {
		state := u.State.String()
		if u.State == 0 {
			state = "unknown"
		}
		p.Keys = append(p.Keys, printedUnder{fmt.Sprintf("%08x", u.Key), state, u.Rows, u.Unhashed, u.Unbound})
	}
	return p
}

func printedReport(r *reseal.Report) printedColumn {
	p := printedOf(r.Column, r.Census)
	if p.Findings = r.Findings; r.Wall != nil {
		p.Wall = &printedWall{r.Wall.Name, r.Wall.Valid}
	}
	for _, u := range r.Unfit {
		p.Unfit = append(p.Unfit, u.String())
	}
	return p
}

// refused tells whether something keeps the column from being sealed.
func (p *printedColumn) refused() bool {
	for _, f := range p.Findings {
		if f.Level == reseal.Refuses {
			return true
		}
	}
	return false
}

// stored says how the values are stored, in a line.
func (p *printedColumn) stored() string {
	parts := []string{fmt.Sprintf("%d rows", p.Rows), fmt.Sprintf("%d NULL", p.Null), fmt.Sprintf("%d clear", p.Clear)}
	for _, k := range p.Keys {
		parts = append(parts, fmt.Sprintf("%d under key %s (%s)", k.Values, k.Key, k.State))
	}
	if p.OwnKeys > 0 {
		parts = append(parts, fmt.Sprintf("%d under keys of their own", p.OwnKeys))
	}
	if p.Formed > 0 {
		parts = append(parts, fmt.Sprintf("%d that keep a format: nothing tells whether they are sealed", p.Formed))
	}
	if p.Damaged > 0 {
		parts = append(parts, fmt.Sprintf("%d DAMAGED", p.Damaged))
	}
	return strings.Join(parts, ", ")
}

func (s *sealCall) printStatus(all []printedColumn) error {
	if s.json {
		return writeJSON(s.stdout, append([]printedColumn{}, all...))
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "COLUMN\tROWS\tNULL\tCLEAR\tDAMAGED\tSEALED\tUNDER")
	for _, p := range all {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d", printable(p.Column), p.Rows, p.Null, p.Clear, p.Damaged)
		switch {
		case p.OwnKeys > 0:
			fmt.Fprintf(w, "\t%d\tkeys of their own", p.OwnKeys)
		case p.Formed > 0:
			fmt.Fprintf(w, "\t?\t%d values keep a format: nothing tells whether they are sealed", p.Formed)
		case len(p.Keys) == 0:
			fmt.Fprint(w, "\t0\t")
		}
		for i, k := range p.Keys {
			if i > 0 {
				fmt.Fprint(w, "\n\t\t\t\t")
			}
			fmt.Fprintf(w, "\t%d\t%s %s", k.Values, k.Key, k.State)
			if k.Unbound > 0 {
				fmt.Fprintf(w, ", %d not bound to their rows", k.Unbound)
			}
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// printedCheck is all that a check found.
type printedCheck struct {
	Columns  []printedColumn  `json:"columns"`
	Forecast *forecast.Report `json:"forecast,omitempty"`
}

func (s *sealCall) printChecks(all []printedColumn) error {
	var b strings.Builder
	for _, p := range all {
		fmt.Fprintf(&b, "%s (class %s, %s): %s\n", printable(p.Column), p.Class, p.Seal, p.stored())
		if p.Wall != nil && p.Wall.Valid {
			fmt.Fprintf(&b, "  the CHECK %s keeps clear values out\n", printable(p.Wall.Name))
		}
		for _, f := range p.Findings {
			level := string(f.Level)
			if f.Level == reseal.Refuses {
				level = "REFUSES"
			}
			fmt.Fprintf(&b, "  %s: %s\n", level, printable(f.Says))
		}
		for _, u := range p.Unfit {
			fmt.Fprintf(&b, "  left: %s\n", u)
		}
	}
	_, err := io.WriteString(s.stdout, b.String())
	return err
}

// printResult says what was done, and what is to be done about what was there.
func (s *sealCall) printResult(c *reseal.Column, r *reseal.Result, took time.Duration) {
	p := printedOf(c, r.Census)
	fmt.Fprintf(s.stdout, "%s: %d values changed in %d batches, %v; at the last count: %s\n", printable(c.Column), r.Done, r.Batches, took.Round(100*time.Millisecond), p.stored())
	for _, u := range r.Unfit {
		fmt.Fprintf(s.stdout, "  left: %s\n", u)
	}
	if r.Done == 0 {
		return
	}
	table := printable(c.Schema + "." + c.Table)
	if s.name == "seal migrate" {
		fmt.Fprintf(s.stdout, "  Dead rows still have the values in clear until VACUUM (ANALYZE) %s has run, and so have WAL, archives of it, replicas\n  that are behind, and backups from before, for as long as they are kept.\n", table)
		return
	}
	fmt.Fprintf(s.stdout, "  Dead rows are left: VACUUM (ANALYZE) %s takes them away.\n", table)
}

// meter tells how far a job is: at a terminal in one line, elsewhere every ten seconds.
func (s *sealCall) meter() func(reseal.Progress) {
	terminal := isTerminal(s.stderr)
	every := 10 * time.Second
	if terminal {
		every = time.Second
	}
	last := time.Now()
	return func(p reseal.Progress) {
		if time.Since(last) < every {
			return
		}
		last = time.Now()
		line := fmt.Sprintf("%s: %d of %d values", p.Column, p.Done, p.Todo)
		if seconds := p.Elapsed.Seconds(); seconds > 0 {
			line += fmt.Sprintf(", %.0f/s", float64(p.Done)/seconds)
		}
		if left := p.Remaining(); left > 0 {
			line += fmt.Sprintf(", %v left", left.Round(time.Second))
		}
		if terminal {
			fmt.Fprintf(s.stderr, "\r\x1b[K%s", line)
		} else {
			fmt.Fprintln(s.stderr, line)
		}
	}
}

func (s *sealCall) endMeter() {
	if isTerminal(s.stderr) {
		fmt.Fprint(s.stderr, "\r\x1b[K")
	}
}
