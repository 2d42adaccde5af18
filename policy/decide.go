package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgveil/pgveil/catalog"
)

// UnknownLoginError says that the policy has no such user. It suggests
// nothing: names of users are not for whoever fails to log in.
type UnknownLoginError struct{ Login string }

func (e *UnknownLoginError) Error() string { return fmt.Sprintf("the policy has no user %q", e.Login) }

// PurposeError says that none of the caller's roles serves a purpose.
type PurposeError struct {
	Purpose   string
	Permitted []string
}

func (e *PurposeError) Error() string {
	if len(e.Permitted) == 0 {
		return fmt.Sprintf("purpose %q is not permitted, nor is any other", e.Purpose)
	}
	return fmt.Sprintf("purpose %q is not permitted; permitted: %s", e.Purpose, strings.Join(e.Permitted, ", "))
}

// ActAsError says that a login may not speak for a user.
type ActAsError struct{ Login, User string }

func (e *ActAsError) Error() string {
	return fmt.Sprintf("%q may not act for %q: they have no role in common that act_as lists", e.Login, e.User)
}

// caller is what an access is asked for by.
type caller struct{ login, user, purpose string }

// decisions is what accesses that decide alike share.
type decisions struct {
	id           uint64
	set          *Set
	roles        []*compiledRole // by name
	purpose      *purpose        // nil when there is none
	attributes   map[string]string
	unrestricted bool
	nothing      string    // why there are no roles, if there are none
	at           time.Time // rules that have expired by then give nothing
	relations    sync.Map  // *catalog.Relation → *RelationAccess
}

// lastID numbers the decisions of the process, so that a plan made under one
// policy is never taken for one made under another.
var lastID atomic.Uint64

// Access gives what a login may see for a purpose. With no purpose, the only
// one that the login's roles permit is implied; where there are several,
// nothing but open columns is seen.
func (s *Set) Access(login, purpose string) (*Access, error) {
	return s.access(caller{login, login, purpose})
}

// AccessAs gives what a login may see that says it works for a user. It has
// the user's attributes and those of the user's roles that the login may act
// as: never more than either.
func (s *Set) AccessAs(login, user, purpose string) (*Access, error) {
	return s.access(caller{login, user, purpose})
}

func (s *Set) access(c caller) (*Access, error) {
	now := s.now()
	s.mu.RLock()
	a := s.accesses[c]
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
	s.accesses[c] = a
	return a, nil
}

// decide makes the access of a caller as of now.
func (s *Set) decide(c caller, now time.Time) (*Access, error) {
	login, ok := s.doc.users[c.login]
	if !ok {
		return nil, &UnknownLoginError{c.login}
	}
	who, ok := s.doc.users[c.user]
	if !ok {
		return nil, &UnknownLoginError{c.user}
	}
	d := &decisions{set: s, at: now, attributes: map[string]string{}}
	d.roles = s.rolesOf(who.roles)
	if c.user != c.login {
		d.roles = slices.DeleteFunc(d.roles, func(r *compiledRole) bool { return !named(login.actAs, r.name.text) })
		if len(d.roles) == 0 {
			return nil, &ActAsError{c.login, c.user}
		}
	}
	a := &Access{Login: c.login, User: c.user, Until: s.nextChange(now, login, who)}
	if d.nothing = lapsed(now, login, who); d.nothing != "" {
		d.roles = nil
	} else if err := s.choosePurpose(a, d, c.purpose); err != nil {
		return nil, err
	}
	s.finish(a, d, login, who)
	return a, nil
}

// finish fills the access in from what it decides.
func (s *Set) finish(a *Access, d *decisions, login, who *user) {
	a.Limits = s.doc.limits.and(login.limits).and(who.limits)
	a.Observe = s.doc.observe || len(d.roles) > 0
	for _, r := range d.roles {
		a.Roles = append(a.Roles, r.name.text)
		a.Limits = a.Limits.and(r.limits)
		a.Observe = a.Observe && (s.doc.observe || r.state == observed)
		for _, name := range r.attributes {
			if value, ok := who.attributes[name]; ok {
				d.attributes[name] = value
			}
		}
	}
	if d.purpose != nil {
		a.Purpose = d.purpose.name.text
		a.Limits = a.Limits.and(d.purpose.limits)
	}
	a.Unrestricted = d.unrestricted
	a.decisions = s.share(d, a.Observe)
	a.ID = a.decisions.id
	a.why = append(reasons(a, d), a.why...)
}

