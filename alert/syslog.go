package alert

import (
	"context"
	"log/slog"
	"strconv"

	"github.com/pgveil/pgveil/syslog"
)

// Syslog sends each alert as a message of RFC 5424: what happened as text, the
// rest in structured data.
type Syslog struct {
	syslog.Sender
	MaxSize int // bytes of a message; details that there is no room for are left out
}

// Send sends an alert. What "taken" means is said in package syslog.
func (s *Syslog) Send(ctx context.Context, a *Alert) error {
	return s.Write(ctx, [][]byte{s.message(a)})
}

func (s *Syslog) message(a *Alert) []byte {
	m := s.Data(s.Head(nil, level(a.Severity), a.Time, a.Name))
	named := []slog.Attr{slog.String("id", a.ID), slog.String("severity", a.Severity.String()), slog.String("count", strconv.Itoa(a.Count))}
	for _, p := range append(named, a.who()...) {
		m = syslog.AppendParam(m, p.Key, p.Value.String(), whoMost)
	}
	left := 0
	for _, d := range a.Details {
		longer := syslog.AppendParam(m, paramName(d.Key), d.Value.String(), detailMost)
		if len(longer)+len(a.Message)+len(`] `)+len(` leftOut="99"`) > s.MaxSize {
			left++
			continue
		}
		m = longer
	}
	if left > 0 {
		m = syslog.AppendParam(m, "leftOut", strconv.Itoa(left), whoMost)
	}
	return append(append(m, "] "...), a.Message...)
}

// paramName is a name as RFC 5424 has them.
func paramName(key string) string {
	name := []byte(key[:min(len(key), 32)])
	for i, c := range name {
		if c <= ' ' || c > '~' || c == '=' || c == ']' || c == '"' {
			name[i] = '_'
		}
	}
	if len(name) == 0 {
		return "_"
	}
	return string(name)
}

// level is a severity as syslog has it.
func level(s Severity) int {
	switch s {
	case Notice:
		return 5
	case Warning:
		return 4
	default:
		return 2 // critical; 1, alert, is what a machine needs at once
	}
}
