package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEveryBit flips a bit of every byte that holds something, one at a time:
// whether by checksum or by chain, both Verify and Open must tell.
func TestEveryBit(t *testing.T) {
	const n = 4
	dir := build(t, small(), n)
	data := lastSegment(t, dir)
	path := filepath.Join(memoryDir(t), segmentName(0))
	end := offsets(t, data)[n]
	for i := range end {
		if i >= markAt && i < lastAt || i >= bootAt && i < bootAt+16 {
			continue // neither is of the records; TestLostPages tells what they do
		}
		changed := bytes.Clone(data)
		changed[i] ^= 1 << (i % 8)
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		var fault *Fault
		if rep, err := Verify(filepath.Dir(path)); !errors.As(err, &fault) {
			t.Fatalf("byte %d: Verify = %+v, %v", i, rep, err)
		}
		if fault.Segment != segmentName(0) || i >= headerSize && (fault.Offset > int64(i) || fault.Offset < int64(i)-1000) {
			t.Errorf("byte %d: the fault is said to be at %v", i, fault)
		}
		if _, err := Open(filepath.Dir(path), small()); !errors.As(err, &fault) {
			t.Fatalf("byte %d: Open = %v", i, err)
		}
	}
}

// forge rewrites the checksums of all frames, as an editor who knows the
// format would, and their chain hashes not.
func forge(tb testing.TB, data []byte) {
	at := offsets(tb, data)
	for i, from := range at[:len(at)-1] {
		binary.LittleEndian.PutUint32(data[from+4:], checksum(idSum(0), data[from+seqAt:at[i+1]]))
	}
}

func TestTampering(t *testing.T) {
	const n = 20
	dir := build(t, small(), n)
	at := offsets(t, lastSegment(t, dir))
	frame := func(b []byte, i int) []byte { return bytes.Clone(b[at[i]:at[i+1]]) }
	setSeq := func(f []byte, seq uint64) []byte {
		binary.LittleEndian.PutUint64(f[seqAt:], seq)
		return f
	}
	for _, tt := range []struct {
		name string
		edit func(b []byte) []byte // of the frames, without what follows
		seq  uint64                // where the fault is
		want string
	}{
		{"changed", func(b []byte) []byte {
			return bytes.Replace(b, []byte("alice"), []byte("mally"), 1)
		}, 0, "chain hash"},
		{"another kind", func(b []byte) []byte { b[at[3]+kindAt] = 2; return b }, 3, "another record or kind"},
		{"removed", func(b []byte) []byte { return slices.Delete(b, at[5], at[6]) }, 5, "record 6 stands in its place"},
		{"removed and numbered anew", func(b []byte) []byte {
			b = slices.Delete(b, at[5], at[6])
			for i, from := range offsets(t, append(bytes.Clone(b), make([]byte, frameSize)...)) {
				if from+frameSize < len(b) {
					setSeq(b[from:], uint64(i))
				}
			}
			return b
		}, 5, "chain hash"},
		{"inserted", func(b []byte) []byte { return slices.Insert(b, at[7], setSeq(frame(b, 3), 7)...) }, 7, "chain hash"},
		{"doubled", func(b []byte) []byte { return slices.Insert(b, at[7], frame(b, 6)...) }, 7, "record 6 stands in its place"},
		{"reordered", func(b []byte) []byte {
			return slices.Concat(b[:at[8]], frame(b, 9), frame(b, 8), b[at[10]:])
		}, 8, "record 9 stands in its place"},
		{"last appended again", func(b []byte) []byte { return append(b, setSeq(frame(b, n-1), n)...) }, n, "chain hash"},
		{"end cut below the mark", func(b []byte) []byte { return b[:at[n-2]] }, n - 2, "durable once"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			edited := cloneLog(t, dir, func(b []byte) []byte {
				size := len(b)
				b = tt.edit(bytes.Clone(b[:at[n]]))
				b = append(b, make([]byte, size-len(b))...)
				forge(t, b)
				return b
			})
			var fault *Fault
			if _, err := Verify(edited); !errors.As(err, &fault) || fault.Seq != tt.seq || !strings.Contains(fault.Problem, tt.want) {
				t.Errorf("Verify = %v, want record %d: %s", err, tt.seq, tt.want)
			}
			if _, err := Open(edited, small()); !errors.As(err, &fault) {
				t.Errorf("Open = %v, want a fault", err)
			}
		})
	}
}