// share gives the decisions that are alike d: those made before, or d itself.
func (s *Set) share(d *decisions, observe bool) *decisions {
	expired, _ := slices.BinarySearchFunc(s.expiries, d.at, func(e, at time.Time) int {
		if e.After(at) {
			return 1
		}
		return -1
	})
	var key strings.Builder
	fmt.Fprintf(&key, "%t %t %d %q", d.unrestricted, observe, expired, d.nothing)
	for _, r := range d.roles {
		fmt.Fprintf(&key, " %q", r.name.text)
	}
	if d.purpose != nil {
		fmt.Fprintf(&key, " for %q", d.purpose.name.text)
	}
	for _, name := range slices.Sorted(maps.Keys(d.attributes)) {
		fmt.Fprintf(&key, " %q=%q", name, d.attributes[name])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if made, ok := s.decisions[key.String()]; ok {
		return made
	}
	d.id = lastID.Add(1)
	s.decisions[key.String()] = d
	return d
}

// rolesOf gives the roles that words name and that count, by name.
func (s *Set) rolesOf(words []word) []*compiledRole {
	var roles []*compiledRole
	for _, w := range words {
		if r := s.roles[w.text]; r.state != drafted {
			roles = append(roles, r)
		}
	}
	slices.SortFunc(roles, func(a, b *compiledRole) int { return strings.Compare(a.name.text, b.name.text) })
	return roles
}

// choosePurpose settles for what the access is.
func (s *Set) choosePurpose(a *Access, d *decisions, asked string) error {
	for _, r := range d.roles {
		d.unrestricted = d.unrestricted || r.unrestricted
		for _, w := range r.purposes {
			a.Purposes = append(a.Purposes, w.text)
		}
	}
	if d.unrestricted {
		a.Purposes = slices.Collect(maps.Keys(s.doc.purposes))
	}
	slices.Sort(a.Purposes)
	a.Purposes = slices.Compact(a.Purposes)
	switch {
	case asked != "" && !slices.Contains(a.Purposes, asked):
		return &PurposeError{asked, a.Purposes}
	case asked == "" && len(a.Purposes) == 1 && !d.unrestricted:
		asked = a.Purposes[0]
		a.why = append(a.why, fmt.Sprintf("purpose %s is implied: it is the only one that the roles permit", asked))
	}
	d.purpose = s.doc.purposes[asked]
	return nil
}

// reasons says who asks, and what that comes to.
func reasons(a *Access, d *decisions) []string {
	var why []string
	if a.User != a.Login {
		why = append(why, fmt.Sprintf("%s acts for %s, within the roles that both have", a.Login, a.User))
	}
	switch {
	case d.nothing != "":
		why = append(why, d.nothing)
	case len(a.Roles) == 0:
		why = append(why, fmt.Sprintf("%s has no role", a.User))
	default:
		why = append(why, fmt.Sprintf("%s has the roles %s", a.User, strings.Join(a.Roles, ", ")))
	}
	switch {
	case a.Unrestricted:
		why = append(why, "one of the roles is unrestricted: nothing is changed, everything is recorded")
	case d.purpose == nil && len(a.Roles) > 0:
		why = append(why, d.noPurpose())
	}
	if a.Observe {
		why = append(why, "observed only: decisions are recorded, nothing is changed")
	}
	return why
}

// noPurpose says why nothing but open columns is seen.
func (d *decisions) noPurpose() string {
	var permitted []string
	for _, r := range d.roles {
		for _, w := range r.purposes {
			permitted = append(permitted, w.text)
		}
	}
	slices.Sort(permitted)
	permitted = slices.Compact(permitted)
	if len(permitted) == 0 {
		return "the roles permit no purpose, so only open columns are shown"
	}
	return "without a purpose only open columns are shown; set pgveil.purpose to one of " + strings.Join(permitted, ", ")
}

// lapsed says which attribute of the users has lapsed, if any has.
func lapsed(now time.Time, users ...*user) string {
	for _, u := range users {
		for _, e := range u.until {
			if !now.Before(e.lapses) {
				last := e.lapses.AddDate(0, 0, -1).Format(time.DateOnly)
				return fmt.Sprintf("%s of %s was %s: until it is renewed, %s has no roles", e.attribute, u.name.text, last, u.name.text)
			}
		}
	}
	return ""
}

// nextChange gives the first moment after now at which time alone changes what
// the users may see; zero when there is none.
func (s *Set) nextChange(now time.Time, users ...*user) time.Time {
	moments := slices.Clone(s.expiries)
	for _, u := range users {
		for _, e := range u.until {
			moments = append(moments, e.lapses)
		}
	}
	var next time.Time
	for _, m := range moments {
		if m.After(now) && (next.IsZero() || m.Before(next)) {
			next = m
		}
	}
	return next
}

// relation gives the access to a relation, decided once.
func (d *decisions) relation(r *catalog.Relation) *RelationAccess {
	if found, ok := d.relations.Load(r); ok {
		return found.(*RelationAccess)
	}
	t := d.set.tables[r]
	if t == nil {
		return &RelationAccess{Relation: r, Because: "the policy does not govern it"}
	}
	made, _ := d.relations.LoadOrStore(r, d.decideRelation(t))
	return made.(*RelationAccess)
}
