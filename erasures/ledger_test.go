package erasures_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// childLedger, when set, makes the test binary add to that ledger until it is
// killed.
const childLedger = "PGVEIL_ERASURES_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childLedger); path != "" {
		addForever(path)
	}
	pgtest.Main(m)
}

// addForever prints the seq of each entry that it was told is durable.
func addForever(path string) {
	l, err := erasures.Open(path, key, erasures.Options{})
	for i := int64(1); err == nil; i++ {
		var begun, done erasures.Entry
		if begun, err = l.Intend(intention(i, strconv.Itoa(os.Getpid()))); err == nil {
			fmt.Println(begun.Seq)
			if done, err = l.Done(begun.Seq, erasures.Outcome{}); err == nil {
				fmt.Println(done.Seq)
			}
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

var (
	key   = erasures.NewKey(bytes.Repeat([]byte{1}, 32))
	other = erasures.NewKey(bytes.Repeat([]byte{2}, 32))
	place = erasures.Database{System: "7412", Timeline: 1, LSN: "0/16B3748", Name: "crm"}
)

func intention(request int64, of string, identifiers ...string) erasures.Intention {
	return erasures.Intention{
		Request: request, Person: erasures.Person{Kind: "customer", Key: of, Identifiers: identifiers}, Plan: "7f", Database: place, Log: 3, By: "olga",
	}
}

// opened gives a ledger, and what it gives notice of.
func opened(t *testing.T, path string, k erasures.Key, before ...erasures.Key) (*erasures.Ledger, *[]string) {
	t.Helper()
	var notices []string
	l, err := erasures.Open(path, k, erasures.Options{Before: before, Notice: func(s string) { notices = append(notices, s) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, &notices
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// entries reads a ledger without its key.
func entries(path string) (all []erasures.Entry, err error) {
	err = erasures.Read(path, func(e erasures.Entry) error {
		all = append(all, e)
		return nil
	})
	return all, err
}

func TestLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l, _ := opened(t, path, key)
	entry := must[erasures.Entry](t)
	ada := entry(l.Intend(intention(17, "42", "Lovelace@Example.com", "+49 30 1234567")))
	if again := entry(l.Intend(intention(17, "42"))); again.Seq != ada.Seq {
		t.Errorf("the same erasure begun again is entry %d, not %d", again.Seq, ada.Seq)
	}
	if yes, err := l.Erased("customer", "lovelace@example.com"); yes || err != nil {
		t.Errorf("before it is done: %v, %v", yes, err)
	}
	done := entry(l.Done(ada.Seq, erasures.Outcome{Database: place}))
	if again := entry(l.Done(ada.Seq, erasures.Outcome{})); again.Digest != done.Digest {
		t.Error("done again is another entry")
	}
	bob := entry(l.Intend(intention(18, "43", "marlow@example.com")))
	entry(l.Fail(bob.Seq, erasures.Outcome{Note: "a hold"}))
	anew := entry(l.Intend(intention(19, "42", "lovelace@example.com")))
	entry(l.Fail(anew.Seq, erasures.Outcome{Note: "a hold"}))
	again, _ := opened(t, path, other, key)
	for _, tt := range []struct {
		kind, by string
		erased   bool
	}{
		{"customer", "42", true},
		{"customer", "LOVELACE@example.com ", true},
		{"customer", "0049 (30) 123-4567", true},
		{"customer", "43", false}, // it was given up
		{"customer", "marlow@example.com", false},
		{"lead", "lovelace@example.com", false},
		{"customer", "", false},
	} {
		for name, l := range map[string]*erasures.Ledger{"who wrote it": l, "another key's": again} {
			if got, err := l.Erased(tt.kind, tt.by); got != tt.erased || err != nil {
				t.Errorf("%s: Erased(%q, %q) = %v, %v", name, tt.kind, tt.by, got, err)
			}
		}
	}
	stranger, _ := opened(t, path, other)
	if got, err := stranger.Erased("customer", "42"); got || err != nil {
		t.Errorf("without the key: %v, %v", got, err)
	}
	if s, err := stranger.Summary(); err != nil || s.Entries != 6 || s.Done != 1 || s.Open != 0 || s.Foreign != 1 {
		t.Errorf("Summary = %+v, %v", s, err)
	}
	text := must[[]byte](t)(os.ReadFile(path))
	for _, secret := range []string{"lovelace", "marlow", "1234567", `"42"`} {
		if strings.Contains(strings.ToLower(string(text)), secret) {
			t.Errorf("%q is in the file", secret)
		}
	}
	if _, err := l.Done(99, erasures.Outcome{}); err == nil {
		t.Error("what nobody began is done")
	}
	for _, bad := range []erasures.Intention{{}, {Person: erasures.Person{Kind: "customer"}, Database: place}, {Person: erasures.Person{Kind: "customer", Key: "1"}}} {
		if _, err := l.Intend(bad); err == nil {
			t.Errorf("%+v was written", bad)
		}
	}
	long := intention(20, "44")
	long.By = strings.Repeat("x", 64<<10)
	if _, err := l.Intend(long); err == nil {
		t.Error("an entry that cannot be read again was written")
	}
	if all, err := entries(path); err != nil || len(all) != 6 {
		t.Errorf("%d entries, %v", len(all), err)
	}
}

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		" Ada.Lovelace@Example.COM ": "ada.lovelace@example.com",
		"+49 (0)30 123-4567":         "490301234567",
		"0049.30.1234567":            "49301234567",
		"12345":                      "12345",
		"A-100-200":                  "a-100-200",
		"ÄRGER":                      "ärger",
		"":                           "",
	} {
		if got := erasures.Normalise(in); got != want {
			t.Errorf("Normalise(%q) = %q, want %q", in, got, want)
		}
	}
}

// written makes a ledger of two entries and gives its bytes.
func written(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger")
	l, _ := opened(t, path, key)
	entry := must[erasures.Entry](t)
	first := entry(l.Intend(intention(1, "42", "lovelace@example.com")))
	entry(l.Done(first.Seq, erasures.Outcome{}))
	return must[[]byte](t)(os.ReadFile(path))
}

// TestTorn has the writer die after every byte of the file.
func TestTorn(t *testing.T) {
	whole := written(t)
	for n := range len(whole) + 1 {
		path := filepath.Join(t.TempDir(), "ledger")
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		lines := bytes.Count(whole[:n], []byte("\n"))
		torn := n > 0 && whole[n-1] != '\n'
		if all, err := entries(path); err != nil || len(all) != lines {
			t.Fatalf("%d bytes: Read gives %d entries, %v", n, len(all), err)
		}
		l, notices := opened(t, path, key)
		if torn != (len(*notices) == 1) {
			t.Fatalf("%d bytes: notices %q", n, *notices)
		}
		e, err := l.Intend(intention(9, "99"))
		if err != nil || e.Seq != uint64(lines)+1 {
			t.Fatalf("%d bytes: entry %d, %v", n, e.Seq, err)
		}
		if all, err := entries(path); err != nil || len(all) != lines+1 || !bytes.HasPrefix(must[[]byte](t)(os.ReadFile(path)), whole[:bytes.LastIndexByte(whole[:n], '\n')+1]) {
			t.Fatalf("%d bytes: then %d entries, %v", n, len(all), err)
		}
	}
}

// TestEveryByte changes each byte of the file: either that is found, or it was the
// end of the last line, and the entry was never finished.
func TestEveryByte(t *testing.T) {
	whole := written(t)
	path := filepath.Join(t.TempDir(), "ledger")
	for i := range whole {
		for _, bit := range []byte{1, 0x20, 0x80} {
			changed := bytes.Clone(whole)
			changed[i] ^= bit
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			all, err := entries(path)
			_, opens := erasures.Open(path, key, erasures.Options{})
			var fault *erasures.Fault
			if i == len(whole)-1 {
				if err != nil || len(all) != 1 {
					t.Errorf("without the end of the last line: %d entries, %v", len(all), err)
				}
			} else if !errors.As(err, &fault) || !errors.As(opens, &fault) {
				t.Fatalf("byte %d of %q: %v, %v", i, whole[max(0, i-20):i+1], err, opens)
			}
		}
	}
	for name, text := range map[string][]byte{
		"a line twice":         append(bytes.Clone(whole), whole[bytes.LastIndexByte(whole[:len(whole)-1], '\n')+1:]...),
		"a line less":          whole[bytes.IndexByte(whole, '\n')+1:],
		"an empty line":        append(bytes.Clone(whole), '\n'),
		"a line without end":   append(bytes.Clone(whole), bytes.Repeat([]byte("x"), 1<<20)...),
		"a file of others":     []byte("root:x:0:0\n"),
		"JSON that is no line": []byte("{}\n"),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if all, err := entries(path); !errors.As(err, new(*erasures.Fault)) {
			t.Errorf("%s: %d entries, %v", name, len(all), err)
		}
	}
}

// TestReplaced has somebody put another file in the place of one that is open, or
// cut it back: what was durable may be missing.
func TestReplaced(t *testing.T) {
	for name, act := range map[string]func(path string) error{
		"cut": func(path string) error { return os.Truncate(path, 0) },
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, nil, 0o600))
		},
		"removed": os.Remove,
	} {
		path := filepath.Join(t.TempDir(), "ledger")
		l, _ := opened(t, path, key)
		must[erasures.Entry](t)(l.Intend(intention(1, "42")))
		if err := act(path); err != nil {
			t.Fatal(err)
		}
		if e, err := l.Intend(intention(2, "43")); err == nil {
			t.Errorf("%s: entry %d was written", name, e.Seq)
		}
	}
}

// TestProcesses has several processes add to one ledger, and kills one after the
// other: what any of them was told is there.
func TestProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	told := make([][]uint64, 4)
	var running sync.WaitGroup
	for i := range told {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childLedger+"="+path)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			for s := bufio.NewScanner(out); s.Scan(); {
				seq, err := strconv.ParseUint(s.Text(), 10, 64)
				if err != nil {
					t.Errorf("a process says %s", s.Text())
				}
				if told[i] = append(told[i], seq); len(told[i]) == 20*(i+1) {
					_ = cmd.Process.Kill() // it goes on until then
				}
			}
			_ = cmd.Wait() // killed
		})
	}
	running.Wait()
	l, _ := opened(t, path, key)
	s := must[erasures.Summary](t)(l.Summary())
	seen := map[uint64]bool{}
	for _, seqs := range told {
		for _, seq := range seqs {
			if seen[seq] || seq > s.Entries {
				t.Errorf("entry %d was told of twice, or is not there: there are %d", seq, s.Entries)
			}
			seen[seq] = true
		}
	}
	if len(seen) < 200 {
		t.Errorf("only %d entries were told of", len(seen))
	}
}

