package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProofs proves every record of a log, with the stored hashes and without,
// and checks each proof by itself.
func TestProofs(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	l := openLog(t, dir, signed(k))
	fill(t, l, 120)
	closeLog(t, l)
	bare := copyLog(t, dir)
	if err := os.Remove(filepath.Join(bare, hashesName)); err != nil {
		t.Fatal(err)
	}
	records := readAll(t, dir, 0)
	for seq := range uint64(len(records)) {
		p, err := Prove(dir, seq)
		if err != nil {
			t.Fatal(err)
		}
		got, err := CheckProof(p.Marshal(), publics(newKey(t), k))
		if err != nil || got.Record.Seq != seq || got.Record.ID != records[seq].ID || got.Checkpoint.Size != 121 {
			t.Fatalf("record %d: %+v, %v", seq, got, err)
		}
		if seq%40 != 0 {
			continue
		}
		if again, err := Prove(bare, seq); err != nil || !bytes.Equal(again.Marshal(), p.Marshal()) {
			t.Errorf("record %d without stored hashes: %v", seq, err)
		}
	}
	if _, err := Prove(dir, 121); err == nil || !strings.Contains(err.Error(), "not signed yet") {
		t.Errorf("Prove of what is not there = %v", err)
	}
	unsigned := build(t, small(), 3)
	if _, err := Prove(unsigned, 1); err == nil || !strings.Contains(err.Error(), "no checkpoint") {
		t.Errorf("Prove in a log without checkpoints = %v", err)
	}
}

// TestProofForged changes a proof in every bit and in ways that somebody may
// try: nothing passes that is not the record as it was signed.
func TestProofForged(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	l := openLog(t, dir, signed(k))
	login(t, l)
	login(t, l)
	closeLog(t, l)
	p, err := Prove(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	text := p.Marshal()
	for bit := range len(text) * 8 {
		changed := bytes.Clone(text)
		changed[bit/8] ^= 1 << (bit % 8)
		if got, err := CheckProof(changed, publics(k)); err == nil && !bytes.Equal(got.Payload, p.Payload) {
			t.Fatalf("bit %d: %s passes", bit, got.Payload)
		}
	}
	other, err := Prove(dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		edit func(p *Proof)
		keys []PublicKey
	}{
		{"another record", func(p *Proof) { p.Payload = other.Payload }, publics(k)},
		{"another index", func(p *Proof) { p.Record.Seq = 2 }, publics(k)},
		{"index behind the end", func(p *Proof) { p.Record.Seq = 1 << 62 }, publics(k)},
		{"another path", func(p *Proof) { p.path = other.path }, publics(k)},
		{"no path", func(p *Proof) { p.path = nil }, publics(k)},
		{"longer path", func(p *Proof) { p.path = append(p.path[:len(p.path):len(p.path)], p.path[0]) }, publics(k)},
		{"another key", func(*Proof) {}, publics(newKey(t))},
		{"no key", func(*Proof) {}, nil},
		{"a checkpoint of one's own", func(p *Proof) {
			if p.Checkpoint, err = sign(p.Checkpoint.Size, p.Checkpoint.Root, []Key{newKey(t)}); err != nil {
				t.Fatal(err)
			}
		}, publics(k)},
	} {
		forged := p
		tt.edit(&forged)
		if got, err := CheckProof(forged.Marshal(), tt.keys); err == nil {
			t.Errorf("%s: %+v passes", tt.name, got)
		}
	}
}

// TestConsistency holds checkpoints of one log to each other, and to those of
// a log that forked.
func TestConsistency(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	for range 3 {
		l := openLog(t, dir, signed(k))
		fill(t, l, 20)
		closeLog(t, l)
	}
	list := listOf(t, dir)
	for i, older := range list {
		for _, newer := range list[i:] {
			if err := CheckConsistency(dir, older, newer); err != nil {
				t.Error(err)
			}
		}
	}
	forked := list[1]
	forked.Root[3]++
	if err := CheckConsistency(dir, forked, list[2]); err == nil || !strings.Contains(err.Error(), "does not lead from") {
		t.Errorf("with a log that forked: %v", err)
	}
	if err := CheckConsistency(dir, forked, list[1]); err == nil || !strings.Contains(err.Error(), "two logs of 41") {
		t.Errorf("with two logs of a size: %v", err)
	}
	if err := CheckConsistency(dir, list[2], list[1]); err == nil {
		t.Error("the wrong way round passes")
	}
}

// FuzzCheckProof parses arbitrary files: nothing may panic, nor pass but what
// was signed.
func FuzzCheckProof(f *testing.F) {
	k, err := ParseKey(childKey)
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	o := signed(k)
	o.Now = fixedClock // the same in every process
	l := openLog(f, dir, o)
	login(f, l)
	login(f, l)
	closeLog(f, l)
	p, err := Prove(dir, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Marshal())
	f.Add([]byte(proofHeader + "\nextra \nindex 0\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := CheckProof(data, publics(k))
		if err == nil && !bytes.Equal(got.Payload, p.Payload) {
			t.Errorf("%s passes", got.Payload)
		}
		for c, err := range ReadCheckpoints(bytes.NewReader(data)) {
			if err == nil && c.Origin == "" {
				t.Error("a checkpoint without an origin")
			}
		}
	})
}
