package state

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/pgveil/pgveil/privacy"
)

// subkey makes a key for one use of the store's.
func (s *Store) subkey(use string) ([]byte, error) {
	if len(s.Key) < 32 {
		return nil, errors.New("there is no key for what is sealed")
	}
	return hkdf.Expand(sha256.New, s.Key, use, 32)
}

func (s *Store) sealer() (cipher.AEAD, error) {
	key, err := s.subkey("secrets")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// owner is what a sealed secret is bound to: in another row, or with other
// parameters, it does not open.
func (f *Factor) owner() []byte {
	return fmt.Appendf(nil, "%q %s %d %s", f.User, f.Algorithm, f.Digits, f.Period)
}

func (s *Store) seal(f *Factor, secret []byte) ([]byte, error) {
	aead, err := s.sealer()
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, secret, f.owner()), nil
}

func (s *Store) open(f *Factor, sealed []byte) ([]byte, error) {
	aead, err := s.sealer()
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nil, sealed, f.owner())
}

// digest is what is kept of a recovery code. It needs no salt and no slow hash:
// without the key nobody can try a code out.
func (s *Store) digest(user, code string) ([]byte, error) {
	key, err := s.subkey("recovery codes")
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "%q %s", user, code)
	return h.Sum(nil), nil
}

// recoveryCode makes a code of random digits. Of the bytes those are left out
// that would make some digits likelier than others.
func recoveryCode() (string, error) {
	code := make([]byte, 0, privacy.RecoveryDigits)
	for one := make([]byte, 1); len(code) < privacy.RecoveryDigits; {
		if _, err := rand.Read(one); err != nil {
			return "", err
		}
		if one[0] < 250 {
			code = append(code, '0'+one[0]%10)
		}
	}
	return string(code), nil
}
