package load

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pgveil/pgveil/audit"
)

// Rows are written in the text format of COPY, exactly as the server would write
// them itself: what Verify reads back is compared byte for byte.

// The columns of pgveil.access_log: what a record says of itself, and what the
// outcome of a statement does.
const (
	recordColumns = "log, seq, at, kind, id, session, login, username, roles, purpose, ticket, client, app, database, generation, " +
		"command, shape, fingerprint, decision, reasons, classes, columns, column_classes, column_shows, column_uses, subject_kinds, " +
		"message, about, signing_key, event, hash"
	outcomeColumns = "outcome, ended_at, rows, bytes, tag, sqlstate, took, outcome_message, outcome_hash"
	subjectColumns = "log, seq, at, record, n, kind, token, at_most"
)

// encoder writes rows of one log.
type encoder struct {
	log   string
	ascii bool // the database cannot hold all of Unicode
}

// maxKey bounds what is in an index, in bytes: PostgreSQL refuses keys of more
// than a third of a page. Only what others made up can be longer.
const maxKey = 500

const null = `\N`

// record writes the columns of a record, without an end of the line.
func (e encoder) record(b []byte, r *audit.Leaf) []byte {
	b = e.text(b, e.log)
	b = strconv.AppendUint(append(b, '\t'), r.Seq, 10)
	b = appendTime(append(b, '\t'), r.Time)
	b = e.key(b, string(r.Kind))
	b = e.key(b, r.ID)
	b = e.texts(b, r.Session, r.Login)
	b = e.key(b, r.User)
	b = e.list(b, r.Roles)
	b = e.texts(b, r.Purpose, r.Ticket, r.Client, r.App, r.Database, r.Generation, r.Command, r.Shape, r.Fingerprint)
	b = e.key(b, r.Decision)
	b = e.list(b, r.Reasons)
	b = e.list(b, classes(r.Columns))
	for _, of := range []func(audit.Column) string{
		func(c audit.Column) string { return c.Name },
		func(c audit.Column) string { return c.Class },
		func(c audit.Column) string { return c.Show },
		func(c audit.Column) string { return c.Use },
	} {
		values := make([]string, len(r.Columns))
		for i, c := range r.Columns {
			values[i] = of(c)
		}
		b = e.list(b, values)
	}
	b = e.list(b, r.Kinds)
	b = e.texts(b, r.Message)
	b = append(b, '\t')
	if r.Ref == 0 {
		b = append(b, null...)
	} else {
		b = strconv.AppendUint(b, r.Ref, 10)
	}
	b = e.texts(b, r.Key, r.Event)
	return appendHash(append(b, '\t'), r)
}

// outcome writes how a statement ended, each field after a tab.
func (e encoder) outcome(b []byte, r *audit.Leaf) []byte {
	b = strconv.AppendUint(append(b, '\t'), r.Seq, 10)
	b = appendTime(append(b, '\t'), r.Time)
	b = strconv.AppendInt(append(b, '\t'), r.Rows, 10)
	b = strconv.AppendInt(append(b, '\t'), r.Bytes, 10)
	b = e.texts(b, r.Tag, r.SQLState)
	b = appendInterval(append(b, '\t'), r.Duration)
	b = e.texts(b, r.Message)
	return appendHash(append(b, '\t'), r)
}

// noOutcome writes what stands in an outcome's place: of a refusal its SQLSTATE,
// of a privacy command the rows, of a statement that waits for one nothing.
func (e encoder) noOutcome(b []byte, r *audit.Leaf) []byte {
	rows, tag, sqlstate := null, "", ""
	if !waits(r) {
		tag, sqlstate = r.Tag, r.SQLState
	}
	if r.Kind == audit.KindPrivacy {
		rows = strconv.FormatInt(r.Rows, 10)
	}
	b = append(b, "\t"+null+"\t"+null+"\t"+rows+"\t"+null...)
	b = e.texts(b, tag, sqlstate)
	return append(b, "\t"+null+"\t"+null+"\t"+null...)
}

// waits tells whether a record is a statement that an outcome is to come of.
func waits(r *audit.Leaf) bool { return r.Kind == audit.KindStatement && r.Decision != "refuse" }

