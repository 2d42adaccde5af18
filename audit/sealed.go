package audit

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Sealer encrypts contents of statements for the log. Each process makes a key
// of its own for every month in which it seals, wrapped by a key that stands
// elsewhere, and each month's keys are destroyed when nobody may read what they
// seal any more. What is sealed is part of the record and stays there, so no
// proof breaks by that.
//
// A key is a file, 2026-11-<16 hexadecimal digits>.key, of three lines: what it
// is, its name, and the key encrypted by AES-256-GCM in base64, behind its
// nonce. What it seals is that name, a colon, and base64 of a number, 8 bytes,
// and the ciphertext. The number is the end of the nonce and never the same for
// two of one key. What must be the same to open it: the log's origin, the key's
// name, and the session and fingerprint of the record.
type Sealer struct {
	dir    string
	origin string
	wrap   cipher.AEAD

	mu      sync.Mutex
	current *dataKey // nil before the first
	hashes  struct { // what hashes the rows of a month
		month string
		key   []byte
	}
}

type dataKey struct {
	name string // month-id
	aead cipher.AEAD
	used uint64
}

const (
	keyHeader   = "pgveil sealed key 1"
	keySuffix   = ".key"
	monthLayout = "2006-01"
	maxUses     = 1 << 32
	maxSealed   = len("2026-11-0123456789abcdef:") + (8+maxContents+16+2)/3*4 // as text
)

// NewSealer readies the folder of keys. The wrapping key has 32 bytes, and must
// be the one that the newest key in the folder was wrapped by.
func NewSealer(dir, origin string, wrapping []byte) (*Sealer, error) {
	s := &Sealer{dir: dir, origin: origin}
	var err error
	if s.wrap, err = newGCM(wrapping); err != nil {
		return nil, fmt.Errorf("the key that wraps the keys of sealed contents: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keys of sealed contents: %w", err)
	}
	names, err := s.names()
	if err == nil && len(names) > 0 {
		_, err = s.read(names[len(names)-1])
	}
	return s, err
}

