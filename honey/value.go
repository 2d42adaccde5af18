package honey

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/pgveil/pgveil/catalog"
)

// Field is a column, and what the policy says of it.
type Field struct {
	catalog.Column
	Class  string // "" for none
	Open   bool   // whoever reaches the table sees it
	Refers bool   // it is part of a foreign key
	IsKey  bool   // it identifies the subject
	Next   string // of keys that are numbers: one that nobody has
}

// what is a guess at what a column holds.
type what uint8

const (
	unknown what = iota
	isEmail
	isPhone
	isFirst
	isLast
	isName
	isStreet
	isCity
	isAddress
	isBirth
)

var texts = []string{"text", "varchar", "bpchar", "citext", "name"}

func (f *Field) text() bool { return slices.Contains(texts, f.Type.Base) }

func (f *Field) date() bool {
	return slices.Contains([]string{"date", "timestamp", "timestamptz"}, f.Type.Base)
}

// guess says what a column holds, by its name and then by its class.
func (f *Field) guess() what {
	if w := f.guessBy(words(f.Name)); w != unknown {
		return w
	}
	return f.guessBy(words(f.Class))
}

func (f *Field) guessBy(words []string) what {
	has := func(any ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(any, w) })
	}
	switch {
	case f.date() && has("birth", "birthday", "birthdate", "born", "dob"):
		return isBirth
	case f.Type.Base == "inet" || f.text() && has("ip"):
		return isAddress
	case !f.text():
		return unknown
	case has("email", "mail"):
		return isEmail
	case has("phone", "telephone", "tel", "mobile", "cell", "fax"):
		return isPhone
	case has("surname", "lastname") || has("last", "family") && has("name"):
		return isLast
	case has("firstname", "forename") || has("first", "given") && has("name"):
		return isFirst
	case has("name", "fullname") && !has("user", "file", "host", "country", "product"):
		return isName
	case has("street", "address", "addr"):
		return isStreet
	case has("city", "town"):
		return isCity
	default:
		return unknown
	}
}

// words splits a name at underscores and where capitals begin a word.
func words(name string) []string {
	var b strings.Builder
	before := ' '
	for _, c := range name {
		if unicode.IsUpper(c) && unicode.IsLower(before) {
			b.WriteByte(' ')
		}
		before = c
		b.WriteRune(unicode.ToLower(c))
	}
	return strings.FieldsFunc(b.String(), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
}

// value gives what a planted record has in a column, as text: nil for NULL. like
// is what a row that is there has in it. Where others differ only by chance, own
// values are made up once copies were found not to do.
func (f *Field) value(p person, like *string, copies bool) *string {
	say := func(s string) *string {
		s = f.fit(s)
		return &s
	}
	sample := ""
	if like != nil {
		sample = *like
	}
	switch guess := f.guess(); {
	case f.IsKey:
		return say(f.key(sample))
	case f.Refers:
		return like
	case guess == unknown:
	case like == nil && !f.NotNull && !slices.Contains([]what{isFirst, isLast, isName, isEmail}, guess):
		return nil // that row has none either
	default:
		return say(madeUp(guess, p, sample))
	}
	switch {
	case f.Open && (copies || !f.text()):
		return like
	case !f.Open && !f.NotNull:
		return nil
	case like == nil && !f.NotNull:
		return nil
	default:
		return say(f.other(sample))
	}
}

func madeUp(w what, p person, like string) string {
	switch w {
	case isEmail:
		return p.email()
	case isPhone:
		return phone(like)
	case isFirst:
		return p.first
	case isLast:
		return p.last
	case isName:
		return p.first + " " + p.last
	case isStreet:
		return strconv.Itoa(1+under(98)) + " " + pick(streets)
	case isCity:
		return pick(cities)
	case isAddress:
		return address()
	case isBirth:
		return birthDate()
	default:
		return ""
	}
}

// other gives a value of the column's type that is like another and not it.
func (f *Field) other(like string) string {
	switch {
	case f.Type.Elem != 0:
		return "{}"
	case f.date():
		return lately()
	case f.Type.Kind == 'e' || f.Type.Base == "bool":
		return like
	}
	switch f.Type.Base {
	case "uuid":
		return uuid()
	case "json", "jsonb":
		return "{}"
	case "bytea", "xml":
		return ""
	case "int2", "int4", "int8", "numeric", "float4", "float8", "money":
		if like == "" {
			return digits(2)
		}
	}
	if like == "" {
		return digits(6)
	}
	return shaped(like)
}

// key gives a key that nobody has yet, most likely.
func (f *Field) key(like string) string {
	if f.Next != "" {
		return f.Next
	}
	return f.other(like)
}

// fit cuts a text to what the column takes.
func (f *Field) fit(s string) string {
	const header = 4 // of a typmod: see varchartypmodin in varchar.c
	if most := int(f.Type.Mod) - header; f.text() && most > 0 && len([]rune(s)) > most {
		return string([]rune(s)[:most])
	}
	return s
}
