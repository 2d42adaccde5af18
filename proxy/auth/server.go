package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	plusName    = scramName + "-PLUS"
	bindingFlag = "p=tls-server-end-point"
)

// minMockKey is the shortest key under which salts cannot be told from random.
const minMockKey = 16

// SCRAM lets a client prove that it knows the password of user. It offers
// SCRAM-SHA-256, and SCRAM-SHA-256-PLUS when binding is given. The Secret it
// returns holds the client key of the proof.
//
// An unknown user goes through the same exchange as a wrong password, with a
// salt derived from mockKey, and ends in the same error. That holds as long as
// mockKey stays the same, over restarts and for all proxies of one server.
//
// On success the last message of the exchange is sent, but not flushed, and
// AuthenticationOk is not sent: the session adds it once the server, too, has
// let the user in. On a *LoginError the session sends it to the client.
func SCRAM(ctx context.Context, c Conn, user string, lookup Lookup, binding ChannelBinding, mockKey []byte) (Secret, error) {
	return JudgedSCRAM(ctx, c, user, lookup, binding, mockKey, func(err error) error { return err })
}

// JudgedSCRAM is SCRAM whose outcome somebody else has a say in: judge gets nil
// or the *LoginError of a proof that failed, before the client learns anything
// of it, and gives what is told instead. It can refuse a proof that is right, and
// not accept one that is wrong.
func JudgedSCRAM(ctx context.Context, c Conn, user string, lookup Lookup, binding ChannelBinding, mockKey []byte, judge func(error) error) (Secret, error) {
	if len(mockKey) < minMockKey {
		return Secret{}, fmt.Errorf("SCRAM login: key for mock salts is shorter than %d bytes", minMockKey)
	}
	first, err := askFirst(ctx, c, binding)
	if err != nil {
		return Secret{}, err
	}
	v, noVerifier, err := find(ctx, user, lookup, mockKey)
	if err != nil {
		return Secret{}, err
	}
	nonce := first.nonce + newNonce()
	challenge := fmt.Sprintf("r=%s,s=%s,i=%d", nonce, encodeBase64(v.Salt), v.Iterations)
	final, err := askFinal(ctx, c, challenge, first.header+string(first.binding), nonce)
	if err != nil {
		return Secret{}, err
	}
	transcript := first.bare + "," + challenge + "," + final.withoutProof
	key, proven := v.check(final.proof, transcript)
	var failed error
	switch {
	case noVerifier != nil:
		failed = wrongPassword(user, noVerifier)
	case !proven:
		failed = wrongPassword(user, errors.New("wrong password"))
	}
	if err := judge(failed); err != nil {
		return Secret{}, err
	}
	if failed != nil {
		return Secret{}, failed
	}
	if err := sendAuth(c, authSASLFinal, "v="+encodeBase64(sign(v.ServerKey, transcript))); err != nil {
		return Secret{}, err
	}
	return Secret{scram: &scramKeys{v, key}}, nil
}

// Password asks for the password in clear. The caller guarantees that the
// connection is encrypted or does not leave this machine, and that somebody
// checks the password: normally the server, by Login.
func Password(ctx context.Context, c Conn) (Secret, error) {
	if err := sendAuth(c, authCleartext, ""); err != nil {
		return Secret{}, err
	}
	body, err := answer(ctx, c, maxPassword)
	if err != nil {
		return Secret{}, err
	}
	password, ended := bytes.CutSuffix(body, []byte{0})
	switch {
	case !ended || bytes.IndexByte(password, 0) >= 0:
		return Secret{}, violation("invalid password packet size")
	case len(password) == 0:
		return Secret{}, &LoginError{Code: codePassword, Message: "empty password returned by client"}
	}
	return PasswordSecret(string(password)), nil
}

// find returns the verifier to run the exchange with. A user without one gets a
// mock and the reason why; an error is an outage.
func find(ctx context.Context, user string, lookup Lookup, mockKey []byte) (v Verifier, noVerifier, err error) {
	mock := mockVerifier(user, mockKey)
	v, err = lookup(ctx, user)
	switch {
	case errors.Is(err, ErrNoVerifier):
		return mock, err, nil
	case err != nil:
		return Verifier{}, nil, &LoginError{codeUnavailable, "passwords cannot be checked at the moment", err}
	case !v.usable():
		return mock, fmt.Errorf("%w: malformed", ErrNoVerifier), nil
	}
	return v, nil, nil
}

// clientFirst is the client-first-message of RFC 5802, section 7.
type clientFirst struct {
	header  string         // gs2-header
	bare    string         // what follows it
	nonce   string         // of the client
	binding ChannelBinding // what the client must repeat: empty unless it chose PLUS
}

