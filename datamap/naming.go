package datamap

import (
	"fmt"
	"regexp"
	"strings"
)

// Weights of what a name says, when nothing speaks against it.
const (
	strongName = 0.9
	weakName   = 0.45
	cutOff     = 0.15 // what is left of a weight when the name goes on to say something else
)

// hint is what a column's name says.
type hint struct {
	called
	phrase  string // as the name has it
	weight  float64
	neutral bool // the name goes on: email_verified_at
}

// maxPhrase is how many words of a name are looked at as one phrase.
const maxPhrase = 4

// named gives what a column's name says; the zero hint when it says nothing. Of
// several phrases the longest counts, and of equally long ones the last: the
// head of a compound stands there in most names.
func named(column string) hint {
	all := phrased(column)
	best, bestAt, bestLen := hint{}, 0, 0
	for n := min(maxPhrase, len(all)); n > 0; n-- {
		for at := len(all) - n; at >= 0; at-- {
			c, ok := phrase(joined(all[at : at+n]))
			if !ok || bestLen > 0 && !(best.class != c.class && c.strong && !best.strong) {
				continue
			}
			best, bestAt, bestLen = hint{called: c, phrase: strings.Join(all[at:at+n], " ")}, at, n
		}
	}
	if bestLen == 0 {
		return hint{}
	}
	best.weight = weakName
	if best.strong {
		best.weight = strongName
	}
	best.qualify(all[:bestAt], all[bestAt+bestLen:])
	return best
}

// phrase looks a phrase up, also where ae stands for ä, and in
// its plural.
func phrase(joined string) (called, bool) {
	c, ok := words().phrases[joined]
	if !ok {
		c, ok = words().phrases[umlauts.ReplaceAllString(joined, "$1$2")]
	}
	if one, plural := strings.CutSuffix(joined, "s"); !ok && plural && len(one) > 3 {
		c, ok = words().phrases[one]
	}
	return c, ok
}

// umlauts are vowels with an e behind them, but for those at a word's end, as in
// revenue.
var umlauts = regexp.MustCompile(`([aou])e([b-df-hj-np-tv-z])`)

// qualify weighs what stands around the phrase.
func (h *hint) qualify(before, after []string) {
	context := words().context
	for _, t := range after {
		if h.class == Photo && context["pointers"][t] {
			continue
		}
		if context["neutral"][t] || t == "id" || t == "ids" || t == "fk" || t == "uuid" {
			h.weight, h.neutral = h.weight*cutOff, true
			return
		}
	}
	for i, t := range before {
		switch {
		case i == 0 && context["asks"][t] && !h.class.Special() && h.class != Child:
			h.weight, h.neutral = h.weight*cutOff, true
			return
		case h.class == Name && !h.strong && context["things"][t]:
			h.weight, h.neutral = h.weight*cutOff, true
			return
		case context["system"][t] && (h.class == FreeText || h.class == Biometric || h.class == Username):
			h.weight, h.neutral = h.weight*cutOff, true
			return
		case h.class == IP || h.class == Location || h.class == Credential || h.class.Special():
		case context["things"][t] && !personWord(t):
			h.weight *= 0.8
		}
	}
}

// personWord tells whether a word names a kind of person.
func personWord(t string) bool { return words().tables["persons"][t] }

// personTable tells whether a table is called as one of persons is: what it
// calls them, in singular or plural, ends its name, or begins it.
func personTable(table string) (word string, ok bool) {
	all := tokens(table)
	for i := len(all) - 1; i >= 0; i-- {
		if personWord(all[i]) && (i == len(all)-1 || harmlessTail[all[i+1]]) {
			return all[i], true
		}
	}
	return "", false
}

// harmlessTail are words behind which a table of persons still is one.
var harmlessTail = map[string]bool{"data": true, "base": true, "master": true, "table": true, "info": true, "details": true, "profile": true, "profiles": true, "stamm": true, "records": true, "t": true, "tbl": true, "view": true, "old": true, "archive": true, "list": true, "2": true}

// childTable tells whether a table is called as one of children is.
func childTable(table string) bool {
	for _, t := range tokens(table) {
		if words().tables["children"][t] {
			return true
		}
	}
	return false
}

func (h hint) String() string {
	if h.class == "" {
		return "the name says nothing"
	}
	return fmt.Sprintf("the name has %q", h.phrase)
}
