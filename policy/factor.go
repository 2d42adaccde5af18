package policy

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v4"
)

// factor is what needs a second factor.
type factor struct {
	roles   []word
	classes []word
	privacy []string
	lasts   time.Duration // of a session, from when it was given; 0: as long as the session
}

// maxFactor is how long a second factor may count.
const maxFactor = 7 * 24 * time.Hour

func (r *reader) factor(n *yaml.Node) {
	f := &r.doc.factor
	r.fields(n, "what needs a second factor", keys{
		"roles":   func(n *yaml.Node) { f.roles = r.words(n, "a role") },
		"classes": func(n *yaml.Node) { f.classes = r.words(n, "a class") },
		"privacy": func(n *yaml.Node) { f.privacy = r.rights(n) },
		"for":     func(n *yaml.Node) { f.lasts = r.duration(n, maxFactor) },
	})
}

// factor checks the names in what needs a second factor.
func (c *compiler) factor() {
	f := c.doc.factor
	defined(c, "role", f.roles, c.doc.roles)
	defined(c, "class", f.classes, c.doc.classes)
	for _, w := range f.classes {
		if w.text == openClass {
			c.add(w.pos, "columns of class %s are shown to whoever reaches their table", openClass)
		}
	}
}

// SecondFactor tells how long a second factor counts in a session; 0 is as long
// as the session.
func (s *Set) SecondFactor() time.Duration { return s.doc.factor.lasts }

// needsFactor tells whether a class is kept from the caller for want of a second
// factor.
func (d *decisions) needsFactor(class string) bool {
	return !d.second && named(d.set.doc.factor.classes, class)
}

// Lacks tells whether it is a second factor that keeps the access from a right
// of data subjects: its roles have the right.
func (a *Access) Lacks(right string) bool {
	if a.decisions == nil {
		return false
	}
	return a.has(right) && !a.Claim.Second && slices.Contains(a.decisions.set.doc.factor.privacy, right)
}
