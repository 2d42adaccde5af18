package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/pgveil/pgveil/policy"
)

// A data key seals one value and is kept apart from it, wrapped under a key of the
// value's class. Whoever destroys it has destroyed every copy of the value.

// DataKeyID names a data key. No two have one, whatever stores were restored.
type DataKeyID uint64

// DataKey is a key that seals one value.
type DataKey struct {
	ID     DataKeyID
	secret [32]byte
}

// Forget overwrites the secret.
func (k *DataKey) Forget() { clear(k.secret[:]) }

const (
	algShred = byte(3)

	shredHead  = 10 // version, algorithm, data key
	shredNonce = 12
)

func wrapBound(by uint32, id DataKeyID) []byte {
	b := binary.BigEndian.AppendUint32([]byte("pgveil data key 1 "), by)
	return binary.BigEndian.AppendUint64(b, uint64(id))
}

// NewDataKey makes a data key for values of a class. by is the key that it is wrapped
// under.
func (r *Ring) NewDataKey(class string, id DataKeyID) (k DataKey, by uint32, wrapped []byte, err error) {
	c := r.classes[class]
	if c == nil || c.primary == nil {
		return k, 0, nil, fmt.Errorf("class %q has no primary key", class)
	}
	k.ID = id
	rand.Read(k.secret[:]) // never fails
	wrapped, err = c.primary.wrap(&k)
	return k, c.primary.ID, wrapped, err
}

func (k *ready) wrap(data *DataKey) ([]byte, error) {
	nonce := make([]byte, xaesNonce, xaesNonce+len(data.secret)+xaesTag)
	rand.Read(nonce) // never fails
	return k.data.seal(nonce, nonce, data.secret[:], wrapBound(k.ID, data.ID))
}

// DataKey unwraps a data key. The error is ErrDamaged or a *KeyError.
func (r *Ring) DataKey(id DataKeyID, by uint32, wrapped []byte) (k DataKey, err error) {
	of, err := r.usable(by)
	if err != nil {
		return k, err
	}
	if len(wrapped) != xaesNonce+len(k.secret)+xaesTag {
		return k, ErrDamaged
	}
	secret, err := of.data.open(k.secret[:0], wrapped[:xaesNonce], wrapped[xaesNonce:], wrapBound(by, id))
	if err != nil || len(secret) != len(k.secret) {
		return DataKey{}, ErrDamaged
	}
	k.ID = id
	return k, nil
}

// Rewrap wraps a data key under the primary key of its class. again tells whether
// that is another one.
func (r *Ring) Rewrap(id DataKeyID, by uint32, wrapped []byte) (now uint32, out []byte, again bool, err error) {
	of, err := r.usable(by)
	if err != nil {
		return 0, nil, false, err
	}
	primary := r.classes[of.Class].primary
	if primary == nil {
		return 0, nil, false, fmt.Errorf("class %q has no primary key", of.Class)
	}
	if primary == of {
		return by, wrapped, false, nil
	}
	k, err := r.DataKey(id, by, wrapped)
	if err != nil {
		return 0, nil, false, err
	}
	defer k.Forget()
	out, err = primary.wrap(&k)
	return primary.ID, out, true, err
}

// Wraps gives the ids of the keys of a class that data keys may be wrapped under, but
// for the primary one.
func (r *Ring) Wraps(class string) (old []uint32) {
	c := r.classes[class]
	if c == nil {
		return nil
	}
	for id, k := range c.all {
		if k != c.primary {
			old = append(old, id)
		}
	}
	return old
}

// usable gives a key of whatever class.
func (r *Ring) usable(id uint32) (*ready, error) {
	for _, c := range r.classes {
		k := c.all[id]
		switch {
		case c.gone[id]:
			return nil, &KeyError{id, Destroyed}
		case k == nil:
		case k.State != Primary && k.State != Enabled:
			return nil, &KeyError{id, k.State}
		default:
			return k, nil
		}
	}
	return nil, &KeyError{Key: id}
}

// ErrNoDataKey tells of a value whose data key is not there: it was destroyed, as an
// erasure does, or the store of data keys is older than the value.
var ErrNoDataKey = errors.New("its data key was destroyed, or is not in the store")

