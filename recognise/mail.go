package recognise

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// at looks at what an at sign is in the middle of.
func (s *Scanner) at(text []byte, from, i int) Match {
	if s.set.Has(URLPassword) {
		if m := urlPassword(text, from, i); m.Kind != 0 {
			return m
		}
	}
	if !s.set.Has(Email) {
		return Match{}
	}
	start, end := local(text, from, i), domain(text, i+1)
	if start == i || end == 0 || start > from && text[start-1] == '/' { // a user of a URL's host
		return Match{}
	}
	return Match{Email, start, end}
}

// local gives where the part before an at sign begins: 64 bytes at most, as RFC
// 5321 has it, without what only stands beside it.
func local(text []byte, from, i int) int {
	start := i
	for start > max(from, i-64) {
		c := text[start-1]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeLastRune(text[max(from, i-64):start])
			if r == utf8.RuneError || !unicode.IsLetter(r) {
				break
			}
			start -= size
			continue
		}
		if !isAlnum(c) && !in(c, "._%+-'") {
			break
		}
		start--
	}
	for start < i && in(text[start], ".%+-'") {
		start++
	}
	if start < i && in(text[i-1], ".'") {
		return i
	}
	return start
}

// domain gives where the name of a host with a dot ends that begins at i; 0 where
// there is none.
func domain(text []byte, i int) (end int) {
	label, dots := i, 0
	for at := i; at-i < 253; at++ {
		if at < len(text) {
			c := text[at]
			if isAlnum(c) || c == '-' && at > label {
				continue
			}
			if c >= utf8.RuneSelf {
				if r, size := utf8.DecodeRune(text[at:]); r != utf8.RuneError && unicode.IsLetter(r) {
					at += size - 1
					continue
				}
			}
		}
		if at == label {
			break
		}
		if dots > 0 && isTop(text[label:at]) {
			end = at
		}
		if at >= len(text) || text[at] != '.' {
			break
		}
		dots++
		label = at + 1
	}
	return end
}

// isTop tells whether a label may be the last of a mail host's: not that of a
// file or a unit of the system.
func isTop(label []byte) bool {
	if len(label) < 2 || len(label) > 63 || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range label {
		if isDigit(c) && !bytes.HasPrefix(label, []byte("xn--")) {
			return false
		}
	}
	for _, other := range [...]string{"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "service", "timer", "socket", "target"} {
		if len(other) == len(label) && equalFold(label, other) {
			return false
		}
	}
	return true
}

// urlPassword finds the password of a URL before the at sign at i.
func urlPassword(text []byte, from, i int) Match {
	colon := 0
	for at := i - 1; at > from && i-at < 256; at-- {
		switch c := text[at]; {
		case c <= ' ' || in(c, "@\"'<>`{}"):
			return Match{}
		case c == ':':
			colon = at
		case c == '/':
			if at < 2 || text[at-1] != '/' || text[at-2] != ':' || colon <= at+1 && colon != at+1 || colon == 0 || colon+1 >= i || at < 3 || !isAlnum(text[at-3]) {
				return Match{}
			}
			return Match{URLPassword, colon + 1, i}
		}
	}
	return Match{}
}
