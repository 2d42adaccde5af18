package requests

import (
	"strings"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// direct refuses a command that would do at once, and alone, what the policy wants
// a check of the identity or approvals for where it is asked for as a request.
func (s *Service) direct(cmd privacy.Command) error {
	set, _ := s.Data.Current()
	for _, what := range insteadOf(cmd.Verb) {
		if set.Requests().Asks(what) {
			return privacy.Fail(privacy.NotAllowed, "open a request: PRIVACY OPEN "+strings.ToUpper(what.String()), "the policy wants to know who asks, or that others agree, before this is done")
		}
	}
	return nil
}

// insteadOf gives the requests that ask for what a command does at once.
func insteadOf(verb privacy.Verb) []policy.RequestType {
	switch verb {
	case privacy.VerbExport:
		return []policy.RequestType{policy.AccessRequest, policy.Portability}
	case privacy.VerbRestrict:
		return []policy.RequestType{policy.Restriction}
	case privacy.VerbObject:
		return []policy.RequestType{policy.Objection}
	default:
		return nil
	}
}
