package audit

import (
	"context"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// A Tail never waits, goes on where the log does, over segments, and knows the
// leaf hashes that the tree has.
func TestTail(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{SegmentSize: minSegmentSize})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	add := func(n int) {
		for range n {
			if _, err := l.Append(&Record{Kind: KindStatement, Shape: "SELECT 1", User: "alice"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(10)
	tail, err := OpenTail(dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	next := uint64(3)
	for _, more := range []int{0, 1, 2000} {
		add(more)
		for {
			r, some, err := tail.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !some {
				break
			}
			if r.Seq != next || r.User != "alice" {
				t.Fatalf("record %d by %s, want %d", r.Seq, r.User, next)
			}
			if next%500 == 3 {
				payload, err := NewProver(dir).payload(next)
				if hash, herr := LeafHash(dir, next); err != nil || herr != nil || hash != r.Hash || hash != tlog.RecordHash(payload) {
					t.Errorf("record %d: hash %v, %v; LeafHash %v, %v", next, r.Hash, err, hash, herr)
				}
			}
			next++
		}
	}
	if next != 2011 || l.Stats().Segments < 3 {
		t.Errorf("the tail came to %d in %d segments, want 2011", next, l.Stats().Segments)
	}
	if err := SyncFiles(context.Background(), dir, next-1); err != nil {
		t.Error(err)
	}
	if _, err := LeafHash(dir, next); err == nil {
		t.Error("LeafHash of a record that is not there: no error")
	}
}
