package proxy

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/recognise"
	"github.com/pgveil/pgveil/rewrite"
)

// leaks looks for personal data in the rows that answer a statement, where it
// reads a column of a class that is scanned. It is the server half's.
type leaks struct {
	sieve
	by      party
	columns []string // those of the classes, as far as they are known
	desc    *description
	types   []uint32 // of a text's rows
	copying copyOut
	why     *rewrite.Refusal // of the row that was read last
	unread  int64            // rows that nobody looked into
	told    bool
}

// inspect has the rows that answer a flight looked into, if any class asks for it.
func (s *session) inspect(f *flight, p *rewrite.Plan) {
	if s.foreign || f.privacy != nil || !s.engine.Policy.Scans() {
		return
	}
	portal := s.portalOf(f, p)
	switch {
	case portal != nil && portal.leaks != nil:
		f.leaks = portal.leaks
	default:
		if f.leaks = s.newLeaks(f.by, p); f.leaks == nil {
			return
		}
		if f.portal != nil {
			f.leaks.desc = f.portal.desc
		}
		if portal != nil {
			portal.leaks = f.leaks
		}
	}
	if f.meter == nil {
		f.meter = newMeter(nil)
	}
}

// portalOf gives the portal or cursor whose rows a flight returns; nil for those
// of a statement of its own, and of several.
func (s *session) portalOf(f *flight, p *rewrite.Plan) *named {
	if !p.Has(rewrite.Fetches) {
		return f.portal
	}
	if len(p.Steps) > 1 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.portals.get([]byte(p.Steps[0].Name))
}

// newLeaks makes what looks into the rows of a plan; nil where nothing is asked for.
func (s *session) newLeaks(by party, p *rewrite.Plan) *leaks {
	if by.access == nil {
		by = s.party()
	}
	scan, columns := scanOf(by.access, p, policy.Scan{}, nil)
	if p.Has(rewrite.Executes | rewrite.Fetches) {
		for _, made := range s.plansMade(p) {
			scan, columns = scanOf(by.access, made, scan, columns)
		}
	}
	find := scan.Find()
	if find == 0 {
		return nil
	}
	if by.access.Observe {
		scan = policy.Scan{Alert: find}
	}
	if s.scanner == nil || s.scanner.Set() != find {
		s.scanner = recognise.New(find)
	}
	return &leaks{sieve: sieve{scan: scan, with: s.scanner}, by: by, columns: columns}
}

// scanOf adds what is looked for in what a plan reads, and the columns that it is
// looked for in. Of a plan that nobody knows, and of columns that nobody classified,
// as a view's may be, anything may be read that is scanned.
func scanOf(a *policy.Access, p *rewrite.Plan, scan policy.Scan, columns []string) (policy.Scan, []string) {
	if p == nil || p.Unread {
		return scan.And(a.ScanAll()), columns
	}
	for i := range p.Columns {
		c := &p.Columns[i]
		of := a.Scan(c.Class)
		if c.Class == "" {
			of = a.ScanAll()
		}
		if !c.Write && of.Find() != 0 {
			scan, columns = scan.And(of), append(columns, c.Name)
		}
	}
	return scan, columns
}

// plansMade gives the plans of what a plan's EXECUTE and FETCH stand for; nil for
// one that nobody knows.
func (s *session) plansMade(p *rewrite.Plan) (all []*rewrite.Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, step := range p.Steps {
		of, effect := &s.statements, rewrite.Prepares
		switch {
		case step.Effect&rewrite.Executes != 0:
		case step.Effect&rewrite.Fetches != 0:
			of, effect = &s.portals, rewrite.Declares
		default:
			continue
		}
		if made := of.get([]byte(step.Name)); made != nil {
			all = append(all, made.plan)
		} else if lastMade(p.Steps[:i], effect, step.Name) < 0 {
			all = append(all, nil)
		}
	}
	return all
}

// describes notes the types of the rows that a RowDescription speaks of.
func (f *flight) describes(frame []byte) (err error) {
	switch {
	case f.desc != nil:
		f.desc.types, err = typesIn(frame)
	case f.leaks != nil:
		f.leaks.types, err = typesIn(frame)
	}
	return err
}

// look looks into a row or a message of COPY. It gives what the client may be sent
// for it and for what was held before; nothing where it is held, or refused.
func (l *leaks) look(frame []byte) ([]byte, error) {
	refused := false
	var err error
	if frame[0] == 'd' {
		var whole []byte
		held := len(l.copying.held) > 0
		whole, refused, err = l.copying.take(&l.sieve, frame[wire.HeadLen:])
		switch {
		case err != nil:
			l.refuse(err.Error())
			return nil, nil
		case refused:
		case whole == nil:
			return nil, nil
		case held:
			frame = wire.AppendFrame(nil, 'd', whole)
		}
	} else {
		types := l.types
		if l.desc != nil {
			types = l.desc.types
		}
		if refused, err = l.row(frame, types); err != nil {
			return nil, err
		}
	}
	if refused {
		l.refuse("a row holds what may not leave: " + l.kinds())
		return nil, nil
	}
	return frame, nil
}

