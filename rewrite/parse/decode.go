package parse

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The C parser gives its trees in two forms, from one list of their fields: as
// protobuf and as JSON. For every node it looks at each of the 270 kinds of
// node to write protobuf, so JSON takes it a quarter to a fifth of the time.
// Reading that form is what this file does, into the same Go types.
//
// It takes exactly what the C code writes. Anything else, be it JSON, is
// errForm, and the caller asks for protobuf.

var errForm = errors.New("parse tree in an unexpected form")

// decode reads a parse tree.
func decode(json string) (*pg_query.ParseResult, error) {
	d := decoder{in: json}
	tree := &pg_query.ParseResult{}
	d.object(reflect.ValueOf(tree).Elem(), treeForm())
	if d.bad || d.at != len(d.in) {
		return nil, errForm
	}
	return tree, nil
}

// decoder reads one tree. Once it is bad, it reads on no further.
type decoder struct {
	in  string
	at  int
	bad bool
}

// skip reads a byte that must be there.
func (d *decoder) skip(c byte) {
	if !d.next(c) {
		d.bad = true
	}
}

// next reads a byte if it is there.
func (d *decoder) next(c byte) bool {
	if d.bad || d.at >= len(d.in) || d.in[d.at] != c {
		return false
	}
	d.at++
	return true
}

// members calls read for each member of an object, with its name.
func (d *decoder) members(read func(name string)) {
	d.skip('{')
	if d.next('}') {
		return
	}
	for !d.bad {
		name := d.plain()
		d.skip(':')
		if read(name); !d.next(',') {
			break
		}
	}
	d.skip('}')
}

// elements calls read for each element of an array.
func (d *decoder) elements(read func()) {
	d.skip('[')
	if d.next(']') {
		return
	}
	for !d.bad {
		if read(); !d.next(',') {
			break
		}
	}
	d.skip(']')
}

// object reads a message's fields.
func (d *decoder) object(v reflect.Value, of *form) {
	at := 0
	d.members(func(name string) {
		if at = of.find(name, at); at < 0 || d.bad {
			d.bad = true
			return
		}
		m := &of.members[at]
		if m.wrapper == nil {
			d.value(v.Field(m.index), m)
			return
		}
		one := reflect.New(m.wrapper)
		d.value(one.Elem().Field(0), m)
		v.Field(m.index).Set(one)
	})
}

func (d *decoder) value(v reflect.Value, m *member) {
	switch m.kind {
	case reflect.String:
		v.SetString(d.text())
	case reflect.Bool:
		v.SetBool(d.boolean())
	case reflect.Int32, reflect.Int64:
		v.SetInt(d.integer(m))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(d.integer(m)))
	case reflect.Pointer:
		p := reflect.New(m.of.typ)
		d.object(p.Elem(), m.of)
		v.Set(p)
	case reflect.Slice:
		d.list(v, m)
	default:
		d.bad = true
	}
}

// list reads a list of messages.
func (d *decoder) list(v reflect.Value, m *member) {
	if nodes, ok := v.Addr().Interface().(*[]*pg_query.Node); ok { // as nearly all are
		d.elements(func() {
			n := &pg_query.Node{}
			d.object(reflect.ValueOf(n).Elem(), m.of)
			*nodes = append(*nodes, n)
		})
		return
	}
	d.elements(func() {
		p := reflect.New(m.of.typ)
		d.object(p.Elem(), m.of)
		v.Set(reflect.Append(v, p))
	})
}

// plain reads a string without escapes, of which there are none in names.
func (d *decoder) plain() string {
	d.skip('"')
	if d.bad {
		return ""
	}
	n := strings.IndexByte(d.in[d.at:], '"')
	if n < 0 || strings.IndexByte(d.in[d.at:d.at+n], '\\') >= 0 {
		d.bad = true
		return ""
	}
	s := d.in[d.at : d.at+n]
	d.at += n + 1
	return s
}

// text reads a string, and does not hold on to the tree's text.
func (d *decoder) text() string {
	d.skip('"')
	start := d.at
	for !d.bad && d.at < len(d.in) {
		switch d.in[d.at] {
		case '"':
			d.at++
			return d.utf8(strings.Clone(d.in[start : d.at-1]))
		case '\\':
			return d.escaped(start)
		}
		d.at++
	}
	d.bad = true
	return ""
}

// escaped goes on with a string at its first escape.
func (d *decoder) escaped(start int) string {
	b := []byte(d.in[start:d.at])
	for d.at < len(d.in) {
		c := d.in[d.at]
		d.at++
		switch c {
		case '"':
			return d.utf8(string(b))
		case '\\':
			b = append(b, d.escape())
		default:
			b = append(b, c)
		}
	}
	d.bad = true
	return ""
}

