package proxy

import (
	"context"
	"errors"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/proxy/auth"
)

// appended is the one-time code at the end of a login's password.
type appended struct {
	needed bool   // nobody gets in without
	code   string // "": there is none
	given  bool   // it was right, and is used up
}

// splitCode takes the code off the password of a user who has a second factor.
// Who gives none learns it only where a wrong code is noticed as well.
func (srv *Server) splitCode(ctx context.Context, s *session, secret auth.Secret) (auth.Secret, error) {
	if !srv.appended {
		return secret, nil
	}
	digits, err := srv.state.CodeDigits(ctx, s.login)
	if err != nil {
		return auth.Secret{}, newFatal("57P03", "one-time codes cannot be checked now: %w", err)
	}
	if digits == 0 {
		return secret, nil
	}
	password, code, _ := auth.SplitCode(secret.Password(), digits)
	s.appended = appended{needed: true, code: code}
	return auth.PasswordSecret(password), nil
}

// checkCode decides on a login whose password the server has judged: refused is
// what it said. The code is looked at after the password only, for whoever can
// try codes without it could lock users out. Which of the two was wrong is not
// told, nor who needs a code: all hear the same of a wrong password.
func (srv *Server) checkCode(ctx context.Context, s *session, refused error) error {
	if !srv.appended {
		return refused
	}
	if refused == nil && s.appended.needed && !s.appended.given {
		refused = srv.state.CheckFactor(ctx, s.login, s.appended.code, srv.now())
		s.appended.given = refused == nil
	}
	var wrong *privacy.Error
	var server *auth.ServerError
	if errors.As(refused, &wrong) || errors.As(refused, &server) && server.Code() == wrongPassword {
		// As a text: the server's own words must not be found in it and passed on.
		return auth.WrongPassword(s.login, errors.New(refused.Error()))
	}
	return refused
}
