package report

import (
	"time"

	"github.com/pgveil/pgveil/audit"
)

// BreachSchema names the form of a Breach as JSON. Fields may be added to it;
// none changes its meaning.
const BreachSchema = "pgveil.report.breach/1"

// Breach is what an investigation found.
type Breach struct {
	Schema   string       `json:"schema"`
	Made     time.Time    `json:"made"`
	Zone     string       `json:"zone"` // of the times as people are shown them
	Scope    Scope        `json:"scope"`
	Notes    []string     `json:"notes"`
	Evidence []Evidence   `json:"evidence"`
	Identify *Identify    `json:"identified,omitempty"` // nil: subjects are tokens
	Org      Organisation `json:"organisation"`

	First        time.Time      `json:"first,omitzero"` // when the first statement began
	Last         time.Time      `json:"last,omitzero"`  // when the last one ended
	Statements   Statements     `json:"statements"`
	Rows         int64          `json:"rows"`  // returned; -1: too many to count
	Bytes        int64          `json:"bytes"` // of them
	Kinds        []KindFinding  `json:"subjects_by_kind"`
	Subjects     []Subject      `json:"subjects"` // the first of those named
	SubjectsMore int64          `json:"subjects_more"`
	Classes      []ClassFinding `json:"classes"`
	Unattributed Amount         `json:"unattributed"` // of personal data, with nothing recorded of subjects
	Nobody       Amount         `json:"of_nobody"`    // that reach rows of subjects, and name none: rows that are nobody's

	Timeline []Moment  `json:"timeline"`
	Width    string    `json:"timeline_width"`
	Peaks    []Moment  `json:"peaks"`
	Largest  []Largest `json:"largest"`
	Sessions []Session `json:"sessions"`
	Clients  []Used    `json:"clients"`
	Apps     []Used    `json:"applications"`
	Purposes []Used    `json:"purposes"`
	Exports  []Export  `json:"exports"`
	Refusals []Refusal `json:"refusals"`
	Refused  int64     `json:"refused"`
	Unlisted int64     `json:"unlisted"` // entries that the lists above had no room for

	Contained Containment `json:"containment"`
	Clocks    Clocks      `json:"clocks"`
}

// Statements counts those of a scope.
type Statements struct {
	Ended      int64 `json:"ended"`
	Returned   int64 `json:"returned"`   // of them, with rows
	Changed    int64 `json:"changed"`    // of them
	Failed     int64 `json:"failed"`     // of them; some had returned rows before
	Unfinished int64 `json:"unfinished"` // without an outcome in the log
}

// Amount is how much was returned.
type Amount struct {
	Statements int64 `json:"statements"`
	Rows       int64 `json:"rows"`
	Bytes      int64 `json:"bytes"`
}

func (a *Amount) add(o *audit.Record) {
	a.Statements++
	a.Rows, a.Bytes = most(a.Rows, o.Rows), most(a.Bytes, o.Bytes)
}

// ClassFinding is what became known of a class of data. Statements whose
// columns differ in how they are shown count in both.
type ClassFinding struct {
	Class          string          `json:"class"` // "" for columns that nobody classified
	Special        bool            `json:"special,omitempty"`
	Clear          Amount          `json:"clear"`
	Masked         Amount          `json:"masked"`
	Changed        int64           `json:"changed"`    // statements that wrote it
	Unfinished     int64           `json:"unfinished"` // statements without an outcome that name it
	ClearSubjects  int64           `json:"clear_subjects"`
	MaskedSubjects int64           `json:"masked_subjects"`
	NotPerSubject  bool            `json:"not_per_subject,omitempty"` // too many classes: the two above are not known
	Columns        []ColumnFinding `json:"columns"`
}

// ColumnFinding is a column as it was shown.
type ColumnFinding struct {
	Column     string `json:"column"`
	Shown      string `json:"shown"` // clear, or the mask
	Statements int64  `json:"statements"`
}

// Moment is a part of the timeline.
type Moment struct {
	Begin      time.Time `json:"begin"`
	Statements int64     `json:"statements"`
	Rows       int64     `json:"rows"`
}

// Largest is a statement that returned much.
type Largest struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Session string    `json:"session"`
	Purpose string    `json:"purpose"`
	Shape   string    `json:"shape"`
	Rows    int64     `json:"rows"`
	Bytes   int64     `json:"bytes"`
}

// Session is one in which statements of the scope were made.
type Session struct {
	ID         string    `json:"id"`
	Login      string    `json:"login"`
	User       string    `json:"user"`
	Client     string    `json:"client"`
	App        string    `json:"application"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	Statements int64     `json:"statements"`
	Rows       int64     `json:"rows"`
	Ended      time.Time `json:"ended,omitzero"` // as far as the log says
}

// Used is how much came by one way.
type Used struct {
	Name       string `json:"name"`
	Ticket     string `json:"ticket,omitempty"` // of purposes
	Statements int64  `json:"statements"`
	Rows       int64  `json:"rows"`
}

// Export is data that left in bulk, or of one subject as a whole.
type Export struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	What    string    `json:"what"`
	Outcome string    `json:"outcome"`
	Rows    int64     `json:"rows"`
	Bytes   int64     `json:"bytes"`
}

// Refusal is attempts of one sort that did not succeed.
type Refusal struct {
	Message    string    `json:"message"`
	Rule       string    `json:"rule,omitempty"`
	Classes    string    `json:"classes,omitempty"`
	Statements int64     `json:"statements"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	ID         string    `json:"id,omitempty"` // of the last
}

// Activity is what went on after something.
type Activity struct {
	Statements int64     `json:"statements"`
	First      time.Time `json:"first,omitzero"`
	Last       time.Time `json:"last,omitzero"`
}

func (a *Activity) add(t time.Time) {
	a.Statements++
	if a.First.IsZero() || t.Before(a.First) {
		a.First = t
	}
	if t.After(a.Last) {
		a.Last = t
	}
}

// Containment is what the log shows was done about it, and what it does not.
type Containment struct {
	SessionsEnded int      `json:"sessions_ended"`
	SessionsOpen  int      `json:"sessions_without_end"`
	Logins        int64    `json:"logins"`         // in the period
	LaterLogins   int64    `json:"later_logins"`   // that got in behind it
	RefusedLogins Activity `json:"refused_logins"` // in it and behind it
	After         Activity `json:"after"`          // statements of the scope behind the period
	Events        []Event  `json:"events"`         // revocations, alerts, reloads of the policy, from the first statement on
}

// Event is something that was done, or happened.
type Event struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	By   string    `json:"by,omitempty"`
	What string    `json:"what"`
}

// Evidence is the log that a report was made from.
type Evidence struct {
	Dir         string    `json:"dir"`
	First       uint64    `json:"first"`   // seq of the first record that there is: those before it were retired
	Records     uint64    `json:"records"` // up to which it was read
	Chain       string    `json:"chain"`   // SHA-256 chain hash behind the last record read, as computed from what was read
	FirstRecord time.Time `json:"first_record,omitzero"`
	LastRecord  time.Time `json:"last_record,omitzero"`
	Checkpoint  string    `json:"checkpoint,omitempty"` // the last signed note
	Signed      uint64    `json:"signed"`               // records that signatures vouch for
	Signer      string    `json:"signer,omitempty"`     // public key, and whether it was given
	Verified    bool      `json:"verified"`             // every record is as it was written, as far as the files tell
	Result      string    `json:"result"`
}

// Identify says that tokens were resolved to keys.
type Identify struct {
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	Resolved int64     `json:"resolved"`
	Unknown  int64     `json:"unknown"` // tokens that the table does not have: forgotten subjects
}
