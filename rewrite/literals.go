package rewrite

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/rewrite/injection"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// Many applications write values into their statements, so that no text comes
// twice. One plan serves all texts that differ in plain literals only: their
// common form is planned with marks in place of the literals, and each text's
// own literals are put where the marks came out.
//
// A literal here is a string in plain quotes or a decimal number. Texts with
// anything that could make a lexer see it otherwise (other kinds of strings,
// comments, several statements) have plans of their own, and so have
// statements in which a literal decides something (see decides).

// literals is a text taken apart: its form, in which a mark stands for each
// literal, and the literals as they were written.
type literals struct {
	form []byte   // the text; 0 and a class letter for each literal
	lits [][]byte // slices of the text
}

// The classes of literals, as the form names them. The parser treats integers
// that do not fit 32 bits as numerics.
const (
	classString  = 's'
	classInteger = 'i'
	classNumeric = 'n'
)

// maxLiterals bounds the literals of one text: a long list of values is data,
// not a statement that comes again.
const maxLiterals = 256

// split takes a text apart. ok is false for texts that have a plan of their
// own.
func (l *literals) split(text []byte) (ok bool) {
	l.form, l.lits = l.form[:0], l.lits[:0]
	if !plainStatement(text) || len(text) > 64<<10 || !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return false
	}
	for i := 0; i < len(text); {
		c := text[i]
		n := 1
		switch {
		case c == '\'':
			if n, ok = plainString(text[i:]); !ok || i > 0 && wordByte(text[i-1]) || i > 0 && text[i-1] == '&' {
				return false
			}
			l.literal(classString, text[i:i+n])
			i += n
			continue
		case c >= '0' && c <= '9', c == '.' && i+1 < len(text) && digit(text[i+1]):
			class := byte(0)
			if class, n, ok = plainNumber(text[i:]); !ok {
				return false
			}
			l.literal(class, text[i:i+n])
			i += n
			continue
		case c == '"':
			if n = bytes.IndexByte(text[i+1:], '"') + 2; n == 1 {
				return false
			}
		case wordStart(c):
			for i+n < len(text) && (wordByte(text[i+n]) || text[i+n] == '$') {
				n++
			}
		case c == '$':
			for i+n < len(text) && digit(text[i+n]) {
				n++
			}
			if n == 1 {
				return false // a dollar-quoted string
			}
		case c == ';':
			if len(bytes.Trim(text[i:], "; \t\r\n")) > 0 {
				return false
			}
		case c == '\\', c == 0, c == '-' && i+1 < len(text) && text[i+1] == '-', c == '/' && i+1 < len(text) && text[i+1] == '*':
			return false
		}
		l.form = append(l.form, text[i:i+n]...)
		i += n
	}
	return len(l.lits) > 0 && len(l.lits) <= maxLiterals
}

func (l *literals) literal(class byte, text []byte) {
	l.form = append(l.form, 0, class)
	l.lits = append(l.lits, text)
}

// plainStatement tells whether a text begins like a query.
func plainStatement(text []byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n")
	if len(text) < 7 || wordByte(text[6]) {
		return false
	}
	return slices.ContainsFunc(queryWords, func(w []byte) bool { return bytes.EqualFold(w, text[:6]) })
}

var queryWords = [][]byte{[]byte("SELECT"), []byte("INSERT"), []byte("UPDATE"), []byte("DELETE")}

// plainString gives the length of a string in plain quotes. One that a further
// string may continue is not plain.
func plainString(text []byte) (n int, ok bool) {
	for n = 1; n < len(text); n++ {
		if text[n] != '\'' {
			continue
		}
		if n+1 < len(text) && text[n+1] == '\'' {
			n++
			continue
		}
		rest := bytes.TrimLeft(text[n+1:], " \t\r\n\f\v")
		return n + 1, len(rest) == 0 || rest[0] != '\''
	}
	return 0, false
}

// plainNumber gives the class and length of a decimal number, written as the server writes
// it.
func plainNumber(text []byte) (class byte, n int, ok bool) {
	class = classInteger
	for n < len(text) && digit(text[n]) {
		n++
	}
	if n < len(text) && text[n] == '.' {
		class = classNumeric
		for n++; n < len(text) && digit(text[n]); {
			n++
		}
	}
	if n < len(text) && (wordByte(text[n]) || text[n] == '.') {
		return 0, 0, false // an exponent, another base, or something else again
	}
	if text[0] == '.' || text[n-1] == '.' || n > 1 && text[0] == '0' && digit(text[1]) {
		return 0, 0, false // the server writes it otherwise
	}
	if class == classInteger && !fits32(text[:n]) {
		class = classNumeric
	}
	return class, n, true
}