func newGCM(key []byte) (cipher.AEAD, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("it has %d bytes, and must have 32", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Seal encrypts contents into a record that has its session and fingerprint.
func (s *Sealer) Seal(now time.Time, r *Record, c Contents) error {
	if err := s.seal(now, r, c.marshal(), s.bound); err != nil {
		return fmt.Errorf("seal the contents of a statement: %w", err)
	}
	return nil
}

// seal encrypts into a record what belongs to it as bound says.
func (s *Sealer) seal(now time.Time, r *Record, plain []byte, bound func(key string, r *Record) []byte) error {
	key, number, err := s.take(now.UTC().Format(monthLayout))
	if err != nil {
		return err
	}
	sealed := make([]byte, 8, 8+len(plain)+key.aead.Overhead())
	binary.BigEndian.PutUint64(sealed, number)
	sealed = key.aead.Seal(sealed, nonceOf(sealed), plain, bound(key.name, r))
	text := make([]byte, 0, len(key.name)+1+base64.RawStdEncoding.EncodedLen(len(sealed)))
	text = append(append(text, key.name...), ':')
	r.Sealed = string(base64.RawStdEncoding.AppendEncode(text, sealed))
	return nil
}

// nonceOf makes a nonce of the number that sealed contents begin with.
func nonceOf(sealed []byte) []byte { return append(make([]byte, 4, 12), sealed[:8]...) }

// bound is what sealed contents belong to, and cannot be opened elsewhere.
func (s *Sealer) bound(key string, r *Record) []byte {
	return fmt.Appendf(nil, "pgveil sealed contents\n%s\n%s\n%s\n%s", s.origin, key, r.Session, r.Fingerprint)
}

// take gives the key of a month, and a number that nobody else has of it.
func (s *Sealer) take(month string) (*dataKey, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.now(month)
	if err != nil {
		return nil, 0, err
	}
	k.used++
	return k, k.used, nil
}

// now gives the key that seals in a month. The caller holds s.mu.
func (s *Sealer) now(month string) (*dataKey, error) {
	if k := s.current; k == nil || !strings.HasPrefix(k.name, month+"-") || k.used == maxUses {
		k, err := s.make(month)
		if err != nil {
			return nil, err
		}
		s.current = k
	}
	return s.current, nil
}

// make makes a key, durably: what it seals is worth nothing without.
func (s *Sealer) make(month string) (*dataKey, error) {
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	k := &dataKey{name: month + "-" + hex.EncodeToString(id)}
	key, text, err := s.newKey(k.name)
	if err != nil {
		return nil, err
	}
	if k.aead, err = newGCM(key); err != nil {
		return nil, err
	}
	dir, err := os.Open(s.dir)
	if err != nil {
		return nil, err
	}
	return k, errors.Join(replaceFile(dir, filepath.Join(s.dir, k.name+keySuffix), text), dir.Close())
}

// newKey gives a key, and what its file holds.
func (s *Sealer) newKey(name string) (key, text []byte, err error) {
	random := make([]byte, 32+12)
	if _, err := rand.Read(random); err != nil {
		return nil, nil, err
	}
	key, nonce := random[:32:32], random[32:]
	wrapped := s.wrap.Seal(nonce, nonce, key, s.wrapped(name))
	return key, fmt.Appendf(nil, "%s\n%s\n%s\n", keyHeader, name, base64.StdEncoding.EncodeToString(wrapped)), nil
}

func (s *Sealer) wrapped(name string) []byte {
	return fmt.Appendf(nil, "%s\n%s\n%s", keyHeader, s.origin, name)
}

// ErrDestroyed says that sealed contents can be opened no more.
var ErrDestroyed = errors.New("the key that sealed them is not there any more")

// Open gives the contents that are sealed in a record.
func (s *Sealer) Open(r *Record) (Contents, error) {
	plain, err := s.open(r, s.bound)
	if err != nil {
		return Contents{}, err
	}
	return parseContents(plain)
}

// open decrypts what is sealed in a record, to which it belongs as bound says.
func (s *Sealer) open(r *Record, bound func(key string, r *Record) []byte) ([]byte, error) {
	name, text, ok := strings.Cut(r.Sealed, ":")
	sealed, err := base64.RawStdEncoding.DecodeString(text)
	if !ok || err != nil || len(sealed) < 8 {
		return nil, fmt.Errorf("open the contents of record %d: there are none, or they are not sealed as by pgveil", r.Seq)
	}
	aead, err := s.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %s", ErrDestroyed, name)
	}
	if err != nil {
		return nil, fmt.Errorf("open the contents of record %d: %w", r.Seq, err)
	}
	plain, err := aead.Open(nil, nonceOf(sealed), sealed[8:], bound(name, r))
	if err != nil {
		return nil, fmt.Errorf("open the contents of record %d: they were changed, or sealed in another record", r.Seq)
	}
	return plain, nil
}

// read reads a key that seals.
func (s *Sealer) read(name string) (cipher.AEAD, error) {
	key, err := s.readKey(name)
	if err != nil {
		return nil, err
	}
	return newGCM(key)
}

func (s *Sealer) readKey(name string) ([]byte, error) {
	if _, err := monthOf(name); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(s.dir, name+keySuffix))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 || lines[0] != keyHeader || lines[1] != name {
		return nil, fmt.Errorf("%s is not the key of that name", name+keySuffix)
	}
	wrapped, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(wrapped) < 12 {
		return nil, fmt.Errorf("%s holds no key", name+keySuffix)
	}
	key, err := s.wrap.Open(nil, wrapped[:12], wrapped[12:], s.wrapped(name))
	if err != nil {
		return nil, fmt.Errorf("%s was wrapped by another key, or for a log of another origin, or was changed", name+keySuffix)
	}
	return key, nil
}

// monthOf gives when the month of a key began. Names come from records, too, and
// become names of files.
func monthOf(name string) (time.Time, error) {
	month, id, _ := strings.Cut(strings.Replace(name, "-", "/", 1), "-")
	at, err := time.Parse("2006/01", month)
	raw, herr := hex.DecodeString(id)
	if err != nil || herr != nil || len(raw) != 8 {
		return at, fmt.Errorf("%q is not the name of a key of sealed contents", name)
	}
	return at, nil
}

// names lists the keys, those of the earliest month first.
func (s *Sealer) names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("keys of sealed contents: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), keySuffix); ok {
			if _, err := monthOf(name); err != nil {
				return nil, fmt.Errorf("keys of sealed contents: %w", err)
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Destroy overwrites and removes the keys of months that ended before a time,
// and gives the names of those that are gone. What a file system, a disk or a
// copy keeps of them beside that is not in its hands; what is kept is wrapped.
func (s *Sealer) Destroy(before time.Time) (gone []string, err error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(s.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dir.Sync(), dir.Close()) }()
	for _, name := range names {
		month, err := monthOf(name)
		if err != nil {
			return gone, err
		}
		if month.AddDate(0, 1, 0).After(before) {
			continue
		}
		if err := overwrite(filepath.Join(s.dir, name+keySuffix)); err != nil {
			return gone, fmt.Errorf("destroy a key of sealed contents: %w", err)
		}
		gone = append(gone, name)
	}
	return gone, nil
}

// overwrite writes noise over a file, durably, and removes it.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		noise := make([]byte, info.Size())
		rand.Read(noise)
		_, err = f.WriteAt(noise, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Remove(path)
}