// askFirst offers the mechanisms and reads the client's choice and opening.
func askFirst(ctx context.Context, c Conn, binding ChannelBinding) (clientFirst, error) {
	offer := scramName + "\x00\x00"
	if len(binding) > 0 {
		offer = plusName + "\x00" + offer
	}
	if err := sendAuth(c, authSASL, offer); err != nil {
		return clientFirst{}, err
	}
	body, err := answer(ctx, c, maxSASL)
	if err != nil {
		return clientFirst{}, err
	}
	mechanism, data, err := splitInitialResponse(body)
	if err != nil {
		return clientFirst{}, err
	}
	return parseClientFirst(mechanism, data, binding)
}

// splitInitialResponse takes a SASLInitialResponse apart. The length is compared,
// never used. PostgreSQL lets it be -1 for "no data yet", but SCRAM always opens
// with data.
func splitInitialResponse(body []byte) (mechanism, data string, err error) {
	name, rest, ended := bytes.Cut(body, []byte{0})
	if !ended || len(rest) < 4 || int64(int32(binary.BigEndian.Uint32(rest))) != int64(len(rest)-4) {
		return "", "", violation("malformed SASLInitialResponse message")
	}
	return string(name), string(rest[4:]), nil
}

// parseClientFirst reads flag,authzid,n=name,r=nonce. As in PostgreSQL, the name
// is ignored in favour of the startup message's, and an authzid is refused. No
// driver sends extensions, and none are understood.
func parseClientFirst(mechanism, data string, binding ChannelBinding) (clientFirst, error) {
	fields := strings.Split(data, ",")
	if len(fields) != 4 || !strings.HasPrefix(fields[2], "n=") {
		return clientFirst{}, violation("malformed SCRAM message")
	}
	if fields[1] != "" {
		return clientFirst{}, &LoginError{Code: codeRefused, Message: "client uses authorization identity, but it is not supported"}
	}
	nonce, ok := strings.CutPrefix(fields[3], "r=")
	if !ok || !isNonce(nonce) {
		return clientFirst{}, violation("malformed SCRAM message: no usable nonce")
	}
	first := clientFirst{header: fields[0] + ",,", nonce: nonce}
	first.bare = data[len(first.header):]
	if mechanism == plusName {
		first.binding = binding
	}
	return first, checkFlag(mechanism, fields[0], binding)
}

// checkFlag holds the mechanism that a client chose against what was offered and
// against what it says of channel binding. A client that could bind but saw no
// offer, although we made one, talks to us through someone who removed it.
func checkFlag(mechanism, flag string, binding ChannelBinding) error {
	offered := len(binding) > 0
	switch {
	case mechanism != scramName && (mechanism != plusName || !offered):
		return violation("client selected an invalid SASL authentication mechanism")
	case mechanism == plusName && flag == bindingFlag:
		return nil
	case mechanism == plusName && strings.HasPrefix(flag, "p="):
		return violation("unsupported SCRAM channel-binding type")
	case mechanism == scramName && flag == "n":
		return nil
	case mechanism == scramName && flag == "y" && !offered:
		return nil
	case mechanism == scramName && flag == "y":
		return &LoginError{Code: codeRefused, Message: "SCRAM channel binding negotiation error"}
	default:
		return violation("malformed SCRAM message: channel binding does not fit the mechanism")
	}
}

// clientFinal is the client-final-message of RFC 5802, section 7.
type clientFinal struct {
	withoutProof string
	proof        []byte
}

// askFinal sends the challenge and reads the proof. The client must repeat the
// nonce, and its own header with the channel binding after it.
func askFinal(ctx context.Context, c Conn, challenge, bound, nonce string) (clientFinal, error) {
	if err := sendAuth(c, authSASLContinue, challenge); err != nil {
		return clientFinal{}, err
	}
	body, err := answer(ctx, c, maxSASL)
	if err != nil {
		return clientFinal{}, err
	}
	return parseClientFinal(string(body), bound, nonce)
}

func parseClientFinal(data, bound, nonce string) (clientFinal, error) {
	fields := strings.Split(data, ",")
	if len(fields) != 3 || !strings.HasPrefix(fields[0], "c=") {
		return clientFinal{}, violation("malformed SCRAM message")
	}
	if fields[0] != "c="+encodeBase64([]byte(bound)) {
		return clientFinal{}, &LoginError{Code: codeRefused, Message: "SCRAM channel binding check failed"}
	}
	if fields[1] != "r="+nonce {
		return clientFinal{}, violation("invalid SCRAM response: nonce does not match")
	}
	encoded, ok := strings.CutPrefix(fields[2], "p=")
	proof, err := decodeBase64(encoded)
	if !ok || err != nil || len(proof) != keyLen {
		return clientFinal{}, violation("malformed SCRAM message: malformed proof")
	}
	return clientFinal{strings.TrimSuffix(data, ","+fields[2]), proof}, nil
}

// newNonce returns 144 random bits in a form that needs no escapes, as
// PostgreSQL's own are.
func newNonce() string {
	var raw [18]byte
	rand.Read(raw[:]) // never fails
	return encodeBase64(raw[:])
}

// isNonce holds s against RFC 5802's "printable": ASCII but space and comma.
func isNonce(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == ',' {
			return false
		}
	}
	return s != ""
}
