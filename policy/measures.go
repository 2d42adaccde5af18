package policy

import (
	"fmt"
	"slices"
)

// CountSubjects tells whether a limit counts data subjects, or values of a class:
// then it must be known how many rows a row of a result was made of.
func (l Limits) CountSubjects() bool {
	return slices.ContainsFunc(l.Each, func(l Limit) bool { return l.Of == LimitSubjects || l.Of == LimitValues })
}

// page is how many rows a statement may give without a filter where no limit says.
const page = 1000

// Page tells how many rows LIMIT may ask for where reading without a filter is
// refused, and whether what a parameter says is bounded all the same, because rows
// or subjects are limited.
func (l Limits) Page() (most int64, counted bool) {
	most = page
	first := true
	for _, limit := range l.Each {
		counted = counted || limit.Then.Stops() && (limit.Of == LimitRows || limit.Of == LimitSubjects)
		if limit.Of != LimitRows || limit.Per != PerQuery {
			continue
		}
		if first || limit.Most < most {
			most, first = limit.Most, false
		}
	}
	return most, counted
}

// planned gives what of the limits decides how statements are planned.
func (l Limits) planned() string {
	text := fmt.Sprintf("%t %t %t", l.RefuseCopy, l.RefuseUnfiltered, l.CountSubjects())
	if l.RefuseUnfiltered {
		most, counted := l.Page()
		text += fmt.Sprintf(" %d %t", most, counted)
	}
	return text
}
