// Package alert tells people that something needs looking at: a limit that was
// reached, a planted record that was touched, logins that fail in series.
//
// An Event holds no value of a row, no literal of a statement and no secret: it
// goes to places that are less guarded than the access log.
package alert

import (
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

// Event is something that was noticed.
type Event struct {
	Name     string // what it is, in words of [a-z_]: limit_reached
	Severity Severity
	Time     time.Time // zero: when it is raised
	Message  string    // what happened, in one sentence

	Login, User, Addr, Session, App string // who; "" where it is nobody's

	Details []slog.Attr // the explanation: counts, limits, names of rules and relations
}

// Raiser takes events. Raise neither waits nor fails.
type Raiser interface{ Raise(Event) }

// Logger raises events on a logger alone.
type Logger struct{ Log *slog.Logger }

// Raise logs the event.
func (l Logger) Raise(e Event) {
	attrs := []any{slog.String("alert", e.Name), slog.String("severity", e.Severity.String())}
	for _, who := range []struct{ key, value string }{{"login", e.Login}, {"user", e.User}, {"addr", e.Addr}, {"session", e.Session}, {"app", e.App}} {
		if who.value != "" {
			attrs = append(attrs, slog.String(who.key, who.value))
		}
	}
	for _, d := range e.Details {
		attrs = append(attrs, d)
	}
	l.Log.Warn(e.Message, attrs...)
}
