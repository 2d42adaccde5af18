package auth

import (
	"bytes"
	"errors"
	"fmt"
)

// SQLSTATEs that a login can end with.
const (
	codeViolation   = "08P01" // protocol_violation
	codeRefused     = "28000" // invalid_authorization_specification
	codePassword    = "28P01" // invalid_password
	codeUnavailable = "57P03" // cannot_connect_now
)

// LoginError is a login that pgveil refuses. Code and Message are all that the
// client may be told; Error adds the cause and is for the log.
type LoginError struct {
	Code    string // SQLSTATE
	Message string
	cause   error
}

func (e *LoginError) Error() string {
	if e.cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.cause.Error()
}

func (e *LoginError) Unwrap() error { return e.cause }

// wrongPassword is the one answer to an unknown user, a user that may not log
// in, and a wrong password: telling them apart would tell a guesser who exists.
func wrongPassword(user string, cause error) *LoginError {
	return &LoginError{codePassword, `password authentication failed for user "` + user + `"`, cause}
}

// WrongPassword is that answer for logins that are refused without a look at
// their proof.
func WrongPassword(user string, cause error) *LoginError { return wrongPassword(user, cause) }

func violation(message string) *LoginError {
	return &LoginError{Code: codeViolation, Message: message}
}

// ServerError is the ErrorResponse with which the server refused a login. The
// body is well formed, but the fields in it are whatever the server chose: even
// the SQLSTATE may be missing.
type ServerError struct {
	Body []byte // of the ErrorResponse, as the server sent it, to hand to the client
}

func (e *ServerError) Error() string {
	return fmt.Sprintf("server refused the login: %s (SQLSTATE %s)", e.Message(), e.Code())
}

// Code returns the SQLSTATE, "" when the server gave none.
func (e *ServerError) Code() string { return e.field('C') }

// Message returns the primary message, "" when the server gave none.
func (e *ServerError) Message() string { return e.field('M') }

// field returns the first field of a kind. It relies on newServerError having
// checked that every field ends.
func (e *ServerError) field(kind byte) string {
	for rest := e.Body; len(rest) > 1; {
		value, after, _ := bytes.Cut(rest[1:], []byte{0})
		if rest[0] == kind {
			return string(value)
		}
		rest = after
	}
	return ""
}

// newServerError checks that a body is a list of fields, each ended by a zero
// byte, and one more zero byte. What is not would make a client that we pass it
// to read past its end.
func newServerError(body []byte) error {
	rest := body
	for len(rest) > 1 && rest[0] != 0 {
		_, after, ended := bytes.Cut(rest[1:], []byte{0})
		if !ended {
			return errors.New("server sent a malformed ErrorResponse: field without end")
		}
		rest = after
	}
	if len(rest) != 1 || rest[0] != 0 {
		return errors.New("server sent a malformed ErrorResponse: fields without end")
	}
	return &ServerError{Body: bytes.Clone(body)}
}
