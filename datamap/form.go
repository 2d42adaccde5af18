package datamap

import (
	"slices"

	"github.com/pgveil/pgveil/catalog"
)

// form is what a type can hold, as far as that says what data it is. The zero
// form is one of which nothing is known.
type form uint8

const (
	formUnknown form = iota
	formText
	formNumber
	formBool
	formDate // a date or a moment
	formTime // a time of day, an interval
	formNetwork
	formMAC
	formPoint
	formUUID
	formBytes
	formJSON
	formComposite
	formEnum
)

var forms = map[string]form{
	"text": formText, "varchar": formText, "bpchar": formText, "citext": formText, "name": formText, "char": formText, "xml": formText,
	"hstore": formText, "ltree": formText, "tsvector": formText, "jsonpath": formText,
	"int2": formNumber, "int4": formNumber, "int8": formNumber, "numeric": formNumber, "float4": formNumber, "float8": formNumber, "money": formNumber, "oid": formNumber,
	"bool": formBool, "bit": formBool, "date": formDate, "timestamp": formDate, "timestamptz": formDate,
	"time": formTime, "timetz": formTime, "interval": formTime,
	"inet": formNetwork, "cidr": formNetwork, "macaddr": formMAC, "macaddr8": formMAC,
	"point": formPoint, "geometry": formPoint, "geography": formPoint,
	"uuid": formUUID, "bytea": formBytes, "json": formJSON, "jsonb": formJSON,
}

// formOf gives the form of a column's type; of an array, that of its elements.
func formOf(t catalog.Type) form {
	base := t.Base
	if t.Elem != 0 && len(base) > 1 && base[0] == '_' {
		base = base[1:]
	}
	switch {
	case t.Kind == 'e':
		return formEnum
	case t.Kind == 'c':
		return formComposite
	default:
		return forms[base]
	}
}

// holds tells whether a class can be held by the form at all.
func (f form) holds(c Class) bool {
	switch f {
	case formText, formUnknown, formComposite:
		return true
	case formJSON:
		return !slices.Contains([]Class{Card, IP}, c)
	case formNumber:
		return slices.Contains([]Class{Phone, NationalID, Card, Account, Income, Location, BirthDate, Marital, Document, Gender, Device, Address, Health}, c)
	case formBool:
		return c.Special() || c == Child || c == Criminal
	case formDate:
		return c == BirthDate || c == Health
	case formTime:
		return false
	case formNetwork:
		return c == IP
	case formMAC:
		return c == Device
	case formPoint:
		return c == Location || c == Address
	case formUUID:
		return c == Device || c == Credential
	case formBytes:
		return slices.Contains([]Class{Photo, Biometric, Credential, FreeText, Document, Health}, c)
	case formEnum:
		return c.Special() || slices.Contains([]Class{Gender, Marital, Nationality, Child, Criminal}, c)
	default:
		return false
	}
}

// settled tells whether samples of a form say what the next value is like: a JSON
// document may have other keys tomorrow, and of bytes hardly any can be read.
func (f form) settled() bool { return f != formJSON && f != formBytes && f != formUnknown }

// harmless tells whether a form is open when nothing says what it holds.
func (f form) harmless() bool {
	switch f {
	case formNumber, formBool, formDate, formTime, formUUID, formEnum:
		return true
	default:
		return false
	}
}
