package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Claim is who asks for an access, for whom and for what, and what is known to
// be true of them. Nothing in it is checked again: whoever makes one has checked
// the login's proof, a token's signature and a one-time code.
type Claim struct {
	Login      string
	User       string      // who acts behind a login that several share; "" is the login itself
	Vouched    *Vouched    // what a trusted issuer says of User; nil: only the policy says something
	Purpose    string      // "" asks for the one that is implied
	From       netip.Addr  // where the connection comes from, Unix() by a socket; the zero address is unknown, and in no network
	Second     bool        // a second factor was given
	Elevations []Elevation // of User, in force
	Beyond     bool        // a limit was reached from which on values are hidden
}

// Vouched is what somebody whom pgveil trusts to know them says of a user: the
// issuer of a signed token. It can make the user less than the policy says; more
// only where the policy leaves it to them (act_as, groups, attributes).
type Vouched struct {
	Roles      []string          // those that the user has now; nil: all that the policy gives
	Groups     []string          // of the user, which the policy gives roles
	Attributes map[string]string // of those that the policy says tokens bring, where it gives the user none of that name
	Until      time.Time         // from then on nobody vouches; zero: for as long as the claim is made
}

// Elevation is a purpose that a user was given for a time.
type Elevation struct {
	Role    string // that serves the purpose meanwhile
	Purpose string
	Until   time.Time
}

// user gives who acts.
func (c *Claim) user() string {
	if c.User == "" {
		return c.Login
	}
	return c.User
}

// Proven tells whether it is certain that User acts, and not only said by
// whoever shares the login.
func (c *Claim) Proven() bool { return c.Login != "" && (c.Vouched != nil || c.user() == c.Login) }

// UnknownLoginError says that the policy has no such user. It suggests
// nothing: names of users are not for whoever fails to log in.
type UnknownLoginError struct{ Login string }

func (e *UnknownLoginError) Error() string { return fmt.Sprintf("the policy has no user %q", e.Login) }

// PurposeError says that none of the caller's roles serves a purpose.
type PurposeError struct {
	Purpose   string
	Permitted []string
	Elevate   bool // the caller may ask to be elevated to it
}

func (e *PurposeError) Error() string {
	if len(e.Permitted) == 0 {
		return fmt.Sprintf("purpose %q is not permitted, nor is any other", e.Purpose)
	}
	return fmt.Sprintf("purpose %q is not permitted; permitted: %s", e.Purpose, strings.Join(e.Permitted, ", "))
}

// ActAsError says that a login may not speak for a user.
type ActAsError struct {
	Login, User string
	Unsigned    bool // a signed token could
}

func (e *ActAsError) Error() string {
	if e.Unsigned {
		return fmt.Sprintf("%q may act for others by a signed token only", e.Login)
	}
	return fmt.Sprintf("%q may not act for %q: they have no role in common that act_as lists", e.Login, e.User)
}

// Access gives what a login may see for a purpose. With no purpose, the only
// one that the login's roles permit is implied; where there are several,
// nothing but open columns is seen.
func (s *Set) Access(login, purpose string) (*Access, error) {
	return s.Decide(Claim{Login: login, Purpose: purpose})
}

// caller is a claim that the policy alone decides: there are no more of them
// than its users, purposes and networks make.
type caller struct {
	login, user, purpose string
	from                 place
	second, beyond       bool
}

// Decide gives what a claim comes to.
func (s *Set) Decide(c Claim) (*Access, error) {
	now := s.now()
	if c.Vouched != nil || len(c.Elevations) > 0 {
		return s.decide(c, now)
	}
	key := caller{c.Login, c.user(), c.Purpose, s.places.narrowest(c.From), c.Second, c.Beyond}
	s.mu.RLock()
	a := s.accesses[key]
	s.mu.RUnlock()
	if a != nil && (a.Until.IsZero() || now.Before(a.Until)) {
		return a, nil
	}
	a, err := s.decide(c, now)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accesses[key] = a
	return a, nil
}

// decide makes the access of a claim as of now.
func (s *Set) decide(c Claim, now time.Time) (*Access, error) {
	d := &decisions{set: s, at: now, attributes: map[string]string{}, second: c.Second, beyond: c.Beyond}
	who, err := s.identify(&c, d)
	if err != nil {
		return nil, err
	}
	a := &Access{Login: c.Login, User: c.user(), Claim: c, Until: d.nextChange(&c, who)}
	if d.nothing = d.disqualified(&c, who); d.nothing != "" {
		d.roles = nil
	} else {
		d.qualify(a, who[len(who)-1])
	}
	s.elevate(a, d, now)
	if err := s.choosePurpose(a, d, c.Purpose); err != nil {
		return nil, err
	}
	d.hide()
	s.finish(a, d, who)
	return a, nil
}

