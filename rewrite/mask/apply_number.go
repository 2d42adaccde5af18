package mask

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

func partOfInteger(m policy.Mask, t catalog.Type) (show, error) {
	least, most := column{typ: t}.integers()
	step := func(nearest bool) show {
		return func(dst, value []byte) ([]byte, bool) {
			v, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || v < least || v > most {
				return dst, false
			}
			return strconv.AppendInt(dst, stepOf(v, int64(m.Args[0]), nearest, least, most), 10), true
		}
	}
	switch m.Kind {
	case policy.MaskAgeBand, policy.MaskBucket:
		return step(false), nil
	case policy.MaskRound:
		return step(true), nil
	default:
		return nil, notApplied(m)
	}
}

// stepOf gives the multiple of n below v, or the nearest one, ties going up,
// within the multiples between least and most. No sum can overflow.
func stepOf(v, n int64, nearest bool, least, most int64) int64 {
	times, rest := v/n, v%n
	if rest < 0 {
		times, rest = times-1, rest+n
	}
	if nearest && rest >= n-n/2 {
		times++
	}
	return max(least/n, min(most/n, times)) * n
}

func partOfNumeric(m policy.Mask) (show, error) {
	switch m.Kind {
	case policy.MaskBucket:
		return numericStep(int64(m.Args[0]), false), nil
	case policy.MaskRound:
		return numericStep(int64(m.Args[0]), true), nil
	default:
		return nil, notApplied(m)
	}
}

// numericStep finds multiples of n by whole numbers: n/2 is one, or one and a
// half, and floor takes the half with what is behind the point.
func numericStep(n int64, nearest bool) show {
	step, shift := big.NewInt(n), big.NewInt(0)
	if nearest {
		shift.SetInt64(n / 2)
	}
	return func(dst, value []byte) ([]byte, bool) {
		text := string(value)
		if text == "NaN" || text == "Infinity" || text == "-Infinity" {
			return append(dst, text...), true
		}
		v, ok := floor(text, nearest && n%2 == 1)
		if !ok {
			return dst, false
		}
		v.Add(v, shift)
		return v.Sub(v, new(big.Int).Mod(v, step)).Append(dst, 10), true // Mod is never negative
	}
}

// What numeric holds at most: digits before the point, and all of them.
const (
	maxNumericWhole  = 131_072
	maxNumericDigits = 131_072 + 16_383
)

// floor gives the greatest whole number that is no greater than the decimal
// number, or than it and a half. ok is false of what PostgreSQL would not write
// for a number.
func floor(decimal string, half bool) (v *big.Int, ok bool) {
	digits, negative := strings.CutPrefix(decimal, "-")
	whole, behind, point := strings.Cut(digits, ".")
	if !onlyDigits(whole) || len(whole) > maxNumericWhole || len(digits) > maxNumericDigits+1 || point && !onlyDigits(behind) {
		return nil, false
	}
	if v, ok = new(big.Int).SetString(whole, 10); !ok {
		return nil, false
	}
	behind = strings.TrimRight(behind, "0")
	switch {
	case !negative && half && behind >= "5":
		v.Add(v, big.NewInt(1))
	case negative && (half && behind > "5" || !half && behind != ""):
		v.Add(v, big.NewInt(1)).Neg(v)
	case negative:
		v.Neg(v)
	}
	return v, true
}

func onlyDigits(s string) bool { return s != "" && strings.Trim(s, decimalDigits) == "" }
