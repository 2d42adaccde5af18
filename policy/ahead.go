package policy

import "slices"

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
	add(slices.ContainsFunc(d.rules, func(r *rule) bool { return r.state == observed }), "rules with state: observe are not recorded yet: they do nothing")
	return lines
}
