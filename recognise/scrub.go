package recognise

import "bytes"

// Scrub writes asterisks over a match. The text keeps its length, and whatever
// it is written in: a number of JSON becomes another number, and an escape that
// the match seems to begin with, as in "\nbob@example.com", stays.
func Scrub(text []byte, m Match) {
	with := byte('*')
	if isNumber(text, m) {
		with = '1' // nineteen of them fit into 64 bits, unlike nines, and may lead, unlike zeros
	}
	for i := m.From + escaped(text, m); i < m.To; i++ {
		text[i] = with
	}
}

// isNumber tells whether a match is digits alone, where JSON has a number.
func isNumber(text []byte, m Match) bool {
	for _, c := range text[m.From:m.To] {
		if !isDigit(c) {
			return false
		}
	}
	before, after := bytes.TrimRight(text[:m.From], " \n"), bytes.TrimLeft(text[m.To:], " \n")
	return len(before) > 0 && bytes.IndexByte([]byte(":,["), before[len(before)-1]) >= 0 &&
		len(after) > 0 && bytes.IndexByte([]byte(",]}"), after[0]) >= 0
}

// escaped gives how many bytes at the beginning of a match belong to an escape of
// JSON or COPY that begins before it.
func escaped(text []byte, m Match) int {
	if m.From == 0 || text[m.From-1] != '\\' {
		return 0
	}
	switch text[m.From] {
	case 'b', 'f', 'n', 'r', 't', 'v':
		return 1
	case 'u':
		return min(5, m.To-m.From)
	default:
		return 0
	}
}
