package proxy

import (
	"context"
	"fmt"

	"github.com/pgveil/pgveil/rewrite"
)

// A prepared statement is analyzed anew by the server when search_path or the schema
// has changed: a name in it may be another table's then. Texts of callers with
// restrictions name schemas; of others it is looked at whether they would be planned as
// they were.

// planned gives what plans rest on now.
func (s *session) planned() planned { return planned{s.engine, s.lookup.Key()} }

// plansAlike tells whether a prepared statement of a caller without restrictions would
// be sent as it was. What is sealed in it is not compared: it is prepared again.
func (s *session) plansAlike(ctx context.Context, st *named) (bool, error) {
	if st.bySQL || st.asked == "" {
		return true, s.stillOpen(ctx, "prepared statement", st)
	}
	again, err := s.makeTyped(ctx, []byte(st.asked), st.params)
	if err != nil {
		return false, err
	}
	if !asItIs(st.plan) || !asItIs(again.plan) {
		return false, nil
	}
	st.under = again.under
	return true, nil
}

// asItIs tells whether a text is sent, and its rows come, as they are.
func asItIs(p *rewrite.Plan) bool { return p != nil && !p.Changed && p.Seals == nil }

// stillOpen refuses what SQL prepared, where it cannot be prepared again by itself, and
// something is sealed in it now or was then.
func (s *session) stillOpen(ctx context.Context, what string, st *named) error {
	text := st.asked
	if text == "" {
		text = st.plan.Text
	}
	r, err := s.plan(ctx, &s.lookup, []byte(text))
	if err != nil {
		return err
	}
	if !asItIs(st.plan) || !asItIs(r.Plan) {
		return &rewrite.Refusal{Code: "42501", Message: fmt.Sprintf("the %s was made under another search_path or schema, and columns are sealed", what), Hint: "prepare it again"}
	}
	st.under = s.planned()
	return nil
}

// checkExecuted refuses EXECUTE of what takes values to be sealed, which are in the text
// here, and, by callers without restrictions, of what would be sealed otherwise than it
// was when it was prepared.
func (s *session) checkExecuted(ctx context.Context, p *rewrite.Plan, by party) error {
	if s.foreign || !s.engine.Seals() || !p.Has(rewrite.Executes) {
		return nil
	}
	for _, step := range p.Steps {
		if step.Effect&rewrite.Executes == 0 {
			continue
		}
		st, err := s.meaning(&s.statements, []byte(step.Name))
		if err != nil {
			return err
		}
		if st == nil {
			continue // of the same text, or the server says so
		}
		if sealsParams(st.plan) {
			return &rewrite.Refusal{Code: "0A000", Message: fmt.Sprintf("prepared statement %q takes values that are sealed, and EXECUTE has them in clear", step.Name), Hint: "run it by the protocol"}
		}
		if !free(by.access) {
			continue // checkNames has looked
		}
		if st.plan.Access.ID != by.access.ID {
			return refuseOtherAccess("prepared statement", []byte(step.Name))
		}
		if st.under != s.planned() {
			if err := s.stillOpen(ctx, "prepared statement", st); err != nil {
				return err
			}
		}
	}
	return nil
}
