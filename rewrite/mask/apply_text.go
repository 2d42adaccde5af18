package mask

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/pgveil/pgveil/policy"
)

func partOfText(m policy.Mask) (show, error) {
	write, err := textWriter(m)
	return func(dst, value []byte) ([]byte, bool) {
		if !isText(value) {
			return dst, false
		}
		return write(dst, value), true
	}, err
}

// isText tells whether the server would take a value for text.
func isText(value []byte) bool { return utf8.Valid(value) && bytes.IndexByte(value, 0) < 0 }

// textWriter gives what appends to dst what the mask shows of the text s.
func textWriter(m policy.Mask) (func(dst, s []byte) []byte, error) {
	switch m.Kind {
	case policy.MaskIP:
		return networkOf, nil
	case policy.MaskInitials:
		return initialsOf, nil
	case policy.MaskPrefix:
		return prefixOf(m.Args[0]), nil
	case policy.MaskPhone:
		return phoneOf, nil
	case policy.MaskEmail:
		return emailOf, nil
	case policy.MaskLast:
		return endsOf(0, m.Args[0]), nil
	case policy.MaskFirst:
		return endsOf(m.Args[0], 0), nil
	case policy.MaskInner:
		return endsOf(m.Args[0], m.Args[1]), nil
	case policy.MaskOuter:
		return insideOf(m.Args[0], m.Args[1]), nil
	case policy.MaskScrub:
		return scrubOf, nil
	default:
		return nil, notApplied(m)
	}
}

// head gives the first n characters of s.
func head(s []byte, n int) []byte {
	for i := range string(s) {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// tail gives the last n characters of s.
func tail(s []byte, n int) []byte {
	at := len(s)
	for ; n > 0 && at > 0; n-- {
		_, size := utf8.DecodeLastRune(s[:at])
		at -= size
	}
	return s[at:]
}

func starred(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, '*')
	}
	return dst
}

// endsOf keeps m characters on the left and n on the right. As the server does,
// it fills up to maxPadded at most what is kept on one side only.
func endsOf(m, n int) func(dst, s []byte) []byte {
	return func(dst, s []byte) []byte {
		length := utf8.RuneCount(s)
		filled := length
		if m == 0 || n == 0 {
			filled = min(length, maxPadded)
		}
		if length <= m+n {
			return starred(dst, filled)
		}
		dst = append(dst, head(s, m)...)
		dst = starred(dst, filled-m-n)
		return append(dst, tail(s, n)...)
	}
}

// insideOf stars m characters on the left and n on the right.
func insideOf(m, n int) func(dst, s []byte) []byte {
	return func(dst, s []byte) []byte {
		if length := utf8.RuneCount(s); length <= m+n {
			return starred(dst, length)
		}
		dst = starred(dst, m)
		dst = append(dst, s[len(head(s, m)):len(s)-len(tail(s, n))]...)
		return starred(dst, n)
	}
}

func prefixOf(n int) func(dst, s []byte) []byte {
	return func(dst, s []byte) []byte {
		kept := head(s, n)
		if len(kept) == len(s) {
			return starred(dst, utf8.RuneCount(s))
		}
		return append(dst, kept...)
	}
}

// phoneOf looks at the first 40 characters, the last two of the text among them
// where it is no longer.
func phoneOf(dst, s []byte) []byte {
	const punctuation = " ()+./-"
	others := 0
	for _, r := range string(head(s, 40)) {
		if !strings.ContainsRune(punctuation, r) {
			others++
		}
	}
	if others <= 2 {
		return starred(dst, utf8.RuneCount(s))
	}
	last := tail(s, 2)
	for _, r := range string(head(s[:len(s)-len(last)], 38)) {
		if !strings.ContainsRune(punctuation, r) {
			r = '*'
		}
		dst = append(dst, byte(r))
	}
	return append(dst, last...)
}

func emailOf(dst, s []byte) []byte {
	local, _, found := bytes.Cut(s, []byte("@"))
	if !found || len(local) == 0 {
		return append(dst, "***"...)
	}
	if first := head(local, 1); len(first) < len(local) {
		dst = append(dst, first...)
	}
	domain := head(s[bytes.LastIndexByte(s, '@')+1:], maxDomain)
	if end := bytes.IndexAny(domain, " \t\n\r,;:/?#<>()\"'"); end >= 0 {
		domain = domain[:end]
	}
	dst = append(dst, "***@"...)
	return append(dst, domain...)
}

// blank is what the server's \s matches by the collation C.
const blank = " \t\n\v\f\r"

// initialsOf takes the blanks around a word with it. Of a text without words
// only the spaces at the end go.
func initialsOf(dst, s []byte) []byte {
	s = head(s, maxInitials)
	rest := bytes.TrimLeft(s, blank)
	if len(rest) == 0 {
		return append(dst, bytes.TrimRight(s, " ")...)
	}
	for len(rest) > 0 {
		dst = append(dst, head(rest, 1)...)
		dst = append(dst, '.')
		word := bytes.IndexAny(rest, blank)
		if word < 0 {
			return dst
		}
		if rest = bytes.TrimLeft(rest[word:], blank); len(rest) > 0 {
			dst = append(dst, ' ')
		}
	}
	return dst
}

var (
	identifierPatterns = func() (all []*regexp.Regexp) {
		for _, r := range identifiers {
			all = append(all, serverPattern(r.pattern))
		}
		return all
	}()
	ipv4Pattern  = serverPattern(ipv4Network)
	ipv6Pattern  = serverPattern(ipv6Network)
	shortPattern = serverPattern(shortNetwork)
)

// serverPattern reads a pattern as the server does by the collation C: of the
// matches that begin first it takes the longest. In the patterns here, \s
// stands in brackets and \S outside, and \m and \M are next to letters and
// digits inside the match, where any boundary of a word is the one they mean.
func serverPattern(pattern string) *regexp.Regexp {
	re := regexp.MustCompile(strings.NewReplacer(`\s`, `[:space:]`, `\S`, `[^[:space:]]`, `\m`, `\b`, `\M`, `\b`).Replace(pattern))
	re.Longest()
	return re
}

func networkOf(dst, s []byte) []byte {
	s = head(s, maxAddress)
	if network := ipv4Pattern.Find(s); network != nil {
		return append(append(dst, network...), '0')
	}
	if network := ipv6Pattern.Find(s); network != nil {
		return append(append(dst, network...), ':')
	}
	if network := shortPattern.Find(s); network != nil {
		return append(dst, network...)
	}
	return append(dst, "***"...)
}

func scrubOf(dst, s []byte) []byte {
	s = head(s, maxScrubbed)
	for i, found := range identifiers {
		if bytes.ContainsAny(s, found.signs) {
			s = identifierPatterns[i].ReplaceAllLiteral(s, []byte(found.by))
		}
	}
	return append(dst, s...)
}
