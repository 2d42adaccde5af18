package erasures

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/pgveil/pgveil/audit"
)

// Format is what a certificate says that it is.
const Format = "pgveil.erasure/1"

// Certificate says that a data subject was erased, without saying who: a token
// stands for them, that nobody can resolve any more. Its fields are in the order
// in which they are signed.
type Certificate struct {
	Format  string    `json:"format"`
	Issued  time.Time `json:"issued"`
	Request int64     `json:"request"`
	Regime  string    `json:"regime"`
	Kind    string    `json:"kind"`
	Token   string    `json:"token"` // of the access log's, for the subject

	Received  time.Time `json:"received"`
	Verified  time.Time `json:"verified,omitzero"` // that they are who they say; zero: nobody asked
	Completed time.Time `json:"completed"`

	Plan    string  `json:"plan"`   // hash of what was approved
	Policy  string  `json:"policy"` // generation of policy and catalog
	Tables  []Table `json:"tables"`
	Sweep   Sweep   `json:"sweep"`
	Remains []Rest  `json:"remains"` // what could not be cleaned

	// DataKeys is how many keys of single values were destroyed: those values are
	// unreadable in backups, replicas and the write-ahead log as well.
	DataKeys int64 `json:"data_keys,omitempty"`

	Told []Told `json:"told"` // recipients of the data

	Ledger  LedgerEntry `json:"ledger"`
	Records []Recorded  `json:"records"` // of the access log
}

// Table is what was done with the rows of a table.
type Table struct {
	Table      string    `json:"table"`
	Deleted    int64     `json:"deleted"`
	Anonymised int64     `json:"anonymised"`
	Unlinked   int64     `json:"unlinked"` // rows of others, that referred to the subject
	Kept       int64     `json:"kept"`
	Because    string    `json:"because,omitempty"` // of those kept
	Until      time.Time `json:"until,omitzero"`
}

// Sweep is the search of the whole database for what the subject was known by.
type Sweep struct {
	At      time.Time `json:"at"`
	Tables  int64     `json:"tables"`
	Columns int64     `json:"columns"`
	Rows    int64     `json:"rows"`
	Needles int64     `json:"needles"` // how many values were searched for
	Left    []Left    `json:"left"`    // where they still are
}

// Left is a place where the sweep has found something that stays.
type Left struct {
	Table   string `json:"table"`
	Column  string `json:"column"`
	Rows    int64  `json:"rows"`
	Because string `json:"because"`
}

// Rest is a place that an erasure does not reach: WAL, backups, replicas.
type Rest struct {
	What    string    `json:"what"`
	Because string    `json:"because"`
	Until   time.Time `json:"until,omitzero"` // when it is gone
}

// Told is a recipient who was told of the erasure.
type Told struct {
	Whom string    `json:"whom"`
	At   time.Time `json:"at"`
}

// LedgerEntry names the intention and the outcome in the ledger.
type LedgerEntry struct {
	Intended       uint64 `json:"intended"`
	IntendedDigest Digest `json:"intended_digest"`
	Done           uint64 `json:"done"`
	DoneDigest     Digest `json:"done_digest"`
}

// Recorded is a record of the access log, with its proof as "pgveil audit prove"
// writes it.
type Recorded struct {
	Seq   uint64 `json:"seq"`
	Proof string `json:"proof"`
}

// Reference gives how a certificate names an erasure's entries.
func Reference(intended, done Entry) LedgerEntry {
	return LedgerEntry{intended.Seq, intended.Digest, done.Seq, done.Digest}
}

// Origin is the name under which certificates are signed: by the key of a log's
// checkpoints, but so that none is taken for the other.
func Origin(log string) string { return log + "/certificate" }

// Issuer is who signs certificates.
type Issuer struct {
	Key  audit.Key         // that signs the log's checkpoints
	Keys []audit.PublicKey // more that checkpoints are signed with: the key before, those of a second chain
}

