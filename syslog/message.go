package syslog

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Head appends what a message has before its structured data. A severity is from
// 0 to 7.
func (s *Sender) Head(m []byte, severity int, at time.Time, id string) []byte {
	return fmt.Appendf(m, "<%d>1 %s %s %s - %s", s.Facility*8+severity, at.UTC().Format("2006-01-02T15:04:05.000000Z"),
		name(s.Host, 255), name(s.App, 48), name(id, 32))
}

// Data begins structured data, to which AppendParam adds; a "]" ends it.
func (s *Sender) Data(m []byte) []byte { return fmt.Appendf(m, " [pgveil@%d", s.Enterprise) }

// AppendParam adds a parameter to structured data, unless it is empty. Of a value
// that has more than so many bytes it has the beginning. The name must be one of
// letters.
func AppendParam(m []byte, name, value string, most int) []byte {
	if value == "" {
		return m
	}
	return fmt.Appendf(m, ` %s="%s"`, name, paramValue(value, most))
}

// name makes text a name in a header: printable ASCII without spaces.
func name(text string, most int) string {
	text = strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' {
			return '_'
		}
		return c
	}, beginning(text, most))
	if text == "" {
		return "-"
	}
	return text
}

// paramValue escapes the value of a parameter, of at most so many bytes before
// that. Control characters, line ends among them, have no place in it.
func paramValue(text string, most int) string {
	text = Line(text)
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(beginning(text, most))
	if len(text) > most {
		return escaped + "..."
	}
	return escaped
}

// Line makes text one line: what is no UTF-8, control characters and line ends of
// any kind become question marks.
func Line(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == '\u2028' || c == '\u2029' {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
}

// beginning gives at most so many bytes of a text, of whole characters.
func beginning(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}
