package erasures_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/erasures"
)

const logName = "crm.example/audit"

// evidence is a ledger with an erasure, and an access log that tells of it.
type evidence struct {
	dir    string
	key    audit.Key
	seq    uint64 // of the record that names the outcome
	before uint64 // of one that does not
	cert   erasures.Certificate
}

func newEvidence(t *testing.T) *evidence {
	t.Helper()
	v := &evidence{dir: t.TempDir()}
	l, _ := opened(t, filepath.Join(v.dir, "erasures.ledger"), key)
	entry := must[erasures.Entry](t)
	begun := entry(l.Intend(intention(17, "4711", "ada.lovelace@example.com")))
	done := entry(l.Done(begun.Seq, erasures.Outcome{Database: place}))
	var err error
	if v.key, _, err = audit.NewKey(logName); err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(v.dir, audit.Options{Key: &v.key, CheckpointEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		r := &audit.Record{Kind: audit.KindPrivacy, Message: "deleted", Relation: "crm.orders", Rows: int64(i)}
		if i == 3 {
			r.Event = done.Digest.String()
		}
		if v.seq, err = log.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Sync(context.Background(), v.seq); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil { // which signs
		t.Fatal(err)
	}
	v.seq, v.before = v.seq-1, v.seq-2
	at := func(hour int) time.Time { return time.Date(2026, 11, 22, hour, 0, 0, 0, time.UTC) }
	v.cert = erasures.Certificate{
		Issued: at(12), Request: 17, Regime: "gdpr", Kind: "customer", Token: "Kx3uJ0Zk2m8Qp5Rt7Wv9Ya",
		Received: at(8), Verified: at(9), Completed: at(11), Plan: "77ab", Policy: "g-12",
		Tables: []erasures.Table{
			{Table: "crm.customers", Deleted: 1}, {Table: "crm.orders", Deleted: 12, Unlinked: 2},
			{Table: "crm.invoices", Anonymised: 3, Kept: 3, Because: "kept <by law> & for | taxes", Until: at(23)},
		},
		Sweep:   erasures.Sweep{At: at(11), Tables: 20, Columns: 61, Rows: 9e6, Needles: 3, Left: []erasures.Left{{Table: "crm.invoices", Column: "name", Rows: 1, Because: "kept by law"}}},
		Remains: []erasures.Rest{{What: "backups", Because: "they are not written again", Until: at(20)}},
		Told:    []erasures.Told{{Whom: "mailer.example", At: at(11)}},
		Ledger:  erasures.Reference(begun, done),
	}
	return v
}

func (v *evidence) issue(edit func(*erasures.Certificate), places []uint64, secrets ...string) ([]byte, error) {
	c := v.cert
	c.Tables, c.Sweep.Left = slices.Clone(c.Tables), slices.Clone(c.Sweep.Left)
	if edit != nil {
		edit(&c)
	}
	var records []erasures.Place
	for _, seq := range places {
		records = append(records, erasures.Place{Log: audit.NewProver(v.dir), Seq: seq})
	}
	return erasures.NewCertificate(c, erasures.Issuer{Key: v.key}, records, secrets...)
}

func (v *evidence) keys() []audit.PublicKey { return []audit.PublicKey{v.key.Public()} }

// good gives a certificate of the evidence.
func (v *evidence) good(t *testing.T) []byte {
	t.Helper()
	return must[[]byte](t)(v.issue(nil, []uint64{v.before, v.seq}, "4711", "ada.lovelace@example.com"))
}

func TestCertificate(t *testing.T) {
	v := newEvidence(t)
	text := v.good(t)
	c, err := erasures.VerifyCertificate(text, v.keys())
	if err != nil || c.Request != 17 || len(c.Records) != 2 || c.Tables[1].Deleted != 12 {
		t.Fatalf("%+v, %v", c, err)
	}
	if strings.Contains(string(text), "lovelace") || !json.Valid(text) {
		t.Errorf("it is not JSON, or tells of whom it is:\n%s", text)
	}
	stranger, _, err := audit.NewKey(logName)
	if err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string][]audit.PublicKey{
		"no key": nil, "another one": {stranger.Public()}, "the same under another name": {v.key.Public().For("x.example/audit")},
		"the name of certificates": {v.key.Public().For(erasures.Origin(logName))},
	} {
		if _, err := erasures.VerifyCertificate(text, keys); err == nil {
			t.Errorf("%s: it is good", name)
		}
	}
	if _, err := erasures.VerifyCertificate(text, append(v.keys(), stranger.Public())); err != nil {
		t.Errorf("with a key more: %v", err)
	}
}

// TestChance: a key whose digits are in digests, times and counts, as they are of
// one in some thousand, keeps nobody from a certificate.
func TestChance(t *testing.T) {
	v := newEvidence(t)
	_, err := v.issue(func(c *erasures.Certificate) {
		c.Plan, c.Policy = "77ab12345cd", "12345f"
		c.Request, c.Sweep.Rows, c.Completed = 12345, 12345, c.Completed.Add(123450*time.Microsecond)
		c.Issued = c.Completed
	}, []uint64{v.seq}, "12345")
	if err != nil {
		t.Error(err)
	}
}

// TestTampered changes every byte of a certificate, and cuts it at each.
func TestTampered(t *testing.T) {
	v := newEvidence(t)
	text := v.good(t)
	for i := range text {
		for _, bit := range []byte{1, 2, 4, 0x20} {
			changed := bytes.Clone(text)
			changed[i] ^= bit
			if _, err := erasures.VerifyCertificate(changed, v.keys()); err == nil {
				t.Fatalf("byte %d, bit %x: %q is as good", i, bit, changed[max(0, i-30):min(len(changed), i+30)])
			}
		}
		if _, err := erasures.VerifyCertificate(text[:i], v.keys()); err == nil {
			t.Fatalf("%d bytes of it are as good", i)
		}
	}
	for name, changed := range map[string][]byte{
		"more behind it":     append(bytes.Clone(text), '\n'),
		"a field twice":      bytes.Replace(text, []byte(`"request": 17,`), []byte(`"request": 18, "request": 17,`), 1),
		"a field of others":  bytes.Replace(text, []byte(`"request": 17,`), []byte(`"request": 17, "x": 1,`), 1),
		"another case":       bytes.Replace(text, []byte(`"request"`), []byte(`"Request"`), 1),
		"other white space":  bytes.Replace(text, []byte(`"request": 17`), []byte(`"request":  17`), 1),
		"an escape":          bytes.Replace(text, []byte(`gdpr`), []byte(`\u0067dpr`), 1),
		"another order":      bytes.Replace(text, []byte("\"request\": 17,\n    \"regime\": \"gdpr\","), []byte("\"regime\": \"gdpr\",\n    \"request\": 17,"), 1),
		"signed by one more": bytes.Replace(text, []byte(`\n"`+"\n}\n"), []byte(`\n— x AAAAAAAA\n"`+"\n}\n"), 1),
	} {
		if bytes.Equal(changed, text) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := erasures.VerifyCertificate(changed, v.keys()); err == nil {
			t.Errorf("%s: it is as good", name)
		}
	}
}

// TestNoCertificate asks for certificates that must not be.
func TestNoCertificate(t *testing.T) {
	v := newEvidence(t)
	for _, tt := range []struct {
		name    string
		edit    func(*erasures.Certificate)
		records []uint64
		secrets []string
		want    string
	}{
		{"no records", nil, nil, nil, "no record of the access log"},
		{"other records", nil, []uint64{v.before}, nil, "no record of the access log"},
		{"not signed yet", nil, []uint64{99}, nil, "not signed yet"},
		{"another entry", func(c *erasures.Certificate) { c.Ledger.DoneDigest[0]++ }, []uint64{v.seq}, nil, "no record of the access log"},
		{"no sweep", func(c *erasures.Certificate) { c.Sweep = erasures.Sweep{} }, []uint64{v.seq}, nil, "sweep"},
		{"something left", func(c *erasures.Certificate) { c.Sweep.Left[0].Because = "" }, []uint64{v.seq}, nil, "crm.invoices.name"},
		{"kept for no reason", func(c *erasures.Certificate) { c.Tables[2].Because = "" }, []uint64{v.seq}, nil, "crm.invoices"},
		{"done before it came", func(c *erasures.Certificate) { c.Completed = c.Received.Add(-1) }, []uint64{v.seq}, nil, "received"},
		{"no plan", func(c *erasures.Certificate) { c.Plan = "" }, []uint64{v.seq}, nil, "plan"},
		{"no tables", func(c *erasures.Certificate) { c.Tables = nil }, []uint64{v.seq}, nil, "no table"},
		{"it tells of whom", func(c *erasures.Certificate) { c.Tables[2].Because = `mail of Ada "A" to ada.LOVELACE@example.com` }, []uint64{v.seq}, []string{"Ada.Lovelace@example.com"}, "was known"},
		{"it tells of whom, by a number", func(c *erasures.Certificate) { c.Tables[2].Because = "invoice of 47110, paid" }, []uint64{v.seq}, []string{"47110"}, "was known"},
		{"it tells of whom, behind another", func(c *erasures.Certificate) { c.Tables[2].Because = "147110 and 47110" }, []uint64{v.seq}, []string{"47110"}, "was known"},
		{"it tells of whom, within a word", func(c *erasures.Certificate) { c.Tables[2].Because = "tel49305550100x" }, []uint64{v.seq}, []string{"49305550100"}, "was known"},
		{"it tells of whom, escaped", func(c *erasures.Certificate) { c.Tables[2].Because = `of "Ada" <ada>` }, []uint64{v.seq}, []string{`"Ada" <`}, "was known"},
	} {
		text, err := v.issue(tt.edit, tt.records, tt.secrets...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		for _, s := range tt.secrets {
			if err != nil && strings.Contains(err.Error(), s) {
				t.Errorf("%s: the error has the secret in it", tt.name)
			}
		}
		if len(text) > 0 && err != nil {
			t.Errorf("%s: there is one all the same", tt.name)
		}
	}
}

// TestForged has who holds the key sign certificates whose proofs are not good: the
// signature alone does not do.
func TestForged(t *testing.T) {
	v := newEvidence(t)
	text := string(v.good(t))
	var f struct {
		Certificate erasures.Certificate `json:"certificate"`
		Signature   string               `json:"signature"`
	}
	for name, edit := range map[string]func(){
		"as it is":       func() {},
		"another record": func() { f.Certificate.Records[1] = f.Certificate.Records[0] },
		"another seq":    func() { f.Certificate.Records[1].Seq++ },
		"a changed index": func() {
			f.Certificate.Records[1].Proof = strings.Replace(f.Certificate.Records[1].Proof, fmt.Sprintf("index %d\n", v.seq), fmt.Sprintf("index %d\n", v.before), 1)
		},
		"no proof":         func() { f.Certificate.Records[1].Proof = "" },
		"a longer proof":   func() { f.Certificate.Records[1].Proof += "\n" },
		"another format":   func() { f.Certificate.Format = "pgveil.erasure/2" },
		"something unseen": func() { f.Certificate.Sweep.Left[0].Because = "" },
	} {
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatal(err)
		}
		edit()
		f.Signature = signature(t, v.key, f.Certificate)
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(f); err != nil {
			t.Fatal(err)
		}
		if _, err := erasures.VerifyCertificate(b.Bytes(), v.keys()); (err == nil) != (name == "as it is") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// signature signs a certificate as the package's documentation says.
func signature(t *testing.T, key audit.Key, c erasures.Certificate) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(c); err != nil {
		t.Fatal(err)
	}
	text := erasures.NoteText(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	signed, err := note.Sign(&note.Note{Text: text}, key.For(erasures.Origin(key.Name())))
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// TestShown has people read a certificate.
func TestShown(t *testing.T) {
	v := newEvidence(t)
	c, err := erasures.VerifyCertificate(v.good(t), v.keys())
	if err != nil {
		t.Fatal(err)
	}
	var html, markdown bytes.Buffer
	if err := c.Document().HTML(&html); err != nil {
		t.Fatal(err)
	}
	if err := c.Document().Markdown(&markdown); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"request 17", "crm.orders", "mailer.example", "backups", logName, c.Ledger.DoneDigest.String()} {
		if !strings.Contains(html.String(), want) || !strings.Contains(markdown.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(html.String(), "<by law>") {
		t.Error("a reason is markup")
	}
}
