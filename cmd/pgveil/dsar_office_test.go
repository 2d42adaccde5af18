package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/requests"
)

// TestDsarVerbs takes a request from its receipt through everybody who looks at
// it, at the machine alone.
func TestDsarVerbs(t *testing.T) {
	o := newOffice(t, "")
	got := o.says(t, 0, "open", "open", "erasure", "member", "--where", "email=cat@example.org", "--channel", "mail", "--because", "letter of 3 May")
	if strings.Contains(got, "cat@") {
		t.Errorf("it names the member: %s", got)
	}
	for _, tt := range []struct {
		status int
		want   string
		args   []string
	}{
		{1, "lacks a check of the identity by account, a plan, approvals: 2", []string{"run", "1"}},
		{1, "no such member", []string{"open", "access", "member", "99"}},
		{1, "user rita may not do this", []string{"open", "erasure", "member", "3", "--as", "rita"}},
		{1, `the policy has no user "nobody"`, []string{"list", "--as", "nobody"}},
		{1, "give one of them", []string{"list", "--as", "petra", "--token-file", "petra"}},
		{2, "--verified-by: give one of", []string{"verify", "1"}},
		{0, "account", []string{"verify", "1", "--verified-by", "account", "--evidence", "login"}},
		{1, "nothing is planned yet", []string{"approve", "1", "--token-file", "paul"}},
		{0, "public.members", []string{"plan", "1"}},
		{1, "known for certain", []string{"approve", "1"}},
		{1, "known for certain", []string{"approve", "1", "--as", "paul"}},
		{1, "no token", []string{"approve", "1", "--token-file", "key"}},
		{1, "the plan is another now", []string{"approve", "1", "--plan", "00000000", "--token-file", "paul"}},
		{2, "not followed by the hash", []string{"approve", "1", "--plan", "0000"}},
		{0, "approvals: 1", []string{"approve", "1", "--token-file", "paul"}}, // who opened it was not proven
		{0, "ready", []string{"approve", "1", "--token-file", "olga"}},
		{1, "approved this already", []string{"approve", "1", "--token-file", "paul"}},
		{0, "late", []string{"open", "access", "member", "3", "--as", "rita", "--received", "2026-01-05"}},
		{1, "it cannot be extended any more", []string{"extend", "2", "--because", "many"}},
		{0, "account", []string{"open", "rectification", "member", "3", "--set", "email=new@club.example", "--null", "sponsor", "--verified-by", "account"}},
		{2, "what is to be changed", []string{"open", "rectification", "member", "3"}},
		{2, "the purpose is missing", []string{"open", "objection", "member", "3", "--because", "x"}},
		{2, "a reason is missing", []string{"cancel", "2"}},
		{2, "did you mean no_match?", []string{"deny", "2", "--code", "nomatch", "--because", "x"}},
		{0, "denied", []string{"deny", "2", "--code", "no_match", "--because", "somebody else"}},
		{0, "cancelled", []string{"cancel", "3", "--because", "phone"}},
		{1, "it was cancelled", []string{"run", "3"}},
		{2, "give one number", []string{"run", "1x"}},
		{0, "2027", []string{"extend", "1", "--because", "many tables"}},
		{0, "public.members", []string{"erase", "member", "3", "--dry-run"}},
		{1, "may not do this", []string{"erase", "member", "3", "--dry-run", "--as", "rita"}},
		{0, "case 7", []string{"hold", "member", "3", "--because", "case 7", "--as", "petra"}},
		{0, "public.visits", []string{"hold", "--table", "public.visits", "--until", "2999-01-01", "--because", "audit"}},
		{2, "not both", []string{"hold", "member", "3", "--table", "public.visits", "--because", "audit"}},
		{0, "petra", []string{"holds"}},
		{1, "may not do this", []string{"holds", "--as", "rita"}},
		{0, "case 7", []string{"lift", "1", "--because", "settled"}},
		{1, "no such hold", []string{"lift", "1", "--because", "settled"}},
		{0, "extended to", []string{"show", "1"}},
		{1, "no certificate", []string{"show", "1", "--certificate"}},
		{1, "no such request", []string{"show", "4711"}},
		{1, "no such request", []string{"show", "1", "--as", "rita"}},
	} {
		o.says(t, tt.status, tt.want, tt.args...)
	}
	o.recorded(t)
	who := o.one(t, "SELECT string_agg(who, ' ' ORDER BY seq) FROM pgveil.request_events WHERE request = 1")
	if me := operator(); who != strings.Join([]string{me, me, me, "paul", "olga", me}, " ") {
		t.Errorf("who did what about request 1: %s", who)
	}
}

