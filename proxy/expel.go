package proxy

import (
	"slices"

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
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for s := range srv.sessions {
		s.mu.Lock()
		who := s.who
		s.mu.Unlock()
		if who != nil && remains(set, who) {
			continue
		}
		s.log.Info("session ends: its user or a role of it was removed from the policy")
		s.end(errRemoved)
		n++
	}
	return n
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