// TestFullDisk fills the disk: no erasure begins, and one that has begun can still
// be written down.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "ledger")
	l, _ := opened(t, path, key)
	begun := must[erasures.Entry](t)(l.Intend(intention(1, "42")))
	f := must[*os.File](t)(os.Create(filepath.Join(dir, "filler")))
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); err != nil {
			break
		}
	}
	for i := range 3 {
		if e, err := l.Intend(intention(int64(2+i), strconv.Itoa(43+i))); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("on a full disk: entry %d, %v", e.Seq, err)
		}
	}
	must[erasures.Entry](t)(l.Done(begun.Seq, erasures.Outcome{Database: place, Note: strings.Repeat("kept by law ", 100)}))
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		t.Fatal(err)
	}
	must[erasures.Entry](t)(l.Intend(intention(2, "43")))
	if all, err := entries(path); err != nil || len(all) != 3 {
		t.Errorf("%d entries, %v", len(all), err)
	}
}

// FuzzRead gives the reader any bytes: it finds them wanting, or they are, line by
// line, what was written.
func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	l, err := erasures.Open(filepath.Join(dir, "seed"), key, erasures.Options{Now: func() time.Time { return time.Unix(1, 0) }})
	if err != nil {
		f.Fatal(err)
	}
	begun, err := l.Intend(intention(1, "42", "lovelace@example.com"))
	if err == nil {
		_, err = l.Done(begun.Seq, erasures.Outcome{Note: "<&>\u2028"})
	}
	seed, unread := os.ReadFile(filepath.Join(dir, "seed"))
	if err := errors.Join(err, unread, l.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-1])
	f.Add([]byte("{\"seq\":1,\"digest\":\"\"}\n"))
	path := filepath.Join(dir, "ledger")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := entries(path)
		if err != nil {
			return
		}
		if lines := bytes.Count(text, []byte("\n")); len(all) != lines {
			t.Errorf("%d entries in %d lines", len(all), lines)
		}
		l, err := erasures.Open(path, key, erasures.Options{})
		if err != nil {
			t.Fatalf("Read takes it, Open does not: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestAtOnce has goroutines share a ledger, and another one read the same file.
func TestAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	one, _ := opened(t, path, key)
	two, _ := opened(t, path, key)
	var tasks sync.WaitGroup
	for i, l := range []*erasures.Ledger{one, one, two, two} {
		tasks.Go(func() {
			for n := range 10 {
				of := fmt.Sprintf("%d-%d", i, n)
				begun, err := l.Intend(intention(int64(n+1), of, of+"@example.com"))
				if err == nil {
					_, err = l.Done(begun.Seq, erasures.Outcome{})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	tasks.Wait()
	for i := range 4 {
		for n := range 10 {
			for _, l := range []*erasures.Ledger{one, two} {
				if erased, err := l.Erased("customer", fmt.Sprintf("%d-%d@example.com", i, n)); !erased || err != nil {
					t.Errorf("%d-%d: %v, %v", i, n, erased, err)
				}
			}
		}
	}
	if all, err := entries(path); err != nil || len(all) != 80 {
		t.Errorf("%d entries, %v", len(all), err)
	}
}
