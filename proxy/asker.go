package proxy

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/token"
	"github.com/pgveil/pgveil/rewrite"
)

// asker is what a session's settings, or the comments in one text, say of who
// asks besides the login. What is "" is not said.
type asker struct{ user, purpose, token, ticket string }

// party is who asks: what decides, and what the access log has of it.
type party struct {
	access *policy.Access
	ticket string
}

// is tells whether the access log would say the same of another party.
func (p party) is(q party) bool {
	a, b := p.access, q.access
	return p.ticket == q.ticket && (a == b || a != nil && b != nil && a.User == b.User && a.Purpose == b.Purpose && slices.Equal(a.Roles, b.Roles))
}

// with gives what is said where comments in a text add to the settings. They may
// say what is not said yet, and another purpose; never another user, which would
// let whoever smuggles a comment into a text choose one.
func (a asker) with(s rewrite.Said) (asker, error) {
	if s.Token != "" && a.token == "" && a.user == "" {
		a.token = s.Token
	} else if s.Token != "" && s.Token != a.token {
		return a, refuseAsker("a comment gives a token, and the session has said already who asks")
	}
	if s.User != "" && a.user != "" && s.User != a.user {
		return a, refuseAsker("a comment names another user than the session's settings")
	}
	if s.User != "" {
		a.user = s.User
	}
	if s.Purpose != "" {
		a.purpose = s.Purpose
	}
	if s.Ticket != "" {
		a.ticket = s.Ticket
	}
	return a, nil
}

func refuseAsker(message string) error {
	return &rewrite.Refusal{Code: "42501", Message: message, Hint: "RESET pgveil.end_user and pgveil.token before another user's statements"}
}

// vouched is the latest token of a session and what it was found to say.
type vouched struct {
	text   string
	claims *token.Claims
}

// tokenID is what makes a token the one that it is. Its text does not: whoever
// has one signed with ECDSA can give it another signature that is good.
type tokenID struct{ issuer, id string }

// within is when the one transaction began that a token is for.
type within struct {
	began string
	until time.Time // of the token
}

// claim gives what the policy is asked, and the ticket.
func (s *session) claim(a asker) (c policy.Claim, ticket string, err error) {
	c = s.base
	if until := s.loginEnds(); !until.IsZero() && !s.srv.now().Before(until) {
		return c, "", &rewrite.Refusal{Code: "28000", Message: "what proved this login has expired", Hint: "connect again"}
	}
	c.User, c.Purpose, ticket = a.user, a.purpose, a.ticket
	if a.token != "" {
		if ticket, err = s.vouch(&c, a); err != nil {
			return c, ticket, err
		}
	}
	if c.User == "" {
		c.User = c.Login
	}
	if c.User != c.Login && a.token == "" {
		c.Vouched = nil // what is known of the login is not known of others
	}
	c.Second = c.Proven() && s.factor.counts(c.User, s.srv.now()) // who only says to be a user has given nothing
	c.Elevations = s.srv.elevations.of(c.User, s.srv.now())
	return c, ticket, nil
}

// vouch takes over what a signed token says. It fixes the user, and the purpose
// and the ticket where it names them: nothing unsigned may then say another.
func (s *session) vouch(c *policy.Claim, a asker) (ticket string, err error) {
	claims, err := s.verify(a.token)
	if err != nil {
		return "", err
	}
	for _, fixed := range []struct{ what, signed, said string }{
		{"end_user", claims.User, a.user}, {"purpose", claims.Purpose, a.purpose}, {"ticket", claims.Ticket, a.ticket},
	} {
		if fixed.signed != "" && fixed.said != "" && fixed.said != fixed.signed {
			return "", &rewrite.Refusal{Code: "42501", Message: "pgveil." + fixed.what + " is not what the token says", Hint: "RESET pgveil." + fixed.what}
		}
	}
	c.User = claims.User
	c.Vouched = &policy.Vouched{Roles: claims.Roles, Groups: claims.Groups, Attributes: claims.Attributes, Until: claims.Until}
	if c.User == c.Login {
		c.Vouched.Groups = nil // who signs for end users gives the login itself nothing
	}
	if claims.Purpose != "" {
		c.Purpose = claims.Purpose
	}
	if claims.Ticket != "" {
		return claims.Ticket, nil
	}
	return a.ticket, nil
}

