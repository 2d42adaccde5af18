package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// Bounds of keys.
const (
	minSecret = 32   // bytes, as RFC 7518 asks for HS256
	minRSA    = 2048 // bits
	maxRSA    = 8192 // bits: what checking a signature may cost
	maxKeys   = 100  // of one set
)

// KeySet is the keys of one issuer as they were read. It does not change.
type KeySet struct {
	keys  []key
	named bool // a token says by "kid" which of them it is signed by
}

type key struct {
	id    string
	alg   jose.SignatureAlgorithm // the only one that it is for; "": all that fit
	value any
}

// ParseKey reads a single key: a public key or certificate in PEM, or else the
// secret of an HMAC, which is the text without the line break at its end, as
// JWT libraries take a string. Which key signed is then no question, and a
// token's kid says nothing.
func ParseKey(text []byte) (*KeySet, error) {
	if bytes.Contains(text, []byte("-----BEGIN")) {
		value, err := parsePEM(text)
		if err != nil {
			return nil, err
		}
		return &KeySet{keys: []key{{value: value}}}, nil
	}
	secret := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(secret) < minSecret {
		return nil, fmt.Errorf("the secret is shorter than %d bytes", minSecret)
	}
	return &KeySet{keys: []key{{value: slices.Clone(secret)}}}, nil
}

func parsePEM(text []byte) (any, error) {
	block, rest := pem.Decode(text)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("not one PEM block")
	}
	switch block.Type {
	case "PUBLIC KEY":
		value, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("public key: %w", err)
		}
		return value, checkKey(value)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		return cert.PublicKey, checkKey(cert.PublicKey)
	default:
		return nil, fmt.Errorf("a PEM block %q is no public key: only whoever signs needs the private one", block.Type)
	}
}

// ParseSet reads a JSON Web Key Set. Keys for other purposes, of kinds that are
// not known, or too weak are left out. Secrets are taken from what nobody else
// can read, a file, and never from the network.
func ParseSet(text []byte, secrets bool) (*KeySet, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, errors.New("not a JSON Web Key Set")
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("more than %d keys", maxKeys)
	}
	set := &KeySet{named: true}
	for i, raw := range doc.Keys {
		var k jose.JSONWebKey
		switch err := json.Unmarshal(raw, &k); {
		case errors.Is(err, jose.ErrUnsupportedKeyType), errors.Is(err, jose.ErrUnsupportedEllipticCurve):
			continue
		case err != nil:
			return nil, fmt.Errorf("key %d is malformed", i+1)
		}
		if _, secret := k.Key.([]byte); secret && !secrets || !secret && !k.IsPublic() {
			return nil, fmt.Errorf("key %d is secret, and known to whoever reads this set", i+1)
		}
		if (k.Use == "" || k.Use == "sig") && checkKey(k.Key) == nil {
			set.keys = append(set.keys, key{k.KeyID, jose.SignatureAlgorithm(k.Algorithm), k.Key})
		}
	}
	if len(set.keys) == 0 {
		return nil, errors.New("no key that could be used")
	}
	return set, nil
}

// checkKey tells what makes a key too weak, or no key for signatures.
func checkKey(value any) error {
	switch k := value.(type) {
	case []byte:
		if len(k) < minSecret {
			return fmt.Errorf("the secret is shorter than %d bytes", minSecret)
		}
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA || n > maxRSA {
			return fmt.Errorf("an RSA key of %d bits is not between %d and %d", n, minRSA, maxRSA)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return fmt.Errorf("a key of type %T makes no signatures that are known", value)
	}
	return nil
}

// fits tells whether a key can be meant by an algorithm.
func (k key) fits(a jose.SignatureAlgorithm) bool {
	if k.alg != "" && k.alg != a {
		return false
	}
	switch value := k.value.(type) {
	case []byte:
		return a == jose.HS256 || a == jose.HS384 && len(value) >= 48 || a == jose.HS512 && len(value) >= 64
	case *rsa.PublicKey:
		return slices.Contains([]jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}, a)
	case *ecdsa.PublicKey:
		return a == jose.ES256 && value.Curve == elliptic.P256() || a == jose.ES384 && value.Curve == elliptic.P384() ||
			a == jose.ES512 && value.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return a == jose.EdDSA
	default:
		return false
	}
}

// Secret tells whether whoever has the set could sign with it.
func (s *KeySet) Secret() bool {
	return slices.ContainsFunc(s.keys, func(k key) bool { _, ok := k.value.([]byte); return ok })
}

// Fits tells whether a set has a key for one of the algorithms at least.
func (s *KeySet) Fits(list []jose.SignatureAlgorithm) error {
	for _, a := range list {
		if slices.ContainsFunc(s.keys, func(k key) bool { return k.fits(a) }) {
			return nil
		}
	}
	return fmt.Errorf("no key is for %v", list)
}

// find gives the keys that a token with this header may be signed by.
func (s *KeySet) find(id string, a jose.SignatureAlgorithm) []key {
	var found []key
	for _, k := range s.keys {
		if k.fits(a) && (!s.named || id == "" || k.id == id) {
			found = append(found, k)
		}
	}
	if s.named && id == "" && len(found) > 1 {
		return nil // which one is not for the token to leave open
	}
	return found
}

// Keys holds the keys of one issuer that are in force. The zero Keys has none.
type Keys struct {
	now    atomic.Pointer[keysUntil]
	wanted atomic.Pointer[func()]
}

type keysUntil struct {
	*KeySet
	until time.Time
}

// Put puts keys in force, until a time unless that is zero.
func (k *Keys) Put(set *KeySet, until time.Time) { k.now.Store(&keysUntil{set, until}) }

// Wanted sets what is called when a token names a key that is not there. It is
// called while a token is verified, so it must not wait.
func (k *Keys) Wanted(call func()) { k.wanted.Store(&call) }

// find gives the keys that a token may be signed by, and asks for others where
// there are none.
func (k *Keys) find(id string, a jose.SignatureAlgorithm, now time.Time) ([]key, error) {
	in := k.now.Load()
	if in == nil {
		return nil, refuse(NoKey, "the issuer's keys could not be read yet")
	}
	if !in.until.IsZero() && !now.Before(in.until) {
		return nil, refuse(NoKey, "the issuer's keys could not be renewed for too long")
	}
	found := in.KeySet.find(id, a)
	if len(found) == 0 {
		if call := k.wanted.Load(); call != nil {
			(*call)()
		}
		return nil, refuse(NoKey, "the issuer has no such key")
	}
	return found, nil
}
