package seal

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
)

var ten = big.NewInt(10)

// Numbers in binary form mean to another reader what they mean as text, and come back
// with as many digits behind the point.
func TestNumericBinary(t *testing.T) {
	m := pgtype.NewMap()
	digits := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte("0000123459"[rand.IntN(10)])
		}
		return b.String()
	}
	for range 20_000 {
		text := digits(rand.IntN(14)) + "." + digits(rand.IntN(14))
		if rand.IntN(2) == 0 {
			text = "-" + text
		}
		value, err := Canonical("numeric", []byte(text))
		if err != nil {
			if strings.Trim(text, "-.") == "" {
				continue
			}
			t.Fatalf("%s: %v", text, err)
		}
		wire, err := AppendBinary([]byte("x"), "numeric", value)
		if err != nil || !isNumeric(value) {
			t.Fatalf("%s: %v", value, err)
		}
		if got, ok := numericText(wire[1:]); !ok || string(got) != string(value) {
			t.Fatalf("%s is %x, and that %s", value, wire[1:], got)
		}
		var theirs, ours pgtype.Numeric
		if err := m.Scan(pgtype.NumericOID, pgtype.BinaryFormatCode, wire[1:], &theirs); err != nil {
			t.Fatalf("%s is %x: %v", value, wire[1:], err)
		}
		if err := ours.Scan(string(value)); err != nil {
			t.Fatal(err)
		}
		for theirs.Exp > ours.Exp {
			theirs.Int, theirs.Exp = theirs.Int.Mul(theirs.Int, ten), theirs.Exp-1
		}
		for ours.Exp > theirs.Exp {
			ours.Int, ours.Exp = ours.Int.Mul(ours.Int, ten), ours.Exp-1
		}
		if theirs.Int.Cmp(ours.Int) != 0 {
			t.Fatalf("%s is %x, which others read as %v", value, wire[1:], fmt.Sprint(theirs.Int, "e", theirs.Exp))
		}
	}
	for _, odd := range []string{"", "\x00\x01\x00\x00\x00\x00\x00\x00", "\x00\x01\x00\x00\x00\x00\x00\x00\xff\xff", "\x00\x00\x00\x00\xc0\x00\x00\x00", "\x00\x00\x00\x00\x00\x00\xff\xff"} {
		if text, ok := numericText([]byte(odd)); ok {
			t.Errorf("%x is %s", odd, text)
		}
	}
}
