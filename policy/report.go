package policy

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/catalog"
)

// Class is what a column's data is.
type Class struct {
	Name    string
	Special bool // a special category (GDPR, Article 9)
	Sealing Sealing
	About   string
	Erase   Erasing // what an erasure makes of its values in rows that stay

	Provided bool // subjects give it themselves: theirs to take along (GDPR, Article 20)
}

// Open tells whether everybody who reaches a table sees the class.
func (c Class) Open() bool { return c.Name == openClass }

// User is somebody who may log in.
type User struct {
	Name   string
	Roles  []string
	ActAs  []string
	Lapses time.Time // from when on the user has no roles; zero: never
}

// Generation names the policy's text: equal for equal files.
func (s *Set) Generation() string { return s.doc.generation }

// Subjects gives the subjects by name.
func (s *Set) Subjects() []Subject { return slices.Clone(s.subjects) }

// Retention gives what is to be kept for how long, in the order of the files.
func (s *Set) Retention() []Retention { return slices.Clone(s.retention) }

// Class gives the class of a column; ok is false when it has none.
func (s *Set) Class(r *catalog.Relation, column string) (class Class, ok bool) {
	t, i := s.tables[r], r.ColumnIndex(column)
	if ofAudit(r.Schema, r.Name) && i >= 0 {
		return Class{Name: auditClass}, true
	}
	if t == nil || i < 0 || t.classes[i] == "" {
		return Class{}, false
	}
	c := s.doc.classes[t.classes[i]]
	return c.compiled(), true
}

// Users gives the users by name.
func (s *Set) Users() []User {
	var users []User
	for _, name := range slices.Sorted(maps.Keys(s.doc.users)) {
		u := s.doc.users[name]
		user := User{Name: name, Roles: texts(u.roles), ActAs: texts(u.actAs)}
		for _, e := range u.until {
			if user.Lapses.IsZero() || e.lapses.Before(user.Lapses) {
				user.Lapses = e.lapses
			}
		}
		users = append(users, user)
	}
	return users
}

func texts(words []word) []string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = w.text
	}
	return texts
}

// CheckNames says which name in a claim means nothing to the policy, as a claim
// that somebody wrote down may have a mistake in it.
func (s *Set) CheckNames(c Claim) error {
	v := c.Vouched
	if v == nil {
		v = &Vouched{}
	}
	for _, role := range v.Roles {
		if s.roles[role] == nil {
			return fmt.Errorf("the policy has no role %q", role)
		}
	}
	for _, group := range v.Groups {
		if s.doc.groups[group] == nil {
			return fmt.Errorf("the policy has no group %q", group)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.Attributes)) {
		if !named(s.doc.attributes, name) {
			return fmt.Errorf("the policy does not say that tokens bring an attribute %q", name)
		}
	}
	for _, e := range c.Elevations {
		if s.offer(e.Role, e.Purpose) == nil {
			return fmt.Errorf("the policy elevates no role %q to %q", e.Role, e.Purpose)
		}
	}
	if s.doc.users[c.Login] == nil && len(v.Groups) == 0 {
		return &UnknownLoginError{c.Login}
	}
	if s.doc.users[c.user()] == nil && c.Vouched == nil {
		return &UnknownLoginError{c.user()}
	}
	return nil
}

// Summary writes what the policy covers and what in it has no effect.
func (s *Set) Summary(w io.Writer) error {
	lines := s.coverage()
	lines = append(lines, s.idleRoles()...)
	lines = append(lines, s.idleRules()...)
	lines = append(lines, s.unconsented()...)
	lines = append(lines, s.unrestrainable()...)
	lines = append(lines, s.misplaced()...)
	lines = append(lines, s.ungrouped()...)
	lines = append(lines, s.Ahead()...)
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

// coverage counts the columns by class, and lists those in none.
func (s *Set) coverage() []string {
	counts := map[string]int{}
	var unclassified []string
	for _, t := range s.governed {
		for i, class := range t.classes {
			counts[class]++
			if class == "" {
				unclassified = append(unclassified, "  "+t.relation.QualifiedName()+"."+t.relation.Columns[i].Name)
			}
		}
	}
	lines := []string{fmt.Sprintf("policy %s: %d tables and views", s.doc.generation, len(s.governed))}
	for _, class := range slices.Sorted(maps.Keys(s.doc.classes)) {
		lines = append(lines, fmt.Sprintf("class %s: %d columns", class, counts[class]))
	}
	return append(append(lines, fmt.Sprintf("unclassified: %d columns", len(unclassified))), unclassified...)
}

func (s *Set) idleRoles() []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(s.roles)) {
		if !s.held(name) {
			lines = append(lines, fmt.Sprintf("%s: no user has role %s", s.roles[name].name.pos, name))
		}
	}
	return lines
}

// held tells whether anybody may have the role: a user, a group, or whoever a
// login acts for.
func (s *Set) held(role string) bool {
	for _, u := range s.doc.users {
		if named(u.roles, role) || named(u.actAs, role) {
			return true
		}
	}
	for _, roles := range s.doc.groups {
		if named(roles, role) {
			return true
		}
	}
	return false
}

func (s *Set) idleRules() []string {
	now := s.now()
	var lines []string
	for _, u := range s.doc.rules {
		if why := s.idle(u, now); why != "" {
			lines = append(lines, fmt.Sprintf("%s: the rule never matches: %s", u.pos, why))
		}
	}
	return lines
}

// idle says why a rule decides nothing for anybody; "" when it may.
func (s *Set) idle(u *rule, now time.Time) string {
	if u.state == drafted {
		return "it is a draft"
	}
	if !u.expires.IsZero() && !now.Before(u.expires) {
		return "it has expired"
	}
	columns := false
	for _, t := range s.governed {
		columns = columns || slices.ContainsFunc(t.classes, func(class string) bool {
			return class != "" && class != openClass && u.classes.matches(class)
		})
	}
	if !columns {
		return "its classes have no columns"
	}
	held, served := false, false
	for name, r := range s.roles {
		if !u.roles.matches(name) || r.state == drafted || !s.held(name) {
			continue
		}
		held = true
		served = served || u.treatment.Show == ShowRefuse || slices.ContainsFunc(s.servable(r), func(p *purpose) bool { return s.doc.concerns(u, p) })
	}
	switch {
	case !held:
		return "no user has its roles"
	case !served:
		return "its roles serve none of its purposes"
	default:
		return ""
	}
}

// unconsented lists the subjects whose rows no purpose that rests on consent
// is kept from.
func (s *Set) unconsented() []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(s.doc.purposes)) {
		if s.doc.purposes[name].basis != consent {
			continue
		}
		for _, subject := range s.subjects {
			if !subject.recordsConsent() {
				lines = append(lines, fmt.Sprintf("%s: purpose %s rests on consent, but none is recorded for subject %s: its rows are not filtered",
					s.doc.purposes[name].name.pos, name, subject.Name))
			}
		}
	}
	return lines
}
