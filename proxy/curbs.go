package proxy

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/rewrite"
)

// curb is what holds back a user who may go on. It is this proxy's own, and over
// when it stops: what must outlive that is a quarantine.
type curb struct {
	slow   int       // how often the user was slowed down
	slowed time.Time // when that was last
	stepUp time.Time // second factors given before it do not count; zero: none is needed
}

// How long a user's statements wait: the first time firstWait, twice as long each
// time, longestWait at most. It is over when nothing was noticed for slowFor.
const (
	firstWait   = 250 * time.Millisecond
	longestWait = 8 * time.Second
	slowFor     = 15 * time.Minute
	slowEvery   = time.Second // what is noticed more often than that counts once
)

func (c curb) wait(at time.Time) time.Duration {
	if c.slow == 0 || at.Sub(c.slowed) >= slowFor {
		return 0
	}
	return min(firstWait<<min(c.slow-1, 10), longestWait)
}

// with gives the curb after what was noticed at a moment.
func (c curb) with(r policy.Response, at time.Time) curb {
	if r.StepUp {
		c.stepUp = at
	}
	if !r.Slow || c.slow > 0 && at.Sub(c.slowed) < slowEvery {
		return c
	}
	if c.wait(at) == 0 {
		c.slow = 0
	}
	c.slow, c.slowed = c.slow+1, at
	return c
}

// curbs are those in force, by users. The map never changes; nil: there are none.
type curbs struct {
	now atomic.Pointer[map[string]curb]
	mu  sync.Mutex // one change at a time
}

// add curbs a user.
func (c *curbs) add(user string, r policy.Response, at time.Time) {
	if !r.Slow && !r.StepUp {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var all map[string]curb
	if before := c.now.Load(); before != nil {
		all = *before
	}
	next := all[user].with(r, at)
	if next == all[user] {
		return
	}
	if all = maps.Clone(all); all == nil {
		all = map[string]curb{}
	}
	all[user] = next
	maps.DeleteFunc(all, func(_ string, c curb) bool { return c.stepUp.IsZero() && c.wait(at) == 0 })
	c.now.Store(&all)
}

// of gives a user's.
func (c *curbs) of(user string) (curb, bool) {
	all := c.now.Load()
	if all == nil {
		return curb{}, false
	}
	is, ok := (*all)[user]
	return is, ok
}

// curbed keeps a statement back as far as its user is held back. What only begins,
// ends or sets something is not.
func (s *session) curbed(ctx context.Context, by *policy.Access, text string) error {
	c, ok := s.srv.curbs.of(by.User)
	if !ok || independent(text) {
		return nil
	}
	immune := suspect{access: by}.immune() // as to quarantines: it may have none to give
	if err := s.stepsUp(c, by); err != nil && !immune {
		return err
	}
	wait := c.wait(s.srv.now())
	switch {
	case wait == 0:
		return nil
	case s.hurriedC:
		return errWaits
	}
	s.srv.metrics.curbed.Inc()
	if !pause(ctx, wait) {
		return ctx.Err()
	}
	return s.barred(by.Claim, by) // much may have happened meanwhile
}

// curbedCommand is curbed for a PRIVACY command. Those that say what is asked for,
// and give it, are served.
func (s *session) curbedCommand(ctx context.Context, verb privacy.Verb, by *policy.Access) error {
	if verb == privacy.VerbMFA || verb == privacy.VerbAccess || verb == privacy.VerbLimits || verb == privacy.VerbHelp {
		return nil
	}
	return s.curbed(ctx, by, "PRIVACY")
}

// stepsUp refuses a statement until its user has given a second factor in this
// session, after the moment that asked for it.
func (s *session) stepsUp(c curb, by *policy.Access) error {
	given := s.factor.counts(by.User, s.srv.now()) && s.factor.at.After(c.stepUp)
	if c.stepUp.IsZero() || given && by.Claim.Proven() {
		return nil
	}
	return &rewrite.Refusal{
		Code: "42501", Message: "because of what was noticed, a second factor is needed before anything else",
		Hint: "give it for this session: PRIVACY MFA 123456",
	}
}
