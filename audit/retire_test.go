package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const day = 24 * time.Hour

// aging is a log whose clock a test sets, and that tells what was retired.
type aging struct {
	opts    Options
	clock   atomic.Int64 // days since fixedClock
	retired chan Tombstone
	failed  chan error
}

func newAging(keep time.Duration, keys ...Key) *aging {
	a := &aging{opts: signed(keys...), retired: make(chan Tombstone, 100), failed: make(chan error, 100)}
	a.opts.CheckpointEvery = time.Millisecond
	a.opts.Now = func() time.Time { return fixedClock().Add(time.Duration(a.clock.Load()) * day) }
	a.opts.Retention = Retention{Keep: keep, Retired: func(t Tombstone) { a.retired <- t }, Failed: func(err error) { a.failed <- err }}
	return a
}

// days appends 60 records on each of some days.
func (a *aging) days(t *testing.T, l *Log, n int) {
	t.Helper()
	for range n {
		fill(t, l, 60)
		a.clock.Add(1)
	}
}

// wait waits until something is retired.
func (a *aging) wait(t *testing.T) Tombstone {
	t.Helper()
	select {
	case tomb := <-a.retired:
		return tomb
	case err := <-a.failed:
		t.Fatal(err)
	case <-time.After(time.Minute):
		t.Fatal("nothing is retired")
	}
	return Tombstone{}
}

// retiredLog makes a log of ten days that keeps four, and gives the tombstone,
// a copy from before anything went, and the checkpoints of then.
func retiredLog(t *testing.T, k Key) (dir, before string, tomb Tombstone) {
	t.Helper()
	dir = memoryDir(t)
	a := newAging(0, k)
	l := openLog(t, dir, a.opts)
	a.days(t, l, 10)
	closeLog(t, l)
	before = copyLog(t, dir)
	a.opts.Retention.Keep = 4 * day
	l = openLog(t, dir, a.opts)
	tomb = a.wait(t)
	fill(t, l, 5)
	closeLog(t, l)
	return dir, before, tomb
}

// TestRetire removes what is older than it is to be kept, and no more; and what
// is left can be read, proved and verified, and goes on.
func TestRetire(t *testing.T) {
	k := newKey(t)
	dir, before, tomb := retiredLog(t, k)
	was, err := segments(before)
	if err != nil {
		t.Fatal(err)
	}
	is, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	gone := slices.Index(was, tomb.Records)
	if gone < 2 || is[0] != tomb.Records || !slices.Equal(was[gone:], is[:len(was)-gone]) {
		t.Fatalf("segments %v became %v; retired are %d records", was, is, tomb.Records)
	}
	all := readAll(t, before, 0)
	cut := fixedClock().Add((10 - 4) * day)
	if last := all[tomb.Records-1].Time; !last.Before(cut) || !last.Equal(tomb.Last) {
		t.Errorf("the last record that went is of %s, and the tombstone says %s", last, tomb.Last)
	}
	if last := all[was[gone+1]-1].Time; last.Before(cut) {
		t.Errorf("the segment from %d stays, and its last record is of %s", was[gone], last)
	}
	left := readAll(t, dir, 0)
	if left[0].Seq != tomb.Records || !slices.ContainsFunc(left, func(r Record) bool {
		return r.Kind == KindSystem && strings.HasPrefix(r.Message, fmt.Sprintf("records 0 to %d are retired, kept for 96h0m0s", tomb.Records-1))
	}) {
		t.Errorf("the log begins with %d and does not say that records went", left[0].Seq)
	}
	if tomb.Chain != headAt(t, before, tomb.Records) || tomb.Origin != "crm.example/audit" || tomb.Covered < tomb.Records || !tomb.At.Equal(fixedClock().Add(10*day)) {
		t.Errorf("%+v", tomb)
	}

	count := left[len(left)-1].Seq + 1
	rep := verifySigned(t, dir, count, k)
	if rep.Retired.Records != tomb.Records {
		t.Errorf("Verify tells of %d records that were retired, want %d", rep.Retired.Records, tomb.Records)
	}
	if rep, err := Verify(dir); err != nil || rep.Retired.Records != tomb.Records {
		t.Errorf("Verify without a key = %+v, %v", rep, err)
	}
	for _, hashes := range []string{"there", "removed"} {
		checkRetiredProofs(t, dir, before, k, tomb, count)
		l := openLog(t, dir, signed(k))
		if s := l.Stats(); s.First != tomb.Records || hashes == "there" && s.Segments != len(is) {
			t.Errorf("hashes %s: Stats = %+v", hashes, s)
		}
		count = fill(t, l, 130) + 1
		closeLog(t, l)
		verifySigned(t, dir, count, k)
		if err := os.Remove(filepath.Join(dir, hashesName)); err != nil {
			t.Fatal(err)
		}
	}
}

