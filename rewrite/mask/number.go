package mask

import (
	"math"
	"math/big"
	"strconv"

	"github.com/pgveil/pgveil/policy"
)

// step gives the greatest multiple of n that is no greater than the value, or,
// of the nearest ones, that is no smaller than the other: ties go up. What is
// beyond the outermost multiples that the type holds becomes those.
func (c column) step(n int, nearest bool) string {
	if c.family == policy.FamilyInteger {
		return c.integerStep(int64(n), nearest)
	}
	shift := ""
	if nearest {
		shift = strconv.FormatFloat(float64(n)/2, 'f', -1, 64)
	}
	return c.decimalStep(n, shift)
}

// integerStep divides integers, which rounds towards zero; so from negative
// ones n - 1 is taken first. As ties go up, and multiples are whole numbers,
// what is nearest is the step of the value plus the whole part of n/2. Both
// sums are bounded so that neither they nor what is below can overflow.
func (c column) integerStep(n int64, nearest bool) string {
	least, most := c.integers()
	shift := int64(0)
	if nearest {
		shift = n / 2
	}
	down := n - 1 - shift
	bound := least/n*n + down
	negative := sql("GREATEST($v, $bound) #- $down", "$v", c.value, "$bound", number(bound), "$down", number(down))
	rest := "ELSE " + c.value // NULL comes here
	if nearest {
		rest = sql("WHEN $v #>= $edge THEN LEAST($v, $most) #+ $shift", "$v", c.value,
			"$edge", number(-shift), "$most", number(most-shift), "$shift", number(shift))
	}
	return sql("CASE WHEN $v #< $edge THEN $negative $rest END #/ $n #* $n", "$v", c.value,
		"$edge", number(-shift), "$negative", negative, "$rest", rest, "$n", number(n))
}

// integers gives the least and the greatest value of an integer column.
func (c column) integers() (least, most int64) {
	switch c.typ.Base {
	case "int2":
		return math.MinInt16, math.MaxInt16
	case "int4":
		return math.MinInt32, math.MaxInt32
	default:
		return math.MinInt64, math.MaxInt64
	}
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// decimalStep divides whole numbers only, after shift, which may be empty, was
// added. Quotients of such by n differ from a whole number by 1/n or nothing,
// and 1/n is more than what the division rounds off: numeric keeps as many
// decimals as the ten that n is written with. Values are brought between the
// outermost multiples that the type holds first, so nothing can overflow. NaN
// counts as the largest number, as PostgreSQL sorts it.
func (c column) decimalStep(n int, shift string) string {
	calc := "float8"
	if c.typ.Base == "numeric" {
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
	case "float4":
		return "-3e38", "3e38", true
	case "float8":
		return "-1e308", "1e308", true
	default:
		return c.numericMultiples(n)
	}
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
		return c.step(n, false)
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
