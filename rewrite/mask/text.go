package mask

import (
	"strconv"
	"strings"
)

// Analysing and planning an expression costs the server about a microsecond
// for each function, operator and cast in it, in every statement anew. So these
// masks are written with few of them.

// ifLonger gives the expression for texts of more than n characters, and stars
// for those that are no longer than what a mask would keep of them.
func (c column) ifLonger(n int, expr string, pairs ...string) string {
	return sql("CASE WHEN $len #> $n THEN "+expr+" ELSE #repeat('*', $len) END",
		append(pairs, "$len", c.length(), "$v", c.value, "$n", strconv.Itoa(n))...)
}

// length counts characters. That of char(n) leaves out the blanks at the end,
// as its value as text does.
func (c column) length() string {
	if c.typ.Base == "bpchar" {
		return sql("#length($ref)", "$ref", c.ref)
	}
	return sql("#length($v)", "$v", c.value)
}

// keepOne keeps n characters on one side: what end gives of the text, filled up
// by pad to the text's length. It takes none of a text that is no longer.
func (c column) keepOne(pad, end string, n int) string {
	return sql(pad+"("+end+"($v, CASE WHEN $len #> $n THEN $n ELSE 0 END), $most, '*')",
		"$v", c.value, "$len", c.length(), "$n", strconv.Itoa(n), "$most", c.paddable())
}

// maxPadded bounds what texts are filled up to: filling up reserves four bytes
// for each character, and the server reserves no more than 1 GB.
const maxPadded = 100_000_000

// paddable is the text's length, up to what it can be filled up to. Types with
// a length of their own hold less.
func (c column) paddable() string {
	if c.typ.Mod >= 0 {
		return c.length()
	}
	return "LEAST(" + c.length() + ", " + strconv.Itoa(maxPadded) + ")"
}

// keepEnds keeps m characters on the left and n on the right.
func (c column) keepEnds(m, n int) string {
	switch {
	case n == 0:
		return c.keepOne("#rpad", "#left", m)
	case m == 0:
		return c.keepOne("#lpad", "#right", n)
	default:
		return c.ifLonger(m+n, "#overlay($v, #repeat('*', $len #- $n), $from)", "$from", strconv.Itoa(m+1))
	}
}

// keepInside stars m characters on the left and n on the right.
func (c column) keepInside(m, n int) string {
	expr := "#substr($v, $from, $len #- $n)"
	if m > 0 {
		expr = literal(strings.Repeat("*", m)) + " #|| " + expr
	}
	if n > 0 {
		expr += " #|| " + literal(strings.Repeat("*", n))
	}
	return c.ifLonger(m+n, expr, "$from", strconv.Itoa(m+1))
}

// prefix keeps the first n characters and not even the length of the rest.
func (c column) prefix(n int) string { return c.ifLonger(n, "#left($v, $n)") }

// phone keeps the last two characters and, before them, the punctuation of
// telephone numbers; what has no more than two other characters is starred.
// The inner translate leaves what is not such punctuation, and the outer one
// turns that into stars. Together they take time by the square of the length,
// so what is over 40 characters is cut.
func (c column) phone() string {
	const template = `CASE WHEN #length(#translate(#left($v, 40), ' ()+./-', '')) #> 2
		THEN #translate($s, #translate($s, ' ()+./-', ''), '**************************************') #|| #right($v, 2)
		ELSE #repeat('*', #length($v)) END`
	return sql(template, "$v", c.value, "$s", sql("#left(#left($v, -2), 38)", "$v", c.value))
}

// email keeps the first letter, if the local part has more than one, and the
// domain: what stands behind the last @, up to a blank or punctuation that no
// domain has, in case a column of addresses holds more than an address. No
// domain has more than 255 characters.
func (c column) email() string {
	const template = `CASE WHEN #strpos($x, '@') #> 1
		THEN #left($v, LEAST(#strpos($x, '@') #- 2, 1)) #|| '***@' #||
			#split_part(#translate(#left(#split_part($x, '@', -1), $n), $cut, '               '), ' ', 1) COLLATE #"default"
		WHEN $v IS NOT NULL THEN '***' END`
	return sql(template, "$x", sql(`($v COLLATE #"C")`, "$v", c.value), "$v", c.value, "$cut", `E'\t\n\r,;:/?#<>()"'''`, "$n", strconv.Itoa(maxDomain))
}

// Of longer texts, what is behind so many characters is cut.
const (
	maxDomain   = 255
	maxInitials = 1000
	maxScrubbed = 100_000
)

// replacement is a regular expression and what takes the place of its matches.
type replacement struct{ pattern, by string }

func (c column) initials() string {
	return sql("#rtrim($e)", "$e", c.replaced(maxInitials, replacement{`\s*(\S)\S*\s*`, `\1. `}))
}

// scrub takes identifiers out of free text.
func (c column) scrub() string {
	var all []replacement
	for _, i := range identifiers {
		all = append(all, i.replacement)
	}
	return c.replaced(maxScrubbed, all...)
}

// identifier is a replacement, and characters of which every match has one.
type identifier struct {
	replacement
	signs string
}

const decimalDigits = "0123456789"

// identifiers are found in this order: the first two kinds go before the digits
// that they may contain. scrubOf looks for them by the same patterns.
var identifiers = []identifier{
	{replacement{`[A-Za-z][A-Za-z0-9+.-]*://[^\s/@]+@\S*`, "[url]"}, "@"},
	{replacement{`[^\s@<>(),;:"]+@[^\s@<>(),;:"]+`, "[email]"}, "@"},
	{replacement{`\m[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?\M`, "[iban]"}, decimalDigits},
	{replacement{`\+?\(?[0-9](?:[ ()./-]{0,3}[0-9]){6,}`, "[number]"}, decimalDigits},
}

// replaced applies replacements in turn to the first n characters; what
// regular expressions see must be bounded, as the server cannot hold the wide
// form of the longest texts that it can store.
func (c column) replaced(n int, rs ...replacement) string {
	expr := sql(`#left($v, $n) COLLATE #"C"`, "$v", c.value, "$n", strconv.Itoa(n))
	for _, r := range rs {
		expr = sql("#regexp_replace($e, $p, $r, 'g')", "$e", expr, "$p", literal(r.pattern), "$r", literal(r.by))
	}
	return expr + sql(` COLLATE #"default"`)
}
