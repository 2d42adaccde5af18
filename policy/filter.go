package policy

import (
	"errors"
	"fmt"
	"strings"
)

// filter is a row filter: a boolean SQL expression cut at its placeholders.
// The zero filter is every row.
type filter struct {
	pos   Pos
	text  []string // the SQL around the placeholders: one more than names
	names []string // the attribute each placeholder stands for
}

func (f filter) everyRow() bool { return len(f.text) == 0 }

// sql fills the placeholders in with the attributes as literals. When one is
// missing, nothing can satisfy the filter: it gives false and the
// attribute's name.
func (f filter) sql(attributes map[string]string) (sql, missing string) {
	if f.everyRow() {
		return "", ""
	}
	var b strings.Builder
	for i, name := range f.names {
		value, ok := attributes[name]
		if !ok || strings.Contains(value, "\x00") {
			return "false", name
		}
		b.WriteString(f.text[i])
		// In parentheses it can neither join a string beside it nor become
		// the constant of a type name before it.
		b.WriteString("(" + quoteLiteral(value) + ")")
	}
	b.WriteString(f.text[len(f.names)])
	return b.String(), ""
}

// probe is the filter with an empty string for every attribute, for checking.
func (f filter) probe() string {
	if f.everyRow() {
		return ""
	}
	return strings.Join(f.text, "('')")
}

// parseFilter cuts a row filter at its placeholders. It reads tokens as
// scan.l does, as far as telling strings, names and comments apart needs: a
// placeholder exists only between them. Comments are taken out, so that what
// follows the filter in a statement cannot fall into one.
func parseFilter(sql string) (filter, error) {
	l := filterLexer{in: sql}
	for l.at < len(l.in) {
		if err := l.token(); err != nil {
			return filter{}, err
		}
	}
	if len(l.open) > 0 {
		return filter{}, fmt.Errorf("%q is not closed", l.open[len(l.open)-1])
	}
	l.cut()
	if strings.TrimSpace(strings.Join(l.f.text, "x")) == "" {
		return filter{}, errors.New("a row filter is empty")
	}
	return l.f, nil
}

// filterLexer walks a row filter. What lies before at is in out or in f.
type filterLexer struct {
	in   string
	at   int
	out  strings.Builder // since the last placeholder
	open []byte          // the brackets not yet closed
	f    filter
}

func (l *filterLexer) rest() string { return l.in[l.at:] }

// take moves n bytes to the output.
func (l *filterLexer) take(n int) {
	l.out.WriteString(l.in[l.at : l.at+n])
	l.at += n
}

// cut ends the piece of SQL before a placeholder or the end.
func (l *filterLexer) cut() {
	l.f.text = append(l.f.text, l.out.String())
	l.out.Reset()
}

func (l *filterLexer) token() error {
	rest := l.rest()
	switch c := rest[0]; {
	case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "/*"):
		return l.comment()
	case c == '\'':
		return l.quoted('\'', false)
	case c == '"':
		return l.quoted('"', false)
	case c == '$':
		return l.dollar()
	case nameByte(c):
		return l.word()
	case c == ':':
		return l.colon()
	case strings.IndexByte("()[]", c) >= 0:
		return l.bracket(c)
	case c == ';' || c == 0:
		return fmt.Errorf("%q has no place in a row filter", c)
	}
	l.take(1)
	return nil
}

// comment drops a comment; block comments nest.
func (l *filterLexer) comment() error {
	n, err := commentLength(l.rest())
	if err != nil {
		return err
	}
	l.at += n
	l.out.WriteByte(' ')
	return nil
}

func commentLength(s string) (int, error) {
	if strings.HasPrefix(s, "--") {
		if n := strings.IndexAny(s, "\r\n"); n >= 0 {
			return n, nil
		}
		return len(s), nil
	}
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
		}
		if depth == 0 {
			return i + 1, nil
		}
	}
	return 0, errors.New("a comment does not end")
}

