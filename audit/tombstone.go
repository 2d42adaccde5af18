package audit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	retiredName     = "retired"                // the tombstone
	tombstoneHeader = "pgveil audit tombstone" // with spaces, so it is no checkpoint's origin
)

// Tombstone says that the first Records records of a log were removed because
// they had been kept for as long as they should be. It is signed as checkpoints
// are, and holds what it takes to go on from there: the chain hash and the tree
// of what is gone. The zero Tombstone says that nothing is.
type Tombstone struct {
	Origin  string
	Records uint64    // removed: those with a lower seq
	Chain   hash      // before record Records
	Last    time.Time // the latest time of any record removed
	Covered uint64    // records under the checkpoint that they were held to before
	At      time.Time
	Why     string
	Note    []byte // as signed

	tree frontier // of the records removed
}

// Root is the root of the tree of what was removed.
func (t Tombstone) Root() tlog.Hash { return t.tree.root() }

// text is what is signed.
func (t Tombstone) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\nretired %d\nchain %x\nlast %s\ncovered %d\nat %s\nwhy %s\n", tombstoneHeader, t.Origin, t.Records, t.Chain,
		t.Last.UTC().Format(time.RFC3339Nano), t.Covered, t.At.UTC().Format(time.RFC3339Nano), t.Why)
	for level := bits.Len64(t.Records) - 1; level >= 0; level-- {
		if t.Records>>level&1 == 1 {
			fmt.Fprintf(&b, "tree %s\n", t.tree.full[level])
		}
	}
	return b.String()
}

// sign signs a tombstone with one or several keys of the same origin.
func (t *Tombstone) sign(keys []Key) error {
	t.Origin = keys[0].Name()
	var signers []note.Signer
	for _, k := range keys {
		signers = append(signers, k)
	}
	signed, err := note.Sign(&note.Note{Text: t.text()}, signers...)
	if err != nil {
		return fmt.Errorf("sign tombstone: %w", err)
	}
	t.Note = signed
	return nil
}

// parseTombstone reads a signed tombstone. Who signed it, signedBy tells.
func parseTombstone(signed []byte) (Tombstone, error) {
	text, _, ok := strings.Cut(string(signed), "\n\n")
	lines := strings.Split(text, "\n")
	if !ok || len(lines) < 8 || lines[0] != tombstoneHeader {
		return Tombstone{}, errors.New("it is no tombstone")
	}
	t := Tombstone{Origin: lines[1], Note: signed}
	for i, read := range [...]func(value string) error{
		func(v string) (err error) { t.Records, err = strconv.ParseUint(v, 10, 63); return err },
		func(v string) error {
			b, err := hex.DecodeString(v)
			copy(t.Chain[:], b)
			return err
		},
		func(v string) (err error) { t.Last, err = time.Parse(time.RFC3339Nano, v); return err },
		func(v string) (err error) { t.Covered, err = strconv.ParseUint(v, 10, 63); return err },
		func(v string) (err error) { t.At, err = time.Parse(time.RFC3339Nano, v); return err },
		func(v string) error { t.Why = v; return nil },
	} {
		_, value, _ := strings.Cut(lines[2+i], " ")
		if err := read(value); err != nil {
			return Tombstone{}, fmt.Errorf("%q: %w", lines[2+i], err)
		}
	}
	t.tree.n = t.Records
	left := lines[8:]
	for level := bits.Len64(t.Records) - 1; level >= 0 && len(left) > 0; level-- {
		if t.Records>>level&1 == 0 {
			continue
		}
		h, err := tlog.ParseHash(strings.TrimPrefix(left[0], "tree "))
		if err != nil {
			return Tombstone{}, fmt.Errorf("%q: %w", left[0], err)
		}
		t.tree.full[level], left = h, left[1:]
	}
	if t.Records == 0 || t.text() != text+"\n" {
		return Tombstone{}, errors.New("it is not written as tombstones are")
	}
	return t, nil
}

// signedBy tells whether one of the keys signed.
func (t Tombstone) signedBy(keys []PublicKey) bool {
	return slices.ContainsFunc(keys, func(k PublicKey) bool {
		if k.name != t.Origin {
			return false
		}
		n, err := note.Open(t.Note, note.VerifierList(k))
		return err == nil && n.Text == t.text()
	})
}

// readTombstone reads that of a log; the zero one where there is none.
func readTombstone(dir string) (Tombstone, error) {
	signed, err := os.ReadFile(filepath.Join(dir, retiredName))
	if errors.Is(err, os.ErrNotExist) {
		return Tombstone{}, nil
	}
	if err != nil {
		return Tombstone{}, err
	}
	t, err := parseTombstone(signed)
	if err != nil {
		return Tombstone{}, &Fault{Segment: retiredName, Problem: err.Error()}
	}
	return t, nil
}

// remaining lists the segments of a log that count: all, or where some were
// retired those behind. What is left of those that were, because a crash came
// between the tombstone and the removal, counts for nothing.
//
// The tombstone is read last: it is there before any segment goes, so the
// segment that it names is in any list that is older.
func remaining(dir string) ([]uint64, Tombstone, error) {
	firsts, err := segments(dir)
	if err != nil {
		return nil, Tombstone{}, err
	}
	t, err := readTombstone(dir)
	if err != nil {
		return nil, t, err
	}
	i, found := slices.BinarySearch(firsts, t.Records)
	switch {
	case found:
		return firsts[i:], t, nil
	case i < len(firsts):
		return nil, t, missing(t.Records, firsts[i])
	case t.Records > 0:
		return nil, t, missing(t.Records, t.Records+1)
	}
	return nil, t, nil // there is no log yet
}
