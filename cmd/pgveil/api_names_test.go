package main

import (
	"strings"
	"testing"

	"github.com/pgveil/pgveil/audit"
)

// TestAPINamesInTheLog: what a client sends in the place of a name is in the access log
// only where the policy or the catalog know it.
func TestAPINamesInTheLog(t *testing.T) {
	url, _, auditDir, _ := clubAPI(t)
	const stranger = "cat@example.org"
	for _, tt := range []struct{ path, body string }{
		{"requests", `{"what": "access", "subject": "cat@example.org", "key": ["3"]}`},
		{"requests", `{"what": "access", "subject": "member", "by": "cat@example.org", "key": ["3"]}`},
		{"requests", `{"what": "access", "subject": "member", "regime": "cat@example.org", "key": ["3"]}`},
		{"requests", `{"what": "objection", "subject": "member", "purpose": "cat@example.org", "key": ["3"], "reason": "x"}`},
		{"requests", `{"what": "rectification", "subject": "member", "key": ["3"], "table": "cat@example.org", "row": ["1"], "changes": {"cat@example.org": "x"}}`},
		{"holds", `{"table": "cat@example.org", "reason": "x"}`},
		{"subjects/cat@example.org/3/rectify", `{"changes": {"name": "x"}, "reason": "x"}`},
		{"subjects/cat@example.org/3/consents", `{"consent": "letters"}`},
		{"subjects/member/3/consents", `{"consent": "cat@example.org"}`},
		{"subjects/member/3/objections", `{"purpose": "cat@example.org", "reason": "x"}`},
	} {
		if status, got := ask(t, "POST", url+"/v1/"+tt.path, petrasToken, tt.body); status < 200 || status >= 500 {
			t.Errorf("%s %s: %d %s", tt.path, tt.body, status, got)
		}
	}
	ask(t, "GET", url+"/v1/subjects/cat@example.org/3/export", petrasToken, "")
	ask(t, "GET", url+"/v1/subjects/cat@example.org/explain", petrasToken, "")
	ask(t, "POST", url+"/v1/requests", petrasToken, `{"what": "rectification", "subject": "member", "by": "email", "key": ["x"], "table": "public.visits", "row": ["1"], "changes": {"name": "x"}}`)
	var all []string
	for r, err := range audit.Read(auditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if text := r.Shape + r.Message + r.Relation; strings.Contains(text, stranger) {
			t.Errorf("the log holds what a client sent as a name: %q, %q", r.Shape, r.Message)
		}
		all = append(all, r.Shape)
	}
	for _, want := range []string{
		"PRIVACY OPEN ACCESS ? ?", "PRIVACY OPEN ACCESS member WHERE ? = ?", "PRIVACY OPEN RECTIFICATION member ? IN ? ? SET ? = ?",
		"PRIVACY OPEN RECTIFICATION member WHERE email = ? IN public.visits ? SET name = ?",
	} {
		if !strings.Contains(strings.Join(all, "\n"), want) {
			t.Errorf("the log has no %q:\n%s", want, strings.Join(all, "\n"))
		}
	}
}
