package detect

import (
	"slices"
	"time"
)

// keysKept is how many keys are looked at together; noise among keys that are
// counted up must be more than that to hide them.
const keysKept = 256

// dense is how far keys may be from each other, on average, to be counted up.
const dense = 4

// keys are those by which somebody read single subjects of a kind lately, once
// each.
type keys struct {
	sorted []int64
	lately []readKey // in the order in which they came
}

type readKey struct {
	key int64
	at  time.Time
}

// add notes a key, and tells whether more than most lie so near to each other as
// those that are counted up by small steps, in whatever order and by however many
// sessions; or whether half as many follow on each other by equal larger steps,
// as nobody's customers do by chance.
func (k *keys) add(key int64, at time.Time, within time.Duration, most int) (counted int, step int64) {
	k.forget(at.Add(-within))
	i, found := slices.BinarySearch(k.sorted, key)
	if found {
		return 0, 0
	}
	k.sorted = slices.Insert(k.sorted, i, key)
	k.lately = append(k.lately, readKey{key, at})
	if k.crowded(i, most) {
		return most + 1, 0
	}
	for _, step := range k.steps(i) {
		if run := k.run(i, step); step > dense && run > max(2, most/2) {
			return run, step
		}
	}
	return 0, 0
}

// crowded tells whether a key is among more than most that are near each other.
// One that is far from both of its neighbours is not.
func (k *keys) crowded(i, most int) bool {
	near := func(a, b int) bool { // a difference that is too large for its type is below 0
		far := k.sorted[b] - k.sorted[a]
		return far >= 0 && far <= int64(dense*most)
	}
	if (i == 0 || !near(i-1, i)) && (i+1 == len(k.sorted) || !near(i, i+1)) {
		return false
	}
	for j := max(0, i-most); j <= i && j+most < len(k.sorted); j++ {
		if near(j, j+most) {
			return true
		}
	}
	return false
}

// forget forgets keys that came before a moment, and the oldest of too many.
func (k *keys) forget(before time.Time) {
	old := 0
	for old < len(k.lately) && (len(k.lately)-old >= keysKept || k.lately[old].at.Before(before)) {
		if i, found := slices.BinarySearch(k.sorted, k.lately[old].key); found {
			k.sorted = slices.Delete(k.sorted, i, i+1)
		}
		old++
	}
	k.lately = k.lately[old:]
}

// steps gives how far the neighbours of a key are. A key between two others may
// be one of a row that goes by either.
func (k *keys) steps(i int) (steps []int64) {
	if i > 0 {
		steps = append(steps, k.sorted[i]-k.sorted[i-1])
	}
	if i+1 < len(k.sorted) {
		steps = append(steps, k.sorted[i+1]-k.sorted[i])
	}
	return steps
}

// run gives how many keys around one follow on each other by equal steps.
func (k *keys) run(i int, step int64) int {
	first, last := i, i
	for first > 0 && k.sorted[first]-k.sorted[first-1] == step {
		first--
	}
	for last+1 < len(k.sorted) && k.sorted[last+1]-k.sorted[last] == step {
		last++
	}
	return last - first + 1
}
