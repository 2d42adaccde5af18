package proxy

import "github.com/pgveil/pgveil/rewrite"

// refuseRestored refuses what may be about governed data while the database is
// held, because persons who were erased may be in it again. What officers do about
// that is let through: PRIVACY commands are.
func (s *session) refuseRestored(f *flight, p *rewrite.Plan) error {
	if s.srv.held == nil || f.privacy != nil || !mayBeGoverned(p) {
		return nil
	}
	why := s.srv.held()
	if why == "" {
		return nil
	}
	return &rewrite.Refusal{Code: cannotConnectNow, Message: why, Hint: "an operator must look at pgveil's log, and run pgveil dsar replay"}
}

// mayBeGoverned tells whether a plan may be about governed data. Of a text that
// was passed on as it is, the plan does not say.
func mayBeGoverned(p *rewrite.Plan) bool {
	if p.Decision == rewrite.Unrestricted || p.Decision == rewrite.Observed {
		return !independent(p.Text)
	}
	return limitable(p) || p.Unread
}
