// Package parse turns statement text into parse trees with PostgreSQL's own
// grammar, and back.
//
// In goes what a client sent; out come statements in the order the server
// would run them, or a SyntaxError. Splitting is the parser's: a dollar-quoted
// string may hold a semicolon, and a splitter that disagrees with the server
// is an injection.
//
// The C parser recurses on its own stack and cannot be interrupted, so texts
// that would nest too deeply are refused before it sees them (depth.go).
package parse

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"github.com/pganalyze/pg_query_go/v6/parser"
)

// MaxText is the longest statement text that is parsed, in bytes.
const MaxText = 16 << 20

// treeVersion is what parse trees of this parser carry; Deparse takes no other.
const treeVersion = 170007

// Statement is one statement of a text.
type Statement struct {
	Node *pg_query.Node
	Text string // its own part of the text, without the semicolon
}

// SyntaxError is a text that the grammar does not know, or that is too long,
// too deep or not UTF-8 for it.
type SyntaxError struct {
	Message  string
	Position int // in characters from 1, as PostgreSQL counts; 0 when unknown
}

func (e *SyntaxError) Error() string { return e.Message }

// Parse gives the statements of a text, none for a text of comments and white
// space only.
func Parse(sql string) ([]Statement, error) {
	if err := check(sql); err != nil {
		return nil, err
	}
	tree, err := read(sql)
	if err != nil {
		return nil, syntaxError(err)
	}
	stmts := make([]Statement, len(tree.Stmts))
	for i, raw := range tree.Stmts {
		stmts[i] = Statement{Node: raw.Stmt, Text: rawText(sql, raw)}
	}
	return stmts, nil
}

// maxJSON is the longest text whose tree is read as JSON, which takes some ten
// times the memory of protobuf.
const maxJSON = 256 << 10

// read has the C parser read a text, and gives its tree.
func read(sql string) (*pg_query.ParseResult, error) {
	if len(sql) > maxJSON {
		return pg_query.Parse(sql)
	}
	json, err := parser.ParseToJSON(sql)
	if err != nil {
		return nil, err
	}
	tree, err := decode(json)
	if err != nil {
		return pg_query.Parse(sql)
	}
	return tree, nil
}

// ParseOne parses a text that must hold exactly one statement.
func ParseOne(sql string) (*pg_query.Node, error) {
	stmts, err := Parse(sql)
	if err != nil {
		return nil, err
	}
	if len(stmts) != 1 {
		return nil, fmt.Errorf("parse: internal error: %d statements where one was expected", len(stmts))
	}
	return stmts[0].Node, nil
}

// Deparse gives the text of the statements, separated by semicolons.
func Deparse(nodes ...*pg_query.Node) (string, error) {
	tree := &pg_query.ParseResult{Version: treeVersion, Stmts: make([]*pg_query.RawStmt, len(nodes))}
	for i, n := range nodes {
		tree.Stmts[i] = &pg_query.RawStmt{Stmt: n}
	}
	return pg_query.Deparse(tree)
}

func check(sql string) error {
	switch {
	case len(sql) > MaxText:
		return &SyntaxError{Message: fmt.Sprintf("statement of %d bytes is longer than %d", len(sql), MaxText)}
	case !utf8.ValidString(sql):
		return &SyntaxError{Message: "statement is not valid UTF-8"}
	case strings.IndexByte(sql, 0) >= 0:
		return &SyntaxError{Message: "statement holds a zero byte"}
	}
	return checkDepth(sql)
}

func rawText(sql string, raw *pg_query.RawStmt) string {
	end := len(sql)
	if raw.StmtLen > 0 {
		end = int(raw.StmtLocation + raw.StmtLen)
	}
	return strings.TrimSpace(sql[raw.StmtLocation:end])
}

func syntaxError(err error) error {
	var p *parser.Error
	if errors.As(err, &p) {
		return &SyntaxError{Message: p.Message, Position: p.Cursorpos}
	}
	return &SyntaxError{Message: err.Error()}
}
