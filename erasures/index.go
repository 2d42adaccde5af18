package erasures

import (
	"errors"
	"fmt"
	"slices"
)

// index is what is known of the entries that were read.
type index struct {
	size int64 // of their lines
	last Entry

	begun   map[uint64]Entry    // intentions, by seq
	open    map[uint64]struct{} // those without an outcome
	carried map[uint64]struct{} // those that the database has carried out
	done    map[uint64]Entry    // outcomes of those that are done, by the seq of the intention
	copyOf  Database            // that was seen last

	subjects    map[Hash]uint64 // of those that are done or open: the seq of the last intention
	identifiers map[Hash]uint64
}

// follows tells what is wrong with an entry behind those that are known.
func (x *index) follows(e Entry) error {
	if e.Seq != x.last.Seq+1 || e.Prev != x.last.Digest {
		return fmt.Errorf("entry %d does not follow on entry %d", e.Seq, x.last.Seq)
	}
	switch e.State {
	case Intended:
		if e.Of != 0 || e.Kind == "" || e.Subject == (Hash{}) || e.Key == "" {
			return errors.New("an intention says whom it is about, and is of no other entry")
		}
	case Carried, Done, Failed:
		if _, open := x.open[e.Of]; !open {
			return fmt.Errorf("entry %d is no erasure without an outcome", e.Of)
		}
	case Observed, Replayed, Accepted:
		if e.Database == (Database{}) || e.Of != 0 {
			return errors.New("it does not say which database it is about")
		}
	default:
		return errors.New("it says nothing that is known")
	}
	return nil
}

// add takes an entry in, whose line has so many bytes.
func (x *index) add(e Entry, n int) {
	if x.begun == nil {
		x.begun, x.open, x.carried, x.done = map[uint64]Entry{}, map[uint64]struct{}{}, map[uint64]struct{}{}, map[uint64]Entry{}
		x.subjects, x.identifiers = map[Hash]uint64{}, map[Hash]uint64{}
	}
	x.size += int64(n)
	x.last = e
	if e.Database != (Database{}) {
		x.copyOf = e.Database
	}
	switch e.State {
	case Intended:
		x.begun[e.Seq], x.open[e.Seq] = e, struct{}{}
		x.subjects[e.Subject] = e.Seq
		for _, h := range e.Identifiers {
			x.identifiers[h] = e.Seq
		}
	case Carried:
		x.carried[e.Of] = struct{}{}
	case Done:
		delete(x.open, e.Of)
		x.done[e.Of], x.carried[e.Of] = e, struct{}{}
	case Failed:
		delete(x.open, e.Of)
		x.forget(x.begun[e.Of])
	}
}

// forget takes back what an intention said that came to nothing.
func (x *index) forget(e Entry) {
	delete(x.begun, e.Seq)
	delete(x.carried, e.Seq)
	x.revert(x.subjects, e.Subject, e.Seq, func(b Entry) bool { return b.Subject == e.Subject })
	for _, h := range e.Identifiers {
		x.revert(x.identifiers, h, e.Seq, func(b Entry) bool { return slices.Contains(b.Identifiers, h) })
	}
}

// revert gives a hash back to the last intention before seq that has it.
func (x *index) revert(m map[Hash]uint64, h Hash, seq uint64, has func(Entry) bool) {
	if m[h] != seq {
		return
	}
	delete(m, h)
	for at, b := range x.begun {
		if at > m[h] && has(b) {
			m[h] = at
		}
	}
}
