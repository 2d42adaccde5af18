package erasures

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// How long a value is, in characters, that is looked for in a certificate, and
// one that is looked for within words too. Shorter ones are there by chance: a key
// of five digits is in one of some thousand digests.
const (
	shortest    = 5
	withinWords = 8
)

// silent makes sure that nothing that the subject was known by is in the texts of
// the certificate. Its numbers are counts and pgveil's own, and may be anybody's key.
func (c *Certificate) silent(secrets []string) error {
	text, err := marshal(c)
	if err != nil {
		return err
	}
	var all any
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	said := texts(all)
	for _, secret := range secrets {
		n := utf8.RuneCountInString(secret)
		if n < shortest {
			continue
		}
		tells := func(text string) bool { return holds(strings.ToLower(text), strings.ToLower(secret), n < withinWords) }
		if slices.ContainsFunc(said, tells) {
			return errors.New("it has something in it by which the subject was known")
		}
	}
	return nil
}

// texts gives every string of a JSON value but the names of members.
func texts(v any) (all []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			all = append(all, texts(e)...)
		}
	case map[string]any:
		for _, e := range v {
			all = append(all, texts(e)...)
		}
	}
	return all
}

// holds tells whether a value is in a text; whole, whether it is there with no
// word going on at its ends.
func holds(text, value string, whole bool) bool {
	first, _ := utf8.DecodeRuneInString(value)
	last, _ := utf8.DecodeLastRuneInString(value)
	for from := 0; ; {
		i := strings.Index(text[from:], value)
		if i < 0 {
			return false
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		after, _ := utf8.DecodeRuneInString(text[i+len(value):])
		if !whole || !goesOn(before, first) && !goesOn(last, after) {
			return true
		}
		from = i + 1
	}
}

// goesOn tells whether two characters are in one word. The end of a text is none.
func goesOn(a, b rune) bool { return inWord(a) && inWord(b) }

func inWord(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
