package privacy

import "strings"

// tokenKind is what a token is. The zero tokenKind is the end of the text.
type tokenKind uint8

const (
	tokenEnd    tokenKind = iota
	tokenWord             // a name, keyword, integer or uuid without quotes
	tokenName             // a name in double quotes, its quotes taken off
	tokenString           // its quotes taken off
	tokenSymbol           // one byte that is none of the above
)

type token struct {
	kind tokenKind
	text string
	at   int // offset in the command
}

// is tells whether the token is a keyword, which is written in capitals here.
func (t token) is(keyword string) bool {
	return t.kind == tokenWord && strings.EqualFold(t.text, keyword)
}

// next cuts off the token at or after offset at, and says where it ends.
// Comments and white space are PostgreSQL's. A word may contain single hyphens,
// so that a uuid is one; two begin a comment.
func next(sql string, at int) (token, int, *Error) {
	at = skip(sql, at)
	if at == len(sql) {
		return token{at: at}, at, nil
	}
	switch c := sql[at]; {
	case strings.HasPrefix(sql[at:], "/*"):
		return token{}, at, syntax(at, "unterminated comment", "")
	case c == '\'':
		return quotes(sql, at, tokenString, "string")
	case c == '"':
		return quotes(sql, at, tokenName, "quoted name")
	case letter(c) || digit(c) || (c == '-' || c == '+') && at+1 < len(sql) && digit(sql[at+1]):
		to := at + 1
		for to < len(sql) && (letter(sql[to]) || digit(sql[to]) || sql[to] == '$' || sql[to] == '-' && !strings.HasPrefix(sql[to:], "--")) {
			to++
		}
		if to < len(sql) && sql[to] == '\'' {
			return token{}, at, syntax(at, "a string has no prefix here", "write it as '…', with '' for a quote")
		}
		return token{tokenWord, sql[at:to], at}, to, nil
	}
	return token{tokenSymbol, sql[at : at+1], at}, at + 1, nil
}

// quotes cuts off what stands in quotes; two of them within mean one.
func quotes(sql string, at int, kind tokenKind, what string) (token, int, *Error) {
	quote := sql[at : at+1]
	for to := at + 1; ; to += 2 {
		n := strings.Index(sql[to:], quote)
		if n < 0 {
			return token{}, at, syntax(at, "unterminated "+what, "")
		}
		to += n
		if !strings.HasPrefix(sql[to+1:], quote) {
			return token{kind, strings.ReplaceAll(sql[at+1:to], quote+quote, quote), at}, to + 1, nil
		}
	}
}

// skip passes over white space and comments; one that does not end it leaves.
func skip(sql string, at int) int {
	for at < len(sql) {
		switch c := sql[at]; {
		case c == ' ' || c >= '\t' && c <= '\r':
			at++
		case strings.HasPrefix(sql[at:], "--"):
			n := strings.IndexAny(sql[at:], "\r\n")
			if n < 0 {
				return len(sql)
			}
			at += n
		case strings.HasPrefix(sql[at:], "/*"):
			to := commentEnd(sql, at)
			if to < 0 {
				return at
			}
			at = to
		default:
			return at
		}
	}
	return at
}

// commentEnd gives where the comment at offset at ends, or -1 when it does not.
// PostgreSQL's comments nest.
func commentEnd(sql string, at int) int {
	depth := 0
	for at+1 < len(sql) {
		switch sql[at : at+2] {
		case "/*":
			depth++
			at += 2
		case "*/":
			depth--
			at += 2
			if depth == 0 {
				return at
			}
		default:
			at++
		}
	}
	return -1
}

func letter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func hexadecimal(c byte) bool {
	return digit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
