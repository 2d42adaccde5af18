package ship

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/audit"
)

var update = flag.Bool("update", false, "write the golden files anew")

// samples are a record of each kind, as the proxy writes them.
func samples() []Event {
	at := time.Date(2026, 11, 22, 9, 30, 0, 123456789, time.UTC)
	statement := audit.Record{
		Seq: 12, Time: at, Kind: audit.KindStatement, Session: "s1", Login: "crm_app", User: "alice", Roles: []string{"support_agent"}, Purpose: "support",
		Ticket: "T-1", Client: "10.1.2.3:50111", App: "crm", Database: "crm", Generation: "g7", Command: "SELECT", Shape: "SELECT id, card FROM crm.customers WHERE id = $1",
		Fingerprint: "50fde20626009aba", Decision: "mask", Reasons: []string{"rule support card"}, Kinds: []string{"customer"},
		Columns: []audit.Column{{Name: "crm.customers.card", Class: "card", Show: "last(4)", Use: "read"}, {Name: "crm.customers.id", Class: "open", Show: "clear", Use: "read"}},
	}
	outcome := audit.Record{
		Seq: 14, Time: at.Add(3 * time.Millisecond), Kind: audit.KindOutcome, Ref: 12, Session: "s1", Login: "crm_app", Rows: 1, Bytes: 120,
		Subjects: []string{"customer:kq3vYt0bS9mZxAe2LrD1ug"}, Unnamed: []audit.Unnamed{{Kind: "customer", AtMost: -1}}, Tag: "SELECT 1", Duration: 2 * time.Millisecond,
	}
	failed := audit.Record{Seq: 15, Time: at, Kind: audit.KindOutcome, Ref: 12, Session: "s1", Login: "crm_app", SQLState: "57014", Duration: time.Second}
	refusal := statement
	refusal.Seq, refusal.ID, refusal.Decision, refusal.Command, refusal.Client = 16, "sddjs6oqmsro6axc", "refuse", "UPDATE", "[2001:db8::1]:9"
	return []Event{
		newEvent("crm.example.com/audit", &statement, nil),
		newEvent("crm.example.com/audit", &audit.Record{Seq: 13, Time: at, Kind: audit.KindSubjects, Ref: 12, Subjects: []string{"customer:aaaaaaaaaaaaaaaaaaaaaa"}}, &statement),
		newEvent("crm.example.com/audit", &audit.Record{Seq: 14, Time: at, Kind: audit.KindImages, Ref: 12, Command: "UPDATE", Relation: "crm.customers", Images: []audit.Image{{Before: "b", After: "a"}}, Missing: 1, Message: "why"}, &statement),
		newEvent("crm.example.com/audit", &outcome, &statement),
		newEvent("crm.example.com/audit", &failed, &statement),
		newEvent("crm.example.com/audit", &outcome, nil),
		newEvent("crm.example.com/audit", &refusal, nil),
		newEvent("crm.example.com/audit", &audit.Record{Seq: 17, Time: at, Kind: audit.KindSession, Session: "s2", Login: "bob", User: "bob", Client: "@", Database: "crm", Message: "login"}, nil),
		newEvent("crm.example.com/audit", &audit.Record{Seq: 18, Time: at, Kind: audit.KindSession, Session: "s3", Login: "eve", User: "eve", Client: "10.9.9.9:1", Database: "crm", Message: "login refused", Decision: "refuse", SQLState: "28P01"}, nil),
		newEvent("crm.example.com/audit", &audit.Record{Seq: 19, Time: at, Kind: audit.KindSession, Session: "s3", Login: "eve", User: "eve", Client: "10.9.9.9:1", Database: "crm", Message: "alert: login lockout"}, nil),
		newEvent("crm.example.com/audit", &audit.Record{Seq: 20, Time: at, Kind: audit.KindSession, Session: "s2", Login: "bob", User: "bob", Client: "@", Database: "crm", Message: "end"}, nil),
		newEvent("crm.example.com/audit", &audit.Record{Seq: 21, Time: at, Kind: audit.KindPrivacy, Ref: 20, Session: "s2", Login: "bob", User: "bob", Roles: []string{"privacy_officer"}, Client: "10.1.2.4:7", Database: "crm", Command: "PRIVACY", Shape: "PRIVACY EXPORT customer $1", Message: "done", Rows: 12, Event: "9f86d081"}, nil),
		newEvent("crm.example.com/audit", &audit.Record{Seq: 22, Time: at, Kind: audit.KindSystem, Message: "start", Generation: "g7"}, nil),
		newEvent("crm.example.com/audit", &audit.Record{Seq: 23, Time: at, Kind: audit.KindSystem, Message: "stop"}, nil),
		newEvent("crm.example.com/audit", &audit.Record{Seq: 1 << 40, Time: at, Kind: audit.KindSystem, Message: "reload: policy files changed", Generation: "g8"}, nil),
	}
}

