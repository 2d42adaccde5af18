package mask

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestIntegersAgainstReference compares the steps of integers with those that
// big numbers give, at the edges of the types and around every kind of
// multiple.
func TestIntegersAgainstReference(t *testing.T) {
	conn := connect(t)
	for _, typ := range []struct {
		name        string
		least, most int64
	}{
		{"int2", math.MinInt16, math.MaxInt16},
		{"int4", math.MinInt32, math.MaxInt32},
		{"int8", math.MinInt64, math.MaxInt64},
	} {
		exec(t, conn, "CREATE TABLE "+typ.name+"s (v "+typ.name+")")
		r := relation(t, conn, typ.name+"s")
		for _, n := range []int64{2, 3, 7, 10, 256, 1000, 32768, 40_000, 65_536, 999_999_999, 1_000_000_000} {
			values := around(typ.least, typ.most, n)
			for _, mask := range []string{"bucket", "round"} {
				e := expr(t, parseMask(t, fmt.Sprintf("%s(%d)", mask, n)), r, &r.Columns[0])
				got := texts(t, conn, "SELECT ("+e+")::text FROM unnest($1::"+typ.name+"[]) WITH ORDINALITY AS t(v, n) ORDER BY n", values)
				for i, v := range values {
					if want := stepped(v, n, mask == "round", typ.least, typ.most); got[i] != want {
						t.Errorf("%s(%d) of %s %d = %s, want %s", mask, n, typ.name, v, got[i], want)
					}
				}
			}
		}
	}
}

// stepped is what bucket and round are documented to give.
func stepped(v, n int64, nearest bool, least, most int64) string {
	step, sum := big.NewInt(n), big.NewInt(v)
	if nearest {
		sum.Add(sum, big.NewInt(n/2))
	}
	low, high := big.NewInt(least/n*n), big.NewInt(most/n*n)
	sum.Sub(sum, new(big.Int).Mod(sum, step)) // Mod is never negative
	if sum.Cmp(low) < 0 {
		sum = low
	}
	if sum.Cmp(high) > 0 {
		sum = high
	}
	return sum.String()
}

// around gives values of a type near its edges, near multiples of n and of its
// half, and anywhere.
func around(least, most, n int64) []int64 {
	var values []int64
	random := rand.New(rand.NewPCG(3, uint64(n)))
	for _, at := range []int64{0, least / n * n, most / n * n, n, -n, n / 2, -n / 2, 3 * n, -3*n - n/2, least + n/2, most - n/2} {
		for d := int64(-2); d <= 2; d++ {
			if v := at + d; v >= least && v <= most && (v < at) == (d < 0) {
				values = append(values, v)
			}
		}
	}
	for range 200 {
		values = append(values, int64(random.Uint64())>>random.IntN(64)%most)
	}
	return append(values, least, least+1, most-1, most)
}
