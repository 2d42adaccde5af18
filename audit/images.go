package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"
)

// Image is what a record of kind images says of one row that a statement
// changed. Its hashes are keyed, by a key of the month that is destroyed with
// those that seal the month's values: rows of a table that were written down
// alike within a month have one hash, and no guess at a row can be tried
// against it without that key.
type Image struct {
	Before string `json:"before,omitempty"` // hash; "" where there was no row, or none is known
	After  string `json:"after,omitempty"`
	Doubt  bool   `json:"doubt,omitempty"` // Before may be of an earlier state than the one that was overwritten
	Cut    bool   `json:"cut,omitempty"`   // the values are not sealed: too long, or not text
}

// Unhashed stands for the hash of a row that was too long to be hashed.
const Unhashed = "too long"

// Row is a row as it was written down: as JSON, or the SHA-256 of that, or as
// neither where it was too long. The zero Row is that.
type Row struct {
	JSON []byte
	Sum  []byte
}

// Change is what one row was and became; either is nil where there was none.
type Change struct {
	Before, After *Row
	Doubt         bool
}

// Values are what a record holds sealed of a row: its primary key, and of the row
// before and after all columns, or where there are both those that differ.
type Values struct {
	Key    map[string]json.RawMessage `json:"key,omitempty"`
	Before map[string]json.RawMessage `json:"before,omitempty"`
	After  map[string]json.RawMessage `json:"after,omitempty"`
}

// Images collects changes that go into one record. The zero Images are empty.
type Images struct {
	changes []summed
	values  []byte // of each a JSON value, with commas between
}

// summed is a change without its values.
type summed struct {
	before, after []byte // SHA-256; empty where it is not known, nil where there was no row
	doubt, cut    bool
}

// maxImages is how many rows a record has room for.
const maxImages = 128

// Len tells how many changes there are.
func (i *Images) Len() int { return len(i.changes) }

// Add takes the next change of a table whose primary key has these columns. It
// tells whether there was room: if not, it is for the next record.
func (i *Images) Add(key []string, c Change) bool {
	values := valuesOf(key, c)
	cut := values == nil || len(values)+len("[]") > maxContents
	if cut {
		values = []byte("null")
	}
	if len(i.changes) == maxImages || len(i.values)+len(values)+len("[,]") > maxContents && len(i.changes) > 0 {
		return false
	}
	if len(i.changes) > 0 {
		i.values = append(i.values, ',')
	}
	i.values = append(i.values, values...)
	i.changes = append(i.changes, summed{c.Before.sum(), c.After.sum(), c.Doubt, cut})
	return true
}

func (r *Row) sum() []byte {
	switch {
	case r == nil:
		return nil
	case r.JSON != nil:
		sum := sha256.Sum256(r.JSON)
		return sum[:]
	default:
		return append([]byte{}, r.Sum...)
	}
}

// valuesOf gives what is to be sealed of a change, nil when that is not known.
func valuesOf(key []string, c Change) []byte {
	var v Values
	for _, side := range []struct {
		row  *Row
		into *map[string]json.RawMessage
	}{{c.Before, &v.Before}, {c.After, &v.After}} {
		if side.row == nil {
			continue
		}
		if !utf8.Valid(side.row.JSON) || json.Unmarshal(side.row.JSON, side.into) != nil {
			return nil
		}
	}
	v.keyFrom(key)
	if c.Before != nil && c.After != nil {
		v.differing()
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return nil
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// keyFrom takes the primary key from the row after, or where there is none from
// the one before.
func (v *Values) keyFrom(columns []string) {
	row := v.After
	if row == nil {
		row = v.Before
	}
	for _, name := range columns {
		if value, ok := row[name]; ok {
			if v.Key == nil {
				v.Key = map[string]json.RawMessage{}
			}
			v.Key[name] = value
		}
	}
}

// differing leaves the columns that are not alike before and after.
func (v *Values) differing() {
	for name, before := range v.Before {
		if after, ok := v.After[name]; ok && bytes.Equal(before, after) {
			delete(v.Before, name)
			delete(v.After, name)
		}
	}
}

// SealImages puts images into a record that has its session, statement and
// relation: hashes in clear, and values encrypted.
func (s *Sealer) SealImages(now time.Time, r *Record, i *Images) error {
	hashes, err := s.hashKey(now.UTC().Format(monthLayout))
	if err == nil {
		err = s.seal(now, r, slices.Concat([]byte("["), i.values, []byte("]")), s.boundImages)
	}
	if err != nil {
		return fmt.Errorf("seal images of rows: %w", err)
	}
	r.Images = make([]Image, len(i.changes))
	for n, c := range i.changes {
		r.Images[n] = Image{hashed(hashes, r.Relation, c.before), hashed(hashes, r.Relation, c.after), c.doubt, c.cut}
	}
	return nil
}

func hashed(key []byte, relation string, sum []byte) string {
	switch {
	case sum == nil:
		return ""
	case len(sum) == 0:
		return Unhashed
	}
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "pgveil image of a row\n%s\n", relation)
	h.Write(sum)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// boundImages is what sealed images belong to, and cannot be opened elsewhere.
func (s *Sealer) boundImages(key string, r *Record) []byte {
	return fmt.Appendf(nil, "pgveil sealed images\n%s\n%s\n%s\n%d\n%s", s.origin, key, r.Session, r.Ref, r.Relation)
}

// OpenImages gives what is sealed in a record of kind images: one for each image,
// nil for those that are cut.
func (s *Sealer) OpenImages(r *Record) (values []*Values, err error) {
	plain, err := s.open(r, s.boundImages)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(plain, &values); err != nil || len(values) != len(r.Images) {
		return nil, fmt.Errorf("open the images of record %d: they are not written as images are", r.Seq)
	}
	return values, nil
}

// Ready sees to it that what comes now can be sealed, for whoever must not begin
// what cannot be.
func (s *Sealer) Ready(now time.Time) error {
	month := now.UTC().Format(monthLayout)
	s.mu.Lock()
	_, err := s.now(month)
	s.mu.Unlock()
	if err == nil {
		_, err = s.hashKey(month)
	}
	if err != nil {
		return fmt.Errorf("keys of sealed contents: %w", err)
	}
	return nil
}

// hashID is what the name of a month's key that hashes ends in.
const hashID = "0000000000000000"

// hashKey gives the key that hashes the rows of a month: one for all processes
// that use the folder, made by the first.
func (s *Sealer) hashKey(month string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hashes.month == month {
		return s.hashes.key, nil
	}
	name := month + "-" + hashID
	key, err := s.readKey(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.makeShared(name); err == nil {
			key, err = s.readKey(name)
		}
	}
	if err != nil {
		return nil, err
	}
	s.hashes.month, s.hashes.key = month, key
	return key, nil
}

// makeShared makes a key unless somebody else just did.
func (s *Sealer) makeShared(name string) error {
	_, text, err := s.newKey(name)
	if err != nil {
		return err
	}
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, name+keySuffix)
	own := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err = replaceFile(dir, own, text); err == nil {
		if err = os.Link(own, path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
		err = errors.Join(err, os.Remove(own), dir.Sync())
	}
	return errors.Join(err, dir.Close())
}
