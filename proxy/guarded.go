package proxy

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/proxy/auth"
	"github.com/pgveil/pgveil/proxy/guard"
)

// errLocked is why a login is refused whatever its proof.
var errLocked = errors.New("too many logins have failed: the proof does not count")

// errOthersCert is why a certificate is no proof of a login.
var errOthersCert = errors.New("the certificate is not the login's")

// wrongPassword is the SQLSTATE of a proof that failed.
const wrongPassword = "28P01"

func (s *session) attempt() guard.Attempt {
	return guard.Attempt{Login: s.login, Addr: origin(s.client.RemoteAddr())}
}

// guessable tells whether there is something to guess at a login. A signature is
// nothing: to count tokens that fail would only let others shut their user out.
func (s *session) guessable() bool {
	return s.srv.guard != nil && s.method != Trust && s.method != OIDC && s.method != OAuth
}

// vet asks the guard before anything is done for a login. A pair that is
// locked goes on, to see what it saw when it last failed.
func (srv *Server) vet(ctx context.Context, s *session) error {
	if !s.guessable() {
		return nil
	}
	v := srv.guard.Admit(s.attempt())
	switch {
	case v.Allowed && v.Wait > 0:
		return srv.slow(ctx, s, v.Wait)
	case v.Allowed:
		return nil
	}
	s.lockedBy, s.shown = v.By, v.Shown
	if v.By == guard.Pair && s.method != Cert {
		return nil
	}
	return s.wrong()
}

// wrong is the answer to a login that the guard refuses: that to a wrong proof.
func (s *session) wrong() error {
	if s.method == Cert {
		return othersCert(s.login, errLocked)
	}
	return auth.WrongPassword(s.login, errLocked)
}

// again refuses a locked login whose proof the server would check as the server
// last did.
func (s *session) again() error {
	if s.shown.Error != nil {
		return &auth.ServerError{Body: s.shown.Error}
	}
	return s.wrong()
}

func othersCert(login string, cause error) error {
	return newFatal("28000", "certificate authentication failed for user %q: %w", login, cause)
}

// slow has a login wait. Few may wait at a time: they hold places that others
// want. When there are more, they are refused at once.
func (srv *Server) slow(ctx context.Context, s *session, d time.Duration) error {
	select {
	case srv.slowed <- struct{}{}:
	default:
		s.lockedBy = guard.Login
		return s.wrong()
	}
	defer func() { <-srv.slowed }()
	srv.metrics.slowed.Inc()
	if !pause(ctx, d) {
		return context.Cause(ctx)
	}
	return nil
}

// lookupFor is the look-up of verifiers for one login. It remembers what the
// client is shown of one; who is locked is shown the same without a look, and
// can prove nothing against it.
func (s *session) lookupFor() auth.Lookup {
	if s.lockedBy != 0 {
		return func(context.Context, string) (auth.Verifier, error) {
			return auth.Shown(s.shown.Salt, s.shown.Iterations)
		}
	}
	return func(ctx context.Context, user string) (auth.Verifier, error) {
		v, err := s.srv.lookup(ctx, user)
		s.shown = guard.Shown{Salt: v.Salt, Iterations: v.Iterations}
		return v, err
	}
}

// longestShown bounds what is kept of an error of the server's.
const longestShown = 1024

// judge tells the guard how a proof ended, and gives how the login shall end.
// What failed for another reason than the proof counts for nothing.
func (srv *Server) judge(s *session, err error) error {
	switch {
	case !s.guessable():
		return err
	case s.lockedBy != 0:
		return s.wrong()
	case err == nil:
		return srv.passed(s)
	case !failedProof(err):
		return err
	}
	var refused *auth.ServerError
	if errors.As(err, &refused) && len(refused.Body) <= longestShown {
		s.shown.Error = refused.Body
	}
	v, reached := srv.guard.Failed(s.attempt(), s.shown)
	for _, scope := range reached {
		srv.metrics.lockouts.WithLabelValues(scope.String()).Inc()
		srv.loginsFail(s, alert.Event{
			Name: "login_lockout", Severity: alert.Warning, Message: "logins fail too often: " + scope.String(),
			Details: []slog.Attr{slog.String("scope", scope.String())},
		})
	}
	if !v.Allowed {
		s.lockedBy = v.By
	}
	return err
}

// passed lets a login in that has proved itself, unless it is locked by now.
func (srv *Server) passed(s *session) error {
	v, guesses := srv.guard.Passed(s.attempt())
	if !v.Allowed {
		s.lockedBy = v.By
		return s.wrong()
	}
	if srv.suspect > 0 && guesses >= srv.suspect {
		srv.metrics.guessed.Inc()
		srv.loginsFail(s, alert.Event{
			Name: "login_after_failures", Severity: alert.Warning, Message: "a login got in after many failures",
			Details: []slog.Attr{slog.Int("failures", guesses)},
		})
	}
	return nil
}

// failedProof tells whether a login ended because its proof was wrong.
func failedProof(err error) bool {
	var l *auth.LoginError
	var server *auth.ServerError
	return errors.As(err, &l) && l.Code == wrongPassword || errors.As(err, &server) && server.Code() == wrongPassword ||
		errors.Is(err, errOthersCert)
}

// alert tells operators and auditors of something in a session. That it cannot be
// recorded is no reason to refuse more than is refused: the statement's or login's
// own record decides that.
func (srv *Server) alert(s *session, e alert.Event) {
	e.Login, e.Addr, e.Session, e.App = s.login, s.addr, s.id, s.app
	if e.User == "" {
		e.User = s.login
	}
	srv.alerts.Raise(e)
	r := audit.Record{Session: s.id, Login: s.login, User: e.User, Client: s.addr, App: s.app, Database: s.database, Message: "alert: " + e.Message}
	if err := srv.recordSession(r); err != nil {
		s.log.Error("recording an alert", "err", err)
	}
}
