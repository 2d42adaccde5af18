package main

import (
	"errors"
	"math"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/pgveil/pgveil/internal/pgtest"
)

// TestMemoryLimit has pgveil run in the control group of the test, whose limit
// the test knows, and with a limit of the operator's.
func TestMemoryLimit(t *testing.T) {
	ofGroup := float64(math.MaxInt64)
	switch limit, err := memlimit.FromCgroup(); {
	case err == nil:
		ofGroup = min(0.9*float64(limit), ofGroup)
	case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrNoCgroup):
	default:
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, shell string
		want        float64
	}{
		{"the control group's", "unset GOMEMLIMIT", ofGroup},
		{"the operator's", "export GOMEMLIMIT=300MiB", 300 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
			r := s.serve(t, tt.shell)
			if got := r.metrics(t)("go_gc_gomemlimit_bytes"); math.Abs(got-tt.want) > 1 {
				t.Errorf("the limit is %.0f bytes, want %.0f", got, tt.want)
			}
			r.stop(t)
		})
	}
}