// SealUnder is Seal under a data key, which must not seal another value.
func (s *Sealer) SealUnder(dst, value []byte, k *DataKey) ([]byte, error) {
	if s.column.Mode != policy.SealRandomized {
		return nil, fmt.Errorf("values of %s are not sealed under data keys", s.column.Column)
	}
	if s.elsewhere() {
		return nil, errNoRow
	}
	gcm, err := k.cipher()
	if err != nil {
		return nil, err
	}
	e := append(make([]byte, 0, shredHead+shredNonce+len(value)+gcm.Overhead()), version, algShred)
	e = binary.BigEndian.AppendUint64(e, uint64(k.ID))
	bound := s.bound(e)
	e = e[:shredHead+shredNonce]
	rand.Read(e[shredHead:]) // never fails
	return appendStored(dst, gcm.Seal(e, e[shredHead:], value, bound), s.column.Stored), nil
}

// OpenUnder is Open of a value that is sealed under a data key, which key gives. The
// error can be ErrNoDataKey, too.
func (s *Sealer) OpenUnder(dst, stored []byte, key func(DataKeyID) (DataKey, bool)) ([]byte, error) {
	e, err := envelope(stored, s.column.Stored)
	if err != nil {
		return nil, err
	}
	id, ok := shredded(e)
	if !ok || s.column.Mode != policy.SealRandomized || len(e) < shredHead+shredNonce {
		return nil, ErrDamaged
	}
	if s.elsewhere() {
		return nil, errNoRow
	}
	k, ok := key(id)
	if !ok {
		return nil, ErrNoDataKey
	}
	defer k.Forget()
	gcm, err := k.cipher()
	if err != nil {
		return nil, err
	}
	value, err := gcm.Open(dst, e[shredHead:shredHead+shredNonce], e[shredHead+shredNonce:], s.bound(e[:shredHead]))
	if err != nil {
		return nil, ErrDamaged
	}
	return value, nil
}

func (k *DataKey) cipher() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.secret[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// shredded gives the data key that an envelope names.
func shredded(e []byte) (DataKeyID, bool) {
	if len(e) < shredHead || e[0] != version || e[1] != algShred {
		return 0, false
	}
	return DataKeyID(binary.BigEndian.Uint64(e[2:])), true
}

// DataKeyOf gives the data key under which a stored value is sealed. as is the type of
// the column.
func DataKeyOf(stored []byte, as string) (DataKeyID, bool) {
	e, err := envelope(stored, as)
	if err != nil {
		return 0, false
	}
	return shredded(e)
}

// DataKeysIn appends the data keys that are named in what the server sent, whatever
// the protocol's form: what looks like the beginning of an envelope is taken for one.
func DataKeysIn(ids []DataKeyID, sent []byte) []DataKeyID {
	each := func(mark []byte, size int, decode func(dst, src []byte) (int, error)) {
		for rest := sent; ; {
			i := bytes.Index(rest, mark)
			if i < 0 || len(rest) < i+len(mark)+size {
				return
			}
			rest = rest[i+len(mark):]
			var head [2 * shredHead]byte
			if n, err := decode(head[:], rest[:size]); err == nil {
				if id, ok := shredded(head[:n]); ok {
					ids = append(ids, id)
				}
			}
		}
	}
	each([]byte(textPrefix), 16, coding.Decode) // of 12 bytes
	each(magic, shredHead, func(dst, src []byte) (int, error) { return copy(dst, src), nil })
	each(hex.AppendEncode(nil, magic), 2*shredHead, hex.Decode)
	for rest := sent; ; {
		before, after, ok := bytes.Cut(rest, escapedMagic)
		if !ok {
			return ids
		}
		slash := `\`
		if bytes.HasSuffix(before, []byte(slash)) {
			slash = `\\`
		}
		if id, ok := shredded(unescaped(after, slash)); ok {
			ids = append(ids, id)
		}
		rest = after
	}
}

// escapedMagic is magic with bytea_output escape.
var escapedMagic = []byte(`\345pgv`)

// unescaped gives the head of an envelope of bytes that the server wrote with
// bytea_output escape. slash is its backslash, which COPY doubles.
func unescaped(text []byte, slash string) []byte {
	var head [shredHead]byte
	for i := range head {
		after, escaped := bytes.CutPrefix(text, []byte(slash))
		switch {
		case !escaped && len(text) == 0:
			return nil
		case !escaped:
			head[i], text = text[0], text[1:]
			continue
		}
		if text, escaped = bytes.CutPrefix(after, []byte(slash)); escaped {
			head[i] = '\\'
			continue
		}
		if len(after) < 3 {
			return nil
		}
		n, err := strconv.ParseUint(string(after[:3]), 8, 8)
		if err != nil {
			return nil
		}
		head[i], text = byte(n), after[3:]
	}
	return head[:]
}