// identify finds the users that a claim is about, the login first, and the
// roles that they come with.
func (s *Set) identify(c *Claim, d *decisions) ([]*user, error) {
	login, who := s.doc.users[c.Login], s.doc.users[c.user()]
	if c.user() != c.Login {
		return s.actFor(c, login, who, d)
	}
	roles := s.groupRoles(c.Vouched)
	switch {
	case c.Login == "" || who == nil && len(roles) == 0:
		return nil, &UnknownLoginError{c.Login}
	case who == nil:
		who = &user{name: word{text: c.Login}}
	}
	roles = append(roles, who.roles...)
	d.roles = s.rolesOf(slices.DeleteFunc(roles, func(w word) bool { return !c.Vouched.leaves(w.text) }))
	return []*user{s.vouched(who, c.Vouched)}, nil
}

// actFor finds a login and the user that it acts for, who is nil when the
// policy does not list them. Their roles are those that act_as lists too. What
// the policy has no such list for, it tells nothing of who its users are.
func (s *Set) actFor(c *Claim, login, who *user, d *decisions) ([]*user, error) {
	switch {
	case login == nil:
		return nil, &UnknownLoginError{c.Login}
	case len(login.actAs) == 0:
		return nil, &ActAsError{Login: c.Login, User: c.User}
	case login.signed && c.Vouched == nil:
		return nil, &ActAsError{c.Login, c.User, true}
	case who == nil && c.Vouched == nil:
		return nil, &UnknownLoginError{c.User}
	}
	roles := s.groupRoles(c.Vouched)
	switch {
	case who != nil:
		roles = append(roles, who.roles...)
	case c.Vouched.Roles != nil: // of a user whom only the issuer knows
		roles = append(roles, login.actAs...)
	}
	if who == nil {
		who = &user{name: word{text: c.User}}
	}
	roles = slices.DeleteFunc(roles, func(w word) bool { return !named(login.actAs, w.text) || !c.Vouched.leaves(w.text) })
	if d.roles = s.rolesOf(roles); len(d.roles) == 0 {
		return nil, &ActAsError{Login: c.Login, User: c.User}
	}
	return []*user{login, s.vouched(who, c.Vouched)}, nil
}

// leaves tells whether whoever vouches for a user leaves them a role.
func (v *Vouched) leaves(role string) bool {
	return v == nil || v.Roles == nil || slices.Contains(v.Roles, role)
}

// groupRoles gives the roles that the policy gives the groups of whom somebody
// vouches for.
func (s *Set) groupRoles(v *Vouched) []word {
	if v == nil {
		return nil
	}
	var roles []word
	for _, g := range v.Groups {
		roles = append(roles, s.doc.groups[g]...)
	}
	return roles
}

// vouched gives a user with the attributes that whoever vouches for them
// brings: those that the policy leaves to them, and does not have itself.
func (s *Set) vouched(u *user, v *Vouched) *user {
	if v == nil {
		return u
	}
	all := *u
	all.attributes, all.until = map[string]string{}, slices.Clone(u.until)
	for _, w := range s.doc.attributes {
		value, ok := v.Attributes[w.text]
		if !ok {
			continue
		}
		all.attributes[w.text] = value
		if _, has := u.attributes[w.text]; !has && strings.HasSuffix(w.text, untilSuffix) {
			end, _ := dayAfter(value) // what is no date has lapsed
			all.until = append(all.until, eligibility{w.text, end})
		}
	}
	maps.Copy(all.attributes, u.attributes)
	return &all
}

// elevate adds the purposes that the caller's roles serve for a time. Of a user
// who is only said to act, there are none: act_as lists what whoever shares the
// login may have, and an elevation is more.
func (s *Set) elevate(a *Access, d *decisions, now time.Time) {
	if !a.Claim.Proven() {
		return
	}
	for _, e := range a.Claim.Elevations {
		serves := slices.ContainsFunc(d.roles, func(r *compiledRole) bool { return r.name.text == e.Role })
		if !serves || !now.Before(e.Until) || s.offer(e.Role, e.Purpose) == nil {
			continue
		}
		a.Until = earlier(a.Until, e.Until)
		if !d.elevatedTo(e.Role, e.Purpose) {
			d.elevations = append(d.elevations, Elevation{Role: e.Role, Purpose: e.Purpose})
		}
		a.why = append(a.why, fmt.Sprintf("%s is elevated to %s until %s", a.User, e.Purpose, e.Until.UTC().Format(time.DateTime)))
	}
	slices.SortFunc(d.elevations, func(a, b Elevation) int { return strings.Compare(a.Role+" "+a.Purpose, b.Role+" "+b.Purpose) })
}

// elevated tells whether a role was elevated to a purpose, or to one that it is
// within; of what the role says not to, only by its name.
func (d *decisions) elevated(r *compiledRole, p *purpose) bool {
	for _, q := range d.set.purposeAndAncestors(p) {
		if d.elevatedTo(r.name.text, q.name.text) {
			return true
		}
		if named(r.not, q.name.text) {
			return false
		}
	}
	return false
}

// elevatedTo tells whether an elevation is of a role to a purpose itself.
func (d *decisions) elevatedTo(role, purpose string) bool {
	return slices.ContainsFunc(d.elevations, func(e Elevation) bool { return e.Role == role && e.Purpose == purpose })
}

// serves tells whether a role serves a purpose, be it for a time.
func (d *decisions) serves(r *compiledRole, p *purpose) bool {
	return slices.Contains(r.permits, p.name.text) || d.elevated(r, p)
}

// earlier gives the earlier of two moments, where zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
