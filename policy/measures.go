package policy

import "slices"

// CountSubjects tells whether a limit counts data subjects, or values of a class:
// then it must be known how many rows a row of a result was made of.
func (l Limits) CountSubjects() bool {
	return slices.ContainsFunc(l.Each, func(l Limit) bool { return l.Of == LimitSubjects || l.Of == LimitValues })
}
