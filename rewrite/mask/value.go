package mask

import (
	"strconv"

	"github.com/pgveil/pgveil/policy"
)

// redacted is what redact shows, by family.
var redacted = map[policy.Family]string{
	policy.FamilyText:      "***",
	policy.FamilyInteger:   "0",
	policy.FamilyNumeric:   "0",
	policy.FamilyFloat:     "0",
	policy.FamilyBoolean:   "false",
	policy.FamilyDate:      "1970-01-01",
	policy.FamilyTimestamp: "1970-01-01",
	policy.FamilyUUID:      "00000000-0000-0000-0000-000000000000",
	policy.FamilyNetwork:   "0.0.0.0",
	policy.FamilyBytes:     "",
	policy.FamilyJSON:      "{}",
	policy.FamilyArray:     "{}",
}

// fixed shows the same for every value that is not NULL.
func (c column) fixed(text string) string {
	return sql("CASE WHEN $v IS NOT NULL THEN $k END", "$v", c.value, "$k", c.constant(text))
}

// constant is a literal of the column's type, its length or precision left to
// the cast around it. A time without a zone is UTC.
func (c column) constant(text string) string {
	switch {
	case c.family == policy.FamilyText:
		return literal(text)
	case c.typ.Base == "timestamptz":
		return sql("#timezone('UTC', CAST($l AS #timestamp))", "$l", literal(text))
	case c.family == policy.FamilyArray:
		return "CAST(" + literal(text) + " AS " + typeName(c.typ) + ")"
	default:
		return sql("CAST($l AS #"+c.typ.Base+")", "$l", literal(text))
	}
}

// ip keeps the network part of an address: 24 bits of an IPv4 one, 48 of IPv6.
func (c column) ip() string {
	if c.family == policy.FamilyText {
		return c.ipText()
	}
	return sql("#network(#set_masklen($v, LEAST(#masklen($v), CASE WHEN #family($v) #= 4 THEN 24 ELSE 48 END)))",
		"$v", c.value)
}

// ipText keeps the first three numbers. It does not read the text as an
// address, since that fails for what is none; such a text becomes stars. No
// address has more than 45 characters.
func (c column) ipText() string {
	const template = `COALESCE(
		#substring($x, $four) #|| '0',
		#substring($x, $six) #|| ':',
		#substring($x, $short),
		CASE WHEN $v IS NOT NULL THEN '***' END) COLLATE #"default"`
	x := sql(`#left($v, $n) COLLATE #"C"`, "$v", c.value, "$n", strconv.Itoa(maxAddress))
	return sql(template, "$x", x, "$v", c.value, "$four", literal(ipv4Network), "$six", literal(ipv6Network), "$short", literal(shortNetwork))
}

const maxAddress = 45 // characters

// What the network part of an address looks like as text: of IPv4, of IPv6, and
// of IPv6 where :: is in it. networkOf looks for them by the same patterns.
const (
	ipv4Network  = `^(?:[0-9]{1,3}[.]){3}`
	ipv6Network  = `^(?:[0-9A-Fa-f]{1,4}:){3}`
	shortNetwork = `^(?:(?:[0-9A-Fa-f]{1,4}:){1,2}|:):`
)
