package audit

import (
	"fmt"
	"iter"
	"path"
	"slices"
	"time"
)

// Filter chooses records. Every field that is set must match; the zero Filter
// matches everything. An outcome goes with its statement, whatever it says
// itself.
type Filter struct {
	Since, Until time.Time // Since <= Time < Until
	Kind         Kind
	ID           string
	Session      string
	Login        string
	User         string
	Role         string
	Purpose      string
	Ticket       string
	Database     string
	Decision     string
	Command      string
	Class        string // of a column
	Column       string // schema.table.column; * stands for any text: crm.customers.*
	Subject      string // kind:token, in the record or its outcome
	Limit        int    // of entries, an outcome not counted; 0 is none
}

// Check finds a Column that is not a pattern.
func (f Filter) Check() error {
	if _, err := path.Match(f.Column, ""); err != nil {
		return fmt.Errorf("column pattern %q: %w", f.Column, err)
	}
	return nil
}

// Match tells whether a record other than an outcome is chosen, but for its
// Subject, which outcomes know.
func (f Filter) Match(r *Record) bool {
	for _, field := range [...]struct{ want, is string }{
		{string(f.Kind), string(r.Kind)}, {f.ID, r.ID}, {f.Session, r.Session}, {f.Login, r.Login}, {f.User, r.User},
		{f.Purpose, r.Purpose}, {f.Ticket, r.Ticket}, {f.Database, r.Database}, {f.Decision, r.Decision}, {f.Command, r.Command},
	} {
		if field.want != "" && field.want != field.is {
			return false
		}
	}
	return f.matchTime(r.Time) &&
		(f.Role == "" || slices.Contains(r.Roles, f.Role)) &&
		(f.Class == "" && f.Column == "" || slices.ContainsFunc(r.Columns, f.matchColumn))
}

func (f Filter) matchTime(t time.Time) bool {
	return (f.Since.IsZero() || !t.Before(f.Since)) && (f.Until.IsZero() || t.Before(f.Until))
}

func (f Filter) matchColumn(c Column) bool {
	if f.Class != "" && f.Class != c.Class {
		return false
	}
	if f.Column == "" || f.Column == c.Name {
		return true
	}
	ok, err := path.Match(f.Column, c.Name)
	return ok && err == nil
}

func (f Filter) matchSubject(e *Entry) bool {
	return f.Subject == "" || slices.Contains(e.Subjects, f.Subject) ||
		e.Outcome != nil && slices.Contains(e.Outcome.Subjects, f.Subject)
}

// Entry is a record, and for a statement how it ended. Its Subjects are those
// that came before the outcome, and Changed the records of images, without what
// they hold sealed.
type Entry struct {
	Record
	Changed []Record `json:"changed,omitempty"`
	Outcome *Record  `json:"outcome,omitempty"` // nil when there is none, or none yet
}

// add takes a record that comes between a statement and its outcome.
func (e *Entry) add(r Record) {
	if r.Kind == KindImages {
		r.Sealed = "" // long, and for whoever opens it
		e.Changed = append(e.Changed, r)
		return
	}
	e.Subjects = append(e.Subjects, r.Subjects...)
}

// Joiner joins statements with their outcomes, which come later in the log,
// and gives the entries in the order of the log. The zero Joiner, with a
// Filter or without, is ready.
type Joiner struct {
	Filter Filter
	queue  []*Entry
	open   map[uint64]*Entry // statements in the queue without an outcome, by seq
}

// Add takes the next record of the log.
func (j *Joiner) Add(r Record) {
	switch e := j.open[r.Ref]; {
	case r.Kind == KindOutcome:
		if e != nil {
			e.Outcome = &r
			delete(j.open, r.Ref)
		}
		return
	case r.Kind.Part():
		if e != nil {
			e.add(r)
		}
		return
	}
	if !j.Filter.Match(&r) {
		return
	}
	e := &Entry{Record: r}
	j.queue = append(j.queue, e)
	if r.Kind == KindStatement && r.Decision != "refuse" {
		if j.open == nil {
			j.open = map[uint64]*Entry{}
		}
		j.open[r.Seq] = e
	}
}

// Take gives the entries that are ready: complete, and behind none that is
// not, except that no more than wait entries are held back.
func (j *Joiner) Take(wait int) []Entry {
	var ready []Entry
	for len(j.queue) > 0 {
		e := j.queue[0]
		if _, open := j.open[e.Seq]; open && len(j.queue) <= wait {
			break
		}
		delete(j.open, e.Seq)
		j.queue = j.queue[1:]
		if j.Filter.matchSubject(e) {
			ready = append(ready, *e)
		}
	}
	return ready
}

// joinWait is how many entries may come between a statement and its outcome
// before Query gives it without.
const joinWait = 10_000

// Query gives the entries that a filter chooses, joined with their outcomes.
func Query(records iter.Seq2[Record, error], f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		j := Joiner{Filter: f}
		given := 0
		give := func(wait int) bool {
			for _, e := range j.Take(wait) {
				if given++; !yield(e, nil) || given == f.Limit {
					return false
				}
			}
			return true
		}
		for r, err := range records {
			if err != nil {
				if give(0) {
					yield(Entry{}, err)
				}
				return
			}
			if j.Add(r); !give(joinWait) {
				return
			}
		}
		give(0)
	}
}

// Last gives the last n entries that a filter chooses, oldest first, and the
// seq to go on from.
func Last(dir string, f Filter, n int) ([]Entry, uint64, error) {
	head, err := ReadHead(dir)
	if err != nil {
		return nil, 0, err
	}
	f.Limit = 0
	t, err := readTombstone(dir)
	if err != nil {
		return nil, 0, err
	}
	for span := uint64(4*n + 64); ; span *= 4 {
		from := max(t.Records, head.Count-min(span, head.Count))
		var last []Entry
		next := from
		counted := func(yield func(Record, error) bool) {
			for r, err := range Read(dir, from) {
				if next = r.Seq + 1; !yield(r, err) {
					return
				}
			}
		}
		for e, err := range Query(counted, f) {
			if err != nil {
				return nil, 0, err
			}
			if last = append(last, e); len(last) >= 2*n+1024 {
				last = slices.Delete(last, 0, len(last)-n)
			}
		}
		if len(last) >= n || from == t.Records {
			return last[max(0, len(last)-n):], next, nil
		}
	}
}
