package parse

import "strings"

// plainShape gives the shape of a text of plain tokens: names and whole words
// of ASCII, decimal numbers, strings without prefix and backslash, parameters
// and operators. ok is false where there is anything that the lexer could take
// in another way, such as a comment or a string that goes on after a new line:
// then it must be asked, which costs more.
func plainShape(sql string) (shape string, ok bool) {
	var b strings.Builder
	b.Grow(len(sql))
	last := byte(0) // what the token before begins with
	for i := 0; i < len(sql); {
		if space(sql[i]) {
			i++
			continue
		}
		n := plainToken(sql[i:])
		if n == 0 || sql[i] == '\'' && last == '\'' {
			return "", false
		}
		if last != 0 && space(sql[i-1]) {
			b.WriteByte(' ')
		}
		if last = sql[i]; last == '\'' || digit(last) {
			b.WriteByte('?')
		} else {
			b.WriteString(sql[i : i+n])
		}
		i += n
	}
	return b.String(), true
}

// plainToken gives the length of the token that a text begins with, 0 when it
// is none of the plain ones or what follows may belong to it.
func plainToken(s string) int {
	switch c := s[0]; {
	case c == '\'', c == '"':
		n := strings.IndexByte(s[1:], c) + 2
		if n < 3 || strings.IndexByte(s[:n], '\\') >= 0 || strings.IndexByte(s[:n], 0) >= 0 || n < len(s) && !delimits(s[n]) {
			return 0
		}
		return n
	case digit(c):
		return plainNumber(s)
	case c == '$':
		n := 1 + span(s[1:], digit)
		if n == 1 || n > 9 || n < len(s) && !delimits(s[n]) {
			return 0
		}
		return n
	case letter(c):
		n := span(s, func(c byte) bool { return letter(c) || digit(c) })
		if n < len(s) && !delimits(s[n]) && s[n] != '.' {
			return 0
		}
		return n
	case c == '.':
		if len(s) < 2 || !letter(s[1]) && s[1] != '"' && s[1] != '*' {
			return 0
		}
		return 1
	case len(s) > 1 && (c == '-' || c == '/') && (s[1] == '-' || s[1] == '*'):
		return 0
	case strings.IndexByte("+-*/<>=~!@#%^&|`?()[],;:", c) >= 0:
		if span(s, func(c byte) bool { return strings.IndexByte("+-*/<>=~!@#%^&|`?", c) >= 0 }) > 8 {
			return 0 // the lexer bounds operators
		}
		return 1
	default:
		return 0
	}
}

// plainNumber takes 12 and 12.5.
func plainNumber(s string) int {
	n := span(s, digit)
	if n+1 < len(s) && s[n] == '.' && digit(s[n+1]) {
		n += 1 + span(s[n+1:], digit)
	}
	if n < len(s) && !delimits(s[n]) {
		return 0
	}
	return n
}

// span counts the bytes at the beginning that are of a kind.
func span(s string, of func(byte) bool) int {
	n := 0
	for n < len(s) && of(s[n]) {
		n++
	}
	return n
}

// delimits tells whether a byte ends any plain token.
func delimits(c byte) bool { return space(c) || strings.IndexByte("+-*/<>=~!@%^|()[],;:", c) >= 0 }

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func digit(c byte) bool { return '0' <= c && c <= '9' }

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }
