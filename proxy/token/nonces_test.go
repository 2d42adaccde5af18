package token

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func used(id, sid string) *Claims {
	return &Claims{Issuer: "crm", ID: id, Session: sid, Issued: start, Expires: start.Add(time.Minute), Until: start.Add(70 * time.Second)}
}

func TestNonces(t *testing.T) {
	n := NewNonces(3, time.Time{})
	other := used("1", "")
	other.Issuer = "billing"
	for _, tt := range []struct {
		name    string
		claims  *Claims
		session string
		after   time.Duration
		want    Reason
	}{
		{"first use", used("1", ""), "a", 0, ""},
		{"again, by the same session", used("1", ""), "a", time.Second, ""},
		{"again, by another", used("1", ""), "b", time.Second, Replayed},
		{"the same id of another issuer", other, "b", 0, ""},
		{"no id", used("", ""), "a", 0, Claim},
		{"bound to this session", used("2", "a"), "a", 0, ""},
		{"bound to another session", used("3", "a"), "b", 0, Replayed},
		{"full", used("4", ""), "a", 0, Full},
		{"full, but known", used("1", ""), "a", 0, ""},
		{"in the leeway, by another", used("1", ""), "b", 69 * time.Second, Replayed},
		{"expired", used("1", ""), "a", 70 * time.Second, Expired},
		{"room again", later(used("5", "")), "a", 70 * time.Second, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := n.Claim(tt.claims, tt.session, start.Add(tt.after)); reason(err) != tt.want {
				t.Errorf("Claim = %v, want %q", err, tt.want)
			}
		})
	}
}

func later(c *Claims) *Claims {
	c.Issued, c.Expires, c.Until = c.Issued.Add(time.Minute), c.Expires.Add(time.Minute), c.Until.Add(time.Minute)
	return c
}

// TestNoncesSince starts a memory as a process starts: what was issued before
// may have been used already.
func TestNoncesSince(t *testing.T) {
	for _, tt := range []struct {
		began time.Duration
		want  Reason
	}{
		{time.Second, Replayed},
		{999 * time.Millisecond, ""}, // tokens tell whole seconds
		{0, ""},
		{-10 * time.Second, ""},
	} {
		n := NewNonces(3, start.Add(tt.began))
		if err := n.Claim(used("1", ""), "a", start.Add(2*time.Second)); reason(err) != tt.want {
			t.Errorf("began at %v: Claim = %v, want %q", tt.began, err, tt.want)
		}
	}
}

// TestNoncesRace has many sessions use one token at once: one wins.
func TestNoncesRace(t *testing.T) {
	n := NewNonces(10, time.Time{})
	var sessions sync.WaitGroup
	won := make(chan string, 100)
	for i := range 100 {
		sessions.Go(func() {
			if s := fmt.Sprint(i); n.Claim(used("1", ""), s, start) == nil {
				won <- s
			}
		})
	}
	sessions.Wait()
	if len(won) != 1 {
		t.Errorf("%d sessions use one token", len(won))
	}
}

// TestNoncesForget uses many tokens one after the other: as many are remembered
// as are good at a time.
func TestNoncesForget(t *testing.T) {
	n := NewNonces(100, time.Time{})
	for i := range 10_000 {
		now := start.Add(time.Duration(i) * time.Second)
		c := &Claims{Issuer: "crm", ID: fmt.Sprint(i), Issued: now, Expires: now.Add(time.Minute), Until: now.Add(time.Minute)}
		if err := n.Claim(c, "a", now); err != nil {
			t.Fatalf("token %d: %v", i, err)
		}
	}
	if len(n.used) != len(n.order) || len(n.used) > 61 {
		t.Errorf("%d and %d tokens are remembered, of 60 that are good", len(n.used), len(n.order))
	}
}