func TestSegmentsTampered(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(path func(i int) string) error
		want string
	}{
		{"first removed", func(p func(int) string) error { return os.Remove(p(0)) }, "records 0 to"},
		{"middle removed", func(p func(int) string) error { return os.Remove(p(2)) }, "are missing"},
		{"last removed", func(p func(int) string) error { return os.Remove(p(4)) }, "sealed, and the one after it is missing"},
		{"exchanged", func(p func(int) string) error {
			return errors.Join(os.Rename(p(1), p(1)+"~"), os.Rename(p(2), p(1)), os.Rename(p(1)+"~", p(2)))
		}, "header says that it begins with"},
		{"foreign name", func(p func(int) string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(p(0)), "x.seg"), nil, 0o600)
		},
			"not the name of a segment"},
		{"sealed in the wrong place", func(p func(int) string) error {
			data, err := os.ReadFile(p(1))
			data[lastAt]++
			return errors.Join(err, os.WriteFile(p(1), data, 0o600))
		}, "sealed with its last record at"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := build(t, small(), 420)
			firsts, err := segments(dir)
			if err != nil || len(firsts) != 5 {
				t.Fatal(firsts, err)
			}
			head, err := ReadHead(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.edit(func(i int) string { return filepath.Join(dir, segmentName(firsts[i])) }); err != nil {
				t.Fatal(err)
			}
			_, err = Verify(dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Verify = %v, want %q", err, tt.want)
			}
			if _, err := Verify(dir, head); err == nil {
				t.Error("Verify with the head that was remembered finds nothing")
			}
			if _, err := Open(dir, small()); err == nil {
				t.Error("Open succeeds")
			}
		})
	}
}

func TestRememberedHeads(t *testing.T) {
	dir := t.TempDir()
	var heads []Head
	for range 5 {
		l := openLog(t, dir, small())
		fill(t, l, 40)
		closeLog(t, l)
		h, err := ReadHead(dir)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseHead(h.String())
		if err != nil || again != h {
			t.Errorf("ParseHead(%q) = %v, %v", h, again, err)
		}
		heads = append(heads, h)
	}
	rep, err := Verify(dir, heads...)
	if err != nil || rep.Head != heads[4] {
		t.Errorf("Verify = %+v, %v", rep, err)
	}
	if _, err := Verify(dir, Head{}); err != nil {
		t.Errorf("Verify with the head of the empty log: %v", err)
	}
	beyond := heads[4]
	beyond.Count++
	if _, err := Verify(dir, beyond); err == nil || !strings.Contains(err.Error(), "1 are cut off") {
		t.Errorf("Verify with a longer head = %v", err)
	}
	other := heads[2]
	other.Chain[0]++
	if _, err := Verify(dir, other); err == nil || !strings.Contains(err.Error(), "not the same") {
		t.Errorf("Verify with another chain = %v", err)
	}
	for _, bad := range []string{"", "12", "x:00", "12:00", heads[0].String() + "0", "-1:" + strings.Repeat("0", 64)} {
		if h, err := ParseHead(bad); err == nil {
			t.Errorf("ParseHead(%q) = %v", bad, h)
		}
	}
}

// FuzzRead scans arbitrary bytes as a segment: nothing may panic, the memory
// held is one window, and what passes is what was written.
func FuzzRead(f *testing.F) {
	good := lastSegment(f, build(f, Options{SegmentSize: minSegmentSize, Now: fixedClock}, 3)) // the same in every process
	good = good[:offsets(f, good)[3]]
	f.Add(good)
	f.Add(good[:len(good)-5])
	f.Add(append(bytes.Clone(good), good[headerSize:]...))
	f.Add(good[:headerSize])
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := newScanner(bytes.NewReader(data), 0, true)
		if err != nil {
			return
		}
		var read []byte
		for {
			fr, err := s.scan()
			if err != nil {
				_, _ = s.judge(err) // must not panic, whatever it says
				break
			}
			if fr.offset != int64(headerSize+len(read)) || fr.seq != s.next-1 {
				t.Fatalf("frame %d at %d after %d bytes", fr.seq, fr.offset, len(read))
			}
			read = append(read, data[fr.offset:s.offset]...)
			if cap(s.window) > windowSize {
				t.Fatalf("the window has grown to %d bytes", cap(s.window))
			}
		}
		if !bytes.HasPrefix(good[headerSize:], read) {
			t.Errorf("%d bytes of frames pass that nobody wrote", len(read))
		}
	})
}

// TestRandomDamage opens logs with random damage at the end. Open and Verify
// must agree on what is damage, and what Open repairs must be good.
func TestRandomDamage(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	dir := build(t, small(), 5)
	end := offsets(t, lastSegment(t, dir))[5]
	for range 300 {
		damaged := cloneLog(t, dir, func(b []byte) []byte {
			if rnd.IntN(2) == 0 {
				unmark(b)
			}
			for range 1 + rnd.IntN(3) {
				b[headerSize+rnd.IntN(end)] = byte(rnd.Uint32())
			}
			return b[:len(b)-rnd.IntN(2)*rnd.IntN(len(b))]
		})
		_, verr := Verify(damaged)
		l, oerr := Open(damaged, small())
		if (verr == nil) != (oerr == nil) {
			t.Fatalf("Verify = %v, Open = %v", verr, oerr)
		}
		if oerr != nil {
			continue
		}
		fill(t, l, 1)
		closeLog(t, l)
		if _, err := Verify(damaged); err != nil {
			t.Fatalf("Verify after recovery: %v", err)
		}
	}
}
