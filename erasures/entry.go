package erasures

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// State is what an entry says. The zero State is none.
type State string

// The states. An erasure is intended, carried out, and later done or failed; the
// others are about the database as a whole.
const (
	Intended State = "intended" // durable before the first row is touched
	Carried  State = "carried"  // of the intention Of: the rows are gone, and what is left is being looked for
	Done     State = "done"     // of the intention Of: nothing is left, or what is kept is kept for a reason
	Failed   State = "failed"   // of the intention Of: it was given up, and nobody was told that it is done
	Observed State = "observed" // the database was another copy than before
	Replayed State = "replayed" // what a restore brought back was erased again
	Accepted State = "accepted" // an operator let traffic in without that, for the reason in Note
)

// Hash is a value that nobody can match with a guess but who has the key.
type Hash [sha256.Size]byte

// Digest is SHA-256 of an entry, and so of all before it.
type Digest [sha256.Size]byte

func (h Hash) MarshalText() ([]byte, error)       { return hex.AppendEncode(nil, h[:]), nil }
func (h *Hash) UnmarshalText(text []byte) error   { return decodeHex(h[:], text) }
func (d Digest) MarshalText() ([]byte, error)     { return hex.AppendEncode(nil, d[:]), nil }
func (d *Digest) UnmarshalText(text []byte) error { return decodeHex(d[:], text) }
func (d Digest) String() string                   { return hex.EncodeToString(d[:]) }

func decodeHex(to, text []byte) error {
	if hex.DecodedLen(len(text)) != len(to) || len(text)%2 != 0 {
		return fmt.Errorf("it has %d digits, not %d", len(text), hex.EncodedLen(len(to)))
	}
	_, err := hex.Decode(to, text)
	return err
}

// Database says which copy of a database an entry was written beside.
type Database struct {
	System   string `json:"system"`   // the identifier that initdb gave the cluster
	Timeline uint32 `json:"timeline"` // of its WAL: another one after each recovery and promotion
	LSN      string `json:"lsn"`      // how far the WAL had come
	Name     string `json:"name"`
}

// sameCopy tells whether two observations are of one copy that nobody restored
// or promoted in between.
func (d Database) sameCopy(other Database) bool {
	return d.System == other.System && d.Timeline == other.Timeline && d.Name == other.Name
}

// Entry is a line of the ledger.
type Entry struct {
	Seq     uint64    `json:"seq"` // 1, 2, 3, …: set when it is written
	Time    time.Time `json:"time"`
	State   State     `json:"state"`
	Of      uint64    `json:"of,omitempty"`      // of one that is carried, done or failed: the seq of the intention
	Again   uint64    `json:"again,omitempty"`   // of an intention: the seq of the one that a restore has undone
	Request int64     `json:"request,omitempty"` // the number of the data subject request
	Kind    string    `json:"kind,omitempty"`    // of data subject

	Subject     Hash   `json:"subject,omitzero"`      // of the key
	Identifiers []Hash `json:"identifiers,omitempty"` // of the other values by which the subject was known
	Key         string `json:"key,omitempty"`         // which key the hashes are under
	Stays       bool   `json:"stays,omitempty"`       // of a done one: the subject's own row stays, without what tells of them

	Plan     string   `json:"plan,omitempty"` // hash of the plan that is carried out
	Database Database `json:"database,omitzero"`
	Log      uint64   `json:"log,omitempty"`  // seq of the access log's record that it follows
	By       string   `json:"by,omitempty"`   // who let it happen
	Note     string   `json:"note,omitempty"` // why; never a value of a row

	Prev   Digest `json:"prev"` // of the entry before; zeros for the first
	Digest Digest `json:"-"`
}

// maxLine bounds a line of the file, its end included. An entry that would be
// longer is refused before anything is written.
const maxLine = 32 << 10

// digestMember stands between what an entry's digest is of and the digest.
const digestMember = `,"digest":"`

// encode sets the entry's digest and gives its line. The digest is of the entry
// as JSON without its last member, the digest.
func (e *Entry) encode() ([]byte, error) {
	body, err := marshal(e)
	if err != nil {
		return nil, err
	}
	e.Digest = sha256.Sum256(body)
	line := fmt.Appendf(body[:len(body)-1], "%s%s\"}\n", digestMember, e.Digest)
	if len(line) > maxLine {
		return nil, fmt.Errorf("the entry has %d bytes, of at most %d", len(line), maxLine)
	}
	return line, nil
}

// decode reads a line without its end. It is an error unless the digest is that of
// the very bytes before it.
func decode(line []byte) (e Entry, err error) {
	at := bytes.LastIndex(line, []byte(digestMember))
	if at < 0 {
		return Entry{}, errors.New("it has no digest")
	}
	body := append(line[:at:at], '}')
	sum := Digest(sha256.Sum256(body))
	if string(line[at:]) != digestMember+sum.String()+`"}` {
		return Entry{}, errors.New("it is not as it was written")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil || d.InputOffset() != int64(len(body)) {
		return Entry{}, errors.New("it is no entry")
	}
	e.Digest = sum
	return e, nil
}

// marshal gives the one encoding that something has: JSON in the order of its
// fields, without white space and without escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
