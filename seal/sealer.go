package seal

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pgveil/pgveil/policy"
)

// The first bytes of envelopes.
const (
	version   = 1
	algRandom = byte(1)
	algSame   = byte(2)

	headLen = 6 // version, algorithm, key
)

const textPrefix = "pgv1."

var (
	magic  = []byte{0xe5, 'p', 'g', 'v'}
	coding = base64.RawURLEncoding.Strict()
)

// Sealer seals and opens the values of a column. It is safe for use by many.
type Sealer struct {
	column *policy.Sealed
	keys   *classKeys
	alg    byte
}

// bound gives the associated data of an envelope.
func (s *Sealer) bound(head []byte) []byte {
	b := append(make([]byte, 0, 128), head...)
	for _, part := range []string{s.column.Domain, s.column.Mode.String(), s.column.Values} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
	}
	return b
}

// Seal appends what is stored of a value, which is as Canonical gives it.
func (s *Sealer) Seal(dst, value []byte) ([]byte, error) {
	k := s.keys.primary
	switch {
	case s.column.Shred:
		return nil, ErrNeedsDataKey
	case k == nil:
		return nil, fmt.Errorf("class %q has no primary key", s.column.Class)
	}
	e := make([]byte, 0, headLen+xaesNonce+len(value)+xaesTag)
	e = binary.BigEndian.AppendUint32(append(e, version, s.alg), k.ID)
	bound := s.bound(e)
	if s.alg == algSame {
		sealed, err := k.same.EncryptDeterministically(value, bound)
		if err != nil {
			return nil, err
		}
		return appendStored(dst, append(e, sealed...), s.column.Stored), nil
	}
	nonce := e[headLen : headLen+xaesNonce]
	rand.Read(nonce) // never fails
	e, err := k.random.seal(e[:headLen+xaesNonce], nonce, value, bound)
	if err != nil {
		return nil, err
	}
	return appendStored(dst, e, s.column.Stored), nil
}

// Open appends the value of what is stored. The error is ErrClear, ErrDamaged,
// ErrForeign, ErrNeedsDataKey (see OpenUnder) or a *KeyError.
func (s *Sealer) Open(dst, stored []byte) ([]byte, error) {
	e, err := envelope(stored, s.column.Stored)
	if err != nil {
		return nil, err
	}
	if _, ok := shredded(e); ok && s.alg == algRandom {
		return nil, ErrNeedsDataKey
	}
	if len(e) < headLen || e[0] != version || e[1] != s.alg {
		return nil, ErrDamaged
	}
	id := binary.BigEndian.Uint32(e[2:])
	k := s.keys.all[id]
	switch {
	case s.keys.gone[id]:
		return nil, &KeyError{id, Destroyed}
	case k == nil:
		return nil, &KeyError{Key: id}
	case k.State != Primary && k.State != Enabled:
		return nil, &KeyError{id, k.State}
	}
	bound := s.bound(e[:headLen])
	if s.alg == algSame {
		value, err := k.same.DecryptDeterministically(e[headLen:], bound)
		if err != nil {
			return nil, ErrDamaged
		}
		return append(dst, value...), nil
	}
	if len(e) < headLen+xaesNonce+xaesTag {
		return nil, ErrDamaged
	}
	value, err := k.random.open(dst, e[headLen:], e[headLen+xaesNonce:], bound)
	if err != nil {
		return nil, ErrDamaged
	}
	return value, nil
}

// blindLen is how many bytes of a keyed hash a blind column holds: so many that
// values of one table meet by chance at no time.
const blindLen = 8

// Blind gives what a value is found by in the blind column.
func (s *Sealer) Blind(value []byte) ([]byte, error) {
	k := s.keys.primary
	if k == nil {
		return nil, fmt.Errorf("class %q has no primary key", s.column.Class)
	}
	mac := hmac.New(sha256.New, k.blind)
	mac.Write(s.bound(nil))
	mac.Write(value)
	return mac.Sum(nil)[:blindLen], nil
}

// appendStored appends an envelope as a column of a type holds it.
func appendStored(dst, e []byte, as string) []byte {
	switch as {
	case "bytea":
		return append(append(dst, magic...), e...)
	case "json", "jsonb":
		dst = append(append(dst, '"'), textPrefix...)
		return append(coding.AppendEncode(dst, e), '"')
	default:
		return coding.AppendEncode(append(dst, textPrefix...), e)
	}
}

// envelope gives the envelope in what a column of a type holds.
func envelope(stored []byte, as string) ([]byte, error) {
	switch as {
	case "bytea":
		e, ok := bytes.CutPrefix(stored, magic)
		if !ok {
			return nil, ErrClear
		}
		return e, nil
	case "json", "jsonb":
		if len(stored) < 2 || stored[0] != '"' || stored[len(stored)-1] != '"' {
			return nil, ErrClear
		}
		stored = stored[1 : len(stored)-1]
	}
	text, ok := bytes.CutPrefix(stored, []byte(textPrefix))
	if !ok {
		return nil, ErrClear
	}
	if bytes.ContainsAny(text, "\r\n") {
		return nil, ErrDamaged
	}
	e, err := coding.AppendDecode(nil, text)
	if err != nil {
		return nil, ErrDamaged
	}
	return e, nil
}

// IsSealed tells whether what a column of a type holds looks like an envelope.
func IsSealed(stored []byte, as string) bool {
	_, err := envelope(stored, as)
	return !errors.Is(err, ErrClear)
}
