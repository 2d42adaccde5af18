package detect

import (
	"log/slog"
	"sync"
	"time"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/policy"
)

// Who is who does something, in one moment. Times are of the place whose days
// and hours count.
type Who struct {
	At     time.Time
	User   string
	Exempt uint32 // signals that are not watched for: policy.Watch.Exempt
}

// Statement is a statement that has ended.
type Statement struct {
	Who
	Tables  []string // governed ones that it touched; a plan's, which nobody changes
	Refused bool
	Code    string // SQLSTATE of its error; "": none
	Guess   bool   // it asked for a hidden value
	Rows    int64
	ByKey   bool   // it gave one subject, of a kind, with a key that is a number
	Kind    string // of the subject
	Key     int64
}

// Login is a login that was let in.
type Login struct {
	Who
	Addr, App string
	Acts      bool // it acts for others: many come by it
}

// Finding is something that was noticed, and what the policy says is done then.
type Finding struct {
	Signal policy.Signal
	Event  alert.Event // without who, but for the user
	Then   policy.Response
}

// Detector watches. It may be used by many goroutines.
type Detector struct {
	most int // people that are remembered

	mu        sync.Mutex
	people    map[string]*person
	unread    []string // whose history is wanted
	forgotten int
	usual     int // subjects a day: the highest median of anybody
}

// person is what is known of one user.
type person struct {
	name  string
	seen  int64                 // when something was done last, in seconds
	until [policy.Signals]int64 // when a signal counts again
	hit   [4]*window            // refusals, errors, missed guesses, all guesses
	keys  map[string]*keys      // by kind
	from  [2]places             // networks, applications
	habits
}

// Series that are counted.
const (
	refusals = iota
	errors
	misses
	guesses
)

// New makes a detector that remembers so many people.
func New(people int) *Detector {
	return &Detector{most: max(people, 1), people: map[string]*person{}}
}

// maxUnread bounds the histories that are asked for and did not come.
const maxUnread = 10_000

// person gives who does something, up to date.
func (d *Detector) person(w Who) *person {
	p := d.people[w.User]
	if p == nil {
		if len(d.people) >= d.most {
			d.forget()
		}
		p = &person{name: w.User}
		d.people[w.User] = p
		if len(d.unread) < maxUnread {
			d.unread = append(d.unread, w.User)
		}
	}
	p.seen = w.At.Unix()
	p.turn(w.At)
	return p
}

// forget forgets one of those who were seen least lately, of a handful.
func (d *Detector) forget() {
	var oldest *person
	looked := 0
	for _, p := range d.people { // in an order of chance
		if oldest == nil || p.seen < oldest.seen {
			oldest = p
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(d.people, oldest.name)
	d.forgotten++
}

// Forgotten tells how many people were forgotten for want of room.
func (d *Detector) Forgotten() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.forgotten
}

// watched tells whether a signal of somebody is to be looked at: not so often
// that each further statement is a finding.
func (p *person) watched(w Who, s policy.Signal) bool {
	return w.Exempt&(1<<s) == 0 && w.At.Unix() >= p.until[s]
}

// found makes a finding, after which the signal rests for a time.
func (p *person) found(to *[]Finding, w Who, watch *policy.Watch, s policy.Signal, rest time.Duration, severity alert.Severity, message string, details ...slog.Attr) {
	p.until[s] = w.At.Add(rest).Unix()
	*to = append(*to, Finding{
		Signal: s, Then: watch[s].Then,
		Event: alert.Event{Name: "watch_" + s.String(), Severity: severity, Time: w.At, Message: message, User: p.name, Details: details},
	})
}
