package valkey

import (
	"sync"
	"time"
)

// circuit keeps everybody from waiting for a server that does not answer: when it
// did not, one at a time asks it again, and seldom. The zero circuit lets all in.
type circuit struct {
	mu    sync.Mutex
	why   error // nil: the server answers
	again time.Time
	wait  time.Duration
}

// How long the server is left alone.
const (
	firstWait = 100 * time.Millisecond
	longest   = 2 * time.Second
)

// change is what note found out.
type change uint8

const (
	came change = iota + 1
	went
)

// enter lets in who may ask the server. While it is away that is one, who has some
// time for it.
func (c *circuit) enter(now time.Time, takes time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == nil {
		return nil
	}
	if now.Before(c.again) {
		return c.why
	}
	c.again = now.Add(max(takes, firstWait))
	return nil
}

// leave lets the next in, in place of one who did not find out.
func (c *circuit) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.again = time.Time{}
}

// note takes down how it went.
func (c *circuit) note(now time.Time, err error) change {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.why
	c.why = err
	if err == nil {
		c.wait = 0
		if was != nil {
			return came
		}
		return 0
	}
	c.wait = min(max(2*c.wait, firstWait), longest)
	c.again = now.Add(c.wait)
	if was == nil {
		return went
	}
	return 0
}

func (c *circuit) away() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why != nil
}
