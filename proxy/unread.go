package proxy

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// longText acts on a Query or Parse whose text is longer than any that is
// planned. It is not held: callers without restrictions have it passed on as it
// comes, recorded by its length; others are refused, and all are where columns are
// sealed, since it may hold values for them.
func (s *session) longText(ctx context.Context, typ byte, frame []byte) error {
	var name []byte
	f := s.take(flightQuery)
	if typ == 'P' {
		b := wire.BodyOf(frame)
		name = b.String()
		if b.Err() != nil {
			return newFatal("08P01", "malformed Parse message")
		}
		f.kind, f.unnamed = flightParse, len(name) == 0
	}
	size := len(frame) - wire.HeadLen + s.left
	err := s.settle(ctx, "")
	f.by = s.party()
	whose := ""
	switch {
	case err != nil:
	case !free(s.plans.Access):
		whose = "that callers with restrictions may send"
	case s.engine.Seals() && !s.foreign:
		whose = "that are read, which they must be where columns are sealed"
	}
	if whose != "" {
		err = &rewrite.Refusal{Code: "54000", Message: fmt.Sprintf("a statement of %d bytes is longer than the %d %s", size, parse.MaxText, whose), Hint: "send the data by COPY, or as parameters"}
	}
	plan := s.unread(fmt.Sprintf("(%d bytes, too long to be read)", size))
	contents := s.contentsOf(frame[wire.HeadLen+min(len(name)+1, len(frame)-wire.HeadLen):], s.left)
	if f.contents = contents; err == nil && typ == 'Q' {
		err = s.admit(ctx, f, plan)
	}
	if err != nil {
		s.dropping = true
		return s.refuse(f, err, func(r *Refusal) {
			if typ == 'P' {
				s.toS.Frame('P', wire.CString(string(name)), r.poison(), noParams)
				return
			}
			s.toS.Frame('Q', r.poison())
		})
	}
	if typ == 'P' {
		f.name(&s.statements, string(name), &named{plan: plan, contents: contents, desc: newDescription(plan)})
	}
	f.plan = plan
	if err := s.push(f); err != nil {
		return err
	}
	s.toS.Pass(frame)
	return nil
}

// call handles FunctionCall, which names a function by number and so is not
// open to callers with restrictions.
func (s *session) call(ctx context.Context, frame []byte) error {
	f := s.take(flightCall)
	err := s.settle(ctx, "")
	f.by = s.party()
	if errors.Is(err, errAborted) {
		s.giveBack(f)
		s.dropping = true
		return s.sync(syncFrame) // as after a Query
	}
	if err == nil && !free(s.plans.Access) {
		err = &rewrite.Refusal{Code: "42501", Message: "the fast-path function call is not open to callers with restrictions", Hint: "call the function in a query"}
	}
	if err == nil {
		err = s.admit(ctx, f, s.unread("(a call of a function by its number)"))
	}
	if err != nil {
		s.dropping = true
		return s.refuse(f, err, func(r *Refusal) { s.toS.Frame('Q', r.poison()) })
	}
	if err := s.push(f); err != nil {
		return err
	}
	s.toS.Pass(frame)
	return nil
}

// unread is the plan of what callers without restrictions have passed on unread.
// shape stands for it in the access log.
func (s *session) unread(shape string) *rewrite.Plan {
	plan := &rewrite.Plan{Shape: shape, Decision: rewrite.Unrestricted, Access: s.plans.Access, Subjects: s.engine.Anybody(), Unread: true}
	if !plan.Access.Unrestricted {
		plan.Decision = rewrite.Observed
	}
	return plan
}
