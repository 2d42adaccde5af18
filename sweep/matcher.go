package sweep

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sort"
)

// minWord is the least length, in bytes, of a word that a matcher looks for.
const minWord = 4

// matcher finds any number of words in texts, each wherever it begins. A bitmap
// of the words' first four bytes tells for most positions at one look that none
// begins there. Where one may, the words are narrowed down byte by byte: a
// position costs at most the length of the longest word, however many share a
// beginning. ADR 31 says why this is not an automaton.
type matcher struct {
	words  []string // sorted, each once
	filter []uint64 // a bit for each hash of first four bytes
	shift  uint     // of a hash, to its bit
	starts map[uint32]span
}

// span is words[from:to], which begin with the same four bytes.
type span struct{ from, to int }

// newMatcher makes a matcher of words of at least minWord bytes, which it sorts.
func newMatcher(words []string) *matcher {
	slices.Sort(words)
	words = slices.Compact(words)
	// 32 bits a word: of positions where no word begins, 3 in 100 pass at most.
	size := min(max(10, bits.Len(uint(len(words)*32))), 28)
	m := &matcher{words: words, filter: make([]uint64, 1<<size/64), shift: uint(32 - size), starts: make(map[uint32]span, len(words))}
	for i, w := range words {
		start := binary.LittleEndian.Uint32([]byte(w[:minWord]))
		s, ok := m.starts[start]
		if !ok {
			s.from = i
		}
		s.to = i + 1
		m.starts[start] = s
		h := start * spread >> m.shift
		m.filter[h/64] |= 1 << (h % 64)
	}
	return m
}

// spread makes a hash of four bytes, whose highest bits are the best (Knuth, The
// Art of Computer Programming, 6.4).
const spread = 0x9E3779B1

// find tells of every place in the text where a word stands, by the word's index
// and where it begins and ends.
func (m *matcher) find(text []byte, found func(word, from, to int)) {
	if len(m.words) == 0 {
		return
	}
	filter, shift := m.filter, m.shift
	for i := 0; i+minWord <= len(text); i++ {
		start := binary.LittleEndian.Uint32(text[i:])
		h := start * spread >> shift
		if filter[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		if s, ok := m.starts[start]; ok {
			m.narrow(s, text[i:], func(word int) { found(word, i, i+len(m.words[word])) })
		}
	}
}

// narrow tells of the words among a span that the text begins with. Of words with
// a common beginning the sorted slice has that of just this length first.
func (m *matcher) narrow(s span, text []byte, found func(word int)) {
	for depth := minWord; ; depth++ {
		if len(m.words[s.from]) == depth {
			found(s.from)
			s.from++
		}
		if s.from == s.to || depth == len(text) {
			return
		}
		c, words := text[depth], m.words[s.from:s.to]
		from := sort.Search(len(words), func(i int) bool { return words[i][depth] >= c })
		to := from + sort.Search(len(words)-from, func(i int) bool { return words[from+i][depth] > c })
		if from == to {
			return
		}
		s = span{s.from + from, s.from + to}
	}
}
