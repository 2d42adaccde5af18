package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// memoryDir gives a directory in memory, where there is one: these tests sync
// thousands of times, and not for the sake of the disk.
func memoryDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "audit")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// cloneLog copies the files of a log, with changes to its last segment.
func cloneLog(tb testing.TB, dir string, change func(last []byte) []byte) string {
	tb.Helper()
	to := memoryDir(tb)
	firsts, err := segments(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for i, first := range firsts {
		data, err := os.ReadFile(filepath.Join(dir, segmentName(first)))
		if err != nil {
			tb.Fatal(err)
		}
		if i == len(firsts)-1 {
			data = change(data)
		}
		if err := os.WriteFile(filepath.Join(to, segmentName(first)), data, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return to
}

func unmark(data []byte) { binary.LittleEndian.PutUint64(data[markAt:], 0) }

// offsets gives where the frames of a segment begin, and where the last ends.
func offsets(tb testing.TB, data []byte) []int {
	tb.Helper()
	var at []int
	i := headerSize
	for ; i+frameSize <= len(data) && binary.LittleEndian.Uint32(data[i:]) != 0; i += frameSize + int(binary.LittleEndian.Uint32(data[i:])) {
		at = append(at, i)
	}
	return append(at, i)
}

func lastSegment(tb testing.TB, dir string) []byte {
	tb.Helper()
	var data []byte
	cloneLog(tb, dir, func(b []byte) []byte { data = b; return b })
	return data
}

// TestTornTail cuts the last three frames at every byte, in each way that a
// crash or a file system may: a shorter file, zeros, and garbage.
func TestTornTail(t *testing.T) {
	const n = 7
	dir := build(t, small(), n)
	at := offsets(t, lastSegment(t, dir))
	for cut := at[n-3]; cut < at[n]; cut++ {
		way := []string{"short", "zeros", "garbage"}[cut%3]
		want := uint64(n)
		for at[want] > cut {
			want--
		}
		torn := cloneLog(t, dir, func(b []byte) []byte {
			unmark(b)
			switch way {
			case "short":
				return b[:cut]
			case "zeros":
				clear(b[cut:])
			default:
				clear(b[cut:])
				copy(b[cut:], "\xde\xad\xbe\xef\xde\xad\xbe\xef")
			}
			return b
		})
		checkRecovery(t, fmt.Sprintf("cut at %d, %s", cut, way), torn, want)
	}
}

// checkRecovery opens a torn log, of which want records are good, and goes on
// with it.
func checkRecovery(t *testing.T, name, dir string, want uint64) {
	t.Helper()
	rep, err := Verify(dir)
	if err != nil || rep.Head.Count != want {
		t.Fatalf("%s: Verify before = %+v, %v, want %d records", name, rep, err, want)
	}
	if got := readAll(t, dir, 0); uint64(len(got)) != want {
		t.Fatalf("%s: Read gives %d records, want %d", name, len(got), want)
	}
	l, err := Open(dir, small())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	noted := rep.Unfinished > 0
	if got := l.Stats().Appended; got != want && !noted || got != want+1 && noted {
		t.Fatalf("%s: %d records after opening, want %d, noted %v", name, got, want, noted)
	}
	fill(t, l, 3)
	closeLog(t, l)
	records := readAll(t, dir, 0)
	if r := records[want]; noted && (r.Kind != KindSystem || !strings.Contains(r.Message, fmt.Sprintf("where record %d was to stand", want))) {
		t.Errorf("%s: the log does not say so: %+v", name, r)
	}
	if rep, err := Verify(dir); err != nil || rep.Head.Count != uint64(len(records)) {
		t.Fatalf("%s: Verify after = %+v, %v", name, rep, err)
	}
}

// TestLostPages does what a power failure can: a page of records that were
// never durable is lost, with good ones behind it.
func TestLostPages(t *testing.T) {
	const n = 40
	dir := build(t, small(), n)
	hole := func(b []byte) []byte {
		unmark(b)
		clear(b[8192:12288])
		return b
	}
	var fault *Fault
	if _, err := Open(cloneLog(t, dir, hole), small()); !errors.As(err, &fault) || !strings.Contains(err.Error(), "whole records stand behind") {
		t.Errorf("Open with the machine up all along = %v", err)
	}
	lost := cloneLog(t, dir, func(b []byte) []byte {
		b[bootAt]++
		return hole(b)
	})
	if _, err := Verify(lost); !errors.As(err, &fault) {
		t.Errorf("Verify = %v, want a fault", err)
	}
	openAndClose(t, lost)
	rep, err := Verify(lost)
	if err != nil || rep.Head.Count != fault.Seq+1 {
		t.Errorf("Verify after recovery = %+v, %v; the fault was at %d", rep, err, fault.Seq)
	}
	marked := cloneLog(t, dir, func(b []byte) []byte {
		b[bootAt]++
		clear(b[8192:12288])
		return b
	})
	if _, err := Open(marked, small()); !errors.As(err, &fault) || !strings.Contains(err.Error(), "was durable once") {
		t.Errorf("Open when durable records are lost = %v", err)
	}
}

// TestCrashBetweenSegments covers the moments around a change of segments.
func TestCrashBetweenSegments(t *testing.T) {
	dir := build(t, small(), 150) // two segments
	firsts, err := segments(dir)
	if err != nil || len(firsts) != 2 {
		t.Fatal(firsts, err)
	}
	for _, tt := range []struct {
		name    string
		change  func(first, second []byte)
		records uint64 // 0: Open must fail
	}{
		{"killed before the seal", func(a, b []byte) { clear(a[lastAt:bootAt]); unmark(a) }, 150},
		{"power lost before the first was durable", func(a, b []byte) {
			clear(a[lastAt:bootAt])
			unmark(a)
			a[bootAt]++
			clear(a[60000:])
		}, 0},
		{"power lost before the second had its header", func(a, b []byte) {
			clear(a[lastAt:bootAt])
			a[bootAt]++
			clear(b)
		}, firsts[1] + 1},
		{"second damaged after the seal", func(a, b []byte) { clear(b) }, 0},
		{"first damaged without a crash of the machine", func(a, b []byte) {
			clear(a[lastAt:bootAt])
			unmark(a)
			clear(a[60000:])
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var first []byte
			path := filepath.Join(dir, segmentName(0))
			if first, err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
			torn := cloneLog(t, dir, func(second []byte) []byte { tt.change(first, second); return second })
			if err := os.WriteFile(filepath.Join(torn, segmentName(0)), first, 0o600); err != nil {
				t.Fatal(err)
			}
			want := tt.records
			if strings.HasPrefix(tt.name, "power lost before the first") {
				want = uint64(len(offsets(t, first))-2) + 2 // the last is torn; two notes
			}
			l, err := Open(torn, small())
			if want == 0 {
				if err == nil {
					t.Error("Open succeeds")
					closeLog(t, l)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			fill(t, l, 5)
			closeLog(t, l)
			if rep, err := Verify(torn); err != nil || rep.Head.Count != want+5 {
				t.Errorf("Verify = %+v, %v; want %d records", rep, err, want+5)
			}
		})
	}
}

// TestNoRoom keeps the next segment from being allocated, by a directory in
// its place.
func TestNoRoom(t *testing.T) {
	dir := t.TempDir()
	now := fixedClock()
	l := openLog(t, dir, Options{SegmentSize: minSegmentSize, Now: func() time.Time { return now }})
	spare := filepath.Join(dir, spareName)
	if err := os.Mkdir(spare, 0o700); err != nil {
		t.Fatal(err)
	}
	var n uint64
	var err error
	for ; err == nil; n++ {
		_, err = l.Append(sample())
	}
	n--
	if !errors.Is(err, ErrFull) {
		t.Fatalf("Append = %v, want ErrFull", err)
	}
	if err := l.Sync(t.Context(), n-1); err != nil {
		t.Errorf("Sync of what is in the log: %v", err)
	}
	if err := os.Remove(spare); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(sample()); !errors.Is(err, ErrFull) {
		t.Errorf("Append within a second = %v, want ErrFull", err)
	}
	if s := l.Stats(); s.Refused != 2 || s.Err == nil {
		t.Errorf("Stats = %+v", s)
	}
	now = now.Add(retryAfter)
	if seq, err := l.Append(sample()); err != nil || seq != n+2 {
		t.Errorf("Append with room again = %d, %v, want %d", seq, err, n+2)
	}
	if r := readAll(t, dir, n); !strings.HasPrefix(r[0].Message, "the log's disk is full: statements and logins are refused") || r[1].Message != "the log had no room, and refused 2 records" {
		t.Errorf("the log does not say so: %+v", r)
	}
	if s := l.Stats(); s.Err != nil {
		t.Errorf("Stats = %+v", s)
	}
	closeLog(t, l)
	if rep, err := Verify(dir); err != nil || rep.Head.Count != n+3 {
		t.Errorf("Verify = %+v, %v", rep, err)
	}
}

// TestFullDisk is the same with a file system that is really full. It takes
// the right to mount one.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	now := fixedClock()
	l := openLog(t, dir, Options{SegmentSize: minSegmentSize, Now: func() time.Time { return now }})
	hog := filepath.Join(dir, "hog")
	if err := os.WriteFile(hog, make([]byte, 128<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil {
		_, err = l.Append(sample())
	}
	if !errors.Is(err, ErrFull) || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("Append = %v, want ErrFull for ENOSPC", err)
	}
	full := l.Stats().Appended
	if full < 400 {
		t.Errorf("full after %d records", full)
	}
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	now = now.Add(retryAfter)
	fill(t, l, 50)
	closeLog(t, l)
	if rep, err := Verify(dir); err != nil || rep.Head.Count != full+51 { // one tells of the trouble
		t.Errorf("Verify = %+v, %v, want %d records", rep, err, full+51)
	}
}
