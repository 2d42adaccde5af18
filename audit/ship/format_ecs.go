package ship

import (
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// ecsVersion is the version of the Elastic Common Schema whose fields are used.
const ecsVersion = "8.17.0"

// ecsEvent has fields of the Elastic Common Schema. What it has no field for is
// in pgveil.
type ecsEvent struct {
	Timestamp time.Time   `json:"@timestamp"`
	ECS       ecsSchema   `json:"ecs"`
	Message   string      `json:"message"`
	Event     ecsMain     `json:"event"`
	Service   ecsService  `json:"service"`
	Observer  ecsObserver `json:"observer"`
	User      *ecsUser    `json:"user,omitempty"`
	Source    *ecsSource  `json:"source,omitempty"`
	Related   ecsRelated  `json:"related,omitzero"`
	Rule      *ecsRule    `json:"rule,omitempty"`
	Error     *ecsError   `json:"error,omitempty"`
	Own       ecsOwn      `json:"pgveil"`
}

type ecsSchema struct {
	Version string `json:"version"`
}

type ecsMain struct {
	ID       string   `json:"id"`
	Kind     string   `json:"kind"`
	Category []string `json:"category"`
	Type     []string `json:"type"`
	Action   string   `json:"action"`
	Outcome  string   `json:"outcome"`
	Reason   string   `json:"reason,omitempty"`
	Sequence uint64   `json:"sequence"`
	Duration int64    `json:"duration,omitempty"` // nanoseconds
	Provider string   `json:"provider"`
	Module   string   `json:"module"`
	Dataset  string   `json:"dataset"`
}

type ecsService struct {
	Type string `json:"type"`
	Name string `json:"name,omitempty"`
}

type ecsObserver struct {
	Type    string `json:"type"`
	Vendor  string `json:"vendor"`
	Product string `json:"product"`
}

type ecsUser struct {
	Name  string   `json:"name"`
	Roles []string `json:"roles,omitempty"`
}

type ecsSource struct {
	Address string `json:"address"`
	IP      string `json:"ip,omitempty"`
	Port    int    `json:"port,omitempty"`
}

type ecsRelated struct {
	User []string `json:"user,omitempty"`
	IP   []string `json:"ip,omitempty"`
}

type ecsRule struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

type ecsError struct {
	Code string `json:"code"`
}

// ecsOwn are the fields of pgveil's own.
type ecsOwn struct {
	Log         string      `json:"log"`
	Correlation string      `json:"correlation,omitempty"`
	Session     string      `json:"session,omitempty"`
	Database    string      `json:"database,omitempty"`
	Application string      `json:"application,omitempty"`
	Command     string      `json:"command,omitempty"`
	Statement   string      `json:"statement,omitempty"`
	Detail      string      `json:"detail,omitempty"`
	Bytes       int64       `json:"bytes,omitempty"`
	Privacy     privacyPart `json:"privacy"`
}

func asECS(e *Event) any {
	r, by := &e.Record, e.who()
	o := &ecsEvent{
		Timestamp: r.Time.UTC(), ECS: ecsSchema{ecsVersion}, Message: summary(e), Event: ecsMainOf(e),
		Service: ecsService{Type: "postgresql", Name: by.Database}, Observer: ecsObserver{Type: "proxy", Vendor: "pgveil", Product: "pgveil"},
		Related: ecsRelated{User: distinct(by.User, by.Login)},
		Own: ecsOwn{
			Log: e.Log, Correlation: e.Correlation, Session: by.Session, Database: by.Database, Application: by.App, Command: by.Command,
			Statement: by.Shape, Detail: r.Message, Bytes: r.Bytes, Privacy: privacyOf(e),
		},
	}
	if by.User != "" {
		o.User = &ecsUser{Name: by.User, Roles: by.Roles}
	}
	if by.Client != "" {
		ip, port, name := address(by.Client)
		o.Source, o.Related.IP = &ecsSource{Address: name, IP: ip, Port: port}, distinct(ip)
	}
	if len(by.Reasons) > 0 {
		o.Rule = &ecsRule{Name: o.Event.Reason, Version: by.Generation}
	}
	if r.SQLState != "" {
		o.Error = &ecsError{r.SQLState}
	}
	return o
}

func distinct(names ...string) (list []string) {
	for _, n := range names {
		if n != "" && !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

func ecsMainOf(e *Event) ecsMain {
	r, by := &e.Record, e.who()
	m := ecsMain{
		ID: e.UID, Kind: "event", Action: ecsAction(e), Outcome: ecsOutcome(r), Reason: strings.Join(by.Reasons, "; "), Sequence: r.Seq,
		Duration: r.Duration.Nanoseconds(), Provider: "pgveil", Module: "pgveil", Dataset: "pgveil.access",
	}
	if isAlert(r) {
		m.Kind = "alert"
	}
	m.Category, m.Type = ecsCategory(r, by)
	return m
}

// ecsCategory gives event.category and event.type, of the allowed values.
func ecsCategory(r, by *audit.Record) (category, types []string) {
	switch r.Kind {
	case audit.KindStatement, audit.KindOutcome, audit.KindSubjects, audit.KindImages, audit.KindPrivacy:
		return []string{"database"}, ecsAccess(r, by)
	case audit.KindSession:
		switch {
		case r.Message == "end":
			return []string{"authentication"}, []string{"end"}
		case isAlert(r):
			return []string{"authentication"}, []string{"info"}
		}
		return []string{"authentication"}, []string{"start"}
	case audit.KindSystem:
		switch {
		case strings.HasPrefix(r.Message, "start"):
			return []string{"process"}, []string{"start"}
		case r.Message == "stop":
			return []string{"process"}, []string{"end"}
		}
		return []string{"configuration"}, []string{"info"}
	}
	return []string{}, []string{}
}

// ecsAccess says whether data was asked for or changed, and whether that was
// not to be.
func ecsAccess(r, by *audit.Record) []string {
	types := []string{"access"}
	writes := func(c audit.Column) bool { return c.Use == "write" }
	if slices.ContainsFunc(by.Columns, writes) || slices.Contains([]string{"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE"}, by.Command) {
		types = []string{"change"}
	}
	switch {
	case refused(by):
		types = append(types, "denied")
	case r.SQLState != "":
		types = append(types, "error")
	}
	return types
}

func ecsAction(e *Event) string {
	r, by := &e.Record, e.who()
	switch r.Kind {
	case audit.KindStatement, audit.KindOutcome, audit.KindSubjects, audit.KindImages:
		return strings.ToLower(by.Command) + "-" + string(r.Kind)
	case audit.KindSession, audit.KindSystem:
		first, _, _ := strings.Cut(r.Message, " ")
		return string(r.Kind) + "-" + strings.Trim(strings.ToLower(first), ":;,")
	case audit.KindPrivacy:
		return "privacy"
	}
	return string(r.Kind)
}

func ecsOutcome(r *audit.Record) string {
	switch {
	case failed(r):
		return "failure"
	case r.Kind == audit.KindStatement || r.Kind.Part() && r.Kind != audit.KindOutcome:
		return "unknown" // it has not ended
	default:
		return "success"
	}
}