// verify gives what a token says, if it counts in this session now.
func (s *session) verify(text string) (*token.Claims, error) {
	now := s.srv.now()
	if s.vouched.text != text || !now.Before(s.vouched.claims.Until) {
		claims, err := s.srv.tokens.Verify(text, now)
		if err != nil {
			return nil, refuseToken(err)
		}
		if !claims.PresentedBy(s.login) {
			return nil, &rewrite.Refusal{Code: "28000", Message: "this login may not present the issuer's tokens", Hint: "see tokens in pgveil.yaml"}
		}
		s.vouched = vouched{text: text, claims: claims}
	}
	if err := s.srv.nonces.Claim(s.vouched.claims, s.id, now); err != nil {
		return nil, refuseToken(err)
	}
	return s.vouched.claims, nil
}

// refuseToken says why a token does not count, which the error names without
// repeating anything of the token.
func refuseToken(err error) error {
	var e *token.Error
	if errors.As(err, &e) {
		return &rewrite.Refusal{Code: "28000", Message: "pgveil.token: " + e.Error(), Hint: "sign a new token for this session"}
	}
	return err
}

// withinTransaction refuses the session's token outside of the one transaction
// that it is for. began is when the transaction at hand did.
func (s *session) withinTransaction(a asker, began string) error {
	v := &s.vouched
	if a.token == "" || v.text != a.token || !v.claims.Transaction {
		return nil
	}
	id := tokenID{v.claims.Issuer, v.claims.ID}
	bound, ok := s.within[id]
	if !ok {
		now := s.srv.now()
		maps.DeleteFunc(s.within, func(_ tokenID, w within) bool { return !now.Before(w.until) })
		bound = within{began, v.claims.Until}
		s.within[id] = bound
	}
	if bound.began != began {
		return &rewrite.Refusal{Code: "28000", Message: "pgveil.token: the token was for one transaction, which is over", Hint: "SET LOCAL pgveil.token within the transaction"}
	}
	return nil
}

// decide gives who asks, by what is said.
func (s *session) decide(engine *rewrite.Engine, a asker) (party, error) {
	c, ticket, err := s.claim(a)
	if err != nil {
		return party{access: policy.Nobody(c)}, err
	}
	access, err := engine.Policy.Decide(c)
	if err != nil {
		return party{access: policy.Nobody(c), ticket: ticket}, rewrite.RefuseAccess(err)
	}
	if err := s.barred(c, access); err != nil {
		return party{access: policy.Nobody(c), ticket: ticket}, err
	}
	if _, beyond := s.beyond(access); beyond {
		c.Beyond = true
		if access, err = engine.Policy.Decide(c); err != nil {
			return party{access: policy.Nobody(c), ticket: ticket}, rewrite.RefuseAccess(err)
		}
	}
	if err := s.deputy.check(access); err != nil {
		return party{access: policy.Nobody(c), ticket: ticket}, err
	}
	s.mu.Lock()
	odd := s.readOtherwise()
	s.mu.Unlock()
	if odd != nil && !free(access) { // set while nothing was kept from the session
		return party{access: policy.Nobody(c), ticket: ticket}, odd
	}
	return party{access, ticket}, nil
}

// party gives who asks for what says nothing else. Of a text that depends on no
// setting the server is not asked who that is: where it may be another than
// before, the login alone is certain.
func (s *session) party() party {
	a := s.plans.Access
	if !s.unsure || s.fixed() || !a.ActsForOthers && a.User == s.login {
		return party{a, s.ticket}
	}
	if s.alone == nil {
		s.alone = policy.Nobody(s.base)
	}
	return party{access: s.alone}
}

// partyOf gives who asks when what a name stands for is used: the session's
// party, or who the comments in its text say.
func (s *session) partyOf(n *named) party {
	if n.said == nil {
		return party{s.plans.Access, s.ticket}
	}
	a, err := s.asker.with(*n.said)
	if err != nil {
		return party{access: policy.Nobody(s.base)}
	}
	p, err := s.decide(s.engine, a)
	if err != nil {
		return party{access: policy.Nobody(s.base)} // nothing was planned for it
	}
	return p
}

