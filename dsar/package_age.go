package dsar

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// Encryption is to whom a package is encrypted. The zero Encryption refuses.
type Encryption struct{ to []age.Recipient }

// NewEncryption reads age recipients: public keys, age1… . It makes sure that
// all of them together can be encrypted to, before there is anything to encrypt.
func NewEncryption(recipients []string) (Encryption, error) {
	var e Encryption
	for i, text := range recipients {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-") {
			return e, fmt.Errorf("age recipient %d is a secret key: give the public key that belongs to it, and make a new one, for others may have seen this", i+1)
		}
		found, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil || len(found) != 1 {
			return e, fmt.Errorf("age recipient %d is not a public key of age, age1…", i+1)
		}
		e.to = append(e.to, found[0])
	}
	out, err := e.Writer(io.Discard)
	if err == nil {
		err = out.Close()
	}
	return e, err
}

// Writer encrypts what is written to it. Only Close makes it whole.
func (e Encryption) Writer(w io.Writer) (io.WriteCloser, error) {
	if len(e.to) == 0 {
		return nil, errors.New("encrypt: there is no recipient")
	}
	out, err := age.Encrypt(w, e.to...)
	if err != nil {
		return nil, fmt.Errorf("encrypt to %d recipients: %w", len(e.to), err)
	}
	return out, nil
}

// Encrypted tells whether a file is encrypted by age.
func Encrypted(r io.ReaderAt) bool {
	const mark = "age-encryption.org/v1\n"
	head := make([]byte, len(mark))
	n, _ := r.ReadAt(head, 0) // what cannot be read is found out by whoever reads on
	return bytes.Equal(head[:n], []byte(mark))
}

// Decrypted opens an encrypted file by the secret keys in a file of them.
func Decrypted(r io.ReaderAt, size int64, keys io.Reader) (io.ReaderAt, int64, error) {
	identities, err := age.ParseIdentities(keys)
	if err != nil {
		return nil, 0, errors.New("the file of secret keys is not one of age") // its lines are in the error
	}
	plain, size, err := age.DecryptReaderAt(r, size, identities...)
	if err != nil {
		return nil, 0, fmt.Errorf("decrypt: %w", err)
	}
	return plain, size, nil
}
