package ship

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestRotation puts files aside by size, and keeps no more than it may.
func TestRotation(t *testing.T) {
	m := newLog(t)
	path := filepath.Join(t.TempDir(), "access [1].jsonl")
	sink := sinkTo("file", &File{Path: path, MaxBytes: 20_000, Keep: 3})
	sink.Batch = 10
	m.statements(200)
	if err := m.ship(sink); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for i := range entries {
		e := entries[(i+1)%len(entries)] // the one without a time is the last
		if info, err := e.Info(); err != nil || info.Size() > 20_000 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info, err)
		}
		all = append(all, seqs(t, filepath.Join(filepath.Dir(path), e.Name()))...)
	}
	if len(entries) != 4 || !slices.Equal(all, upTo("audit", 400-len(all), 400)) {
		t.Errorf("%d files have %v", len(entries), all)
	}
}

// TestMoved moves the file away while there is more to come, and puts an empty one
// in its place, as logrotate does.
func TestMoved(t *testing.T) {
	m := newLog(t)
	sink, path := m.fileSink()
	s := m.start(sink)
	m.statements(50)
	awaitSent(t, s, 100)
	if err := errors.Join(os.Rename(path, path+".1"), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	m.statements(50)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, after := seqs(t, path+".1"), seqs(t, path)
	if !slices.Equal(before, upTo("audit", 0, 100)) || !slices.Equal(after, upTo("audit", 100, 200)) {
		t.Errorf("there is %v, and then %v", before, after)
	}
}

// TestTornLine removes what a crash left of a line, which is sent again.
func TestTornLine(t *testing.T) {
	m := newLog(t)
	sink, path := m.fileSink()
	m.statements(2)
	if err := m.ship(sink); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(`{"log":"test.example/audit","seq":4,"shape":"` + strings.Repeat("x", 200_000))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	m.statements(2)
	if err := m.ship(sink); err != nil {
		t.Fatal(err)
	}
	if got := seqs(t, path); !slices.Equal(got, upTo("audit", 0, 8)) {
		t.Errorf("there is %v", got)
	}
}

// TestFullDisk fills the disk that the file is on, and then the one that the
// log with its cursors is on. Nothing is lost, and no line is half there.
func TestFullDisk(t *testing.T) {
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	defer func() {
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	t.Run("of the file", func(t *testing.T) {
		m := newLog(t)
		path := filepath.Join(small, "access.jsonl")
		s := m.start(sinkTo("file", &File{Path: path}))
		m.statements(300)
		awaitStats(t, s, func(st Stats) bool { return st.Errors > 3 })
		full := seqs(t, path)
		if st := s.Stats()[0]; st.Stopped != nil || len(full) == 0 || len(full) == 600 {
			t.Errorf("on the full disk are %d records, %+v", len(full), st)
		}
		if err := unix.Mount("", small, "", unix.MS_REMOUNT, "size=1m"); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := seqs(t, path); !slices.Equal(got, upTo("audit", 0, 600)) {
			t.Errorf("there are %d records: %v", len(got), got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("of the cursor", func(t *testing.T) {
		m := newLog(t)
		sink, path := m.fileSink()
		if err := os.Symlink(filepath.Join(small, "cursors"), filepath.Join(m.dir, cursorDir)); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(small, "cursors"), 0o700); err != nil {
			t.Fatal(err)
		}
		m.statements(1)
		if err := m.ship(sink); err != nil {
			t.Fatal(err)
		}
		hog := filepath.Join(small, "hog")
		if err := os.WriteFile(hog, make([]byte, 2<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		m.statements(2)
		s := m.start(sink)
		if err := s.Close(t.Context()); err != nil || s.Stats()[0].Errors == 0 {
			t.Errorf("Close = %v, %+v", err, s.Stats())
		}
		if floor, err := Floor(m.dir); err != nil || floor["main"] != 2 {
			t.Errorf("Floor = %v, %v", floor, err)
		}
		if err := errors.Join(os.Remove(hog), m.ship(sink)); err != nil {
			t.Fatal(err)
		}
		if got := seqs(t, path); !slices.Equal(got, append(upTo("audit", 0, 6), upTo("audit", 2, 6)...)) {
			t.Errorf("there is %v", got)
		}
	})
}

func awaitStats(t *testing.T, s *Shipper, is func(Stats) bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !is(s.Stats()[0]); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("Stats = %+v", s.Stats())
		}
	}
}
