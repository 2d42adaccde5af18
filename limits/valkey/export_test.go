package valkey

import (
	"strings"
	"testing"
	"time"
)

// SetByHand makes the scripts go by a clock that the key "clock" has, in seconds
// and microseconds, in place of the server's.
func (l *Ledger) SetByHand(t *testing.T) {
	t.Helper()
	for _, s := range []*script{&l.ask, &l.restore} {
		text := strings.Replace(s.text, "redis.call('TIME')", "redis.call('HMGET', 'clock', 's', 'us')", 1)
		if text == s.text {
			t.Fatal("a script does not ask for the time")
		}
		*s = newScript(text)
	}
}

// Grace sets how long others are waited for.
func (l *Ledger) Grace(d time.Duration) { l.grace = d }

// ErrWaiting is what is given meanwhile.
var ErrWaiting = errWaiting

// Key is what a process is called on the server.
func (l *Ledger) Key() string { return l.key() }

// Name is what a counter is called on the server.
var Name = (*Ledger).name
