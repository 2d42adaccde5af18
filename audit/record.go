package audit

import "time"

// Kind says what a record is about. The zero Kind is invalid.
type Kind string

// The kinds of record.
const (
	KindStatement Kind = "statement" // a statement was decided: written before it is forwarded, or refused
	KindOutcome   Kind = "outcome"   // how a statement ended: Ref names the statement's record
	KindSubjects  Kind = "subjects"  // subjects of a statement, Ref, that its outcome has no room for: written before that
	KindImages    Kind = "images"    // rows of a table that a statement, Ref, changed, before and after: written before its outcome
	KindSession   Kind = "session"   // login, refused login, end of session
	KindPrivacy   Kind = "privacy"   // a data subject request
	KindSystem    Kind = "system"    // start, stop, reload, recovery
)

// Record is one entry of the access log. It holds no literal, no parameter and
// no value of a row that can be read without a key.
type Record struct {
	Seq  uint64    `json:"seq"` // set by Append: 0, 1, 2, … without gaps over the life of a log
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	ID   string    `json:"id,omitempty"`  // what a refusal's error message shows, to find the record by
	Ref  uint64    `json:"ref,omitempty"` // of outcomes, subjects and images: Seq of the statement

	Session    string   `json:"session,omitempty"`
	Login      string   `json:"login,omitempty"`
	User       string   `json:"user,omitempty"` // the end user; the login itself where there is none behind it
	Roles      []string `json:"roles,omitempty"`
	Purpose    string   `json:"purpose,omitempty"`
	Ticket     string   `json:"ticket,omitempty"`
	Client     string   `json:"client,omitempty"` // address
	App        string   `json:"app,omitempty"`    // application_name
	Database   string   `json:"database,omitempty"`
	Generation string   `json:"generation,omitempty"` // of policy and catalog

	Command     string   `json:"command,omitempty"`     // SELECT, UPDATE, …
	Shape       string   `json:"shape,omitempty"`       // the statement with its literals removed
	Fingerprint string   `json:"fingerprint,omitempty"` // equal for statements of one shape
	Decision    string   `json:"decision,omitempty"`    // allow, mask, refuse, unrestricted, observe
	Reasons     []string `json:"reasons,omitempty"`     // rules that decided
	Columns     []Column `json:"columns,omitempty"`     // classified columns used, and how
	Kinds       []string `json:"kinds,omitempty"`       // of data subjects whose rows the statement reaches
	Sealed      string   `json:"sealed,omitempty"`      // text and parameters, or of images values, encrypted: see Sealer

	Rows     int64         `json:"rows,omitempty"`
	Bytes    int64         `json:"bytes,omitempty"`
	Subjects []string      `json:"subjects,omitempty"` // whose rows were returned or changed: kind:token
	Unnamed  []Unnamed     `json:"unnamed,omitempty"`  // how many more there may be
	Relation string        `json:"relation,omitempty"` // of images: the table
	Images   []Image       `json:"images,omitempty"`   // a changed row each
	Missing  int64         `json:"missing,omitempty"`  // of images: how many rows there is none of, or AnyNumber; Message says why
	Tag      string        `json:"tag,omitempty"`      // the command tag
	SQLState string        `json:"sqlstate,omitempty"`
	Duration time.Duration `json:"duration_ns,omitempty"`
	Message  string        `json:"message,omitempty"` // of session, system and privacy records; of outcomes, why there was none
	Key      string        `json:"key,omitempty"`     // of a system record: the public key that signs checkpoints from here on
	Event    string        `json:"event,omitempty"`   // digest of what was written into a ledger of consents

	// Caller and Statement spare Append the encoding of what a session's
	// records, or those of one statement, have in common. Each is either empty
	// or what EncodeCaller or EncodeStatement gives for this record.
	Caller    Encoded `json:"-"`
	Statement Encoded `json:"-"`
}

// Part tells whether a kind of record is about a statement that another is of,
// Ref, and no entry of its own.
func (k Kind) Part() bool { return k == KindOutcome || k == KindSubjects || k == KindImages }

// AnyNumber stands in Unnamed, and for Missing, where nothing bounds the number.
const AnyNumber = -1

// AnyKind stands for every kind of data subject, where a statement was not
// understood.
const AnyKind = "*"

// Unnamed says that a statement may have returned or changed rows of subjects
// of a kind that its records do not name.
type Unnamed struct {
	Kind   string `json:"kind"`    // or AnyKind
	AtMost int64  `json:"at_most"` // or AnyNumber
}

// Encoded is a part of a record as it stands in the log.
type Encoded string

// EncodeCaller encodes the fields from Session to Generation.
func (r *Record) EncodeCaller() Encoded { return Encoded(appendCaller(nil, r)) }

// EncodeStatement encodes the fields from Command to Kinds.
func (r *Record) EncodeStatement() Encoded { return Encoded(appendStatement(nil, r)) }

// Column says how a statement used one classified column.
type Column struct {
	Name  string `json:"name"`  // schema.table.column
	Class string `json:"class"` // "" when nobody classified it
	Show  string `json:"show"`  // clear, refuse, or the mask: last(4)
	Use   string `json:"use"`   // read, write
}
