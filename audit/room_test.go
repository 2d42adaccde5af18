package audit

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of its own, which takes the right to.
func smallDisk(t *testing.T, kind string, size int64) string {
	t.Helper()
	dir := t.TempDir()
	source, flags := "tmpfs", fmt.Sprintf("size=%d", size)
	if kind != "tmpfs" {
		source, flags = loopDevice(t, kind, t.TempDir(), size), ""
	}
	mount(t, source, dir, kind, flags)
	return dir
}

func mount(t *testing.T, source, dir, kind, flags string) {
	t.Helper()
	if err := unix.Mount(source, dir, kind, 0, flags); err != nil {
		t.Skipf("mount a small %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// loopDevice makes a file system in a file in a folder, behind a device.
func loopDevice(t *testing.T, kind, in string, size int64) string {
	t.Helper()
	image := filepath.Join(in, "disk")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs."+kind, "-q", image).CombinedOutput(); err != nil {
		t.Skipf("make a small %s: %v: %s", kind, err, out)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("a device for a small %s: %v: %s", kind, err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return device
}

// statements are what sessions do with a log: each waits until its record is
// durable, is acknowledged, and ends.
type statements struct {
	mu      sync.Mutex
	acked   []uint64
	refused atomic.Int64
}

// session goes on until it is told to stop. A statement that is refused is no
// fault, one that was admitted and has no outcome is.
func (s *statements) session(t *testing.T, l *Log, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		seq, err := l.Append(sample())
		if err == nil {
			err = l.Sync(t.Context(), seq)
		}
		if errors.Is(err, ErrFull) {
			if s.refused.Add(1); !errors.Is(err, unix.ENOSPC) {
				t.Errorf("refused for %v", err)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		_, err = l.Append(&Record{Kind: KindOutcome, Ref: seq, Tag: "SELECT 1"})
		if err != nil {
			t.Errorf("the outcome of an admitted statement: %v", err)
			return
		}
		s.mu.Lock()
		s.acked = append(s.acked, seq)
		s.mu.Unlock()
	}
}

// TestFullDiskUnderLoad fills the disk under sessions and makes room again, some
// times. Nothing that was acknowledged is missing, outcomes find room, the log
// says what was, and goes on by itself.
func TestFullDiskUnderLoad(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) { fullDiskUnderLoad(t, smallDisk(t, kind, 24<<20)) })
	}
}

func fullDiskUnderLoad(t *testing.T, disk string) {
	dir, hog := filepath.Join(disk, "audit"), filepath.Join(disk, "hog")
	k := newKey(t)
	rooms := make(chan Room, 1000)
	o := Options{SegmentSize: 256 << 10, Key: &k, CheckpointEvery: time.Millisecond, RoomChanged: func(r Room, _ error) { rooms <- r }}
	var ahead atomic.Int64
	o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	o.Retention = Retention{Keep: time.Hour}
	l := openLog(t, dir, o)
	var s statements
	stop := make(chan struct{})
	var sessions sync.WaitGroup
	for range 32 {
		sessions.Go(func() { s.session(t, l, stop) })
	}
	const rounds = 3
	for range rounds {
		fillDisk(t, hog)
		awaitRoom(t, rooms, RoomNone)
		tick := time.NewTicker(time.Millisecond)
		for before := s.refused.Load(); s.refused.Load() < before+100; {
			<-tick.C
		}
		tick.Stop()
		if st := l.Stats(); !errors.Is(st.Err, unix.ENOSPC) || st.Room != RoomNone {
			t.Errorf("when the disk is full: Stats = %+v", st)
		}
		// What is older goes, as time passes, and the hog.
		if err := os.Remove(hog); err != nil {
			t.Fatal(err)
		}
		ahead.Add(int64(2 * time.Hour))
		awaitRoom(t, rooms, RoomEnough, RoomLittle)
	}
	close(stop)
	sessions.Wait()
	closeLog(t, l)
	rep, err := Check{Keys: publics(k)}.Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	there, said := map[uint64]bool{}, [2]int{}
	for r, err := range Read(dir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case r.Kind == KindOutcome:
			there[r.Ref] = true
		case strings.HasPrefix(r.Message, "the log's disk is full"):
			said[0]++
		case strings.HasPrefix(r.Message, "the log had no room, and refused "):
			said[1]++
		}
	}
	missing := 0
	for _, seq := range s.acked {
		if seq >= rep.Retired.Records && !there[seq] {
			missing++
		}
	}
	if missing > 0 || said[0] == 0 || said[1] == 0 {
		t.Errorf("of %d statements %d are missing with their outcomes; the log says %d times that it was full, and %d times that it had been", len(s.acked), missing, said[0], said[1])
	}
	t.Logf("%d statements acknowledged, %d refused, %d records retired; full %d times", len(s.acked), s.refused.Load(), rep.Retired.Records, said[0])
}

// fillDisk writes a file until nothing more fits.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	_ = f.Close() // a delayed allocation may fail here, too
}

