package seal

import (
	"errors"
	"fmt"

	"github.com/pgveil/pgveil/policy"
)

// alphabets are what formats are made of. Letters are upper case: of both, a schema that
// checks a form takes one.
var alphabets = map[string]string{
	"digits":       "0123456789",
	"letters":      "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
	"alphanumeric": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
}

// numerals are the digits that the characters of an alphabet stand for, by FF1.
const numerals = "0123456789abcdefghijklmnopqrstuvwxyz"

// formatted seals and opens values of a class that keeps a format. What it stores is no
// envelope: nothing in it says that it is sealed, or whether it was changed.
type formatted struct {
	format policy.SealFormat
	with   *ff1
	tweak  []byte
	radix  int
	to     [256]byte // character → numeral; 0: it is not of the alphabet
	from   [256]byte // numeral → character
}

func newFormatted(f policy.SealFormat, with *ff1, tweak []byte) *formatted {
	a := alphabets[f.Alphabet]
	out := &formatted{format: f, with: with, tweak: tweak, radix: len(a)}
	for i := range len(a) {
		out.to[a[i]], out.from[numerals[i]] = numerals[i], a[i]
	}
	return out
}

// FormError tells of a value that is not of its class's format.
type FormError struct{ Format policy.SealFormat }

func (e *FormError) Error() string {
	return fmt.Sprintf("it is not %s", e.Format)
}

func (f *formatted) do(dst, value []byte, turn func([]byte, int, string) (string, bool)) ([]byte, error) {
	if len(value) < f.format.Least || len(value) > f.format.Most {
		return nil, &FormError{f.format}
	}
	text := make([]byte, len(value))
	for i, c := range value {
		if text[i] = f.to[c]; text[i] == 0 {
			return nil, &FormError{f.format}
		}
	}
	turned, ok := turn(f.tweak, f.radix, string(text))
	if !ok {
		return nil, errors.New("internal error: FF1 does not take a value")
	}
	for i := range len(turned) {
		dst = append(dst, f.from[turned[i]])
	}
	return dst, nil
}

func (f *formatted) seal(dst, value []byte) ([]byte, error) { return f.do(dst, value, f.with.encrypt) }

func (f *formatted) open(dst, stored []byte) ([]byte, error) {
	value, err := f.do(dst, stored, f.with.decrypt)
	if err != nil {
		return nil, ErrDamaged
	}
	return value, nil
}
