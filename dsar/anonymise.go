package dsar

import (
	"fmt"
	"strings"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/rewrite/mask"
)

// becomes is what a column holds after a row was anonymised.
type becomes struct {
	column string
	how    string // in words
	value  string // SQL, over the row as it was, o; "" where it is filled
	fill   *filling
	hashes bool // of what fills the column beside it
}

// random gives 32 hexadecimal digits, others for each row: two UUIDs of
// version 4 would be needed for more than their 122 random bits.
const random = "replace(gen_random_uuid()::text, '-', '')"

const mailDomain = "@anonymised.invalid"

// becomes gives what a column of a row that is anonymised becomes; ok is false
// when it stays. What is open tells of nobody, and keys hold rows together:
// both stay unless the policy says otherwise, but no key stays in silence that
// the policy takes for personal data.
func (f fact) becomes(rel *catalog.Relation, class policy.Class) (b becomes, ok bool, err error) {
	b.column = f.name
	said := class.Erase.Mask
	switch {
	case class.Erase.Keep, f.fixed, f.blind: // which becomes what is beside it becomes
		return b, false, nil
	case said.Kind == policy.MaskNull && f.mandatory:
		return b, false, f.unfit(class, "it cannot be null")
	case said.Kind == policy.MaskToken:
		b.how = "token"
		f.unique = true
		b.value, ok = f.value()
	case said.Kind == policy.MaskNull:
		b.how, b.value, ok = "null", "NULL", true
	case said.Kind != 0:
		b.how = said.String()
		c, _ := rel.Column(f.name)
		b.value, err = mask.Expr(said, class.Name, rel, c, "o."+quote(f.name))
		return b, err == nil, err
	case class.Open() && !f.dangling, f.refers:
		return b, false, nil
	case f.key:
		return b, false, f.unfit(class, "it is a key")
	default:
		b, ok = f.fit(), true
	}
	if !ok || b.value == "" && b.fill == nil {
		return b, false, f.unfit(class, "no value of its type is known to tell of nobody")
	}
	return b, true, nil
}

// fit gives null where a column can be null, else a value that tells of nobody;
// "" when none is known.
func (f fact) fit() becomes {
	if !f.mandatory {
		return becomes{column: f.name, how: "null", value: "NULL"}
	}
	if f.sealed != nil {
		return f.fitSealed()
	}
	value, _ := f.value()
	how := "a fixed value"
	if f.unique || f.mail() {
		how = "a random value"
	}
	return becomes{column: f.name, how: how, value: value}
}

func (f fact) unfit(class policy.Class, why string) error {
	return privacy.Fail(privacy.NotAllowed,
		fmt.Sprintf(`say so in the policy: "erase" of class %q, as in erase: keep, or erase: constant('…')`, class.Name),
		"what %s becomes in a row that is anonymised is not known: %s", f.reference, why)
}

// value gives a value of a column's type that tells of nobody: a random one
// where values must differ, and none where the type has no random ones.
func (f fact) value() (sql string, ok bool) {
	switch {
	case f.kind == "e":
		return literal(f.label), !f.unique
	case f.kind == "c":
		return literal("(" + strings.Repeat(",", max(f.attributes-1, 0)) + ")"), !f.unique
	case f.kind == "r":
		return "'empty'", !f.unique
	case f.kind == "m", f.category == "A":
		return "'{}'", !f.unique
	}
	if f.unique {
		return f.different()
	}
	switch f.base {
	case "text", "varchar", "bpchar", "citext", "name":
		if f.mail() {
			return f.different()
		}
		return literal("anonymised"[:f.room(len("anonymised"))]), true
	case "int2", "int4", "int8", "numeric", "float4", "float8", "money", "oid", "interval":
		return "'0'", true
	case "bool":
		return "'false'", true
	case "date", "timestamp", "timestamptz":
		return "'1900-01-01'", true
	case "time", "timetz":
		return "'00:00'", true
	case "uuid":
		return "'00000000-0000-0000-0000-000000000000'", true
	case "inet", "cidr":
		return "'0.0.0.0'", true
	case "macaddr":
		return "'00:00:00:00:00:00'", true
	case "json", "jsonb":
		return "'{}'", true
	case "xml":
		return "'<anonymised/>'", true
	case "bytea", "tsvector":
		return "''", true
	case "point":
		return "'(0,0)'", true
	default:
		return "", false
	}
}

// different gives a value that is another in every row.
func (f fact) different() (sql string, ok bool) {
	switch f.base {
	case "text", "varchar", "bpchar", "citext":
		const shortest = 8 // digits of a token
		token := f.room(32)
		if f.mail() {
			if room := f.room(32 + len(mailDomain)); room >= shortest+len(mailDomain) {
				return fmt.Sprintf("left(%s, %d) || '%s'", random, room-len(mailDomain), mailDomain), true
			}
		}
		return fmt.Sprintf("left(%s, %d)", random, token), token >= shortest
	case "int4":
		return fmt.Sprintf("('x' || left(%s, 7))::bit(28)::int4", random), true
	case "int8", "numeric", "float8":
		return fmt.Sprintf("('x' || left(%s, 13))::bit(52)::int8", random), true
	case "uuid":
		return "gen_random_uuid()", true
	case "bytea":
		return fmt.Sprintf("decode(%s, 'hex')", random), true
	default:
		return "", false
	}
}

// room gives how many of n characters a column has room for.
func (f fact) room(n int) int {
	if f.width > 0 {
		return min(n, f.width)
	}
	return n
}

// mail tells by its names whether a column holds addresses of e-mail, which
// applications check when they read them.
func (f fact) mail() bool {
	return strings.Contains(strings.ToLower(f.name+" "+f.class), "mail")
}
