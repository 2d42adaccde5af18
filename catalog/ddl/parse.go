package ddl

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"
	"github.com/pganalyze/pg_query_go/v6/parser"
)

const (
	maxSize  = 16 << 20 // bytes of text
	maxDepth = 10_000   // of the syntax tree, see tooDeep
)

// located is a statement and the line on which it starts.
type located struct {
	node *pg.Node
	line int
}

func parse(sql string) ([]located, error) {
	if len(sql) > maxSize {
		return nil, fmt.Errorf("text of %d bytes is larger than %d", len(sql), maxSize)
	}
	// C would end the text at the zero byte and thus forget what follows it.
	if strings.ContainsRune(sql, 0) || !utf8.ValidString(sql) {
		return nil, errors.New("text is not valid UTF-8 without zero bytes")
	}
	sql = withoutRestrict(sql)
	scanned, err := pg.Scan(sql)
	if err != nil {
		return nil, syntaxError(sql, err)
	}
	if at, deep := tooDeep(scanned.GetTokens()); deep {
		return nil, fmt.Errorf("line %d: statement is nested too deeply", lineAt(sql, at))
	}
	tree, err := pg.Parse(sql)
	if err != nil {
		return nil, syntaxError(sql, err)
	}
	statements := make([]located, 0, len(tree.GetStmts()))
	tokens := scanned.GetTokens()
	for _, raw := range tree.GetStmts() {
		tokens = skip(tokens, raw.GetStmtLocation())
		line := 1
		if len(tokens) > 0 {
			line = lineAt(sql, tokens[0].GetStart())
		}
		statements = append(statements, located{raw.GetStmt(), line})
	}
	return statements, nil
}

// restrict is the one psql command that pg_dump writes: it surrounds the rest.
var restrict = regexp.MustCompile(`(?m)^\\(un)?restrict [0-9A-Za-z]+$`)

// withoutRestrict blanks out pg_dump's \restrict, with positions kept.
func withoutRestrict(sql string) string {
	return restrict.ReplaceAllStringFunc(sql, func(s string) string {
		return strings.Repeat(" ", len(s))
	})
}

// tooDeep finds whether the parser could overflow its stack, which would end
// the process: it walks the finished tree by recursion, without a limit. A
// level of the tree takes a token at least, and a bracket that is closed again
// stays as one level beside its neighbours, so that the tokens before a point
// that no closed bracket holds are a bound on the depth there. Commas make no
// level: long lists are flat.
func tooDeep(tokens []*pg.ScanToken) (at int32, deep bool) {
	depth, open := 0, []int(nil)
	for _, t := range tokens {
		switch t.GetToken() {
		case pg.Token_ASCII_59: // ;
			depth, open = 0, open[:0]
		case pg.Token_ASCII_40, pg.Token_ASCII_91: // ( [
			depth++
			open = append(open, depth)
		case pg.Token_ASCII_41, pg.Token_ASCII_93: // ) ]
			if n := len(open); n > 0 {
				depth, open = open[n-1], open[:n-1]
			}
		case pg.Token_ASCII_44, pg.Token_SQL_COMMENT, pg.Token_C_COMMENT: // ,
		default:
			depth++
		}
		if depth > maxDepth {
			return t.GetStart(), true
		}
	}
	return 0, false
}

// skip leaves out the tokens before a position, and comments after it.
func skip(tokens []*pg.ScanToken, to int32) []*pg.ScanToken {
	for len(tokens) > 0 && (tokens[0].GetStart() < to || isComment(tokens[0])) {
		tokens = tokens[1:]
	}
	return tokens
}

func isComment(t *pg.ScanToken) bool {
	return t.GetToken() == pg.Token_SQL_COMMENT || t.GetToken() == pg.Token_C_COMMENT
}

func lineAt(sql string, at int32) int {
	return 1 + strings.Count(sql[:min(int(at), len(sql))], "\n")
}

// syntaxError adds the line to an error of the parser, which counts characters
// from one.
func syntaxError(sql string, err error) error {
	var syntax *parser.Error
	if !errors.As(err, &syntax) || syntax.Cursorpos == 0 {
		return fmt.Errorf("parsing: %w", err)
	}
	before, left := 0, syntax.Cursorpos-1
	for before < len(sql) && left > 0 {
		_, size := utf8.DecodeRuneInString(sql[before:])
		before, left = before+size, left-1
	}
	return fmt.Errorf("line %d: %w", lineAt(sql, int32(before)), err)
}

// describe names a statement as its first keywords would: CreateCastStmt is
// "CREATE CAST".
func describe(n *pg.Node) string {
	name := fmt.Sprintf("%T", n.GetNode())
	name = strings.TrimSuffix(name[strings.LastIndex(name, "_")+1:], "Stmt")
	words := wordStart.ReplaceAllString(name, " $0")
	return strings.ToUpper(strings.TrimSpace(words))
}

var wordStart = regexp.MustCompile(`[A-Z]`)
