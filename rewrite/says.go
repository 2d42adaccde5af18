package rewrite

import (
	"bytes"
	"slices"
)

// A session of an application with end users says who asks before each of their
// requests, by a text that is another one each time:
//
//	SET LOCAL pgveil.token = 'eyJhbGciOi…'
//
// Such texts have one plan in common, that of their beginning; each brings a
// value along. Written in any other way they are planned like all texts.

// says takes a text apart that says who asks. The beginning ends before the
// value; plain is false for every other text, and where the value has anything
// in it that could end it or be escaped.
func says(text []byte) (beginning, value []byte, plain bool) {
	if len(text) < 4 || text[0] != 'S' && text[0] != 's' || !bytes.EqualFold(text[:4], []byte("SET ")) {
		return nil, nil, false
	}
	rest := text[4:]
	for _, scope := range [][]byte{[]byte("LOCAL "), []byte("SESSION ")} {
		if len(rest) > len(scope) && bytes.EqualFold(rest[:len(scope)], scope) {
			rest = rest[len(scope):]
			break
		}
	}
	name, rest, _ := bytes.Cut(rest, []byte(" "))
	if !slices.ContainsFunc(askerSettings, func(s string) bool { return bytes.EqualFold(name, []byte(s)) }) {
		return nil, nil, false
	}
	sign, rest, _ := bytes.Cut(rest, []byte(" "))
	if string(sign) != "=" && !bytes.EqualFold(sign, []byte("TO")) || len(rest) < 3 || rest[0] != '\'' {
		return nil, nil, false
	}
	rest = bytes.TrimSuffix(rest, []byte(";"))
	value, closed := bytes.CutSuffix(rest[1:], []byte("'"))
	if !closed || len(value) == 0 || slices.ContainsFunc(value, func(c byte) bool { return c == '\'' || c == '\\' || c < ' ' || c > '~' }) {
		return nil, nil, false
	}
	return text[:bytes.IndexByte(text, '\'')], value, true
}

// sayKey is the text under which the plan of a beginning is cached: no client
// sends a zero.
func (l *Lookup) sayKey(beginning []byte) []byte {
	l.sql = append(append(l.sql[:0], beginning...), 0)
	return l.sql
}

// said gives the plan that a text which says who asks has in common with others,
// if it is known.
func (l *Lookup) said(beginning, value []byte) (Ready, bool, error) {
	c, ok := l.engine.plans.get(l.session.Access.ID, l.path, l.sayKey(beginning))
	if !ok {
		return Ready{}, false, nil
	}
	return Ready{Plan: c.plan, Value: string(value)}, true, c.err
}

// say makes that plan.
func (l *Lookup) say(beginning, value []byte) (Ready, bool, error) {
	e := l.engine
	p, err := e.plan(l.session, string(beginning)+"'x'")
	if p != nil && len(p.Steps) == 1 { // what is not read has none
		p.Steps[0].Value = ""
	}
	e.keep(cacheKey{l.session.Access.ID, l.path, string(l.sayKey(beginning))}, p, err)
	return Ready{Plan: p, Value: string(value)}, false, err
}
