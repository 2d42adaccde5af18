package audit

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// TestFrontier holds our growing tree to the package that checks its proofs:
// stored hashes, roots, and a frontier that is read back, at every size.
func TestFrontier(t *testing.T) {
	var f frontier
	var stored []byte
	var want []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (got []tlog.Hash, err error) {
		for _, i := range indexes {
			got = append(got, want[i])
		}
		return got, nil
	})
	for n := range int64(300) {
		root, err := tlog.TreeHash(n, reader)
		if err != nil || f.root() != root {
			t.Fatalf("root of %d = %v, want %v, %v", n, f.root(), root, err)
		}
		again, err := storedHashes{bytes.NewReader(stored)}.frontier(uint64(n))
		if err != nil || again.root() != root {
			t.Fatalf("read back at %d: %v, %v", n, again.root(), err)
		}
		if int64(len(stored)) != hashesAt(uint64(n)) {
			t.Fatalf("%d bytes stored for %d records, want %d", len(stored), n, hashesAt(uint64(n)))
		}
		data := fmt.Append(nil, n)
		hashes, err := tlog.StoredHashes(n, data, reader)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, hashes...)
		before := len(stored)
		stored = f.grow(tlog.RecordHash(data), stored)
		var flat []byte
		for h := range slices.Values(hashes) {
			flat = append(flat, h[:]...)
		}
		if !bytes.Equal(stored[before:], flat) {
			t.Fatalf("record %d stores %x, want %x", n, stored[before:], flat)
		}
	}
	if _, err := (storedHashes{bytes.NewReader(stored[:100])}).frontier(300); err == nil {
		t.Error("a frontier is read from a file that is too short")
	}
}

func BenchmarkTree(b *testing.B) {
	payload := appendBody(appendHead(nil, 12345, fixedClock()), sample())
	var f frontier
	var stored []byte
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		stored = f.grow(tlog.RecordHash(payload), stored[:0])
	}
}
