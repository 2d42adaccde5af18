package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// maxOrigin bounds the name of a log, and so of the keys that sign for it.
const maxOrigin = 200

// Key signs checkpoints of one log, whose name, its origin, it bears. It is a
// note.Signer with an Ed25519 key.
type Key struct {
	public  PublicKey
	private ed25519.PrivateKey
}

// PublicKey checks what a Key signed.
type PublicKey struct {
	name string
	key  string // the 32 bytes, so that keys can be compared
}

// NewKey makes a key for the log of the given name, and its text to keep.
func NewKey(origin string) (Key, string, error) {
	if len(origin) > maxOrigin {
		return Key{}, "", fmt.Errorf("make audit key: the origin has %d bytes, of at most %d", len(origin), maxOrigin)
	}
	text, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return Key{}, "", fmt.Errorf("make audit key for origin %q: %w", origin, err)
	}
	k, err := ParseKey(text)
	return k, text, err
}

// ParseKey reads the text of a private key: PRIVATE+KEY+origin+hash+key.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	if _, err := note.NewSigner(text); err != nil {
		return Key{}, errors.New("parse audit key: it is not one that \"pgveil audit key\" makes") // and it must not be shown
	}
	fields := strings.Split(text, "+") // no name and no hash has a plus; base64 can
	raw, err := base64.StdEncoding.DecodeString(strings.Join(fields[4:], "+"))
	if err != nil || len(raw) != 1+ed25519.SeedSize || len(fields[2]) > maxOrigin {
		return Key{}, errors.New("parse audit key: it is not one that \"pgveil audit key\" makes")
	}
	private := ed25519.NewKeyFromSeed(raw[1:])
	public := string(private[ed25519.SeedSize:])
	return Key{PublicKey{fields[2], public}, private}, nil
}

// ParsePublicKey reads what PublicKey.String gives: origin+hash+key.
func ParsePublicKey(text string) (PublicKey, error) {
	text = strings.TrimSpace(text)
	if _, err := note.NewVerifier(text); err != nil {
		return PublicKey{}, fmt.Errorf("parse public audit key %q: it has the form origin+hash+key", text)
	}
	fields := strings.SplitN(text, "+", 3)
	raw, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || len(fields[0]) > maxOrigin {
		return PublicKey{}, fmt.Errorf("parse public audit key %q: it is not an Ed25519 key", text)
	}
	return PublicKey{fields[0], string(raw[1:])}, nil
}

// Public gives what others need to check this key's signatures.
func (k Key) Public() PublicKey { return k.public }

// For gives the same key for the log of another name.
func (k Key) For(origin string) Key { return Key{k.public.For(origin), k.private} }

// For gives the same key for the log of another name.
func (p PublicKey) For(origin string) PublicKey { return PublicKey{origin, p.key} }

// Origin is the name of the log.
func (p PublicKey) Origin() string { return p.name }

func (p PublicKey) String() string {
	text, err := note.NewEd25519VerifierKey(p.name, ed25519.PublicKey(p.key))
	if err != nil {
		return "invalid key: " + err.Error()
	}
	return text
}

// Name, KeyHash and Sign make a Key a note.Signer.
func (k Key) Name() string { return k.public.name }

// KeyHash tells keys of one name apart.
func (k Key) KeyHash() uint32 { return k.public.KeyHash() }

// Sign signs the text of a note.
func (k Key) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(k.private, msg), nil }

// Name, KeyHash and Verify make a PublicKey a note.Verifier.
func (p PublicKey) Name() string { return p.name }

// KeyHash tells keys of one name apart.
func (p PublicKey) KeyHash() uint32 {
	v, err := note.NewVerifier(p.String())
	if err != nil {
		return 0 // of no valid key; Verify refuses it then
	}
	return v.KeyHash()
}

// Verify checks the signature of a note.
func (p PublicKey) Verify(msg, sig []byte) bool {
	return len(p.key) == ed25519.PublicKeySize && ed25519.Verify(ed25519.PublicKey(p.key), msg, sig)
}
