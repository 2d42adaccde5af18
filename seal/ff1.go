package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/big"
)

// ff1 is FF1 of NIST SP 800-38G: format-preserving encryption of numerals in a radix,
// under AES. Radices that are powers of two are not for it.
type ff1 struct{ block cipher.Block }

const ff1Rounds = 10

func newFF1(key []byte) (*ff1, error) {
	block, err := aes.NewCipher(key)
	return &ff1{block}, err
}

// ff1Text is numerals and their radix, in the digits of big.Int's text.
type ff1Text struct {
	left, right     *big.Int // A and B
	u, v            int      // their lengths
	powers          [2]*big.Int
	radix, tweakLen int
}

// encrypt gives as many numerals as it is given.
func (f *ff1) encrypt(tweak []byte, radix int, numerals string) (string, bool) {
	x, ok := splitFF1(tweak, radix, numerals)
	if !ok {
		return "", false
	}
	for i := range ff1Rounds {
		y := f.round(x, tweak, i, x.right)
		y.Mod(y.Add(y, x.left), x.powers[i%2])
		x.left, x.right = x.right, y
	}
	return x.text(), true
}

func (f *ff1) decrypt(tweak []byte, radix int, numerals string) (string, bool) {
	x, ok := splitFF1(tweak, radix, numerals)
	if !ok {
		return "", false
	}
	for i := ff1Rounds - 1; i >= 0; i-- {
		y := f.round(x, tweak, i, x.left)
		y.Mod(y.Sub(x.right, y), x.powers[i%2])
		x.left, x.right = y, x.left
	}
	return x.text(), true
}

func splitFF1(tweak []byte, radix int, numerals string) (*ff1Text, bool) {
	x := &ff1Text{u: len(numerals) / 2, radix: radix, tweakLen: len(tweak)}
	x.v = len(numerals) - x.u
	var ok, also bool
	if x.left, ok = new(big.Int).SetString(numerals[:x.u], radix); !ok || x.left.Sign() < 0 {
		return nil, false
	}
	x.right, also = new(big.Int).SetString(numerals[x.u:], radix)
	for i, m := range []int{x.u, x.v} {
		x.powers[i] = new(big.Int).Exp(big.NewInt(int64(radix)), big.NewInt(int64(m)), nil)
	}
	return x, also && x.right.Sign() >= 0
}

func (x *ff1Text) text() string {
	b := make([]byte, 0, x.u+x.v)
	for _, half := range []struct {
		n    *big.Int
		size int
	}{{x.left, x.u}, {x.right, x.v}} {
		text := half.n.Text(x.radix)
		for range half.size - len(text) {
			b = append(b, '0')
		}
		b = append(b, text...)
	}
	return string(b)
}

// round gives the number that is added in a round: the y of the specification's steps
// 6.i to 6.v, of one half.
func (f *ff1) round(x *ff1Text, tweak []byte, i int, half *big.Int) *big.Int {
	top := new(big.Int).Sub(x.powers[1], big.NewInt(1))
	b := (top.BitLen() + 7) / 8
	d := 4*((b+3)/4) + 4
	in := make([]byte, 0, 16+len(tweak)+b+32)
	in = append(in, 1, 2, 1, byte(x.radix>>16), byte(x.radix>>8), byte(x.radix), ff1Rounds, byte(x.u))
	in = binary.BigEndian.AppendUint32(in, uint32(x.u+x.v))
	in = binary.BigEndian.AppendUint32(in, uint32(x.tweakLen))
	in = append(in, tweak...)
	for (len(in)+1+b)%aes.BlockSize != 0 {
		in = append(in, 0)
	}
	in = append(in, byte(i))
	in = append(in, half.FillBytes(make([]byte, b))...)
	r := make([]byte, aes.BlockSize, d+aes.BlockSize)
	for ; len(in) > 0; in = in[aes.BlockSize:] {
		for j := range aes.BlockSize {
			r[j] ^= in[j]
		}
		f.block.Encrypt(r, r)
	}
	s := r
	for j := uint64(1); len(s) < d; j++ {
		next := append([]byte(nil), r[:aes.BlockSize]...)
		binary.BigEndian.PutUint64(next[8:], binary.BigEndian.Uint64(next[8:])^j)
		f.block.Encrypt(next, next)
		s = append(s, next...)
	}
	return new(big.Int).SetBytes(s[:d])
}
