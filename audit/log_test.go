package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// small makes segments of the least size, so that a test has several.
func small() Options { return Options{SegmentSize: minSegmentSize} }

func fixedClock() time.Time { return time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC) }

// fill appends n records and gives the seq of the last.
func fill(tb testing.TB, l *Log, n int) uint64 {
	tb.Helper()
	var seq uint64
	for range n {
		var err error
		if seq, err = l.Append(sample()); err != nil {
			tb.Fatal(err)
		}
	}
	return seq
}

// build makes a log of n records and closes it.
func build(tb testing.TB, opts Options, n int) string {
	tb.Helper()
	dir := tb.TempDir()
	l := openLog(tb, dir, opts)
	fill(tb, l, n)
	closeLog(tb, l)
	return dir
}

func readAll(tb testing.TB, dir string, from uint64) []Record {
	tb.Helper()
	var all []Record
	for r, err := range Read(dir, from) {
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func TestAppendAndRead(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, small())
	const n = 500 // some five segments
	for i := range uint64(n) {
		r := sample()
		seq, err := l.Append(r)
		if err != nil || seq != i || r.Seq != i || r.Time.IsZero() {
			t.Fatalf("Append = %d, %v with Seq %d, Time %v; want %d", seq, err, r.Seq, r.Time, i)
		}
	}
	if err := l.Sync(t.Context(), n-1); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.Appended != n || s.Durable != n || s.Lag() != 0 || s.Segments < 4 || s.Err != nil {
		t.Errorf("Stats = %+v", s)
	}
	if _, err := Verify(dir); err != nil {
		t.Errorf("Verify beside the writer: %v", err)
	}
	closeLog(t, l)

	for _, from := range []uint64{0, 1, 100, n - 1, n, n + 1} {
		got := readAll(t, dir, from)
		if want := n - min(from, n); uint64(len(got)) != want || want > 0 && got[0].Seq != from {
			t.Errorf("Read(%d) gives %d records, want %d", from, len(got), want)
		}
	}
	rep, err := Verify(dir)
	if err != nil || rep.Head.Count != n || rep.Unfinished != 0 || rep.Segments < 4 {
		t.Errorf("Verify = %+v, %v", rep, err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestReopenGoesOn(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		l := openLog(t, dir, small())
		if seq := fill(t, l, 30); seq != uint64(i*30+29) {
			t.Fatalf("opened %d times, the last seq is %d", i+1, seq)
		}
		closeLog(t, l)
	}
	if rep, err := Verify(dir); err != nil || rep.Head.Count != 600 {
		t.Errorf("Verify = %+v, %v", rep, err)
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, small())
	if _, err := Open(dir, small()); !errors.Is(err, ErrInUse) {
		t.Errorf("second Open: %v, want ErrInUse", err)
	}
	if _, err := l.Append(&Record{}); err == nil || !strings.Contains(err.Error(), "not a kind") {
		t.Errorf("Append without a kind: %v", err)
	}
	if err := l.Sync(t.Context(), 0); err == nil {
		t.Error("Sync of what was not appended succeeds")
	}
	fill(t, l, 1)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Sync(gone, 0); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Sync with a context that is done: %v", err)
	}
	closeLog(t, l)
	if _, err := l.Append(sample()); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after Close: %v", err)
	}
	if err := l.Sync(t.Context(), 0); err != nil {
		t.Errorf("Sync after Close of a durable record: %v", err)
	}
	if err := l.Sync(t.Context(), 1); !errors.Is(err, ErrClosed) {
		t.Errorf("Sync after Close: %v", err)
	}
	if err := l.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	openAndClose(t, dir)
}

func openAndClose(tb testing.TB, dir string) {
	tb.Helper()
	closeLog(tb, openLog(tb, dir, small()))
}

// TestFormat holds the example in doc.go to what is written, and what is
// written to the example: a change of the format shows here first.
func TestFormat(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, Options{Now: fixedClock})
	l.boot = bootID{}
	copy(l.cur.data[bootAt:], l.boot[:])
	if _, err := l.Append(&Record{Kind: KindSystem, Message: "started"}); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	data, err := os.ReadFile(filepath.Join(dir, segmentName(0)))
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for line := range strings.Lines(hex.Dump(bytes.TrimRight(data, "\x00"))) {
		want.WriteString("//\t" + line[4:])
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), want.String()) {
		t.Errorf("the example in doc.go should be:\n%s", want.String())
	}
	head, err := ReadHead(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), head.String()) {
		t.Errorf("doc.go does not tell the head %s", head)
	}
}

