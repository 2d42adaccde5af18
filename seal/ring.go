package seal

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tink-crypto/tink-go/v2/daead/subtle"

	"github.com/pgveil/pgveil/policy"
)

// State is what may be done with a key. The zero State is nothing.
type State uint8

// The states of keys.
const (
	Primary  State = iota + 1 // it seals, and opens what it sealed
	Enabled                   // it opens what it sealed
	Disabled                  // it is kept, and not used
	Destroyed
)

var states = []string{"none", "primary", "enabled", "disabled", "destroyed"}

// String gives the state as lists of keys name it.
func (s State) String() string { return states[min(int(s), len(states)-1)] }

// Key is one key of a class: what each way of sealing uses is derived from it.
type Key struct {
	ID      uint32
	Class   string
	State   State
	Created time.Time
	Format  bool // it, and no other of its class, seals what keeps a format
	secret  [32]byte
}

// Ring is a set of keys. It is immutable.
type Ring struct {
	classes map[string]*classKeys
}

// classKeys are the keys of a class, ready for use.
type classKeys struct {
	primary *ready
	format  *Key              // of what keeps a format, as far as it may be used; nil: there is none
	all     map[uint32]*ready // those that are not destroyed
	gone    map[uint32]bool   // those that are
}

// ready is a key with what is derived from it.
type ready struct {
	Key
	random *xaes
	same   *subtle.AESSIV
	form   *ff1
	blind  []byte
	data   *xaes // wraps data keys
}

// NewKey makes a key.
func NewKey(class string, state State, now time.Time) *Key {
	k := &Key{Class: class, State: state, Created: now}
	var id [4]byte
	rand.Read(id[:]) // never fails
	k.ID = binary.BigEndian.Uint32(id[:])
	rand.Read(k.secret[:])
	return k
}

// NewRing makes a ring. Each class has one primary key at most, and no two keys of a
// ring have one id.
func NewRing(keys ...*Key) (*Ring, error) {
	r := &Ring{classes: map[string]*classKeys{}}
	seen := map[uint32]bool{}
	for _, k := range keys {
		c := r.classes[k.Class]
		if c == nil {
			c = &classKeys{all: map[uint32]*ready{}, gone: map[uint32]bool{}}
			r.classes[k.Class] = c
		}
		if seen[k.ID] {
			return nil, fmt.Errorf("two keys have the id %08x", k.ID)
		}
		seen[k.ID] = true
		if k.Format && c.format != nil {
			return nil, fmt.Errorf("class %q has two keys for formats", k.Class)
		}
		if k.Format {
			c.format = &Key{ID: k.ID, State: k.State}
		}
		if k.State == Destroyed {
			c.gone[k.ID] = true
			continue
		}
		one, err := k.ready()
		if err != nil {
			return nil, err
		}
		c.all[k.ID] = one
		if k.State == Primary && c.primary != nil {
			return nil, fmt.Errorf("class %q has two primary keys", k.Class)
		}
		if k.State == Primary {
			c.primary = one
		}
	}
	return r, nil
}

// ready derives what the ways of sealing use.
func (k *Key) ready() (*ready, error) {
	out := &ready{Key: *k}
	sub := func(what string, size int) []byte {
		derived, err := hkdf.Key(sha256.New, k.secret[:], nil, "pgveil seal 1 "+what, size)
		if err != nil {
			panic("seal: " + err.Error()) // a size that cannot be
		}
		return derived
	}
	var err error
	if out.random, err = newXAES(sub("randomized", 32)); err != nil {
		return nil, err
	}
	if out.same, err = subtle.NewAESSIV(sub("deterministic", 64)); err != nil {
		return nil, err
	}
	if out.data, err = newXAES(sub("wrapping", 32)); err != nil {
		return nil, err
	}
	if out.form, err = newFF1(sub("format", 32)); err != nil {
		return nil, err
	}
	out.blind = sub("blind", 32)
	clear(out.secret[:]) // of the copy: what is derived does
	return out, nil
}

// KeyError tells of a value that no key opens.
type KeyError struct {
	Key   uint32
	State State // Disabled or Destroyed; 0: nobody knows the key
}

func (e *KeyError) Error() string {
	if e.State == 0 {
		return fmt.Sprintf("its key %08x is not known", e.Key)
	}
	return fmt.Sprintf("its key %08x is %s", e.Key, e.State)
}

// What keeps a value from being opened or sealed.
var (
	ErrClear        = errors.New("it is not sealed")
	ErrDamaged      = errors.New("it is damaged, or sealed for another place")
	ErrUnbound      = errors.New("it is not bound to a row")
	ErrForeign      = errors.New("it is sealed for another place")
	ErrNeedsDataKey = errors.New("it takes a data key of its own")
)

// Sealer gives what seals and opens the values of a column.
func (r *Ring) Sealer(c *policy.Sealed) (*Sealer, error) {
	keys := r.classes[c.Class]
	if keys == nil {
		return nil, fmt.Errorf("class %q has no keys", c.Class)
	}
	alg := algRandom
	switch {
	case c.Mode == policy.SealDeterministic:
		alg = algSame
	case c.Row:
		alg = algRow
	}
	s := newSealer(c, keys, alg)
	if c.Format.Alphabet == "" {
		return s, nil
	}
	k := keys.format
	switch {
	case k == nil:
		return nil, fmt.Errorf("class %q has no key for formats", c.Class)
	case k.State != Primary && k.State != Enabled:
		return nil, fmt.Errorf("class %q keeps a format: %w", c.Class, &KeyError{k.ID, k.State})
	}
	s.format = newFormatted(c.Format, keys.all[k.ID].form, s.place)
	return s, nil
}
