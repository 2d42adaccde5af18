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

// decisions is what accesses that decide alike share.
type decisions struct {
	id           uint64
	set          *Set
	roles        []*compiledRole // by name
	purpose      *purpose        // nil when there is none
	attributes   map[string]string
	second       bool        // a second factor was given
	beyond       bool        // values are hidden
	elevations   []Elevation // without their ends
	unrestricted bool
	nothing      string    // why there are no roles, if there are none
	without      string    // why a role does not count that would serve the purpose asked for
	lost         []lost    // the roles that do not count now
	at           time.Time // rules that have expired by then give nothing
	relations    sync.Map  // *catalog.Relation → *RelationAccess
}

// lastID numbers the decisions of the process, so that a plan made under one
// policy is never taken for one made under another.
var lastID atomic.Uint64

// finish fills the access in from what it decides.
func (s *Set) finish(a *Access, d *decisions, who []*user) {
	a.Limits = s.doc.limits
	for _, u := range who {
		a.Limits = a.Limits.and(u.limits)
	}
	a.Observe = s.doc.observe || len(d.roles) > 0
	for _, r := range d.roles {
		a.Roles = append(a.Roles, r.name.text)
		a.Limits = a.Limits.and(r.limits)
		a.Observe = a.Observe && (s.doc.observe || r.state == observed)
		for _, name := range r.attributes {
			if value, ok := who[len(who)-1].attributes[name]; ok {
				d.attributes[name] = value
			}
		}
	}
	if d.purpose != nil {
		a.Purpose = d.purpose.name.text
		a.Limits = a.Limits.and(d.purpose.limits)
	}
	a.Unrestricted = d.unrestricted
	a.ActsForOthers = s.doc.users[a.Login] != nil && len(s.doc.users[a.Login].actAs) > 0
	a.decisions = s.share(d, a)
	a.ID = a.decisions.id
	a.why = append(reasons(a, d), a.why...)
}

// maxDecisions bounds what is kept: tokens bring attributes that the policy does
// not know beforehand. Beyond it one begins anew, which costs only time.
const maxDecisions = 10_000

// share gives the decisions that are alike d: those made before, or d itself.
func (s *Set) share(d *decisions, a *Access) *decisions {
	expired, _ := slices.BinarySearchFunc(s.expiries, d.at, func(e, at time.Time) int {
		if e.After(at) {
			return 1
		}
		return -1
	})
	var key strings.Builder
	fmt.Fprintf(&key, "%t %t %t %t %d %q %q", d.unrestricted, a.Observe, d.second, d.beyond, expired, d.nothing, d.without)
	fmt.Fprintf(&key, " %s", a.Limits.planned()) // of a user or login: the roles do not tell
	for _, r := range d.roles {
		fmt.Fprintf(&key, " %q", r.name.text)
	}
	if d.purpose != nil {
		fmt.Fprintf(&key, " for %q", d.purpose.name.text)
	}
	for _, e := range d.elevations {
		fmt.Fprintf(&key, " %q to %q", e.Role, e.Purpose)
	}
	for _, name := range slices.Sorted(maps.Keys(d.attributes)) {
		fmt.Fprintf(&key, " %q=%q", name, d.attributes[name])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if made, ok := s.decisions[key.String()]; ok {
		return made
	}
	if len(s.decisions) >= maxDecisions {
		clear(s.decisions)
	}
	d.id = lastID.Add(1)
	s.decisions[key.String()] = d
	return d
}

// rolesOf gives the roles that words name and that count, by name, each once.
func (s *Set) rolesOf(words []word) []*compiledRole {
	var roles []*compiledRole
	for _, w := range words {
		if r := s.roles[w.text]; r.state != drafted && !slices.Contains(roles, r) {
			roles = append(roles, r)
		}
	}
	slices.SortFunc(roles, func(a, b *compiledRole) int { return strings.Compare(a.name.text, b.name.text) })
	return roles
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
	if d.beyond {
		why = append(why, beyondLimit)
	}
	if a.Observe {
		why = append(why, "observed only: decisions are recorded, nothing is changed")
	}
	return why
}

// relation gives the access to a relation, decided once.
func (d *decisions) relation(r *catalog.Relation) *RelationAccess {
	if found, ok := d.relations.Load(r); ok {
		return found.(*RelationAccess)
	}
	t := d.set.tables[r]
	if t == nil && ofAudit(r.Schema, r.Name) {
		made, _ := d.relations.LoadOrStore(r, d.auditRelation(r))
		return made.(*RelationAccess)
	}
	if t == nil {
		return &RelationAccess{Relation: r, Because: "the policy does not govern it"}
	}
	made, _ := d.relations.LoadOrStore(r, d.decideRelation(t))
	return made.(*RelationAccess)
}
