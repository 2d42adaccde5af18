package config

import (
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

func TestSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{"400d": 400 * 24 * time.Hour, "36h": 36 * time.Hour, "1d": 24 * time.Hour, "1h30m": 90 * time.Minute} {
		var s Span
		if err := yaml.Unmarshal([]byte(text), &s); err != nil || time.Duration(s) != want {
			t.Errorf("%s = %v, %v", text, time.Duration(s), err)
		}
	}
	for _, text := range []string{"0d", "-1d", "d", "1.5d", "99999999d", "0s", "-3h", "400", "[1d]", "''"} {
		var s Span
		if err := yaml.Unmarshal([]byte(text), &s); err == nil {
			t.Errorf("%s = %v", text, time.Duration(s))
		}
	}
}
