package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Findings gives what was found, after the last log has ended. The first listed
// subjects are in it.
func (v *Investigation) Findings(listed int) Breach {
	f := v.found
	f.Schema, f.Width = BreachSchema, v.width.String()
	f.Kinds, f.Classes = v.kindFindings(), v.classFindings()
	f.Subjects = []Subject{}
	for s := range v.Subjects() {
		if len(f.Subjects) == listed {
			break
		}
		f.Subjects = append(f.Subjects, s)
	}
	for _, k := range f.Kinds {
		f.SubjectsMore += k.Named
	}
	f.SubjectsMore -= int64(len(f.Subjects))
	f.Largest = append([]Largest{}, v.shapes...)
	l := &v.listed
	f.Clients, f.Apps, f.Purposes = usedList(l.clients), usedList(l.apps), usedList(l.purposes)
	f.Exports = append([]Export{}, l.exports...)
	f.Unlisted = l.more + l.sessions.more + l.clients.more + l.apps.more + l.purposes.more + l.refusals.more
	f.Refusals = []Refusal{}
	for k, r := range l.refusals.m {
		r.Message, r.Rule, r.Classes = k.message, k.rule, k.classes
		f.Refusals = append(f.Refusals, *r)
	}
	slices.SortFunc(f.Refusals, func(a, b Refusal) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.Message, b.Message), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Classes, b.Classes))
	})
	f.Sessions = []Session{}
	for _, s := range l.sessions.m {
		f.Sessions = append(f.Sessions, *s)
	}
	slices.SortFunc(f.Sessions, func(a, b Session) int { return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.ID, b.ID)) })
	f.Contained = v.contained(f.Sessions)
	v.timeline(&f)
	f.Notes = f.notes(v.subjects.max)
	return f
}

func (v *Investigation) contained(sessions []Session) Containment {
	c := v.ended
	c.After = v.after
	for _, s := range sessions {
		if s.Ended.IsZero() {
			c.SessionsOpen++
		} else {
			c.SessionsEnded++
		}
	}
	c.Events = []Event{}
	for _, e := range v.listed.events {
		if v.found.First.IsZero() || !e.Time.Before(v.found.First) {
			c.Events = append(c.Events, e)
		}
	}
	return c
}

// timeline fills the timeline up to the end of the period, as far as that has
// come, and finds its peaks.
func (v *Investigation) timeline(f *Breach) {
	last := v.scope.To.Add(-1)
	if f.Last.After(v.begin) && f.Last.Before(last) && len(v.found.Timeline) > 0 {
		last = f.Last
	}
	if !f.First.IsZero() {
		v.at(last)
	}
	f.Timeline = append([]Moment{}, v.found.Timeline...)
	f.Peaks = slices.DeleteFunc(slices.Clone(f.Timeline), func(m Moment) bool { return m.Statements == 0 })
	slices.SortStableFunc(f.Peaks, func(a, b Moment) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(b.Statements, a.Statements))
	})
	f.Peaks = f.Peaks[:min(3, len(f.Peaks))]
}

// notes says what whoever reads the report must know before believing it.
func (f *Breach) notes(most int) []string {
	notes := []string{}
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if f.Statements.Ended+f.Statements.Unfinished == 0 {
		add("the log has no statement of the scope in the period that was not refused: check the name, the period and the log")
	}
	for _, k := range f.Kinds {
		if k.Repeated > 0 {
			add("more than %s subjects are named: %s names of kind %q could not be compared with those before them, so the number is between the two bounds", number(most), number(k.Repeated), k.Kind)
		}
	}
	if n := f.Statements.Unfinished; n > 0 {
		add("%s without an outcome in the log: still running, cut short by the end of their session or of the process, or ended by a limit. They count as if they had returned everything that they name, of any number of subjects", count(n, "statement"))
	}
	if n := f.Unattributed.Statements; n > 0 {
		add("%s returned or changed %s of classified or unknown data, and the log says nothing of subjects: they count as any number", count(n, "statement"), count(f.Unattributed.Rows, "row"))
	}
	if n := f.Nobody.Statements; n > 0 {
		add("%s with %s reach tables of data subjects and name none: by the log, those rows are nobody's", count(n, "statement"), count(f.Nobody.Rows, "row"))
	}
	for _, c := range f.Classes {
		if c.NotPerSubject {
			add("there are more than %d classes: for some, subjects are not counted", markClasses)
			break
		}
	}
	if f.Unlisted > 0 {
		add("%s had no room in the lists; the totals hold them", count(f.Unlisted, "entry or use"))
	}
	if a := f.Contained.After; a.Statements > 0 {
		add("the scope was active behind the period: %s, the last at %s", count(a.Statements, "statement"), a.Last.UTC().Format(time.RFC3339))
	}
	return append(notes,
		"a class counts as returned when a statement that returned rows read a column of it, be it in the result or only in a condition",
		"what functions and views read inside, and what reached the database by other ways than pgveil, is not in the log")
}

// Lacking says what logs cannot tell of a period, for a report's notes: records
// are retired, and older logs moved away.
func Lacking(evidence []Evidence, from time.Time) []string {
	var first time.Time
	var retired uint64
	for _, e := range evidence {
		if first.IsZero() || !e.FirstRecord.IsZero() && e.FirstRecord.Before(first) {
			first = e.FirstRecord
		}
		retired += e.First
	}
	var notes []string
	if first.After(from) {
		notes = append(notes, "the log begins at "+first.UTC().Format(time.RFC3339)+", after the period does: what was done before that is not in this report")
	}
	if retired > 0 {
		notes = append(notes, count(retired, "record")+" of the log were retired before this report was made")
	}
	return notes
}

// AtMost gives the upper bound over all kinds, and whether there is one.
func (f *Breach) AtMost() (n int64, bounded bool) {
	for _, k := range f.Kinds {
		n = most(n, k.AtMost)
	}
	return n, n >= 0
}

// Named gives how many subjects the log names.
func (f *Breach) Named() (n int64) {
	for _, k := range f.Kinds {
		n += k.Named
	}
	return n
}