// checkAsker refuses values of the settings by which a session says who asks, as
// soon as they are set and not only when the next statement needs them. What
// cannot be known yet passes: it is looked at then.
func (s *session) checkAsker(n *named) error {
	for _, step := range n.plan.Steps {
		value := step.Value
		if value == "" {
			value = n.value // if it is a step that says something, the text brought it along
		}
		var a asker
		switch {
		case value == "":
			continue
		case step.Setting == rewrite.UserSetting:
			a.user = value
		case step.Setting == rewrite.TokenSetting:
			a.token = value
		case step.Setting == rewrite.PurposeSetting:
			if s.unsure {
				continue // whose purpose it is will be known later
			}
			a = s.asker
			a.purpose = value
		default:
			continue
		}
		if _, err := s.decide(s.engine, a); err != nil {
			s.misspeak(step.Setting)
			return err
		}
	}
	return nil
}

// misspeak notes that the session was refused whom it says it works for. What it
// said before stays in force on the server, as with any setting; an application
// that goes on after the error would serve one person with what another may see.
func (s *session) misspeak(setting string) {
	if setting == rewrite.PurposeSetting {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.misspoke.put("", &named{})
	s.doubt, s.ahead = true, nil
}

// misspoken refuses whatever needs to know who asks, until that is said or reset.
func (s *session) misspoken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.misspoke.get(nil) == nil {
		return nil
	}
	return &rewrite.Refusal{Code: "42501", Message: "it is not known who asks: what the session said of it last was refused", Hint: "say it again, or RESET pgveil.token and pgveil.end_user"}
}

// says tells whether a step says who asks, or takes it back.
func says(step rewrite.Step) bool {
	switch step.Setting {
	case rewrite.UserSetting, rewrite.TokenSetting:
		return true
	case "":
		return step.Effect&rewrite.Resets != 0 || step.Effect&rewrite.Settings != 0 && step.Command != "SET"
	default:
		return false
	}
}

// fixed tells whether nothing that a session says changes what it may do.
func (s *session) fixed() bool {
	return s.plans.Access.Unrestricted && !s.plans.Access.ActsForOthers
}

// heedless tells whether no setting decides what becomes of what a session sends.
func (s *session) heedless() bool { return s.fixed() && (s.foreign || !s.engine.Seals()) }

// unguarded tells whether nothing is kept from who asks, nor from whom a comment
// may name, nor anything to be sealed.
func (s *session) unguarded() bool {
	a := s.plans.Access
	return (a.Observe || a.Unrestricted && !a.ActsForOthers) && (s.foreign || !s.engine.Seals())
}

// mayChangeAsker tells whether what a flight stands for may change who asks, and
// nobody looks: texts of callers without restrictions are not planned.
func (s *session) mayChangeAsker(f *flight) bool {
	if a := s.plans.Access; !a.Unrestricted || !a.ActsForOthers || f.own {
		return false
	}
	return f.kind == flightQuery || f.kind == flightExecute || f.kind == flightCall
}

// given is a second factor: who gave it, and until when it counts.
type given struct {
	user  string
	at    time.Time
	until time.Time // zero: as long as the session
}

// gives is a second factor that a user gives now.
func (s *session) gives(user string) given {
	g := given{user: user, at: s.srv.now()}
	if lasts := s.engine.Policy.SecondFactor(); lasts > 0 {
		g.until = s.srv.now().Add(lasts)
	}
	return g
}

func (g given) counts(user string, now time.Time) bool {
	return g.user != "" && g.user == user && (g.until.IsZero() || now.Before(g.until))
}

// ends gives the moment from which on a party's access must be decided anew;
// zero when there is none.
func (s *session) ends(a *policy.Access) time.Time {
	until := a.Until
	masked, _ := s.beyond(a)
	for _, t := range []time.Time{s.factor.until, s.loginEnds(), masked} {
		if !t.IsZero() && (until.IsZero() || t.Before(until)) && t.After(s.srv.now()) {
			until = t
		}
	}
	return until
}

// loginEnds gives when what proved the login expires; zero when it does not.
func (s *session) loginEnds() time.Time {
	if s.base.Vouched == nil {
		return time.Time{}
	}
	return s.base.Vouched.Until
}
