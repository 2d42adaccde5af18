package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Span is a time in days, 400d, or as Go writes durations: 36h.
type Span time.Duration

// UnmarshalYAML reads either.
func (s *Span) UnmarshalYAML(node *yaml.Node) error {
	var text string
	if err := node.Decode(&text); err != nil {
		return err
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			*s = Span(n) * Span(24*time.Hour)
			return nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		*s = Span(d)
		return nil
	}
	return fmt.Errorf("line %d: %q is not a time like 400d or 36h", node.Line, text)
}