// TestDsarJSON: what is printed as JSON is what HTTP answers.
func TestDsarJSON(t *testing.T) {
	o := newOffice(t, "")
	var v requests.View
	if err := json.Unmarshal([]byte(o.dsar(t, 0, "open", "access", "member", "3", "--json")), &v); err != nil {
		t.Fatal(err)
	}
	if v.Number != 1 || v.Status != "open" || v.State != "open" || len(v.Lacks) != 1 || len(v.Events) != 2 || v.Expected == "" {
		t.Errorf("opened: %+v", v)
	}
	o.dsar(t, 0, "verify", "1", "--verified-by", "contact")
	var all []requests.View
	if err := json.Unmarshal([]byte(o.dsar(t, 0, "list", "ready", "--json")), &all); err != nil || len(all) != 1 || all[0].Status != "in_progress" {
		t.Errorf("listed: %+v, %v", all, err)
	}
	if got := o.dsar(t, 0, "list", "done", "--json"); strings.TrimSpace(got) != "[]" {
		t.Errorf("of none that are done: %s", got)
	}
	o.says(t, 1, "open, due, failed, done, all, or a state", "list", "strange")
	o.dsar(t, 0, "cancel", "1", "--because", "phone")
	if err := json.Unmarshal([]byte(o.dsar(t, 0, "show", "1", "--json")), &v); err != nil || v.Status != "revoked" || v.Ended == nil {
		t.Errorf("cancelled: %+v, %v", v, err)
	}
}

// TestDsarBeside gives commands beside a proxy that writes the access log.
func TestDsarBeside(t *testing.T) {
	o := newOffice(t, "")
	r := o.serve(t, "")
	o.says(t, 0, "ready", "open", "restriction", "member", "3", "--verified-by", "contact", "--because", "contested")
	o.says(t, 0, "completed", "run", "1", "--wait")
	if got := o.pgveil(t, 1, "worker", "--once"); !strings.Contains(got, "overlap: true") {
		t.Errorf("a worker without a chain says %s", got)
	}
	r.stop(t)
	o.recorded(t)
	if got := o.one(t, "SELECT string_agg(subject::text || kind, ' ') FROM pgveil.member_restrictions WHERE subject = 3 AND kind = 'restriction'"); got != "3restriction" {
		t.Errorf("in force: %s", got)
	}
	if got := o.pgveil(t, 0, "audit", "verify", "--dir", "audit"); !strings.Contains(got, besideDir) {
		t.Errorf("verify says nothing of the chain of commands: %s", got)
	}
}

// TestDsarWait waits for requests as they go on, fail, and do not end.
func TestDsarWait(t *testing.T) {
	o := newOffice(t, "dsar: {workers: 0}\n")
	o.says(t, 1, "does not run yet: it lacks approvals: 2", "erase", "member", "3", "--verified-by", "account", "--because", "letter of 3 May", "--wait")
	o.says(t, 0, "ready", "open", "restriction", "member", "3", "--verified-by", "contact", "--because", "contested")
	told := make(chan struct{})
	go func() {
		defer close(told)
		o.until(t, "SELECT state FROM pgveil.requests WHERE id = 2", "queued")
		o.one(t, "UPDATE pgveil.requests SET state = 'failed', failure = 'it is in the way', done = 30, todo = 100 WHERE id = 2 RETURNING ''")
	}()
	if got := o.says(t, 1, "request 2 is failed: it is in the way", "run", "2", "--wait"); !strings.Contains(got, "request 2: failed, 30 of 100 rows") {
		t.Errorf("it does not say how far it is: %s", got)
	}
	<-told
	ctx, stop := context.WithCancel(t.Context())
	told = make(chan struct{})
	go func() {
		defer close(told)
		o.until(t, "SELECT state FROM pgveil.requests WHERE id = 2", "queued")
		stop()
	}()
	var out, errs strings.Builder
	if code := run(ctx, []string{"dsar", "run", "2", "--wait"}, &out, &errs); code != 1 || !strings.Contains(errs.String(), "the work goes on: pgveil dsar show 2") {
		t.Errorf("interrupted: status %d, %s", code, &errs)
	}
	<-told
}
