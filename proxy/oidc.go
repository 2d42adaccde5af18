package proxy

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/auth"
)

// oidc takes a token in place of a password.
func (srv *Server) oidc(ctx context.Context, s *session, c auth.Conn) error {
	if err := s.confidential("a token"); err != nil {
		return err
	}
	secret, err := auth.Password(ctx, c)
	if err != nil {
		return err
	}
	if err := s.present(secret.Password()); err != nil {
		return auth.TokenError(s.login, err)
	}
	return nil
}

// oauth takes a token by SASL, and tells who has none where to get it.
func (srv *Server) oauth(ctx context.Context, s *session, c auth.Conn) error {
	if err := s.confidential("a token"); err != nil {
		return err
	}
	return auth.Bearer(ctx, c, s.login, srv.provider, s.present)
}

// confidential refuses to be shown what others could use as well, unless the
// connection is under TLS or within this machine.
func (s *session) confidential(what string) error {
	if _, ok := s.client.(*tls.Conn); !ok && auth.TrustAllowed(s.client.RemoteAddr()) != nil {
		return newFatal("28000", "%s may be sent under TLS only", what)
	}
	return nil
}

// present verifies a token, and keeps what it says of the login. Its groups
// count until it expires, also amid the session. The error is for the client to
// hear.
func (s *session) present(text string) error {
	c, err := s.srv.logins.Verify(text, s.srv.now())
	switch {
	case err != nil:
		return err
	case c.User != s.login:
		return errors.New("the token is another user's")
	}
	s.identity = c
	s.base.Vouched = &policy.Vouched{Groups: c.Groups, Until: c.Until}
	return nil
}
