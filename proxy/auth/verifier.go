package auth

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Verifier is what a server keeps in place of a password (pg_authid.rolpassword).
// Who holds it can check a proof and guess at the password, but not log in. It
// prints as "[hidden]". The zero Verifier fits no password.
type Verifier struct {
	hidden
	Iterations int
	Salt       []byte
	StoredKey  []byte // SHA-256 of the client key
	ServerKey  []byte
	Own        bool // of the users file: that of the server may be another
}

// ErrNoVerifier says that a user cannot log in with a password: unknown, not
// LOGIN, expired, or with a password that has no SCRAM verifier.
var ErrNoVerifier = errors.New("no SCRAM verifier")

// Lookup finds the verifier of a user. It returns an error that wraps
// [ErrNoVerifier] for a user who cannot log in; any other error means that
// nobody can be looked up now. The difference is seen by the client, so it must
// not depend on which user was asked for.
type Lookup func(ctx context.Context, user string) (Verifier, error)

// scramName is the mechanism, and the first word of a verifier.
const scramName = "SCRAM-SHA-256"

// keyLen is the length of each key, proof and signature.
const keyLen = sha256.Size

// maxSalt keeps the message that carries a salt well below maxSASL. PostgreSQL
// makes salts of 16 bytes.
const maxSalt = 256

// ParseVerifier reads the form that PostgreSQL keeps,
//
//	SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>
//
// Its errors quote nothing of the text.
func ParseVerifier(text string) (Verifier, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 3 || parts[0] != scramName {
		return Verifier{}, errors.New("parse verifier: not of the form SCRAM-SHA-256$iterations:salt$stored:server")
	}
	count, salt, _ := strings.Cut(parts[1], ":")
	stored, server, _ := strings.Cut(parts[2], ":")
	var v Verifier
	var err [4]error
	v.Iterations, err[0] = parseIterations(count)
	v.Salt, err[1] = decodeBase64(salt)
	v.StoredKey, err[2] = decodeBase64(stored)
	v.ServerKey, err[3] = decodeBase64(server)
	if err := errors.Join(err[:]...); err != nil {
		return Verifier{}, fmt.Errorf("parse verifier: %w", err)
	}
	if !v.usable() {
		return Verifier{}, errors.New("parse verifier: salt or key of the wrong length")
	}
	return v, nil
}

// usable reports whether a client could prove itself against v at all.
func (v Verifier) usable() bool {
	return v.Iterations > 0 && len(v.Salt) > 0 && len(v.Salt) <= maxSalt &&
		len(v.StoredKey) == keyLen && len(v.ServerKey) == keyLen
}

// Shown is what a Lookup gives for somebody who shall see an exchange as before
// and prove nothing by it: a verifier that fits no password or, for a nil salt,
// none.
func Shown(salt []byte, iterations int) (Verifier, error) {
	if salt == nil {
		return Verifier{}, fmt.Errorf("%w: not looked up", ErrNoVerifier)
	}
	return Verifier{Salt: salt, Iterations: iterations, StoredKey: make([]byte, keyLen), ServerKey: make([]byte, keyLen)}, nil
}

// check recovers the client key from the proof over a transcript, and
// reports whether it is the one that v was made from.
func (v Verifier) check(proof []byte, transcript string) ([]byte, bool) {
	key := xor(proof, sign(v.StoredKey, transcript))
	stored := sha256.Sum256(key)
	return key, subtle.ConstantTimeCompare(stored[:], v.StoredKey) == 1
}

// mockIterations is PostgreSQL's default for scram_iterations.
const mockIterations = 4096

// mockVerifier stands in for a user that has none. Its salt depends on the user
// and the key only, so that asking twice does not give the answer away.
func mockVerifier(user string, key []byte) Verifier {
	return Verifier{
		Iterations: mockIterations,
		Salt:       sign(key, user)[:16],
		StoredKey:  make([]byte, keyLen),
		ServerKey:  make([]byte, keyLen),
	}
}

// deriveKeys computes what a password turns into under a salt and a count.
func deriveKeys(password string, salt []byte, iterations int) (*scramKeys, error) {
	salted, err := pbkdf2.Key(sha256.New, saslprep(password), salt, iterations, keyLen)
	if err != nil {
		return nil, fmt.Errorf("derive SCRAM keys: %w", err)
	}
	clientKey := sign(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	return &scramKeys{
		Verifier:  Verifier{Iterations: iterations, Salt: salt, StoredKey: stored[:], ServerKey: sign(salted, "Server Key")},
		clientKey: clientKey,
	}, nil
}

// proof shows, to a holder of the stored key, that we have the client key.
func (k *scramKeys) proof(transcript string) []byte {
	return xor(k.clientKey, sign(k.StoredKey, transcript))
}

func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func xor(a, b []byte) []byte {
	out := make([]byte, min(len(a), len(b)))
	subtle.XORBytes(out, a, b)
	return out
}

// maxIterations bounds the work that one login can be made to cost, by a hostile
// server above all: about a third of a second. PostgreSQL's default is 4096.
const maxIterations = 1_000_000

func parseIterations(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || n > maxIterations {
		return 0, fmt.Errorf("iteration count is not between 1 and %d", maxIterations)
	}
	return int(n), nil
}

// decodeBase64 accepts one spelling of each value. The standard decoder skips
// line breaks even when strict.
func decodeBase64(s string) ([]byte, error) {
	out, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("malformed base64")
	}
	return out, nil
}

func encodeBase64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
