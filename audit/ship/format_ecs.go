package ship

import (
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// ecsVersion is the version of the Elastic Common Schema whose fields are used.
const ecsVersion = "8.17.0"

// asECS gives an event with the fields of the Elastic Common Schema. What it has
// no field for is under pgveil.
func asECS(e *Event) any {
	r, by := &e.Record, e.who()
	o := object{
		"@timestamp": r.Time.UTC().Format(time.RFC3339Nano), "ecs": object{"version": ecsVersion}, "message": summary(e),
		"event": ecsEvent(e), "service": object{"type": "postgresql", "name": by.Database},
		"observer": object{"type": "proxy", "vendor": "pgveil", "product": "pgveil"},
		"pgveil":   ecsOwn(e),
	}
	if by.User != "" {
		o["user"] = object{"name": by.User, "roles": nonNil(by.Roles)}
	}
	related := object{}
	if users := distinct(by.User, by.Login); len(users) > 0 {
		related["user"] = users
	}
	if by.Client != "" {
		ip, port, name := address(by.Client)
		source := object{"address": name}
		if ip != "" {
			source["ip"], related["ip"] = ip, []string{ip}
		}
		if port != 0 {
			source["port"] = port
		}
		o["source"] = source
	}
	if len(related) > 0 {
		o["related"] = related
	}
	if len(by.Reasons) > 0 {
		o["rule"] = object{"name": strings.Join(by.Reasons, "; "), "version": by.Generation}
	}
	if r.SQLState != "" {
		o["error"] = object{"code": r.SQLState}
	}
	return o
}

func nonNil(list []string) []string { return append([]string{}, list...) }

func distinct(names ...string) (list []string) {
	for _, n := range names {
		if n != "" && !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

func ecsEvent(e *Event) object {
	r, by := &e.Record, e.who()
	category, types := ecsCategory(r, by)
	o := object{
		"id": e.UID, "kind": "event", "provider": "pgveil", "dataset": "pgveil.access", "module": "pgveil", "sequence": r.Seq,
		"category": category, "type": types, "action": ecsAction(e), "outcome": ecsOutcome(r),
	}
	if alert(r) {
		o["kind"] = "alert"
	}
	if r.Duration > 0 {
		o["duration"] = r.Duration.Nanoseconds()
	}
	if len(by.Reasons) > 0 {
		o["reason"] = strings.Join(by.Reasons, "; ")
	}
	return o
}

// ecsCategory gives event.category and event.type, of the allowed values.
func ecsCategory(r, by *audit.Record) (category, types []string) {
	switch r.Kind {
	case audit.KindStatement, audit.KindOutcome, audit.KindSubjects, audit.KindPrivacy:
		types = []string{"access"}
		if slices.ContainsFunc(by.Columns, func(c audit.Column) bool { return c.Use == "write" }) || slices.Contains([]string{"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE"}, by.Command) {
			types = []string{"change"}
		}
		if refused(by) {
			types = append(types, "denied")
		} else if r.SQLState != "" {
			types = append(types, "error")
		}
		return []string{"database"}, types
	case audit.KindSession:
		switch {
		case r.Message == "end":
			return []string{"authentication"}, []string{"end"}
		case alert(r):
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

func ecsAction(e *Event) string {
	r, by := &e.Record, e.who()
	switch r.Kind {
	case audit.KindStatement, audit.KindOutcome, audit.KindSubjects:
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
	case r.Kind == audit.KindStatement || r.Kind == audit.KindSubjects:
		return "unknown" // it has not ended
	default:
		return "success"
	}
}

// ecsOwn are the fields of pgveil's own.
func ecsOwn(e *Event) object {
	r, by := &e.Record, e.who()
	o := object{"privacy": privacyOf(e), "log": e.Log}
	for name, value := range map[string]string{
		"correlation": e.Correlation, "session": by.Session, "database": by.Database, "application": by.App, "command": by.Command,
		"statement": by.Shape, "detail": r.Message,
	} {
		if value != "" {
			o[name] = value
		}
	}
	if r.Bytes > 0 {
		o["bytes"] = r.Bytes
	}
	return o
}