// fits32 tells whether digits make a number that fits 32 bits with its sign.
func fits32(digits []byte) bool {
	v := 0
	for _, c := range digits {
		if v = 10*v + int(c-'0'); v > math.MaxInt32 {
			return false
		}
	}
	return true
}

func digit(c byte) bool     { return c >= '0' && c <= '9' }
func wordStart(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80 }
func wordByte(c byte) bool  { return wordStart(c) || digit(c) }

// mark gives what stands for literal i while the form is planned.
func mark(class byte, i int) string {
	switch class {
	case classString:
		return fmt.Sprintf("'pgveil literal %d'", i)
	case classInteger:
		return strconv.Itoa(1934560000 + i)
	default:
		return fmt.Sprintf("1934560000.%03d5", i)
	}
}

// marked gives the form as a text, with a mark for each literal.
func (l *literals) marked() string {
	var b strings.Builder
	for i, n := 0, 0; i < len(l.form); i++ {
		if l.form[i] != 0 {
			b.WriteByte(l.form[i])
			continue
		}
		b.WriteString(mark(l.form[i+1], n))
		n++
		i++
	}
	return b.String()
}

// shared is a plan for all texts of one form.
type shared struct {
	plan  *Plan
	err   error
	parts []part // of the text to send, when it is another than the client's
}

// part is a piece of text and the literal that follows it; -1 for none.
type part struct {
	text    string
	literal int
	seal    *Hole // what the literal has to be sealed for; nil: it stands there as it is
}

// fill gives the text to send for a text's literals, appended to dst, and the places
// in it where they are to be sealed, appended to holes.
func (s *shared) fill(dst []byte, holes []Hole, lits [][]byte) ([]byte, []Hole) {
	for _, p := range s.parts {
		dst = append(dst, p.text...)
		switch {
		case p.literal < 0:
		case p.seal != nil:
			h := *p.seal
			h.At, h.End, h.Value = len(dst), len(dst)+len(standIn), writtenValue(lits[p.literal])
			dst, holes = append(dst, standIn...), append(holes, h)
		default:
			dst = append(dst, lits[p.literal]...)
		}
	}
	return dst, holes
}

// writtenValue gives the value of a literal, as literalValue does.
func writtenValue(lit []byte) string {
	switch {
	case lit[0] == '\'':
		return strings.ReplaceAll(string(lit[1:len(lit)-1]), "''", "'")
	case fits32(lit) && bytes.IndexByte(lit, '.') < 0:
		return cmp.Or(strings.TrimLeft(string(lit), "0"), "0")
	default:
		return string(lit)
	}
}

// share makes the plan for all texts of a form from the plan of one of them.
// nil means that each has to be planned by itself.
func (e *Engine) share(s Session, l *literals, text string, own *Plan, ownErr error) *shared {
	marked := l.marked()
	if strings.Contains(text, "pgveil literal") || strings.Contains(text, "193456") || decides(marked) || s.Access.Limits.RefuseUnfiltered && filtersBy(marked) {
		return nil
	}
	if own != nil && own.Unfollowed {
		return nil // a literal may be what it names
	}
	p, err := e.plan(s, marked)
	if err != nil || ownErr != nil {
		if !sameRefusal(err, ownErr) {
			return nil
		}
		return &shared{err: err}
	}
	if !samePlan(p, own) {
		return nil
	}
	// What the log says of the form must not name the marks.
	p.Shape, p.Fingerprint, p.Text = own.Shape, own.Fingerprint, ""
	l.number(p.Written)
	sh := &shared{plan: p}
	if !p.Changed {
		return sh
	}
	var ok bool
	if sh.parts, ok = l.sealed(p); !ok {
		return nil
	}
	filled, holes := sh.fill(nil, nil, l.lits)
	if p.Seals != nil {
		if !slices.EqualFunc(holes, own.Seals.Holes, func(a, b Hole) bool {
			return a.Value == b.Value && a.For == b.For && a.Find == b.Find && a.Forms == b.Forms
		}) {
			return nil
		}
		p.Seals.Holes = nil
	}
	again, err := parse.ParseOne(string(filled))
	if err != nil {
		return nil
	}
	want, err := parse.ParseOne(own.SQL)
	if err != nil || !parse.Equal(again, want) {
		return nil
	}
	p.SQL = ""
	return sh
}