// TestFormats holds an example of each kind of record in each format, as it is
// in testdata.
func TestFormats(t *testing.T) {
	for name, format := range Formats() {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			for _, e := range samples() {
				if err := e.fill(format, 0); err != nil {
					t.Fatal(err)
				}
				if err := json.Indent(&got, e.Body, "", "  "); err != nil {
					t.Fatal(err)
				}
				got.WriteByte('\n')
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s (-want +got)\n%s", path, diff)
			}
		})
	}
}

// TestOCSFSchema holds every event to what version 1.5.0 demands of its class:
// the attributes that are required, no other ones, and of each the type.
func TestOCSFSchema(t *testing.T) {
	base := "time:number metadata:object type_uid:number class_uid:number category_uid:number activity_id:number severity_id:number"
	optional := "message:string severity:string status_id:number status:string status_code:string status_detail:string duration:number unmapped:object class_name:string category_name:string activity_name:string type_name:string"
	control := " action_id:number action:string disposition_id:number disposition:string authorizations:array is_alert:bool"
	classes := map[float64]struct{ required, optional string }{
		6005: {base + " actor:object src_endpoint:object database:object", optional + control + " query_info:object table:object type_id:number type:string"},
		3002: {base + " user:object service:object", optional + control + " src_endpoint:object session:object"},
		6002: {base + " app:object", optional},
		0:    {base, optional},
	}
	for _, e := range samples() {
		if err := e.fill(asOCSF, 0); err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(e.Body, &got); err != nil {
			t.Fatal(err)
		}
		class, known := classes[got["class_uid"].(float64)]
		if !known || got["type_uid"] != got["class_uid"].(float64)*100+got["activity_id"].(float64) {
			t.Errorf("record %d: class_uid %v, type_uid %v", e.Record.Seq, got["class_uid"], got["type_uid"])
		}
		checkObject(t, e.Record.Seq, "", got, class.required, class.optional)
		for path, keys := range map[string][2]string{
			"metadata":   {"version:string product:object", "uid:string log_name:string event_code:string profiles:array correlation_uid:string sequence:number"},
			"actor":      {"user:object", "app_name:string session:object"},
			"user":       {"name:string", "type_id:number type:string groups:array"},
			"database":   {"type_id:number", "name:string type:string data_classifications:array"},
			"query_info": {"query_string:string", "query_time:number uid:string bytes:number"},
			"table":      {"name:string", ""},
			"app":        {"name:string vendor_name:string", ""},
			"service":    {"name:string", ""},
			"session":    {"uid:string", ""},
		} {
			if inner, has := got[path].(map[string]any); has {
				checkObject(t, e.Record.Seq, path, inner, keys[0], keys[1])
			}
		}
	}
}

func checkObject(t *testing.T, seq uint64, path string, got map[string]any, required, optional string) {
	t.Helper()
	types := map[string]string{}
	for _, f := range bytes.Fields([]byte(required + " " + optional)) {
		name, kind, _ := bytes.Cut(f, []byte(":"))
		types[string(name)] = string(kind)
	}
	for _, f := range bytes.Fields([]byte(required)) {
		name, _, _ := bytes.Cut(f, []byte(":"))
		if _, has := got[string(name)]; !has {
			t.Errorf("record %d: %s.%s is missing", seq, path, name)
		}
	}
	for name, value := range got {
		kind := ""
		switch value.(type) {
		case string:
			kind = "string"
		case float64:
			kind = "number"
		case bool:
			kind = "bool"
		case []any:
			kind = "array"
		case map[string]any:
			kind = "object"
		}
		if types[name] != kind {
			t.Errorf("record %d: %s.%s is %s, want %q", seq, path, name, kind, types[name])
		}
	}
}
