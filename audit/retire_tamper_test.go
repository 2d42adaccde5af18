package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// TestRetiredTampering has somebody who can write the files, and lacks the key,
// make a gap, or another one.
func TestRetiredTampering(t *testing.T) {
	k := newKey(t)
	dir, before, tomb := retiredLog(t, k)
	is, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	first := is[0]
	path := func(dir string, n uint64) string { return filepath.Join(dir, segmentName(n)) }
	write := func(dir string, tomb Tombstone) error {
		return os.WriteFile(filepath.Join(dir, retiredName), tomb.Note, 0o600)
	}
	forged := func(dir string, change func(*Tombstone)) error {
		next := tomb
		next.Records, next.Chain = is[1], headAt(t, dir, is[1])
		if err := readFrom(dir, 0, false, func(r *reader) error { return growTo(r, &next.tree, is[1]) }); err != nil {
			return err
		}
		change(&next)
		return errors.Join(os.Remove(path(dir, first)), write(dir, next))
	}
	for _, tt := range []struct {
		name    string
		edit    func(dir string) error
		want    string
		keyless bool // it is found without a key, too
	}{
		{"the tombstone removed", func(dir string) error { return os.Remove(filepath.Join(dir, retiredName)) }, "records 0 to", true},
		{"a larger gap", func(dir string) error { return os.Remove(path(dir, first)) }, fmt.Sprintf("records %d to %d are missing", first, is[1]-1), true},
		{"a hole in the middle", func(dir string) error { return os.Remove(path(dir, is[1])) }, fmt.Sprintf("records %d to %d are missing", is[1], is[2]-1), true},
		{"everything gone", func(dir string) error {
			for _, n := range is {
				if err := os.Remove(path(dir, n)); err != nil {
					return err
				}
			}
			return nil
		}, "are missing", true},
		{"another's tombstone for a larger gap", func(dir string) error {
			return forged(dir, func(tomb *Tombstone) {
				if err := tomb.sign([]Key{newKey(t)}); err != nil {
					t.Fatal(err)
				}
			})
		}, "is signed by none of the keys that are trusted", false},
		{"a tombstone with the signature of the last", func(dir string) error {
			return forged(dir, func(next *Tombstone) {
				_, signature, _ := bytes.Cut(tomb.Note, []byte("\n\n"))
				next.Note = append([]byte(next.text()+"\n"), signature...)
			})
		}, "is signed by none of the keys that are trusted", false},
		{"a tombstone of another log", func(dir string) error {
			return forged(dir, func(tomb *Tombstone) {
				if err := tomb.sign([]Key{k.For("crm.example/audit/beside")}); err != nil {
					t.Fatal(err)
				}
			})
		}, "is signed by none of the keys that are trusted", false},
		{"no tombstone", func(dir string) error { return os.WriteFile(filepath.Join(dir, retiredName), []byte("gone\n"), 0o600) }, "it is no tombstone", true},
		{"a record behind the gap changed", func(dir string) error {
			data, err := os.ReadFile(path(dir, first))
			if err == nil {
				err = os.WriteFile(path(dir, first), bytes.Replace(data, []byte("alice"), []byte("mally"), 1), 0o600)
			}
			return err
		}, "checksum", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			edited := copyLog(t, dir)
			if err := tt.edit(edited); err != nil {
				t.Fatal(err)
			}
			if _, err := (Check{Keys: publics(k)}).Verify(edited); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Verify with the key = %v, want %s", err, tt.want)
			}
			if _, err := Verify(edited); tt.keyless && err == nil {
				t.Error("Verify without a key finds nothing")
			}
			if strings.HasPrefix(tt.name, "a record") {
				return // in a segment that is sealed: for Verify
			}
			if l, err := Open(edited, signed(k)); err == nil {
				closeLog(t, l)
				t.Error("Open finds nothing")
			}
		})
	}
	t.Run("a tombstone in a log with all its records", func(t *testing.T) {
		whole := copyLog(t, before)
		if err := write(whole, tomb); err != nil {
			t.Fatal(err)
		}
		if rep, err := (Check{Keys: publics(k)}).Verify(whole); err != nil || rep.Retired.Records != tomb.Records {
			t.Errorf("Verify = %+v, %v: what is left of a removal that a crash cut short counts for nothing", rep.Retired.Records, err)
		}
		openAndCloseSigned(t, whole, k)
		if firsts, err := segments(whole); err != nil || firsts[0] != tomb.Records {
			t.Errorf("after a start there are %v, %v; want the removal at its end", firsts, err)
		}
		left := readAll(t, whole, 0)
		verifySigned(t, whole, left[len(left)-1].Seq+1, k)
	})
}

