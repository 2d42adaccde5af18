package auth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrUnproven says that the server let the user in without asking for a proof. It
// checked nothing, then: neither the client's password
// (anyone would get in) nor, by its signature, that it is the right server.
var ErrUnproven = errors.New("server let the user in without asking for a proof")

// LoginOptions says what Login may do on this connection. The zero value allows
// SCRAM without channel binding, and nothing that discloses the password.
type LoginOptions struct {
	// Trust accepts a server that asks for nothing, when the Secret is zero. The
	// caller then knows by other means who the client is. Where there is something
	// to prove, Trust changes nothing.
	Trust bool
	// Binding is that of the server's certificate, when the connection is TLS.
	Binding ChannelBinding
	// RequireBinding refuses every login but SCRAM-SHA-256-PLUS.
	RequireBinding bool
	// Private says that the connection is TLS to a verified server, or does not
	// leave this machine. Without it the server gets neither the password nor its
	// MD5 hash, which is as good as the password.
	Private bool
	// Negotiated takes the body of a NegotiateProtocolVersion message. It is valid
	// during the call. When nil, the message is an error.
	Negotiated func(body []byte) error
}

// Login logs in to the server as user, from after the StartupMessage to the
// AuthenticationOk. That counts only once s was used: see ErrUnproven. With the
// zero Secret, which proves nothing, it takes LoginOptions.Trust.
//
// A server that refuses gives a *ServerError. A *LoginError means that the
// server's verifier is no longer the one the client proved. Any other error is
// about the connection or the server and tells the client nothing.
func Login(ctx context.Context, c Conn, user string, s Secret, opts LoginOptions) error {
	l := login{ctx, c, user, s, opts}
	code, data, err := l.first()
	if err != nil {
		return err
	}
	if code == authOK {
		return l.unasked()
	}
	if err := l.prove(code, data); err != nil {
		return err
	}
	_, err = l.expect(authOK)
	return err
}

// login is one run of Login.
type login struct {
	ctx  context.Context
	c    Conn
	user string
	s    Secret
	opts LoginOptions
}

// first receives the first authentication request, and before it the server's
// objection to the protocol version, if any.
func (l *login) first() (uint32, []byte, error) {
	typ, body, err := receive(l.ctx, l.c, maxServer)
	if err == nil && typ == msgNegotiate && l.opts.Negotiated != nil {
		if err := l.opts.Negotiated(body); err != nil {
			return 0, nil, fmt.Errorf("negotiate protocol version: %w", err)
		}
		typ, body, err = receive(l.ctx, l.c, maxServer)
	}
	return request(typ, body, err)
}

// expect receives the authentication request that must come next.
func (l *login) expect(code uint32) ([]byte, error) {
	got, data, err := request(receive(l.ctx, l.c, maxServer))
	if err != nil {
		return nil, err
	}
	if got != code {
		return nil, fmt.Errorf("server sent authentication request %d in place of %d", got, code)
	}
	if code == authOK && len(data) != 0 {
		return nil, errors.New("server sent a malformed AuthenticationOk")
	}
	return data, nil
}

// request takes an authentication request apart, and makes the server's refusal
// the error it is.
func request(typ byte, body []byte, err error) (uint32, []byte, error) {
	switch {
	case err != nil:
		return 0, nil, fmt.Errorf("receive authentication request: %w", err)
	case typ == msgError:
		return 0, nil, newServerError(body)
	case typ != msgAuthentication:
		return 0, nil, fmt.Errorf("server sent message type %d during login", typ)
	case len(body) < 4:
		return 0, nil, errors.New("server sent a truncated authentication request")
	}
	return binary.BigEndian.Uint32(body), body[4:], nil
}

// unasked decides on an AuthenticationOk that nothing was asked before.
func (l *login) unasked() error {
	switch {
	case !l.s.IsZero(), !l.opts.Trust:
		return ErrUnproven
	case l.opts.RequireBinding:
		return fmt.Errorf("channel binding is required: %w", ErrUnproven)
	}
	return nil
}

// prove answers the server's first request.
func (l *login) prove(code uint32, data []byte) error {
	switch {
	case l.s.IsZero():
		return errors.New("server asks for a password, but the client's login disclosed none")
	case code == authSASL:
		return l.scram(data)
	case l.opts.RequireBinding:
		return errors.New("channel binding is required, but the server does not ask for SCRAM")
	case code != authCleartext && code != authMD5:
		return fmt.Errorf("server asks for authentication method %d, which is not supported", code)
	case l.s.password == "":
		return errors.New("server asks for the password itself, but SCRAM disclosed only a key")
	case !l.opts.Private:
		return errors.New("server asks for the password over a connection that is not private")
	case code == authCleartext:
		return l.reply([]byte(l.s.password + "\x00"))
	default:
		return l.md5(data)
	}
}

// md5 answers AuthenticationMD5Password, which servers up to 18 still know.
func (l *login) md5(salt []byte) error {
	if len(salt) != 4 {
		return errors.New("server sent an MD5 salt of the wrong length")
	}
	inner := md5.Sum([]byte(l.s.password + l.user))
	outer := md5.Sum(append(hex.AppendEncode(nil, inner[:]), salt...))
	return l.reply([]byte("md5" + hex.EncodeToString(outer[:]) + "\x00"))
}

