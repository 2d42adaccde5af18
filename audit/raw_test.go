package audit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadTo(t *testing.T) {
	dir := t.TempDir()
	log, err := Open(dir, Options{SegmentSize: 1, Now: func() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	add := func(n int) {
		for range n {
			r := Record{Kind: KindOutcome, Ref: 7, Message: `,"ref":9`, Rows: 3}
			if _, err := log.Append(&r); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(300)
	head, err := ReadHead(dir)
	if err != nil {
		t.Fatal(err)
	}
	add(20) // behind the head: not read
	read := func(h Head) (n uint64, err error) {
		for r, rerr := range ReadTo(dir, h) {
			if rerr != nil {
				return n, rerr
			}
			rec, perr := r.Record()
			if perr != nil || r.Seq != n || r.Kind != KindOutcome || r.Ref() != rec.Ref || !r.Time().Equal(rec.Time) {
				t.Fatalf("record %d: seq %d, kind %s, ref %d, %v", n, r.Seq, r.Kind, r.Ref(), perr)
			}
			n++
		}
		return n, nil
	}
	n, err := read(head)
	if err != nil || n != head.Count {
		t.Errorf("read %d of %d records: %v", n, head.Count, err)
	}
	other := head
	other.Chain[0] ^= 1
	if _, err := read(other); err == nil {
		t.Error("another head's hash is taken")
	}
	if _, err := read(Head{Count: 1000}); err == nil {
		t.Error("a log that is shorter than the head is taken")
	}
	if diff := cmp.Diff(uint64(0), Raw{Payload: []byte(`{"seq":1,"message":"\",\"ref\":4"}`)}.Ref()); diff != "" {
		t.Errorf("ref (-want +got):\n%s", diff)
	}
}
