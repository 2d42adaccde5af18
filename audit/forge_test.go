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
)

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
