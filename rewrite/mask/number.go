package mask

import (
	"math"
	"math/big"
	"strconv"

	"github.com/pgveil/pgveil/policy"
)

// half is what round adds before it looks for the lower edge: ties go up.
func half(n int) string { return strconv.FormatFloat(float64(n)/2, 'f', -1, 64) }

// step gives the greatest multiple of n that is no greater than the value plus
// shift, which may be empty.
//
// It divides whole numbers only. Quotients of such by n differ from a whole
// number by 1/n or nothing, and 1/n is more than what the division rounds off:
// double precision is exact enough for four-byte integers, and numeric keeps as
// many decimals as the ten that n is written with. Values are brought between
// the outermost multiples that the type holds first, so nothing can overflow.
// NaN counts as the largest number, as PostgreSQL sorts it.
func (c column) step(n int, shift string) string {
	calc := "float8"
	if c.typ.Base == "int8" || c.typ.Base == "numeric" {
		calc = "numeric"
	}
	value := "CAST($v AS #" + calc + ")"
	low, high, limited := c.multiples(n)
	if limited {
		value = "CAST(LEAST(GREATEST($v, $low), $high) AS #" + calc + ")"
	}
	if shift != "" {
		value = "(" + value + " #+ $shift)"
	}
	expr := "#floor(#floor(" + value + ") #/ $n.0000000000) #* $n"
	if limited { // LEAST and GREATEST pass NULL over
		expr = "CASE WHEN $v IS NOT NULL THEN " + expr + " END"
	}
	return sql(expr, "$v", c.value, "$low", low, "$high", high, "$n", strconv.Itoa(n), "$shift", shift)
}

// multiples gives the least and the greatest multiple of n that the type
// holds; limited is false when there is no such bound.
func (c column) multiples(n int) (low, high string, limited bool) {
	switch c.typ.Base {
	case "int2":
		return within(n, math.MinInt16, math.MaxInt16)
	case "int4":
		return within(n, math.MinInt32, math.MaxInt32)
	case "int8":
		return within(n, math.MinInt64, math.MaxInt64)
	case "float4":
		return "-3e38", "3e38", true
	case "float8":
		return "-1e308", "1e308", true
	default:
		return c.numericMultiples(n)
	}
}

func within(n int, least, most int64) (low, high string, limited bool) {
	step := int64(n)
	return strconv.FormatInt(least/step*step, 10), strconv.FormatInt(most/step*step, 10), true
}

// numericMultiples does so for numeric(p, s), which holds p digits, s of them
// behind the point; a negative s rounds to tens, hundreds and so on.
func (c column) numericMultiples(n int) (low, high string, limited bool) {
	p, s, limited := policy.NumericLimits(c.typ)
	if !limited {
		return "", "", false
	}
	most := new(big.Int).Sub(power10(p-s), power10(-s))
	most.Sub(most, new(big.Int).Mod(most, big.NewInt(int64(n))))
	return "-" + most.String(), most.String(), true
}

// power10 is 10 to the n; less than 1 counts as 1, which is enough for bounds
// of whole numbers.
func power10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(n, 0))), nil)
}

// ageBand gives the lower edge of an age's band, or the first day of a birth
// date's.
func (c column) ageBand(n int) string {
	if c.family == policy.FamilyInteger {
		return c.step(n, "")
	}
	return c.firstDay("GREATEST($y #- #mod($y, "+strconv.Itoa(n)+"), 1)", "1")
}

func (c column) year() string {
	if c.family == policy.FamilyDate {
		return c.firstDay("GREATEST($y, 1)", "1")
	}
	return c.truncated("year")
}

func (c column) month() string {
	if c.family == policy.FamilyDate {
		return c.firstDay("GREATEST($y, 1)", "CAST(#extract('month', $v) AS #int4)")
	}
	return c.truncated("month")
}

// firstDay makes a date of a year and a month. date_trunc is no help: it
// has no form for dates, and as a timestamp many of them are out of range.
func (c column) firstDay(year, month string) string {
	return sql("CASE WHEN #isfinite($v) THEN #make_date("+year+", "+month+", 1) ELSE $v END",
		"$y", sql("CAST(#extract('year', $v) AS #int4)", "$v", c.value), "$v", c.value)
}

// truncated cuts a timestamp, in UTC when it has a time zone. The earliest
// timestamps lie after the first day of their year, which does not exist.
func (c column) truncated(unit string) string {
	zone := ""
	if c.typ.Base == "timestamptz" {
		zone = ", 'UTC'"
	}
	return sql("#date_trunc($unit, CASE WHEN $v #< $first THEN $first ELSE $v END"+zone+")",
		"$unit", literal(unit), "$v", c.value, "$first", c.constant("0001-01-01"))
}