func (l *leaks) refuse(message string) {
	l.why = &rewrite.Refusal{
		Code: "42501", Message: message, Rule: "the scan of " + l.where(),
		Hint: "ask for rows or columns without it",
	}
}

// refuses tells whether the row that was read last may not leave.
func (l *leaks) refuses() bool { return l != nil && l.why != nil }

// refusal gives why, once.
func (l *leaks) refusal() error {
	why := l.why
	l.why = nil
	return why
}

// long acts on a row that is too long to be held. It tells whether it may leave
// without a look into it.
func (l *leaks) long(size int) bool {
	if l == nil {
		return true
	}
	l.unread++
	if l.scan.Refuse|l.scan.Scrub != 0 {
		l.refuse(fmt.Sprintf("a row of %d bytes is longer than the %d that are looked into", size, maxAnswer))
		return false
	}
	return true
}

// fields looks into the texts of an error or notice, which can quote values. edited
// is what there is in place of its fields; nil when they may pass. So is what it
// gives.
func (l *leaks) fields(fields, edited []wire.Field) []wire.Field {
	if l == nil {
		return edited
	}
	if edited != nil {
		fields = edited
	}
	all, changed := slices.Clone(fields), edited != nil
	for i := range all {
		if !strings.ContainsRune("MDHWq", rune(all[i].Type)) {
			continue
		}
		text := []byte(all[i].Value)
		if l.text(text) {
			text = []byte("(pgveil withholds the text: it holds what may not leave)")
		}
		changed = changed || string(text) != all[i].Value
		all[i].Value = string(text)
	}
	if !changed {
		return nil
	}
	return all
}

// where says of what the rows are that were looked into.
func (l *leaks) where() string {
	const most = 5
	switch n := len(l.columns); {
	case n == 0:
		return "what the statement reads"
	case n > most:
		return fmt.Sprintf("%s and %d other columns", strings.Join(l.columns[:most], ", "), n-most)
	default:
		return strings.Join(l.columns, ", ")
	}
}

// kinds says what was found.
func (v *sieve) kinds() string {
	var words []string
	for _, k := range recognise.All.Kinds() {
		if v.found[k] > 0 {
			words = append(words, k.String())
		}
	}
	return strings.Join(words, ", ")
}

// counts says what was found, and how often, as far as it is in a set.
func (v *sieve) counts(of recognise.Set) string {
	var words []string
	for _, k := range of.Kinds() {
		if n := v.found[k]; n > 0 {
			words = append(words, fmt.Sprintf("%s %d", k, n))
		}
	}
	return strings.Join(words, ", ")
}

// copyEnds passes on what is held of a COPY whose data ends. It tells whether the
// client may learn of the end.
func (s *session) copyEnds(f *flight) bool {
	if f.leaks == nil {
		return true
	}
	rest, refused := f.leaks.copying.rest(&f.leaks.sieve)
	if refused {
		f.leaks.refuse("a row holds what may not leave: " + f.leaks.kinds())
		s.stop(f, f.leaks.refusal())
		return false
	}
	if len(rest) > 0 {
		f.rows++
		f.bytes += int64(len(rest))
		s.toC.Frame('d', rest)
	}
	return true
}

// tellLeaks counts what was found in the rows that a flight returned, and tells
// operators of it where the policy says so: once of what a portal or cursor returns.
func (s *session) tellLeaks(f *flight) {
	l := f.leaks
	if l == nil || len(l.found) == 0 && l.unread == 0 {
		return
	}
	for k, n := range l.found {
		s.srv.metrics.leaks.WithLabelValues(k.String(), acts(l.scan, k)).Add(float64(n))
	}
	unread := l.unread > 0 && l.why == nil && f.stopped == nil
	if told := l.counts(l.scan.Alert &^ l.scan.Refuse &^ l.scan.Scrub); (told != "" || unread) && !l.told {
		l.told = true
		e := alert.Event{
			Name: "personal_data_read", Severity: alert.Warning, User: l.by.access.User,
			Message: "there is personal data in what a statement returns",
			Details: []slog.Attr{slog.String("columns", l.where()), slog.String("found", told)},
		}
		if unread {
			e.Details = append(e.Details, slog.Int64("rows_not_read", l.unread))
		}
		s.srv.alert(s, e)
	}
	l.found, l.unread = nil, 0
}

// acts names what is done where a kind is found.
func acts(scan policy.Scan, k recognise.Kind) string {
	switch {
	case scan.Refuse.Has(k):
		return "refuse"
	case scan.Scrub.Has(k):
		return "scrub"
	default:
		return "alert"
	}
}

// descOfNamed gives what the server's description of a prepared statement or portal
// is kept in.
func (s *session) descOfNamed(kind byte, name []byte) *description {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := &s.statements
	if kind == 'P' {
		of = &s.portals
	}
	if made := of.get(name); made != nil {
		return made.desc
	}
	return nil
}

// scanned tells whether rows of a plan may be looked into.
func scanned(p *rewrite.Plan) bool {
	return p.Access != nil && p.Access.ScanAll().Find() != 0
}