func awaitRoom(t *testing.T, rooms <-chan Room, want ...Room) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case r := <-rooms:
			for _, w := range want {
				if r == w {
					return
				}
			}
		case <-late:
			t.Fatalf("the disk is never said to have %v", want)
		}
	}
}

// TestReserve has the disk full over a restart: how statements ended and that
// there is no room finds place, statements do not.
func TestReserve(t *testing.T) {
	disk := smallDisk(t, "tmpfs", 1<<20)
	dir, hog := filepath.Join(disk, "audit"), filepath.Join(disk, "hog")
	now := fixedClock()
	told := make(chan Room, 100)
	o := Options{SegmentSize: minSegmentSize, Now: func() time.Time { return now }, RoomChanged: func(r Room, _ error) { told <- r }}
	l := openLog(t, dir, o)
	fillDisk(t, hog)
	var err error
	for err == nil {
		_, err = l.Append(sample())
	}
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	for _, kind := range []Kind{KindOutcome, KindSystem, KindPrivacy, KindSubjects, KindOutcome, KindOutcome} {
		if _, err := l.Append(&Record{Kind: kind, Message: strings.Repeat("m", 300)}); err != nil {
			t.Errorf("%s with a full disk: %v", kind, err)
		}
	}
	for _, kind := range []Kind{KindStatement, KindSession} {
		if _, err := l.Append(&Record{Kind: kind}); !errors.Is(err, ErrFull) {
			t.Errorf("%s with a full disk: %v", kind, err)
		}
	}
	closeLog(t, l)
	awaitRoom(t, told, RoomNone)
	fillDisk(t, hog) // what Close gave back
	l = openLog(t, dir, o)
	if got := <-told; got != RoomNone {
		t.Errorf("a start on a full disk tells of %s room", got)
	}
	for err = nil; err == nil; {
		_, err = l.Append(&Record{Kind: KindOutcome, Message: strings.Repeat("m", 300)})
	}
	if !errors.Is(err, ErrFull) {
		t.Errorf("beyond the reserve: %v", err)
	}
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	now = now.Add(retryAfter)
	if _, err := l.Append(sample()); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if s := l.Stats(); s.Err != nil || s.Free <= 0 {
		t.Errorf("with room again: Stats = %+v", s)
	}
	closeLog(t, l)
	if rep, err := Verify(dir); err != nil || rep.Segments < 3 {
		t.Errorf("Verify = %+v, %v", rep.Segments, err)
	}
}

// TestFailingDisk has the device under the file system fail writes: it is thin,
// and what is behind it is full. The system finds that out after the write, when
// it makes it durable. From then on nobody is told that a record is, and what
// they were told before is there.
func TestFailingDisk(t *testing.T) {
	thin := smallDisk(t, "tmpfs", 16<<20)
	device := loopDevice(t, "ext4", thin, 64<<20)
	disk := t.TempDir()
	mount(t, device, disk, "ext4", "")
	dir := filepath.Join(disk, "audit")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childStart+"="+time.Now().Format(time.RFC3339Nano))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said string
	last, durable := uint64(0), uint64(0)
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		seq, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			said = lines.Text()
			break
		}
		if last%50 == 0 {
			durable = last // it went on, so Sync came back
		}
		last = seq
		if n == 200 {
			fillDisk(t, filepath.Join(thin, "hog"))
		}
	}
	werr := cmd.Wait()
	// The file system may give up before the log meets the failure itself.
	gaveUp := strings.Contains(said, unix.EROFS.Error())
	if !strings.Contains(said, ErrFailed.Error()) && !gaveUp && !strings.Contains(werr.Error(), "bus error") {
		t.Fatalf("with a disk that fails, the writer ended with %v, and said %q", werr, said)
	}
	t.Logf("after record %d, of which %d was durable: %v; %s", last, durable, werr, said)
	if err := unix.Unmount(disk, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(thin, "hog")); err != nil {
		t.Fatal(err)
	}
	mountAgain(t, device, disk)
	there := uint64(0)
	for r, err := range Read(dir, 0) {
		if err != nil {
			t.Logf("behind record %d: %v", there, err)
			break
		}
		there = r.Seq
	}
	if there < durable {
		t.Errorf("record %d was durable, and the log ends with %d", durable, there)
	}
}

// mountAgain mounts what a test's end will unmount.
func mountAgain(t *testing.T, source, dir string) {
	t.Helper()
	if err := unix.Mount(source, dir, "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
}
