package detect

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// TestSketch holds what an estimate is worth, at all sizes: within a fifth, and
// within four percent on average over many.
func TestSketch(t *testing.T) {
	for _, n := range []int{0, 1, 10, 100, 500, 2000, 10_000, 100_000} {
		off := 0.0
		for round := range 20 {
			s := newSketch()
			for i := range n {
				h := Hash("customer", strconv.FormatInt(int64(round*1_000_000+i), 10))
				s.add(h)
				s.add(h)
			}
			wrong := float64(s.n-n) / max(1, float64(n))
			if off += wrong; math.Abs(wrong) > 0.2 {
				t.Errorf("%d are estimated as %d", n, s.n)
			}
		}
		if off /= 20; math.Abs(off) > 0.04 {
			t.Errorf("%d are estimated %.1f%% off on average", n, 100*off)
		}
	}
}

func TestSketchesMerge(t *testing.T) {
	a, b, both := newSketch(), newSketch(), newSketch()
	for i := range 3000 {
		h := Hash("customer", strconv.FormatInt(int64(i), 10))
		both.add(h)
		if i < 2000 {
			a.add(h)
		}
		if i >= 1000 {
			b.add(h)
		}
	}
	merged := MergeSketches(a.ranks[:], b.ranks[:])
	if got := CountSketch(merged); got != both.n {
		t.Errorf("merged %d, together %d", got, both.n)
	}
	a.merge([]byte{1, 2, 3}) // of another size: nothing
	if CountSketch(a.ranks[:]) != a.n || CountSketch(nil) != 0 {
		t.Error("what is no sketch counts")
	}
}

// TestWindow compares it with a list of all times.
func TestWindow(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const within = 10 * time.Minute
	var w window
	var all []time.Time
	at := time.Unix(1_800_000_000, 0)
	for range 5000 {
		at = at.Add(time.Duration(r.ExpFloat64() * float64(20*time.Second)))
		all = append(all, at)
		least, most := 0, 0
		for _, a := range all {
			if at.Sub(a) < within {
				least++
			}
			if at.Sub(a) < within*slots/(slots-1) {
				most++
			}
		}
		if n := w.add(at, within); n < least || n > most {
			t.Fatalf("%d within %v, of which there were %d to %d", n, within, least, most)
		}
	}
	if n := w.count(at.Add(time.Hour), within); n != 0 {
		t.Errorf("an hour later there are %d", n)
	}
}

// TestKeysForget holds that both lists of keys are of the same keys.
func TestKeysForget(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var k keys
	at := time.Unix(1_800_000_000, 0)
	for range 20_000 {
		at = at.Add(time.Duration(r.ExpFloat64() * float64(10*time.Second)))
		k.add(r.Int64N(5000), at, time.Hour, 50)
		if len(k.sorted) != len(k.lately) || len(k.sorted) > keysKept {
			t.Fatalf("%d keys, of which %d came lately", len(k.sorted), len(k.lately))
		}
	}
	k.add(math.MaxInt64, at, time.Hour, 50)
	k.add(math.MinInt64, at, time.Hour, 50)
	if k.forget(at.Add(2 * time.Hour)); len(k.sorted) != 0 {
		t.Errorf("%d keys are kept for ever", len(k.sorted))
	}
}

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "::ffff:192.0.2.77": "192.0.2.0/24", "2001:db8:1:2::3": "2001:db8:1::/48",
		"127.0.0.1": "local", "::1": "local", "unix": "local", "": "local", "fe80::1%eth0": "fe80::/48",
	} {
		if got := network(addr); got != want {
			t.Errorf("network(%q) = %q, want %q", addr, got, want)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		numbers []int
		want    spread
		limit   int
	}{
		{nil, spread{}, 6},
		{[]int{5}, spread{1, 5, 0}, 11},
		{[]int{180, 140, 220, 180, 4000}, spread{5, 180, 40}, 540},
		{[]int{100, 100, 100}, spread{3, 100, 0}, 250},
	} {
		if got := spreadOf(tt.numbers); got != tt.want || got.limit(6) != tt.limit {
			t.Errorf("spreadOf(%v) = %+v, of limit %d; want %+v, %d", tt.numbers, got, got.limit(6), tt.want, tt.limit)
		}
	}
}

// BenchmarkStatement is what a statement costs with all signals on: one of the
// keys that are looked at, and one more subject.
func BenchmarkStatement(b *testing.B) {
	s := newScene(b)
	s.learns("alice", 21, 180)
	r := rand.New(rand.NewPCG(7, 8))
	hashes := []uint64{0}
	st := Statement{Tables: customers, ByKey: true, Kind: "customer", Rows: 1}
	for b.Loop() {
		s.now = s.now.Add(50 * time.Millisecond)
		hashes[0], st.Key, st.Who = r.Uint64(), r.Int64N(1e6), s.who("alice")
		s.d.Met(s.watch, st.Who, hashes)
		s.d.Statement(s.watch, &st)
	}
}

// BenchmarkPlainStatement is what a statement costs that names no subject.
func BenchmarkPlainStatement(b *testing.B) {
	s := newScene(b)
	s.learns("alice", 21, 180)
	st := Statement{Who: s.who("alice"), Tables: orders, Rows: 1}
	for b.Loop() {
		s.d.Statement(s.watch, &st)
	}
}
