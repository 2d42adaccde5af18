package policy

import (
	"slices"

	"go.yaml.in/yaml/v4"
)

// Honey says what is done when somebody reads or changes a planted record,
// besides that somebody is told. The zero Honey excepts nobody.
type Honey struct {
	Then   Response
	except []word
	pos    Pos
}

func (r *reader) honey(n *yaml.Node) {
	h := &r.doc.honey
	h.pos = r.at(n)
	r.fields(n, "honey", keys{
		"then":   func(n *yaml.Node) { h.Then = r.response(n) },
		"except": func(n *yaml.Node) { h.except = r.words(n, "a role") },
	})
}

func (c *compiler) honey() {
	defined(c, "role", c.doc.honey.except, c.doc.roles)
	if c.doc.honey.pos != (Pos{}) && len(c.set.subjects) == 0 {
		c.add(c.doc.honey.pos, "planted records are data subjects, and the policy has no subjects")
	}
}

// Honey gives what is done about planted records.
func (s *Set) Honey() Honey { return s.doc.honey }

// Wants tells whether the policy speaks of planted records at all.
func (h Honey) Wants() bool { return h.pos != (Pos{}) }

// Excepts tells whether a caller may touch planted records without anybody being
// told: one whose every role reads all rows for a living. Who has another role
// besides is not excepted, for nobody knows by which one a row is read.
func (h Honey) Excepts(a *Access) bool {
	return len(a.Roles) > 0 && !slices.ContainsFunc(a.Roles, func(role string) bool { return !named(h.except, role) })
}
