package auth

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is what a login taught us that logs in upstream: a password, the SCRAM
// client key, or nothing. The zero Secret is nothing. It lives as long as the
// login does and is never stored.
type Secret struct {
	hidden
	password string
	scram    *scramKeys // nil unless learned from a proof
}

// scramKeys are what a SCRAM client needs in place of a password. They fit one
// verifier only: a server that names another salt or count needs other keys.
type scramKeys struct {
	Verifier
	clientKey []byte
}

// PasswordSecret is the Secret of a known password. The empty password is
// nothing: PostgreSQL lets nobody in with it.
func PasswordSecret(password string) Secret { return Secret{password: password} }

// Password discloses the password, for a caller that checks it in another way
// than at the server: a token, or a one-time code at its end. It is "" for a
// Secret that holds none.
func (s Secret) Password() string { return s.password }

// IsZero reports whether s can prove nothing.
func (s Secret) IsZero() bool { return s.password == "" && s.scram == nil }

// hidden, embedded, keeps a struct out of logs, error texts and JSON, whatever
// verb or encoder gets hold of it.
type hidden struct{}

const hiddenText = "[hidden]"

// Format makes every verb print the same.
func (hidden) Format(s fmt.State, _ rune) { io.WriteString(s, hiddenText) }

func (hidden) String() string { return hiddenText }

// LogValue serves log/slog.
func (hidden) LogValue() slog.Value { return slog.StringValue(hiddenText) }

// MarshalText serves encoding/json, YAML and the like.
func (hidden) MarshalText() ([]byte, error) { return []byte(hiddenText), nil }
