package seal

import (
	"cmp"
	"errors"
	"slices"
)

// Forms gives what a value may be stored as in a column of which equal values look alike:
// under the primary key first, and then under every other that opens. While a rotation is
// under way, there are several.
func (s *Sealer) Forms(value []byte) (all [][]byte, err error) {
	if s.format != nil {
		one, err := s.format.seal(nil, value)
		return [][]byte{one}, err
	}
	if s.alg != algSame {
		return nil, errors.New("internal error: equal values look different in " + s.column.Column)
	}
	keys, err := s.opening()
	for _, k := range keys {
		one, err := s.sealBy(nil, value, k)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, err
}

// BlindForms is Forms for what a value is found by in the blind column.
func (s *Sealer) BlindForms(value []byte) (all [][]byte, err error) {
	keys, err := s.opening()
	for _, k := range keys {
		all = append(all, s.blindBy(value, k))
	}
	return all, err
}

// opening gives the keys that open, the primary one first.
func (s *Sealer) opening() (all []*ready, err error) {
	if s.keys.primary == nil {
		return nil, s.noPrimary()
	}
	for _, k := range s.keys.all {
		if k.State == Primary || k.State == Enabled {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b *ready) int {
		return cmp.Or(cmp.Compare(a.State, b.State), b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}
