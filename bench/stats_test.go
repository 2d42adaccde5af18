package main

import (
	"math"
	"testing"
	"time"
)

// same compares figures; NaN is equal to itself here.
func same(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) < 1e-9
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []float64
		want   float64
	}{
		{"none", nil, math.NaN()},
		{"one", []float64{7}, 7},
		{"odd", []float64{9, 1, 5}, 5},
		{"even", []float64{9, 1, 5, 7}, 6},
	} {
		if got := median(tt.values); !same(got, tt.want) {
			t.Errorf("%s: median(%v) = %v, want %v", tt.name, tt.values, got, tt.want)
		}
	}
	values := []float64{3, 1, 2}
	median(values)
	if values[0] != 3 {
		t.Error("median sorts what it is given")
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for _, tt := range []struct {
		values []float64
		p      float64
		want   float64
	}{
		{nil, 0.5, math.NaN()},
		{[]float64{7}, 0.99, 7},
		{hundred, 0, 1},
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
	} {
		if got := percentile(tt.values, tt.p); !same(got, tt.want) {
			t.Errorf("percentile of %d values at %v = %v, want %v", len(tt.values), tt.p, got, tt.want)
		}
	}
}

func TestMedianRatio(t *testing.T) {
	for _, tt := range []struct {
		name         string
		values, base []float64
		want         float64
	}{
		{"round by round", []float64{10, 40, 30}, []float64{10, 20, 10}, 2},
		{"a base of nothing is no base", []float64{10, 10}, []float64{0, 5}, 2},
		{"no base", []float64{10}, nil, math.NaN()},
	} {
		if got := medianRatio(tt.values, tt.base); !same(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestParseStat(t *testing.T) {
	const stat = "4711 (pg bouncer) 1) S 1 4711 4711 0 -1 4194304 100 0 0 0 250 50 7 3 20 0 9 0 100 1 1\n"
	if got, err := parseStat([]byte(stat)); err != nil || got != 3100*time.Millisecond {
		t.Errorf("parseStat = %v, %v, want 3.1s", got, err)
	}
	if _, err := parseStat([]byte("4711 (x) S 1")); err == nil {
		t.Error("a stat that is too short is accepted")
	}
}

func TestParseRollup(t *testing.T) {
	const rollup = "55d0-7ffc ---p 00000000 00:00 0 [rollup]\nRss:               20480 kB\nPss:               12345 kB\nPss_Anon:          10000 kB\n"
	if got, err := parseRollup(rollup); err != nil || got != 12345<<10 {
		t.Errorf("parseRollup = %v, %v, want %v", got, err, 12345<<10)
	}
	if _, err := parseRollup("Rss: 1 kB\n"); err == nil {
		t.Error("a rollup without Pss is accepted")
	}
}
