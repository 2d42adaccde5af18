package seal

import (
	"encoding/binary"
	"slices"

	"github.com/pgveil/pgveil/policy"
)

// Head is what the beginning of an envelope says.
type Head struct {
	Mode policy.SealMode
	Key  uint32
	Row  bool // it is bound to its row
}

// Prefix is what every envelope begins with in a column of a type.
func Prefix(as string) []byte {
	switch as {
	case "bytea":
		return magic
	case "json", "jsonb":
		return []byte(`"` + textPrefix)
	default:
		return []byte(textPrefix)
	}
}

// HeadLen is how many characters, of bytea bytes, HeadOf needs of what a column of a
// type holds. Envelopes that have as many alike are sealed alike, under one key.
func HeadLen(as string) int {
	if as == "bytea" {
		return len(magic) + headLen
	}
	return len(Prefix(as)) + coding.EncodedLen(headLen)
}

// HeadOf reads the beginning of what a column of a type holds. It gives false for what
// no key of a class sealed.
func HeadOf(stored []byte, as string) (Head, bool) {
	n, prefix := HeadLen(as), len(Prefix(as))
	if len(stored) < n || string(stored[:prefix]) != string(Prefix(as)) {
		return Head{}, false
	}
	e := stored[prefix:n]
	if as != "bytea" {
		var err error
		if e, err = coding.AppendDecode(nil, e); err != nil {
			return Head{}, false
		}
	}
	h := Head{Key: binary.BigEndian.Uint32(e[2:])}
	switch {
	case e[0] != version:
		return Head{}, false
	case e[1] == algRandom, e[1] == algRow:
		h.Mode, h.Row = policy.SealRandomized, e[1] == algRow
	case e[1] == algSame:
		h.Mode = policy.SealDeterministic
	default:
		return Head{}, false
	}
	return h, true
}

// State gives the state of a class's key; the zero State where the ring has none such.
func (r *Ring) State(class string, key uint32) State {
	c := r.classes[class]
	switch {
	case c == nil:
		return 0
	case c.gone[key]:
		return Destroyed
	case c.all[key] == nil:
		return 0
	default:
		return c.all[key].State
	}
}

// Primary gives the key that seals the values of a class.
func (r *Ring) Primary(class string) (key uint32, ok bool) {
	c := r.classes[class]
	if c == nil || c.primary == nil {
		return 0, false
	}
	return c.primary.ID, true
}

// KeysOf gives the keys of a class that are not destroyed, in order.
func (r *Ring) KeysOf(class string) []uint32 {
	c := r.classes[class]
	if c == nil {
		return nil
	}
	var all []uint32
	for id := range c.all {
		all = append(all, id)
	}
	slices.Sort(all)
	return all
}
