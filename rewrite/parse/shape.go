package parse

import (
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// Shape gives the text with every constant replaced by a question mark, lists
// of constants by one, and comments left out; and the fingerprint that texts
// of one shape share. It asks the lexer only, so it also serves statements
// that the grammar does not know.
func Shape(sql string) (shape, fingerprint string, err error) {
	if len(sql) > MaxText {
		return "", "", &SyntaxError{Message: fmt.Sprintf("statement of %d bytes is longer than %d", len(sql), MaxText)}
	}
	if err := checkLexer(sql); err != nil {
		return "", "", err
	}
	shape, ok := plainShape(sql)
	if !ok {
		if shape, err = scannedShape(sql); err != nil {
			return "", "", err
		}
	}
	shape = foldLists(shape)
	return shape, fmt.Sprintf("%016x", pg_query.HashXXH3_64([]byte(shape), 0)), nil
}

// scannedShape goes by the tokens of the parser's own lexer.
func scannedShape(sql string) (string, error) {
	scan, err := pg_query.Scan(sql)
	if err != nil {
		return "", syntaxError(err)
	}
	var b strings.Builder
	b.Grow(len(sql))
	end := int32(0) // of the token before
	for _, t := range scan.Tokens {
		if comment(t.Token) {
			continue
		}
		text := sql[t.Start:t.End]
		if constant(t.Token) {
			text = "?"
		}
		if b.Len() > 0 && t.Start > end {
			b.WriteByte(' ')
		}
		b.WriteString(text)
		end = t.End
	}
	return b.String(), nil
}

// Place is a part of a text, in bytes.
type Place struct{ Start, End int }

// Comments tells where a text has comments between slash and asterisk, as the
// parser's own lexer finds them.
func Comments(sql string) ([]Place, error) {
	if err := checkLexer(sql); err != nil {
		return nil, err
	}
	scan, err := pg_query.Scan(sql)
	if err != nil {
		return nil, syntaxError(err)
	}
	var places []Place
	for _, t := range scan.Tokens {
		if t.Token == pg_query.Token_C_COMMENT {
			places = append(places, Place{int(t.Start), int(t.End)})
		}
	}
	return places, nil
}

// foldLists makes lists of constants of any length one shape.
func foldLists(shape string) string {
	for _, list := range []string{"?, ?", "?,?", "(?), (?)", "(?),(?)"} {
		one := list[:strings.IndexByte(list, ',')]
		for strings.Contains(shape, list) {
			shape = strings.ReplaceAll(shape, list, one)
		}
	}
	return shape
}

func comment(t pg_query.Token) bool {
	return t == pg_query.Token_SQL_COMMENT || t == pg_query.Token_C_COMMENT
}

func constant(t pg_query.Token) bool {
	switch t {
	case pg_query.Token_ICONST, pg_query.Token_FCONST, pg_query.Token_SCONST,
		pg_query.Token_USCONST, pg_query.Token_BCONST, pg_query.Token_XCONST:
		return true
	default:
		return false
	}
}
