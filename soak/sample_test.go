package main

import (
	"io"
	"testing"
)

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name  string
		grow  func(n int) float64 // of memory, in MB, at the sample n of 400
		grows bool
	}{
		{"constant", func(int) float64 { return 50 }, false},
		{"a saw", func(n int) float64 { return 50 + float64(n%40) }, false},
		{"a cache that fills", func(n int) float64 { return float64(min(n, 100)) }, false},
		{"a leak", func(n int) float64 { return 50 + float64(n)/10 }, true},
		{"a leak on a saw", func(n int) float64 { return 50 + float64(n%40) + float64(n)/10 }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var all []sample
			for n := range 400 {
				all = append(all, sample{tt.grow(n) * (1 << 20)})
			}
			if err := judge(io.Discard, all); (err != nil) != tt.grows {
				t.Errorf("judge = %v, want growth: %t", err, tt.grows)
			}
		})
	}
	if err := judge(io.Discard, make([]sample, 10)); err == nil {
		t.Error("ten samples are enough")
	}
}
