package sweep

import (
	"bytes"
	"cmp"
	"slices"
	"sort"
	"unicode"
	"unicode/utf8"
)

// longestPrefix is how many digits may stand before a phone number that are not
// its own: 00, a country's code of three, 0.
const longestPrefix = 6

// scanner compares fields with all needles. It is used by one goroutine.
type scanner struct {
	plain, squeezed *matcher
	plainOf         [][]use // by the index of the matcher's word
	squeezedOf      [][]use
	words           map[Column]map[string][]int // needles that count as whole words there

	folded, tight, clear []byte
	at                   []int32 // of each byte in tight, where it is in folded; PostgreSQL's rows are shorter than 2 GB
}

// use is a needle that a word stands for.
type use struct {
	needle int
	word   bool // it counts as a whole word only, or of a number as one whole number
}

// newScanner prepares to look for needles. vague names those that are not looked
// for in all texts.
func newScanner(needles []Needle) (s *scanner, vague []string) {
	s = &scanner{words: map[Column]map[string][]int{}}
	plain, squeezed := map[string][]use{}, map[string][]use{}
	for i, n := range needles {
		f := formOf(n.Value)
		if f.plain != "" {
			plain[f.plain] = append(plain[f.plain], use{i, f.word})
		}
		if f.squeezed != "" {
			squeezed[f.squeezed] = append(squeezed[f.squeezed], use{i, f.number})
		}
		if f == (form{}) {
			vague = append(vague, n.Name)
		}
		for _, c := range n.In {
			if s.words[c] == nil {
				s.words[c] = map[string][]int{}
			}
			word := string(fold(nil, []byte(n.Value)))
			s.words[c][word] = append(s.words[c][word], i)
		}
	}
	s.plain, s.plainOf = newUses(plain)
	s.squeezed, s.squeezedOf = newUses(squeezed)
	return s, vague
}

func newUses(of map[string][]use) (*matcher, [][]use) {
	words := make([]string, 0, len(of))
	for w := range of {
		words = append(words, w)
	}
	m := newMatcher(words)
	uses := make([][]use, len(m.words))
	for i, w := range m.words {
		uses[i] = of[w]
	}
	return m, uses
}

// scan tells of the needles in a text by their indexes, perhaps more than once,
// and where in it the needle ends: what is told of a text with escapes ends
// anywhere.
func (s *scanner) scan(text []byte, found func(needle, end int)) {
	s.texts(text, found)
	if escaped(text) {
		s.clear = unescape(s.clear[:0], text)
		s.texts(s.clear, func(needle, _ int) { found(needle, 0) })
	}
}

func (s *scanner) texts(text []byte, found func(needle, end int)) {
	s.folded = fold(s.folded[:0], text)
	s.plain.find(s.folded, func(word, from, to int) {
		for _, u := range s.plainOf[word] {
			if !u.word || wholeWord(s.folded, from, to) {
				found(u.needle, to)
			}
		}
	})
	if len(s.squeezed.words) == 0 || !numeric(s.folded) {
		return
	}
	s.tight, s.at = squeeze(s.tight[:0], s.at[:0], s.folded)
	s.squeezed.find(s.tight, func(word, from, to int) {
		for _, u := range s.squeezedOf[word] {
			if !u.word || s.wholeNumber(from, to) {
				found(u.needle, int(s.at[to-1])+1)
			}
		}
	})
}

// wholeWord tells whether no letter or digit goes on at either end.
func wholeWord(text []byte, from, to int) bool {
	before, _ := utf8.DecodeLastRune(text[:from])
	after, _ := utf8.DecodeRune(text[to:])
	return !inWord(before) && !inWord(after)
}

// inWord tells whether a rune is part of a word. What is no rune at all is
// neither: utf8.RuneError.
func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// wholeNumber tells whether no digit follows on a number in the folded text, and
// no more before it than a phone number has that is dialled from abroad.
func (s *scanner) wholeNumber(from, to int) bool {
	if end := int(s.at[to-1]) + 1; end < len(s.folded) && isDigit(s.folded[end]) {
		return false
	}
	n := 0
	for i := s.at[from] - 1; i >= 0 && isDigit(s.folded[i]) && n <= longestPrefix; i-- {
		n++
	}
	return n <= longestPrefix
}

// numeric tells whether a text has as many digits as every number that is looked
// for.
func numeric(text []byte) bool {
	n := 0
	for _, c := range text {
		if isDigit(c) {
			if n++; n == leastNumber-1 {
				return true
			}
		}
	}
	return false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// references tells of the needles that are a whole value of a column that holds
// references, or a whole word of it.
func (s *scanner) references(c Column, text []byte, found func(needle int)) {
	needles := s.words[c]
	if needles == nil {
		return
	}
	folded := fold(nil, text)
	for _, i := range needles[string(folded)] {
		found(i)
	}
	for word := range bytes.FieldsFuncSeq(folded, func(r rune) bool { return !inWord(r) }) {
		if len(word) < len(folded) {
			for _, i := range needles[string(word)] {
				found(i)
			}
		}
	}
}

// partsOf gives what of a table's rows is looked at beside its columns.
func (s *scanner) partsOf(relation string) []Column {
	var parts []Column
	for c := range s.words {
		if c.Relation == relation && c.SQL != "" {
			parts = append(parts, c)
		}
	}
	slices.SortFunc(parts, func(a, b Column) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.SQL, b.SQL)) })
	return parts
}

// Hit says that a needle stands in a column, in how many rows, and which the first
// of them are.
type Hit struct {
	Needle     string   `json:"needle"`
	Relation   string   `json:"relation"`
	Column     string   `json:"column"`
	Statistics bool     `json:"statistics,omitempty"` // in what the server keeps of the column's values, not in a row; VACUUM ANALYZE puts it right
	Rows       int64    `json:"rows"`
	First      []string `json:"first,omitempty"` // rows by their primary key, or where they lie
}

// hits collects Hits, one for each needle and column.
type hits struct {
	needles []Needle
	keys    int // how many rows are named
	all     map[place]*Hit
	seen    []place // in this row
}

type place struct {
	needle     int
	column     Column
	statistics bool
}

// begin begins a row.
func (h *hits) begin() { h.seen = h.seen[:0] }

// add notes that a needle is in the row.
func (h *hits) add(p place, row string) {
	p.column.SQL = ""
	if slices.Contains(h.seen, p) {
		return
	}
	h.seen = append(h.seen, p)
	hit := h.all[p]
	if hit == nil {
		hit = &Hit{Needle: h.needles[p.needle].Name, Relation: p.column.Relation, Column: p.column.Name, Statistics: p.statistics}
		h.all[p] = hit
	}
	hit.Rows++
	if len(hit.First) < h.keys && row != "" {
		hit.First = append(hit.First, row)
	}
}

// sorted gives the hits by table, column and needle.
func (h *hits) sorted() []Hit {
	places := make([]place, 0, len(h.all))
	for p := range h.all {
		places = append(places, p)
	}
	sort.Slice(places, func(i, j int) bool { return places[i].before(places[j]) })
	list := make([]Hit, len(places))
	for i, p := range places {
		list[i] = *h.all[p]
	}
	return list
}

func (p place) before(q place) bool {
	switch {
	case p.column.Relation != q.column.Relation:
		return p.column.Relation < q.column.Relation
	case p.column.Name != q.column.Name:
		return p.column.Name < q.column.Name
	case p.statistics != q.statistics:
		return !p.statistics
	default:
		return p.needle < q.needle
	}
}
