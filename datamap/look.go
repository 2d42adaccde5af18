package datamap

import (
	"bytes"
	"net/netip"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pgveil/pgveil/recognise"
)

// sign is one thing that a value may look like.
type sign uint8

// The signs. A value may have several.
const (
	isEmail  sign = iota
	isPhone       // as people write one: with a plus, a leading zero and groups, or parentheses
	isDigits      // 7 to 15 digits, with separators at most: what is a telephone number only where the name says so
	isCard
	isIBAN
	isNational
	isSecret // a key, a token, a URL with a password, a hash of a password
	isIP
	isMAC
	isAgent // what browsers say they are
	isPerson
	isFirst
	isLast
	isNameShape
	isOneName // but for particles one word
	isCity
	isStreet
	isCompany
	isText // several words, as in a sentence
	isBirth
	isDate
	isCoordinate
	isCode // letters and digits mixed, no words
	isICD
	isHealth
	isReligion
	isUnion
	isOrientation
	isEthnicity
	isPolitics
	isGender
	signs
)

// vocabulary are the signs that a list of words gives.
var vocabulary = []struct {
	sign sign
	list string
}{
	{isHealth, "health"}, {isReligion, "religion"}, {isUnion, "union"}, {isOrientation, "orientation"},
	{isEthnicity, "ethnicity"}, {isPolitics, "politics"}, {isGender, "gender"}, {isCity, "city"},
}

var (
	macShape   = regexp.MustCompile(`^[0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){4}$`)
	hashShape  = regexp.MustCompile(`^(\$2[abxy]?\$\d\d\$|\$argon2|\$scrypt\$|\$pbkdf2|\$[156]\$|pbkdf2_sha|scrypt:|SCRAM-SHA-256\$|\{SSHA\}|bcrypt)`)
	icdShape   = regexp.MustCompile(`^[A-TV-Z][0-9][0-9A-B](\.[0-9A-Z]{1,4})?$`)
	dateShape  = regexp.MustCompile(`^(\d{4})-(\d\d)-(\d\d)([T ].*)?$|^(\d\d?)[./](\d\d?)[./](\d{4})$`)
	pointShape = regexp.MustCompile(`^\(?-?\d{1,3}\.\d{4,}(,\s?-?\d{1,3}\.\d{4,}\)?)?$`)
	agentShape = regexp.MustCompile(`^(Mozilla|Opera|Dalvik|okhttp|curl|PostmanRuntime)/\d|\b(iPhone|Android)\b.*\bVersion/`)
)

// look tells what a value looks like. It keeps nothing of the value.
func look(value []byte) (found [signs]bool, kinds recognise.Set) {
	value = bytes.TrimSpace(value)
	if len(value) == 0 {
		return found, 0
	}
	text := string(value)
	kinds = recognise.Whole(value)
	if !strings.Contains(text, "-") {
		kinds &^= recognise.Of(recognise.USSSN) // it has no check digit: any nine digits are one
	}
	lookChecked(text, kinds, &found)
	lookShaped(text, &found)
	lookWords(text, &found)
	return found, kinds
}

// lookChecked uses what package recognise says of the whole value.
func lookChecked(text string, kinds recognise.Set, found *[signs]bool) {
	found[isEmail] = kinds.Has(recognise.Email)
	found[isCard] = kinds.Has(recognise.Card)
	found[isIBAN] = kinds.Has(recognise.IBAN)
	found[isSecret] = kinds&recognise.Secrets != 0 || strings.IndexByte("$psS{b", text[0]) >= 0 && hashShape.MatchString(text)
	found[isNational] = kinds&recognise.NationalIDs != 0
	digits, others := 0, 0
	for _, r := range text {
		switch {
		case unicode.IsDigit(r):
			digits++
		case !strings.ContainsRune(" +-./()", r):
			others++
		}
	}
	found[isDigits] = others == 0 && digits >= 7 && digits <= 15 && !strings.Contains(text, "--") && !dateShape.MatchString(text)
	found[isPhone] = found[isDigits] && kinds.Has(recognise.Phone) && digits >= 8 && written(text)
}

// written tells whether digits stand as people write a telephone's number.
func written(text string) bool {
	switch {
	case text[0] == '+', strings.HasPrefix(text, "00"), text[0] == '(':
		return true
	case text[0] == '0':
		return len(text) >= 9
	default:
		return strings.Count(text, "-")+strings.Count(text, " ")+strings.Count(text, ".") >= 2
	}
}

// lookShaped compares a value with shapes, of which its length and its first byte
// rule out most.
func lookShaped(text string, found *[signs]bool) {
	digit, n := text[0]-'0' < 10, len(text)
	found[isMAC] = n == 17 && macShape.MatchString(text)
	found[isAgent] = n > 8 && strings.IndexByte(text, '/') > 0 && agentShape.MatchString(text)
	found[isICD] = n < 9 && text[0]-'A' < 26 && icdShape.MatchString(text)
	found[isCoordinate] = n > 5 && (digit || text[0] == '-' || text[0] == '(') && pointShape.MatchString(text)
	address, _, _ := strings.Cut(text, "/")
	if n < 64 && (strings.Count(address, ".") == 3 && digit || strings.Count(address, ":") >= 2) {
		if a, err := netip.ParseAddr(address); err == nil {
			found[isIP] = !a.Is4() || !numbersVersion(a.As4())
		}
	}
	if digit && n >= 8 {
		lookDate(text, found)
	}
	letters, digits := strings.ContainsFunc(text, unicode.IsLetter), strings.ContainsAny(text, "0123456789")
	found[isCode] = letters && digits && !strings.ContainsAny(text, " @") || isHex(text)
}