func openAndCloseSigned(t *testing.T, dir string, keys ...Key) {
	t.Helper()
	closeLog(t, openLog(t, dir, signed(keys...)))
}

func growTo(r *reader, tree *frontier, size uint64) error {
	for tree.n < size {
		f, err := r.read()
		if err != nil {
			return err
		}
		tree.grow(tlog.RecordHash(f.payload), nil)
	}
	return nil
}

// TestRetiredEveryBit flips a bit of every byte of a tombstone.
func TestRetiredEveryBit(t *testing.T) {
	k := newKey(t)
	dir, _, tomb := retiredLog(t, k)
	for i := range tomb.Note {
		changed := bytes.Clone(tomb.Note)
		changed[i] ^= 1 << (i % 8)
		if err := os.WriteFile(filepath.Join(dir, retiredName), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if rep, err := (Check{Keys: publics(k)}).Verify(dir); err == nil {
			t.Fatalf("byte %d, %q: Verify = %+v", i, changed[max(0, i-5):i+1], rep.Head)
		}
		if l, err := Open(dir, signed(k)); err == nil {
			closeLog(t, l)
			t.Fatalf("byte %d: Open finds nothing", i)
		}
	}
}

// TestRetiredEveryBitBehind flips a bit of every byte of the first segment that
// is left, in its header and its first records.
func TestRetiredEveryBitBehind(t *testing.T) {
	k := newKey(t)
	dir, _, tomb := retiredLog(t, k)
	path := filepath.Join(dir, segmentName(tomb.Records))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range offsets(t, data)[2] {
		if i >= markAt && i < lastAt || i >= bootAt && i < bootAt+16 {
			continue // neither is of the records
		}
		changed := bytes.Clone(data)
		changed[i] ^= 1 << (i % 8)
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (Check{Keys: publics(k)}).Verify(dir); err == nil {
			t.Fatalf("byte %d: Verify finds nothing", i)
		}
	}
}

// TestRetiredRotation changes the key of a log of which records went.
func TestRetiredRotation(t *testing.T) {
	first, second := newKey(t), newKey(t)
	dir, _, tomb := retiredLog(t, first)
	if _, err := Open(dir, signed(second)); err == nil {
		t.Fatal("another key opens the log")
	}
	openAndCloseSigned(t, dir, second, first)
	openAndCloseSigned(t, dir, second)
	for _, k := range []Key{first, second} {
		if rep, err := (Check{Keys: publics(k)}).Verify(dir); err != nil || rep.Retired.Records != tomb.Records {
			t.Errorf("Verify = %v, %v", rep.Retired.Records, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, retiredName), tomb.Note, 0o600); err != nil { // what the old key alone says
		t.Fatal(err)
	}
	if _, err := (Check{Keys: publics(first)}).Verify(dir); err == nil || !strings.Contains(err.Error(), "signed by none of the keys") {
		t.Errorf("Verify with a tombstone of a key that counts no more = %v", err)
	}
	if _, err := Open(dir, signed(second)); err == nil {
		t.Error("Open with a tombstone of a key that counts no more succeeds")
	}
}
