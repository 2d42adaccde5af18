package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
)

// xaes is XAES-256-GCM as C2SP specifies it: AES-256-GCM under a key that is derived
// from half of a nonce of 24 bytes, so that random nonces do not run out.
type xaes struct {
	block cipher.Block
	k1    [aes.BlockSize]byte // the first subkey of CMAC
}

const (
	xaesNonce = 24
	xaesTag   = 16
)

func newXAES(key []byte) (*xaes, error) {
	if len(key) != 32 {
		return nil, errors.New("seal: a key of XAES-256-GCM has 32 bytes")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	x := &xaes{block: block}
	block.Encrypt(x.k1[:], x.k1[:])
	carry := byte(0)
	for i := len(x.k1) - 1; i >= 0; i-- {
		carry, x.k1[i] = x.k1[i]>>7, x.k1[i]<<1|carry
	}
	x.k1[len(x.k1)-1] ^= carry * 0b10000111
	return x, nil
}

// derived gives the cipher for a nonce's first half.
func (x *xaes) derived(half []byte) (cipher.AEAD, error) {
	var key [32]byte
	for i := range 2 {
		m := key[16*i : 16*i+16]
		m[1], m[2] = byte(i+1), 'X'
		copy(m[4:], half)
		for j := range m {
			m[j] ^= x.k1[j]
		}
		x.block.Encrypt(m, m)
	}
	block, err := aes.NewCipher(key[:])
	clear(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal appends the ciphertext and tag of a value.
func (x *xaes) seal(dst, nonce, value, bound []byte) ([]byte, error) {
	gcm, err := x.derived(nonce[:12])
	if err != nil {
		return nil, err
	}
	return gcm.Seal(dst, nonce[12:xaesNonce], value, bound), nil
}

// open appends the value.
func (x *xaes) open(dst, nonce, sealed, bound []byte) ([]byte, error) {
	gcm, err := x.derived(nonce[:12])
	if err != nil {
		return nil, err
	}
	return gcm.Open(dst, nonce[12:xaesNonce], sealed, bound)
}
