package dsar

import "slices"

// components gives the strongly connected components of a graph in which
// nodes have numbers and next[n] are those that n leads to: groups of nodes
// that lead to each other, every group after those that it leads to. This is
// Tarjan's algorithm.
func components(next [][]int) [][]int {
	t := tarjan{next: next, number: make([]int, len(next)), low: make([]int, len(next))}
	for n := range next {
		if t.number[n] == 0 {
			t.visit(n)
		}
	}
	return t.groups
}

type tarjan struct {
	next   [][]int
	number []int // in the order of visits, from 1; 0: not visited
	low    []int // the lowest number on the stack that can be reached; -1 once the group is known
	visits int
	stack  []int
	groups [][]int
}

func (t *tarjan) visit(n int) {
	t.visits++
	t.number[n], t.low[n] = t.visits, t.visits
	t.stack = append(t.stack, n)
	for _, m := range t.next[n] {
		if t.number[m] == 0 {
			t.visit(m)
		}
		if t.low[m] > 0 {
			t.low[n] = min(t.low[n], t.low[m])
		}
	}
	if t.low[n] < t.number[n] {
		return
	}
	at := slices.Index(t.stack, n)
	group := slices.Clone(t.stack[at:])
	t.stack = t.stack[:at]
	for _, m := range group {
		t.low[m] = -1
	}
	slices.Sort(group)
	t.groups = append(t.groups, group)
}
