package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Approval says who has to agree to an elevation, and when. The zero Approval
// asks for it before.
type Approval uint8

// The approvals.
const (
	ApproveBefore Approval = iota // by a second person, before it is in force
	ApproveAfter                  // by a second person, who looks at it when it is over: breaking the glass
	ApproveNone                   // by nobody: the record is all
)

var approvalNames = []string{"before", "after", "none"}

func (a Approval) String() string { return approvalNames[a] }

// offer is one of the policy's elevations: what a role may be elevated to.
type offer struct {
	role, to word
	lasts    time.Duration
	approval Approval
	by       []word // the roles that approve or review it
	second   bool   // a second factor is needed to ask
	pos      Pos
}

// maxElevation is how long an elevation may last at most. What is needed for
// longer is a role.
const maxElevation = 30 * 24 * time.Hour

func (r *reader) elevation(n *yaml.Node) {
	e := &offer{pos: r.at(n)}
	r.fields(n, "an elevation", keys{
		"role": func(n *yaml.Node) { e.role = r.text(n, "a role") },
		"to":   func(n *yaml.Node) { e.to = r.text(n, "a purpose") },
		"for":  func(n *yaml.Node) { e.lasts = r.duration(n, maxElevation) },
		"approval": func(n *yaml.Node) {
			e.approval = Approval(max(r.oneOf(n, "approval", approvalNames...), 0))
		},
		"by":            func(n *yaml.Node) { e.by = r.words(n, "a role") },
		"second_factor": func(n *yaml.Node) { e.second = r.oneOf(n, "second_factor", "false", "true") == 1 },
	}, "role", "to", "for")
	switch needs := e.approval != ApproveNone; {
	case needs && len(e.by) == 0:
		r.add(e.pos, `an elevation needs "by": the roles that approve it, or "approval: none"`)
	case !needs && len(e.by) > 0:
		r.add(e.pos, `"by" says who approves, and "approval: none" that nobody does`)
	}
	r.doc.elevations = append(r.doc.elevations, e)
}

// duration reads a time like 30m or 8h.
func (r *reader) duration(n *yaml.Node, most time.Duration) time.Duration {
	w := r.text(n, "a time")
	if w.text == "" {
		return 0
	}
	d, err := time.ParseDuration(w.text)
	if err != nil || d < time.Second || d > most {
		r.add(w.pos, "%q is not a time like 30m or 8h, of at most %s", w.text, most)
	}
	return d
}

// elevations checks the names in what may be elevated to what.
func (c *compiler) elevations() {
	for i, e := range c.doc.elevations {
		defined(c, "role", append([]word{e.role}, e.by...), c.doc.roles)
		defined(c, "purpose", []word{e.to}, c.doc.purposes)
		if r := c.set.roles[e.role.text]; r != nil && (slices.Contains(r.permits, e.to.text) || r.unrestricted) {
			c.add(e.to.pos, "role %q has purpose %q without an elevation", e.role.text, e.to.text)
		}
		for _, o := range c.doc.elevations[:i] {
			if o.role.text == e.role.text && o.to.text == e.to.text {
				c.add(e.pos, "role %q is elevated to %q twice; the other is at %s", e.role.text, e.to.text, o.pos)
			}
		}
	}
}

// offer gives what the policy says of elevating a role to a purpose.
func (s *Set) offer(role, purpose string) *offer {
	for _, e := range s.doc.elevations {
		if e.role.text == role && e.to.text == purpose {
			return e
		}
	}
	return nil
}

// Elevates tells whether the policy elevates anybody.
func (s *Set) Elevates() bool { return len(s.doc.elevations) > 0 }

// Offer is an elevation that a caller may ask for.
type Offer struct {
	Role     string // of the caller, that serves the purpose meanwhile
	Purpose  string
	Longest  time.Duration
	Approval Approval
	By       []string // the roles that approve or review it
	Second   bool     // a second factor is needed, and missing
}

// Offers gives the elevations that a caller may ask for; of several to one
// purpose the one that needs the least approval, and then the longest. Whoever
// only says who they are may ask for none: none would be in force for them.
func (a *Access) Offers() []Offer {
	if a.decisions == nil || !a.Claim.Proven() {
		return nil
	}
	var offers []Offer
	for _, e := range a.decisions.set.doc.elevations {
		if slices.Contains(a.Roles, e.role.text) {
			offers = append(offers, Offer{e.role.text, e.to.text, e.lasts, e.approval, texts(e.by), e.second && !a.Claim.Second})
		}
	}
	slices.SortFunc(offers, func(a, b Offer) int {
		return cmp.Or(strings.Compare(a.Purpose, b.Purpose), cmp.Compare(b.Approval, a.Approval), cmp.Compare(b.Longest, a.Longest), strings.Compare(a.Role, b.Role))
	})
	return slices.CompactFunc(offers, func(a, b Offer) bool { return a.Purpose == b.Purpose })
}

// Decides tells whether a caller may approve, deny, revoke and review another's
// elevation of a role to a purpose. Whoever only says who they are may not.
func (a *Access) Decides(role, purpose string) bool {
	if a.decisions == nil || !a.Claim.Proven() {
		return false
	}
	e := a.decisions.set.offer(role, purpose)
	return e != nil && slices.ContainsFunc(e.by, func(w word) bool { return slices.Contains(a.Roles, w.text) })
}

// String says what may be asked for.
func (o Offer) String() string {
	s := fmt.Sprintf("%s, for up to %s", o.Purpose, o.Longest)
	switch o.Approval {
	case ApproveBefore:
		s += ", once approved by " + strings.Join(o.By, " or ")
	case ApproveAfter:
		s += ", reviewed afterwards by " + strings.Join(o.By, " or ")
	case ApproveNone:
	}
	return s
}
