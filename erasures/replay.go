package erasures

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
)

// Erase erases a subject again who had been erased as an entry says.
type Erase func(ctx context.Context, kind, key string, e Entry) error

// Replaying is one look for persons who were erased and are in the database.
type Replaying struct {
	Subjects []policy.Subject // the kinds to look for
	Open     Opening          // nil: nothing is sealed
	Erase    Erase            // nil: a dry run, which changes nothing

	// Progress, when not nil, hears how many rows were read so far, or how many
	// of the persons found were erased again.
	Progress func(kind, doing string, done int64)
}

// Returned is somebody who was erased and is back under another key, or whose
// identifier somebody else has now. They are for people to look at: nothing is
// done about them.
type Returned struct {
	Kind, Key, Column string
	Entry             uint64 // the intention of the erasure
}

// Replay is what was found, and done about it.
type Replay struct {
	Read     int64            // rows
	Found    map[string]int64 // of each kind: persons who were erased and are there
	Erased   int64            // of those, erased again
	Failed   []Failure        // of those, the others
	Returned []Returned
	Foreign  int64    // entries that nobody was looked for by, as they are under a key that is not known
	Unlooked []string // kinds of entries that the policy does not have any more
}

// Failure is somebody who could not be erased again.
type Failure struct {
	Kind  string
	Entry uint64
	Err   error
}

// Complete tells whether nobody is left who was erased, as far as can be seen.
func (r Replay) Complete() bool {
	var found int64
	for _, n := range r.Found {
		found += n
	}
	return found == r.Erased && len(r.Failed) == 0 && r.Foreign == 0 && len(r.Unlooked) == 0
}

// Replay reads the table of each kind of subject once, compares keyed hashes with
// those of erasures that are done or under way, and erases again who is found.
// What was erased is not found again, so it may be stopped and begun again at any
// time. find must be another connection than Erase uses, whose work it does not
// see meanwhile.
func (l *Ledger) Replay(ctx context.Context, find *pgx.Conn, how Replaying) (Replay, error) {
	r := Replay{Found: map[string]int64{}}
	if err := l.unlooked(&r, how.Subjects); err != nil {
		return r, fmt.Errorf("replaying erasures: %w", err)
	}
	for _, s := range how.Subjects {
		found, err := l.look(ctx, find, s, how, &r)
		if err != nil {
			return r, fmt.Errorf("looking for erased persons of kind %q: %w", s.Name, err)
		}
		r.Found[s.Name] = int64(len(found))
		for i, f := range found {
			if how.Erase == nil {
				break
			}
			err := how.Erase(ctx, s.Name, f.key, f.entry)
			if ctx.Err() != nil {
				return r, ctx.Err()
			}
			if err != nil {
				r.Failed = append(r.Failed, Failure{s.Name, f.entry.Seq, err})
				continue
			}
			r.Erased++
			if how.Progress != nil {
				how.Progress(s.Name, "erased again", int64(i+1))
			}
		}
	}
	return r, nil
}

// unlooked counts what cannot be looked for.
func (l *Ledger) unlooked(r *Replay, subjects []policy.Subject) error {
	return l.locked(func() error {
		for _, e := range l.begun {
			switch {
			case !l.knows(e.Key):
				r.Foreign++
			case !slices.ContainsFunc(subjects, func(s policy.Subject) bool { return s.Name == e.Kind }) && !slices.Contains(r.Unlooked, e.Kind):
				r.Unlooked = append(r.Unlooked, e.Kind)
			}
		}
		slices.Sort(r.Unlooked)
		return nil
	})
}

// found is somebody who was erased and is there.
type found struct {
	key   string
	entry Entry
}

// look reads the table of one kind.
func (l *Ledger) look(ctx context.Context, conn *pgx.Conn, s policy.Subject, how Replaying, r *Replay) (all []found, err error) {
	known, err := l.known()
	if err != nil {
		return nil, err
	}
	var read int64
	err = scan(ctx, conn, s, how.Open, func(one row) error {
		if read++; how.Progress != nil && read%(1<<14) == 0 {
			how.Progress(s.Name, "read", read)
		}
		seq, column := known.match(s, one)
		switch {
		case seq == 0:
		case column == "":
			all = append(all, found{one.key, known.begun[seq]})
		default:
			r.Returned = append(r.Returned, Returned{s.Name, one.key, column, seq})
		}
		return nil
	})
	if how.Progress != nil {
		how.Progress(s.Name, "read", read)
	}
	r.Read += read
	return all, err
}

// known is a copy of what is needed to compare rows with the ledger, while
// others go on adding to it.
type known struct {
	keys                  []Key
	begun                 map[uint64]Entry
	stays                 map[uint64]bool
	subjects, identifiers map[Hash]uint64
}

func (l *Ledger) known() (k known, err error) {
	k = known{keys: l.keys(), begun: map[uint64]Entry{}, stays: map[uint64]bool{}, subjects: map[Hash]uint64{}, identifiers: map[Hash]uint64{}}
	err = l.locked(func() error {
		for seq, e := range l.begun {
			k.begun[seq], k.stays[seq] = e, l.done[seq].Stays
		}
		for h, seq := range l.subjects {
			k.subjects[h] = seq
		}
		for h, seq := range l.identifiers {
			if _, gone := l.carried[seq]; gone {
				k.identifiers[h] = seq
			}
		}
		return nil
	})
	return k, err
}

// match gives the erasure that a row's subject has gone through; 0 when there is
// none. column is that of an identifier where the key is another one. Where the
// row was to stay, its key alone says nothing.
func (k *known) match(s policy.Subject, one row) (seq uint64, column string) {
	var by uint64
	for _, secret := range k.keys {
		if at := k.subjects[secret.subject(s.Name, one.whole)]; at > seq {
			seq = at
		}
		for i, v := range one.identifiers {
			if v == nil {
				continue
			}
			if at := k.identifiers[secret.identifier(s.Name, *v)]; at > by {
				by, column = at, s.FindBy[i]
			}
		}
	}
	switch {
	case seq != 0 && (!k.stays[seq] || by == seq || len(k.begun[seq].Identifiers) == 0):
		return seq, ""
	case by != 0:
		return by, column
	default:
		return 0, ""
	}
}

// ErrNobody says that there is no subject with a key.
var ErrNobody = errors.New("there is none with this key")

// Find gives a subject as Intend takes one, from its row: by the very statement
// by which Replay will look for it. The key is a value of the column that the
// policy names, or one for each of the primary key that this is a part of; it must
// be one person's. open nil: nothing is sealed.
func Find(ctx context.Context, conn *pgx.Conn, s policy.Subject, open Opening, key ...string) (p Person, err error) {
	p.Kind = s.Name
	matches := 0
	err = scanWhere(ctx, conn, s, open, key, func(one row) error {
		matches++
		p.Key = one.whole
		for _, v := range one.identifiers {
			if v != nil {
				p.Identifiers = append(p.Identifiers, *v)
			}
		}
		return nil
	})
	switch {
	case err == nil && matches == 0:
		err = ErrNobody
	case err == nil && matches > 1:
		err = fmt.Errorf("%d have this %s: nobody could tell them apart after a restore; ask for one by %s", matches, s.Key, strings.Join(wholeKey(s), ", "))
	}
	if err != nil {
		return Person{}, fmt.Errorf("reading by what a %s is known: %w", s.Name, err)
	}
	return p, nil
}
