package proxy

import (
	"context"
	"slices"
	"time"

	"github.com/pgveil/pgveil/policy"
)

// errRemoved ends sessions of users who are not what they were when it began.
var errRemoved = newFatal("57P01", "terminating connection because the user, or one of its roles, was removed from the policy")

// Expel ends the sessions of those whom the policy in force does not know any
// more, or who have lost a role: also amid a statement, which was planned for
// what they had. It gives how many those were. Whoever only gained something, or
// lost something else, has it decided anew by the next statement.
func (srv *Server) Expel() (n int) {
	set := srv.enforcer.Engine().Policy
	return srv.expel(errRemoved, func(s *session) bool {
		return slices.ContainsFunc(s.parties(), func(who *policy.Access) bool { return who == nil || !remains(set, who) })
	})
}

// expel ends sessions for a reason, and what the server does for them. It gives
// how many those were.
func (srv *Server) expel(why error, which func(*session) bool) (n int) {
	return srv.expelEach(func(s *session) error {
		if which(s) {
			return why
		}
		return nil
	})
}

// expelEach is expel with a reason for each session that does not end already;
// those without one go on.
func (srv *Server) expelEach(why func(*session) error) (n int) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for s := range srv.sessions {
		if s.reason() != nil {
			continue // it ends already
		}
		if err := why(s); err != nil {
			s.end(err)
			srv.tasks.Go(func() { srv.abandon(s) })
			n++
		}
	}
	return n
}

// abandonWithin is how long it may take to tell the server.
const abandonWithin = 5 * time.Second

// abandon has the server cancel what it still does for a session that has ended:
// it would notice only when it has an answer, and have committed by then.
func (srv *Server) abandon(s *session) {
	ctx, cancel := context.WithTimeout(context.Background(), abandonWithin)
	defer cancel()
	if s.first() == nil {
		return
	}
	if err := srv.interrupt(ctx, s, func(context.Context) bool { return true }); err != nil {
		s.log.Warn("what the server does for a session that has ended could not be cancelled", "err", err)
	}
}

// parties gives who asks in the session, and whose statements the server has at
// hand: comments in their texts may name others.
func (s *session) parties() []*policy.Access {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []*policy.Access{s.who}
	for i := range s.queue.n {
		if by := s.queue.at(i).by.access; by != nil && by != s.who {
			all = append(all, by)
		}
	}
	return all
}

// remains tells whether who asks has all the roles that it had. Of a claim that
// was refused, the login counts.
func remains(set *policy.Set, who *policy.Access) bool {
	claim := who.Claim
	claim.Purpose = "" // another may be permitted now, which is for the next statement
	now, err := set.Decide(claim)
	if err != nil && who.ID == 0 {
		claim.User = ""
		now, err = set.Decide(claim)
	}
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(who.Roles, func(role string) bool { return !slices.Contains(now.Roles, role) })
}

// errLapsed ends sessions that the proof of their login does not carry any more.
var errLapsed = newFatal("57P01", "terminating connection because what proved the login has expired")

// ExpelLapsed ends the sessions whose login was proved by a token that has
// expired: also those that only listen, or that are amid a statement. It gives
// how many those were.
func (srv *Server) ExpelLapsed() (n int) {
	now := srv.now()
	return srv.expel(errLapsed, func(s *session) bool {
		until := s.loginEnds()
		return !until.IsZero() && !now.Before(until)
	})
}
