package mask

import "strconv"

// ifLonger gives the expression for texts of more than n characters, and stars
// for those that are no longer than what a mask would keep of them.
func (c column) ifLonger(n int, expr string, pairs ...string) string {
	return sql("CASE WHEN #length($v) #> $n THEN "+expr+" ELSE #repeat('*', #length($v)) END",
		append(pairs, "$v", c.value, "$n", strconv.Itoa(n))...)
}

// keepEnds keeps m characters on the left and n on the right.
func (c column) keepEnds(m, n int) string {
	expr := "#repeat('*', #length($v) #- $n)"
	if m > 0 {
		expr = "#left($v, $l) #|| " + expr
	}
	if n > 0 {
		expr += " #|| #right($v, $r)"
	}
	return c.ifLonger(m+n, expr, "$l", strconv.Itoa(m), "$r", strconv.Itoa(n))
}

// keepInside stars m characters on the left and n on the right.
func (c column) keepInside(m, n int) string {
	return c.ifLonger(m+n, "#repeat('*', $m) #|| #substr($v, $from, #length($v) #- $n) #|| #repeat('*', $r)",
		"$m", strconv.Itoa(m), "$from", strconv.Itoa(m+1), "$r", strconv.Itoa(n))
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
			#split_part(#translate(#left(#split_part($x, '@', -1), 255), $cut, '               '), ' ', 1) COLLATE #"default"
		WHEN $v IS NOT NULL THEN '***' END`
	return sql(template, "$x", sql(`($v COLLATE #"C")`, "$v", c.value), "$v", c.value, "$cut", `E'\t\n\r,;:/?#<>()"'''`)
}

// replacement is a regular expression and what takes the place of its matches.
type replacement struct{ pattern, by string }

func (c column) initials() string {
	return sql("#rtrim($e)", "$e", c.replaced(1000, replacement{`\s*(\S)\S*\s*`, `\1. `}))
}

// scrub takes identifiers out of free text. The first two kinds go before the
// digits that they may contain.
func (c column) scrub() string {
	return c.replaced(100_000,
		replacement{`[A-Za-z][A-Za-z0-9+.-]*://[^\s/@]+@\S*`, "[url]"},
		replacement{`[^\s@<>(),;:"]+@[^\s@<>(),;:"]+`, "[email]"},
		replacement{`\m[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?\M`, "[iban]"},
		replacement{`\+?\(?[0-9](?:[ ()./-]{0,3}[0-9]){6,}`, "[number]"})
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