// sealed cuts a planned text at its marks and where values are to be sealed. It gives
// false where one of those is not a literal by itself, or has a key of its own.
func (l *literals) sealed(p *Plan) (all []part, ok bool) {
	at := 0
	if p.Seals != nil {
		for _, h := range p.Seals.Holes {
			i := l.marks(h.Value)
			if i < 0 || h.For.Shred || h.Row != nil {
				return nil, false
			}
			all = append(all, l.parts(p.SQL[at:h.At])...)
			all = append(all, part{literal: i, seal: &Hole{For: h.For, Find: h.Find, Forms: h.Forms}})
			at = h.End
		}
	}
	all = append(all, l.parts(p.SQL[at:])...)
	for _, one := range all { // nor does it stand anywhere else
		if one.seal != nil && slices.ContainsFunc(all, func(b part) bool { return b.literal == one.literal && b.seal == nil }) {
			return nil, false
		}
	}
	return all, true
}

// marks gives which literal a value is the mark of; -1 for none.
func (l *literals) marks(value string) int {
	for i, n := 0, 0; i < len(l.form); i++ {
		if l.form[i] != 0 {
			continue
		}
		if strings.Trim(mark(l.form[i+1], n), "'") == value {
			return n
		}
		n++
		i++
	}
	return -1
}

// parts cuts a planned text at its marks.
func (l *literals) parts(sql string) []part {
	var parts []part
	for len(sql) > 0 {
		at, which, length := len(sql), -1, 0
		for i, n := 0, 0; i < len(l.form); i++ {
			if l.form[i] != 0 {
				continue
			}
			m := mark(l.form[i+1], n)
			if p := strings.Index(sql, m); p >= 0 && p < at {
				at, which, length = p, n, len(m)
			}
			n++
			i++
		}
		parts = append(parts, part{text: sql[:at], literal: which})
		sql = sql[at+length:]
	}
	return parts
}

func sameRefusal(a, b error) bool {
	ra, ok := a.(*Refusal)
	rb, okB := b.(*Refusal)
	return ok && okB && ra.Code == rb.Code && ra.Message == rb.Message && ra.Hint == rb.Hint && ra.Rule == rb.Rule && ra.Unknown == "" && ra.Position == 0
}

func samePlan(a, b *Plan) bool {
	return a.Changed == b.Changed && a.Governed == b.Governed && a.Decision == b.Decision &&
		a.Guesses == b.Guesses && slices.Equal(a.Signs, b.Signs) && slices.Equal(a.Steps, b.Steps) && slices.EqualFunc(a.Subjects, b.Subjects, (*Naming).equal) && sameWritten(a.Written, b.Written) && a.Seals.like(b.Seals) && slices.Equal(a.Columns, b.Columns) && slices.Equal(a.Reasons, b.Reasons)
}

// decides tells whether some literal of a statement could decide what the
// statement means, so that no plan may be shared: it is part of a type, counts
// output columns, names a setting, or is what makes an injection one.
func decides(sql string) bool {
	node, err := parse.ParseOne(sql)
	if err != nil || injection.DependsOnLiterals(node) {
		return true
	}
	found := false
	parse.Walk(node, func(m proto.Message) bool {
		switch v := m.(type) {
		case *pg_query.TypeName:
			found = found || len(v.Typmods) > 0 || len(v.ArrayBounds) > 0
		case *pg_query.SQLValueFunction:
			found = found || v.Typmod >= 0
		case *pg_query.SortBy:
			found = found || v.Node.GetAConst() != nil
		case *pg_query.SelectStmt:
			found = found || slices.ContainsFunc(v.GroupClause, isLiteral) || slices.ContainsFunc(v.DistinctClause, isLiteral)
		case *pg_query.GroupingSet:
			found = found || slices.ContainsFunc(v.Content, isLiteral)
		case *pg_query.FuncCall:
			name := v.Funcname[len(v.Funcname)-1].GetString_().GetSval()
			found = found || name == "set_config" || name == "current_setting"
		case *pg_query.JsonTable, *pg_query.RangeTableFunc, *pg_query.XmlExpr, *pg_query.JsonFuncExpr:
			found = true
		}
		return !found
	})
	return found
}

// filtersBy tells whether a literal of a statement may decide whether it reads
// without a filter: how many rows there may be, or what values begin with.
func filtersBy(sql string) bool {
	node, err := parse.ParseOne(sql)
	if err != nil {
		return true
	}
	found := false
	parse.Walk(node, func(m proto.Message) bool {
		switch v := m.(type) {
		case *pg_query.SelectStmt:
			found = found || v.LimitCount != nil
		case *pg_query.A_Expr:
			found = found || v.Kind == pg_query.A_Expr_Kind_AEXPR_LIKE || v.Kind == pg_query.A_Expr_Kind_AEXPR_ILIKE ||
				v.Kind == pg_query.A_Expr_Kind_AEXPR_OP && literalText(v.Rexpr) != "" && !isEqual(v.Name)
		}
		return !found
	})
	return found
}

func isLiteral(n *pg_query.Node) bool { return n.GetAConst() != nil || n.GetRowExpr() != nil }
