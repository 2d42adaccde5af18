package erasures

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Intention is an erasure that is about to begin.
type Intention struct {
	Request  int64
	Person            // see Find
	Plan     string   // hash of the plan that was approved
	Database Database // see Locate
	Log      uint64   // seq of the access log's record that it follows
	By       string   // who let it happen
	Again    uint64   // the seq of the intention that it repeats after a restore; 0: it is the first
}

// Person is a data subject as the database knows them.
type Person struct {
	Kind        string
	Key         string   // as PostgreSQL writes it
	Identifiers []string // the other values by which they may be looked up
}

// Outcome is how an erasure ended.
type Outcome struct {
	Stays    bool // the subject's own row stays, without what tells of them
	Database Database
	Log      uint64
	Note     string // why it failed, or what is kept; never a value of a row
}

// Intend writes down that an erasure is about to begin. When it returns without
// an error that is durable, and there is room to write down how it ended; after
// an error the erasure must not begin. Who begins the same request's erasure of
// the same subject again, after a crash say, gets the entry that there is.
func (l *Ledger) Intend(i Intention) (e Entry, err error) {
	if i.Kind == "" || i.Key == "" || i.Database == (Database{}) {
		return Entry{}, errors.New("ledger of erasures: an erasure is of somebody, in a database that is known")
	}
	e = Entry{
		State: Intended, Request: i.Request, Kind: i.Kind, Subject: l.key.subject(i.Kind, i.Key), Key: l.key.id,
		Plan: i.Plan, Database: i.Database, Log: i.Log, By: i.By, Again: i.Again,
	}
	for _, v := range i.Identifiers {
		if v != "" {
			e.Identifiers = append(e.Identifiers, l.key.identifier(i.Kind, v))
		}
	}
	err = l.locked(func() error {
		for seq := range l.open {
			if b := l.begun[seq]; b.Request == e.Request && b.Subject == e.Subject {
				e = b
				return nil
			}
		}
		return l.append(&e)
	})
	if err != nil {
		return Entry{}, fmt.Errorf("ledger of erasures: the erasure must not begin: %w", err)
	}
	return e, nil
}

// Done writes down that the erasure with an intention's seq is done. See comes
// before: an entry that is done and that the database does not know of is taken for
// one that a restore has undone. Done again it gives the entry that
// there is.
func (l *Ledger) Done(seq uint64, o Outcome) (Entry, error) {
	return l.outcome(seq, Entry{State: Done, Stays: o.Stays}, o)
}

// Fail writes down that an erasure was given up.
func (l *Ledger) Fail(seq uint64, o Outcome) (Entry, error) {
	return l.outcome(seq, Entry{State: Failed}, o)
}

func (l *Ledger) outcome(seq uint64, e Entry, o Outcome) (Entry, error) {
	err := l.locked(func() error {
		if done, ok := l.done[seq]; ok && e.State == Done {
			e = done
			return nil
		}
		b, ok := l.begun[seq]
		if !ok {
			return fmt.Errorf("entry %d is no erasure that was begun", seq)
		}
		e.Of, e.Request, e.Kind = seq, b.Request, b.Kind
		e.Database, e.Log, e.Note = o.Database, o.Log, o.Note
		return l.append(&e)
	})
	if err != nil {
		return Entry{}, fmt.Errorf("ledger of erasures: %w", err)
	}
	return e, nil
}

// Erased tells whether somebody of a kind was erased who had a key or another
// identifier: whoever imports them again should know.
func (l *Ledger) Erased(kind, identifier string) (erased bool, err error) {
	err = l.locked(func() error {
		for _, k := range l.keys() {
			for _, seq := range []uint64{l.subjects[k.subject(kind, identifier)], l.identifiers[k.identifier(kind, identifier)]} {
				if _, gone := l.carried[seq]; gone {
					erased = true
				}
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("ledger of erasures: %w", err)
	}
	return erased, nil
}

// keys gives those under which entries may be.
func (l *Ledger) keys() []Key { return append([]Key{l.key}, l.before...) }

// Entry gives an intention and, where it has one that is not a failure, its
// outcome.
func (l *Ledger) Entry(seq uint64) (begun, done Entry, ok bool, err error) {
	err = l.locked(func() error {
		begun, ok = l.begun[seq]
		done = l.done[seq]
		return nil
	})
	return begun, done, ok, err
}

// Open gives the intentions without an outcome, in order.
func (l *Ledger) Open() (all []Entry, err error) {
	err = l.locked(func() error {
		for seq := range l.open {
			all = append(all, l.begun[seq])
		}
		return nil
	})
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	return all, err
}

// Summary is what a ledger holds.
type Summary struct {
	Entries, Done, Open uint64
	Foreign             uint64 // done or open, under a key that is not known here
	Last                Digest
}

// Summary counts what the ledger holds.
func (l *Ledger) Summary() (s Summary, err error) {
	err = l.locked(func() error {
		s = Summary{Entries: l.last.Seq, Done: uint64(len(l.done)), Open: uint64(len(l.open)), Last: l.last.Digest}
		for _, e := range l.begun {
			if !l.knows(e.Key) {
				s.Foreign++
			}
		}
		return nil
	})
	return s, err
}

// knows tells whether a key is one of the ledger's.
func (l *Ledger) knows(id string) bool {
	for _, k := range l.keys() {
		if k.id == id {
			return true
		}
	}
	return false
}
