package policy

import (
	"slices"
	"time"

	"github.com/pgveil/pgveil/catalog"
)

// Access is one caller under one compiled Set: a login or end user, its roles,
// its purpose. Everything it decides is fixed at its making, so it may be kept
// with a plan and compared by ID. The zero Access grants nothing.
type Access struct {
	ID            uint64    // equal for two accesses only when they decide everything alike; never 0, never reused by another Set
	Login         string    // who logged in
	User          string    // who acts: the login, or the end user behind it
	Roles         []string  // sorted
	Purpose       string    // "" when none was given and none is implied
	Purposes      []string  // those that the roles permit, sorted
	Unrestricted  bool      // a role says unrestricted: true: nothing is changed, all is recorded
	ActsForOthers bool      // the login may say that it works for somebody else
	Observe       bool      // mode: observe: decisions are recorded, nothing is changed
	Limits        Limits    // of the policy, the purpose, the roles and the user together
	Claim         Claim     // that it was decided for; its From may be another address that counts alike
	Until         time.Time // ask the Set anew from this moment on; zero: never

	decisions *decisions
	why       []string
}

// Why gives, sentence by sentence, how the access came to be what it is.
func (a *Access) Why() []string { return slices.Clone(a.why) }

// Relation gives what the policy says about the access and a relation of the
// catalog that the Set was compiled with; of any other relation, and of the
// system's own, it grants nothing. The answer is shared: it must not be changed.
func (a *Access) Relation(r *catalog.Relation) *RelationAccess {
	if a.decisions == nil {
		return &RelationAccess{Relation: r, Because: "nobody asks"}
	}
	return a.decisions.relation(r)
}

// Function tells whether the access may call a function that is not among the
// built-in ones, whose extension is "" when it belongs to none.
func (a *Access) Function(schema, name, extension string) bool {
	if a.decisions == nil {
		return false
	}
	s := a.decisions.set
	if schema == OwnSchema && slices.Contains(auditFunctions, name) && a.decisions.audits() {
		return true
	}
	return a.Unrestricted || s.functions[catalog.Name{Schema: schema, Name: name}] || extension != "" && s.extensions[extension]
}

// Discloses tells whether the policy accepts what a view or function gives
// away by which rows appear.
func (a *Access) Discloses(schema, name string) bool {
	if a.decisions == nil {
		return false
	}
	return a.Unrestricted || a.decisions.set.discloses[catalog.Name{Schema: schema, Name: name}] ||
		ofAudit(schema, name) && a.decisions.audits()
}

// May tells whether the access may serve a right of data subjects: export,
// erase, rectify, restrict or consent; or audit. Beyond a limit nothing is
// exported.
func (a *Access) May(right string) bool {
	return a.has(right) && !a.Lacks(right) && !(a.Claim.Beyond && right == "export")
}

// Knows tells whether the policy lists a user or login by a name. Tokens may tell
// of more.
func (s *Set) Knows(name string) bool { return s.doc.users[name] != nil }

// Holds tells whether the access may serve a right, be it once a second factor is
// given.
func (a *Access) Holds(right string) bool { return a.has(right) }

// has tells whether any of the roles serves a right.
func (a *Access) has(right string) bool {
	if a.decisions == nil {
		return false
	}
	return slices.ContainsFunc(a.decisions.roles, func(r *compiledRole) bool { return slices.Contains(r.privacy, right) })
}

// Nobody is the access of a claim that was refused: it grants nothing, and says
// who asked.
func Nobody(c Claim) *Access { return &Access{Login: c.Login, User: c.user(), Claim: c} }
