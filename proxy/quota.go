package proxy

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// quota is what limits leave a caller.
type quota struct {
	access  *policy.Access
	windows []limits.Limit // over a time, which the server's book counts
	session []limits.Limit
	query   []limits.Limit
	stops   []limits.Limit // of windows, those beyond which nothing leaves
	slow    []limits.Limit // of windows, those that slow down
}

// limitReached is the SQLSTATE of what a limit refuses: configuration_limit_exceeded.
const limitReached = "53400"

// quotaOf gives what limits leave a party; nil when there are none.
func (s *session) quotaOf(by party) *quota {
	a := by.access
	if a == nil || len(a.Limits.Each) == 0 || s.srv.book == nil || s.foreign {
		return nil
	}
	if s.quota == nil || s.quota.access != a {
		s.quota = s.newQuota(a)
	}
	return s.quota
}

func (s *session) newQuota(a *policy.Access) *quota {
	q := &quota{access: a}
	for _, l := range a.Limits.Each {
		if lifted(a, l.Then) {
			continue
		}
		if a.Observe {
			l.Then = policy.ThenAlert
		}
		limit := s.limitOf(a, l)
		switch l.Per {
		case policy.PerQuery:
			q.query = append(q.query, limit)
		case policy.PerSession:
			q.session = append(q.session, limit)
		default:
			q.windows = append(q.windows, limit)
			if l.Then.Stops() {
				q.stops = append(q.stops, limit)
			}
			if l.Then == policy.ThenSlow {
				q.slow = append(q.slow, limit)
			}
		}
	}
	return q
}

// lifted tells whether a limit is none for somebody, by what it asks for.
func lifted(a *policy.Access, then policy.Then) bool {
	switch then {
	case policy.ThenStepUp:
		return a.Claim.Second
	case policy.ThenElevate:
		return slices.ContainsFunc(a.Claim.Elevations, func(e policy.Elevation) bool { return e.Purpose == a.Purpose })
	case policy.ThenMask:
		return a.Claim.Beyond
	default:
		return false
	}
}

// beyond tells whether somebody has reached a limit at which values are hidden, as
// far as is known, and until when that is so at least.
func (s *session) beyond(a *policy.Access) (until time.Time, is bool) {
	if s.srv.book == nil || a.Observe {
		return until, false
	}
	var masks []limits.Limit
	for _, l := range a.Limits.Each {
		if l.Then == policy.ThenMask && l.Per == policy.PerWindow {
			masks = append(masks, s.limitOf(a, l))
		}
	}
	if len(masks) == 0 {
		return until, false
	}
	for _, r := range s.srv.book.Over(masks) {
		if !is || r.Again.Before(until) {
			until = r.Again
		}
		is = true
	}
	return until, is
}

// limitOf gives a limit as it holds for somebody.
func (s *session) limitOf(a *policy.Access, l policy.Limit) limits.Limit {
	return limits.Limit{Limit: l, Counter: limits.Counter{Of: l.Of, Name: l.Name, Whose: l.Whose, Who: s.whose(a, l), Window: l.Window}}
}

// whose gives for whom a limit counts.
func (s *session) whose(a *policy.Access, l policy.Limit) string {
	switch l.Whose {
	case policy.OfUser:
		return a.User
	case policy.OfLogin:
		return a.Login
	case policy.OfAddress:
		host, _, err := net.SplitHostPort(s.addr)
		if err != nil {
			return s.addr // of a unix socket
		}
		return host
	default:
		return l.Under // a role, a purpose, or nobody in particular
	}
}

