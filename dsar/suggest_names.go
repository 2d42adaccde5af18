package dsar

import (
	"slices"
	"strings"
	"unicode"
)

// endings are the words by which names of columns say that they refer.
var endings = []string{"id", "ids", "uuid", "uid", "guid", "key", "ref", "no", "number", "code", "fk"}

// kinds are the words by which names of columns say that they tell what kind of
// thing another refers to.
var kinds = []string{"type", "kind", "class", "model", "table", "entity", "module"}

// deeds are words of columns that name whoever did something with a row.
var deeds = []string{"assigned", "assignee", "created", "creator", "updated", "modified", "changed", "deleted", "approved", "closed", "by"}

// deed tells whether a column is called after what somebody did.
func deed(column string) bool {
	return slices.ContainsFunc(words(column), func(w string) bool { return slices.Contains(deeds, w) })
}

// words takes a name apart, at underscores and capitals, into words in lower case
// and in the singular.
func words(name string) []string {
	var all []string
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			all = append(all, singular(word.String()))
			word.Reset()
		}
	}
	lower := false
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			end()
			continue
		}
		if unicode.IsUpper(r) && lower {
			end()
		}
		lower = unicode.IsLower(r)
		word.WriteRune(unicode.ToLower(r))
	}
	end()
	return all
}

// singular gives the singular of an English word, well enough to compare names.
func singular(word string) string {
	switch {
	case slices.Contains(endings, word) || len(word) < 4:
		return word
	case strings.HasSuffix(word, "ies"):
		return strings.TrimSuffix(word, "ies") + "y"
	case strings.HasSuffix(word, "sses") || strings.HasSuffix(word, "xes") || strings.HasSuffix(word, "ches"):
		return strings.TrimSuffix(word, "es")
	case strings.HasSuffix(word, "ss") || strings.HasSuffix(word, "us"):
		return word
	default:
		return strings.TrimSuffix(word, "s")
	}
}

// stemWords gives the words of a column's name without those by which it says that
// it refers; ends tells whether it has such.
func stemWords(name string) (stem []string, ends bool) {
	stem = words(name)
	if n := len(stem) - 1; n > 0 && slices.Contains(endings, stem[n]) {
		return stem[:n], true
	}
	return stem, false
}

// named tells whether a column is called after the goal: customer_id, customer or
// billing_customer_id after customers.id; customer_no after customers.customer_no.
func (g goal) named(column string) bool {
	own := words(g.column.Name)
	if !g.key {
		// What a subject may be looked up by is a name of its own, as email is.
		return false
	}
	if len(own) > 1 && slices.Equal(words(column), own) {
		return true
	}
	stem, ends := stemWords(column)
	for _, name := range g.names {
		of := strings.Split(name, "_")
		if slices.Equal(stem, of) || ends && len(stem) > len(of) && slices.Equal(stem[len(stem)-len(of):], of) {
			return true
		}
	}
	return false
}

// kindOf tells whether a value of a column is the goal's name: Customer, customers,
// App\Models\Customer.
func (g goal) kindOf(value string) bool {
	if i := strings.LastIndexAny(value, `\./:`); i >= 0 {
		value = value[i+1:]
	}
	return slices.Contains(g.names, strings.Join(words(value), "_"))
}

// sharesWord tells whether two names have a word of more than three letters in
// common, as to_email and email have.
func sharesWord(a, b string) bool {
	return slices.ContainsFunc(words(a), func(w string) bool { return len(w) > 3 && slices.Contains(words(b), w) })
}
