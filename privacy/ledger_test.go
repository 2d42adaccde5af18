package privacy

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseLedgerCommand(t *testing.T) {
	for _, tt := range []struct {
		sql   string
		want  Command
		shape string
	}{
		{"PRIVACY CONSENT customer 42 GIVE newsletter", Command{Verb: VerbConsent, Subject: "customer", Key: byKey("42"), Consent: Consent{Name: "newsletter"}},
			"PRIVACY CONSENT customer ? GIVE newsletter"},
		{"PRIVACY CONSENT customer WHERE email = 'a' GIVE \"News\" BY 'web form' WORDING 'v3 …' LANGUAGE 'en' JURISDICTION 'IE' UNTIL '2027-01-01';",
			Command{Verb: VerbConsent, Subject: "customer", Key: Key{"email", []string{"a"}},
				Consent: Consent{Name: "News", Method: "web form", Wording: "v3 …", Language: "en", Jurisdiction: "IE", Until: "2027-01-01"}},
			`PRIVACY CONSENT customer WHERE email = ? GIVE "News" BY ? WORDING ? LANGUAGE ? JURISDICTION ? UNTIL ?`},
		{"PRIVACY CONSENT customer 42 WITHDRAW newsletter BY 'phone' BECAUSE 'too many'",
			Command{Verb: VerbConsent, Subject: "customer", Key: byKey("42"), Because: "too many", Consent: Consent{Name: "newsletter", Withdraw: true, Method: "phone"}},
			"PRIVACY CONSENT customer ? WITHDRAW newsletter BY ? BECAUSE ?"},
		{"PRIVACY WHO SAW customer 42", Command{Verb: VerbWhoSaw, Subject: "customer", Key: byKey("42")}, "PRIVACY WHO SAW customer ?"},
		{"privacy who saw customer 'x y' since '2026-01-01' until '2026-02-01';", Command{Verb: VerbWhoSaw, Subject: "customer", Key: byKey("x y"), Since: "2026-01-01", Before: "2026-02-01"}, "PRIVACY WHO SAW customer ? SINCE ? UNTIL ?"},
		{"PRIVACY SHOW CONSENT customer 42", Command{Verb: VerbConsents, Subject: "customer", Key: byKey("42")}, "PRIVACY SHOW CONSENT customer ?"},
		{"PRIVACY RESTRICT customer 'x' BECAUSE 'y'", Command{Verb: VerbRestrict, Subject: "customer", Key: byKey("x"), Because: "y"}, "PRIVACY RESTRICT customer ? BECAUSE ?"},
		{"PRIVACY RESTRICT customer 'x' FOR sales BECAUSE 'y'", Command{Verb: VerbRestrict, Subject: "customer", Key: byKey("x"), Purpose: "sales", Because: "y"}, "PRIVACY RESTRICT customer ? FOR sales BECAUSE ?"},
		{"PRIVACY OBJECT customer 1 TO sales BECAUSE 'y'", Command{Verb: VerbObject, Subject: "customer", Key: byKey("1"), Purpose: "sales", Because: "y"}, "PRIVACY OBJECT customer ? TO sales BECAUSE ?"},
		{"PRIVACY LIFT RESTRICTION customer 1 FOR sales BECAUSE 'y'", Command{Verb: VerbLiftRestriction, Subject: "customer", Key: byKey("1"), Purpose: "sales", Because: "y"}, "PRIVACY LIFT RESTRICTION customer ? FOR sales BECAUSE ?"},
		{"PRIVACY LIFT OBJECTION customer 1 TO sales BECAUSE 'y'", Command{Verb: VerbLiftObjection, Subject: "customer", Key: byKey("1"), Purpose: "sales", Because: "y"}, "PRIVACY LIFT OBJECTION customer ? TO sales BECAUSE ?"},
		{"PRIVACY SHOW RESTRICTIONS", Command{Verb: VerbRestrictions}, "PRIVACY SHOW RESTRICTIONS"},
		{"PRIVACY SHOW RESTRICTIONS customer;", Command{Verb: VerbRestrictions, Subject: "customer"}, "PRIVACY SHOW RESTRICTIONS customer"},
		{"PRIVACY SHOW RESTRICTIONS customer WHERE email = 'a'", Command{Verb: VerbRestrictions, Subject: "customer", Key: Key{"email", []string{"a"}}}, "PRIVACY SHOW RESTRICTIONS customer WHERE email = ?"},
	} {
		t.Run(tt.sql, func(t *testing.T) {
			cmd, ok, err := ParseCommand(tt.sql)
			if !ok || err != nil {
				t.Fatalf("ParseCommand = %v, %v", ok, err)
			}
			if diff := cmp.Diff(tt.want, cmd); diff != "" {
				t.Error(diff)
			}
			if got := cmd.Shape(); got != tt.shape {
				t.Errorf("Shape() = %s, want %s", got, tt.shape)
			}
		})
	}
}

func TestParseLedgerCommandErrors(t *testing.T) {
	for sql, want := range map[string]string{
		"PRIVACY CONSENT customer 42":                      "expected WITHDRAW; write GIVE or WITHDRAW",
		"PRIVACY CONSENT customer 42 GIVE":                 "expected a consent",
		"PRIVACY CONSENT customer 42 GIVE 'secret'":        "expected a consent",
		"PRIVACY CONSENT customer 42 GIVE a BY web":        "expected a text after BY",
		"PRIVACY CONSENT customer 42 WITHDRAW a UNTIL 'x'": "expected the end",
		"PRIVACY RESTRICT customer 42":                     "expected BECAUSE; say why",
		"PRIVACY RESTRICT customer 42 BECAUSE ''":          "expected a reason",
		"PRIVACY OBJECT customer 42 BECAUSE 'secret'":      "expected TO; an objection is to a purpose",
		"PRIVACY LIFT customer 42":                         "expected one of: HOLD, OBJECTION, RESTRICTION",
		"PRIVACY WHO customer 42":                          "unknown PRIVACY command",
		"PRIVACY WHO SAW customer":                         "expected a value",
		"PRIVACY WHO SAW customer 42 SINCE 2026":           "expected a text after SINCE",
		"PRIVACY WHO SAW customer 42 UNTIL '1' SINCE '1'":  "expected the end of the command",
		"PRIVACY SHOW CONSENT customer":                    "expected a value",
	} {
		t.Run(sql, func(t *testing.T) {
			_, ok, err := ParseCommand(sql)
			var e *Error
			if !ok || !errors.As(err, &e) || e.Code != Syntax || e.Position < 1 {
				t.Fatalf("ParseCommand = %v, %v", ok, err)
			}
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error is %q, want %q", err, want)
			}
		})
	}
}
