package privacy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/policy"
)

func TestParseRequests(t *testing.T) {
	email := Change{Column: "email", Value: "o'neil@example.com"}
	for _, tt := range []struct {
		sql   string
		want  Command
		shape string
		right string
	}{
		{"PRIVACY ERASE customer 42 VERIFIED BY 'account' EVIDENCE 'login' REGIME 'ccpa' RECEIVED '2026-05-03' CHANNEL 'mail' BECAUSE 'x';",
			Command{Verb: VerbErase, Subject: "customer", Key: byKey("42"), Because: "x", Request: Request{Identity: policy.IdentityAccount, Evidence: "login", Regime: "ccpa", Received: "2026-05-03", Channel: "mail"}},
			"PRIVACY ERASE customer ? VERIFIED BY 'account' EVIDENCE ? REGIME ? RECEIVED ? CHANNEL ? BECAUSE ?", "erase"},
		{"PRIVACY RECTIFY customer 42 SET email = 'o''neil@example.com', Phone = NULL BECAUSE 'x'",
			Command{Verb: VerbRectify, Subject: "customer", Key: byKey("42"), Because: "x", Request: Request{Changes: []Change{email, {Column: "phone", Null: true}}}},
			"PRIVACY RECTIFY customer ? SET email = ? , phone = ? BECAUSE ?", "rectify"},
		{"privacy rectify customer where email = 'a' in crm.order_lines 7, 2 set email = 'o''neil@example.com' because 'x'",
			Command{Verb: VerbRectify, Subject: "customer", Key: Key{"email", []string{"a"}}, Because: "x", Request: Request{Table: "crm.order_lines", Row: []string{"7", "2"}, Changes: []Change{email}}},
			"PRIVACY RECTIFY customer WHERE email = ? IN crm.order_lines ?, ? SET email = ? BECAUSE ?", "rectify"},
		{"PRIVACY OPEN ACCESS customer 42", Command{Verb: VerbOpen, Subject: "customer", Key: byKey("42"), Request: Request{What: policy.AccessRequest}}, "PRIVACY OPEN ACCESS customer ?", "export"},
		{"PRIVACY OPEN erasure customer 42 VERIFIED BY contact", Command{Verb: VerbOpen, Subject: "customer", Key: byKey("42"), Request: Request{What: policy.Erasure, Identity: policy.IdentityContact}},
			"PRIVACY OPEN ERASURE customer ? VERIFIED BY 'contact'", "erase"},
		{"PRIVACY OPEN OBJECTION customer 42 TO marketing BECAUSE 'x'", Command{Verb: VerbOpen, Subject: "customer", Key: byKey("42"), Purpose: "marketing", Because: "x", Request: Request{What: policy.Objection}},
			"PRIVACY OPEN OBJECTION customer ? TO marketing BECAUSE ?", "restrict"},
		{"PRIVACY OPEN RECTIFICATION customer 42 SET email = 'o''neil@example.com'", Command{Verb: VerbOpen, Subject: "customer", Key: byKey("42"), Request: Request{What: policy.Rectification, Changes: []Change{email}}},
			"PRIVACY OPEN RECTIFICATION customer ? SET email = ?", "rectify"},
		{"PRIVACY VERIFY REQUEST 17 BY 'document' EVIDENCE 'passport seen'", Command{Verb: VerbVerify, ID: "17", Request: Request{Identity: policy.IdentityDocument, Evidence: "passport seen"}},
			"PRIVACY VERIFY REQUEST 17 VERIFIED BY 'document' EVIDENCE ?", ""},
		{"PRIVACY PLAN REQUEST 17", Command{Verb: VerbPlan, ID: "17"}, "PRIVACY PLAN REQUEST 17", ""},
		{"PRIVACY APPROVE REQUEST 17;", Command{Verb: VerbApproveRequest, ID: "17"}, "PRIVACY APPROVE REQUEST 17", ""},
		{"PRIVACY APPROVE REQUEST 17 PLAN '0a1b2c3d' BECAUSE 'x'", Command{Verb: VerbApproveRequest, ID: "17", Because: "x", Request: Request{Plan: "0a1b2c3d"}}, "PRIVACY APPROVE REQUEST 17 PLAN ?", ""},
		{"PRIVACY APPROVE 17", Command{Verb: VerbApprove, ID: "17"}, "PRIVACY APPROVE 17", ""},
		{"PRIVACY DENY REQUEST 17 CODE no_match BECAUSE 'x'", Command{Verb: VerbDenyRequest, ID: "17", Because: "x", Request: Request{Code: "no_match"}}, "PRIVACY DENY REQUEST 17 BECAUSE ?", ""},
		{"PRIVACY RUN REQUEST 17 DESPITE 'x'", Command{Verb: VerbRunRequest, ID: "17", Request: Request{Despite: "x"}}, "PRIVACY RUN REQUEST 17 DESPITE ?", ""},
		{"PRIVACY SHOW REQUESTS due", Command{Verb: VerbShowRequests, Request: Request{Format: "DUE"}}, "PRIVACY SHOW REQUESTS DUE", ""},
		{"PRIVACY SHOW REQUEST 17", Command{Verb: VerbShowRequest, ID: "17"}, "PRIVACY SHOW REQUEST 17", ""},
		{"PRIVACY HOLD TABLE crm.invoices UNTIL '2028-01-01' BECAUSE 'audit'", Command{Verb: VerbHold, Before: "2028-01-01", Because: "audit", Request: Request{Table: "crm.invoices"}}, "PRIVACY HOLD IN crm.invoices BECAUSE ? UNTIL ?", "hold"},
		{"PRIVACY HOLD customer 42 BECAUSE 'case 7'", Command{Verb: VerbHold, Subject: "customer", Key: byKey("42"), Because: "case 7"}, "PRIVACY HOLD customer ? BECAUSE ?", "hold"},
		{"PRIVACY LIFT HOLD 3 BECAUSE 'x'", Command{Verb: VerbLiftHold, ID: "3", Because: "x"}, "PRIVACY LIFT HOLD 3 BECAUSE ?", "hold"},
		{"PRIVACY EXPLAIN customer AS svg", Command{Verb: VerbExplain, Subject: "customer", Request: Request{Format: "SVG"}}, "PRIVACY EXPLAIN customer SVG", "export"},
	} {
		cmd, ok, err := ParseCommand(tt.sql)
		if !ok || err != nil {
			t.Errorf("%s: %v, %v", tt.sql, ok, err)
			continue
		}
		if d := cmp.Diff(tt.want, cmd, cmp.AllowUnexported(Command{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.sql, d)
		}
		if strings.Contains(cmd.Shape(), "example.com") || tt.shape != "" && !strings.HasPrefix(cmd.Shape(), strings.SplitN(tt.shape, " BECAUSE", 2)[0]) {
			t.Errorf("%s: shape %s", tt.sql, cmd.Shape())
		}
		if cmd.Right() != tt.right || tt.right == "" && cmd.Verb != VerbApprove != cmd.Numbered() {
			t.Errorf("%s: right %q, by number %v", tt.sql, cmd.Right(), cmd.Numbered())
		}
		if err := cmd.Requested(); err != nil {
			t.Errorf("%s: %v", tt.sql, err)
		}
	}
}

func TestParseRequestsErrors(t *testing.T) {
	for sql, want := range map[string]string{
		"PRIVACY ERASE customer 42":                                  "expected BECAUSE",
		"PRIVACY ERASE customer 42 DRY RUN BECAUSE 'x'":              "end of the command",
		"PRIVACY ERASE customer 42 VERIFIED BY 'me' BECAUSE 'x'":     "how the identity was checked",
		"PRIVACY RECTIFY customer 42 BECAUSE 'x'":                    "expected SET",
		"PRIVACY RECTIFY customer 42 SET email = now() BECAUSE 'x'":  "expected a value",
		"PRIVACY RECTIFY customer 42 IN orders 1 SET a = 1":          "a schema and a table",
		"PRIVACY RECTIFY customer 42 SET a = 1, BECAUSE 'x'":         "expected = after the column",
		"PRIVACY OPEN portabillity customer 42":                      "did you mean PORTABILITY",
		"PRIVACY OPEN RESTRICTION customer 42":                       "expected BECAUSE",
		"PRIVACY VERIFY REQUEST 17":                                  "expected BY",
		"PRIVACY DENY REQUEST 17 BECAUSE 'x'":                        "expected CODE",
		"PRIVACY DENY REQUEST 17 CODE nomatch BECAUSE 'x'":           "did you mean no_match",
		"PRIVACY CANCEL REQUEST 17":                                  "expected BECAUSE",
		"PRIVACY RUN REQUEST x":                                      "the number of a request",
		"PRIVACY HOLD customer 42":                                   "expected BECAUSE",
		"PRIVACY HOLD TABLE invoices BECAUSE 'x'":                    "a schema and a table",
		"PRIVACY EXPLAIN customer AS PNG":                            "TEXT, DOT or SVG",
		"PRIVACY SHOW REQUEST":                                       "the number of a request",
		"PRIVACY RECTIFY customer 42 SET a = '\xff' BECAUSE '\xff'":  "not text",
		"PRIVACY OPEN ACCESS customer 42 RECEIVED '2026-05-03' TO x": "end of the command",
	} {
		_, ok, err := ParseCommand(sql)
		if !ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", sql, err, want)
		}
	}
}
