package datamap

import (
	"bytes"
	"encoding/hex"
	"unicode/utf8"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/seal"
)

// value notes one sampled value, as expression spells it.
func (s *sampling) value(c *catalog.Column, value []byte) {
	p := s.profiles[c.Name]
	switch {
	case value == nil:
		p.null()
	case len(value) > 0 && value[0] == '!':
		p.tooLarge()
	case c.Type.Elem == 0 && isSealed(formOf(c.Type), value[1:]):
		p.seal()
	case c.Type.Elem != 0:
		p.elements(elements(value[1:]))
	case formOf(c.Type) == formBytes:
		p.add(readable(value[1:]))
	case formOf(c.Type) == formComposite:
		p.elements(fields(value[1:]))
	default:
		p.add(value[1:])
	}
}

// isSealed tells whether a value looks like the beginning of a sealed one.
func isSealed(f form, value []byte) bool {
	switch f {
	case formBytes:
		raw := make([]byte, hex.DecodedLen(len(value)))
		n, err := hex.Decode(raw, value)
		return err == nil && seal.IsSealed(raw[:n], "bytea")
	case formJSON:
		value, quoted := bytes.CutPrefix(value, []byte(`"`))
		return quoted && seal.IsSealed(value, "text")
	case formText:
		return seal.IsSealed(value, "text")
	default:
		return false
	}
}

// readable gives bytes that are text; what is not is nothing that can be looked
// at.
func readable(encoded []byte) []byte {
	raw := make([]byte, hex.DecodedLen(len(encoded)))
	if _, err := hex.Decode(raw, encoded); err != nil || !utf8.Valid(raw) || bytes.ContainsFunc(raw, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' }) {
		return nil
	}
	return raw
}

// elements cuts an array's text into its elements, at any depth. One that was cut
// off lacks its last.
func elements(text []byte) [][]byte { return split(text, "{}") }

// fields cuts a composite value's text into its fields, and gives them as one
// text too: a street and a town make an address together.
func fields(text []byte) [][]byte {
	return [][]byte{bytes.Join(split(text, "()"), []byte(" "))}
}

// split cuts at commas and at parentheses of a kind, but for those in quotes.
func split(text []byte, around string) (found [][]byte) {
	var word []byte
	quoted := false
	end := func() {
		if len(word) > 0 && string(word) != "NULL" {
			found = append(found, word)
		}
		word = nil
	}
	for i := 0; i < len(text) && len(found) < maxElements; i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			word = append(word, text[i])
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || bytes.IndexByte([]byte(around), c) >= 0):
			end()
		default:
			word = append(word, c)
		}
	}
	return found
}
