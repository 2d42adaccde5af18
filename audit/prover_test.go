package audit

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProver proves records of several segments in any order with one Prover,
// while the log grows: each proof is that of one that has read nothing before.
func TestProver(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	p := NewProver(dir)
	for range 3 {
		l := openLog(t, dir, signed(k))
		last := fill(t, l, 3*recordsApart)
		closeLog(t, l)
		p.last = Checkpoint{} // else it goes on with the one before, as long as that is over the record
		for range 200 {
			seq := rand.Uint64N(last + 1)
			got, err := p.Prove(seq)
			if err != nil {
				t.Fatal(err)
			}
			want, err := Prove(dir, seq)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Marshal(), want.Marshal()) {
				t.Fatalf("record %d: %s, want %s", seq, got.Marshal(), want.Marshal())
			}
		}
	}
	firsts, err := segments(dir)
	if err != nil || len(firsts) < 3 {
		t.Errorf("segments %v, %v", firsts, err)
	}
	if len(p.marks) > 30 {
		t.Errorf("%d places are remembered", len(p.marks))
	}
}

// TestProverOfChangedLog has a record changed that the Prover knows the place of.
func TestProverOfChangedLog(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	l := openLog(t, dir, signed(k))
	seq := fill(t, l, 2*recordsApart)
	closeLog(t, l)
	p := NewProver(dir)
	proof, err := p.Prove(seq)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, segmentName(p.marks[len(p.marks)-1].segment))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(text, proof.Payload)
	if at < 0 {
		t.Fatal("the record is not there")
	}
	text[at+len(proof.Payload)-2] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Prove(seq); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a changed record is proved: %v", err)
	}
}