// limit sees to it that what a flight returns stays within the limits of who asks,
// and refuses what they leave nothing for. It counts the statement.
func (s *session) limit(ctx context.Context, f *flight, p *rewrite.Plan) error {
	q := s.quotaOf(f.by)
	if q == nil || f.privacy != nil || !limitable(p) {
		return nil
	}
	if err := s.bounded(q, p); err != nil {
		return err
	}
	if out := s.srv.book.Exhausted(q.stops); out != nil {
		return s.overLimit(out)
	}
	if err := s.slowed(ctx, q); err != nil {
		return err
	}
	taking := &s.asking
	taking.Limits, taking.Statements, taking.Patient = q.windows, 1, !s.hurriedC
	v, err := s.srv.book.Take(ctx, taking)
	if errors.Is(err, limits.ErrWaits) {
		return errWaits
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // the session has ended
	}
	if err != nil {
		return s.uncounted(err)
	}
	s.tell(f.by, v.Told)
	if v.Stopped == nil && len(q.session) > 0 {
		of := s.tally.Take(q.session, taking)
		s.tell(f.by, of.Told)
		v.Stopped = of.Stopped
	}
	if v.Stopped != nil {
		return s.overLimit(v.Stopped)
	}
	f.meter = newMeter(q, s.talliesOf(f, p)...)
	return nil
}

// talliesOf gives what counts the rows of each statement of a plan. A portal and a
// cursor are one statement, however often somebody goes on with them.
func (s *session) talliesOf(f *flight, p *rewrite.Plan) []*limits.Tally {
	if f.portal != nil && !p.Has(rewrite.Fetches) {
		return []*limits.Tally{f.portal.counted()}
	}
	if !p.Has(rewrite.Fetches | rewrite.Declares) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	each := make([]*limits.Tally, len(p.Steps))
	for i, step := range p.Steps {
		each[i] = &limits.Tally{}
		if step.Effect&rewrite.Fetches == 0 {
			continue
		}
		if j := lastMade(p.Steps[:i], rewrite.Declares, step.Name); j >= 0 {
			each[i] = each[j]
		} else if made := s.portals.get([]byte(step.Name)); made != nil {
			each[i] = made.counted()
		}
	}
	return each
}

// counted gives what counts the rows of a portal or cursor.
func (n *named) counted() *limits.Tally {
	if n.tally == nil {
		n.tally = &limits.Tally{}
	}
	return n.tally
}

// limitable tells whether limits count what a plan returns: it may be of governed
// relations.
func limitable(p *rewrite.Plan) bool {
	return p != nil && (p.Governed || p.Has(rewrite.Executes|rewrite.Fetches) ||
		slices.ContainsFunc(p.Subjects, func(n *rewrite.Naming) bool { return n != nil }))
}

// bounded refuses a statement of which nobody can say how many data subjects it
// tells of, where those or values are limited: one that gathers them in a row, or
// copies them to where they are nobody's.
func (s *session) bounded(q *quota, p *rewrite.Plan) error {
	for _, step := range s.stepsOf(p) {
		if step == nil {
			continue
		}
		for _, r := range step.Charged {
			if r.Each != rewrite.AnyNumber {
				continue
			}
			for _, l := range slices.Concat(q.windows, q.session, q.query) {
				people := l.Of == policy.LimitSubjects && (l.Name == "" || l.Name == r.Kind || r.Kind == rewrite.AnyKind)
				values := l.Of == policy.LimitValues && slices.Contains(step.Clear, l.Name)
				if l.Then.Stops() && (people || values) {
					return &rewrite.Refusal{
						Code: limitReached, Rule: "the limit of " + l.Limit.String(), Plan: p,
						Message: "nobody can say of how many data subjects the statement tells, and those are limited",
						Hint:    "return a row for each of them, or count them",
					}
				}
			}
		}
	}
	return nil
}

// stepsOf gives how the subjects of a plan's statements are named.
func (s *session) stepsOf(p *rewrite.Plan) []*rewrite.Naming {
	if p.Has(rewrite.Executes | rewrite.Fetches) {
		return s.stepsMade(p)
	}
	return p.Subjects
}

// overLimit is the refusal of what a limit leaves nothing for.
func (s *session) overLimit(r *limits.Reached) *rewrite.Refusal {
	s.srv.metrics.limited.WithLabelValues(r.Limit.Of.String(), r.Limit.Then.String()).Inc()
	return &rewrite.Refusal{
		Code: limitReached, Message: "the limit of " + r.Limit.Limit.String() + " is reached",
		Rule: "the limit of " + r.Limit.Limit.String(), Hint: wayOut(r),
	}
}

