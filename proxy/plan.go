package proxy

import (
	"context"
	"errors"

	"github.com/pgveil/pgveil/rewrite"
)

// quickText is the length up to which a text is searched for comments by who
// must not wait, in bytes: that takes some ten microseconds.
const quickText = 2 << 10

// make gives what a text becomes: a plan, or the carrier of a PRIVACY command.
// Whoever asks is in it also when there is an error.
func (s *session) make(ctx context.Context, text []byte) (named, error) {
	if s.hurriedC && len(text) > quickText && rewrite.MaySay(text) {
		return named{}, errWaits
	}
	said, bare, spoken, err := rewrite.ReadComments(text)
	if settled := s.settle(ctx, view(bare)); settled != nil {
		return named{by: s.party()}, settled
	}
	if !spoken || s.fixed() {
		return s.makeBy(ctx, s.party(), &s.lookup, text)
	}
	if err != nil {
		return named{by: s.party()}, err
	}
	a, err := s.asker.with(said)
	if err != nil {
		return named{by: s.party()}, err
	}
	who, err := s.decide(s.engine, a)
	if err == nil && said.Token != "" && said.Token != s.asker.token && s.vouched.text == said.Token && s.vouched.claims.Transaction {
		err = &rewrite.Refusal{Code: "28000", Message: "pgveil.token: a comment cannot hold a token to one transaction", Hint: "SET LOCAL pgveil.token within the transaction"}
	}
	if err != nil {
		return named{by: who}, err
	}
	made, err := s.makeAside(ctx, who, bare)
	if s.mayKnow(ctx, err) {
		if who, err = s.decide(s.engine, a); err == nil {
			made, err = s.makeAside(ctx, who, bare)
		}
	}
	made.said = &said
	if made.plan != nil && !made.plan.Changed && made.sql == nil {
		made.sql = bare // a token is for pgveil alone
	}
	return made, err
}

// makeAside is makeBy for somebody else than the session's party.
func (s *session) makeAside(ctx context.Context, who party, text []byte) (named, error) {
	plans := s.plans
	plans.Access = who.access
	s.aside.Use(s.engine, plans)
	return s.makeBy(ctx, who, &s.aside, text)
}

// makeBy is make once it is certain who asks.
func (s *session) makeBy(ctx context.Context, who party, l *rewrite.Lookup, text []byte) (named, error) {
	if cmd, ok, err := parseCommand(text); ok || err != nil {
		made, err := s.carrier(string(text), cmd, who, err)
		made.by = who
		return made, err
	}
	r, err := s.plan(ctx, l, text)
	if l == &s.lookup {
		who = s.party() // the engine may be another now
	}
	made := named{plan: r.Plan, sql: r.SQL, lits: r.Literals, value: r.Value, by: who}
	if err == nil {
		made.under = s.planned()
		s.alters(r.Plan)
	}
	if err == nil && r.Plan.Seals != nil {
		text, holes := made.sql, r.Holes
		if text == nil {
			text, holes = []byte(r.Plan.SQL), r.Plan.Seals.Holes
		}
		if len(holes) > 0 {
			made.sql, err = s.sealText(text, holes)
			made.once = sealsOnce(r.Plan)
		}
	}
	return made, err
}

// plan decides a text. Who asks, and the settings that it depends on, are
// certain.
func (s *session) plan(ctx context.Context, l *rewrite.Lookup, text []byte) (rewrite.Ready, error) {
	r, hit, err := l.Known(text)
	if hit {
		s.hit = true
		return r, err
	}
	if s.hurriedC {
		return rewrite.Ready{}, errWaits
	}
	return s.planAnew(ctx, l, text)
}

// planAnew decides a text that was not seen before. Where a name in it is
// unknown, the schema may have changed: it is planned again by a newer engine, if
// there is one.
func (s *session) planAnew(ctx context.Context, l *rewrite.Lookup, text []byte) (rewrite.Ready, error) {
	s.srv.metrics.cacheMisses.Inc()
	start := s.srv.now()
	r, err := s.planInTurn(l, text)
	if l == &s.lookup && s.mayKnow(ctx, err) {
		r, err = s.planInTurn(l, text)
	}
	if err == nil && r.Plan.Unfollowed && l == &s.lookup && s.knowsMore(ctx) {
		r, err = s.planInTurn(l, text)
	}
	s.srv.metrics.planSeconds.Observe(s.srv.now().Sub(start).Seconds())
	return r, err
}

// mayKnow tells whether a newer engine, which is in force now, may know the name
// that a text was refused for. It may have to ask the server: who must not wait
// keeps to a refusal that was known.
func (s *session) mayKnow(ctx context.Context, err error) bool {
	var refusal *rewrite.Refusal
	return !s.hurriedC && errors.As(err, &refusal) && refusal.Unknown != "" && s.srv.enforcer.refresh(ctx, s.engine) && s.settle(ctx, "") == nil
}

// knowsMore tells whether a newer engine is in force now, for a text with names that
// may be new ones of what has sealed columns. The server is asked each time: what
// passes unknown is sent as it is.
func (s *session) knowsMore(ctx context.Context) bool {
	if !s.atRest() {
		return false
	}
	before := s.engine
	_, err := s.srv.enforcer.Look(ctx)
	return err == nil && s.settle(ctx, "") == nil && s.engine != before
}

// planInTurn plans when a processor is to be had: one is left to relay what
// needs no planning.
func (s *session) planInTurn(l *rewrite.Lookup, text []byte) (rewrite.Ready, error) {
	s.srv.planning <- struct{}{}
	defer func() { <-s.srv.planning }()
	r, _, err := l.Plan(text)
	return r, err
}
