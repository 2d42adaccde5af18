package policy

import (
	"strings"
	"testing"

	"github.com/pgveil/pgveil/recognise"
)

func TestScan(t *testing.T) {
	s, _ := compileText(t, `
version: 1
purposes: {p: {basis: contract}}
classes:
  open: [crm.customers.id]
  free: {columns: [crm.tickets.body], scan: {find: [card, national_id], then: scrub, except: auditor}}
  note: {columns: [crm.customers.notes], scan: refuse}
  mail: {columns: [crm.customers.email], scan: {find: phone, then: alert}}
  name: [crm.customers.first_name]
roles:
  agent:   {purposes: p, tables: [{on: "crm.*"}]}
  auditor: {purposes: p, tables: [{on: "crm.*"}]}
users: {alice: {roles: agent}, olga: {roles: [agent, auditor]}}
scan_writes: {find: [iban, card], then: alert}
`)
	free := Scan{Scrub: recognise.Of(recognise.Card) | recognise.NationalIDs}
	note, mail := Scan{Refuse: recognise.All}, Scan{Alert: recognise.Of(recognise.Phone)}
	for _, tt := range []struct {
		login, class string
		want         Scan
	}{
		{"alice", "free", free},
		{"alice", "note", note},
		{"alice", "mail", mail},
		{"alice", "name", Scan{}},
		{"alice", "open", Scan{}},
		{"alice", "", Scan{}},
		{"olga", "free", Scan{}},
		{"olga", "note", note},
	} {
		a, err := s.Access(tt.login, "p")
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Scan(tt.class); got != tt.want {
			t.Errorf("%s: Scan(%q) = %v, want %v", tt.login, tt.class, got, tt.want)
		}
		if got, want := a.ScanWrites(), (Scan{Alert: recognise.Of(recognise.IBAN, recognise.Card)}); got != want {
			t.Errorf("%s: ScanWrites() = %v, want %v", tt.login, got, want)
		}
	}
	alice, err := s.Access("alice", "p")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := alice.ScanAll(), free.And(note).And(mail); !s.Scans() || got != want {
		t.Errorf("ScanAll() = %v, want %v", got, want)
	}
	if got := (&Access{}).ScanAll().And((&Access{}).Scan("free")).And((&Access{}).ScanWrites()); got != (Scan{}) {
		t.Errorf("nobody's scan is %v", got)
	}
}

func TestScanProblems(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"classes: {c: {columns: crm.customers.notes, scan: mask}}", `p.yaml:2:51: unknown scan "mask"`},
		{"classes: {c: {columns: crm.customers.notes, scan: off}}", `p.yaml:2:51: unknown scan "off"`},
		{"classes: {c: {columns: crm.customers.notes, scan: {find: card}}}", `p.yaml:2:51: scan needs "then"`},
		{"classes: {c: {columns: crm.customers.notes, scan: {find: [card, mail], then: scrub}}}", `p.yaml:2:65: unknown kind "mail"; did you mean "email"?`},
		{"classes: {c: {columns: crm.customers.notes, scan: {find: [], then: scrub}}}", "an empty list"},
		{"classes: {c: {columns: crm.customers.notes, scan: {then: scrub, except: boss}}}", `p.yaml:2:73: unknown role "boss"`},
		{"scan_writes: scrub", `p.yaml:2:14: unknown scan_writes "scrub"`},
		{"scan_writes: {then: alert, only: x}", `unknown key "only" in scan_writes`},
	} {
		d, err := Parse(File{"p.yaml", "version: 1\n" + tt.text + "\n"})
		if err == nil {
			_, err = Compile(d, crm())
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.text, err, tt.want)
		}
	}
}

func TestScanWritesIsOff(t *testing.T) {
	for _, text := range []string{"version: 1", "version: 1\nscan_writes: off"} {
		s, _ := compileText(t, text+"\nroles: {r: {unrestricted: true}}\nusers: {u: {roles: r}}\n")
		a, err := s.Access("u", "")
		if err != nil {
			t.Fatal(err)
		}
		if got := a.ScanWrites(); got != (Scan{}) || s.Scans() {
			t.Errorf("%s: ScanWrites() = %v", text, got)
		}
	}
}
