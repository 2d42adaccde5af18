package ship

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/pgveil/pgveil/audit"
)

// Format gives what of an event is sent, to be written as JSON.
type Format func(*Event) any

// Formats are those that there are, by name.
func Formats() map[string]Format {
	return map[string]Format{"pgveil": asRecord, "ocsf": asOCSF, "ecs": asECS}
}

// plain is the record as it stands in the log, with where that is. Of
// what is part of a statement it has that, too.
type plain struct {
	Log         string `json:"log"`
	UID         string `json:"uid"`
	Correlation string `json:"correlation,omitempty"`
	*audit.Record
	Statement *audit.Record `json:"statement,omitempty"`
	Whole     int           `json:"shortened_from,omitempty"` // bytes
}

func asRecord(e *Event) any {
	return plain{e.Log, e.UID, e.Correlation, &e.Record, e.Statement, e.Whole}
}

// refused tells whether somebody did not get what they asked for by decision,
// and not by an error of the server.
func refused(r *audit.Record) bool { return r.Decision == "refuse" }

// failed tells whether a record is of something that did not succeed.
func failed(r *audit.Record) bool { return refused(r) || r.SQLState != "" }

// isAlert tells whether a record is of something that somebody should look at.
func isAlert(r *audit.Record) bool { return strings.HasPrefix(r.Message, "alert:") }

// summary is one line about an event for people.
func summary(e *Event) string {
	r, by := &e.Record, e.who()
	switch r.Kind {
	case audit.KindStatement:
		return fmt.Sprintf("%s %s %s", by.User, verdict(r.Decision), r.Command)
	case audit.KindOutcome:
		return fmt.Sprintf("%s %s: %s", cmp.Or(by.User, by.Login, "somebody"), by.Command, ended(r))
	case audit.KindSubjects:
		return fmt.Sprintf("%s %s: subjects", cmp.Or(by.User, by.Login, "somebody"), by.Command)
	case audit.KindImages:
		return fmt.Sprintf("%s %s: images of %d rows of %s", cmp.Or(by.User, by.Login, "somebody"), by.Command, len(r.Images), r.Relation)
	default:
		return strings.TrimSpace(by.User + " " + r.Message)
	}
}

func verdict(decision string) string {
	switch decision {
	case "refuse":
		return "was refused"
	case "mask":
		return "was shown masks by"
	default:
		return "was allowed"
	}
}

func ended(r *audit.Record) string {
	switch {
	case r.SQLState != "":
		return "failed with " + r.SQLState
	case r.Tag != "":
		return r.Tag
	case r.Message != "":
		return r.Message
	default:
		return "ended"
	}
}

// address splits where a client is. A client that came by a unix socket has
// neither, and name says what the log has.
func address(client string) (ip string, port int, name string) {
	host, p, err := net.SplitHostPort(client)
	if err != nil {
		host, p = client, ""
	}
	if i := strings.IndexByte(host, '%'); i >= 0 {
		host = host[:i] // an IPv6 zone
	}
	if net.ParseIP(host) == nil {
		return "", 0, client
	}
	port, err = strconv.Atoi(p)
	if err != nil {
		port = 0
	}
	return host, port, host
}

// classes gives the classes of the columns, each once.
func classes(columns []audit.Column) (list []string) {
	for _, c := range columns {
		if c.Class != "" && !slices.Contains(list, c.Class) {
			list = append(list, c.Class)
		}
	}
	slices.Sort(list)
	return list
}

// tables gives the tables of the columns, each once.
func tables(columns []audit.Column) (list []string) {
	for _, c := range columns {
		if i := strings.LastIndexByte(c.Name, '.'); i > 0 && !slices.Contains(list, c.Name[:i]) {
			list = append(list, c.Name[:i])
		}
	}
	slices.Sort(list)
	return list
}

// privacyPart is what no schema of others has a field for.
type privacyPart struct {
	Kind         audit.Kind      `json:"record_kind"`
	Seq          uint64          `json:"seq"`
	ID           string          `json:"id,omitempty"` // that the error message showed
	Login        string          `json:"login,omitempty"`
	Purpose      string          `json:"purpose,omitempty"`
	Ticket       string          `json:"ticket,omitempty"`
	Decision     string          `json:"decision,omitempty"`
	Reasons      []string        `json:"reasons,omitempty"`
	Fingerprint  string          `json:"fingerprint,omitempty"`
	Classes      []string        `json:"classes,omitempty"`
	Columns      []audit.Column  `json:"columns,omitempty"`
	SubjectKinds []string        `json:"subject_kinds,omitempty"`
	Subjects     []string        `json:"subjects,omitempty"`
	Unnamed      []audit.Unnamed `json:"unnamed,omitempty"`
	Rows         int64           `json:"rows,omitempty"`
	Tag          string          `json:"tag,omitempty"`
	Generation   string          `json:"generation,omitempty"`
	Digest       string          `json:"digest,omitempty"`   // of what was written into a ledger
	Key          string          `json:"key,omitempty"`      // that signs from here on
	Relation     string          `json:"relation,omitempty"` // of whose rows there are images, which stay in the log
	Images       int             `json:"images,omitempty"`   // how many
	Missing      int64           `json:"missing,omitempty"`
	Whole        int             `json:"shortened_from,omitempty"`
}

func privacyOf(e *Event) privacyPart {
	r, by := &e.Record, e.who()
	return privacyPart{
		Kind: r.Kind, Seq: r.Seq, ID: by.ID, Login: by.Login, Purpose: by.Purpose, Ticket: by.Ticket, Decision: by.Decision,
		Reasons: by.Reasons, Fingerprint: by.Fingerprint, Classes: classes(by.Columns), Columns: by.Columns, SubjectKinds: by.Kinds,
		Subjects: r.Subjects, Unnamed: r.Unnamed, Rows: r.Rows, Tag: r.Tag, Generation: by.Generation, Digest: r.Event, Key: r.Key,
		Relation: r.Relation, Images: len(r.Images), Missing: r.Missing, Whole: e.Whole,
	}
}
