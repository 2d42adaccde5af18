package alert

import (
	"context"
	"log/slog"
	"time"
)

// Severity is how soon somebody should look. The zero Severity is none.
type Severity uint8

// The severities.
const (
	Notice   Severity = iota + 1 // for whoever reads along
	Warning                      // today
	Critical                     // now
)

func (s Severity) String() string {
	if s < Notice || s > Critical {
		return "none"
	}
	return [...]string{"notice", "warning", "critical"}[s-Notice]
}

// ParseSeverity reads what String writes; zero is what is none.
func ParseSeverity(text string) Severity {
	for s := Notice; s <= Critical; s++ {
		if s.String() == text {
			return s
		}
	}
	return 0
}

// Event is something that was noticed.
type Event struct {
	Name     string // what it is, one of Kinds: limit_reached
	Severity Severity
	Time     time.Time // zero: when it is raised
	Message  string    // what happened, in one sentence

	Login, User, Addr, Session, App string // who; "" where it is nobody's

	// Key tells events apart that are not of the same thing though of the same
	// name and people: the limit, the sink.
	Key string

	Details []slog.Attr // the explanation: counts, limits, names of rules and relations
}

// Raiser takes events. Raise neither waits nor fails.
type Raiser interface{ Raise(Event) }

// Alert is what is sent: an event, or what several that were alike have in
// common.
type Alert struct {
	Event           // its Time is the last one's
	ID    string    // the same however often it is sent
	Count int       // events, one at least
	Since time.Time // when the first of them was
	Host  string    // the machine that tells it
}

// who gives those of the fields of who it was that are not empty.
func (e *Event) who() []slog.Attr {
	list := make([]slog.Attr, 0, 5)
	for _, w := range [...]struct{ key, value string }{{"login", e.Login}, {"user", e.User}, {"addr", e.Addr}, {"session", e.Session}, {"app", e.App}} {
		if w.value != "" {
			list = append(list, slog.String(w.key, w.value))
		}
	}
	return list
}

// Logger raises events on a logger alone.
type Logger struct{ Log *slog.Logger }

// Raise logs the event.
func (l Logger) Raise(e Event) { l.write(&e) }

// Send logs an alert.
func (l Logger) Send(_ context.Context, a *Alert) error {
	if a.Count > 1 {
		l.write(&a.Event, slog.Int("count", a.Count), slog.Time("since", a.Since))
		return nil
	}
	l.write(&a.Event)
	return nil
}

// Close does nothing: the logger is somebody else's.
func (l Logger) Close() error { return nil }

func (l Logger) write(e *Event, more ...slog.Attr) {
	attrs := append([]slog.Attr{slog.String("alert", e.Name), slog.String("severity", e.Severity.String())}, e.who()...)
	level := slog.LevelWarn
	switch e.Severity {
	case Notice:
		level = slog.LevelInfo
	case Critical:
		level = slog.LevelError
	}
	l.Log.LogAttrs(context.Background(), level, e.Message, append(append(attrs, e.Details...), more...)...)
}
