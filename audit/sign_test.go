package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newKey(tb testing.TB) Key {
	tb.Helper()
	k, text, err := NewKey("crm.example/audit")
	if err != nil {
		tb.Fatal(err)
	}
	again, err := ParseKey(text + "\n")
	if err != nil || again.Public() != k.Public() {
		tb.Fatal(again, err)
	}
	if public, err := ParsePublicKey(k.Public().String() + "\n"); err != nil || public != k.Public() {
		tb.Fatal(public, err)
	}
	return k
}

// signed are the options of a log with small segments whose checkpoints come
// with the segments' ends and Close alone.
func signed(keys ...Key) Options {
	o := Options{SegmentSize: minSegmentSize, Key: &keys[0], CheckpointEvery: time.Hour}
	if len(keys) > 1 {
		o.KeyBefore = &keys[1]
	}
	return o
}

func publics(keys ...Key) (list []PublicKey) {
	for _, k := range keys {
		list = append(list, k.Public())
	}
	return list
}

func verifySigned(tb testing.TB, dir string, want uint64, keys ...Key) Report {
	tb.Helper()
	rep, err := Check{Keys: publics(keys...)}.Verify(dir)
	if err != nil || rep.Head.Count != want || rep.Signed != want || rep.BadHashes {
		tb.Fatalf("Verify = %+v, %v; want %d records, all signed", rep, err, want)
	}
	return rep
}

func listOf(tb testing.TB, dir string) (list []Checkpoint) {
	tb.Helper()
	for c, err := range checkpointsOf(dir) {
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// TestCheckpoints signs a log over several runs and segments, with one tree.
func TestCheckpoints(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	n := uint64(0)
	for range 3 {
		l := openLog(t, dir, signed(k))
		n = fill(t, l, 150) + 1
		closeLog(t, l)
		if s := l.Stats(); s.Signed != n || s.SignErr != nil {
			t.Errorf("Stats = %+v, want %d signed", s, n)
		}
		verifySigned(t, dir, n, k)
	}
	sizes := map[uint64]bool{}
	for _, c := range listOf(t, dir) {
		sizes[c.Size] = true
	}
	firsts, err := segments(dir)
	if err != nil || len(firsts) < 4 {
		t.Fatal(firsts, err)
	}
	for _, first := range firsts[1:] {
		if !sizes[first] {
			t.Errorf("no checkpoint where the segment of record %d begins; there are %v", first, sizes)
		}
	}
	if r := readAll(t, dir, 0)[0]; r.Kind != KindSystem || r.Key != k.Public().String() {
		t.Errorf("the first record is %+v", r)
	}
	if _, err := (Check{Keys: publics(newKey(t))}).Verify(dir); err == nil || !strings.Contains(err.Error(), "no checkpoint is signed by a key that is trusted") {
		t.Errorf("Verify with another key = %v", err)
	}
	if _, err := Open(dir, small()); err == nil || !strings.Contains(err.Error(), "needs its key") {
		t.Errorf("Open without a key = %v", err)
	}
	if _, err := Open(dir, signed(newKey(t))); err == nil || !strings.Contains(err.Error(), "is not signed by the key") {
		t.Errorf("Open with another key = %v", err)
	}
	if _, err := Open(dir, signed(newKey(t), newKey(t))); err == nil || !strings.Contains(err.Error(), "signed neither by") {
		t.Errorf("Open with two other keys = %v", err)
	}
}

// TestUpgrade begins to sign a log that has records already.
func TestUpgrade(t *testing.T) {
	dir := build(t, small(), 200)
	k := newKey(t)
	closeLog(t, openLog(t, dir, signed(k)))
	verifySigned(t, dir, 201, k)
	if r := readAll(t, dir, 200)[0]; r.Message != "checkpoints begin; none was signed over the 200 records before" {
		t.Errorf("the log says %+v", r)
	}
}

// TestRotation hands over from key to key. Whoever trusts the first follows to
// the last; the last alone vouches for all; one between does not vouch for
// what came after it was replaced.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	keys := []Key{newKey(t), newKey(t), newKey(t)}
	for i, k := range keys {
		o := signed(k)
		if i > 0 {
			o = signed(k, keys[i-1])
		}
		for range 2 { // the key before may stay named
			l := openLog(t, dir, o)
			fill(t, l, 130)
			closeLog(t, l)
		}
	}
	n := uint64(6*130 + 3)
	for _, k := range keys {
		if rep := verifySigned(t, dir, n, k); rep.Signer != keys[2].Public() {
			t.Errorf("the last signer is %s", rep.Signer)
		}
	}
	list := listOf(t, dir)
	var kept []Checkpoint
	for _, i := range []int{0, len(list) / 2, len(list) - 1} {
		kept = append(kept, list[i])
	}
	if _, err := (Check{Keys: publics(keys[0]), Kept: kept}).Verify(dir); err != nil {
		t.Errorf("Verify with kept checkpoints of each key: %v", err)
	}
	last := list[len(list)-1]
	c, err := sign(last.Size, last.Root, keys[:1])
	if err != nil {
		t.Fatal(err)
	}
	addToList(t, dir, c)
	if _, err := (Check{Keys: publics(keys[0])}).Verify(dir); err == nil || !strings.Contains(err.Error(), "signed by none") {
		t.Errorf("Verify with a checkpoint by a key that was replaced = %v", err)
	}
}

func addToList(tb testing.TB, dir string, c Checkpoint) {
	tb.Helper()
	f, err := os.OpenFile(filepath.Join(dir, listName), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.Write(append(c.Note, '\n'))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// TestStoredHashesLost loses or damages what follows from the records: it is
// made anew.
func TestStoredHashesLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(path string, data []byte) error
	}{
		{"removed", func(path string, _ []byte) error { return os.Remove(path) }},
		{"cut", func(path string, data []byte) error { return os.Truncate(path, int64(len(data)/2+7)) }},
		{"damaged", func(path string, data []byte) error { data[4000]++; return os.WriteFile(path, data, 0o600) }},
		{"zeros", func(path string, data []byte) error { clear(data); return os.WriteFile(path, data, 0o600) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, dir := newKey(t), t.TempDir()
			l := openLog(t, dir, signed(k))
			fill(t, l, 300)
			closeLog(t, l)
			path := filepath.Join(dir, hashesName)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want := bytes.Clone(data)
			if err := tt.do(path, data); err != nil {
				t.Fatal(err)
			}
			if _, err := (Check{Keys: publics(k)}).Verify(dir); err != nil {
				t.Errorf("Verify without them: %v", err)
			}
			if _, err := Prove(dir, 125); err != nil {
				t.Errorf("Prove without them: %v", err)
			}
			l = openLog(t, dir, signed(k))
			fill(t, l, 10)
			closeLog(t, l)
			rep, err := Check{Keys: publics(k)}.Verify(dir)
			if err != nil || rep.Signed != 311 || rep.BadHashes != (tt.name == "damaged") { // not where a start looks
				t.Errorf("Verify = %+v, %v", rep, err)
			}
			if got, err := os.ReadFile(path); err != nil || tt.name != "damaged" && !bytes.HasPrefix(got, want) {
				t.Errorf("the stored hashes are not as they were: %v", err)
			}
		})
	}
}
