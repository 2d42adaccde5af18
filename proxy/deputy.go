package proxy

import (
	"errors"
	"strings"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/auth"
	"github.com/pgveil/pgveil/rewrite"
)

// Credential is how pgveil logs in to the server in a client's place.
type Credential struct {
	Login   string      // the server's name for it; "": the client's own login
	Secret  auth.Secret // zero: the server takes pgveil's word, by its address or certificate
	SetRole bool        // the client's login becomes the role of the session
}

// Credentials finds the credential of a login in a database; nil where the
// client's own proof logs in. It is called once a client has proved who it is,
// and must not wait.
type Credentials func(login, database string) (*Credential, error)

// deputy is who logs in to the server for a session.
type deputy struct {
	login  string
	secret auth.Secret // until it is logged in
	own    bool        // the client, by its own proof or for want of one
	trust  bool        // the server may ask for no proof
	role   string      // the session's from its first statement on; "": the login's own
}

// noRole is what SET ROLE takes for "the login's own".
const noRole = "none"

// deputize finds who logs in for a client that gave this proof. In place of a
// proof that pgveil did not check itself there is nobody: the server would be
// asked nothing about the client.
func (srv *Server) deputize(s *session, secret auth.Secret) (deputy, error) {
	own := deputy{login: s.login, secret: secret, own: true, trust: s.method.silent()}
	if srv.deputies == nil {
		return own, nil
	}
	c, err := srv.deputies(s.login, s.database)
	switch {
	case err != nil:
		return deputy{}, newFatal("57P03", "the way to log in to the server is not known at the moment: %w", err)
	case c == nil:
		return own, nil
	case !s.method.proves():
		return deputy{}, newFatal("28000", "the login cannot be completed: %w", errors.New("server.logins is for logins that prove themselves to pgveil"))
	}
	d := deputy{login: c.Login, secret: c.Secret, trust: c.Secret.IsZero()}
	if d.login == "" {
		d.login = s.login
	}
	if c.SetRole {
		if s.login == noRole {
			return deputy{}, newFatal("28000", "user %q cannot be a role of the session", s.login)
		}
		d.role = s.login
	}
	return d, nil
}

// proves tells whether a method leaves no doubt who the client is before the
// server is asked.
func (m Method) proves() bool { return m == SCRAM || m == Cert || m == OIDC || m == OAuth }

// silent tells whether a method gives nothing that would log in to the server.
func (m Method) silent() bool { return m == Trust || m == Cert || m == OIDC || m == OAuth }

// as gives the startup under which a deputy logs in.
func (s *startup) as(d deputy) *startup {
	if d.login == s.get("user") && d.role == "" {
		return s
	}
	other := *s
	other.params = nil
	for _, p := range s.params {
		if p.name == "user" {
			p.value = d.login
		}
		other.params = append(other.params, p)
	}
	if d.role != "" {
		// A setting of the startup is what RESET, DISCARD ALL and SET SESSION
		// AUTHORIZATION DEFAULT go back to.
		other.params = append(other.params, param{"role", d.role})
	}
	return &other
}

// check refuses a caller without restrictions whose role is only assumed: it
// could leave the role for the deputy's own, by a DO block say.
func (d *deputy) check(a *policy.Access) error {
	if d.role == "" || !free(a) {
		return nil
	}
	return &rewrite.Refusal{Code: "28000", Message: "who has no restrictions needs a login of its own on the server", Hint: "see server.logins in pgveil.yaml"}
}

// checkSettings refuses a client that asks for a role of its own at startup.
func (d *deputy) checkSettings(settings []param) error {
	if d.role == "" {
		return nil
	}
	for _, p := range settings {
		if strings.EqualFold(p.name, "role") || strings.EqualFold(p.name, "session_authorization") {
			return newFatal("42501", "the role of the session is not open to be set")
		}
	}
	return nil
}

// assume makes sure that the server has put the session into its role, and goes
// back to it: what stands between, a pool say, may leave settings out, and before
// 14.14, 15.9, 16.5 and 17.1 PostgreSQL leaves the role where DISCARD ALL or RESET
// SESSION AUTHORIZATION resets the login.
func (s *session) assume(d deputy) error {
	if d.role == "" {
		return nil
	}
	is, err := s.inquire("SET SESSION AUTHORIZATION DEFAULT; SELECT current_user")
	if err == nil && is != d.role {
		err = newFatal("XX000", "the server did not put the session into the role of user %q", s.login)
	}
	return err
}

// checkRoles refuses a statement that would leave the role.
func (d *deputy) checkRoles(p *rewrite.Plan) error {
	if d.role == "" || !p.Has(rewrite.Roles) {
		return nil
	}
	return &rewrite.Refusal{Code: "42501", Message: "the role of the session is not open to be changed", Hint: "RESET ROLE goes back to it"}
}

// hide keeps what the server says of a deputy's login from the client, which
// has no part in it.
func (d *deputy) hide(s *session, err error) error {
	var next *elsewhere
	var refused *auth.ServerError
	var l *auth.LoginError
	if d.own || errors.As(err, &next) || !errors.As(err, &refused) && !errors.As(err, &l) {
		return err
	}
	said := errors.New(err.Error()) // no longer what a client would be handed
	return newFatal("28000", "pgveil could not log in to the server for user %q: %w", s.login, said)
}
