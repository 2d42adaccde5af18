package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// maxOwners bounds the ways that one search for whose a row is spells out.
const maxOwners = 64

// Whose gives the condition that of says of the key of a subject of a kind to whom
// a row of r, under the name alias, belongs: of any subject, along every way that
// foreign keys and declared references lead, the long ones included. It is ""
// where no way leads to one. ok is false where the ways are too many to spell out.
func (s *Set) Whose(r *catalog.Relation, alias, kind string, of func(key string) string) (condition string, ok bool) {
	i := slices.IndexFunc(s.subjects, func(s Subject) bool { return s.Name == kind })
	if i < 0 {
		return "", true
	}
	w := owners{subject: &s.subjects[i], steps: stepsTo(s.governed, &s.subjects[i]), of: of}
	w.goals = partsOf(s.governed, w.subject.Relation)
	w.reached = distances(w.steps, w.goals)
	condition = w.from(r, alias, nil)
	return condition, w.found <= maxOwners
}

// owners is one search for whose a row is.
type owners struct {
	subject *Subject
	steps   map[*catalog.Relation][]step
	goals   []*catalog.Relation // the subject's table and its parts
	reached map[*catalog.Relation]int
	of      func(key string) string
	found   int // ways
}

// from gives the condition for a row that the path has led to. No way leads
// through a relation twice.
func (w *owners) from(r *catalog.Relation, alias string, path []*catalog.Relation) string {
	if slices.Contains(w.goals, r) {
		w.found++
		return w.of(alias + "." + quoteName(w.subject.Key))
	}
	var any []string
	path = append(slices.Clip(path), r)
	for _, step := range w.steps[r] {
		if _, leads := w.reached[step.to]; !leads || slices.Contains(path, step.to) || w.found > maxOwners {
			continue
		}
		inner := fmt.Sprintf("pgveil_w%d", len(path))
		if then := w.from(step.to, inner, path); then != "" {
			any = append(any, exists(step.to, inner, append(step.refers(alias, inner), then), ""))
		}
	}
	if len(any) > 1 {
		return "(" + strings.Join(any, " OR ") + ")"
	}
	return strings.Join(any, "")
}
