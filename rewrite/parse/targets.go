package parse

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// TargetsEnd gives where the list of a query's outputs ends: behind the last, as
// a byte offset. The text must be one SELECT with a FROM, and no DISTINCT.
func TargetsEnd(sql string) (int, error) {
	scanned, err := pg_query.Scan(sql)
	if err != nil {
		return 0, syntaxError(err)
	}
	depth, selected := 0, false
	var before *pg_query.ScanToken
	for _, t := range scanned.Tokens {
		switch t.Token {
		case pg_query.Token_ASCII_40, pg_query.Token_ASCII_91:
			depth++
		case pg_query.Token_ASCII_41, pg_query.Token_ASCII_93:
			depth--
		case pg_query.Token_SELECT:
			selected = selected || depth == 0
		case pg_query.Token_FROM:
			// IS DISTINCT FROM is an operator.
			if depth == 0 && selected && before.Token != pg_query.Token_DISTINCT {
				return int(before.End), nil
			}
		}
		before = t
	}
	return 0, fmt.Errorf("a query without FROM")
}