// Place is where a record of the access log is.
type Place struct {
	Log *audit.Prover
	Seq uint64
}

// NewCertificate fills in the proofs of records, checks that the certificate is
// whole and says nothing of whom it is about, and signs it. Among the records must
// be one whose Event is the digest of the ledger's outcome, and all must be under a
// signed checkpoint. secrets are what the subject was known by. What is given
// back is the certificate as a file.
func NewCertificate(c Certificate, by Issuer, records []Place, secrets ...string) ([]byte, error) {
	signed, err := c.issue(by, records, secrets)
	if err != nil {
		return nil, fmt.Errorf("certificate of request %d: %w", c.Request, err)
	}
	return signed, nil
}

func (c *Certificate) issue(by Issuer, records []Place, secrets []string) ([]byte, error) {
	c.Format, c.Records = Format, nil
	for _, at := range []*time.Time{&c.Issued, &c.Received, &c.Verified, &c.Completed, &c.Sweep.At} {
		*at = at.UTC().Round(0)
	}
	if err := c.silent(secrets); err != nil {
		return nil, err
	}
	for _, r := range records {
		p, err := r.Log.Prove(r.Seq)
		if err != nil {
			return nil, err
		}
		c.Records = append(c.Records, Recorded{r.Seq, string(p.Marshal())})
	}
	signed, err := c.sign(by.Key)
	if err != nil {
		return nil, err
	}
	// Whoever reads it checks it as strictly: better now than years later.
	if _, err = VerifyCertificate(signed, append([]audit.PublicKey{by.Key.Public()}, by.Keys...)); err != nil {
		return nil, err
	}
	return signed, nil
}

// check finds what a certificate lacks.
func (c *Certificate) check() error {
	switch {
	case c.Format != Format:
		return fmt.Errorf("its format is %q, not %s", c.Format, Format)
	case c.Request <= 0 || c.Kind == "" || c.Token == "" || c.Regime == "" || c.Plan == "" || c.Policy == "":
		return errors.New("request, kind, token, regime, plan and policy are needed")
	case c.Issued.IsZero() || c.Received.IsZero() || c.Completed.Before(c.Received) || c.Issued.Before(c.Completed):
		return errors.New("it is received, then completed, then issued")
	case !c.Verified.IsZero() && (c.Verified.Before(c.Received) || c.Completed.Before(c.Verified)):
		return errors.New("who somebody is was verified between receiving and completing")
	case c.Sweep.At.IsZero() || c.Sweep.Needles <= 0:
		return errors.New("without a sweep nobody knows what is left")
	case len(c.Tables) == 0:
		return errors.New("it names no table")
	case c.Ledger.Intended == 0 || c.Ledger.Done <= c.Ledger.Intended:
		return errors.New("it is in no ledger")
	}
	for _, t := range c.Tables {
		if t.Deleted < 0 || t.Anonymised < 0 || t.Unlinked < 0 || t.Kept < 0 || t.Kept > 0 && t.Because == "" {
			return fmt.Errorf("table %s: what is kept is kept for a reason", t.Table)
		}
	}
	for _, l := range c.Sweep.Left {
		if l.Because == "" {
			return fmt.Errorf("the sweep has found something in %s.%s that nobody has a reason to keep", l.Table, l.Column)
		}
	}
	return nil
}

// file is a certificate as a file: the certificate, and a signed note of its
// SHA-256.
type file struct {
	Certificate Certificate `json:"certificate"`
	Signature   string      `json:"signature"`
}

// noteTitle is the first line of what is signed. No name of a log is like it, so
// that no checkpoint is taken for a certificate.
const noteTitle = "pgveil certificate of erasure"

// NoteText gives what is signed of a certificate's JSON, without white space
// between its tokens: a title, and the SHA-256.
func NoteText(certificate []byte) string {
	sum := sha256.Sum256(certificate)
	return fmt.Sprintf("%s\n%s\n", noteTitle, base64.StdEncoding.EncodeToString(sum[:]))
}

