package audit

import (
	"errors"
	"fmt"
	"io"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// hashesName is the file with the hashes of the Merkle tree over the records:
// every hash that is final, 32 bytes each, where tlog.StoredHashIndex says. It
// follows from the records, so it is never believed without a check against a
// signed root, and is made anew where it is missing.
const hashesName = "hashes.dat"

// frontier is a tree of RFC 6962 as far as growing it takes: the root of each
// full subtree that is not yet part of a larger one.
type frontier struct {
	n    uint64
	full [64]tlog.Hash // full[l] holds 2^l leaves, where bit l of n is set
}

// grow adds a leaf, and appends to stored the hashes that became final, in
// the order of tlog.StoredHashIndex.
func (f *frontier) grow(h tlog.Hash, stored []byte) []byte {
	stored = append(stored, h[:]...)
	level := 0
	for ; f.n>>level&1 == 1; level++ {
		h = tlog.NodeHash(f.full[level], h)
		stored = append(stored, h[:]...)
	}
	f.full[level] = h
	f.n++
	return stored
}

// root is the hash of the whole tree.
func (f *frontier) root() tlog.Hash {
	if f.n == 0 {
		h, _ := tlog.TreeHash(0, nil) // reads nothing
		return h
	}
	level := bits.TrailingZeros64(f.n)
	h := f.full[level]
	for level++; f.n>>level != 0; level++ {
		if f.n>>level&1 == 1 {
			h = tlog.NodeHash(f.full[level], h)
		}
	}
	return h
}

// storedHashes reads the hashes of a tree. It is a tlog.HashReader.
type storedHashes struct{ src io.ReaderAt }

// errNoHashes says that the file of hashes does not reach as far as it should.
var errNoHashes = errors.New("the stored hashes of the tree are missing or too short")

// ReadHashes reads hashes by their index.
func (s storedHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if n, err := s.src.ReadAt(list[i][:], x*tlog.HashSize); n < tlog.HashSize {
			return nil, fmt.Errorf("%w: %w", errNoHashes, err)
		}
	}
	return list, nil
}

// frontier reads what it takes to let a tree of n records grow.
func (s storedHashes) frontier(n uint64) (frontier, error) {
	f := frontier{n: n}
	for level := range 64 {
		if n>>level&1 == 0 {
			continue
		}
		h, err := s.ReadHashes([]int64{tlog.StoredHashIndex(level, int64(n>>level)-1)})
		if err != nil {
			return frontier{}, err
		}
		f.full[level] = h[0]
	}
	return f, nil
}

// hashesAt says where the hashes begin that the record seq makes final.
func hashesAt(seq uint64) int64 { return tlog.StoredHashCount(int64(seq)) * tlog.HashSize }
