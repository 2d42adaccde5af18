package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// bearerName is the mechanism of RFC 7628, which PostgreSQL knows from 18 on.
const bearerName = "OAUTHBEARER"

// maxBearer is the longest message of a client that brings a token.
const maxBearer = 16 << 10

// kvsep stands between the fields of OAUTHBEARER, and alone for "understood".
const kvsep = "\x01"

// ErrNoToken says that a client brought no token, in order to ask where one is
// to be had. That is how libpq begins, and no failure of the user's.
var ErrNoToken = errors.New("no token was sent: the client asks where to get one")

// Provider is where a client gets tokens.
type Provider struct {
	Configuration string // the address of its OpenID configuration
	Scope         string // that a token needs
}

// Bearer lets a client prove by a token who it is: OAUTHBEARER (RFC 7628), as
// PostgreSQL 18 speaks it. check says what is wrong with a token, in words that
// the client may hear. A client without a token is told of the provider.
//
// AuthenticationOk is not sent: the session adds it once the server has let the
// user in. On a *LoginError the session sends it to the client.
func Bearer(ctx context.Context, c Conn, user string, p Provider, check func(token string) error) error {
	token, err := askToken(ctx, c)
	if err != nil {
		return err
	}
	cause := ErrNoToken
	if token != "" {
		cause = check(token)
	}
	if cause == nil {
		return nil
	}
	refused := TokenError(user, cause)
	if err := tellProvider(ctx, c, p); err != nil {
		// Clients that know by now hang up, and are refused all the same.
		return errors.Join(refused, err)
	}
	return refused
}

// TokenError refuses a user whose token proves nothing. It is an ErrNoToken, and
// then no failure, when there was none.
func TokenError(user string, cause error) error {
	e := &LoginError{Code: codeRefused, Message: fmt.Sprintf("OAuth bearer authentication failed for user %q", user)}
	if errors.Is(cause, ErrNoToken) {
		e.cause = ErrNoToken
	} else {
		e.Message += ": " + cause.Error()
	}
	return e
}

// askToken offers the mechanism and reads the client's opening, which has the
// token in it.
func askToken(ctx context.Context, c Conn) (string, error) {
	if err := sendAuth(c, authSASL, bearerName+"\x00\x00"); err != nil {
		return "", err
	}
	body, err := answer(ctx, c, maxBearer)
	if err != nil {
		return "", err
	}
	if string(body) == bearerName+"\x00\xff\xff\xff\xff" { // no data yet: it waits to be asked
		if err := sendAuth(c, authSASLContinue, ""); err != nil {
			return "", err
		}
		if body, err = answer(ctx, c, maxBearer); err != nil {
			return "", err
		}
		return parseBearer(string(body))
	}
	mechanism, data, err := splitInitialResponse(body)
	switch {
	case err != nil:
		return "", err
	case mechanism != bearerName:
		return "", violation("client selected an invalid SASL authentication mechanism")
	}
	return parseBearer(data)
}

// parseBearer reads gs2-header kvsep *(key=value kvsep) kvsep, and gives the
// token in the value of auth. As in PostgreSQL other keys are passed over, and
// an authorization identity is refused.
func parseBearer(data string) (string, error) {
	flag, rest, _ := strings.Cut(data, ",")
	identity, rest, ok := strings.Cut(rest, ",")
	switch {
	case flag != "n" && flag != "y":
		return "", malformedBearer("channel binding is not known to it")
	case identity != "":
		return "", &LoginError{Code: codeRefused, Message: "client uses authorization identity, but it is not supported"}
	case !ok || !strings.HasPrefix(rest, kvsep):
		return "", malformedBearer("no separator after the header")
	}
	fields, ended := strings.CutSuffix(rest[1:], kvsep+kvsep)
	if !ended {
		return "", malformedBearer("no end")
	}
	value, found := "", false
	for field := range strings.SplitSeq(fields, kvsep) {
		key, v, ok := strings.Cut(field, "=")
		switch {
		case !ok || !isKey(key) || !isValue(v):
			return "", malformedBearer("a field that is not key=value")
		case key == "auth" && found:
			return "", malformedBearer("two tokens")
		case key == "auth":
			value, found = v, true
		}
	}
	if !found {
		return "", malformedBearer("no auth field")
	}
	return parseToken(value)
}

func malformedBearer(what string) error { return violation("malformed OAUTHBEARER message: " + what) }

// parseToken takes the token out of "Bearer …". An empty value asks for the
// provider; anything else that is no token is one that proves nothing.
func parseToken(value string) (string, error) {
	if value == "" {
		return "", nil
	}
	scheme, token, ok := strings.Cut(value, " ")
	token = strings.TrimLeft(token, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || !isToken(token) {
		return "", malformedBearer("the value of auth is not a bearer token")
	}
	return token, nil
}

// isKey holds s against RFC 7628's key: letters.
func isKey(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return s != ""
}

// isValue holds s against RFC 7628's value: printable ASCII and white space.
func isValue(s string) bool {
	for i := range len(s) {
		if (s[i] < ' ' || s[i] > '~') && s[i] != '\t' && s[i] != '\r' && s[i] != '\n' {
			return false
		}
	}
	return true
}

// isToken holds s against RFC 6750's b64token.
func isToken(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte("-._~+/", c) < 0 {
			return false
		}
	}
	return s != ""
}

// tellProvider answers a token that is not good enough with where to get a
// better one, and waits for the client to have read it.
func tellProvider(ctx context.Context, c Conn, p Provider) error {
	text, err := json.Marshal(struct {
		Status        string `json:"status"`
		Configuration string `json:"openid-configuration,omitempty"`
		Scope         string `json:"scope,omitempty"`
	}{"invalid_token", p.Configuration, p.Scope})
	if err != nil {
		return err
	}
	if err := sendAuth(c, authSASLContinue, string(text)); err != nil {
		return err
	}
	body, err := answer(ctx, c, maxSASL)
	if err == nil && string(body) != kvsep {
		err = malformedBearer("client did not send a kvsep response")
	}
	return err
}
