package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/audit"
)

// capped is a map that holds no more than max keys: clients choose some of
// them.
type capped[K comparable, V any] struct {
	max  int
	m    map[K]*V
	more int64 // times that a key had no room
}

func newCapped[K comparable, V any](most int) capped[K, V] {
	return capped[K, V]{max: most, m: map[K]*V{}}
}

// of gives what is held for a key, and nothing where there is no room.
func (c *capped[K, V]) of(key K) *V {
	v := c.m[key]
	if v == nil && len(c.m) >= c.max {
		c.more++
		return nil
	}
	if v == nil {
		v = new(V)
		c.m[key] = v
	}
	return v
}

// way is what Used counts: a name, and the ticket of a purpose.
type way struct{ name, ticket string }

type refusalKey struct{ message, rule, classes string }

// listed holds what a report lists by name.
type listed struct {
	max      int
	sessions capped[string, Session]
	clients  capped[way, Used]
	apps     capped[way, Used]
	purposes capped[way, Used]
	refusals capped[refusalKey, Refusal]
	exports  []Export
	events   []Event
	more     int64             // exports and events without room
	begun    map[uint64]Export // PRIVACY commands that have not ended, by their statement
}

func newListed(most int) listed {
	return listed{
		max: most, sessions: newCapped[string, Session](most), clients: newCapped[way, Used](most), apps: newCapped[way, Used](most),
		purposes: newCapped[way, Used](most), refusals: newCapped[refusalKey, Refusal](most), begun: map[uint64]Export{},
	}
}

// statement counts a statement by the ways that it came; o is nil where there
// is no outcome.
func (l *listed) statement(p *pending, o *audit.Record) {
	rows, end := int64(0), p.Time
	if o != nil {
		end = o.Time
		if returned(p, o) {
			rows = o.Rows
		}
	}
	for _, u := range []*Used{l.clients.of(way{name: p.Client}), l.apps.of(way{name: p.App}), l.purposes.of(way{p.Purpose, p.Ticket})} {
		if u != nil {
			u.Statements++
			u.Rows = most(u.Rows, rows)
		}
	}
	s := l.sessions.of(p.Session)
	if s == nil {
		return
	}
	if s.Statements == 0 {
		*s = Session{ID: p.Session, Login: p.Login, User: p.User, Client: p.Client, App: p.App, First: p.Time}
	}
	if s.User != p.User && !strings.HasSuffix(s.User, others) {
		s.User += others
	}
	s.Statements++
	s.Rows = most(s.Rows, rows)
	if end.After(s.Last) {
		s.Last = end
	}
}

// others marks a session that more than one end user spoke in.
const others = " and others"

func (l *listed) event(r *audit.Record, what string) {
	if len(l.events) >= l.max {
		l.more++
		return
	}
	l.events = append(l.events, Event{r.Seq, r.Time, cmp.Or(r.User, r.Login), what})
}

func usedList(c capped[way, Used]) []Used {
	list := make([]Used, 0, len(c.m))
	for k, u := range c.m {
		u.Name, u.Ticket = k.name, k.ticket
		list = append(list, *u)
	}
	slices.SortFunc(list, func(a, b Used) int {
		return cmp.Or(cmp.Compare(b.Statements, a.Statements), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Ticket, b.Ticket))
	})
	return list
}

// refusal counts an attempt that was refused.
func (v *Investigation) refusal(r *audit.Record) {
	v.found.Refused++
	f := v.listed.refusals.of(refusalKey{r.Message, strings.Join(r.Reasons, ", "), strings.Join(refusedClasses(r), ", ")})
	if f == nil {
		return
	}
	f.Statements++
	if f.First.IsZero() || r.Time.Before(f.First) {
		f.First = r.Time
	}
	if !r.Time.Before(f.Last) {
		f.Last, f.ID = r.Time, r.ID
	}
}

// refusedClasses gives the classes that a refused statement named.
func refusedClasses(r *audit.Record) []string {
	classes := map[string]bool{}
	for _, c := range r.Columns {
		if c.Class != openClass {
			classes[c.Class] = true
		}
	}
	return slices.Sorted(maps.Keys(classes))
}