// headAt gives the chain hash before a record.
func headAt(t *testing.T, dir string, seq uint64) (chain hash) {
	t.Helper()
	if err := readFrom(dir, 0, true, func(r *reader) error {
		for r.next < seq {
			if _, err := r.read(); err != nil {
				return err
			}
		}
		chain = r.before
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return chain
}

func checkRetiredProofs(t *testing.T, dir, before string, k Key, tomb Tombstone, count uint64) {
	t.Helper()
	for _, seq := range []uint64{tomb.Records, tomb.Records + 1, (tomb.Records + count) / 2, count - 1} {
		p, err := Prove(dir, seq)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CheckProof(p.Marshal(), publics(k)); err != nil {
			t.Errorf("record %d: %v", seq, err)
		}
	}
	for _, seq := range []uint64{0, tomb.Records - 1, tomb.Records} {
		want, err := LeafHash(before, seq)
		if err != nil {
			t.Fatal(err)
		}
		_, gone := os.Stat(filepath.Join(dir, hashesName))
		if got, err := LeafHash(dir, seq); (gone == nil || seq == tomb.Records) && (err != nil || got != want) {
			t.Errorf("LeafHash of record %d = %v, %v, want %v", seq, got, err, want)
		} else if gone != nil && seq < tomb.Records && err == nil {
			t.Errorf("LeafHash of record %d without %s = %v", seq, hashesName, got)
		}
	}
	if _, err := Prove(dir, tomb.Records-1); err == nil || !strings.Contains(err.Error(), "it was retired at 2026-12-02") {
		t.Errorf("Prove of a record that is gone = %v", err)
	}
	entries, _, err := Last(dir, Filter{}, 100_000)
	if err != nil || entries[0].Seq != tomb.Records {
		t.Errorf("Last begins with %d, %v", entries[0].Seq, err)
	}
	if _, err := OpenTail(dir, tomb.Records-1); err == nil || !strings.Contains(err.Error(), "were retired before they were read") {
		t.Errorf("OpenTail of what is gone = %v", err)
	}
	list := listOf(t, dir)
	if _, err := os.Stat(filepath.Join(dir, hashesName)); err != nil {
		return // the hashes of what is gone are gone
	}
	for _, c := range listOf(t, before) {
		if err := CheckConsistency(dir, c, list[len(list)-1]); err != nil {
			t.Errorf("from the checkpoint of %d records: %v", c.Size, err)
		}
	}
	if _, err := (Check{Keys: publics(k), Kept: listOf(t, before)}).Verify(dir); err != nil {
		t.Errorf("Verify with checkpoints that were kept: %v", err)
	}
}

// TestRetirementStops names what keeps records from going.
func TestRetirementStops(t *testing.T) {
	k := newKey(t)
	if _, err := Open(t.TempDir(), Options{Retention: Retention{Keep: day}}); err == nil || !strings.Contains(err.Error(), "take a key") {
		t.Errorf("Open without a key = %v", err)
	}
	for _, tt := range []struct {
		name string
		set  func(t *testing.T, a *aging, dir string) (allow func())
	}{
		{"a hold", func(t *testing.T, a *aging, dir string) func() {
			a.opts.Retention.Hold = filepath.Join(dir, "hold")
			if err := os.WriteFile(a.opts.Retention.Hold, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.Remove(a.opts.Retention.Hold); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"a reader that is behind", func(_ *testing.T, a *aging, _ string) func() {
			var floor atomic.Uint64
			a.opts.Retention.Floor = floor.Load
			return func() { floor.Store(1 << 40) }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := memoryDir(t)
			a := newAging(4*day, k)
			allow := tt.set(t, a, dir)
			l := openLog(t, dir, a.opts)
			a.days(t, l, 10)
			if err := l.Sync(t.Context(), fill(t, l, 1)); err != nil {
				t.Fatal(err)
			}
			closeLog(t, l)
			if s := l.Stats(); s.First != 0 || len(a.retired) > 0 {
				t.Errorf("Stats = %+v", s)
			}
			allow()
			l = openLog(t, dir, a.opts)
			if tomb := a.wait(t); tomb.Records == 0 {
				t.Error("nothing went")
			}
			closeLog(t, l)
			openAndCloseSigned(t, dir, k)
		})
	}
	t.Run("a clock that is years ahead at a start", func(t *testing.T) {
		dir := memoryDir(t)
		a := newAging(60*day, k)
		l := openLog(t, dir, a.opts)
		a.days(t, l, 40)
		closeLog(t, l)
		a.clock.Add(3650)
		l = openLog(t, dir, a.opts)
		tomb := a.wait(t)
		closeLog(t, l)
		if age := fixedClock().Add(39 * day).Sub(tomb.Last); age < 30*day {
			t.Errorf("records of %s before the last went", age)
		}
	})
	t.Run("records that are not those that were signed", func(t *testing.T) {
		_, dir, _ := retiredLog(t, k)
		was, err := segments(dir)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, segmentName(was[1]))
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, bytes.Replace(data, []byte("alice"), []byte("mally"), 1), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		a := newAging(4*day, k)
		a.clock.Store(10)
		l := openLog(t, dir, a.opts)
		select {
		case err := <-a.failed:
			if !strings.Contains(err.Error(), "checksum") {
				t.Error(err)
			}
		case tomb := <-a.retired:
			t.Errorf("%d records went", tomb.Records)
		}
		closeLog(t, l)
		if is, err := segments(dir); err != nil || !slices.Equal(is[:len(was)], was) {
			t.Errorf("segments %v became %v, %v", was, is, err)
		}
	})
}
