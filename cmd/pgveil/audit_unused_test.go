package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pgveil/pgveil/unused"
)

const (
	unusedPolicy = `version: 1
purposes: {support: {basis: contract}, sales: {basis: contract}}
classes:
  open: ["crm.*.id"]
  name: [crm.customers.first_name]
  card: [crm.customers.card]
  national_id: [crm.customers.ssn]
  free_text: [crm.tickets.body]
roles:
  support_agent:
    purposes: [support]
    tables:
      - {on: [crm.customers, crm.tickets], do: [select, update]}
rules:
  - {role: support_agent, for: support, on: [name, national_id], show: clear}
  - {role: support_agent, for: support, on: card, show: last(4)}
  - {role: support_agent, for: support, on: free_text, show: clear}
users:
  alice: {roles: [support_agent]}
  erin: {roles: [support_agent]}
`
	unusedSchema = `CREATE SCHEMA crm;
CREATE TABLE crm.customers (id int PRIMARY KEY, first_name text, card text, ssn text);
CREATE TABLE crm.tickets (id int PRIMARY KEY, body text);
`
)

// unusedArgs writes the policy and schema beside the log of auditDay, and gives
// the arguments that ask about that day.
func unusedArgs(t *testing.T, more ...string) []string {
	t.Helper()
	log, writer := auditDay(t)
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"unused", "--dir", log, "--since", "2026-11-22", "--until", "2026-11-23"}
	for name, text := range map[string]string{"policy": unusedPolicy, "schema": unusedSchema} {
		path := filepath.Join(dir, name+".txt")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--"+name, path)
	}
	return append(args, more...)
}

func TestAuditUnusedText(t *testing.T) {
	out, errs := auditRun(t, 0, unusedArgs(t)...)
	for _, want := range []string{
		"period  2026-11-22 00:00 to 2026-11-23 00:00\n",
		"7 records, 3 statements in the period\n",
		"note    1 statements were refused",
		"  sales    not used; last never",
		"  support  1 statement, by alice only; last 2026-11-22",
		"  erin  not used; last never",
		"  support_agent for support  national_id clear",
		"@@ policy.txt:15: no statement used national_id by it\n" +
			"- {role: support_agent, for: support, on: [name, national_id], show: clear, …}\n" +
			"+ {role: support_agent, for: support, on: name, show: clear, …}\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if t.Failed() || errs != "" {
		t.Logf("%s\n%s", out, errs)
	}
}

func TestAuditUnusedJSON(t *testing.T) {
	out, _ := auditRun(t, 0, unusedArgs(t, "--format", "json", "--few", "0")...)
	var r unused.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range r.Items {
		if i.Kind == unused.KindRight {
			got = append(got, i.Name+" "+string(i.Verdict))
		}
	}
	if diff := cmp.Diff([]string{"national_id unused"}, got); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
}

func TestAuditUnusedCSV(t *testing.T) {
	out, _ := auditRun(t, 0, unusedArgs(t, "--format", "csv", "--all")...)
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]string{}
	for _, r := range rows {
		if r[0] == string(unused.KindRight) {
			verdicts[r[3]] = r[7]
		}
	}
	want := map[string]string{"name": "few", "card": "few", "free_text": "few", "national_id": "unused"}
	if diff := cmp.Diff(want, verdicts); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
}