// scram is the client's half of RFC 5802.
func (l *login) scram(offered []byte) error {
	mechanism, header, bound, err := l.choose(offered)
	if err != nil {
		return err
	}
	nonce := newNonce()
	bare := "n=,r=" + nonce
	opening := append([]byte(mechanism), 0)
	opening = binary.BigEndian.AppendUint32(opening, uint32(len(header)+len(bare)))
	if err := l.reply(append(opening, header+bare...)); err != nil {
		return err
	}
	challenge, err := l.expect(authSASLContinue)
	if err != nil {
		return err
	}
	transcript := bare + "," + string(challenge)
	c, err := parseChallenge(string(challenge), nonce)
	if err != nil {
		return err
	}
	keys, err := l.keys(c)
	if err != nil {
		return err
	}
	final := "c=" + encodeBase64(append([]byte(header), bound...)) + ",r=" + c.nonce
	transcript += "," + final
	if err := l.reply([]byte(final + ",p=" + encodeBase64(keys.proof(transcript)))); err != nil {
		return err
	}
	signature, err := l.expect(authSASLFinal)
	if err != nil {
		return err
	}
	return checkSignature(string(signature), sign(keys.ServerKey, transcript))
}

// choose picks the mechanism and says so in the header. "y" tells the server that
// we could bind but saw no offer, by which it notices an offer that got lost.
func (l *login) choose(offered []byte) (mechanism, header string, bound ChannelBinding, err error) {
	list, ended := strings.CutSuffix(string(offered), "\x00\x00")
	names := strings.Split(list, "\x00")
	canBind := len(l.opts.Binding) > 0
	switch {
	case !ended:
		return "", "", nil, errors.New("server sent a malformed list of SASL mechanisms")
	case canBind && slices.Contains(names, plusName):
		return plusName, bindingFlag + ",,", l.opts.Binding, nil
	case l.opts.RequireBinding:
		return "", "", nil, errors.New("channel binding is required, but not possible with this server")
	case !slices.Contains(names, scramName):
		return "", "", nil, errors.New("server offers no SASL mechanism that is supported")
	case canBind:
		return scramName, "y,,", nil, nil
	default:
		return scramName, "n,,", nil, nil
	}
}

// challenge is the server-first-message of RFC 5802, section 7.
type challenge struct {
	nonce      string // the client's and the server's
	salt       []byte
	iterations int
}

// parseChallenge reads r=nonce,s=salt,i=count. Its size is held to what the
// server itself would accept back, so the nonce cannot be endless.
func parseChallenge(data, nonce string) (challenge, error) {
	fields := strings.Split(data, ",")
	if len(data) > maxSASL || len(fields) != 3 {
		return challenge{}, errors.New("server sent a malformed SCRAM challenge")
	}
	full, okNonce := strings.CutPrefix(fields[0], "r=")
	salt, okSalt := strings.CutPrefix(fields[1], "s=")
	count, okCount := strings.CutPrefix(fields[2], "i=")
	if !okNonce || !okSalt || !okCount {
		return challenge{}, errors.New("server sent a malformed SCRAM challenge: attribute missing")
	}
	if !isNonce(full) || !strings.HasPrefix(full, nonce) || len(full) == len(nonce) {
		return challenge{}, errors.New("server sent a SCRAM nonce that does not extend ours")
	}
	raw, err := decodeBase64(salt)
	if err != nil || len(raw) == 0 {
		return challenge{}, errors.New("server sent a malformed SCRAM salt")
	}
	n, err := parseIterations(count)
	if err != nil {
		return challenge{}, fmt.Errorf("server sent a malformed SCRAM challenge: %w", err)
	}
	return challenge{full, raw, n}, nil
}

// keys returns what answers the challenge. Keys that were learned from a proof
// fit only the verifier that the proof was for.
func (l *login) keys(c challenge) (*scramKeys, error) {
	if l.s.scram == nil {
		return deriveKeys(l.s.password, c.salt, c.iterations)
	}
	fits := l.s.scram.Iterations == c.iterations && bytes.Equal(l.s.scram.Salt, c.salt)
	switch {
	case !fits && l.s.scram.Own:
		return nil, &LoginError{codeRefused, fmt.Sprintf("the server has another password verifier for user %q than pgveil", l.user),
			errors.New("give both the same: ALTER ROLE … PASSWORD with the verifier of the users file")}
	case !fits:
		return nil, wrongPassword(l.user, errors.New("server uses another verifier than the one looked up"))
	}
	return l.s.scram, nil
}

// checkSignature makes sure that the server holds the verifier: one that merely
// accepts whatever it is sent does not get this far.
func checkSignature(data string, want []byte) error {
	encoded, ok := strings.CutPrefix(data, "v=")
	got, err := decodeBase64(encoded)
	if !ok || err != nil || !hmac.Equal(got, want) {
		return errors.New("server sent a wrong SCRAM signature: it does not know the user's password")
	}
	return nil
}

// reply sends one answer to the server.
func (l *login) reply(body []byte) error {
	err := l.c.Send(msgPassword, body)
	if err == nil {
		err = l.c.Flush()
	}
	if err != nil {
		return fmt.Errorf("send authentication response: %w", err)
	}
	return nil
}
