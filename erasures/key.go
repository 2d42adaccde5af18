package erasures

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strings"
	"sync"
	"unicode"
)

// Key makes the hashes by which the ledger knows data subjects.
type Key struct {
	macs *sync.Pool // of hash.Hash: what is costly is to make one
	id   string
}

// NewKey makes a key of a secret.
func NewKey(secret []byte) Key {
	k := Key{macs: &sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}}
	id := k.hash("id")
	k.id = hex.EncodeToString(id[:8])
	return k
}

// subject gives the hash of a subject's key, as PostgreSQL writes it.
func (k Key) subject(kind, key string) Hash { return k.hash("subject", kind, key) }

// identifier gives the hash of another value by which a subject is known.
func (k Key) identifier(kind, value string) Hash { return k.hash("identifier", kind, Normalise(value)) }

// hash is HMAC-SHA256 of words, each behind its length.
func (k Key) hash(words ...string) (h Hash) {
	mac := k.macs.Get().(hash.Hash)
	defer k.macs.Put(mac)
	mac.Reset()
	for _, w := range words {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(w))))
		mac.Write([]byte(w))
	}
	mac.Sum(h[:0])
	return h
}

// minDigits is how many digits a telephone number has at least; shorter ones
// are numbers of some other kind.
const minDigits = 6

// Normalise gives the form in which identifiers are compared: who comes back
// may be spelled otherwise. Of a telephone number the digits count, without the
// zeros or the plus that say that a country follows; of all else the letters,
// whatever their case, without white space around them.
func Normalise(value string) string {
	value = strings.TrimSpace(value)
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, value)
	dialled := strings.IndexFunc(value, func(r rune) bool {
		return !(r >= '0' && r <= '9' || unicode.IsSpace(r) || strings.ContainsRune("+-()./\u2010\u2011\u2013", r))
	}) < 0
	if dialled && len(digits) >= minDigits {
		return strings.TrimPrefix(digits, "00")
	}
	return strings.ToLower(value)
}
