package datamap

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// wordFiles hold what columns and tables are called and what values are made of,
// a line "what: word, word, …" each.
//
//go:embed words/*.txt
var wordFiles embed.FS

// lexicon is what the word files say.
type lexicon struct {
	phrases map[string]called          // by their words without spaces between
	context map[string]map[string]bool // neutral, things
	tables  map[string]map[string]bool // persons, children
	values  map[string]map[string]bool // first, last, city, …
}

// called is what a phrase in a column's name says.
type called struct {
	class  Class
	strong bool
}

// words gives the lexicon, which is read once, when a scan first needs it.
var words = sync.OnceValue(func() *lexicon {
	l := &lexicon{phrases: map[string]called{}}
	each("columns", func(what, phrase string) {
		class, strength, _ := strings.Cut(what, " ")
		if !known(Class(class)) {
			panic(fmt.Sprintf("words/columns.txt: no class %q", class))
		}
		l.phrases[joined(phrased(phrase))] = called{Class(class), strength == "strong"}
	})
	l.context, l.tables, l.values = sets("context"), sets("tables"), sets("values")
	return l
})

// each calls f for every phrase of a word file.
func each(file string, f func(what, phrase string)) {
	text, err := wordFiles.ReadFile("words/" + file + ".txt")
	if err != nil {
		panic(err) // it is embedded
	}
	for line := range strings.Lines(string(text)) {
		what, list, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		for phrase := range strings.SplitSeq(list, ", ") {
			f(what, phrase)
		}
	}
}

func sets(file string) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	each(file, func(what, phrase string) {
		if all[what] == nil {
			all[what] = map[string]bool{}
		}
		all[what][strings.Join(tokens(phrase), " ")] = true
	})
	return all
}

// tokens cuts a name into its words, in lower case and without accents: at
// anything that is no letter or digit, and where a capital begins a word.
func tokens(name string) []string {
	var found []string
	begin, last := -1, rune(0) // where the word began, and what was before
	for i, r := range name {
		part := unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
		if begin >= 0 && (!part || begins(last, r, name[i:])) {
			found = append(found, fold(name[begin:i]))
			begin = -1
		}
		if part && begin < 0 {
			begin = i
		}
		last = r
	}
	if begin >= 0 {
		found = append(found, fold(name[begin:]))
	}
	return found
}

// begins tells whether a word begins with r, the first of rest, behind last: in
// firstName, in URLPath, in line2.
func begins(last, r rune, rest string) bool {
	if unicode.IsDigit(r) != unicode.IsDigit(last) {
		return true
	}
	if !unicode.IsUpper(r) {
		return false
	}
	next, _ := utf8.DecodeRuneInString(rest[utf8.RuneLen(r):])
	return unicode.IsLower(last) || unicode.IsUpper(last) && unicode.IsLower(next)
}

// phrased are the words of a name but for those that tie others together: what is
// called numero_securite_sociale here is numero_de_securite_sociale there.
func phrased(name string) []string {
	all := tokens(name)
	kept := slices.DeleteFunc(slices.Clone(all), func(t string) bool { return slices.Contains(ties, t) })
	if len(kept) == 0 {
		return all
	}
	return kept
}

var ties = []string{"de", "da", "do", "di", "del", "della", "du", "des", "of", "the", "la", "le"}

func joined(tokens []string) string { return strings.Join(tokens, "") }

// fold takes accents off and makes letters small.
func fold(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return strings.ToLower(s)
	}
	return accents.Replace(strings.ToLower(s))
}

var accents = strings.NewReplacer(
	"á", "a", "à", "a", "â", "a", "ä", "a", "ã", "a", "å", "a", "ą", "a", "ā", "a", "ç", "c", "ć", "c", "č", "c", "é", "e", "è", "e", "ê", "e", "ë", "e", "ę", "e", "ě", "e",
	"í", "i", "ì", "i", "î", "i", "ï", "i", "ł", "l", "ñ", "n", "ń", "n", "ň", "n", "ó", "o", "ò", "o", "ô", "o", "ö", "o", "õ", "o", "ø", "o", "ő", "o", "ř", "r",
	"ś", "s", "š", "s", "ß", "ss", "ş", "s", "ú", "u", "ù", "u", "û", "u", "ü", "u", "ů", "u", "ű", "u", "ý", "y", "ÿ", "y", "ź", "z", "ż", "z", "ž", "z", "æ", "ae", "œ", "oe",
	"\u0301", "", "\u0300", "", "\u0302", "", "\u0303", "", "\u0308", "", "\u0327", "", "\u0328", "",
)
