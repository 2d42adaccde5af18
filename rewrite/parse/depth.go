package parse

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

const (
	// depthFree is a text's length, in bytes, up to which it cannot nest
	// deeply enough to matter: the parser survives "+1" eight thousand times.
	depthFree = 16 << 10
	// maxDepth bounds the estimated depth of a parse tree. The C parser
	// overflows its stack somewhere above 16,000 levels.
	maxDepth = 4000
)

// level is what the tokens since an opening bracket can add to the depth.
type level struct {
	expr int // operators and casts since the last comma, AND or OR
	rel  int // joins and set operations, which chain across commas
}

// checkDepth refuses a text whose tree could be too deep to parse safely. It
// counts tokens as the parser's own lexer gives them and never
// underestimates: brackets and CASE nest, operators chain to the left, AND and
// OR are flat.
func checkDepth(sql string) error {
	if err := checkLexer(sql); err != nil {
		return err
	}
	if len(sql) <= depthFree {
		return nil
	}
	scan, err := pg_query.Scan(sql)
	if err != nil {
		return syntaxError(err)
	}
	levels, depth := []level{{}}, 0
	for _, t := range scan.Tokens {
		top := &levels[len(levels)-1]
		switch t.Token {
		case pg_query.Token_ASCII_40, pg_query.Token_ASCII_91, pg_query.Token_CASE:
			levels = append(levels, level{})
			depth++
		case pg_query.Token_ASCII_41, pg_query.Token_ASCII_93, pg_query.Token_END_P:
			if len(levels) > 1 {
				depth -= top.expr + top.rel + 1
				levels = levels[:len(levels)-1]
			}
		case pg_query.Token_ASCII_44, pg_query.Token_AND, pg_query.Token_OR:
			depth -= top.expr
			top.expr = 0
		case pg_query.Token_UNION, pg_query.Token_INTERSECT, pg_query.Token_EXCEPT, pg_query.Token_JOIN:
			top.rel++
			depth++
		case pg_query.Token_ASCII_59:
			levels, depth = []level{{}}, 0
		default:
			if t.KeywordKind == pg_query.KeywordKind_NO_KEYWORD && operand(t.Token) {
				continue
			}
			top.expr++
			depth++
		}
		if depth > maxDepth {
			return &SyntaxError{Message: fmt.Sprintf("statement nests deeper than %d levels", maxDepth)}
		}
	}
	return nil
}

// maxComments bounds how deep comments nest: the lexer's time grows with the
// square of it.
const maxComments = 100

// deepComments looks for comments in comments. It takes what stands in strings
// for comments as well, and so errs on the safe side.
func deepComments(sql string) bool {
	depth := 0
	for i := 0; i+1 < len(sql); i++ {
		switch {
		case sql[i] == '/' && sql[i+1] == '*':
			if depth++; depth > maxComments {
				return true
			}
			i++
		case sql[i] == '*' && sql[i+1] == '/':
			depth = max(0, depth-1)
			i++
		}
	}
	return false
}

// operand tells whether the token can only be a leaf of the tree.
func operand(t pg_query.Token) bool {
	switch t {
	case pg_query.Token_IDENT, pg_query.Token_UIDENT, pg_query.Token_ICONST, pg_query.Token_FCONST,
		pg_query.Token_SCONST, pg_query.Token_USCONST, pg_query.Token_BCONST, pg_query.Token_XCONST,
		pg_query.Token_PARAM, pg_query.Token_SQL_COMMENT, pg_query.Token_C_COMMENT:
		return true
	default:
		return false
	}
}
