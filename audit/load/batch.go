package load

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// maxBatchBytes bounds a batch, beside its records.
const maxBatchBytes = 16 << 20

// joiner says which row of the table a record belongs to.
type joiner struct {
	since time.Time            // what is older is not kept
	open  map[uint64]time.Time // statements without an outcome so far
	known map[first]time.Time  // what users are known to have used, and since when
}

func newJoiner() joiner {
	return joiner{open: map[uint64]time.Time{}, known: map[first]time.Time{}}
}

// place takes the next record of the log and gives the row that it is for: of what
// is part of a statement, that of the statement. ok is false for what has no
// place in the table.
func (j *joiner) place(r *audit.Leaf) (seq uint64, at time.Time, ok bool) {
	switch r.Kind {
	case audit.KindOutcome, audit.KindSubjects, audit.KindImages:
		at, ok = j.open[r.Ref]
		if r.Kind == audit.KindOutcome {
			delete(j.open, r.Ref)
		}
		return r.Ref, at, ok
	default:
		if r.Time.Before(j.since) {
			return 0, time.Time{}, false
		}
		if waits(r) {
			j.open[r.Seq] = r.Time
		}
		return r.Seq, r.Time, true
	}
}

// batch is the records that one transaction writes.
type batch struct {
	encoder
	*joiner
	from, next uint64      // its records
	taken      int         // how many they are
	last       *audit.Leaf // of them; nil where there is none
	rows       []row
	at         map[uint64]int // seq → its row
	ended      []ended
	subjects   []byte
	size       int
	days       map[time.Time]bool
	firsts     map[first]*audit.Leaf
	hours      map[hour]*counts
}

// row is one of pgveil.access_log: its outcome's columns where there is one.
type row struct {
	leaf    *audit.Leaf
	outcome *audit.Leaf
}

// ended is an outcome whose statement is in the table already.
type ended struct {
	at      time.Time // of the statement
	outcome *audit.Leaf
}

// first is what a user may use for the first time.
type first struct{ user, what, name string }

type hour struct {
	user string
	at   time.Time
}

type counts struct{ statements, classified, refused int64 }

func newBatch(e encoder, j *joiner, from uint64) *batch {
	return &batch{
		encoder: e, joiner: j, from: from, next: from,
		at: map[uint64]int{}, days: map[time.Time]bool{}, firsts: map[first]*audit.Leaf{}, hours: map[hour]*counts{},
	}
}

// add takes the next record.
func (b *batch) add(r *audit.Leaf) {
	b.last, b.next = r, r.Seq+1
	b.taken++
	seq, at, ok := b.place(r)
	if !ok {
		return
	}
	b.size += len(r.Shape) + len(r.Message) + 64*len(r.Columns) + 64*len(r.Subjects) + 512
	switch i, here := b.at[seq]; {
	case r.Kind == audit.KindOutcome && here:
		b.rows[i].outcome = r
	case r.Kind == audit.KindOutcome:
		b.ended = append(b.ended, ended{at, r})
	case !r.Kind.Part():
		b.at[seq] = len(b.rows)
		b.rows = append(b.rows, row{leaf: r})
		b.days[day(at)] = true
		b.count(r)
	}
	b.subjects = b.encoder.subjects(b.subjects, seq, at, r)
}

// count notes what a statement means for its user.
func (b *batch) count(r *audit.Leaf) {
	if r.Kind != audit.KindStatement || r.User == "" {
		return
	}
	user := b.storable(clip(r.User))
	c := b.hours[hour{user, r.Time.UTC().Truncate(time.Hour)}]
	if c == nil {
		c = &counts{}
		b.hours[hour{user, r.Time.UTC().Truncate(time.Hour)}] = c
	}
	c.statements++
	if r.Decision == "refuse" {
		c.refused++
		return
	}
	if len(r.Columns) > 0 {
		c.classified++
	}
	for _, col := range r.Columns {
		relation := col.Name[:max(0, strings.LastIndexByte(col.Name, '.'))]
		for _, f := range []first{{user, "class", b.storable(clip(col.Class))}, {user, "relation", b.storable(clip(relation))}} {
			if was, ok := b.known[f]; f.name != "" && (!ok || r.Time.Before(was)) {
				b.known[f], b.firsts[f] = r.Time, r
			}
		}
	}
}

// full tells whether the batch takes no more.
func (b *batch) full(records int) bool {
	return b.taken >= records || b.size >= maxBatchBytes
}

// text gives the rows as COPY takes them.
func (b *batch) text() []byte {
	text := make([]byte, 0, b.size)
	for i := range b.rows {
		text = b.encoder.record(text, b.rows[i].leaf)
		if o := b.rows[i].outcome; o != nil {
			text = b.encoder.outcome(text, o)
		} else {
			text = b.encoder.noOutcome(text, b.rows[i].leaf)
		}
		text = append(text, '\n')
	}
	return text
}

// firstKeys and hourKeys give what was counted in one order, in which two who
// write the same rows do not wait for each other in a circle.
func (b *batch) firstKeys() []first {
	keys := make([]first, 0, len(b.firsts))
	for k := range b.firsts {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y first) int {
		return cmp.Or(strings.Compare(x.user, y.user), strings.Compare(x.what, y.what), strings.Compare(x.name, y.name))
	})
	return keys
}

func (b *batch) hourKeys() []hour {
	keys := make([]hour, 0, len(b.hours))
	for k := range b.hours {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y hour) int { return cmp.Or(strings.Compare(x.user, y.user), x.at.Compare(y.at)) })
	return keys
}

// day gives the day of a time, in UTC: what the tables' parts go by.
func day(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