// export lists COPY … TO of data about people.
func (v *Investigation) export(p *pending, o *audit.Record) {
	if p.Command == "COPY" {
		v.exported(Export{Seq: p.Seq, Time: p.Time, What: p.Shape, Rows: o.Rows, Bytes: o.Bytes}, cmp.Or(o.SQLState, "done"))
	}
}

func (v *Investigation) exported(e Export, outcome string) {
	if e.Outcome = outcome; len(v.listed.exports) >= v.listed.max {
		v.listed.more++
		return
	}
	v.listed.exports = append(v.listed.exports, e)
}

// session takes a record of the beginning or end of a session.
func (v *Investigation) session(r *audit.Record) {
	c := &v.ended
	switch {
	case strings.HasPrefix(r.Message, "alert: "):
		v.contain(r, r.Message)
	case r.Message == "end":
		v.abandon(r.Time, func(p *pending) bool { return p.Session == r.Session })
		if s := v.listed.sessions.m[r.Session]; s != nil {
			s.Ended = r.Time
		}
	case r.Time.Before(v.scope.From):
	case r.Decision == refused:
		c.RefusedLogins.add(r.Time)
	case r.Message != "login":
	case r.Time.Before(v.scope.To):
		c.Logins++
	default:
		c.LaterLogins++
	}
}

// contain lists what was done since the period began.
func (v *Investigation) contain(r *audit.Record, what string) {
	if !r.Time.Before(v.scope.From) {
		v.listed.event(r, what)
	}
}

// system takes a record of the process's own.
func (v *Investigation) system(r *audit.Record) {
	if r.Message == "start" || strings.HasPrefix(r.Message, "start;") {
		// Who wrote this log before has ended, and its statements with it.
		v.abandon(r.Time, func(*pending) bool { return true })
		return
	}
	if strings.HasPrefix(r.Message, "reload: ") {
		v.contain(r, r.Message+", policy "+r.Generation)
	}
}

// privacy takes a record of a PRIVACY command: of anybody's, where it takes
// rights away.
func (v *Investigation) privacy(r *audit.Record) {
	words := strings.Fields(strings.ToLower(r.Shape))
	if len(words) < 2 || words[0] != "privacy" {
		return
	}
	switch words[1] {
	case "revoke", "deny", "restrict":
		if r.Message == "done" {
			v.contain(r, r.Shape)
		}
		return
	}
	about := 2 // where the kind of subject stands
	if words[1] == "show" {
		about = 3
	}
	if len(words) <= about || words[1] != "export" && !(words[1] == "show" && words[2] == "consent") || !v.scope.match(r) {
		return
	}
	v.disclosed(r, words[about])
}

// disclosed takes a command that shows what is held on one subject. One on the
// wire has a record when it begins, and one when it has ended.
func (v *Investigation) disclosed(r *audit.Record, kind string) {
	if !v.within(r.Time, r.Time) {
		return
	}
	e := Export{Seq: r.Seq, Time: r.Time, What: r.Shape, Rows: r.Rows}
	begun, ok := v.listed.begun[r.Ref]
	switch {
	case r.Message == "begun":
		v.listed.begun[r.Ref] = e
	case ok:
		delete(v.listed.begun, r.Ref)
		begun.Rows = r.Rows
		v.exported(begun, r.Message)
	case r.SQLState != "":
		v.exported(e, r.Message)
		return
	default:
		v.exported(e, r.Message)
	}
	if ok {
		return
	}
	for _, s := range r.Subjects {
		v.subject(s, markReturned)
	}
	if len(r.Subjects) == 0 {
		b := v.bounds[kind]
		b.unnamed = most(b.unnamed, 1)
		v.bounds[kind] = b
	}
}

// tops holds the statements that returned most rows.
type tops []Largest

const maxTops = 10

func (t *tops) add(p *pending, o *audit.Record) {
	if len(*t) == maxTops && o.Rows <= (*t)[maxTops-1].Rows {
		return
	}
	*t = append(*t, Largest{p.Seq, p.Time, p.Session, p.Purpose, p.Shape, o.Rows, o.Bytes})
	slices.SortStableFunc(*t, func(a, b Largest) int { return cmp.Compare(b.Rows, a.Rows) })
	*t = (*t)[:min(len(*t), maxTops)]
}
