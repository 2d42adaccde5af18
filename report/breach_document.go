package report

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Document puts a breach into words.
func (f *Breach) Document() *Document {
	w := words{zoneOf(f.Zone)}
	d := &Document{Title: "Breach of personal data: " + f.Scope.String()}
	d.About = []Field{
		{Name: "Period", Value: w.time(f.Scope.From) + " to " + w.time(f.Scope.To)},
		{Name: "Made", Value: w.time(f.Made) + ", all times in " + f.Zone},
		{Name: "First and last activity", Value: cmp.Or(w.between(f.First, f.Last), "none in the period")},
		{Name: "Subjects named in the log (confirmed)", Value: number(f.Named())},
		{Name: "Subjects at most (upper bound)", Value: f.atMostWords()},
		{Name: "Rows returned", Value: amount(f.Rows) + ", " + amount(f.Bytes) + " bytes"},
	}
	d.Sections = []Section{
		f.notesSection(), f.subjectSection(), f.classSection(), f.timeSection(w), f.waySection(w), f.exportSection(w),
		f.refusalSection(w), f.containmentSection(w), f.clockSection(w), f.notification(w), evidenceOf(f.Evidence, w),
	}
	return d
}

// words writes times, in a zone.
type words struct{ zone *time.Location }

func (w words) time(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.In(w.zone).Format("2006-01-02 15:04:05 MST")
}

func (w words) between(from, to time.Time) string {
	if from.IsZero() {
		return ""
	}
	return w.time(from) + " to " + w.time(to)
}

// amount writes a number that may have been too large to count.
func amount(n int64) string {
	if n < 0 {
		return "too many to count"
	}
	return number(n)
}

func (f *Breach) atMostWords() string {
	n, bounded := f.AtMost()
	if !bounded {
		return "any number: statements in the log reach data of subjects that nothing bounds, see the notes"
	}
	return number(n)
}

func (f *Breach) notesSection() Section {
	var s Section
	if f.Identify != nil {
		s.Blocks = append(s.Blocks, warning(fmt.Sprintf("This report identifies people: %s resolved %s to keys of the database (%s unknown there). Keep it accordingly.",
			f.Identify.By, count(f.Identify.Resolved, "token"), number(f.Identify.Unknown))))
	}
	rest := notesAnd(f.Notes, f.Evidence)
	return Section{rest.Title, append(s.Blocks, rest.Blocks...)}
}

