package main

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/alert"
)

// TestTrouble looks every minute: x is wrong, . is not, and ! is when people are
// to be told.
func TestTrouble(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration
		is    string
		told  string
	}{
		{"at once", 0, "..xxx..x.", "..!....!."},
		{"when it lasts", 3 * time.Minute, ".xx.xxxxx.xxxx", ".......!.....!"},
		{"again", 0, strings.Repeat("x", 62) + ".x", "!" + strings.Repeat(".", 59) + "!..!"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begin, i, got := time.Now(), 0, ""
			r := trouble{Event: alert.Event{Name: "test"}, after: tt.after, wrong: func() bool { return tt.is[i] == 'x' }}
			for i = range tt.is {
				if r.look(begin.Add(time.Duration(i) * time.Minute)) {
					got += "!"
				} else {
					got += "."
				}
			}
			if got != tt.told {
				t.Errorf("%q is told %q, want %q", tt.is, got, tt.told)
			}
		})
	}
}

func TestStuck(t *testing.T) {
	end, now := uint64(0), uint64(0)
	wrong := stuck(func() (uint64, uint64) { return end, now })
	for i, tt := range []struct {
		end, now uint64
		want     bool
	}{{0, 0, false}, {5, 0, true}, {9, 3, false}, {9, 3, true}, {9, 9, false}, {9, 9, false}, {10, 9, true}} {
		end, now = tt.end, tt.now
		if got := wrong(); got != tt.want {
			t.Errorf("%d: at %d of %d: %v", i, now, end, got)
		}
	}
}

// TestReloaded has reloads and looks fail and work.
func TestReloaded(t *testing.T) {
	for steps, want := range map[string]string{ // r and l work, R and L fail, f puts a new catalog in force
		"r": "ok", "R": "reload", "Rl": "reload", "Rf": "ok", "Rr": "ok", "L": "look", "Ll": "ok", "Lr": "ok", "RL": "reload look", "RLl": "reload", "LR": "reload look", "RLr": "ok", "RLf": "ok",
	} {
		p := &process{reloadOK: prometheus.NewGauge(prometheus.GaugeOpts{Name: "ok"})}
		for _, s := range steps {
			switch s {
			case 'r', 'R':
				p.reloaded(s == 'r')
			default:
				p.looked(s == 'f', s != 'L')
			}
		}
		got := ""
		if p.failing.reload.Load() {
			got = "reload"
		}
		if p.failing.look.Load() {
			got = strings.TrimSpace(got + " look")
		}
		if got == "" {
			got = "ok"
		}
		if got != want {
			t.Errorf("after %s: %s, want %s", steps, got, want)
		}
	}
}
