package main

import (
	"archive/zip"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/requests"
)

var apiAt = regexp.MustCompile(`msg=api address=(\S+)`)

// TestFaces has one request pass through all faces: opened in a batch, looked at
// over HTTP, approved with a token, run at the command line and done by a proxy;
// another is done by a worker. What each face shows of them is the same.
func TestFaces(t *testing.T) {
	o := newOffice(t, "dsar: {packages: packages}\n")
	proxy := o.serve(t, "")
	url := "http://" + proxy.address(t, apiAt)
	o.put(t, "tonight.csv", "what,subject,key,verified_by,reference,reason\nerasure,member,3,account,T-1,letter of 3 May\naccess,member,2,contact,T-2,\n")
	o.dsar(t, 0, "batch", "tonight.csv", "--run", "--token-file", "petra")

	if status, got := ask(t, "POST", url+"/v1/requests/1/approve", paulsToken, ""); status != 200 || !strings.Contains(got, `"state":"queued"`) {
		t.Fatalf("approved: %d %s", status, got)
	}
	o.says(t, 0, "completed", "run", "1", "--wait")
	if got := o.one(t, "SELECT count(*)::text FROM members WHERE id = 3"); got != "0" {
		t.Error("she is still there")
	}
	certificate := o.dsar(t, 0, "show", "1", "--certificate")
	if status, got := ask(t, "GET", url+"/v1/requests/1/certificate", petrasToken, ""); status != 200 || got != certificate || len(got) < 100 {
		t.Errorf("the certificate: %d %s\nand at the command line\n%s", status, got, certificate)
	}

	o.until(t, "SELECT state FROM pgveil.requests WHERE id = 2", "completed")
	status, got := ask(t, "GET", url+"/v1/requests/2/package", petrasToken, "")
	in, err := zip.NewReader(strings.NewReader(got), int64(len(got)))
	if status != 200 || err != nil || len(in.File) < 3 {
		t.Errorf("the package: %d, %d bytes, %v", status, len(got), err)
	}

	var shown, answered requests.View
	_, text := ask(t, "GET", url+"/v1/requests/1", petrasToken, "")
	if err := json.Unmarshal([]byte(text), &answered); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(o.dsar(t, 0, "show", "1", "--json")), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.PlanHash != answered.PlanHash || len(shown.Events) != len(answered.Events) || answered.Status != "fulfilled" || !answered.Certified || answered.Late {
		t.Errorf("over HTTP\n%+v\nat the command line\n%+v", answered, shown)
	}
	if strings.Contains(text, "cat@") || strings.Contains(certificate, "cat@") {
		t.Error("it is named who was erased")
	}
	if status, got := ask(t, "GET", url+"/v1/subjects/member/explain?as=dot", petrasToken, ""); status != 200 || !strings.Contains(got, "digraph") {
		t.Errorf("explained: %d %s", status, got)
	}
	proxy.stop(t)
	if log := proxy.output.String(); strings.Contains(log, "example.org") || strings.Contains(log, petrasToken) {
		t.Errorf("the process's log names somebody:\n%s", log)
	}

	o.dsar(t, 0, "open", "access", "member", "4", "--verified-by", "contact")
	o.dsar(t, 0, "run", "3")
	o.pgveil(t, 0, "worker", "--once")
	o.says(t, 0, "completed", "show", "3")
	o.recorded(t)
}
