package policy

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pgveil/pgveil/regime"
)

// RequestType is a right that a data subject asks for. The zero RequestType is
// none.
type RequestType uint8

// The rights (GDPR, Articles 15 to 18, 20 and 21).
const (
	AccessRequest RequestType = iota + 1
	Portability
	Rectification
	Erasure
	Restriction
	Objection
)

var requestNames = []string{"access", "portability", "rectification", "erasure", "restriction", "objection"}

// requestRights are the rights of a role that serve each type.
var requestRights = []string{"export", "export", "rectify", "erase", "restrict", "restrict"}

// String gives the type as a policy and the commands write it.
func (t RequestType) String() string {
	if t == 0 || int(t) > len(requestNames) {
		return "none"
	}
	return requestNames[t-1]
}

// Right names the right that a role needs to serve requests of the type.
func (t RequestType) Right() string {
	if t == 0 || int(t) > len(requestRights) {
		return "none"
	}
	return requestRights[t-1]
}

// Time gives the right that laws set a time for.
func (t RequestType) Time() regime.Right {
	switch t {
	case AccessRequest, Portability:
		return regime.Access
	case Rectification, Restriction, Objection:
		return regime.Correction
	case Erasure:
		return regime.Erasure
	default:
		return 0
	}
}

// RequestTypes gives every type.
func RequestTypes() []RequestType {
	return []RequestType{AccessRequest, Portability, Rectification, Erasure, Restriction, Objection}
}

// RequestTypeNamed gives the type with a name, in capitals or not; ok is false
// where there is none.
func RequestTypeNamed(name string) (t RequestType, ok bool) {
	i := slices.Index(requestNames, strings.ToLower(name))
	return RequestType(i + 1), i >= 0
}

// Identity is how far it was checked that whoever asks is the data subject. The
// zero Identity is not at all.
type Identity uint8

// The levels, each at least as good as those before it.
const (
	IdentityContact  Identity = iota + 1 // an answer from the address or number on record
	IdentityAccount                      // a login to the subject's account
	IdentityDocument                     // a document, or in person
)

var identityNames = []string{"contact", "account", "document"}

// String gives the level as a policy and the commands write it.
func (i Identity) String() string {
	if i == 0 || int(i) > len(identityNames) {
		return "none"
	}
	return identityNames[i-1]
}

// IdentityNamed gives the level with a name.
func IdentityNamed(name string) (i Identity, ok bool) {
	at := slices.Index(identityNames, strings.ToLower(name))
	return Identity(at + 1), at >= 0
}

// Identities names the levels.
func Identities() []string { return slices.Clone(identityNames) }

// Need is what a request of some type needs before anything is done.
type Need struct {
	Identity  Identity
	Approvals int  // by how many others than who opened it, each a person known for certain
	ByPlan    bool // each says which plan it is of
}

// maxApprovals bounds approvals: more would never be gathered.
const maxApprovals = 5

// Requests says how data subject requests are answered.
type Requests struct {
	Regime     string // whose deadlines count where a request does not say; "" is gdpr
	Controller Controller
	Backups    Keep // how long backups still have what was erased; zero: nobody said
	needs      map[RequestType]Need
}

// Controller is who answers, as documents for data subjects name it.
type Controller struct{ Name, Contact, Authority string }

// Need gives what a request of a type needs: where the policy does not say, an
// answer from an address on record, and nobody's approval.
func (q Requests) Need(t RequestType) Need {
	n, said := q.needs[t]
	if !said || n.Identity == 0 {
		n.Identity = IdentityContact
	}
	return n
}

// Asks tells whether the policy itself says that somebody is to look at a request
// of a type, rather than what holds where it is silent.
func (q Requests) Asks(t RequestType) bool {
	return q.needs[t].Identity != 0 || q.needs[t].Approvals > 0
}

// Requests says how data subject requests are answered.
func (s *Set) Requests() Requests { return s.doc.requests }

// requests reads how data subject requests are answered.
func (r *reader) requests(n *yaml.Node) {
	q := &r.doc.requests
	q.needs = map[RequestType]Need{}
	known := keys{
		"regime": func(n *yaml.Node) {
			if i := r.oneOf(n, "regime", regime.Names()...); i >= 0 {
				q.Regime = regime.Names()[i]
			}
		},
		"controller": func(n *yaml.Node) { q.Controller = r.controller(n) },
		"backups":    func(n *yaml.Node) { q.Backups = r.keep(n) },
	}
	for _, t := range RequestTypes() {
		known[t.String()] = func(n *yaml.Node) { q.needs[t] = r.need(n) }
	}
	r.fields(n, "requests", known)
}

func (r *reader) controller(n *yaml.Node) (c Controller) {
	text := func(into *string) func(*yaml.Node) {
		return func(n *yaml.Node) { *into = r.text(n, "a text").text }
	}
	r.fields(n, "a controller", keys{"name": text(&c.Name), "contact": text(&c.Contact), "authority": text(&c.Authority)}, "name")
	return c
}

func (r *reader) need(n *yaml.Node) (need Need) {
	r.fields(n, "what a request needs", keys{
		"identity":  func(n *yaml.Node) { need.Identity = Identity(r.oneOf(n, "identity", identityNames...) + 1) },
		"approvals": func(n *yaml.Node) { need.Approvals = r.whole(n, maxApprovals) },
		"approve":   func(n *yaml.Node) { need.ByPlan = r.oneOf(n, "approve", "request", "plan") == 1 },
	})
	return need
}
