package proxy

import (
	"cmp"
	"log/slog"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/state"
)

// list gives the sessions that are logged in here, the oldest first.
func (srv *Server) list() []state.Session {
	srv.mu.Lock()
	all := make([]state.Session, 0, len(srv.sessions))
	for s := range srv.sessions {
		all = append(all, s.seen())
	}
	srv.mu.Unlock()
	slices.SortFunc(all, func(a, b state.Session) int { return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.ID, b.ID)) })
	return all
}

// seen gives what others may see of a session: no literal, no value.
func (s *session) seen() state.Session {
	seen := state.Session{ID: s.id, Login: s.login, User: s.login, Address: s.addr, Application: s.app, Since: s.since, Rows: s.sent.Load()}
	s.mu.Lock()
	defer s.mu.Unlock()
	who := s.who
	for i := range s.queue.n {
		f := s.queue.at(i)
		if f.own {
			continue
		}
		if f.by.access != nil {
			who = f.by.access
		}
		if p := f.plan; p != nil {
			seen.Fingerprint = p.Fingerprint
			if len(p.Steps) > 0 {
				seen.Command = p.Steps[0].Command
			}
			break
		}
	}
	if who != nil {
		seen.User, seen.Roles, seen.Purpose = who.User, who.Roles, who.Purpose
	}
	seen.State = s.stateNow()
	return seen
}

// stateNow says what a session does, in the words of pg_stat_activity. mu is held.
func (s *session) stateNow() string {
	switch {
	case s.ended != nil:
		return "ending"
	case s.queue.n > 0:
		return "active"
	case s.tx == 'T':
		return "idle in transaction"
	case s.tx == 'E':
		return "idle in transaction (aborted)"
	default:
		return "idle"
	}
}

// actsFor tells whether a session is a user's: by its login, or because it does
// something for the user now.
func (s *session) actsFor(user string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.login == user || slices.ContainsFunc(s.acting(), func(a *policy.Access) bool { return a.User == user })
}

// errKilled ends sessions that somebody ended.
var errKilled = newFatal("57P01", "terminating connection by the command of somebody who may contain users")

// kill ends sessions by an order, and what the server does for them.
func (srv *Server) kill(which func(*session) bool, o state.Order) (n int) {
	var killed []*session
	n = srv.expel(errKilled, func(s *session) bool {
		if !which(s) {
			return false
		}
		killed = append(killed, s)
		return true
	})
	for _, s := range killed {
		srv.tellKilled(s, o)
	}
	return n
}

func (srv *Server) tellKilled(s *session, o state.Order) {
	user := s.login
	if o.What == state.KillUser {
		user = o.Name
	}
	e := alert.Event{
		Name: "session_killed", Severity: alert.Notice, Message: "a session was ended by command",
		Login: s.login, User: user, Addr: s.addr, Session: s.id, App: s.app,
		Details: []slog.Attr{slog.String("by", o.By), slog.String("because", o.Reason)},
	}
	srv.alerts.Raise(e)
	r := audit.Record{Session: s.id, Login: s.login, User: user, Client: s.addr, App: s.app, Database: s.database, Message: "killed by " + o.By}
	if o.Reason != "" {
		r.Reasons = []string{o.Reason}
	}
	if err := srv.recordSession(r); err != nil {
		srv.log.Error("recording the end of a session", "err", err)
	}
}