// wayOut says what somebody may do who has reached a limit.
func wayOut(r *limits.Reached) string {
	hint := ""
	switch r.Limit.Then {
	case policy.ThenMask:
		hint = "ask again: from now on values are hidden; "
	case policy.ThenStepUp:
		hint = "go on by a second factor, PRIVACY MFA 123456; "
	case policy.ThenElevate:
		hint = "go on by an elevation, PRIVACY ELEVATE; "
	}
	switch {
	case r.Limit.Per == policy.PerQuery:
		return hint + "ask for less at once"
	case r.Limit.Per == policy.PerSession:
		return hint + "it is the session's"
	case r.Again.IsZero():
		return hint + "PRIVACY SHOW LIMITS says how your limits stand"
	}
	return hint + "some of it is free again at " + r.Again.UTC().Format(time.DateTime) + " UTC; PRIVACY SHOW LIMITS says how your limits stand"
}

// uncounted is the refusal of what cannot be counted.
func (s *session) uncounted(err error) error {
	s.srv.alerts.Raise(alert.Event{
		Name: "limits_uncounted", Severity: alert.Critical, Message: "what callers get cannot be counted: statements that limits are for are refused",
		Details: []slog.Attr{slog.String("err", err.Error())},
	})
	return &rewrite.Refusal{Code: "58030", Message: "what you get cannot be counted: statements that limits are for are refused", Hint: "an operator must look at it"}
}

// slowed has the session wait where a limit slows it down: the longer, the further
// beyond the limit who asks has come.
func (s *session) slowed(ctx context.Context, q *quota) error {
	if len(q.slow) == 0 {
		return nil
	}
	var wait time.Duration
	for _, r := range s.srv.book.Over(q.slow) {
		wait = max(wait, time.Duration(min(float64(r.Used)/float64(r.Limit.Most)*float64(slowBy), float64(slowMost))))
	}
	if wait == 0 {
		return nil
	}
	if s.hurriedC {
		return errWaits
	}
	if !pause(ctx, wait) {
		return context.Cause(ctx)
	}
	return nil
}

const (
	slowBy   = 500 * time.Millisecond // of who has reached a limit, each statement
	slowMost = 10 * time.Second
)

// tell tells operators of limits that were reached, or nearly.
func (s *session) tell(by party, told []limits.Reached) {
	for _, r := range told {
		e := alert.Event{
			Name: "limit_reached", Severity: alert.Warning, User: by.access.User, Key: r.Limit.Limit.String(),
			Message: fmt.Sprintf("the limit of %v is reached", r.Limit.Limit),
			Details: []slog.Attr{
				slog.String("limit", r.Limit.Limit.String()), slog.String("of", r.Limit.Counter.Who),
				slog.Int64("used", r.Used), slog.String("then", r.Limit.Then.String()),
			},
		}
		if r.Near {
			e.Name, e.Severity, e.Message = "limit_near", alert.Notice, fmt.Sprintf("of the limit of %v, %d are used", r.Limit.Limit, r.Used)
		}
		s.srv.alert(s, e)
		if !r.Near && r.Limit.Then == policy.ThenMask {
			s.srv.masked.Add(1)
		}
	}
}

// strangers gives data subjects of whom nothing but the number is known: nobody can
// tell whether they were counted before.
func strangers(kind string, n int64) (all []limits.Person) {
	if kind == rewrite.AnyKind {
		kind = ""
	}
	for range min(n, maxStrangers) {
		p := limits.Person{Kind: kind}
		if _, err := rand.Read(p.ID[:]); err != nil {
			panic(fmt.Sprintf("proxy: no randomness: %v", err)) // crypto/rand documents that it never fails
		}
		all = append(all, p)
	}
	return all
}

// maxStrangers bounds how many data subjects a row counts that nobody knows.
const maxStrangers = 10_000

// person gives a data subject as limits know it.
func (srv *Server) person(sub subject) limits.Person {
	h := sha256.New()
	h.Write(srv.countKey)
	h.Write([]byte(sub.kind))
	h.Write([]byte{0})
	h.Write([]byte(sub.key))
	p := limits.Person{Kind: sub.kind}
	var sum [sha256.Size]byte
	copy(p.ID[:], h.Sum(sum[:0]))
	return p
}