func (c *Certificate) noteText() (string, error) {
	body, err := marshal(c)
	if err != nil {
		return "", err
	}
	return NoteText(body), nil
}

func (c *Certificate) sign(key audit.Key) ([]byte, error) {
	text, err := c.noteText()
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(&note.Note{Text: text}, key.For(Origin(key.Name())))
	if err != nil {
		return nil, err
	}
	return (&file{*c, string(signed)}).encode()
}

// encode gives the one form that the file has, indented for who looks into it.
func (f *file) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(f)
	return b.Bytes(), err
}

// maxCertificate bounds what is read: more than any has.
const maxCertificate = 64 << 20

// VerifyCertificate checks a certificate by itself: that it is byte for byte what
// one of the keys signed, that it is whole, that each of its records is in a log
// under a checkpoint that one of the keys signed, and that the ledger's entry is
// what such a record says. keys are those of the log's checkpoints.
func VerifyCertificate(text []byte, keys []audit.PublicKey) (Certificate, error) {
	c, err := verifyCertificate(text, keys)
	if err != nil {
		return Certificate{}, fmt.Errorf("verify certificate: %w", err)
	}
	return c, nil
}

func verifyCertificate(text []byte, keys []audit.PublicKey) (Certificate, error) {
	f, err := parseCertificate(text)
	if err != nil {
		return Certificate{}, err
	}
	c := f.Certificate
	wanted, err := c.noteText()
	if err != nil {
		return Certificate{}, err
	}
	if err := signedNote(f.Signature, wanted, keys); err != nil {
		return Certificate{}, err
	}
	if err := c.check(); err != nil {
		return Certificate{}, err
	}
	return c, c.prove(keys)
}

// ReadCertificate reads a certificate and checks neither signature nor proofs.
func ReadCertificate(text []byte) (Certificate, error) {
	f, err := parseCertificate(text)
	if err != nil {
		return Certificate{}, fmt.Errorf("read certificate: %w", err)
	}
	return f.Certificate, nil
}

// parseCertificate reads the file, which has one form only.
func parseCertificate(text []byte) (f file, err error) {
	if len(text) > maxCertificate {
		return f, errors.New("it is too long to be one")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return f, fmt.Errorf("it is no certificate: %w", err)
	}
	again, err := f.encode()
	if err != nil || !bytes.Equal(again, text) {
		return f, errors.Join(errors.New("it is not as it was written"), err)
	}
	return f, nil
}

// signedNote checks that a note has a text, and the signature of one of the keys
// in the one form that it has.
func signedNote(signed, text string, keys []audit.PublicKey) error {
	for _, k := range keys {
		k = k.For(Origin(k.Name()))
		n, err := note.Open([]byte(signed), note.VerifierList(k))
		if err != nil || n.Text != text || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 0 {
			continue
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64)
		if err == nil && signed == fmt.Sprintf("%s\n— %s %s\n", text, k.Name(), base64.StdEncoding.EncodeToString(raw)) {
			return nil
		}
	}
	return errors.New("none of the keys signed it, or it is not as it was signed")
}

// prove checks the proofs of the records.
func (c *Certificate) prove(keys []audit.PublicKey) error {
	recorded := false
	for _, r := range c.Records {
		p, err := audit.CheckProof([]byte(r.Proof), keys)
		if err != nil {
			return fmt.Errorf("record %d: %w", r.Seq, err)
		}
		if p.Record.Seq != r.Seq || string(p.Marshal()) != r.Proof {
			return fmt.Errorf("record %d: its proof is of another one, or not as it was made", r.Seq)
		}
		recorded = recorded || p.Record.Event == c.Ledger.DoneDigest.String()
	}
	if !recorded {
		return errors.New("no record of the access log says that it is in the ledger")
	}
	return nil
}
