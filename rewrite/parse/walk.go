package parse

import (
	"reflect"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
)

// Walk calls visit for every message of a parse tree, parents first. Where
// visit answers false, what lies below is left out.
//
// It goes by the messages' Go fields, so no node type can be missed; the price
// is reflection, with the fields of each type looked up once.
func Walk(m proto.Message, visit func(proto.Message) bool) {
	if m != nil {
		walkValue(reflect.ValueOf(m), visit)
	}
}

func walkValue(v reflect.Value, visit func(proto.Message) bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		if m, ok := v.Interface().(proto.Message); ok && !visit(m) {
			return
		}
		for _, f := range treeFields(v.Type().Elem()) {
			walkValue(v.Elem().Field(f.index), visit)
		}
	case reflect.Interface:
		if !v.IsNil() {
			walkValue(v.Elem(), visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			walkValue(v.Index(i), visit)
		}
	default: // a scalar: nothing below
	}
}

// Equal tells whether two parse trees are the same, leaving aside where in
// their texts the nodes stood.
func Equal(a, b proto.Message) bool {
	return equalValue(reflect.ValueOf(a), reflect.ValueOf(b))
}

func equalValue(a, b reflect.Value) bool {
	if a.IsValid() != b.IsValid() || a.IsValid() && a.Type() != b.Type() {
		return false
	}
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && b.IsNil()
		}
		if a.Pointer() == b.Pointer() {
			return true
		}
		for _, f := range allFields(a.Type().Elem()) {
			if !equalValue(a.Elem().Field(f.index), b.Elem().Field(f.index)) {
				return false
			}
		}
		return true
	case reflect.Interface:
		return equalValue(a.Elem(), b.Elem())
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !equalValue(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Invalid:
		return true
	default:
		return a.Equal(b)
	}
}

type field struct {
	index int
	tree  bool // holds messages
}

var fieldsOf sync.Map // reflect.Type → []field, all but locations

func allFields(t reflect.Type) []field {
	if f, ok := fieldsOf.Load(t); ok {
		return f.([]field)
	}
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Type.Kind() == reflect.Int32 && strings.HasSuffix(f.Name, "ocation") {
			continue
		}
		fields = append(fields, field{index: i, tree: holdsTree(f.Type)})
	}
	fieldsOf.Store(t, fields)
	return fields
}

var treeFieldsOf sync.Map // reflect.Type → []field, those that hold messages

func treeFields(t reflect.Type) []field {
	if f, ok := treeFieldsOf.Load(t); ok {
		return f.([]field)
	}
	var fields []field
	for _, f := range allFields(t) {
		if f.tree {
			fields = append(fields, f)
		}
	}
	treeFieldsOf.Store(t, fields)
	return fields
}

func holdsTree(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface:
		return true
	case reflect.Slice:
		return holdsTree(t.Elem())
	default:
		return false
	}
}
