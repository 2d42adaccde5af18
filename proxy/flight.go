package proxy

import (
	"slices"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/rewrite"
)

// flightKind says which message a flight stands for, and so which answers it
// gets. The zero kind is invalid.
type flightKind uint8

const (
	flightQuery    flightKind = iota + 1 // Query: anything, up to ReadyForQuery
	flightCall                           // FunctionCall: a result or an error, up to ReadyForQuery
	flightParse                          // ParseComplete
	flightBind                           // BindComplete
	flightDescribe                       // RowDescription or NoData
	flightExecute                        // rows, up to the end of the statement or the portal's suspension
	flightClose                          // CloseComplete
	flightSync                           // ReadyForQuery
	flightCopyEnd                        // CopyDone or CopyFail: no answer of its own
)

// flight is one message that was sent to the server and is not answered yet.
type flight struct {
	kind    flightKind
	own     bool // asked by the proxy itself: the client sees nothing of it
	failed  bool // an error answered it
	plan    *rewrite.Plan
	by      party    // who asks
	refusal *Refusal // what to say in place of the error that the server will raise
	privacy *request // the data subject request that this flight carries
	probe   *probe   // collects the answer of an own question
	naming  *naming  // finds out whose rows answer it; nil: nobody's
	last    bool     // of a probe: its answer is complete
	unnamed bool     // a Parse without a name: if it fails, the unnamed statement is gone
	standIn bool     // a Close was sent in place of a Parse that is not needed: see keeper

	seq     uint64 // of the statement's audit record
	logged  bool
	again   bool // the record is of an earlier Execute of the same portal
	durable bool // its answer waits until the record is durable
	start   time.Time
	rows    int64
	bytes   int64
	tag     string
	state   string   // SQLSTATE of the error
	done    int      // statements of a Query that ended well
	changes []change // to be undone when it fails

	contents *audit.Contents // to be sealed in its record

	portal  *named   // that it executes
	meter   *meter   // counts its rows against limits; nil: there are none
	stopped *Refusal // its rows are kept back: what the client gets in place of its end
	muted   bool     // which it has got

	leaks   *leaks   // looks for personal data in its rows; nil: nobody asks
	opening *opening // opens sealed values in its rows; nil: there are none
	sealed  *named   // of a Describe: the statement whose parameters are sealed; nil: none are

	desc *description // where what the server says of its rows is kept
	lits [][]byte     // of a Query's text; valid only while the message is handled
}

// relays tells whether the client gets the rows that answer it.
func (f *flight) relays() bool { return !f.own && f.privacy == nil }

// copies tells whether the server may take in data for it.
func (f *flight) copies() bool {
	return f.plan != nil && slices.ContainsFunc(f.plan.Steps, func(s rewrite.Step) bool { return s.Command == "COPY" })
}

// change is a name that a flight gave a new meaning, before it is certain that
// the server does so too.
type change struct {
	names *names
	name  string
	step  int // the statement of a Query that makes it
	batch int // which messages fail with it: those sent up to the next Sync or Query
	to    *named
	from  *named
	next  *change // of the same name, by a later statement or flight
}

// named is what a prepared statement's, portal's or cursor's name stands for.
type named struct {
	plan    *rewrite.Plan
	privacy *privacy.Command // when it is a data subject request
	params  []byte           // of protocol-level statements: the parameter types of Parse
	asked   string           // of those and their portals: what the client sent, when it may be planned again
	by      party            // who asked when it was made
	under   planned          // where columns are sealed: what the plan rests on
	said    *rewrite.Said    // what comments in its text say of who asks; nil: nothing
	value   string           // what the text says of who asks, where the plan leaves it out
	sql     []byte           // what to send in place of the plan's own text; valid only while the message is handled
	lits    [][]byte         // the text's literals, where its plan is shared and says that they are written; as long valid
	bySQL   bool             // made by PREPARE or DECLARE
	once    bool             // it may be bound once: see sealsOnce
	ran     bool             // it was
	kept    string           // of unnamed statements: the name under which the server keeps it
	desc    *description     // of statements of the protocol and their portals, when their subjects are named
	formats []int16          // of portals: of the result's columns, as Bind says
	odd     bool             // of portals: what Bind says of formats was not read
	seq     uint64           // of portals: the audit record of their first execution
	logged  bool

	tally    *limits.Tally   // of portals and cursors, when what they return is limited
	leaks    *leaks          // of those too, when it is looked into
	contents *audit.Contents // of what runs by it: see contentsOf
}

// planned is what a plan rests on.
type planned struct {
	engine *rewrite.Engine
	key    string // of the session
}

// rewritten tells whether another text than the client's is sent for it.
func (n *named) rewritten() bool { return n.plan.Changed || n.sql != nil }

// text gives what to send for it.
func (n *named) text() []byte {
	if n.sql != nil {
		return n.sql
	}
	return []byte(n.plan.SQL)
}

// names maps the names of one kind to what they will mean when the server has
// done all that was sent.
type names struct {
	m    map[string]*named
	last map[string]*change // the latest of a name that is not certain yet
}

func (n *names) get(name []byte) *named { return n.m[string(name)] }