func lookDate(text string, found *[signs]bool) {
	if m := dateShape.FindStringSubmatch(text); m != nil {
		year := m[1] + m[7]
		found[isDate], found[isBirth] = true, year >= "1915" && year <= "2019"
	}
}

// numbersVersion tells whether four parts are so small that they rather number a
// version than a host.
func numbersVersion(a [4]byte) bool { return max(a[0], a[1], a[2], a[3]) < 32 && a[0] != 10 }

func isHex(text string) bool {
	return len(text) >= 16 && strings.Trim(text, "0123456789abcdefABCDEF-") == ""
}

// lookWords looks at the words of a value.
func lookWords(text string, found *[signs]bool) {
	if len(text) > 2000 {
		text = text[:2000]
	}
	words := strings.Fields(text)
	lower := tokens(text)
	found[isText] = len(words) >= 4 && len(text) >= 24 && letters(text)*10 >= len(text)*6
	if len(lower) == 0 || len(lower) > 12 {
		return
	}
	whole := strings.Join(lower, " ")
	for _, v := range vocabulary {
		found[v.sign] = contains(v.list, whole, lower, v.sign == isHealth)
	}
	found[isCompany] = anyOf("company", lower) && len(words) > 1
	found[isStreet] = street(text, lower)
	lookPerson(words, lower, found)
}

// contains tells whether a list has the whole, or where parts count, any word.
func contains(list, whole string, lower []string, parts bool) bool {
	l := lexiconValues(list)
	if l[whole] {
		return true
	}
	if !parts {
		return false
	}
	for _, w := range lower {
		if len(w) > 3 && l[w] {
			return true
		}
	}
	return false
}

func lexiconValues(list string) map[string]bool { return words().values[list] }

func anyOf(list string, lower []string) bool {
	l := lexiconValues(list)
	for _, w := range lower {
		if l[w] {
			return true
		}
	}
	return false
}

// streetTails end the names of streets that are written as one word.
var streetTails = []string{"strasse", "str", "weg", "allee", "gasse", "platz", "straat", "laan", "gracht", "plein", "kade", "dijk", "singel"}

// street tells whether a text is a street with a number, or begins with one.
func street(text string, lower []string) bool {
	if !strings.ContainsAny(text, "0123456789") || len(lower) < 2 {
		return false
	}
	for _, w := range lower {
		for _, tail := range streetTails {
			if len(w) > len(tail)+2 && strings.HasSuffix(w, tail) {
				return true
			}
		}
	}
	for i, w := range lower {
		// A word of a letter or two is an abbreviation only at either end.
		if lexiconValues("street")[w] && (len(w) > 2 || len(lower) > 2 && (i == 0 || i >= len(lower)-2)) {
			return len(lower) <= 10
		}
	}
	return false
}

// particles stand within names of persons.
var particles = map[string]bool{"de": true, "da": true, "do": true, "dos": true, "das": true, "del": true, "della": true, "di": true, "von": true, "van": true, "der": true, "den": true, "zu": true, "la": true, "le": true, "du": true, "des": true, "el": true, "al": true, "bin": true, "ten": true, "ter": true, "y": true, "e": true, "dr": true, "mr": true, "mrs": true, "ms": true, "prof": true, "herr": true, "frau": true, "jr": true, "sr": true, "sra": true, "mme": true, "m": true, "dott": true, "ssa": true, "ing": true, "st": true, "mc": true, "mac": true, "o": true, "d": true, "l": true, "t": true}

// lookPerson tells whether words are the name of a person, by their shape and
// by how frequent they are.
func lookPerson(words, lower []string, found *[signs]bool) {
	if len(words) > 6 || len(lower) > 7 {
		return
	}
	for _, w := range words {
		r, _ := utf8.DecodeRuneInString(w)
		if !unicode.IsLetter(r) || strings.ContainsAny(w, "0123456789/@_&+:;!?#%*=()") {
			return
		}
		if unicode.IsLower(r) && !particles[fold(w)] {
			return
		}
	}
	found[isNameShape] = true
	first, last, others := 0, 0, 0
	for _, w := range lower {
		if len(w) < 2 || particles[w] {
			continue
		}
		others++
		if len(words) == 1 && lexiconValues("common")[w] {
			continue // it is a name where another stands beside it
		}
		if lexiconValues("first")[w] {
			first++
		} else if lexiconValues("last")[w] {
			last++
		}
	}
	found[isOneName] = others == 1
	found[isFirst] = first > 0
	found[isLast] = last > 0 || len(words) > 1 && anyOf("last", lower)
	found[isPerson] = len(words) >= 2 && first > 0 && !anyOf("company", lower)
}

func letters(text string) (n int) {
	for _, r := range text {
		if unicode.IsLetter(r) || r == ' ' {
			n += utf8.RuneLen(r)
		}
	}
	return n
}
