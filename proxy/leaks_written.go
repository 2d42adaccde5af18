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

// writing looks for personal data in what a statement is about to write into open
// columns.
type writing struct {
	sieve
	by     party
	places []string // where something was found, each once
	unread int64    // values that nobody looked into
}

// newWriting gives what looks into values that are written; nil where nobody asks.
func (s *session) newWriting(by party) *writing {
	if by.access == nil {
		by = s.party()
	}
	scan := by.access.ScanWrites()
	find := scan.Find()
	if find == 0 || s.foreign {
		return nil
	}
	if by.access.Observe {
		scan = policy.Scan{Alert: find}
	}
	w := &writing{by: by}
	w.scan, w.with = scan, recognise.New(find)
	return w
}

// look looks into a value that goes into a column.
func (w *writing) look(column string, value []byte) {
	before := w.sum()
	w.value(0, value)
	if w.sum() > before && !slices.Contains(w.places, column) {
		w.places = append(w.places, column)
	}
}

// sum gives how much was found.
func (v *sieve) sum() (n int64) {
	for _, times := range v.found {
		n += times
	}
	return n
}

// scanText looks into the literals that a text writes into open columns. lits are
// those of a text that shares its plan.
func (s *session) scanText(by party, p *rewrite.Plan, lits [][]byte) error {
	if p == nil || len(p.Written) == 0 {
		return nil
	}
	w := s.newWriting(by)
	if w == nil {
		return nil
	}
	for i := range p.Written {
		switch at := &p.Written[i]; {
		case at.Literal > 0 && at.Literal <= len(lits):
			w.look(at.Column, lits[at.Literal-1])
		case at.Argument > 0:
			s.lookArgument(w, p, at)
		case at.Value != "":
			w.look(at.Column, []byte(at.Value))
		}
	}
	return s.tellWritten(w)
}

// lookArgument looks into a value that EXECUTE gives, where its statement writes it
// into open columns.
func (s *session) lookArgument(w *writing, p *rewrite.Plan, at *rewrite.Written) {
	for _, made := range s.plansMade(p) {
		if made == nil {
			w.look("a column of what EXECUTE runs", []byte(at.Value))
			continue
		}
		for _, of := range made.Written {
			if of.Parameter == at.Argument {
				w.look(of.Column, []byte(at.Value))
			}
		}
	}
}

// scanBound looks into the parameters of a Bind message that its statement writes
// into open columns. b is what follows the names.
func (s *session) scanBound(made *named, b wire.Body) error {
	if made.plan == nil || !slices.ContainsFunc(made.plan.Written, func(w rewrite.Written) bool { return w.Parameter > 0 }) {
		return nil
	}
	w := s.newWriting(s.partyOf(made))
	switch {
	case w == nil:
		return nil
	case s.left > 0 && len(b.Rest())+s.left <= maxHeld:
		return errWhole
	}
	formats := b.Int16() & 0xffff
	b.Bytes(2 * formats)
	for i := range b.Int16() & 0xffff {
		size := b.Int32()
		if size < 0 {
			continue
		}
		if value := b.Bytes(size); b.Err() == nil {
			w.lookParameter(made.plan, i+1, value)
		}
	}
	if b.Err() != nil {
		w.unread++
	}
	return s.tellWritten(w)
}

func (w *writing) lookParameter(p *rewrite.Plan, number int, value []byte) {
	for _, at := range p.Written {
		if at.Parameter == number {
			w.look(at.Column, value)
			return // it is looked into once; of several columns the first is told
		}
	}
}

// tellWritten tells operators what was found, and refuses what the policy does not
// let pass.
func (s *session) tellWritten(w *writing) error {
	if len(w.found) == 0 && w.unread == 0 {
		return nil
	}
	for k, n := range w.found {
		s.srv.metrics.leaks.WithLabelValues(k.String(), "written").Add(float64(n))
	}
	into := strings.Join(w.places, ", ")
	if w.scan.Refuse != 0 {
		what := w.kinds() + " into " + into
		if len(w.found) == 0 {
			what = fmt.Sprintf("a value longer than the %d bytes that are looked into", maxHeld)
		}
		return &rewrite.Refusal{
			Code: "42501", Message: "the statement writes what may not stand in open columns: " + what,
			Rule: "scan_writes", Hint: "leave it out, or write it where it belongs",
		}
	}
	e := alert.Event{
		Name: "personal_data_written", Severity: alert.Warning, User: w.by.access.User,
		Message: "personal data is written into open columns",
		Details: []slog.Attr{slog.String("columns", into), slog.String("found", w.counts(recognise.All))},
	}
	if w.unread > 0 {
		e.Details = append(e.Details, slog.Int64("values_not_read", w.unread))
	}
	s.srv.alert(s, e)
	return nil
}
