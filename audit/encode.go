package audit

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// A payload is the JSON that encoding/json gives for a Record, with HTML
// escaping off: the same bytes, without reflection and without allocation. It
// is written in two parts, so that only the part that needs the record's place
// in the log is written under the log's lock.

// maxHead bounds what appendHead writes: {"seq":18446744073709551615,"time":"2006-01-02T15:04:05.999999999Z"
const maxHead = 80

// appendHead writes the fields that Append sets. The time must be in UTC, in
// a year of four digits.
func appendHead(b []byte, seq uint64, t time.Time) []byte {
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, `,"time":"`...)
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendBody writes every other field, in the order of the struct.
func appendBody(b []byte, r *Record) []byte {
	b = append(b, `,"kind":`...)
	b = appendString(b, string(r.Kind))
	b = appendText(b, `,"id":`, r.ID)
	if r.Ref != 0 {
		b = append(b, `,"ref":`...)
		b = strconv.AppendUint(b, r.Ref, 10)
	}
	if r.Caller != "" {
		b = append(b, r.Caller...)
	} else {
		b = appendCaller(b, r)
	}
	if r.Statement != "" {
		b = append(b, r.Statement...)
	} else {
		b = appendStatement(b, r)
	}
	b = appendText(b, `,"sealed":`, r.Sealed)
	b = appendInt(b, `,"rows":`, r.Rows)
	b = appendInt(b, `,"bytes":`, r.Bytes)
	b = appendList(b, `,"subjects":`, r.Subjects)
	b = appendUnnamed(b, r.Unnamed)
	b = appendText(b, `,"relation":`, r.Relation)
	b = appendImages(b, r.Images)
	b = appendInt(b, `,"missing":`, r.Missing)
	b = appendText(b, `,"tag":`, r.Tag)
	b = appendText(b, `,"sqlstate":`, r.SQLState)
	b = appendInt(b, `,"duration_ns":`, int64(r.Duration))
	b = appendText(b, `,"message":`, r.Message)
	b = appendText(b, `,"key":`, r.Key)
	b = appendText(b, `,"event":`, r.Event)
	return append(b, '}')
}

func appendCaller(b []byte, r *Record) []byte {
	b = appendText(b, `,"session":`, r.Session)
	b = appendText(b, `,"login":`, r.Login)
	b = appendText(b, `,"user":`, r.User)
	b = appendList(b, `,"roles":`, r.Roles)
	b = appendText(b, `,"purpose":`, r.Purpose)
	b = appendText(b, `,"ticket":`, r.Ticket)
	b = appendText(b, `,"client":`, r.Client)
	b = appendText(b, `,"app":`, r.App)
	b = appendText(b, `,"database":`, r.Database)
	return appendText(b, `,"generation":`, r.Generation)
}

func appendStatement(b []byte, r *Record) []byte {
	b = appendText(b, `,"command":`, r.Command)
	b = appendText(b, `,"shape":`, r.Shape)
	b = appendText(b, `,"fingerprint":`, r.Fingerprint)
	b = appendText(b, `,"decision":`, r.Decision)
	b = appendList(b, `,"reasons":`, r.Reasons)
	b = appendColumns(b, r.Columns)
	return appendList(b, `,"kinds":`, r.Kinds)
}

func appendColumns(b []byte, columns []Column) []byte {
	if len(columns) == 0 {
		return b
	}
	b = append(b, `,"columns":[`...)
	for i, c := range columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"name":`...)
		b = appendString(b, c.Name)
		b = append(b, `,"class":`...)
		b = appendString(b, c.Class)
		b = append(b, `,"show":`...)
		b = appendString(b, c.Show)
		b = append(b, `,"use":`...)
		b = appendString(b, c.Use)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendUnnamed(b []byte, unnamed []Unnamed) []byte {
	if len(unnamed) == 0 {
		return b
	}
	b = append(b, `,"unnamed":[`...)
	for i, u := range unnamed {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"kind":`...)
		b = appendString(b, u.Kind)
		b = append(b, `,"at_most":`...)
		b = strconv.AppendInt(b, u.AtMost, 10)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendImages(b []byte, images []Image) []byte {
	if len(images) == 0 {
		return b
	}
	b = append(b, `,"images":[`...)
	for i, image := range images {
		if i > 0 {
			b = append(b, ',')
		}
		begin := len(b)
		b = append(b, '{')
		b = appendText(b, `,"before":`, image.Before)
		b = appendText(b, `,"after":`, image.After)
		b = appendTrue(b, `,"doubt":`, image.Doubt)
		b = appendTrue(b, `,"cut":`, image.Cut)
		if len(b) > begin+1 {
			b = append(b[:begin+1], b[begin+2:]...) // the first comma
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendTrue(b []byte, key string, is bool) []byte {
	if !is {
		return b
	}
	return append(append(b, key...), "true"...)
}

func appendText(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(append(b, key...), s)
}

func appendInt(b []byte, key string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(append(b, key...), n, 10)
}

func appendList(b []byte, key string, list []string) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(b, key...)
	for i, s := range list {
		if i == 0 {
			b = append(b, '[')
		} else {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// plain tells which bytes stand for themselves in a JSON string.
var plain = func() (p [256]bool) {
	for c := range p {
		p[c] = c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\'
	}
	return p
}()

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. Bytes that are not UTF-8, which clients
// of other encodings can send, become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if !escapeRune(r, size) {
				i += size
				continue
			}
		}
		b = append(b, s[start:i]...)
		b = appendEscape(b, s[i:i+size])
		i += size
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// escapeRune tells whether encoding/json escapes a rune beyond ASCII: what
// did not decode, and the two line separators that JavaScript takes for ends
// of line.
func escapeRune(r rune, size int) bool {
	return r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029'
}

func appendEscape(b []byte, s string) []byte {
	switch c := s[0]; {
	case c == '"', c == '\\':
		return append(b, '\\', c)
	case c == '\b':
		return append(b, `\b`...)
	case c == '\f':
		return append(b, `\f`...)
	case c == '\n':
		return append(b, `\n`...)
	case c == '\r':
		return append(b, `\r`...)
	case c == '\t':
		return append(b, `\t`...)
	case c < ' ':
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
	case len(s) == 1:
		return append(b, `\ufffd`...)
	default: // U+2028 and U+2029 end in A8 and A9
		return append(b, '\\', 'u', '2', '0', '2', hexDigits[s[2]&0xf])
	}
}
