package audit

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// childDir, when set, makes the test binary append there until it is killed, by a
// clock that began at childStart.
const (
	childDir   = "PGVEIL_AUDIT_TEST_CHILD"
	childStart = "PGVEIL_AUDIT_TEST_START"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		appendForever(dir)
	}
	os.Exit(m.Run())
}

// appendForever prints each seq after Append, or Sync, returned it.
func appendForever(dir string) {
	key, err := ParseKey(childKey)
	if err != nil {
		panic(err)
	}
	start, err := time.Parse(time.RFC3339Nano, os.Getenv(childStart))
	if err != nil {
		panic(err)
	}
	l, err := Open(dir, killed(key, start))
	var sealer *Sealer
	if err == nil {
		sealer, err = NewSealer(filepath.Join(dir, "keys"), key.Name(), wrapping)
	}
	for err == nil {
		var seq uint64
		r := sample()
		if err = sealer.Seal(l.opts.Now(), r, contents()); err != nil {
			break
		}
		if seq, err = l.Append(r); err != nil {
			break
		}
		fmt.Println(seq)
		if seq%50 == 0 {
			err = l.Sync(context.Background(), seq)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

// childKey is of no log but TestKill's.
const childKey = "PRIVATE+KEY+kill.example+80dcf6fb+Af4Rqek/y8tzlupJmi25UQNXRiy2JHtk/Db3hVUU9N1r"

// killed are the options of a log that signs as often as it can, and for which a
// day passes in a second: its records go after five.
func killed(key Key, start time.Time) Options {
	return Options{SegmentSize: minSegmentSize, Key: &key, CheckpointEvery: time.Millisecond, Retention: Retention{Keep: 5 * 24 * time.Hour},
		Now: func() time.Time { return start.Add(time.Since(start) * (24 * 60 * 60)) }}
}

var kills = flag.Int("kills", 8, "how often TestKill kills the writer")

// TestKill kills a process in the middle of its work, many times. Whatever it
// was told to be in the log must be there, unless it was retired, and be opened
// where it is sealed, and what was signed fit.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	key, err := ParseKey(childKey)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now().Round(0)
	var kept []Checkpoint
	var retired uint64
	for round := range *kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, childStart+"="+start.Format(time.RFC3339Nano))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var last uint64
		for n := 0; lines.Scan(); n++ {
			if last, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
				t.Fatalf("child: %s", lines.Text())
			}
			if n == 150+37*(round%16) {
				if _, err := Open(dir, killed(key, start)); !errors.Is(err, ErrInUse) {
					t.Errorf("Open beside another process: %v, want ErrInUse", err)
				}
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the child was not killed")
		}
		list := listOf(t, dir)
		var check Check
		if len(list) > 0 { // on a slow disk the first may not have been signed yet
			check = Check{Keys: publics(key), Kept: kept}
		}
		rep, err := check.Verify(dir)
		if err != nil || rep.Head.Count <= last || len(list) < len(kept) || rep.Retired.Records < retired {
			t.Fatalf("round %d: Verify = %+v, %v; record %d was acknowledged, %d were retired, and %d checkpoints were kept", round, rep, err, last, retired, len(kept))
		}
		kept, retired = list, rep.Retired.Records
		checkOpens(t, dir, key, max(last, retired))
		if round%2 == 0 { // else the next child recovers
			closeLog(t, openLog(t, dir, killed(key, start)))
		}
	}
	if len(kept) < *kills/2 { // what Close signed alone
		t.Errorf("%d checkpoints were signed", len(kept))
	}
	t.Logf("%d checkpoints were signed, and %d records retired", len(kept), retired)
}

// checkOpens opens the contents of the first statement from a record on.
func checkOpens(t *testing.T, dir string, key Key, from uint64) {
	t.Helper()
	s, err := NewSealer(filepath.Join(dir, "keys"), key.Name(), wrapping)
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range Read(dir, from) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind != KindStatement {
			continue
		}
		if c, err := s.Open(&r); err != nil || string(c.Text) != string(contents().Text) {
			t.Errorf("the contents of record %d: %s, %v", r.Seq, c.Text, err)
		}
		return
	}
}
