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
	sealed := slices.ContainsFunc(slices.Collect(maps.Values(d.classes)), func(c *class) bool { return c.seal != "" })
	add(sealed, "seal has no effect yet: the values are stored as they are")
	add(slices.ContainsFunc(d.rules, func(r *rule) bool { return r.state == observed }), "rules with state: observe are not recorded yet: they do nothing")
	return lines
}
