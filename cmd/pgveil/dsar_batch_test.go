package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestDsarBatch opens what can be opened of a file, and nothing twice.
func TestDsarBatch(t *testing.T) {
	o := newOffice(t, "dsar: {workers: 0}\n")
	o.put(t, "tonight.csv", "\ufeffWhat,subject,key,by,verified_by,channel,reference,purpose,reason,received\n"+
		"erasure,member,3,,account,portal,T-1,,,2026-11-01\n"+
		"access,member,cat@example.org,email,contact,portal,T-2,,,\n"+
		"restriction,member,3,,contact,portal,T-3,,contested,\n"+
		"access,member,99,,contact,portal,T-4,,,\n"+ // nobody
		"axess,member,3,,contact,portal,T-5,,,\n"+
		"access,member,3\n"+ // too short
		"objection,member,3,,contact,portal,T-6,,letter,\n"+ // to what?
		"rectification,member,3,,contact,portal,T-7,,letter,\n"+
		"erasure,member,3,,account,portal,T-2,,,\n"+ // another's reference
		"access,member,\"it's \"\"quoted\"\"\",email,,,,,,\n"+
		"objection,member,2,,contact,,T-8,newsletter,letter,\n"+
		"access,patron,O'Hara,,contact,portal,T-9,,,soon\n")
	got := o.says(t, 1, "4 opened, 0 there already, 8 refused", "batch", "tonight.csv", "--run")
	for _, want := range []string{
		"line 2: opened request 1: open: approvals: 2", "line 3: opened request 2: queued", "line 4: opened request 3: queued",
		"line 5: refused: no such member", "line 6: refused: it is not said what is asked for; did you mean access?", "line 7: refused: it is not CSV as the others are",
		"line 8: refused: the purpose is missing", "line 9: refused: a rectification is opened by itself", "line 10: refused: the reference is that of request 2",
		"line 11: refused: no such member", "line 12: opened request 4: queued", "line 13: refused: RECEIVED is not followed by a date",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("of the batch it is not said %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "cat@") || strings.Contains(got, "quoted") {
		t.Errorf("it names somebody: %s", got)
	}
	again := o.says(t, 1, "0 opened, 4 there already, 8 refused", "batch", "tonight.csv", "--run", "--json")
	var last batchLine
	for line := range strings.Lines(again) {
		if strings.HasPrefix(line, "{") {
			if err := json.Unmarshal([]byte(line), &last); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	if last.Line != 13 || last.Result != "refused" {
		t.Errorf("the last line: %+v", last)
	}
	o.recorded(t)
	for file, want := range map[string]string{
		"what,subject\n":               `the column "key" is missing`,
		"what,subject,key,keys\n":      `column 4 is called "keys"; did you mean key?`,
		"what,subject,key,what\n":      `there are two columns "what"`,
		"":                             "the first line, which names the columns",
		"what,\"subject,key\nerasure,": "it is not CSV as the others are",
	} {
		o.put(t, "bad.csv", file)
		o.says(t, 1, want, "batch", "bad.csv")
	}
	if _, err := o.conn.Exec(t.Context(), "SELECT pg_advisory_lock($1, 0)", batchLock); err != nil {
		t.Fatal(err)
	}
	o.says(t, 1, "another batch is being opened", "batch", "tonight.csv")
}

// TestDsarBatchKilled kills a batch, and reads its file again: every reference has
// one request, and the access log all that was done.
func TestDsarBatchKilled(t *testing.T) {
	o := newOffice(t, "dsar: {workers: 0}\n")
	var b strings.Builder
	b.WriteString("what,subject,key,verified_by,reference\n")
	for i := range 60 {
		fmt.Fprintf(&b, "access,member,%d,contact,R-%d\n", 1+i%7, i)
	}
	o.put(t, "many.csv", b.String())
	const there = "SELECT least(count(*), %d)::text FROM pgveil.requests"
	for _, n := range []int{5, 25} {
		r := o.process(t, "dsar", "batch", "many.csv", "--run")
		o.until(t, fmt.Sprintf(there, n), strconv.Itoa(n))
		if err := r.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-r.exited
		o.until(t, "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory'", "0")
	}
	o.dsar(t, 0, "batch", "many.csv", "--run")
	if got := o.one(t, "SELECT count(*) || ' ' || count(DISTINCT channel) || ' ' || count(*) FILTER (WHERE state = 'queued') FROM pgveil.requests"); got != "60 60 60" {
		t.Errorf("requests, references and what is queued: %s", got)
	}
	o.recorded(t)
	o.pgveil(t, 0, "audit", "verify", "--dir", "audit")
}

// TestDsarReport counts requests of which it is known how they ended.
func TestDsarReport(t *testing.T) {
	o := newOffice(t, "dsar: {workers: 0}\n")
	o.put(t, "all.csv", "what,subject,key,verified_by,received,regime,reference\n"+
		strings.Repeat("access,member,3,contact,2026-05-01,,\n", 3)+"erasure,member,3,account,2026-05-01,ccpa,\naccess,member,4,contact,,,\n")
	o.dsar(t, 0, "batch", "all.csv")
	o.dsar(t, 0, "deny", "4", "--code", "no_match", "--because", "somebody else")
	if _, err := o.conn.Exec(t.Context(), `UPDATE pgveil.requests SET ended_at = received_at + CASE id WHEN 1 THEN interval '10 days' WHEN 2 THEN interval '20 days' WHEN 3 THEN interval '60 days'
		WHEN 4 THEN interval '4 days' END, state = CASE WHEN id <= 3 THEN 'completed' ELSE state END, extended = id = 2 WHERE id <= 4`); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(o.dsar(t, 0, "report", "--since", "2026-05-01", "--until", "2999-01-01", "--format", "csv"))).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatalf("%q, %v", rows, err)
	}
	if got := strings.Join(rows[1], " "); got != "access gdpr 4 3 0 0 1 0 1 1 20.0 30.0 60.0" {
		t.Errorf("access: %s", got)
	}
	if got := strings.Join(rows[2], " "); got != "erasure ccpa 1 0 1 0 0 0 0 0 4.0 4.0 4.0" {
		t.Errorf("erasure: %s", got)
	}
	o.says(t, 0, "| erasure | no_match | 1 |", "report", "--since", "2026-05-01", "--format", "markdown")
	text := o.says(t, 0, "Late, failed, or waiting for a decision:\nNUMBER", "report", "--since", "2026-05-01")
	if !strings.Contains(text, "2026-06-01 late") {
		t.Errorf("what is late is not listed: %s", text)
	}
	var r requestReport
	if err := json.Unmarshal([]byte(o.dsar(t, 0, "report", "--since", "1h", "--json")), &r); err != nil || len(r.Counts) != 1 || r.Counts[0].Received != 1 || r.Counts[0].MedianDays != nil || len(r.Look) != 0 {
		t.Errorf("the last hour: %+v, %v", r, err)
	}
	o.says(t, 2, "--since", "report", "--since", "yesterday")
	o.says(t, 2, "--format", "report", "--format", "pdf")
	o.says(t, 1, "user rita may not do this", "report", "--as", "rita")
}
