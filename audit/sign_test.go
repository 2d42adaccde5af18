package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// copyLog copies every file of a log.
func copyLog(tb testing.TB, dir string) string {
	tb.Helper()
	to := memoryDir(tb)
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		tb.Fatal(err)
	}
	return to
}

// rewrite is an editor who has the files, knows the format and this program,
// and lacks the key: it writes the one segment of a log anew, with all sums and
// chain hashes as they must be.
func rewrite(tb testing.TB, dir string, payloads [][]byte) {
	tb.Helper()
	path := filepath.Join(dir, segmentName(0))
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	clear(data[headerSize:])
	binary.LittleEndian.PutUint64(data[markAt:], uint64(len(payloads)))
	s := segment{data: data, end: headerSize, idSum: idSum(0)}
	var chain hash
	for i, p := range payloads {
		_, kind, _ := cutHead(p)
		rest := p[bytes.Index(p, []byte(`,"kind"`)):]
		chain = s.append(uint64(i), kindByte(kind), fixedClock(), rest, chain)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // which leaves a mapped file its length
	if err == nil {
		_, err = f.WriteAt(data, 0)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// payloads gives the records of a log of one segment as they are stored.
func payloads(tb testing.TB, dir string) (list [][]byte) {
	tb.Helper()
	data := lastSegment(tb, dir)
	at := offsets(tb, data)
	for i := range at[:len(at)-1] {
		list = append(list, data[at[i]+frameSize:at[i+1]])
	}
	return list
}

// TestForgery has an editor who makes everything fit but the signatures: none
// of it passes with the key, and all of it does without.
func TestForgery(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	o := signed(k)
	o.Now = fixedClock
	var kept Checkpoint
	for range 3 { // 31 records, with checkpoints at 11, 21 and 31
		l := openLog(t, dir, o)
		for range 10 {
			r := sample()
			r.Ticket = fmt.Sprint(l.Stats().Appended)
			if _, err := l.Append(r); err != nil {
				t.Fatal(err)
			}
		}
		closeLog(t, l)
	}
	kept = listOf(t, dir)[2]
	was := payloads(t, dir)
	for _, tt := range []struct {
		name string
		edit func(p [][]byte) [][]byte
		seq  uint64 // the first that is not as it was
	}{
		{"changed", func(p [][]byte) [][]byte { p[12] = bytes.Replace(p[12], []byte("alice"), []byte("mally"), 1); return p }, 12},
		{"removed", func(p [][]byte) [][]byte { return slices.Delete(p, 5, 6) }, 5},
		{"last removed", func(p [][]byte) [][]byte { return p[:30] }, 30},
		{"inserted", func(p [][]byte) [][]byte {
			return slices.Insert(p, 15, bytes.Replace(p[15], []byte("alice"), []byte("mally"), 1))
		}, 15},
		{"moved", func(p [][]byte) [][]byte { p[22], p[25] = p[25], p[22]; return p }, 22},
	} {
		for _, hashes := range []string{"kept", "removed"} {
			t.Run(tt.name+", hashes "+hashes, func(t *testing.T) {
				forged := copyLog(t, dir)
				rewrite(t, forged, tt.edit(slices.Clone(was)))
				if hashes == "removed" {
					if err := os.Remove(filepath.Join(forged, hashesName)); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := Verify(forged); err != nil {
					t.Fatalf("the forgery is no good: %v", err)
				}
				var fault *Fault
				_, err := Check{Keys: publics(k)}.Verify(forged)
				if !errors.As(err, &fault) || fault.Seq > tt.seq || hashes == "kept" && fault.Seq != tt.seq {
					t.Errorf("Verify = %v, want record %d", err, tt.seq)
				}
				if _, err := Open(forged, o); !errors.As(err, &fault) {
					t.Errorf("Open = %v", err)
				}
			})
		}
	}
	t.Run("cut with its checkpoint", func(t *testing.T) {
		forged := copyLog(t, dir)
		rewrite(t, forged, was[:21])
		two := listOf(t, dir)[:2]
		text := fmt.Sprintf("%s\n%s\n", two[0].Note, two[1].Note)
		err := errors.Join(os.WriteFile(filepath.Join(forged, listName), []byte(text), 0o600),
			os.WriteFile(filepath.Join(forged, latestName), two[1].Note, 0o600))
		if err != nil {
			t.Fatal(err)
		}
		verifySigned(t, forged, 21, k) // nothing in the files shows it
		if _, err := (Check{Keys: publics(k), Kept: []Checkpoint{kept}}).Verify(forged); err == nil || !strings.Contains(err.Error(), "10 are cut off") {
			t.Errorf("Verify with a checkpoint that was kept = %v", err)
		}
	})
	t.Run("written anew", func(t *testing.T) {
		forged := memoryDir(t)
		l := openLog(t, forged, signed(newKey(t)))
		fill(t, l, 31)
		closeLog(t, l)
		var fault *Fault
		if _, err := (Check{Keys: publics(k)}).Verify(forged); !errors.As(err, &fault) {
			t.Errorf("Verify = %v", err)
		}
	})
}

// login appends a short record.
func login(tb testing.TB, l *Log) {
	tb.Helper()
	if _, err := l.Append(&Record{Kind: KindSession, User: "alice", Message: "login"}); err != nil {
		tb.Fatal(err)
	}
}

// TestEveryBitForged flips each bit of a record, one at a time, and makes all
// sums and hashes fit again.
func TestEveryBitForged(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	o := signed(k)
	o.Now = fixedClock
	l := openLog(t, dir, o)
	login(t, l)
	closeLog(t, l)
	forged, was := copyLog(t, dir), payloads(t, dir)
	from := bytes.Index(was[1], []byte(`,"kind"`)) + len(`,"kind":"session"`)
	for bit := from * 8; bit < len(was[1])*8; bit++ {
		p := slices.Clone(was)
		p[1] = bytes.Clone(p[1])
		p[1][bit/8] ^= 1 << (bit % 8)
		rewrite(t, forged, p)
		var fault *Fault
		if _, err := (Check{Keys: publics(k)}).Verify(forged); !errors.As(err, &fault) || fault.Seq != 1 {
			t.Fatalf("bit %d of record 1: Verify = %v", bit, err)
		}
	}
}

// TestEveryBitSigned flips each bit of each file of a signed log: it is found,
// or what the key vouches for is the same as before.
func TestEveryBitSigned(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	l := openLog(t, dir, signed(k))
	login(t, l)
	closeLog(t, l)
	if err := os.Truncate(filepath.Join(dir, segmentName(0)), int64(offsets(t, lastSegment(t, dir))[2])); err != nil {
		t.Fatal(err)
	}
	damaged := copyLog(t, dir)
	for _, name := range []string{segmentName(0), listName, latestName, hashesName} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		passed, step := 0, 1
		if testing.Short() {
			step = 7
		}
		for bit := 0; bit < len(data)*8; bit += step {
			data[bit/8] ^= 1 << (bit % 8)
			if err := os.WriteFile(filepath.Join(damaged, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
			data[bit/8] ^= 1 << (bit % 8)
			rep, err := Check{Keys: publics(k)}.Verify(damaged)
			if err == nil && rep.Signed != 2 {
				t.Fatalf("%s, bit %d: Verify = %+v", name, bit, rep)
			}
			if err == nil && !rep.BadHashes {
				passed++
			}
		}
		t.Logf("%s: of %d bits, %d make no difference", name, len(data)*8, passed)
		if err := os.WriteFile(filepath.Join(damaged, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
