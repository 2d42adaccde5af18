package config

import (
	"strings"
	"testing"
	"time"
)

func TestRetentionSlot(t *testing.T) {
	for _, tt := range []struct {
		at, now, want string
		every         time.Duration
	}{
		{"03:00", "2026-11-22 03:00", "2026-11-22 03:00", 24 * time.Hour},
		{"03:00", "2026-11-22 02:59", "2026-11-21 03:00", 24 * time.Hour},
		{"23:30", "2026-11-22 12:00", "2026-11-22 11:30", 12 * time.Hour},
		{"00:05", "2026-11-22 12:00", "2026-11-22 11:05", time.Hour},
	} {
		parsed := func(s string) time.Time {
			at, err := time.Parse("2006-01-02 15:04", s)
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
		if got := (Retention{At: tt.at, Every: tt.every}).Slot(parsed(tt.now)); !got.Equal(parsed(tt.want)) {
			t.Errorf("%s every %s, at %s: %s, want %s", tt.at, tt.every, tt.now, got, tt.want)
		}
	}
}

func TestRetentionSchedule(t *testing.T) {
	c, err := Load(write(t, good+"retention_schedule: {at: \"04:30\", batch: 7}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := c.Schedule(); !ok || r != (Retention{"04:30", 24 * time.Hour, 7, 100 * time.Millisecond}) {
		t.Errorf("the schedule is %+v, %v", r, ok)
	}
	for _, bad := range []string{"at: 4pm", "every: 1s", "batch: 1000000", "pause: 1h"} {
		key, _, _ := strings.Cut(bad, ":")
		if _, err := Load(write(t, good+"retention_schedule: {"+bad+"}\n")); err == nil || !strings.Contains(err.Error(), "retention_schedule."+key) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
