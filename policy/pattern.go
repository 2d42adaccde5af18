package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// pattern is a dotted name of one to three parts, each of which may hold *.
// It reads names as PostgreSQL does: an unquoted part is folded to lower case,
// a quoted one is taken as it stands and holds no wildcard.
type pattern struct {
	text  string
	pos   Pos
	parts []part
}

// part is one part of a pattern.
type part struct {
	text string
	star bool // text holds an unquoted *
}

// maxName is NAMEDATALEN-1: PostgreSQL truncates longer names, so a longer one
// in a policy cannot mean what it says.
const maxName = 63

func parsePattern(text string) (pattern, error) {
	p := pattern{text: text}
	rest := text
	for {
		next, after, err := cutPart(rest)
		if err != nil {
			return pattern{}, err
		}
		p.parts = append(p.parts, next)
		if after == "" {
			break
		}
		if after[0] != '.' {
			return pattern{}, fmt.Errorf("%q is not a name: unexpected %q", text, after[:1])
		}
		rest = after[1:]
	}
	if len(p.parts) > 3 {
		return pattern{}, fmt.Errorf("%q has more than three parts", text)
	}
	return p, nil
}

// cutPart takes the first part off a dotted name.
func cutPart(s string) (part, string, error) {
	if strings.HasPrefix(s, `"`) {
		return cutQuoted(s)
	}
	n := 0
	for n < len(s) && (nameByte(s[n]) || s[n] == '*') {
		n++
	}
	switch {
	case n == 0:
		return part{}, "", errors.New("a name has an empty part")
	case n > maxName:
		return part{}, "", fmt.Errorf("%q is longer than %d bytes", s[:n], maxName)
	}
	return part{foldASCII(s[:n]), strings.Contains(s[:n], "*")}, s[n:], nil
}

func cutQuoted(s string) (part, string, error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		if b.Len() == 0 || b.Len() > maxName {
			return part{}, "", fmt.Errorf("a quoted name has 1 to %d bytes", maxName)
		}
		return part{text: b.String()}, s[i+1:], nil
	}
	return part{}, "", errors.New("a quoted name does not end")
}

// nameByte tells whether c may stand in an unquoted name (scan.l: ident_cont).
func nameByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func foldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// exact tells whether the pattern names one thing.
func (p pattern) exact() bool {
	for _, part := range p.parts {
		if part.star {
			return false
		}
	}
	return true
}

// rank orders patterns by how specific they are: first by the number of parts
// that are exact, then by those that are more than a bare *.
func (p pattern) rank() int {
	rank := 0
	for _, part := range p.parts {
		switch {
		case !part.star:
			rank += 4
		case part.text != "*":
			rank++
		}
	}
	return rank
}

// matches tells whether the pattern's parts match the names, one for one.
func (p pattern) matches(names ...string) bool {
	if len(names) != len(p.parts) {
		return false
	}
	for i, part := range p.parts {
		if !part.matches(names[i]) {
			return false
		}
	}
	return true
}

// matches compares without backtracking beyond the last *, so its cost is at
// most len(text)*len(name), whatever the policy says.
func (p part) matches(name string) bool {
	if !p.star {
		return p.text == name
	}
	pieces := strings.Split(p.text, "*")
	first, last := pieces[0], pieces[len(pieces)-1]
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, piece := range pieces[1 : len(pieces)-1] {
		_, after, found := strings.Cut(name, piece)
		if !found {
			return false
		}
		name = after
	}
	return true
}

// name gives the schema and name of a two-part pattern.
func (p pattern) name() catalog.Name {
	return catalog.Name{Schema: p.parts[0].text, Name: p.parts[1].text}
}

// quoteName spells a name so that the server reads exactly it.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteLiteral spells a string constant so that it means the same under either
// setting of standard_conforming_strings. It must hold no NUL.
func quoteLiteral(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// Tables gives the governed tables whose names match a pattern, schema.table, of
// which each part may hold *. That there is none is an error.
func Tables(text string, cat *catalog.Snapshot) (tables []*catalog.Relation, err error) {
	p, err := parsePattern(text)
	if err != nil {
		return nil, err
	}
	if len(p.parts) != 2 {
		return nil, fmt.Errorf("%q is not schema.table", text)
	}
	for _, r := range cat.Relations() {
		if r.Governed() && (r.Kind == catalog.Table || r.Kind == catalog.PartitionedTable) && p.matches(r.Schema, r.Name) {
			tables = append(tables, r)
		}
	}
	if tables == nil {
		return nil, fmt.Errorf("there is no table %q", text)
	}
	return tables, nil
}

// Exists tells whether a pattern, schema.table or schema.table.column, of which
// each part may hold *, names anything that a policy could speak of.
func Exists(text string, cat *catalog.Snapshot) (bool, error) {
	p, err := parsePattern(text)
	if err != nil {
		return false, err
	}
	for _, r := range cat.Relations() {
		if !r.Governed() || !hasRows(r.Kind) || r.Schema == OwnSchema {
			continue
		}
		if p.matches(r.Schema, r.Name) || len(p.parts) == 3 && matchColumns(nil, r, p) != nil {
			return true, nil
		}
	}
	return false, nil
}
