package sweep

import (
	"strings"
	"unicode/utf8"
)

// Needle is a value to look for.
type Needle struct {
	Name  string   // what it is called in a report, which never has the value
	Value string   // as text
	In    []Column // those that hold it as a reference: there it counts as a whole word, however short it is
}

// Column names a column of a table.
type Column struct {
	Relation string // schema.name
	Name     string
	SQL      string // in Needle.In: the part of a row c to look at, as text, where that is not the column itself
}

// Bounds of what is looked for in any text, in characters.
const (
	leastText   = 4 // less is in every second text
	leastNumber = 7 // years, amounts and other tables' keys have fewer digits
	leastPart   = 8 // less counts as a whole word only: Anna is not in Susanna
)

// form is what a needle is in texts. The zero form is nothing that is looked for.
type form struct {
	plain    string // in lower case; "" when too short
	word     bool   // plain counts as a whole word only
	squeezed string // without separators; "" when it is no number
	number   bool   // squeezed has nothing but digits
}

// formOf reads a value.
func formOf(value string) form {
	plain := strings.TrimSpace(string(fold(nil, []byte(value))))
	var f form
	length, number := utf8.RuneCountInString(plain), digits(plain) == len(plain)
	if number && length >= leastNumber || !number && length >= leastText && len(plain) >= minWord {
		f.plain, f.word = plain, length < leastPart || number
	}
	f.squeezed, f.number = numeral(plain)
	return f
}

// numeral gives what identifies a value that is mostly digits, such as a phone
// number, a card's, an IBAN or a uuid: itself without separators. Of a phone
// number it is what follows the country's code or the zero for long distance.
func numeral(plain string) (squeezed string, number bool) {
	b, _ := squeeze(nil, nil, []byte(plain))
	s := strings.TrimPrefix(string(b), "+")
	international := len(s) < len(b)
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return "", false
		}
	}
	number = digits(s) == len(s)
	if national, ok := strings.CutPrefix(s, "00"); ok && number {
		s, international = national, true
	}
	if number {
		if international && len(s) > 3 {
			s = s[countryCode(s):]
		}
		s = strings.TrimLeft(s, "0")
	}
	if len(s) < leastNumber || digits(s) < leastNumber-1 {
		return "", false
	}
	return s, number
}

func digits(s string) (n int) {
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' {
			n++
		}
	}
	return n
}

// twoDigits are the country codes of two digits (ITU-T E.164, annex to Operational
// Bulletin 1114). 1 and 7 stand alone, all others have three.
const twoDigits = " 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 "

// countryCode gives the length of the country code of an international number.
func countryCode(s string) int {
	switch {
	case s[0] == '1' || s[0] == '7':
		return 1
	case strings.Contains(twoDigits, " "+s[:2]+" "):
		return 2
	default:
		return 3
	}
}
