package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Wrapper wraps a key under another that is kept elsewhere. What Wrap gives is text
// without line feeds.
type Wrapper interface {
	Wrap(ctx context.Context, key []byte) (wrapped string, err error)
	Unwrap(ctx context.Context, wrapped string) (key []byte, err error)
}

// AwayError tells that what wraps keys cannot be asked now: later it may.
type AwayError struct{ Err error }

func (e *AwayError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *AwayError) Unwrap() error { return e.Err }

// File is a file of keys. Each secret in it is sealed under the file's own key, which
// is wrapped under a key that is kept elsewhere; what is not secret is sealed by a MAC
// under the file's own key, so that no state can be changed without it.
type File struct {
	path    string
	wrapped string
	own     []byte
	serial  int64 // counts the changes
	keys    []*Key
}

// written is a File as it stands on the disk.
type writtenFile struct {
	Pgveil  string       `json:"pgveil"`
	Serial  int64        `json:"serial"`
	Wrapped string       `json:"wrapped"`
	Keys    []writtenKey `json:"keys"`
	MAC     []byte       `json:"mac"`
}

type writtenKey struct {
	ID      string    `json:"id"`
	Class   string    `json:"class"`
	State   string    `json:"state"`
	Created time.Time `json:"created"`
	Format  bool      `json:"format,omitempty"`
	Secret  []byte    `json:"secret,omitempty"` // absent: it is destroyed
}

const fileKind = "keys of sealed columns 1"

// CreateFile makes a file without keys; there must be none yet. What wraps it must be
// able to unwrap it.
func CreateFile(ctx context.Context, path string, by Wrapper) (*File, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	f := &File{path: path, own: make([]byte, 32)}
	rand.Read(f.own) // never fails
	var err error
	if f.wrapped, err = by.Wrap(ctx, f.own); err != nil {
		return nil, err
	}
	own, err := by.Unwrap(ctx, f.wrapped) // or nobody could read the file
	if err != nil {
		return nil, fmt.Errorf("unwrapping what was just wrapped: %w", err)
	}
	if !hmac.Equal(own, f.own) {
		return nil, errors.New("what was just wrapped unwraps to another key")
	}
	return f, nil
}

// OpenFile reads a file.
func OpenFile(ctx context.Context, path string, by Wrapper) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var w writtenFile
	if err := json.Unmarshal(text, &w); err != nil || w.Pgveil != fileKind {
		return nil, fmt.Errorf("%s is not a file of keys of this version", path)
	}
	f := &File{path: path, wrapped: w.Wrapped, serial: w.Serial}
	if f.own, err = by.Unwrap(ctx, w.Wrapped); err != nil {
		return nil, fmt.Errorf("%s: unwrapping its key: %w", path, err)
	}
	if !hmac.Equal(w.MAC, f.mac(&w)) {
		return nil, fmt.Errorf("%s was changed by somebody else, or is damaged", path)
	}
	for _, k := range w.Keys {
		one, err := f.read(k)
		if err != nil {
			return nil, fmt.Errorf("%s: key %s: %w", path, k.ID, err)
		}
		f.keys = append(f.keys, one)
	}
	return f, nil
}

func (f *File) read(w writtenKey) (*Key, error) {
	id, err := strconv.ParseUint(w.ID, 16, 32)
	state := State(slices.Index(states, w.State))
	if err != nil || state < Primary || state > Destroyed {
		return nil, errors.New("it is not understood")
	}
	k := &Key{ID: uint32(id), Class: w.Class, State: state, Created: w.Created, Format: w.Format}
	if state == Destroyed {
		return k, nil
	}
	secret, err := f.gcm().Open(nil, w.Secret[:min(12, len(w.Secret))], w.Secret[min(12, len(w.Secret)):], k.bound())
	if err != nil || len(secret) != len(k.secret) {
		return nil, errors.New("its secret is damaged")
	}
	copy(k.secret[:], secret)
	clear(secret)
	return k, nil
}

// bound is what a key's secret is bound to.
func (k *Key) bound() []byte { return append(binary.BigEndian.AppendUint32(nil, k.ID), k.Class...) }

func (f *File) gcm() cipher.AEAD {
	block, err := aes.NewCipher(f.own)
	if err != nil {
		panic("seal: " + err.Error()) // it has 32 bytes
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("seal: " + err.Error())
	}
	return gcm
}

// mac gives the MAC of all that a file says but for that itself.
func (f *File) mac(w *writtenFile) []byte {
	bare := *w
	bare.MAC = nil
	text, err := json.Marshal(bare)
	if err != nil {
		panic("seal: " + err.Error()) // it is made of what JSON has
	}
	h := hmac.New(sha256.New, f.own)
	h.Write([]byte("pgveil keys of sealed columns "))
	h.Write(text)
	return h.Sum(nil)
}