func (f *Breach) subjectSection() Section {
	var rows [][]string
	for _, k := range f.Kinds {
		bound := number(k.AtMost)
		if k.AtMost < 0 {
			bound = "any number"
		}
		rows = append(rows, []string{
			f.Org.kind(k.Kind), number(k.Named), number(k.Returned), number(k.Changed), amount(k.Unnamed), number(k.Unbounded), bound,
		})
	}
	s := section("Whose data",
		text("Confirmed are subjects that the log names, each counted once. The upper bound adds those that statements may have reached without naming them."),
		table("Subjects by kind", []string{
			"Kind", "#Named (confirmed)", "#of them, data returned", "#of them, data changed", "#Unnamed, at most", "#Statements without a bound", "#At most",
		}, rows))
	if len(f.Subjects) == 0 {
		return s
	}
	rows = nil
	columns := []string{"Kind", "Token", "Returned in clear", "Returned masked", "Changed"}
	if f.Identify != nil {
		columns[1] = "Key, or token"
	}
	for _, p := range f.Subjects {
		rows = append(rows, []string{f.Org.kind(p.Kind), cmp.Or(p.Key, p.Token), strings.Join(p.Clear, ", "), strings.Join(p.Masked, ", "), yes(p.Changed)})
	}
	list := table("Subjects named", columns, rows)
	s.Blocks = append(s.Blocks, list)
	if n := f.SubjectsMore; n > 0 {
		s.Blocks = append(s.Blocks, text(number(n)+" more are named and not listed here; a list of all is written with --subjects."))
	}
	return s
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func (f *Breach) classSection() Section {
	chart := &Chart{Title: "Rows by class of data", About: "A bar for each class: rows of statements that read it in clear, and masked.", Series: []string{"in clear", "masked"}}
	var rows, columns [][]string
	for _, c := range f.Classes {
		name := cmp.Or(c.Class, "(unclassified)")
		chart.Bars = append(chart.Bars, Bar{name, []int64{max(0, c.Clear.Rows), max(0, c.Masked.Rows)}})
		if c.Special {
			name += " (special category)"
		}
		clear, masked := number(c.ClearSubjects), number(c.MaskedSubjects)
		if c.NotPerSubject {
			clear, masked = "not counted", "not counted"
		}
		rows = append(rows, []string{
			name, number(c.Clear.Statements), amount(c.Clear.Rows), clear, number(c.Masked.Statements), amount(c.Masked.Rows), masked,
			number(c.Changed), number(c.Unfinished),
		})
		for _, k := range c.Columns {
			columns = append(columns, []string{k.Column, name, k.Shown, number(k.Statements)})
		}
	}
	s := Section{Title: "What data"}
	if len(chart.Bars) > 0 {
		s.Blocks = append(s.Blocks, Block{Chart: chart})
	}
	s.Blocks = append(s.Blocks,
		table("Classes returned", []string{
			"Class", "#Statements, clear", "#Rows, clear", "#Subjects named, clear", "#Statements, masked", "#Rows, masked", "#Subjects named, masked",
			"#Changed by", "#Without an outcome",
		}, rows),
		table("Columns read", []string{"Column", "Class", "Shown", "#Statements"}, columns))
	return s
}

func (f *Breach) timeSection(w words) Section {
	s := Section{Title: "When"}
	layout := "2006-01-02"
	if d, err := time.ParseDuration(f.Width); err == nil && d < 24*time.Hour {
		layout = "01-02 15:04"
	}
	chart := &Chart{Title: "Statements over time", About: "A column for each part of the period, " + f.Width + " long.", Upright: true, Series: []string{"statements"}}
	var rows, peaks [][]string
	for _, m := range f.Timeline {
		chart.Bars = append(chart.Bars, Bar{m.Begin.In(w.zone).Format(layout), []int64{m.Statements}})
		if m.Statements > 0 {
			rows = append(rows, []string{w.time(m.Begin), number(m.Statements), amount(m.Rows)})
		}
	}
	for _, m := range f.Peaks {
		peaks = append(peaks, []string{w.time(m.Begin), number(m.Statements), amount(m.Rows)})
	}
	if len(chart.Bars) > 0 {
		s.Blocks = append(s.Blocks, Block{Chart: chart})
	}
	columns := []string{"From", "#Statements", "#Rows returned"}
	s.Blocks = append(s.Blocks, table("Statements over time", columns, rows), table("Peaks", columns, peaks))
	rows = nil
	for _, l := range f.Largest {
		rows = append(rows, []string{number(l.Seq), w.time(l.Time), l.Purpose, l.Shape, amount(l.Rows), amount(l.Bytes)})
	}
	s.Blocks = append(s.Blocks, table("Statements that returned most", []string{"#Record", "Time", "Purpose", "Statement, without its values", "#Rows", "#Bytes"}, rows))
	return s
}

// waySection says by which ways the data went.
func (f *Breach) waySection(w words) Section {
	var sessions [][]string
	for _, s := range f.Sessions {
		sessions = append(sessions, []string{s.ID, s.Login, s.User, s.Client, s.App, w.time(s.First), w.time(s.Last), ended(w, s.Ended), number(s.Statements), amount(s.Rows)})
	}
	by := func(title, name string, list []Used, tickets bool) Block {
		columns := []string{name, "#Statements", "#Rows returned"}
		if tickets {
			columns = []string{name, "Ticket", "#Statements", "#Rows returned"}
		}
		var rows [][]string
		for _, u := range list {
			row := []string{cmp.Or(u.Name, "(none)")}
			if tickets {
				row = append(row, u.Ticket)
			}
			rows = append(rows, append(row, number(u.Statements), amount(u.Rows)))
		}
		return table(title, columns, rows)
	}
	s := Section{Title: "By which ways, and what for"}
	if bars := purposeBars(f.Purposes); len(bars) > 0 {
		s.Blocks = append(s.Blocks, Block{Chart: &Chart{Title: "Statements by purpose", About: "A bar for each purpose.", Series: []string{"statements"}, Bars: bars}})
	}
	s.Blocks = append(s.Blocks,
		by("Purposes and tickets", "Purpose", f.Purposes, true),
		by("Addresses", "Address", f.Clients, false), by("Applications, as they call themselves", "Application", f.Apps, false),
		table("Sessions", []string{"Session", "Login", "User", "Address", "Application", "First", "Last", "Ended", "#Statements", "#Rows"}, sessions))
	return s
}

// maxBars is how many bars a picture by name has; the table has all.
const maxBars = 20

func purposeBars(list []Used) []Bar {
	var bars []Bar
	at := map[string]int{}
	for _, u := range list {
		name := cmp.Or(u.Name, "(none)")
		i, ok := at[name]
		if !ok {
			if len(bars) == maxBars {
				continue
			}
			i, at[name] = len(bars), len(bars)
			bars = append(bars, Bar{name, []int64{0}})
		}
		bars[i].Values[0] += u.Statements
	}
	return bars
}

func ended(w words, t time.Time) string {
	if t.IsZero() {
		return "no end in the log"
	}
	return w.time(t)
}
