package proxy

import (
	"context"
	"errors"
	"slices"

	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// An answer tells of people without a row of theirs: whether a statement fails may
// depend on what they have, and so may the number of rows that a write has changed.
// Of very many it tells of nobody; of few it is charged as if it had shown them.

// untold are the classes of SQLSTATE of errors that tell of no row: they are about
// the text, names, privileges, settings, locks, resources and connections.
var untold = []string{"08", "0A", "25", "26", "28", "2B", "2D", "34", "3B", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "XX"}

// chargeError counts an error that may tell of a data subject, of whom nobody knows
// who that is.
func (s *session) chargeError(ctx context.Context, f *flight, code string) error {
	if !s.tellsUnseen(f) || f.refusal != nil || f.stopped != nil || len(code) >= 2 && slices.Contains(untold, code[:2]) {
		return nil
	}
	kind := rewrite.AnyKind
	if f.naming != nil && len(f.naming.now().Reached) > 0 {
		kind = f.naming.now().Reached[0].Kind
	}
	return s.charge(ctx, f, strangers(kind, 1))
}

// chargeCount counts the data subjects whose rows a write has changed by what it
// knows of them, where those are few.
func (s *session) chargeCount(ctx context.Context, f *flight) error {
	if !s.tellsUnseen(f) || f.naming == nil {
		return nil
	}
	people, few := f.meter.touched, f.naming.rows < rewrite.Fewest
	f.meter.touched = nil
	if len(people) == 0 || !few || !f.naming.now().Silent {
		return nil
	}
	if err := s.charge(ctx, f, people); err != nil {
		f.meter.touched = people
		return err
	}
	return nil
}

// tellsUnseen tells whether what a flight reads is limited by data subjects, and
// what it does may depend on more than open columns.
func (s *session) tellsUnseen(f *flight) bool {
	if f.meter == nil || f.meter.quota == nil || f.plan == nil || !f.plan.Has(rewrite.Reads|rewrite.Executes) {
		return false
	}
	return slices.ContainsFunc(f.meter.quota.stops, func(l limits.Limit) bool { return l.Of == policy.LimitSubjects })
}

// charge counts people of whom the client is about to know something. It is told
// all the same: what was done is done. Who has no allowance left for them gets
// nothing from then on.
func (s *session) charge(ctx context.Context, f *flight, people []limits.Person) error {
	t := &limits.Taking{Limits: f.meter.quota.windows, Patient: !s.hurriedS, Rows: []limits.Row{{People: people}}}
	t.Limits = slices.DeleteFunc(slices.Clone(t.Limits), func(l limits.Limit) bool { return l.Of != policy.LimitSubjects })
	v, err := s.srv.book.Charge(ctx, t)
	switch {
	case errors.Is(err, limits.ErrWaits):
		return errWaits
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return newFatal("58030", "what you get cannot be counted: %w", err)
	}
	s.tell(f.by, v.Told)
	return nil
}
