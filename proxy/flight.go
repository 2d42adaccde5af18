package proxy

import (
	"time"

	"github.com/pgveil/pgveil/dsar"
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
	refusal *Refusal // what to say in place of the error that the server will raise
	privacy *request // the data subject request that this flight carries
	probe   *probe   // collects the answer of an own question
	last    bool     // of a probe: its answer is complete

	seq     uint64 // of the statement's audit record
	logged  bool
	durable bool // its answer waits until the record is durable
	start   time.Time
	rows    int64
	bytes   int64
	tag     string
	state   string   // SQLSTATE of the error
	changes []change // to be undone when it fails
}

// change is a name that a flight gave a new meaning, before it is certain that
// the server does so too.
type change struct {
	names *names
	name  string
	to    *named
	from  *named
}

// named is what a prepared statement's, portal's or cursor's name stands for.
type named struct {
	plan    *rewrite.Plan
	privacy *dsar.Command // when it is a data subject request
	params  []byte        // of protocol-level statements: the parameter types of Parse
	asked   string        // of those: what the client sent, when it may be planned again
	sql     []byte        // what to send in place of the plan's own text; valid only while the message is handled
	bySQL   bool          // made by PREPARE or DECLARE
	seq     uint64        // of portals: the audit record of their first execution
	logged  bool
}

// text gives what to send for it.
func (n *named) text() []byte {
	if n.sql != nil {
		return n.sql
	}
	return []byte(n.plan.SQL)
}

// names maps the names of one kind.
type names struct{ m map[string]*named }

func (n *names) get(name []byte) *named { return n.m[string(name)] }

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

// name notes that the flight gives a name a meaning, from when it is pushed.
func (f *flight) name(n *names, name string, to *named) {
	f.changes = append(f.changes, change{names: n, name: name, to: to})
}

func (f *flight) apply() {
	for i := range f.changes {
		c := &f.changes[i]
		c.from = c.names.m[c.name]
		c.names.put(c.name, c.to)
	}
}

// undo takes back what a flight changed, newest first, unless a later flight
// has changed it again.
func (f *flight) undo() {
	for i := len(f.changes) - 1; i >= 0; i-- {
		c := f.changes[i]
		if c.names.m[c.name] == c.to {
			c.names.put(c.name, c.from)
		}
	}
}

// queue holds the flights in the order in which the server will answer them.
type queue struct {
	ring  []*flight
	head  int
	n     int
	spare []*flight
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
	if f.privacy != nil {
		f.privacy.cancel()
	}
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.n--
	if len(q.spare) < maxSpare {
		changes := f.changes[:0]
		clear(f.changes)
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
