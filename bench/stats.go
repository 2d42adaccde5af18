package main

import (
	"math"
	"slices"
)

// median gives the middle of the values, NaN when there is none.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(n-1)/2] + s[n/2]) / 2
}

// percentile gives the least value that p of 1 of the values do not exceed.
// The values must be sorted.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	i := int(math.Ceil(p*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// medianRatio gives the median of the rounds' ratios. Rounds are compared one
// by one because what disturbs a round disturbs all contenders in it.
func medianRatio(values, base []float64) float64 {
	var ratios []float64
	for i := range min(len(values), len(base)) {
		if base[i] > 0 {
			ratios = append(ratios, values[i]/base[i])
		}
	}
	return median(ratios)
}
