package report

import (
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// Investigation collects what statements of a scope returned and changed, from
// the records of one log or several, in the order of each.
type Investigation struct {
	scope    matcher
	width    time.Duration // of a moment of the timeline
	begin    time.Time     // of the first
	open     map[uint64]*pending
	subjects subjectSet
	bounds   map[string]bound
	classes  map[string]*classTally
	shapes   tops // the statements that returned most
	found    Breach
	after    Activity
	listed   listed
	ended    Containment
}

// pending is a statement whose outcome has not come yet.
type pending struct {
	audit.Record
	early []string // subjects named before the period, while it is not known that the statement reaches into it
	named bool     // others were, in it
}

// Limits bound what an investigation remembers.
type Limits struct {
	Subjects int // each compared, to be counted once
	Listed   int // sessions, addresses, refusals and the like, each
}

// Investigate begins an investigation. The zone is that of the timeline's days.
func Investigate(s Scope, l Limits, zone *time.Location) (*Investigation, error) {
	m, err := s.matcher()
	if err != nil {
		return nil, err
	}
	v := &Investigation{
		scope: m, open: map[uint64]*pending{}, subjects: newSubjectSet(l.Subjects), bounds: map[string]bound{},
		classes: map[string]*classTally{}, listed: newListed(l.Listed),
	}
	v.found.Scope = s
	v.begin, v.width = moments(s.From.In(zone), s.To)
	return v, nil
}

// moments chooses how finely a period is shown, and where the first moment
// begins: no more than about a hundred are to be told apart.
func moments(from, to time.Time) (begin time.Time, width time.Duration) {
	const day = 24 * time.Hour
	year, month, date := from.Date()
	begin = time.Date(year, month, date, 0, 0, 0, 0, from.Location())
	for _, width = range []time.Duration{10 * time.Minute, time.Hour, day, 7 * day, 30 * day, 365 * day} {
		if to.Sub(from) <= 100*width {
			break
		}
	}
	if width < day {
		begin = begin.Add(from.Sub(begin).Truncate(width))
	}
	return begin, width
}

// Add takes the next record of a log.
func (v *Investigation) Add(raw audit.Raw) error {
	switch raw.Kind {
	case audit.KindOutcome, audit.KindSubjects:
		p := v.open[raw.Ref()]
		if p == nil {
			return nil
		}
		r, err := raw.Record()
		if err != nil {
			return err
		}
		v.answered(p, &r)
	case audit.KindStatement, audit.KindSession:
		if !v.scope.maybe(raw.Payload) {
			return nil
		}
		r, err := raw.Record()
		if err != nil || !v.scope.match(&r) {
			return err
		}
		if raw.Kind == audit.KindSession {
			v.session(&r)
		} else {
			v.statement(&r)
		}
	case audit.KindPrivacy:
		r, err := raw.Record()
		if err != nil {
			return err
		}
		v.privacy(&r)
	case audit.KindSystem:
		r, err := raw.Record()
		if err != nil {
			return err
		}
		v.system(&r)
	}
	return nil
}

// EndLog says that the log ends: what is still open there has no outcome, or
// none yet.
func (v *Investigation) EndLog() {
	v.abandon(v.scope.To, func(*pending) bool { return true })
	for _, e := range v.listed.begun {
		v.exported(e, "without an outcome")
	}
	clear(v.listed.begun)
}

// abandon gives up on outcomes: whatever those statements did, they did until
// then.
func (v *Investigation) abandon(until time.Time, which func(*pending) bool) {
	for seq, p := range v.open {
		if which(p) {
			delete(v.open, seq)
			v.unfinished(p, until)
		}
	}
}

// within tells whether something that went on from one time to another touches
// the period.
func (v *Investigation) within(from, to time.Time) bool {
	return from.Before(v.scope.To) && !to.Before(v.scope.From)
}

func (v *Investigation) statement(r *audit.Record) {
	switch {
	case !r.Time.Before(v.scope.To):
		if r.Decision != refused {
			v.after.add(r.Time)
		}
	case r.Decision == refused:
		if v.within(r.Time, r.Time) {
			v.refusal(r)
		}
	default:
		v.open[r.Seq] = &pending{Record: *r}
	}
}

// The words of records that decisions and sessions have.
const (
	refused      = "refuse"
	observed     = "observe"
	unrestricted = "unrestricted"
	openClass    = "open"
	shownClear   = "clear"
)

// answered takes what came back for a statement.
func (v *Investigation) answered(p *pending, r *audit.Record) {
	if r.Kind == audit.KindSubjects {
		if r.Time.Before(v.scope.From) {
			p.early = append(p.early, r.Subjects...)
			return
		}
		v.name(p, r)
		return
	}
	delete(v.open, p.Seq)
	if v.within(p.Time, r.Time) {
		v.count(p, r)
	}
}

// name notes the subjects of a statement before its outcome has come. They
// belong to rows that were returned or changed, whichever it does.
func (v *Investigation) name(p *pending, r *audit.Record) {
	p.named = true
	m := v.marks(p, true, true) // whether it does not return what it changes is not known yet
	for _, s := range r.Subjects {
		v.subject(s, m)
	}
}

func (v *Investigation) subject(name string, m mark) {
	if cut(name) {
		v.unbounded("", false)
		return
	}
	v.subjects.add(name, m)
}

// cut tells whether an entry stands for others, in a list that was too long for
// its record.
func cut(entry string) bool { return strings.HasPrefix(entry, "… (") }

func (v *Investigation) unbounded(kind string, unfinished bool) {
	if cut(kind) || kind == audit.AnyKind {
		kind = ""
	}
	b := v.bounds[kind]
	b.any++
	if unfinished {
		b.unfinished++
	}
	v.bounds[strings.Clone(kind)] = b
}

// unfinished counts a statement without an outcome: it may have returned or
// changed whatever it names, of anybody.
func (v *Investigation) unfinished(p *pending, until time.Time) {
	if !v.within(p.Time, until) {
		return
	}
	f := &v.found
	f.Statements.Unfinished++
	v.seen(p, p.Time)
	m := v.marks(p, true, true)
	for _, s := range p.early {
		v.subject(s, m)
	}
	for _, k := range p.Kinds {
		v.unbounded(k, true)
	}
	if len(p.Kinds) == 0 && personal(&p.Record) {
		v.unbounded("", true)
	}
	v.unfinishedColumns(p)
	v.at(p.Time).Statements++
	v.listed.statement(p, nil)
}

// count takes a statement with its outcome.
func (v *Investigation) count(p *pending, o *audit.Record) {
	f := &v.found
	f.Statements.Ended++
	if o.SQLState != "" {
		f.Statements.Failed++
	}
	returned, changed := returned(p, o), changes(p, o)
	v.seen(p, o.Time)
	v.listed.statement(p, o)
	at := v.at(p.Time)
	at.Statements++
	if !returned && !changed {
		return
	}
	if returned {
		f.Statements.Returned++
		f.Rows, f.Bytes = most(f.Rows, o.Rows), most(f.Bytes, o.Bytes)
		at.Rows = most(at.Rows, o.Rows)
		v.shapes.add(p, o)
		v.export(p, o)
	}
	if changed {
		f.Statements.Changed++
	}
	v.countColumns(p, o, returned, changed)
	v.countSubjects(p, o, v.marks(p, returned, changed))
}

// countSubjects takes the subjects that an outcome names, and those it does not.
func (v *Investigation) countSubjects(p *pending, o *audit.Record, m mark) {
	for _, list := range [][]string{p.early, o.Subjects} {
		for _, s := range list {
			v.subject(s, m)
		}
	}
	for _, u := range o.Unnamed {
		if u.AtMost < 0 {
			v.unbounded(u.Kind, false)
			continue
		}
		b := v.bounds[u.Kind]
		b.unnamed = most(b.unnamed, u.AtMost)
		v.bounds[strings.Clone(u.Kind)] = b
	}
	if len(p.early)+len(o.Subjects)+len(o.Unnamed) > 0 || p.named || !personal(&p.Record) {
		return
	}
	if len(p.Kinds) > 0 {
		v.found.Nobody.add(o)
		return
	}
	v.found.Unattributed.add(o)
	v.unbounded("", false)
}

// returned tells whether rows went to the client: those of a command that
// changes some without RETURNING are counted, too, but have no bytes.
func returned(p *pending, o *audit.Record) bool {
	if o.Bytes > 0 || o.Rows <= 0 {
		return o.Bytes > 0
	}
	switch verb, _, _ := strings.Cut(o.Tag, " "); verb {
	case "INSERT", "UPDATE", "DELETE", "MERGE":
		return false
	case "COPY":
		return !uses(p, "write")
	default:
		return true
	}
}

// changes tells whether a statement changed rows, as far as the log says.
func changes(p *pending, o *audit.Record) bool {
	verb, _, _ := strings.Cut(o.Tag, " ")
	deletes := verb == "DELETE" || verb == "MERGE" // which name no column that they write
	return o.Rows > 0 && o.SQLState == "" && (deletes || uses(p, "write"))
}

func uses(p *pending, use string) bool {
	for _, c := range p.Columns {
		if c.Use == use {
			return true
		}
	}
	return false
}

// personal tells whether a statement may reach data about people: it names a
// classified column that is not open, or its columns are not known.
func personal(r *audit.Record) bool {
	for _, c := range r.Columns {
		if c.Class != openClass {
			return true
		}
	}
	return byShape(r)
}

// byShape tells whether a statement was not understood, so that its columns are
// not known.
func byShape(r *audit.Record) bool {
	for _, why := range r.Reasons {
		if strings.HasSuffix(why, "recorded by shape only") {
			return true
		}
	}
	return false
}

// at gives the moment of the timeline that a time falls into. What began before
// the period counts in the first.
func (v *Investigation) at(t time.Time) *Moment {
	i := max(0, int(t.Sub(v.begin)/v.width))
	for len(v.found.Timeline) <= i {
		n := time.Duration(len(v.found.Timeline))
		v.found.Timeline = append(v.found.Timeline, Moment{Begin: v.begin.Add(n * v.width)})
	}
	return &v.found.Timeline[i]
}

func (v *Investigation) seen(p *pending, end time.Time) {
	f := &v.found
	if f.First.IsZero() || p.Time.Before(f.First) {
		f.First = p.Time
	}
	if end.After(f.Last) {
		f.Last = end
	}
}
