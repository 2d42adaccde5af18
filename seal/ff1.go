package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"math/big"
	"math/bits"
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
	left, right *big.Int // A and B
	u, v        int      // their lengths
	powers      [2]*big.Int
	radix       int
}

// encrypt gives as many numerals as it is given.
func (f *ff1) encrypt(tweak []byte, radix int, numerals string) (string, bool) {
	if x := f.words(tweak, radix, numerals); x != nil {
		for i := range ff1Rounds {
			m := x.powers[i%2]
			x.left, x.right = x.right, (x.left+f.wordRound(x, i, x.right)%m)%m
		}
		return x.text(), true
	}
	return f.encryptBig(tweak, radix, numerals)
}

func (f *ff1) decrypt(tweak []byte, radix int, numerals string) (string, bool) {
	if x := f.words(tweak, radix, numerals); x != nil {
		for i := ff1Rounds - 1; i >= 0; i-- {
			m := x.powers[i%2]
			x.left, x.right = (x.right+m-f.wordRound(x, i, x.left)%m)%m, x.left
		}
		return x.text(), true
	}
	return f.decryptBig(tweak, radix, numerals)
}

// ff1Words is ff1Text where each half fits into a machine word.
type ff1Words struct {
	left, right uint64
	powers      [2]uint64
	radix       uint64
	u, v, b     int
	before      [aes.BlockSize]byte // what all blocks but the last, which are the same in each round, come to
	last, block [aes.BlockSize]byte
}

// words gives nil for what does not fit, or is no text of numerals.
func (f *ff1) words(tweak []byte, radix int, numerals string) *ff1Words {
	x := &ff1Words{u: len(numerals) / 2, radix: uint64(radix), powers: [2]uint64{1, 1}}
	x.v = len(numerals) - x.u
	for i, size := range []int{x.u, x.v} {
		for range size {
			if x.powers[i] > (1<<63)/x.radix {
				return nil
			}
			x.powers[i] *= x.radix
		}
	}
	for i := range len(numerals) {
		n := uint64(numerals[i] - '0')
		if numerals[i] > '9' {
			n = uint64(numerals[i]-'a') + 10
		}
		switch {
		case n >= x.radix:
			return nil
		case i < x.u:
			x.left = x.left*x.radix + n
		default:
			x.right = x.right*x.radix + n
		}
	}
	x.b = (bits.Len64(x.powers[1]-1) + 7) / 8
	in := ff1Head(make([]byte, 0, 2*aes.BlockSize+len(tweak)), radix, x.u, x.v, tweak)
	for (len(in)+1+x.b)%aes.BlockSize != 0 {
		in = append(in, 0)
	}
	for ; len(in) >= aes.BlockSize; in = in[aes.BlockSize:] {
		subtle.XORBytes(x.before[:], x.before[:], in[:aes.BlockSize])
		f.block.Encrypt(x.before[:], x.before[:])
	}
	copy(x.last[:], in)
	return x
}

// wordRound is round, but for a multiple of the modulus that may be missing.
func (f *ff1) wordRound(x *ff1Words, i int, half uint64) uint64 {
	binary.BigEndian.PutUint64(x.block[8:], half)
	copy(x.block[:], x.last[:aes.BlockSize-x.b])
	x.block[aes.BlockSize-x.b-1] = byte(i)
	subtle.XORBytes(x.block[:], x.block[:], x.before[:])
	f.block.Encrypt(x.block[:], x.block[:])
	if x.b <= 4 {
		return binary.BigEndian.Uint64(x.block[:])
	}
	return bits.Rem64(uint64(binary.BigEndian.Uint32(x.block[:])), binary.BigEndian.Uint64(x.block[4:]), x.powers[i%2])
}

func (x *ff1Words) text() string {
	b := make([]byte, x.u+x.v)
	for i := len(b) - 1; i >= 0; i-- {
		half := &x.right
		if i < x.u {
			half = &x.left
		}
		b[i] = numerals[*half%x.radix]
		*half /= x.radix
	}
	return string(b)
}

// ff1Head appends P of the specification and the tweak.
func ff1Head(in []byte, radix, u, v int, tweak []byte) []byte {
	in = append(in, 1, 2, 1, byte(radix>>16), byte(radix>>8), byte(radix), ff1Rounds, byte(u))
	in = binary.BigEndian.AppendUint32(in, uint32(u+v))
	in = binary.BigEndian.AppendUint32(in, uint32(len(tweak)))
	return append(in, tweak...)
}

func (f *ff1) encryptBig(tweak []byte, radix int, numerals string) (string, bool) {
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

func (f *ff1) decryptBig(tweak []byte, radix int, numerals string) (string, bool) {
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
	x := &ff1Text{u: len(numerals) / 2, radix: radix}
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
	in := ff1Head(make([]byte, 0, 16+len(tweak)+b+32), x.radix, x.u, x.v, tweak)
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
