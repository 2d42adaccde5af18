package ship

import (
	"strings"

	"github.com/pgveil/pgveil/audit"
)

// ocsfVersion is the version of the Open Cybersecurity Schema Framework that
// events keep to: classes 6005 Datastore Activity, 3002 Authentication, 6002
// Application Lifecycle, and 0 Base Event for what none of these is about.
const ocsfVersion = "1.5.0"

type object = map[string]any

// asOCSF gives an event of one of these classes. What they have no attribute
// for is in unmapped.privacy.
func asOCSF(e *Event) any {
	r := &e.Record
	o := object{
		"time": r.Time.UnixMilli(), "message": summary(e), "metadata": ocsfMetadata(e), "unmapped": object{"privacy": privacyOf(e)},
	}
	ocsfSeverity(o, r)
	ocsfStatus(o, e)
	switch r.Kind {
	case audit.KindStatement, audit.KindOutcome, audit.KindSubjects, audit.KindPrivacy:
		ocsfDatastore(o, e)
	case audit.KindSession:
		ocsfSession(o, e)
	case audit.KindSystem:
		ocsfSystem(o, r)
	}
	return o
}

func product() object { return object{"name": "pgveil", "vendor_name": "pgveil"} }

func ocsfMetadata(e *Event) object {
	m := object{"version": ocsfVersion, "product": product(), "uid": e.UID, "log_name": e.Log, "event_code": string(e.Record.Kind), "profiles": ocsfProfiles(e.Record.Kind)}
	if e.Correlation != "" {
		m["correlation_uid"] = e.Correlation
	}
	if e.Record.Seq <= 1<<31-1 { // the attribute is an integer of 32 bits; unmapped.privacy.seq has it always
		m["sequence"] = e.Record.Seq
	}
	return m
}

func ocsfProfiles(k audit.Kind) []string {
	switch k {
	case audit.KindStatement, audit.KindOutcome, audit.KindSubjects, audit.KindPrivacy:
		return []string{"security_control", "data_classification"}
	case audit.KindSession:
		return []string{"security_control"}
	case audit.KindSystem:
		return []string{}
	}
	return []string{}
}

// classify sets the attributes that say what an event is.
func classify(o object, category int, categoryName string, class int, className string, activity int, activityName string) {
	o["category_uid"], o["category_name"] = category, categoryName
	o["class_uid"], o["class_name"] = class, className
	o["activity_id"], o["activity_name"] = activity, activityName
	o["type_uid"], o["type_name"] = class*100+activity, className+": "+activityName
}

func ocsfSeverity(o object, r *audit.Record) {
	id, name := 1, "Informational"
	switch {
	case alert(r):
		id, name = 4, "High"
	case refused(r):
		id, name = 3, "Medium"
	case failed(r):
		id, name = 2, "Low"
	}
	o["severity_id"], o["severity"] = id, name
}

// ocsfStatus says how it ended, where the record knows that: a statement that
// was let through has not ended yet.
func ocsfStatus(o object, e *Event) {
	r := &e.Record
	id, name := 1, "Success"
	switch {
	case failed(r):
		id, name = 2, "Failure"
	case r.Kind == audit.KindStatement || r.Kind == audit.KindSubjects:
		id, name = 0, "Unknown"
	}
	o["status_id"], o["status"] = id, name
	if r.SQLState != "" {
		o["status_code"] = r.SQLState
	}
	if r.Message != "" {
		o["status_detail"] = r.Message
	}
}

func ocsfDatastore(o object, e *Event) {
	by := e.who()
	id, name := ocsfActivity(by)
	classify(o, 6, "Application Activity", 6005, "Datastore Activity", id, name)
	o["type_id"], o["type"] = 1, "Database"
	database := object{"name": by.Database, "type_id": 1, "type": "Relational"}
	if by.Database == "" {
		database["name"] = "unknown"
	}
	if list := classes(by.Columns); len(list) > 0 {
		database["data_classifications"] = ocsfClasses(list)
	}
	o["database"] = database
	if list := tables(by.Columns); len(list) == 1 {
		o["table"] = object{"name": list[0]}
	}
	if by.Shape != "" {
		q := object{"query_string": by.Shape, "query_time": by.Time.UnixMilli()}
		if by.Fingerprint != "" {
			q["uid"] = by.Fingerprint
		}
		if e.Record.Bytes > 0 {
			q["bytes"] = e.Record.Bytes
		}
		o["query_info"] = q
	}
	if d := e.Record.Duration; d > 0 {
		o["duration"] = d.Milliseconds()
	}
	o["actor"], o["src_endpoint"] = ocsfActor(by), ocsfEndpoint(by.Client)
	ocsfControl(o, by)
}

