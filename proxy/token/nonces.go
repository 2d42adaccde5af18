package token

import (
	"container/heap"
	"sync"
	"time"
)

// Nonces remembers which session used a token first, until the token expires.
// It knows what happened in this process since it was made: where several
// proxies take the same tokens, the claim sid binds one to a session.
type Nonces struct {
	most  int
	since time.Time

	mu    sync.Mutex
	used  map[nonce]string // the session
	order byExpiry
}

type nonce struct{ issuer, id string }

// NewNonces makes a memory of so many tokens. A token that was issued before
// since may have been used already, and is refused; a zero time lets all in.
// Where an issuer's clock is ahead, what it issued shortly before looks later.
func NewNonces(most int, since time.Time) *Nonces {
	return &Nonces{most: most, since: since.Truncate(time.Second), used: map[nonce]string{}}
}

// Claim binds a token to a session, or tells why the session must not use it.
// When there is no room it refuses, rather than forget one that is still good.
func (n *Nonces) Claim(c *Claims, session string, now time.Time) error {
	switch {
	case c.Session != "" && c.Session != session:
		return refuse(Replayed, "the token is bound to another session")
	case c.ID == "":
		return refuse(Claim, "the token's claim %q is missing", "jti")
	case !now.Before(c.Until):
		return refuse(Expired, "the token has expired")
	case c.Issued.Before(n.since):
		return refuse(Replayed, "the token was issued before pgveil started, and may have been used")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forget(now)
	key := nonce{c.Issuer, c.ID}
	by, used := n.used[key]
	switch {
	case used && by != session:
		return refuse(Replayed, "the token was used by another session")
	case used:
		return nil
	case len(n.used) >= n.most:
		return refuse(Full, "no more tokens can be remembered at the moment")
	}
	n.used[key] = session
	heap.Push(&n.order, expiring{key, c.Until})
	return nil
}

// forget drops two tokens that have expired. One is added for each call at
// most, so nothing piles up, and nobody waits for a big cleaning.
func (n *Nonces) forget(now time.Time) {
	for range 2 {
		if len(n.order) == 0 || now.Before(n.order[0].until) {
			return
		}
		e, ok := heap.Pop(&n.order).(expiring)
		if ok {
			delete(n.used, e.nonce)
		}
	}
}

type expiring struct {
	nonce
	until time.Time
}

// byExpiry is a heap with what expires first on top.
type byExpiry []expiring

func (h byExpiry) Len() int           { return len(h) }
func (h byExpiry) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h byExpiry) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is for container/heap.
func (h *byExpiry) Push(x any) {
	if e, ok := x.(expiring); ok {
		*h = append(*h, e)
	}
}

// Pop is for container/heap.
func (h *byExpiry) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
