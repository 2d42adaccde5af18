package audit

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stream gives records as Read would.
func stream(records []Record, end error) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
		if end != nil {
			yield(Record{}, end)
		}
	}
}

// describe gives entries as "seq" or "seq:seq of the outcome".
func describe(entries iter.Seq2[Entry, error]) []string {
	var got []string
	for e, err := range entries {
		switch {
		case err != nil:
			got = append(got, err.Error())
		case e.Outcome != nil:
			got = append(got, fmt.Sprintf("%d:%d", e.Seq, e.Outcome.Seq))
		default:
			got = append(got, fmt.Sprint(e.Seq))
		}
	}
	return got
}

func TestQueryJoins(t *testing.T) {
	records := []Record{
		{Seq: 0, Kind: KindStatement, User: "alice"},
		{Seq: 1, Kind: KindStatement, User: "bob"},
		{Seq: 2, Kind: KindSession, User: "alice"},
		{Seq: 3, Kind: KindOutcome, Ref: 1, Subjects: []string{"s"}},
		{Seq: 4, Kind: KindStatement, User: "alice", Decision: "refuse"},
		{Seq: 5, Kind: KindOutcome, Ref: 0},
		{Seq: 6, Kind: KindOutcome, Ref: 99}, // of a statement that is not there
		{Seq: 7, Kind: KindStatement, User: "alice"},
	}
	for _, tt := range []struct {
		name   string
		filter Filter
		end    error
		want   []string
	}{
		{"all", Filter{}, nil, []string{"0:5", "1:3", "2", "4", "7"}},
		{"one user", Filter{User: "alice"}, nil, []string{"0:5", "2", "4", "7"}},
		{"one person's data", Filter{Subject: "s"}, nil, []string{"1:3"}},
		{"limited", Filter{Limit: 3}, nil, []string{"0:5", "1:3", "2"}},
		{"limited when it fails", Filter{Limit: 5}, errors.New("disk"), []string{"0:5", "1:3", "2", "4", "7"}},
		{"failed", Filter{}, errors.New("disk"), []string{"0:5", "1:3", "2", "4", "7", "disk"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, describe(Query(stream(records, tt.end), tt.filter))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestJoinerWaits holds entries back no longer than it is told to.
func TestJoinerWaits(t *testing.T) {
	var j Joiner
	j.Add(Record{Seq: 0, Kind: KindStatement})
	for seq := range uint64(5) {
		j.Add(Record{Seq: seq + 1, Kind: KindSession})
	}
	if got := j.Take(6); len(got) != 0 {
		t.Errorf("Take(6) gives %d entries before the outcome", len(got))
	}
	if got := j.Take(5); len(got) != 6 || got[0].Seq != 0 {
		t.Errorf("Take(5) = %v", got)
	}
	if len(j.queue) != 0 || len(j.open) != 0 {
		t.Errorf("the joiner keeps %d entries and %d statements", len(j.queue), len(j.open))
	}
}

func TestLast(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, small())
	var rare []uint64
	for i := range uint64(1500) {
		r := sample()
		if i%500 == 7 {
			r.User = "rare"
			rare = append(rare, i)
		}
		if _, err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	for _, tt := range []struct {
		filter Filter
		n      int
		want   []uint64
	}{
		{Filter{}, 3, []uint64{1497, 1498, 1499}},
		{Filter{Limit: 1}, 2, []uint64{1498, 1499}},
		{Filter{User: "rare"}, 2, rare[1:]},
		{Filter{User: "rare"}, 10, rare},
		{Filter{User: "nobody"}, 10, nil},
	} {
		entries, next, err := Last(dir, tt.filter, tt.n)
		if err != nil || next != 1500 {
			t.Fatalf("Last(%+v, %d): next %d, %v", tt.filter, tt.n, next, err)
		}
		var got []uint64
		for _, e := range entries {
			got = append(got, e.Seq)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("Last(%+v, %d) = %v, want %v", tt.filter, tt.n, got, tt.want)
		}
	}
}
