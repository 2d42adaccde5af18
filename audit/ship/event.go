package ship

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/pgveil/pgveil/audit"
)

// Event is one record on its way to a sink.
type Event struct {
	Log    string // name of the chain that it is in
	Record audit.Record
	// UID names the record wherever it goes. A record that is sent again has the
	// same; one of another log that took this one's place has another.
	UID string
	// Correlation is what a statement, its subjects and its outcome have in
	// common; "" of a record that is of no statement.
	Correlation string
	// Statement is, of an outcome and of subjects, the statement that they are
	// of, so that an event says by itself who did what. It is nil where the log
	// does not have that record any more.
	Statement *audit.Record
	Body      []byte // what is sent: JSON in one line, without control characters
	Whole     int    // length of the body before it was shortened for the sink; 0: it was not
}

// newEvent makes the event of a record, without its body.
func newEvent(log string, r, statement *audit.Record) Event {
	e := Event{Log: log, Record: *r, Statement: statement, UID: fmt.Sprintf("%s-%d-%s", log, r.Seq, digest(r)[:12])}
	switch {
	case r.Kind == audit.KindStatement:
		e.Correlation = fmt.Sprintf("%s-%d", log, r.Seq)
	case r.Ref != 0: // record 0 tells of a start, never of a statement
		e.Correlation = fmt.Sprintf("%s-%d", log, r.Ref)
	}
	return e
}

// who gives the record that says who did it, and what.
func (e *Event) who() *audit.Record {
	if e.Statement != nil {
		return e.Statement
	}
	return &e.Record
}

// digest tells a record from any other of its seq. It is over fields that
// every record has or that make it what it is, and not over its JSON, to which a
// later version may add.
func digest(r *audit.Record) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %q %d %q %q %q %q %q", r.Seq, r.Time.UnixNano(), r.Kind, r.Ref, r.ID, r.Session, r.User, r.Fingerprint, r.Message))
	return hex.EncodeToString(sum[:])
}

// encode writes a value as JSON in one line, in which no character is a control
// character: neither those that JSON itself forbids nor DEL and U+0080 to
// U+009F, which a terminal or a collector may take for more than text.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if !bytes.ContainsFunc(text, isControl) {
		return text, nil
	}
	var clean []byte
	for len(text) > 0 {
		c, n := utf8.DecodeRune(text)
		if isControl(c) {
			clean = fmt.Appendf(clean, `\u%04x`, c)
		} else {
			clean = append(clean, text[:n]...)
		}
		text = text[n:]
	}
	return clean, nil
}

func isControl(c rune) bool { return c < 0x20 || c >= 0x7f && c <= 0x9f }

// fill makes the event's body, of at most limit bytes where that is not 0.
func (e *Event) fill(format Format, limit int) (err error) {
	if e.Body, err = encode(format(e)); err != nil || limit == 0 || len(e.Body) <= limit {
		return err
	}
	short := *e
	short.Whole = len(e.Body)
	if e.Statement != nil {
		s := *e.Statement
		short.Statement = &s
	}
	for len(short.Body) > limit {
		if !short.shrink() {
			return fmt.Errorf("record %d takes %d bytes at least, and the sink %d at most", e.Record.Seq, len(short.Body), limit)
		}
		if short.Body, err = encode(format(&short)); err != nil {
			return err
		}
	}
	e.Body, e.Whole = short.Body, short.Whole
	return nil
}

// shrink halves what of the event is longest, and tells whether there was
// anything to halve.
func (e *Event) shrink() bool {
	best := func() bool { return false }
	most := 8 // bytes below which nothing is gained
	consider := func(size int, halve func()) {
		if size > most {
			most, best = size, func() bool { halve(); return true }
		}
	}
	for _, r := range []*audit.Record{&e.Record, e.Statement} {
		if r == nil {
			continue
		}
		for _, text := range []*string{&r.Shape, &r.Message, &r.App, &r.User, &r.Login, &r.Purpose, &r.Ticket, &r.Client, &r.Database, &r.Key, &r.Tag} {
			consider(len(*text), func() { *text = cut(*text, len(*text)/2) })
		}
		for _, list := range []*[]string{&r.Reasons, &r.Subjects, &r.Roles, &r.Kinds} {
			consider(textSize(*list), func() { *list = (*list)[:len(*list)/2] })
		}
		consider(96*len(r.Columns), func() { r.Columns = r.Columns[:len(r.Columns)/2] })
		consider(100*len(r.Images), func() { r.Images = r.Images[:len(r.Images)/2] })
		consider(40*len(r.Unnamed), func() { r.Unnamed = r.Unnamed[:len(r.Unnamed)/2] })
	}
	return best()
}

func textSize(list []string) (n int) {
	for _, s := range list {
		n += len(s) + 3
	}
	return n
}

// cut gives the beginning of a text, of whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
