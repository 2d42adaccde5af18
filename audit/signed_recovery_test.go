package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// editSegment changes the last segment of a log where it is.
func editSegment(tb testing.TB, dir string, change func(b []byte) []byte) {
	tb.Helper()
	firsts, err := segments(dir)
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(dir, segmentName(firsts[len(firsts)-1]))
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(b), 0o600)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// TestCutAroundCheckpoint cuts a log at every record, as if no mark had been
// set. Above the last checkpoint it is what a crash leaves, and recovered;
// below it the start stops and says where.
func TestCutAroundCheckpoint(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	l := openLog(t, dir, signed(k))
	fill(t, l, 9)
	closeLog(t, l)
	before, o := copyLog(t, dir), signed(k)
	l = openLog(t, dir, o)
	fill(t, l, 10)
	closeLog(t, l)
	for _, name := range []string{listName, latestName} { // as before Close signed
		data, err := os.ReadFile(filepath.Join(before, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	at := offsets(t, lastSegment(t, dir))
	for i := 1; i < len(at)-1; i++ {
		torn := copyLog(t, dir)
		editSegment(t, torn, func(b []byte) []byte { unmark(b); clear(b[at[i]+20:]); return b })
		l, err := Open(torn, o)
		var fault *Fault
		if i < 10 {
			if !errors.As(err, &fault) || fault.Seq != uint64(i) || !strings.Contains(err.Error(), "a checkpoint of 10 records is signed") {
				t.Errorf("cut at record %d: Open = %v", i, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("cut at record %d: %v", i, err)
		}
		closeLog(t, l)
		verifySigned(t, torn, uint64(i)+1, k)
	}
	gone := copyLog(t, dir)
	if err := os.Remove(filepath.Join(gone, segmentName(0))); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(gone, o); err == nil || !strings.Contains(err.Error(), "records 0 to 9 are missing") {
		t.Errorf("Open without any segment = %v", err)
	}
}

// TestTornList cuts the list of checkpoints at every byte. What stands before
// counts, and goes on; but for more than the latest checkpoint says was there.
func TestTornList(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	for range 2 {
		l := openLog(t, dir, signed(k))
		fill(t, l, 3)
		closeLog(t, l)
	}
	list := listOf(t, dir)
	first := len(list[0].Note) + 1
	data, err := os.ReadFile(filepath.Join(dir, listName))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(data) {
		torn := copyLog(t, dir)
		if err := os.WriteFile(filepath.Join(torn, listName), data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(torn, signed(k)); err == nil || !strings.Contains(err.Error(), "that was cut") {
			t.Fatalf("cut at %d, the latest being known: Open = %v", cut, err)
		}
		if err := os.Remove(filepath.Join(torn, latestName)); err != nil {
			t.Fatal(err)
		}
		l := openLog(t, torn, signed(k))
		fill(t, l, 1)
		closeLog(t, l)
		want := uint64(8)
		if cut < first {
			want++ // the log says that no checkpoint is there
		}
		verifySigned(t, torn, want, k)
	}
}

// TestChangedWhileOpen changes a record, with all sums, in the file of a log
// that is being written: it is not signed, and nothing is appended any more.
func TestChangedWhileOpen(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	o := signed(k)
	o.Now = fixedClock
	l := openLog(t, dir, o)
	fill(t, l, 5)
	p := payloads(t, dir)
	copy(p[5][strings.Index(string(p[5]), "alice"):], "mally")
	rewrite(t, dir, p)
	err := l.Close()
	var fault *Fault
	if !errors.As(err, &fault) || !strings.Contains(err.Error(), "not those that were appended") || !errors.Is(err, ErrFailed) {
		t.Errorf("Close = %v", err)
	}
	for _, c := range listOf(t, dir) {
		if c.Size > 5 {
			t.Errorf("a checkpoint of %d records is signed", c.Size)
		}
	}
}

// TestSignedIsTold follows the checkpoints as they are made.
func TestSignedIsTold(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	o := signed(k)
	var told []uint64
	o.Signed = func(c Checkpoint, _ uint64) { told = append(told, c.Size) }
	l := openLog(t, dir, o)
	fill(t, l, 300)
	closeLog(t, l)
	var want []uint64
	for _, c := range listOf(t, dir) {
		want = append(want, c.Size)
	}
	if len(want) < 3 || fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("told of %v, the list has %v", told, want)
	}
}

// TestNoRoomToSign keeps checkpoints from being written: records still are, and
// the next try signs them.
func TestNoRoomToSign(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	o, failed := signed(k), make(chan error, 1)
	o.CheckpointEvery = time.Millisecond
	o.SignFailed = func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	block := filepath.Join(dir, latestName+".tmp")
	if err := os.Mkdir(block, 0o700); err != nil {
		t.Fatal(err)
	}
	l := openLog(t, dir, o)
	fill(t, l, 5)
	if err := <-failed; !strings.Contains(err.Error(), latestName) {
		t.Errorf("SignFailed is told %v", err)
	}
	fill(t, l, 5) // nothing is refused for it
	if err := l.Close(); err == nil {
		t.Error("Close says nothing")
	}
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, dir, signed(k))
	fill(t, l, 5)
	closeLog(t, l)
	verifySigned(t, dir, 16, k)
}
