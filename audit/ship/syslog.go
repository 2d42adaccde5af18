package ship

import (
	"context"
	"strconv"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/syslog"
)

// Syslog sends events as messages of RFC 5424, a message each.
type Syslog struct {
	syslog.Sender
	MaxSize int // bytes of a message
}

// headRoom is what a message has besides its body, at most. What is in the
// structured data is bounded so that it fits; the body has all of it.
const (
	headRoom = 2048
	nameMost = 128 // bytes of what names a record; a longer one is left out, for a part of it names nothing
	textMost = 48  // bytes of other values; the rest is cut off
)

func (s *Syslog) Limit() int { return s.MaxSize - headRoom }

func (s *Syslog) Send(ctx context.Context, batch []Event) (left []Event, err error) {
	messages := make([][]byte, len(batch))
	for i := range batch {
		messages[i] = s.message(&batch[i])
	}
	if err := s.Write(ctx, messages); err != nil {
		return batch, err
	}
	return nil, nil
}

// SendText sends one message of another kind than an event.
func (s *Syslog) SendText(ctx context.Context, id string, text []byte) error {
	m := s.Head(nil, 5, time.Now(), id)
	return s.Write(ctx, [][]byte{append(append(m, " - "...), text...)})
}

// message writes an event as RFC 5424 says.
func (s *Syslog) message(e *Event) []byte {
	by := e.who()
	m := s.Data(s.Head(nil, severity(&e.Record), e.Record.Time, string(e.Record.Kind)))
	for _, p := range [...]struct{ name, value string }{{"log", e.Log}, {"uid", e.UID}, {"correlation", e.Correlation}} {
		if len(p.value) <= nameMost {
			m = syslog.AppendParam(m, p.name, p.value, nameMost)
		}
	}
	for _, p := range [...]struct{ name, value string }{
		{"seq", strconv.FormatUint(e.Record.Seq, 10)}, {"user", by.User}, {"purpose", by.Purpose}, {"decision", by.Decision}, {"command", by.Command},
		{"shortenedFrom", whole(e.Whole)},
	} {
		m = syslog.AppendParam(m, p.name, p.value, textMost)
	}
	return append(append(m, "] "...), e.Body...)
}

func whole(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// severity is 6, informational, but for what somebody may have to look at.
func severity(r *audit.Record) int {
	switch {
	case isAlert(r):
		return 1
	case refused(r):
		return 4
	case failed(r), r.Kind == audit.KindSystem:
		return 5
	default:
		return 6
	}
}