// ocsfActivity gives the activity that a command is.
func ocsfActivity(r *audit.Record) (int, string) {
	switch r.Command {
	case "SELECT", "FETCH", "VALUES", "TABLE", "EXECUTE", "DECLARE":
		return 4, "Query"
	case "UPDATE", "MERGE":
		return 2, "Update"
	case "INSERT":
		return 5, "Write"
	case "DELETE", "TRUNCATE", "DROP":
		return 7, "Delete"
	case "CREATE":
		return 6, "Create"
	case "":
		return 0, "Unknown"
	default:
		return 99, r.Command
	}
}

// ocsfClasses gives the policy's classes by their own names: what they are in
// the schema's terms, personal or financial, a policy does not say.
func ocsfClasses(names []string) (list []object) {
	for _, name := range names {
		list = append(list, object{"category_id": 99, "category": name, "classifier_details": object{"name": "pgveil", "type": "policy"}})
	}
	return list
}

func ocsfUser(r *audit.Record) object {
	user := object{"name": r.User, "type_id": 1, "type": "User"}
	if r.User == "" {
		user["name"] = orUnknown(r.Login)
	}
	if len(r.Roles) > 0 {
		groups := []object{}
		for _, role := range r.Roles {
			groups = append(groups, object{"name": role, "type": "pgveil role"})
		}
		user["groups"] = groups
	}
	return user
}

func ocsfActor(r *audit.Record) object {
	a := object{"user": ocsfUser(r)}
	if r.App != "" {
		a["app_name"] = r.App
	}
	if r.Session != "" {
		a["session"] = object{"uid": r.Session}
	}
	return a
}

// ocsfEndpoint has at least one attribute, as it must.
func ocsfEndpoint(client string) object {
	ip, port, name := address(client)
	switch {
	case ip == "" && name == "":
		return object{"name": "unknown"}
	case ip == "":
		return object{"name": name}
	case port == 0:
		return object{"ip": ip}
	default:
		return object{"ip": ip, "port": port}
	}
}

// ocsfControl says what the policy made of it.
func ocsfControl(o object, r *audit.Record) {
	if r.Decision == "" {
		return
	}
	action, actionName, disposition, dispositionName, said := 1, "Allowed", 1, "Allowed", "allowed"
	switch r.Decision {
	case "refuse":
		action, actionName, disposition, dispositionName, said = 2, "Denied", 2, "Blocked", "denied"
	case "mask":
		disposition, dispositionName = 11, "Corrected"
	}
	o["action_id"], o["action"], o["disposition_id"], o["disposition"] = action, actionName, disposition, dispositionName
	var list []object
	for _, reason := range r.Reasons {
		list = append(list, object{"decision": said, "policy": object{"name": reason, "version": r.Generation}})
	}
	if len(list) > 0 {
		o["authorizations"] = list
	}
}

func ocsfSession(o object, e *Event) {
	r := &e.Record
	id, name := 99, "Alert"
	switch {
	case strings.HasPrefix(r.Message, "login"):
		id, name = 1, "Logon"
	case r.Message == "end":
		id, name = 2, "Logoff"
	}
	classify(o, 3, "Identity & Access Management", 3002, "Authentication", id, name)
	o["user"], o["src_endpoint"], o["service"] = ocsfUser(r), ocsfEndpoint(r.Client), object{"name": "postgresql/" + r.Database}
	if r.Session != "" {
		o["session"] = object{"uid": r.Session}
	}
	ocsfControl(o, r)
	if alert(r) {
		o["is_alert"] = true
	}
}

func ocsfSystem(o object, r *audit.Record) {
	id, name := 0, ""
	switch {
	case strings.HasPrefix(r.Message, "start"):
		id, name = 3, "Start"
	case r.Message == "stop":
		id, name = 4, "Stop"
	}
	if id == 0 { // a reload, a recovery, another key
		classify(o, 0, "Uncategorized", 0, "Base Event", 99, "Other")
		return
	}
	classify(o, 6, "Application Activity", 6002, "Application Lifecycle", id, name)
	o["app"] = product()
}
