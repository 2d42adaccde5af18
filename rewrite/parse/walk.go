package parse

import (
	"maps"
	"reflect"
	"strings"
	"sync"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// Walk calls visit for every message of a parse tree, parents first. Where
// visit answers false, what lies below is left out.
//
// It goes by the messages' Go fields, so no node type can be missed; the price
// is reflection, with what there is in a type looked up once.
func Walk(m proto.Message, visit func(proto.Message) bool) {
	if v := reflect.ValueOf(m); m != nil && !v.IsNil() {
		walk(v, layoutOf(v.Type().Elem()), visit)
	}
}

// walk visits the message that a pointer other than nil points to.
func walk(v reflect.Value, l *layout, visit func(proto.Message) bool) {
	if !visit(v.Interface().(proto.Message)) {
		return
	}
	for i := range l.branches {
		b := &l.branches[i]
		switch f := v.Elem().Field(b.index); {
		case f.IsNil():
		case b.kind == reflect.Pointer:
			walk(f, b.of, visit)
		case b.kind == reflect.Interface:
			one := oneOf(f)
			walk(one, layoutOf(one.Type().Elem()), visit)
		default:
			walkList(f, b.of, visit)
		}
	}
}

func walkList(f reflect.Value, of *layout, visit func(proto.Message) bool) {
	for i := range f.Len() {
		if e := f.Index(i); !e.IsNil() {
			walk(e, of, visit)
		}
	}
}

// oneOf gives the message in a field that is one of several.
func oneOf(f reflect.Value) reflect.Value { return f.Elem().Elem().Field(0) }

// Equal tells whether two parse trees are the same, leaving aside where in
// their texts the nodes stood.
func Equal(a, b proto.Message) bool {
	return EqualEach(a, b, func(*pg_query.ColumnRef, *pg_query.ColumnRef) {})
}

// EqualEach does so too, and calls each with every column reference of a and
// the one in its place in b, as far as they are equal, and not in what the
// trees share.
func EqualEach(a, b proto.Message, each func(a, b *pg_query.ColumnRef)) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	return x.Type() == y.Type() && equal(x, y, layoutOf(x.Type().Elem()), each)
}

func equal(a, b reflect.Value, l *layout, each func(a, b *pg_query.ColumnRef)) bool {
	if a.IsNil() || b.IsNil() {
		return a.IsNil() && b.IsNil()
	}
	if a.Pointer() == b.Pointer() {
		return true
	}
	if ref, ok := a.Interface().(*pg_query.ColumnRef); ok {
		each(ref, b.Interface().(*pg_query.ColumnRef))
	}
	a, b = a.Elem(), b.Elem()
	for _, i := range l.scalars {
		if !equalScalars(a.Field(i), b.Field(i)) {
			return false
		}
	}
	for i := range l.branches {
		if !l.branches[i].equal(a, b, each) {
			return false
		}
	}
	return true
}

func equalScalars(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.String:
		return a.String() == b.String()
	case reflect.Bool:
		return a.Bool() == b.Bool()
	case reflect.Int32, reflect.Int64:
		return a.Int() == b.Int()
	case reflect.Slice:
		same := a.Len() == b.Len()
		for i := 0; same && i < a.Len(); i++ {
			same = a.Index(i).Equal(b.Index(i))
		}
		return same
	default:
		return a.Equal(b)
	}
}

func (br *branch) equal(a, b reflect.Value, each func(a, b *pg_query.ColumnRef)) bool {
	a, b = a.Field(br.index), b.Field(br.index)
	switch br.kind {
	case reflect.Pointer:
		return equal(a, b, br.of, each)
	case reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && b.IsNil()
		}
		if a.Elem().Type() != b.Elem().Type() {
			return false
		}
		a, b = oneOf(a), oneOf(b)
		return equal(a, b, layoutOf(a.Type().Elem()), each)
	default:
		same := a.Len() == b.Len()
		for i := 0; same && i < a.Len(); i++ {
			same = equal(a.Index(i), b.Index(i), br.of, each)
		}
		return same
	}
}

// layout is what there is in a message: its fields but for locations.
type layout struct {
	scalars  []int
	branches []branch
}

// branch is a field that holds messages: one, a list of them, or one of several
// kinds.
type branch struct {
	index int
	kind  reflect.Kind
	of    *layout // nil for one of several kinds
}

var layouts sync.Map // reflect.Type → *layout

// layoutOf gives a message's layout, with all that it leads to made before
// anyone else can see it.
func layoutOf(t reflect.Type) *layout {
	if l, ok := layouts.Load(t); ok {
		return l.(*layout)
	}
	made := map[reflect.Type]*layout{}
	l := makeLayout(t, made)
	for t, l := range maps.All(made) {
		layouts.Store(t, l)
	}
	return l
}

func makeLayout(t reflect.Type, made map[reflect.Type]*layout) *layout {
	if l, ok := made[t]; ok {
		return l
	}
	l := &layout{}
	made[t] = l
	for i := range t.NumField() {
		f := t.Field(i)
		kind := f.Type.Kind()
		switch {
		case !f.IsExported() || kind == reflect.Int32 && strings.HasSuffix(f.Name, "ocation"):
		case kind == reflect.Interface:
			l.branches = append(l.branches, branch{index: i, kind: kind})
		case kind == reflect.Pointer:
			l.branches = append(l.branches, branch{i, kind, makeLayout(f.Type.Elem(), made)})
		case kind == reflect.Slice && f.Type.Elem().Kind() == reflect.Pointer:
			l.branches = append(l.branches, branch{i, kind, makeLayout(f.Type.Elem().Elem(), made)})
		default:
			l.scalars = append(l.scalars, i)
		}
	}
	return l
}
