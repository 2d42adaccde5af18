package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sent compares contents by what was sent.
var sent = cmpopts.IgnoreUnexported(Contents{})

var wrapping = bytes.Repeat([]byte{7}, 32)

func newSealer(tb testing.TB, dir string) *Sealer {
	tb.Helper()
	s, err := NewSealer(dir, "crm.example/audit", wrapping)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func contents() (c Contents) {
	const text = "SELECT * FROM customers WHERE email = 'bob@example.com' AND id = $1"
	c.CutText([]byte(text), len(text))
	c.Add([]byte("42"), 2, false)
	c.Add([]byte{0, 1, 2}, 3, true)
	c.AddNull()
	c.Count = 3
	return c
}

// TestSealed opens what was sealed, with the right key and in the right place
// alone, and not once the key is destroyed: the proof of the record stays good.
func TestSealed(t *testing.T) {
	k, dir, keys := newKey(t), t.TempDir(), filepath.Join(t.TempDir(), "keys")
	s := newSealer(t, keys)
	l := openLog(t, dir, signed(k))
	r := sample()
	r.Session, r.Fingerprint = "s1", "f1"
	if err := s.Seal(fixedClock(), r, contents()); err != nil {
		t.Fatal(err)
	}
	seq, err := l.Append(r)
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	payload, err := NewProver(dir).payload(seq)
	if err != nil || bytes.Contains(payload, []byte("bob@")) || bytes.Contains(payload, []byte("Ym9iQ")) {
		t.Fatalf("%s, %v", payload, err)
	}
	kept := readAll(t, dir, seq)[0]
	got, err := newSealer(t, keys).Open(&kept)
	if diff := cmp.Diff(contents(), got, sent); err != nil || diff != "" {
		t.Errorf("Open: %v (-want +got)\n%s", err, diff)
	}
	for name, move := range map[string]func(*Record){
		"another session":   func(r *Record) { r.Session = "s2" },
		"another statement": func(r *Record) { r.Fingerprint = "f2" },
		"another number":    func(r *Record) { r.Sealed = strings.Replace(r.Sealed, ":AAAA", ":BAAA", 1) },
		"a changed end":     func(r *Record) { r.Sealed = r.Sealed[:len(r.Sealed)-4] + "AAAA" },
		"a path":            func(r *Record) { r.Sealed = "../keys/" + r.Sealed },
		"nothing":           func(r *Record) { r.Sealed = "" },
	} {
		moved := kept
		if move(&moved); moved.Sealed == kept.Sealed && moved.Session == kept.Session && moved.Fingerprint == kept.Fingerprint {
			t.Fatalf("%s changes nothing", name)
		}
		if c, err := s.Open(&moved); err == nil {
			t.Errorf("%s: Open gives %+v", name, c)
		}
	}
	if _, err := NewSealer(keys, "crm.example/audit", make([]byte, 32)); err == nil || !strings.Contains(err.Error(), "wrapped by another key") {
		t.Errorf("another wrapping key: %v", err)
	}
	if _, err := NewSealer(keys, "other.example/audit", wrapping); err == nil {
		t.Error("another origin opens the keys")
	}

	if gone, err := s.Destroy(time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC)); err != nil || len(gone) > 0 {
		t.Errorf("before the month is over: %v, %v", gone, err)
	}
	if gone, err := s.Destroy(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)); err != nil || len(gone) != 1 {
		t.Errorf("when the month is over: %v, %v", gone, err)
	}
	if _, err := s.Open(&kept); !errors.Is(err, ErrDestroyed) {
		t.Errorf("Open without the key = %v", err)
	}
	verifySigned(t, dir, seq+1, k)
	p, err := Prove(dir, seq)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CheckProof(p.Marshal(), publics(k)); err != nil {
		t.Errorf("the proof of a record whose contents are gone: %v", err)
	}
}

// TestSealedKeys says when there is a new key, and that none seals what could
// not be opened again.
func TestSealedKeys(t *testing.T) {
	dir := t.TempDir()
	s := newSealer(t, dir)
	seal := func(s *Sealer, at time.Time) string {
		t.Helper()
		r := &Record{Kind: KindStatement}
		if err := s.Seal(at, r, contents()); err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(r.Sealed, ":")
		return name
	}
	november := fixedClock()
	first := seal(s, november)
	if again := seal(s, november.AddDate(0, 0, 8)); again != first {
		t.Errorf("in one month: %s and %s", first, again)
	}
	if other := seal(newSealer(t, dir), november); other == first {
		t.Error("two processes have one key")
	}
	if december := seal(s, november.AddDate(0, 0, 9)); !strings.HasPrefix(december, "2026-12-") {
		t.Errorf("in the next month: %s", december)
	}
	s.current.used = maxUses
	if next := seal(s, november.AddDate(0, 0, 9)); s.current.used != 1 || !strings.HasPrefix(next, "2026-12-") {
		t.Errorf("after its last use: %s", next)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Seal(november.AddDate(1, 0, 0), &Record{}, contents()); err == nil {
		t.Error("contents are sealed with a key that is nowhere")
	}
}

// TestSealedFits fills contents as far as they go: the longest record has room
// for them, and they can be opened there.
func TestSealedFits(t *testing.T) {
	s := newSealer(t, t.TempDir())
	long := bytes.Repeat([]byte("\x00\"é"), 16<<20/4)
	var c Contents
	c.CutText(long, len(long))
	for c.Count = 65_535; c.Room(); {
		c.Add(long, len(long), false)
	}
	if n := len(c.marshal()); n > maxContents || n < maxContents-2*maxParameter {
		t.Errorf("the contents take %d bytes", n)
	}
	dir := t.TempDir()
	l := openLog(t, dir, Options{})
	r := &Record{Kind: KindStatement, Session: "s", Fingerprint: "f", Shape: strings.Repeat("\x01", 1<<20), Message: strings.Repeat("m", 1<<20),
		Columns: make([]Column, 2000), Reasons: strings.Split(strings.Repeat("reason ", 5000), " ")}
	if err := s.Seal(fixedClock(), r, c); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(r); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	kept := readAll(t, dir, 0)[0]
	got, err := s.Open(&kept)
	if diff := cmp.Diff(c, got, sent); err != nil || diff != "" {
		t.Errorf("Open: %v (-want +got)\n%s", err, diff)
	}
}

func FuzzContents(f *testing.F) {
	f.Add(contents().marshal())
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseContents(b)
		if err != nil {
			return
		}
		again, err := parseContents(c.marshal())
		if diff := cmp.Diff(c, again, sent); err != nil || diff != "" {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	s := newSealer(b, b.TempDir())
	r, c := sample(), contents()
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Seal(fixedClock(), r, c); err != nil {
			b.Fatal(err)
		}
	}
}