// uncertain tells whether a name may mean, to a message of that batch, what it
// meant before: what changes it was sent in an earlier batch and is not answered.
// Within its batch the message would be passed over with the change.
func (n *names) uncertain(name []byte, batch int) bool {
	c := n.last[string(name)]
	return c != nil && c.batch != batch
}

func (n *names) put(name string, to *named) {
	if to == nil {
		delete(n.m, name)
		return
	}
	if n.m == nil {
		n.m = map[string]*named{}
	}
	n.m[name] = to
}

// endTransaction forgets the portals that ended with a transaction: all but
// the cursors, which may be WITH HOLD.
func (n *names) endTransaction() {
	for name, p := range n.m {
		if !p.bySQL {
			delete(n.m, name)
		}
	}
}

// name notes that the flight gives a name a meaning, from when it is pushed.
func (f *flight) name(n *names, name string, to *named) { f.nameAt(0, n, name, to) }

// beforeAll is the step of what a Query does even if its first statement fails.
const beforeAll = -1

// nameAt is name for one of several statements.
func (f *flight) nameAt(step int, n *names, name string, to *named) {
	f.changes = append(f.changes, change{names: n, name: name, step: step, to: to})
}

// forgetAt notes that a statement takes every name its meaning.
func (f *flight) forgetAt(step int, n *names) {
	for name := range n.m {
		f.nameAt(step, n, name, nil)
	}
	for _, c := range f.changes {
		if c.names == n && c.to != nil {
			f.nameAt(step, n, c.name, nil)
		}
	}
}

func (f *flight) apply(batch int) {
	for i := range f.changes {
		c := &f.changes[i]
		c.batch = batch
		if before := c.names.last[c.name]; before != nil {
			before.next = c
		}
		if c.names.last == nil {
			c.names.last = map[string]*change{}
		}
		c.names.last[c.name] = c
		c.from = c.names.m[c.name]
		c.names.put(c.name, c.to)
	}
}

// undo takes back what a flight changed but for what statements before the
// failed one did: PREPARE and DEALLOCATE are not part of a transaction. Where a
// later flight changes a name again, that is what falls back to what was before
// this one. The flight must be the oldest that is not certain.
func (f *flight) undo() {
	for i := range f.changes {
		c := &f.changes[i]
		switch {
		case f.done > c.step:
			c.settle()
		case c.next != nil:
			c.next.from = c.from
		default:
			c.settle()
			c.names.put(c.name, c.from)
		}
	}
	f.changes = f.changes[:0]
}

// loseUnnamed notes that a Parse failed. If it has no name, the unnamed
// statement before it is gone nevertheless.
func (f *flight) loseUnnamed() {
	for i := range f.changes {
		if f.unnamed && f.changes[i].name == "" {
			f.changes[i].from = nil
		}
	}
}

// settle makes a change certain.
func (c *change) settle() {
	if c.names.last[c.name] == c {
		delete(c.names.last, c.name)
	}
}

// queue holds the flights in the order in which the server will answer them.
type queue struct {
	ring   []*flight
	head   int
	n      int
	copies *flight // the latest that may take in data, when the data's end is not sent
	spare  []*flight
}

// take gives an empty flight to fill and push.
func (q *queue) take(kind flightKind) *flight {
	n := len(q.spare)
	if n == 0 {
		return &flight{kind: kind}
	}
	f := q.spare[n-1]
	q.spare = q.spare[:n-1]
	f.kind = kind
	return f
}

func (q *queue) push(f *flight) {
	if q.n == len(q.ring) {
		grown := make([]*flight, max(8, 2*q.n))
		for i := range q.n {
			grown[i] = q.at(i)
		}
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.n)%len(q.ring)] = f
	q.n++
	switch {
	case f.kind == flightCopyEnd:
		q.copies = nil
	case f.copies():
		q.copies = f
	}
}

func (q *queue) at(i int) *flight { return q.ring[(q.head+i)%len(q.ring)] }

// first gives the flight that the server answers now; nil when there is none.
// Ends of copies that never began are passed over.
func (q *queue) first() *flight {
	for q.n > 0 && q.at(0).kind == flightCopyEnd {
		q.pop()
	}
	if q.n == 0 {
		return nil
	}
	return q.at(0)
}

// maxSpare bounds the flights that an idle session keeps for reuse: as many as
// a statement of the extended protocol needs, and some.
const maxSpare = 8

func (q *queue) pop() {
	f := q.ring[q.head]
	if q.copies == f {
		q.copies = nil
	}
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.n--
	for i := range f.changes {
		f.changes[i].settle()
	}
	q.recycle(f)
}

// recycle keeps a flight for reuse. What it carried ends.
func (q *queue) recycle(f *flight) {
	if f.privacy != nil {
		f.privacy.cancel()
	}
	if len(q.spare) < maxSpare {
		changes := f.changes[:0]
		clear(changes[:cap(changes)])
		*f = flight{changes: changes}
		q.spare = append(q.spare, f)
	}
}

// remove takes the flight at position i out of the middle.
func (q *queue) remove(i int) {
	for ; i > 0; i-- {
		q.ring[(q.head+i)%len(q.ring)] = q.at(i - 1)
	}
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.n--
}
