package auth

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
)

// saslprep prepares a password as PostgreSQL and libpq do before they hash it
// (RFC 4013, src/common/saslprep.c): "µ" and "μ", "²" and "2" are the same key.
// A password that the profile does not allow is used as it is.
//
// The PRECIS profile of x/text is a later standard that keeps "µ" and "²" apart
// from their look-alikes: with it, users whose keyboards have these would not
// get in.
func saslprep(password string) string {
	if isASCII(password) || !utf8.ValidString(password) {
		return password
	}
	mapped := strings.Map(mapRune, password)
	if mapped == "" || strings.ContainsFunc(mapped, isRefused) || !isBidi([]rune(mapped)) {
		return password
	}
	return norm.NFKC.String(mapped)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// mapRune makes every space plain (RFC 3454, table C.1.2) and drops what is
// commonly mapped to nothing (table B.1).
func mapRune(r rune) rune {
	switch {
	case r == 0x00a0, r == 0x1680, 0x2000 <= r && r <= 0x200b, r == 0x202f, r == 0x205f, r == 0x3000:
		return ' '
	case r == 0x00ad, r == 0x034f, r == 0x1806, 0x180b <= r && r <= 0x180d,
		r == 0x200c, r == 0x200d, r == 0x2060, 0xfe00 <= r && r <= 0xfe0f, r == 0xfeff:
		return -1
	}
	return r
}

// isRefused looks a character up in the merged tables of prohibited and
// unassigned ones.
func isRefused(r rune) bool {
	_, found := slices.BinarySearchFunc(refusedRunes[:], r, func(span [2]rune, r rune) int {
		switch {
		case span[1] < r:
			return -1
		case span[0] > r:
			return 1
		}
		return 0
	})
	return found
}

// isBidi holds text against RFC 3454, section 6: with any right-to-left letter in
// it, it begins and ends with one and has no left-to-right letter. The classes
// are today's Unicode's, which moved a few combining marks and Braille since.
func isBidi(text []rune) bool {
	if !slices.ContainsFunc(text, isRightToLeft) {
		return true
	}
	return isRightToLeft(text[0]) && isRightToLeft(text[len(text)-1]) && !slices.ContainsFunc(text, isLeftToRight)
}

func isLeftToRight(r rune) bool { return bidiClass(r) == bidi.L }

func isRightToLeft(r rune) bool {
	class := bidiClass(r)
	return class == bidi.R || class == bidi.AL
}

func bidiClass(r rune) bidi.Class {
	p, _ := bidi.LookupRune(r)
	return p.Class()
}
