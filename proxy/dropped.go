package proxy

import (
	"maps"
	"slices"
)

// errDropped ends sessions whose login the server would not let in any more.
var errDropped = newFatal("57P01", "terminating connection because its role was removed from the server, or may not log in any more")

// ServerRoles gives, each once, the logins by which sessions are on the server,
// and the roles that were set for them there.
func (srv *Server) ServerRoles() (logins, roles []string) {
	l, r := map[string]bool{}, map[string]bool{}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for s := range srv.sessions {
		l[s.deputy.login] = true
		if s.deputy.role != "" {
			r[s.deputy.role] = true
		}
	}
	return slices.Sorted(maps.Keys(l)), slices.Sorted(maps.Keys(r))
}

// ExpelDropped ends the sessions of logins and roles that are gone from the
// server, which itself lets them go on until they end. It gives how many those
// were.
func (srv *Server) ExpelDropped(logins, roles []string) (n int) {
	return srv.expel(errDropped, func(s *session) bool {
		return slices.Contains(logins, s.deputy.login) || s.deputy.role != "" && slices.Contains(roles, s.deputy.role)
	})
}
