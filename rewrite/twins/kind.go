package twins

import (
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// kind is a group of types whose values the generator uses alike. Its letter
// stands for an expression of it in templates.
type kind byte

// The kinds. Of other types there are only columns, and what holds for all.
const (
	integer  kind = 'i'
	number   kind = 'n'
	text     kind = 't'
	boolean  kind = 'b'
	date     kind = 'd'
	moment   kind = 'z'
	network  kind = 'r'
	document kind = 'j'
	uuid     kind = 'u'
	list     kind = 'a' // text[]
	other    kind = 'o'
)

// kinds are those that expressions are made of, the frequent ones repeated.
var kinds = []kind{integer, integer, number, text, text, text, text, boolean, boolean, date, moment, network, document, uuid, list}

// names gives the type that a constant of a kind is written as.
var names = map[kind]string{
	integer: "int", number: "numeric", text: "text", boolean: "boolean", date: "date", moment: "timestamptz",
	network: "inet", document: "jsonb", uuid: "uuid", list: "text[]",
}

func kindOf(t catalog.Type) kind {
	switch name := t.Base; {
	case t.Kind == 'c' || t.Kind == 'e':
		return other
	case name == "int2" || name == "int4" || name == "int8":
		return integer
	case name == "numeric" || strings.HasPrefix(name, "float"):
		return number
	case name == "text" || name == "varchar" || name == "bpchar" || name == "name":
		return text
	case name == "bool":
		return boolean
	case name == "date":
		return date
	case strings.HasPrefix(name, "timestamp"):
		return moment
	case name == "inet" || name == "cidr":
		return network
	case name == "json" || name == "jsonb":
		return document
	case name == "uuid":
		return uuid
	case name == "_text":
		return list
	default:
		return other
	}
}

// constants are values of each kind that mean nothing in particular, and those
// with which something goes wrong.
var constants = map[kind][]string{
	integer:  {"0", "1", "2", "3", "10", "-1", "NULL", "2147483647"},
	number:   {"0", "1", "2.5", "100", "5000", "-1", "NULL", "'NaN'::numeric"},
	text:     {"''", "'a'", "'A%'", "'*'", "'1'", "'x@y.z'", "'é'", "NULL", "'2020-01-01'"},
	boolean:  {"true", "false", "NULL"},
	date:     {"date '2000-01-01'", "date '1984-03-15'", "date 'infinity'", "NULL::date"},
	moment:   {"timestamptz '2026-01-01 00:00:00+00'", "timestamptz '2024-06-01 12:00:00+00'", "NULL::timestamptz"},
	network:  {"inet '10.0.0.1'", "inet '198.51.100.0/24'", "inet '::1'", "NULL::inet"},
	document: {`jsonb '{"k": 1}'`, "jsonb '[1, null]'", `jsonb '"x"'`, "jsonb '{}'", "NULL::jsonb"},
	uuid:     {"uuid '00000000-0000-0000-0000-000000000000'", "NULL::uuid"},
	list:     {"'{}'::text[]", "ARRAY['a', NULL]", "NULL::text[]"},
	other:    {"NULL"},
}

// quote writes a text as a literal.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// identifier writes a name, quoted where it must be.
func identifier(s string) string {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' {
			return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
		}
	}
	return s
}
