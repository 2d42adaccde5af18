package policy

import (
	"maps"
	"slices"
)

// Ahead says what the policy asks for that pgveil checks but does not enforce
// yet, one sentence each. Whoever relies on the policy must be told.
func (s *Set) Ahead() []string {
	d := s.doc
	var lines []string
	add := func(found bool, line string) {
		if found {
			lines = append(lines, line)
		}
	}
	classes := slices.Collect(maps.Values(d.classes))
	add(slices.ContainsFunc(classes, func(c *class) bool { return c.seal.Format.Alphabet != "" }), "format cannot be kept yet: columns of such classes cannot be used")
	add(slices.ContainsFunc(d.rules, func(r *rule) bool { return r.state == observed }), "rules with state: observe are not recorded yet: they do nothing")
	return lines
}
