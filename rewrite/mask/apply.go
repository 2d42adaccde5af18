package mask

import (
	"fmt"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// Values are the values of a sealed column, which the server holds as
// ciphertext.
type Values struct {
	Schema, Table, Column string
	Type                  string // what they are to clients, as in policy.SealTypes
	Room                  int    // the n of varchar(n); 0: none
}

// Applier shows of a value what the server would show by Expr's expression,
// did it know the value. The zero Applier shows NULL of everything. Sessions
// may share one.
type Applier struct {
	show show
	room int // characters; 0: any number
}

// show appends what is shown of a value. ok is false when that is NULL.
type show func(dst, value []byte) (masked []byte, ok bool)

// NewApplier makes the Applier of a mask for values of a class. key is the one
// that Settings takes, or nil: then keyed masks show NULL, as they do in a
// session without the settings. An error means that the mask is not defined
// for the values.
func NewApplier(m policy.Mask, class string, v Values, key []byte) (*Applier, error) {
	a, err := newApplier(m, class, v, key)
	if err != nil {
		return nil, fmt.Errorf("masking values of %s.%s.%s: %w", v.Schema, v.Table, v.Column, err)
	}
	return a, nil
}

func newApplier(m policy.Mask, class string, v Values, key []byte) (*Applier, error) {
	t, err := policy.ValueType(v.Type, v.Room)
	if err != nil {
		return nil, err
	}
	if err := m.Applies(t); err != nil {
		return nil, err
	}
	a := &Applier{}
	if v.Type == "varchar" {
		a.room = v.Room
	}
	switch m.Kind {
	case policy.MaskHash:
		a.show, err = pseudonym(label("hash", v.Schema, v.Table, v.Column), t, key)
	case policy.MaskToken:
		if class == "" {
			return nil, fmt.Errorf("mask token needs a class")
		}
		a.show, err = pseudonym(label("token", class), t, key)
	case policy.MaskNull:
		a.show = nothing
	case policy.MaskConstant:
		a.show, err = fixed(m.Text, t)
	case policy.MaskRedact:
		a.show, err = fixed(redacted[policy.FamilyOf(t)], t)
	default:
		a.show, err = part(m, t)
	}
	return a, err
}

// Apply appends to dst what the mask shows of a value that is not NULL; null
// tells that it is NULL. Both are in the type's text form as PostgreSQL sends
// it with DateStyle ISO and in UTF-8, but bytea, which is the bytes themselves.
// The time zone of a timestamptz may be any; what is shown is in UTC. What is
// no value of the type at all shows NULL, unless what the mask shows is the
// same for all. dst must not overlap value, which stays as it is.
func (a *Applier) Apply(dst, value []byte) (masked []byte, null bool) {
	if a.show == nil {
		return dst, true
	}
	masked, ok := a.show(dst, value)
	if !ok {
		return dst, true
	}
	if a.room > 0 {
		masked = masked[:len(dst)+len(head(masked[len(dst):], a.room))]
	}
	return masked, false
}

func nothing(dst, _ []byte) ([]byte, bool) { return dst, false }

// part is for the masks that show a part of the value.
func part(m policy.Mask, t catalog.Type) (show, error) {
	switch policy.FamilyOf(t) {
	case policy.FamilyText:
		return partOfText(m)
	case policy.FamilyInteger:
		return partOfInteger(m, t)
	case policy.FamilyNumeric:
		return partOfNumeric(m)
	case policy.FamilyDate:
		return partOfDate(m)
	case policy.FamilyTimestamp:
		return partOfTimestamp(m, t)
	default:
		return nil, notApplied(m)
	}
}

func notApplied(m policy.Mask) error {
	return fmt.Errorf("internal error: mask %s applies, but shows no part of the value", m)
}
