package audit

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// Sighting is an entry that touched a data subject's rows, or may have.
type Sighting struct {
	Entry
	Certain bool  // a record names the subject
	AtMost  int64 // else: of how many it may be one, or AnyNumber
}

// WhoSaw finds the entries from since to until, either of which may be zero,
// that touched the rows of the subject of a kind with a token, and those that may
// have: they say that they reached subjects whom they do not name, or they reach
// the kind and have no outcome. Without a token there are only these. They come
// in the order of their times.
func WhoSaw(records iter.Seq2[Record, error], kind, token string, since, until time.Time) ([]Sighting, error) {
	w := witness{kind: kind, filter: Filter{Since: since, Until: until}, open: map[uint64]*Sighting{}, seen: map[*Sighting]bool{}}
	if token != "" {
		w.named = kind + ":" + token
	}
	for r, err := range records {
		if err != nil {
			return nil, err
		}
		w.add(r)
	}
	for _, s := range w.open {
		if (slices.Contains(s.Kinds, kind) || slices.Contains(s.Kinds, AnyKind)) && !s.Certain {
			s.AtMost = AnyNumber
			w.seen[s] = true
		}
	}
	all := make([]Sighting, 0, len(w.seen))
	for s := range w.seen {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b Sighting) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Seq, b.Seq)) })
	return all, nil
}

// witness gathers sightings.
type witness struct {
	kind, named string
	filter      Filter
	open        map[uint64]*Sighting // statements without an outcome so far
	seen        map[*Sighting]bool
}

func (w *witness) add(r Record) {
	var s *Sighting
	switch r.Kind {
	case KindOutcome:
		if s = w.open[r.Ref]; s != nil {
			s.Outcome = &r
			delete(w.open, r.Ref)
		}
	case KindSubjects, KindImages:
		s = w.open[r.Ref]
	default:
		if !w.filter.matchTime(r.Time) {
			return
		}
		s = &Sighting{Entry: Entry{Record: r}}
		if r.Kind == KindStatement && r.Decision != "refuse" {
			w.open[r.Seq] = s
		}
	}
	if s != nil {
		w.look(s, &r)
	}
}

// look looks at whom a record names.
func (w *witness) look(s *Sighting, r *Record) {
	if w.named != "" && slices.Contains(r.Subjects, w.named) {
		s.Certain, s.AtMost = true, 0
		w.seen[s] = true
	}
	for _, u := range r.Unnamed {
		if u.Kind != w.kind && u.Kind != AnyKind || s.Certain {
			continue
		}
		if u.AtMost < 0 || s.AtMost < 0 {
			s.AtMost = AnyNumber
		} else {
			s.AtMost += u.AtMost
		}
		w.seen[s] = true
	}
}