// Save writes the file, one change further, and to the disk: whoever reads it meanwhile
// has it as it was.
func (f *File) Save() error {
	w := &writtenFile{Pgveil: fileKind, Serial: f.serial + 1, Wrapped: f.wrapped, Keys: []writtenKey{}}
	for _, k := range f.keys {
		one := writtenKey{ID: fmt.Sprintf("%08x", k.ID), Class: k.Class, State: k.State.String(), Created: k.Created.UTC(), Format: k.Format}
		if k.State != Destroyed {
			nonce := make([]byte, 12)
			rand.Read(nonce) // never fails
			one.Secret = f.gcm().Seal(nonce, nonce, k.secret[:], k.bound())
		}
		w.Keys = append(w.Keys, one)
	}
	w.MAC = f.mac(w)
	text, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return err
	}
	if err := replace(f.path, append(text, '\n')); err != nil {
		return err
	}
	f.serial++
	return nil
}

// replace writes a file in the place of what is there, to the disk.
func replace(path string, text []byte) (err error) {
	next, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(next.Name()))
		}
	}()
	_, err = next.Write(text)
	if err = errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	if err = os.Rename(next.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Ring gives the keys for use.
func (f *File) Ring() (*Ring, error) { return NewRing(f.keys...) }

// Serial counts the changes of the file.
func (f *File) Serial() int64 { return f.serial }

// Keys gives the keys, without their secrets.
func (f *File) Keys() (list []Key) {
	for _, k := range f.keys {
		one := *k
		clear(one.secret[:])
		list = append(list, one)
	}
	return list
}

// Forget overwrites the secrets of a file that is needed no more. Rings that were made
// of it stay as they are.
func (f *File) Forget() {
	clear(f.own)
	for _, k := range f.keys {
		clear(k.secret[:])
	}
}

// Check gives what tells whether two keys are the same, and nothing else of a key.
func (f *File) Check(id uint32) string {
	i := slices.IndexFunc(f.keys, func(k *Key) bool { return k.ID == id && k.State != Destroyed })
	if i < 0 {
		return ""
	}
	h := hmac.New(sha256.New, f.keys[i].secret[:])
	h.Write([]byte("pgveil key check"))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:6])
}

// Create makes the first key of a class.
func (f *File) Create(class string, now time.Time) (*Key, error) {
	if slices.ContainsFunc(f.keys, func(k *Key) bool { return k.Class == class && k.State == Primary }) {
		return nil, fmt.Errorf("class %q has a primary key already: rotate makes another", class)
	}
	return f.add(class, now), nil
}

// Rotate makes another primary key for a class; the one before still opens what it
// sealed.
func (f *File) Rotate(class string, now time.Time) (*Key, error) {
	i := slices.IndexFunc(f.keys, func(k *Key) bool { return k.Class == class && k.State == Primary })
	if i < 0 {
		return nil, fmt.Errorf("class %q has no primary key: create makes one", class)
	}
	f.keys[i].State = Enabled
	return f.add(class, now), nil
}

func (f *File) add(class string, now time.Time) *Key {
	k := NewKey(class, Primary, now)
	for slices.ContainsFunc(f.keys, func(o *Key) bool { return o.ID == k.ID }) {
		k = NewKey(class, Primary, now)
	}
	k.Format = !slices.ContainsFunc(f.keys, func(o *Key) bool { return o.Class == class })
	f.keys = append(f.keys, k)
	return k
}

// Set changes what may be done with a key that is not the primary one. What a destroyed
// key sealed nobody opens again.
func (f *File) Set(id uint32, to State) error {
	i := slices.IndexFunc(f.keys, func(k *Key) bool { return k.ID == id })
	switch {
	case i < 0:
		return fmt.Errorf("there is no key %08x", id)
	case f.keys[i].State == Destroyed:
		return fmt.Errorf("key %08x is destroyed", id)
	case f.keys[i].State == Primary:
		return fmt.Errorf("key %08x seals what is written now: rotate its class first", id)
	case to != Enabled && to != Disabled && to != Destroyed:
		return fmt.Errorf("a key cannot be made %s so", to)
	}
	f.keys[i].State = to
	if to == Destroyed {
		clear(f.keys[i].secret[:])
	}
	return nil
}

// Lock keeps others from changing a file of keys until unlock is called.
func Lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// Local wraps under a key at hand.
type Local struct{ Key []byte }

// Wrap seals a key.
func (l Local) Wrap(_ context.Context, key []byte) (string, error) {
	x, err := newXAES(l.Key)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, xaesNonce)
	rand.Read(nonce) // never fails
	sealed, err := x.seal(nonce, nonce, key, []byte(fileKind))
	return "local:" + base64.StdEncoding.EncodeToString(sealed), err
}

// Unwrap opens what Wrap sealed.
func (l Local) Unwrap(_ context.Context, wrapped string) ([]byte, error) {
	x, err := newXAES(l.Key)
	if err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(wrapped, "local:")
	sealed, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(sealed) < xaesNonce {
		return nil, errors.New("it was wrapped by something else than a key at hand")
	}
	key, err := x.open(nil, sealed[:xaesNonce], sealed[xaesNonce:], []byte(fileKind))
	if err != nil {
		return nil, errors.New("it was wrapped under another key")
	}
	return key, nil
}