// quoted takes a string or a quoted name. With escape, a backslash takes the
// next byte along.
func (l *filterLexer) quoted(quote byte, escape bool) error {
	rest := l.rest()
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] == 0:
			return errors.New("a NUL has no place in a row filter")
		case escape && rest[i] == '\\':
			i++
		case rest[i] == quote && i+1 < len(rest) && rest[i+1] == quote:
			i++
		case rest[i] == quote:
			l.take(i + 1)
			return l.notContinued(quote)
		}
	}
	return fmt.Errorf("a %c does not end", quote)
}

// notContinued refuses a string that goes on after a line break: whether the
// second half knows escapes depends on the first, which is not worth knowing.
func (l *filterLexer) notContinued(quote byte) error {
	rest := l.rest()
	for quote == '\'' {
		rest = strings.TrimLeft(rest, " \t\r\n\f\v")
		if strings.HasPrefix(rest, "'") {
			return errors.New("write one string, not two side by side")
		}
		if !strings.HasPrefix(rest, "--") && !strings.HasPrefix(rest, "/*") {
			return nil
		}
		n, err := commentLength(rest)
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// dollar takes a dollar-quoted string. A parameter is refused: it would be
// filled in by whoever sends the statement.
func (l *filterLexer) dollar() error {
	rest := l.rest()
	n := 1
	for n < len(rest) && nameByte(rest[n]) && rest[n] != '$' {
		n++
	}
	if n == len(rest) || rest[n] != '$' || n > 1 && '0' <= rest[1] && rest[1] <= '9' {
		return errors.New("a row filter has no parameters: write :name for an attribute of the user")
	}
	tag := rest[:n+1]
	end := strings.Index(rest[len(tag):], tag)
	if end < 0 {
		return fmt.Errorf("the string that %s opens does not end", tag)
	}
	l.take(end + 2*len(tag))
	return nil
}

// word takes a name, a keyword or a number; E before a quote is an escape
// string.
func (l *filterLexer) word() error {
	rest := l.rest()
	digit := '0' <= rest[0] && rest[0] <= '9'
	n := 1
	for n < len(rest) && nameByte(rest[n]) && !(digit && rest[n] == '$') {
		n++
	}
	escape := n == 1 && (rest[0] == 'e' || rest[0] == 'E') && strings.HasPrefix(rest[n:], "'")
	l.take(n)
	if escape {
		return l.quoted('\'', true)
	}
	return nil
}

// colon takes a cast, a named argument, the colon of a slice, or a placeholder.
func (l *filterLexer) colon() error {
	rest := l.rest()
	inside := len(l.open) > 0 && l.open[len(l.open)-1] == '['
	n := attributeLength(rest[1:])
	switch {
	case strings.HasPrefix(rest, "::"), strings.HasPrefix(rest, ":="):
		l.take(2)
	case l.afterOperand() && inside, n == 0 && inside:
		l.take(1)
	case l.afterOperand() || n == 0:
		return errors.New("a colon is neither a cast nor the start of an attribute's name")
	default:
		l.cut()
		l.f.names = append(l.f.names, rest[1:1+n])
		l.at += 1 + n
	}
	return nil
}

// afterOperand tells whether a value ends right before the cursor.
func (l *filterLexer) afterOperand() bool {
	if l.at == 0 {
		return false
	}
	c := l.in[l.at-1]
	return nameByte(c) || strings.IndexByte(`)]'"`, c) >= 0
}

// attributeLength is the length of the attribute name that s starts with: 0
// when there is none, or when it runs on into a byte that no such name has.
func attributeLength(s string) int {
	n := 0
	for n < len(s) && nameByte(s[n]) {
		if s[n] == '$' || s[n] >= 0x80 || n == 0 && '0' <= s[n] && s[n] <= '9' {
			return 0
		}
		n++
	}
	return n
}

func (l *filterLexer) bracket(c byte) error {
	switch c {
	case '(', '[':
		l.open = append(l.open, c)
	default:
		want := byte('(')
		if c == ']' {
			want = '['
		}
		if len(l.open) == 0 || l.open[len(l.open)-1] != want {
			return fmt.Errorf("%q closes nothing", c)
		}
		l.open = l.open[:len(l.open)-1]
	}
	l.take(1)
	return nil
}