// escape reads what follows a backslash.
func (d *decoder) escape() byte {
	rest := d.in[d.at:]
	if rest == "" {
		d.bad = true
		return 0
	}
	d.at++
	switch rest[0] {
	case '"', '\\':
		return rest[0]
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'u':
		if len(rest) > 4 {
			if c, err := strconv.ParseUint(rest[1:5], 16, 7); err == nil {
				d.at += 4
				return byte(c)
			}
		}
	}
	d.bad = true
	return 0
}

// utf8 leaves to protobuf what to say of text in no encoding.
func (d *decoder) utf8(s string) string {
	d.bad = d.bad || !utf8.ValidString(s)
	return s
}

func (d *decoder) boolean() bool {
	for _, word := range []string{"true", "false"} {
		if strings.HasPrefix(d.in[d.at:], word) {
			d.at += len(word)
			return word == "true"
		}
	}
	d.bad = true
	return false
}

// integer reads a number, or the name of an enumeration's value.
func (d *decoder) integer(m *member) int64 {
	if m.names != nil {
		n, ok := m.names[d.plain()]
		d.bad = d.bad || !ok
		return int64(n)
	}
	start := d.at
	d.next('-')
	for d.at < len(d.in) && '0' <= d.in[d.at] && d.in[d.at] <= '9' {
		d.at++
	}
	n, err := strconv.ParseInt(d.in[start:d.at], 10, 64)
	d.bad = d.bad || err != nil
	return n
}

// form is what a message looks like in JSON.
type form struct {
	typ     reflect.Type // of the Go struct
	members []member
	byName  map[string]int // of those with so many members that looking through them is slow
}

// member is one name in a form.
type member struct {
	name    string
	index   int          // of the Go field
	wrapper reflect.Type // of a field that is one of several: what holds it
	kind    reflect.Kind // Invalid for what no tree of a statement holds
	of      *form        // of a message, or a list of them
	names   map[string]protoreflect.EnumNumber
}

// find gives the place of a member, most likely at or behind a place; -1 when
// there is none.
func (f *form) find(name string, at int) int {
	if f.byName != nil {
		if i, ok := f.byName[name]; ok {
			return i
		}
		return -1
	}
	for i := range f.members {
		if j := (at + i) % len(f.members); f.members[j].name == name {
			return j
		}
	}
	return -1
}

// treeForm gives the form of a whole tree, and so of all that there is in it.
var treeForm = sync.OnceValue(func() *form {
	return makeForm((&pg_query.ParseResult{}).ProtoReflect(), map[protoreflect.FullName]*form{})
})

// manyMembers is from how many members on a form has a map of them.
const manyMembers = 32

// makeForm makes a message's form, unless it is already made.
func makeForm(m protoreflect.Message, made map[protoreflect.FullName]*form) *form {
	name := m.Descriptor().FullName()
	if f, ok := made[name]; ok {
		return f
	}
	f := &form{typ: reflect.TypeOf(m.Interface()).Elem()}
	made[name] = f
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f.members = append(f.members, makeMember(f.typ, m, fields.Get(i), made))
	}
	if len(f.members) >= manyMembers {
		f.byName = map[string]int{}
		for i, m := range f.members {
			f.byName[m.name] = i
		}
	}
	return f
}

func makeMember(t reflect.Type, message protoreflect.Message, field protoreflect.FieldDescriptor, made map[protoreflect.FullName]*form) member {
	m := member{name: field.JSONName()}
	var at reflect.Type
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		if one := field.ContainingOneof(); one != nil && tag.Get("protobuf_oneof") == string(one.Name()) {
			message.Set(field, message.NewField(field))
			m.index, m.wrapper = i, reflect.ValueOf(message.Interface()).Elem().Field(i).Elem().Type().Elem()
			at = m.wrapper.Field(0).Type
		} else if one == nil && strings.Contains(tag.Get("protobuf"), ",name="+string(field.Name())+",") {
			m.index, at = i, t.Field(i).Type
		}
	}
	switch {
	case at == nil:
	case field.Message() != nil:
		m.kind = at.Kind()
		for at.Kind() == reflect.Slice {
			at = at.Elem()
		}
		m.of = makeForm(reflect.New(at.Elem()).Interface().(protoreflect.ProtoMessage).ProtoReflect(), made)
	case at.Kind() != reflect.Slice:
		m.kind, m.names = at.Kind(), enumNames(field)
	}
	return m
}

// enumNames gives the names of an enumeration's values, nil for what is none.
func enumNames(field protoreflect.FieldDescriptor) map[string]protoreflect.EnumNumber {
	if field.Enum() == nil {
		return nil
	}
	names, values := map[string]protoreflect.EnumNumber{}, field.Enum().Values()
	for i := range values.Len() {
		names[string(values.Get(i).Name())] = values.Get(i).Number()
	}
	return names
}
