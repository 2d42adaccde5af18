package detect

import (
	"math"
	"math/bits"
)

// registers is how many a sketch has: it is wrong by 4.6 percent, typically.
const registers = 512

// sketch estimates how many distinct things it was told of, as HyperLogLog does
// (Flajolet and others, 2007). Two that saw different things are merged into
// one of all of them.
type sketch struct {
	ranks [registers]byte
	sum   float64 // of 2 to the minus rank, over all registers
	zeros int     // registers of rank 0
	n     int     // the estimate
}

func newSketch() *sketch { return &sketch{sum: registers, zeros: registers} }

// Hash gives what a sketch is told of a subject. It is the same in every
// process: histories are shared.
func Hash(kind, key string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a
	h := uint64(offset)
	for i := range len(kind) {
		h = (h ^ uint64(kind[i])) * prime
	}
	h *= prime
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * prime
	}
	// The low bits of FNV-1a are worse than the sketch needs: those of MurmurHash3's end.
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// add tells it of one thing.
func (s *sketch) add(hash uint64) {
	s.raise(int(hash%registers), byte(bits.LeadingZeros64(hash|registers-1)+1))
}

func (s *sketch) raise(register int, rank byte) {
	before := s.ranks[register]
	if rank <= before {
		return
	}
	if before == 0 {
		s.zeros--
	}
	s.ranks[register] = rank
	s.sum += math.Ldexp(1, -int(rank)) - math.Ldexp(1, -int(before))
	s.estimate()
}

func (s *sketch) estimate() {
	const m = float64(registers)
	e := 0.7213 / (1 + 1.079/m) * m * m / s.sum
	if e <= 2.5*m && s.zeros > 0 {
		e = m * math.Log(m/float64(s.zeros))
	}
	s.n = int(math.Round(e))
}

// merge takes in what another one was told of, by its ranks. What is none is
// left out.
func (s *sketch) merge(ranks []byte) {
	if len(ranks) != registers {
		return
	}
	for i, rank := range ranks {
		s.raise(i, min(rank, 64))
	}
}

// MergeSketches gives the ranks of what either of two sketches was told of.
func MergeSketches(a, b []byte) []byte {
	s := newSketch()
	s.merge(a)
	s.merge(b)
	return s.ranks[:]
}

// CountSketch gives the estimate of a sketch by its ranks.
func CountSketch(ranks []byte) int {
	s := newSketch()
	s.merge(ranks)
	return s.n
}
