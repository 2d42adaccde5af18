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
	"slices"

	"github.com/pgveil/pgveil/policy"
)

// The first bytes of envelopes.
const (
	version   = 1
	algRandom = byte(1)
	algSame   = byte(2)
	algRow    = byte(4) // algRandom, bound to its row

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
	format *formatted        // nil: values are stored as envelopes
	place  []byte            // what all envelopes of the column are bound to
	bounds map[uint32][]byte // the associated data of envelopes, by key; nil: they are made anew each time
	row    []byte            // that envelopes are bound to as well; nil: to none
}

func newSealer(c *policy.Sealed, keys *classKeys, alg byte) *Sealer {
	s := &Sealer{column: c, keys: keys, alg: alg, bounds: map[uint32][]byte{}}
	for _, part := range []string{c.Domain, c.Mode.String(), c.Values} {
		s.place = append(binary.BigEndian.AppendUint32(s.place, uint32(len(part))), part...)
	}
	for id := range keys.all {
		s.bounds[id] = s.bound(s.head(nil, id))
	}
	return s
}

// At gives what seals and opens the values of one row, of a column whose values are bound
// to their rows. key is the row's as SplitRow and AppendRow of package policy give it.
func (s *Sealer) At(key []byte) *Sealer {
	at := *s
	at.row, at.bounds = key, nil
	return &at
}

// bound gives the associated data of an envelope.
func (s *Sealer) bound(head []byte) []byte {
	return append(append(slices.Clip(head), s.place...), s.row...)
}

// boundBy gives the associated data of envelopes under a key.
func (s *Sealer) boundBy(key uint32) []byte {
	if s.bounds != nil {
		return s.bounds[key]
	}
	return s.bound(s.head(nil, key))
}

// elsewhere tells that the row is not known that the column's values are bound to.
func (s *Sealer) elsewhere() bool { return s.column.Row && len(s.row) == 0 }

// errNoRow tells of a value whose row is not known.
var errNoRow = errors.New("internal error: the key of the row that it is bound to is not known")

// head appends the head of an envelope.
func (s *Sealer) head(dst []byte, key uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, version, s.alg), key)
}

// Seal appends what is stored of a value, which is as Canonical gives it.
func (s *Sealer) Seal(dst, value []byte) ([]byte, error) {
	k := s.keys.primary
	switch {
	case s.format != nil:
		return s.format.seal(dst, value)
	case s.elsewhere():
		return nil, errNoRow
	case s.column.Shred:
		return nil, ErrNeedsDataKey
	case k == nil:
		return nil, s.noPrimary()
	}
	return s.sealBy(dst, value, k)
}

// sealBy is Seal by a key.
func (s *Sealer) sealBy(dst, value []byte, k *ready) ([]byte, error) {
	size := headLen + xaesNonce + len(value) + xaesTag
	most := len(textPrefix) + len(`""`) + coding.EncodedLen(size) // of what is appended
	dst = slices.Grow(dst, most+size)
	at := len(dst) + most // where the envelope is made
	e := s.head(dst[at:at:cap(dst)], k.ID)
	bound := s.boundBy(k.ID)
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
	if s.format != nil {
		return s.format.open(dst, stored)
	}
	buf, e, err := decoded(dst, stored, s.column.Stored)
	if err != nil {
		return nil, err
	}
	if _, ok := shredded(e); ok && s.alg != algSame {
		return nil, ErrNeedsDataKey
	}
	with := s
	if s.alg == algRow && len(e) > 1 && e[1] == algRandom {
		if !s.column.Clear {
			return nil, ErrUnbound
		}
		with = s.unbound()
	}
	if len(e) < headLen || e[0] != version || e[1] != with.alg {
		return nil, ErrDamaged
	}
	if with.elsewhere() {
		return nil, errNoRow
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
	bound := with.boundBy(id)
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
	nonce, sealed := e[headLen:headLen+xaesNonce], e[headLen+xaesNonce:]
	if s.column.Stored == "bytea" {
		dst, err = k.random.open(dst, nonce, sealed, bound)
	} else { // in place, which is behind dst already
		sealed, err = k.random.open(sealed[:0], nonce, sealed, bound)
		dst = append(buf[:len(dst)], sealed...)
	}
	if err != nil {
		return nil, ErrDamaged
	}
	return dst, nil
}

// unbound gives what opens values from before they were bound to their rows.
func (s *Sealer) unbound() *Sealer {
	column := *s.column
	column.Row = false
	return &Sealer{column: &column, keys: s.keys, alg: algRandom, place: s.place}
}

// blindLen is how many bytes of a keyed hash a blind column holds: so many that
// values of one table meet by chance at no time.
const blindLen = 8

// Blind gives what a value is found by in the blind column.
func (s *Sealer) Blind(value []byte) ([]byte, error) {
	k := s.keys.primary
	if k == nil {
		return nil, s.noPrimary()
	}
	return s.blindBy(value, k), nil
}

func (s *Sealer) blindBy(value []byte, k *ready) []byte {
	mac := hmac.New(sha256.New, k.blind)
	mac.Write(s.place)
	mac.Write(value)
	return mac.Sum(nil)[:blindLen]
}

func (s *Sealer) noPrimary() error {
	return fmt.Errorf("class %q has no primary key", s.column.Class)
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
	_, e, err := decoded(nil, stored, as)
	return e, err
}

// decoded is envelope. Where that has to be decoded, it is behind dst, in buf.
func decoded(dst, stored []byte, as string) (buf, e []byte, err error) {
	body, err := marked(stored, as)
	if err != nil || as == "bytea" {
		return dst, body, err
	}
	if bytes.IndexByte(body, '\n') >= 0 || bytes.IndexByte(body, '\r') >= 0 { // the decoder would skip them
		return nil, nil, ErrDamaged
	}
	buf, err = coding.AppendDecode(dst, body)
	if err != nil {
		return nil, nil, ErrDamaged
	}
	return buf, buf[len(dst):], nil
}

// marked gives what is behind the mark of what is sealed, in what a column of a type
// holds.
func marked(stored []byte, as string) ([]byte, error) {
	mark := []byte(textPrefix)
	switch as {
	case "bytea":
		mark = magic
	case "json", "jsonb":
		if len(stored) < 2 || stored[0] != '"' || stored[len(stored)-1] != '"' {
			return nil, ErrClear
		}
		stored = stored[1 : len(stored)-1]
	}
	body, ok := bytes.CutPrefix(stored, mark)
	if !ok {
		return nil, ErrClear
	}
	return body, nil
}

// IsSealed tells whether what a column of a type holds looks like an envelope.
func IsSealed(stored []byte, as string) bool {
	_, err := marked(stored, as)
	return err == nil
}
