package proxy

import (
	"context"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/rewrite"
)

// writeDown runs a command that writes into a ledger. It comes after all that
// was sent before it, as it would if the server did it: that is waited for, and
// may keep it from being done. What it says counts once the access log durably
// holds the event's digest.
func (s *session) writeDown(ctx context.Context, cmd privacy.Command, made *named) (*request, error) {
	if made.logged {
		return nil, &rewrite.Refusal{Code: "55000", Message: "the portal has been executed, and what it says is written down", Hint: "bind it again"}
	}
	if err := s.catchUp(); err != nil {
		return nil, err
	}
	r := s.privacyRecord(&flight{plan: made.plan, by: made.by}, "to be written")
	rows, err := s.srv.privacy.Change(ctx, cmd, officer(made.by.access), func(ctx context.Context, digest string) error {
		r.Event = digest
		seq, err := s.srv.audit.Append(&r)
		if err != nil {
			return err
		}
		return s.srv.audit.Sync(ctx, seq)
	})
	if err != nil {
		return nil, err
	}
	return answered(cmd, rows), nil
}

// takesTurn is catchUp where the server may not get to it, or not yet.
func (s *session) takesTurn() error {
	s.mu.Lock()
	due := s.queue.n == 0 && s.tx != 'E'
	s.mu.Unlock()
	if due {
		return nil
	}
	return s.catchUp()
}

// catchUp waits until the server has answered all that was sent to it. Who asks
// must not have become somebody else by that.
func (s *session) catchUp() error {
	answer, err := s.ask()
	if err != nil {
		return err
	}
	before := s.plans.Access
	if s.fixed() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.doubt = true // nobody looks at the answer
		return nil
	}
	if err := s.adopt(s.engine, answer); err != nil {
		return err
	}
	if s.plans.Access.ID != before.ID || s.plans.Access.User != before.User {
		return &rewrite.Refusal{Code: "42501", Message: "who asks, or for what, has changed meanwhile", Hint: "ask again"}
	}
	return nil
}