func TestSyncManyWaiters(t *testing.T) {
	l := openLog(t, t.TempDir(), small())
	errs := make(chan error)
	const sessions, each = 64, 20
	for range sessions {
		go func() {
			for range each {
				seq, err := l.Append(sample())
				if err == nil {
					err = l.Sync(t.Context(), seq)
				}
				if err == nil && l.durable.Load() <= seq {
					err = errors.New("Sync came back early")
				}
				errs <- err
			}
		}()
	}
	for range sessions * each {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	s := l.Stats()
	if s.Appended != sessions*each || s.Lag() != 0 {
		t.Errorf("Stats = %+v", s)
	}
	closeLog(t, l)
	if rep, err := Verify(l.dir); err != nil || rep.Head.Count != s.Appended {
		t.Errorf("Verify = %+v, %v", rep, err)
	}
}

func TestSyncFailureIsFinal(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, small())
	seq := fill(t, l, 3)
	l.cur.file.Close() // fdatasync now fails, as on a disk that went away
	if err := l.Sync(t.Context(), seq); !errors.Is(err, ErrFailed) {
		t.Errorf("Sync = %v, want ErrFailed", err)
	}
	if _, err := l.Append(sample()); !errors.Is(err, ErrFailed) {
		t.Errorf("Append after it = %v, want ErrFailed", err)
	}
	if err := l.Sync(t.Context(), 0); !errors.Is(err, ErrFailed) {
		t.Errorf("Sync after it = %v, want ErrFailed", err)
	}
	if s := l.Stats(); s.Durable != 0 || !errors.Is(s.Err, ErrFailed) {
		t.Errorf("Stats = %+v", s)
	}
	if err := l.Close(); !errors.Is(err, ErrFailed) {
		t.Errorf("Close = %v, want ErrFailed", err)
	}
	openAndClose(t, dir)
	if rep, err := Verify(dir); err != nil || rep.Head.Count != 3 {
		t.Errorf("Verify = %+v, %v", rep, err)
	}
}

func TestFollowAcrossSegments(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, small())
	fill(t, l, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const n = 1000
	done := make(chan error, 1)
	go func() {
		want := uint64(5)
		for r, err := range Follow(ctx, dir, want) {
			if err == nil && r.Seq != want {
				err = errors.New("records out of order")
			}
			if want++; err != nil || want == n {
				done <- err
				return
			}
		}
		done <- errors.New("Follow ended")
	}()
	for i := 10; i < n; i += 10 {
		if err := l.Sync(ctx, fill(t, l, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	closeLog(t, l)
}

func TestVerifyBesideWriter(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, small())
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				fill(t, l, 1)
			}
			if l.Stats().Appended > 20_000 {
				return
			}
		}
	}()
	var last uint64
	for range 20 {
		rep, err := Verify(dir)
		if err != nil || rep.Head.Count < last {
			t.Fatalf("Verify = %+v, %v after %d", rep, err, last)
		}
		last = rep.Head.Count
	}
	close(stop)
	<-stopped
	closeLog(t, l)
}

// ReadKinds gives whole what is asked for, and of the rest no more than its
// place.
func TestReadKinds(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, Options{})
	for _, kind := range []Kind{KindStatement, KindOutcome, KindPrivacy} {
		if _, err := l.Append(&Record{Kind: kind, Login: "alice"}); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	var got []string
	for r, err := range ReadKinds(dir, KindStatement, KindPrivacy) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %s %s %v", r.Seq, r.Kind, r.Login, r.Time.IsZero()))
	}
	want := []string{"0 statement alice false", "1 outcome  true", "2 privacy alice false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ReadKinds (-want +got):\n%s", diff)
	}
}
