package detect

import "time"

// window counts what happened lately. It counts in slots of time: what it says
// is of the time asked for at least, and of a slot more at most.
type window struct {
	slot   int64 // the latest, counted from 1970
	counts [slots]uint32
}

const slots = 12

// add counts one more, and gives how many there were.
func (w *window) add(at time.Time, within time.Duration) int {
	w.turn(at, within)
	w.counts[w.slot%slots]++
	return w.sum()
}

// count gives how many there were.
func (w *window) count(at time.Time, within time.Duration) int {
	w.turn(at, within)
	return w.sum()
}

// turn forgets what is too long ago. A clock that goes back counts in the latest
// slot.
func (w *window) turn(at time.Time, within time.Duration) {
	now := at.UnixNano() / max(1, int64(within)/(slots-1))
	if now-w.slot >= slots {
		w.counts = [slots]uint32{}
		w.slot = now
	}
	for w.slot < now {
		w.slot++
		w.counts[w.slot%slots] = 0
	}
}

func (w *window) sum() (n int) {
	for _, c := range w.counts {
		n += int(c)
	}
	return n
}
