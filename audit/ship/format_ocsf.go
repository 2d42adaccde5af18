package ship

import (
	"cmp"
	"strings"

	"github.com/pgveil/pgveil/audit"
)

// ocsfVersion is the version of the Open Cybersecurity Schema Framework that
// events keep to: classes 6005 Datastore Activity, 3002 Authentication, 6002
// Application Lifecycle, and 0 Base Event for what none of these is about.
const ocsfVersion = "1.5.0"

// asOCSF gives an event of one of these classes. What they have no attribute
// for is in unmapped.privacy.
func asOCSF(e *Event) any {
	r := &e.Record
	o := &ocsfEvent{Time: r.Time.UnixMilli(), Message: summary(e), Metadata: ocsfMetadataOf(e), StatusCode: r.SQLState, Detail: r.Message, Alert: isAlert(r)}
	o.Unmapped.Privacy = privacyOf(e)
	o.Severity, o.SeverityIs = ocsfSeverity(r)
	o.Status, o.StatusIs = ocsfStatus(r)
	switch r.Kind {
	case audit.KindStatement, audit.KindOutcome, audit.KindSubjects, audit.KindImages, audit.KindPrivacy:
		o.datastore(e)
	case audit.KindSession:
		o.session(r)
	case audit.KindSystem:
		o.system(r)
	}
	return o
}

func ocsfMetadataOf(e *Event) ocsfMetadata {
	m := ocsfMetadata{
		Version: ocsfVersion, Product: ocsfPgveil(), Profiles: ocsfProfiles(e.Record.Kind), UID: e.UID, Correlation: e.Correlation, Log: e.Log, Code: string(e.Record.Kind),
	}
	if e.Record.Seq <= 1<<31-1 { // the attribute is an integer of 32 bits; unmapped.privacy.seq has it always
		m.Sequence = &e.Record.Seq
	}
	return m
}

func ocsfPgveil() ocsfProduct { return ocsfProduct{Name: "pgveil", Vendor: "pgveil"} }

func ocsfProfiles(k audit.Kind) []string {
	switch k {
	case audit.KindStatement, audit.KindOutcome, audit.KindSubjects, audit.KindImages, audit.KindPrivacy:
		return []string{"security_control", "data_classification"}
	case audit.KindSession:
		return []string{"security_control"}
	case audit.KindSystem:
		return []string{}
	}
	return []string{}
}

// is sets what an event is.
func (o *ocsfEvent) is(category int, categoryIs string, class int, classIs string, activity int, activityIs string) {
	o.Category, o.CategoryIs, o.Class, o.ClassIs, o.Activity, o.ActivityIs = category, categoryIs, class, classIs, activity, activityIs
	o.Type, o.TypeIs = class*100+activity, classIs+": "+activityIs
}

func ocsfSeverity(r *audit.Record) (int, string) {
	switch {
	case isAlert(r):
		return 4, "High"
	case refused(r):
		return 3, "Medium"
	case failed(r):
		return 2, "Low"
	default:
		return 1, "Informational"
	}
}

// ocsfStatus says how it ended, where the record knows that: a statement that
// was let through has not ended yet.
func ocsfStatus(r *audit.Record) (int, string) {
	switch {
	case failed(r):
		return 2, "Failure"
	case r.Kind == audit.KindStatement || r.Kind.Part() && r.Kind != audit.KindOutcome:
		return 0, "Unknown"
	default:
		return 1, "Success"
	}
}

func (o *ocsfEvent) datastore(e *Event) {
	r, by := &e.Record, e.who()
	activity, name := ocsfActivity(by)
	o.is(6, "Application Activity", 6005, "Datastore Activity", activity, name)
	o.Store, o.StoreIs = 1, "Database"
	o.Database = &ocsfDatabase{Name: cmp.Or(by.Database, "unknown"), Type: 1, TypeIs: "Relational", Classes: ocsfClasses(by.Columns)}
	if list := tables(by.Columns); len(list) == 1 {
		o.Table = &ocsfName{list[0]}
	}
	if by.Shape != "" {
		o.Query = &ocsfQuery{Text: by.Shape, UID: by.Fingerprint, Time: by.Time.UnixMilli(), Bytes: r.Bytes}
	}
	if r.Duration > 0 {
		ms := r.Duration.Milliseconds()
		o.Duration = &ms
	}
	o.Actor, o.Source = &ocsfActor{User: ocsfUserOf(by), App: by.App, Session: ocsfSession(by)}, ocsfEndpointOf(by.Client)
	o.control(by)
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
func ocsfClasses(columns []audit.Column) (list []ocsfClass) {
	for _, name := range classes(columns) {
		list = append(list, ocsfClass{Category: 99, CategoryIs: name, By: ocsfSource{Name: "pgveil", Type: "policy"}})
	}
	return list
}

func ocsfUserOf(r *audit.Record) *ocsfUser {
	u := &ocsfUser{Name: cmp.Or(r.User, r.Login, "unknown"), Type: 1, TypeIs: "User"}
	for _, role := range r.Roles {
		u.Groups = append(u.Groups, ocsfGroup{Name: role, Type: "pgveil role"})
	}
	return u
}

func ocsfSession(r *audit.Record) *ocsfUID {
	if r.Session == "" {
		return nil
	}
	return &ocsfUID{r.Session}
}

// ocsfEndpointOf has at least one attribute, as it must.
func ocsfEndpointOf(client string) *ocsfEndpoint {
	ip, port, name := address(client)
	if ip == "" {
		return &ocsfEndpoint{Name: cmp.Or(name, "unknown")}
	}
	return &ocsfEndpoint{IP: ip, Port: port}
}

// control says what the policy made of it.
func (o *ocsfEvent) control(r *audit.Record) {
	if r.Decision == "" {
		return
	}
	o.Action, o.ActionIs, o.Disposition, o.DispositionIs = 1, "Allowed", 1, "Allowed"
	said := "allowed"
	switch r.Decision {
	case "refuse":
		o.Action, o.ActionIs, o.Disposition, o.DispositionIs, said = 2, "Denied", 2, "Blocked", "denied"
	case "mask":
		o.Disposition, o.DispositionIs = 11, "Corrected"
	}
	for _, reason := range r.Reasons {
		o.Authorizations = append(o.Authorizations, ocsfAuthorization{Decision: said, Policy: ocsfPolicy{Name: reason, Version: r.Generation}})
	}
}

func (o *ocsfEvent) session(r *audit.Record) {
	activity, name := 99, "Alert"
	switch {
	case strings.HasPrefix(r.Message, "login"):
		activity, name = 1, "Logon"
	case r.Message == "end":
		activity, name = 2, "Logoff"
	}
	o.is(3, "Identity & Access Management", 3002, "Authentication", activity, name)
	o.User, o.Source, o.Session, o.Service = ocsfUserOf(r), ocsfEndpointOf(r.Client), ocsfSession(r), &ocsfName{"postgresql/" + r.Database}
	o.control(r)
}

func (o *ocsfEvent) system(r *audit.Record) {
	pgveil := ocsfPgveil()
	switch {
	case strings.HasPrefix(r.Message, "start"):
		o.is(6, "Application Activity", 6002, "Application Lifecycle", 3, "Start")
		o.App = &pgveil
	case r.Message == "stop":
		o.is(6, "Application Activity", 6002, "Application Lifecycle", 4, "Stop")
		o.App = &pgveil
	default: // a reload, a recovery, another key
		o.is(0, "Uncategorized", 0, "Base Event", 99, "Other")
	}
}
