package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/audit"
)

var update = flag.Bool("update", false, "write the golden files")

// tokenOf makes a token as pgveil makes them.
func tokenOf(n int) string {
	return tokenText.EncodeToString(fmt.Appendf(make([]byte, 0, 16), "%016d", n))
}

// story is a log, written record by record, a minute apart.
type story struct {
	t   *testing.T
	dir string
	log *audit.Log
	now time.Time
}

func newStory(t *testing.T) *story {
	t.Helper()
	s := &story{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)}
	log, err := audit.Open(s.dir, audit.Options{SegmentSize: 1, Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	s.log = log
	return s
}

func (s *story) add(r audit.Record) uint64 {
	s.t.Helper()
	seq, err := s.log.Append(&r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.now = s.now.Add(time.Minute)
	return seq
}

// asks begins a statement of alice's, who works through the application.
func (s *story) asks(session, command, shape string, kinds []string, columns ...audit.Column) uint64 {
	s.t.Helper()
	return s.add(audit.Record{
		Kind: audit.KindStatement, Session: session, Login: "crm_app", User: "alice", Roles: []string{"support_agent"}, Purpose: "support", Ticket: "T-1",
		Client: "10.0.3.17", App: hostile, Command: command, Shape: shape, Decision: "mask", Columns: columns, Kinds: kinds,
	})
}

func (s *story) ends(ref uint64, tag string, rows, size int64, subjects []string, unnamed ...audit.Unnamed) {
	s.t.Helper()
	s.add(audit.Record{Kind: audit.KindOutcome, Ref: ref, Session: "s1", Login: "crm_app", Rows: rows, Bytes: size, Tag: tag, Subjects: subjects, Unnamed: unnamed})
}

// hostile is what a client may call itself.
const hostile = "<script>alert(1)</script>|`*_[x](javascript:y)\"'\u202e\x1b[2J\n# Heading\n- item"

var (
	name   = audit.Column{Name: "crm.customers.first_name", Class: "name", Show: "clear", Use: "read"}
	card   = audit.Column{Name: "crm.orders.card", Class: "card", Show: "last(4)", Use: "read"}
	id     = audit.Column{Name: "crm.customers.id", Class: "open", Show: "clear", Use: "read"}
	health = audit.Column{Name: "crm.customers.health", Class: "health", Show: "clear", Use: "read"}
	notes  = audit.Column{Name: "crm.customers.notes", Class: "free_text", Show: "clear", Use: "write"}
)

func customers(from, to int) (list []string) {
	for n := from; n < to; n++ {
		list = append(list, "customer:"+tokenOf(n))
	}
	return list
}

// alice is the scope of the story.
var alice = Scope{User: "alice", From: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}

// breachStory is what alice did before, in and after a period, and what others
// did.
func breachStory(t *testing.T) *story {
	s := newStory(t)
	of := []string{"customer"}
	s.add(audit.Record{Kind: audit.KindSystem, Message: "start"})
	before := s.asks("s0", "SELECT", "SELECT before", of, name)
	s.ends(before, "SELECT 1", 1, 10, customers(900, 901)) // over before the period begins
	s.asks("s0", "SELECT", "SELECT lost", of, name)
	s.add(audit.Record{Kind: audit.KindSystem, Message: "start"}) // so that one is over, too
	spans := s.asks("s1", "SELECT", "SELECT spans", of, name)
	s.now = alice.From
	s.add(audit.Record{Kind: audit.KindSession, Session: "s1", Login: "crm_app", User: "alice", Client: "10.0.3.17", Message: "login"})
	s.ends(spans, "SELECT 2", 2, 20, customers(0, 2))
	many := s.asks("s1", "SELECT", "SELECT first_name, card FROM crm.customers, crm.orders", of, name, card, id)
	s.add(audit.Record{Kind: audit.KindSubjects, Ref: many, Subjects: customers(1, 4)})
	s.ends(many, "SELECT 5", 5, 500, customers(3, 6), audit.Unnamed{Kind: "customer", AtMost: 7})
	writes := s.asks("s1", "UPDATE", "UPDATE crm.customers SET notes = $1 WHERE id = $2", of, notes, id)
	s.ends(writes, "UPDATE 1", 1, 0, customers(10, 11))
	nothing := s.asks("s1", "SELECT", "SELECT first_name FROM crm.customers WHERE false", of, name, health)
	s.ends(nothing, "SELECT 0", 0, 0, nil)
	copied := s.asks("s2", "COPY", "COPY (SELECT health FROM crm.customers) TO STDOUT", of, health)
	s.ends(copied, "COPY 40", 40, 4000, append(customers(100, 103), "customer:not-a-token"))
	free := s.add(audit.Record{Kind: audit.KindStatement, Session: "s3", Login: "alice", User: "alice", Client: "unix", Command: "SELECT", Decision: "unrestricted",
		Shape: "SELECT something", Columns: []audit.Column{card}})
	s.ends(free, "SELECT 3", 3, 30, nil)
	s.add(audit.Record{Kind: audit.KindStatement, Session: "s1", Login: "crm_app", User: "alice", Command: "SELECT", Decision: "refuse", SQLState: "42501", ID: "7QX4M2KD",
		Message: "column may not be read", Reasons: []string{"policy/crm.yaml:42"}, Columns: []audit.Column{{Name: "crm.customers.ssn", Class: "national_id", Show: "refuse", Use: "read"}}})
	s.add(audit.Record{Kind: audit.KindStatement, Session: "s9", Login: "bob", User: "bob", Command: "SELECT", Decision: "allow", Columns: []audit.Column{health}, Kinds: of})
	s.add(audit.Record{Kind: audit.KindPrivacy, Session: "s3", Login: "alice", User: "alice", Shape: "PRIVACY EXPORT customer ?", Message: "begun", Ref: 77})
	s.add(audit.Record{Kind: audit.KindPrivacy, Session: "s3", Login: "alice", User: "alice", Shape: "PRIVACY EXPORT customer ?", Message: "done", Ref: 77, Rows: 12})
	s.asks("s1", "SELECT", "SELECT pg_sleep(1)", []string{"employee"}, name) // still running
	s.add(audit.Record{Kind: audit.KindPrivacy, Session: "s7", Login: "petra", User: "petra", Shape: "PRIVACY REVOKE ?", Message: "done", Ref: 78})
	s.add(audit.Record{Kind: audit.KindSession, Session: "s2", Login: "crm_app", User: "alice", Message: "end"})
	s.add(audit.Record{Kind: audit.KindSession, Login: "alice", User: "alice", Decision: "refuse", Message: "login refused"})
	s.now = alice.To
	late := s.asks("s1", "SELECT", "SELECT late", of, name)
	s.ends(late, "SELECT 1", 1, 10, customers(950, 951))
	return s
}

func (s *story) investigate(scope Scope, l Limits) *Investigation {
	s.t.Helper()
	v, err := Investigate(scope, l, time.UTC)
	if err != nil {
		s.t.Fatal(err)
	}
	head, err := audit.ReadHead(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for r, err := range audit.ReadTo(s.dir, head) {
		if err == nil {
			err = v.Add(r)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	v.EndLog()
	return v
}

var roomy = Limits{Subjects: 1000, Listed: 100}

// breach is the report on the story, with all that its reader adds to it.
func (s *story) breach(org Organisation) Breach {
	s.t.Helper()
	f := s.investigate(alice, roomy).Findings(5)
	regimes, err := BuiltinRegimes()
	if err != nil {
		s.t.Fatal(err)
	}
	f.Made, f.Zone, f.Org = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), "Europe/Dublin", org
	zone, err := ParseZone(f.Zone)
	if err != nil {
		s.t.Fatal(err)
	}
	if f.Clocks, err = regimes.Clocks(time.Date(2026, 11, 22, 8, 15, 0, 0, zone), f.Made, false); err != nil {
		s.t.Fatal(err)
	}
	f.Evidence = []Evidence{{Dir: "/var/lib/pgveil/audit", Records: 36, Chain: "9f86d081", Verified: true, Result: "every record is as it was written", FirstRecord: alice.From, LastRecord: alice.To}}
	for i := range f.Classes {
		f.Classes[i].Special = f.Classes[i].Class == "health"
	}
	return f
}

func TestBreachFindings(t *testing.T) {
	f := breachStory(t).investigate(alice, roomy).Findings(1000)
	wantKinds := []KindFinding{
		{Kind: "", Unbounded: 1, AtMost: -1},
		{Kind: "customer", Named: 11, Returned: 10, Changed: 1, Unnamed: 8, AtMost: 19},
		{Kind: "employee", Unbounded: 1, Unfinished: 1, AtMost: -1},
	}
	if diff := cmp.Diff(wantKinds, f.Kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	if want := (Statements{Ended: 6, Returned: 4, Changed: 1, Unfinished: 1}); f.Statements != want {
		t.Errorf("statements %+v, want %+v", f.Statements, want)
	}
	got := map[string][4]int64{}
	for _, c := range f.Classes {
		got[c.Class] = [4]int64{c.Clear.Rows, c.ClearSubjects, c.Masked.Rows, c.MaskedSubjects}
	}
	// What an unrestricted caller saw was in clear, whatever the record says.
	want := map[string][4]int64{"name": {7, 6, 0, 0}, "card": {3, 0, 5, 5}, "open": {5, 5, 0, 0}, "health": {40, 4, 0, 0}, "free_text": {0, 0, 0, 0}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("classes: clear rows and subjects, masked rows and subjects (-want +got):\n%s", diff)
	}
	if n, bounded := f.AtMost(); bounded || f.Named() != 11 {
		t.Errorf("named %d, at most %d", f.Named(), n)
	}
	c := f.Contained
	if c.SessionsEnded != 1 || c.SessionsOpen != 2 || c.RefusedLogins.Statements != 1 || c.After.Statements != 1 || len(c.Events) != 1 || c.Events[0].What != "PRIVACY REVOKE ?" {
		t.Errorf("containment %+v", c)
	}
	if len(f.Exports) != 2 || f.Exports[0].Rows != 40 || f.Exports[1].Rows != 12 || f.Refused != 1 || len(f.Refusals) != 1 {
		t.Errorf("exports %+v, refusals %+v", f.Exports, f.Refusals)
	}
	if want := (Amount{1, 3, 30}); f.Unattributed != want {
		t.Errorf("unattributed %+v, want %+v", f.Unattributed, want)
	}
	var rows int64
	for _, m := range f.Timeline {
		rows += m.Rows
	}
	if rows != f.Rows || f.Rows != 50 {
		t.Errorf("%d rows, %d of them in the timeline, want 50", f.Rows, rows)
	}
}

// Beyond what is remembered, the number lies between the bounds.
func TestTooManySubjects(t *testing.T) {
	s := newStory(t)
	s.now = alice.From
	for range 3 {
		q := s.asks("s1", "SELECT", "SELECT", []string{"customer"}, name)
		s.ends(q, "SELECT 30", 30, 300, customers(0, 30))
	}
	f := s.investigate(alice, Limits{Subjects: 20, Listed: 10}).Findings(5)
	if diff := cmp.Diff([]KindFinding{{Kind: "customer", Named: 20, Returned: 20, Repeated: 30, AtMost: 50}}, f.Kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	if len(f.Subjects) != 5 || f.SubjectsMore != 15 {
		t.Errorf("%d subjects listed, %d more", len(f.Subjects), f.SubjectsMore)
	}
}

func TestBreachForms(t *testing.T) {
	f := breachStory(t).breach(Organisation{
		Name: "Acme Ltd", DPO: Person{Name: "Dora Privacy", Email: "dpo@acme.example"}, Kinds: map[string]string{"customer": "customers"},
	})
	golden(t, "breach", f, f.Document())
}

// golden compares a report in all forms with what it was.
func golden(t *testing.T, name string, model any, d *Document) {
	t.Helper()
	for _, form := range []struct {
		extension string
		write     func(*bytes.Buffer) error
	}{
		{"md", func(b *bytes.Buffer) error { return d.Markdown(b) }},
		{"html", func(b *bytes.Buffer) error { return d.HTML(b) }},
		{"json", func(b *bytes.Buffer) error {
			e := json.NewEncoder(b)
			e.SetIndent("", "  ")
			return e.Encode(model)
		}},
	} {
		var b bytes.Buffer
		if err := form.write(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+"."+form.extension)
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
		}
	}
}
