package recognise

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// Match is something found: text[From:To].
type Match struct {
	Kind     Kind
	From, To int
}

// Scanner finds the kinds of one set. It is safe for concurrent use.
type Scanner struct {
	set   Set
	lone  bool // what is scanned is one value: nothing beside it need say what it is
	marks [256]mark
}

// mark is what a byte may be a part of. The zero mark is nothing.
type mark uint8

const (
	markDigit mark = iota + 1
	markAt
	markA          // AKIA, AIza
	markJ          // eyJ
	markUnderscore // ghp_, sk_live_
	markDash       // xoxb-, -----BEGIN
)

// numeric are the kinds with digits that are found by those.
const numeric = NationalIDs | 1<<Phone | 1<<Card | 1<<IBAN

// New makes a scanner.
func New(set Set) *Scanner {
	s := &Scanner{set: set & All}
	s.mark(numeric, "0123456789", markDigit)
	s.mark(Of(Email, URLPassword), "@", markAt)
	s.mark(Of(AWSKey, GoogleKey), "A", markA)
	s.mark(Of(JWT), "J", markJ)
	s.mark(Of(GitHubToken, StripeKey), "_", markUnderscore)
	s.mark(Of(SlackToken, PrivateKey), "-", markDash)
	return s
}

// Set gives what it finds.
func (s *Scanner) Set() Set { return s.set }

func (s *Scanner) mark(kinds Set, all string, m mark) {
	for i := range len(all) {
		if s.set&kinds != 0 {
			s.marks[all[i]] = m
		}
	}
}

// Next finds the first match at or behind from. What is before from is looked at
// for words that say what a number is, and is part of no match.
func (s *Scanner) Next(text []byte, from int) (Match, bool) {
	for i := from; i < len(text); {
		m := s.marks[text[i]]
		if m == 0 {
			i++
			continue
		}
		found, next := s.look(m, text, from, i)
		if found.Kind != 0 {
			return found, true
		}
		i = next
	}
	return Match{}, false
}

// look looks at what a mark may be a part of. Where it is of nothing, the scan
// goes on at next.
func (s *Scanner) look(m mark, text []byte, from, i int) (found Match, next int) {
	switch m {
	case markDigit:
		return s.digits(text, from, i)
	case markAt:
		return s.at(text, from, i), i + 1
	case markA:
		return s.keyWithA(text, i), i + 1
	case markJ:
		return s.jwt(text, from, i), i + 1
	case markUnderscore:
		return s.keyWithUnderscore(text, from, i), i + 1
	case markDash:
		return s.keyWithDash(text, from, i), i + 1
	default:
		return Match{}, i + 1
	}
}

// Whole gives the kinds of which a value as a whole, but for spaces around it,
// may be one.
func Whole(value []byte) (set Set) {
	value = bytes.TrimSpace(value)
	if len(value) == 0 || len(value) > maxWhole {
		return 0
	}
	for k := Email; k <= lastKind; k++ {
		s := wholes[k]
		m, ok := s.Next(value, 0)
		switch {
		case !ok:
		case m.From == 0 && m.To == len(value), k == URLPassword && !bytes.ContainsAny(value, " \t\r\n"):
			set |= 1 << k
		}
	}
	return set
}

// maxWhole is the longest value that is one of anything: a private key.
const maxWhole = 16 << 10

var wholes = scannersOfOne()

func scannersOfOne() (all [lastKind + 1]*Scanner) {
	for k := range all {
		all[k] = New(1 << k)
		all[k].lone = true
	}
	return all
}

func isDigit(c byte) bool { return c-'0' < 10 }
func isUpper(c byte) bool { return c-'A' < 26 }
func isLetter(c byte) bool {
	return c|0x20-'a' < 26
}
func isAlnum(c byte) bool { return isDigit(c) || isLetter(c) }

// joined tells whether what ends before i is a letter, a digit or an underscore:
// then nothing begins at i but a part of a word.
func joined(text []byte, i int) bool {
	if i == 0 {
		return false
	}
	if c := text[i-1]; c < utf8.RuneSelf {
		return isAlnum(c) || c == '_'
	}
	r, _ := utf8.DecodeLastRune(text[:i])
	return r != utf8.RuneError && unicode.IsLetter(r)
}

// goesOn tells whether what begins at i is a letter, a digit or an underscore.
func goesOn(text []byte, i int) bool {
	if i >= len(text) {
		return false
	}
	if c := text[i]; c < utf8.RuneSelf {
		return isAlnum(c) || c == '_'
	}
	r, _ := utf8.DecodeRune(text[i:])
	return r != utf8.RuneError && unicode.IsLetter(r)
}

// reach is how far before a number a word may stand that says what it is.
const reach = 32

// named tells whether one of some words, in lower case, stands shortly before i
// with no other number between, or need not.
func (s *Scanner) named(text []byte, i int, words ...string) bool {
	if s.lone {
		return true
	}
	start := i
	for start > max(0, i-reach) && !isDigit(text[start-1]) {
		start--
	}
	before := text[start:i]
	for at := 0; at < len(before); at++ {
		if at > 0 && isLetter(before[at-1]) || at == 0 && joined(text, start) || !isLetter(before[at]) {
			continue
		}
		for _, w := range words {
			if end := at + len(w); end <= len(before) && equalFold(before[at:end], w) && (end == len(before) || !isLetter(before[end])) {
				return true
			}
		}
	}
	return false
}

// equalFold tells whether b is w, which is in lower case.
func equalFold(b []byte, w string) bool {
	for i := range len(w) {
		c := b[i]
		if isUpper(c) {
			c |= 0x20
		}
		if c != w[i] {
			return false
		}
	}
	return true
}
