package proxy

import (
	"log/slog"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
)

// errResponse ends sessions because of what was noticed in them, which is for
// those who look after pgveil.
var errResponse = newFatal("57P01", "terminating connection because the policy says so")

// ownName is who does what nobody asked for.
const ownName = "pgveil"

// respond tells of what was noticed, and does about it what the policy says. Both
// halves of a session may call it, and who has no session, with s nil and who it
// is about in the event. It waits for nothing; s.mu and srv.mu must not be held.
//
// What ends the session ends it at once, but for what the caller has in hand: it
// must not send that on.
func (srv *Server) respond(s *session, e alert.Event, r policy.Response) {
	if s == nil {
		srv.tell(e)
	} else {
		e.Login, e.Addr, e.Session, e.App = s.login, s.addr, s.id, s.app
		if e.User == "" {
			e.User = s.login
		}
		srv.alert(s, e)
	}
	// Who has proved nothing may come by any number of names.
	proven := s != nil && s.via != nil
	if e.User != "" && (proven || srv.enforcer.Engine().Policy.Knows(e.User)) {
		srv.curbs.add(e.User, r, srv.now())
	}
	if s != nil && r.End {
		srv.finish(s, errResponse)
	}
	for _, a := range r.Quarantines {
		srv.quarantine(s, e, a)
	}
}

// tell is alert for what is noticed outside of any session.
func (srv *Server) tell(e alert.Event) {
	srv.alerts.Raise(e)
	r := audit.Record{Login: e.Login, User: e.User, Client: e.Addr, Session: e.Session, App: e.App, Database: srv.database, Message: "alert: " + e.Message}
	if err := srv.recordSession(r); err != nil {
		srv.log.Error("recording an alert", "err", err)
	}
}

// finish ends a session and what the server does for it. One that is still being
// logged in ends when that is done: it is not among the sessions yet.
func (srv *Server) finish(s *session, why error) {
	if s.via == nil {
		s.doomed = why
		return
	}
	s.end(why)
	srv.tasks.Go(func() { srv.abandon(s) })
}

// quarantine keeps out whom an event is about: no statement of theirs begins any
// more, and their sessions end in a moment.
func (srv *Server) quarantine(s *session, e alert.Event, a policy.Quarantine) {
	q := &hold{who: a.Who, by: ownName, why: e.Name, automatic: true, made: srv.now(), until: srv.until(a.For)}
	switch a.Who {
	case policy.TargetUser:
		q.name = written(e.User)
	case policy.TargetLogin:
		q.name = written(e.Login)
	case policy.TargetAddress:
		if from, err := netip.ParseAddr(e.Addr); err == nil {
			q.network = networkOf(from)
			q.name = nameOf(q.network)
		}
	}
	switch {
	case q.name != "" && srv.containment.add(q, srv.now()):
		srv.tasks.Go(func() { srv.enforce(q) })
	case q.name != "": // it was in force
	case s != nil: // it came through a socket: there is no address to keep out
		srv.log.Warn("who is to be kept out has no address: the session ends", slog.String("alert", e.Name), slog.String("session", s.id))
		srv.finish(s, errResponse)
	default:
		srv.log.Warn("it is not known whom to keep out", slog.String("alert", e.Name), slog.String("who", a.Who.String()))
	}
}

// longestName bounds names of users, in bytes: some come from who has proved
// nothing yet.
const longestName = 256

// written gives a name as the database can hold it; "" for what is none.
func written(name string) string {
	if len(name) > longestName || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return ""
	}
	return name
}

// nameOf writes a network as it is written down: an address without its length.
func nameOf(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