// subjects writes a row for each data subject that a record names, and for each
// kind of which it names not all.
func (e encoder) subjects(b []byte, seq uint64, at time.Time, r *audit.Leaf) []byte {
	n := 0
	row := func(kind string) {
		b = e.text(b, e.log)
		b = strconv.AppendUint(append(b, '\t'), seq, 10)
		b = appendTime(append(b, '\t'), at)
		b = strconv.AppendUint(append(b, '\t'), r.Seq, 10)
		b = strconv.AppendInt(append(b, '\t'), int64(n), 10)
		b = append(b, '\t')
		b = e.text(b, clip(kind))
		n++
	}
	for _, s := range r.Subjects {
		kind, token := splitSubject(s)
		row(kind)
		b = append(b, '\t')
		b = e.text(b, clip(token))
		b = append(b, "\t"+null+"\n"...)
	}
	for _, u := range r.Unnamed {
		row(u.Kind)
		b = strconv.AppendInt(append(b, "\t"+null+"\t"...), u.AtMost, 10)
		b = append(b, '\n')
	}
	return b
}

func splitSubject(s string) (kind, token string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, ""
	}
	return s[:i], s[i+1:]
}

// classes gives the classes of columns, each once.
func classes(columns []audit.Column) []string {
	var list []string
	seen := map[string]bool{"": true}
	for _, c := range columns {
		if !seen[c.Class] {
			seen[c.Class] = true
			list = append(list, c.Class)
		}
	}
	return list
}

// clip cuts what is in an index.
func clip(s string) string {
	if len(s) <= maxKey {
		return s
	}
	n := maxKey
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// key writes a text that is in an index, after a tab.
func (e encoder) key(b []byte, s string) []byte { return e.texts(b, clip(s)) }

// texts writes texts, each after a tab; an empty one is NULL.
func (e encoder) texts(b []byte, list ...string) []byte {
	for _, s := range list {
		b = append(b, '\t')
		if s == "" {
			b = append(b, null...)
			continue
		}
		b = e.text(b, s)
	}
	return b
}

// text writes a text as COPY does.
func (e encoder) text(b []byte, s string) []byte {
	s = e.storable(s)
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '\\':
			b = append(b, `\\`...)
		case c >= '\b' && c <= '\r':
			b = append(b, '\\', "btnvfr"[c-'\b'])
		default:
			b = append(b, c)
		}
	}
	return b
}

// storable gives a text as the database can hold it. PostgreSQL's text knows no
// U+0000: it becomes U+FFFD, as does what is not UTF-8.
func (e encoder) storable(s string) string {
	if !e.ascii && strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r == 0 {
			r = utf8.RuneError
		}
		if e.ascii && r >= utf8.RuneSelf {
			fmt.Fprintf(&b, `\u{%X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// list writes an array of texts, after a tab.
func (e encoder) list(b []byte, list []string) []byte {
	b = append(b, "\t{"...)
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		s = e.storable(s)
		if plainElement(s) {
			b = e.text(b, s)
			continue
		}
		b = append(b, '"')
		b = e.text(b, elementEscapes.Replace(s))
		b = append(b, '"')
	}
	return append(b, '}')
}

var elementEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// plainElement tells whether an element of an array stands without quotes
// (array_out in arrayfuncs.c).
func plainElement(s string) bool {
	return s != "" && !strings.EqualFold(s, "NULL") && !strings.ContainsAny(s, "\"\\{}, \t\n\r\v\f")
}

// appendTime writes a time as ISO has it, in UTC. Records have nanoseconds, and
// PostgreSQL microseconds.
func appendTime(b []byte, t time.Time) []byte {
	return t.UTC().Truncate(time.Microsecond).AppendFormat(b, "2006-01-02 15:04:05.999999-07")
}

// appendInterval writes a time span as IntervalStyle postgres has it.
func appendInterval(b []byte, d time.Duration) []byte {
	if d = d.Truncate(time.Microsecond); d < 0 {
		b, d = append(b, '-'), -d
	}
	b = fmt.Appendf(b, "%02d:%02d:%02d", d/time.Hour, d/time.Minute%60, d/time.Second%60)
	if us := d % time.Second / time.Microsecond; us > 0 {
		b = append(b, strings.TrimRight(fmt.Sprintf(".%06d", us), "0")...)
	}
	return b
}

func appendHash(b []byte, r *audit.Leaf) []byte {
	return hex.AppendEncode(append(b, `\\x`...), r.Hash[:])
}
