package parse

import (
	"fmt"
	"strings"
)

// Of signs that operators are made of the lexer takes as many as there are, and
// gives back those behind the beginning of a comment, or a sign at the end: a
// row of such signs may be read again for each of them (psqlscan's {operator} and
// {xcstart}, in scan.l). The server spends its own process's time on that, which
// pgveil has for all sessions.
const (
	// shortRow is a row of signs whose cost is no matter.
	shortRow = 64
	// maxRows bounds the squares of the lengths of longer rows, all together:
	// those of one row of 4096, which take a tenth of a second.
	maxRows = 16 << 20
)

var operatorSigns = func() (signs [256]bool) {
	for _, c := range []byte("~!@#^&|`?+-*/%<>=") {
		signs[c] = true
	}
	return signs
}()

// checkLexer refuses a text over which the lexer would take long.
func checkLexer(sql string) error {
	switch {
	case deepComments(sql):
		return &SyntaxError{Message: fmt.Sprintf("comments nest deeper than %d levels", maxComments)}
	case slowOperators(sql):
		return &SyntaxError{Message: "rows of operators and comments without a space between them are too long"}
	default:
		return nil
	}
}

// slowOperators tells whether the lexer would take long over rows of operators'
// signs. What certainly stands in strings is not among them; where that is not
// certain at a glance, it is.
func slowOperators(sql string) bool {
	quotes := !strings.ContainsAny(sql, `\$"`) && !strings.Contains(sql, "--") && !strings.Contains(sql, "/*")
	quoted, row, cost := false, 0, 0
	for i := range len(sql) {
		c := sql[i]
		if quotes && c == '\'' {
			quoted = !quoted
		}
		if !quoted && operatorSigns[c] {
			row++
			continue
		}
		if row > shortRow {
			cost += row * row
		}
		row = 0
	}
	if row > shortRow {
		cost += row * row
	}
	return cost > maxRows
}
