package privacy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgveil/pgveil/policy"
)

func code(digits string) Command { return Command{Verb: VerbMFA, Code: digits} }

func byKey(values ...string) Key { return Key{Values: values} }

func TestParseCommand(t *testing.T) {
	for _, tt := range []struct {
		sql   string
		want  Command
		shape string
	}{
		{"PRIVACY EXPORT customer 42;", Command{Verb: VerbExport, Subject: "customer", Key: byKey("42")}, "PRIVACY EXPORT customer ?"},
		{"privacy export Customer -42", Command{Verb: VerbExport, Subject: "customer", Key: byKey("-42")}, "PRIVACY EXPORT customer ?"},
		{"/* a /* b */ */ -- c\n\tPRIVACY\vEXPORT--d\r customer/**/42 ; ; ", Command{Verb: VerbExport, Subject: "customer", Key: byKey("42")}, "PRIVACY EXPORT customer ?"},
		{"PRIVACY EXPORT customer 7, 'it''s' ,42 pretty", Command{Verb: VerbExport, Subject: "customer", Key: byKey("7", "it's", "42"), Pretty: true}, "PRIVACY EXPORT customer ?, ?, ? PRETTY"},
		{`PRIVACY EXPORT "Kunde" 'a\'`, Command{Verb: VerbExport, Subject: "Kunde", Key: byKey(`a\`)}, `PRIVACY EXPORT "Kunde" ?`},
		{"PRIVACY EXPORT web-user ab679f41-c178-4d92-9b1a-8eb40f94fec4--x", Command{Verb: VerbExport, Subject: "web-user", Key: byKey("ab679f41-c178-4d92-9b1a-8eb40f94fec4")}, "PRIVACY EXPORT web-user ?"},
		{"PRIVACY EXPORT customer 1c1e3dd0-9531-4f30-b24a-c021ca3b95b8", Command{Verb: VerbExport, Subject: "customer", Key: byKey("1c1e3dd0-9531-4f30-b24a-c021ca3b95b8")}, "PRIVACY EXPORT customer ?"},
		{"PRIVACY EXPORT customer WHERE Email = 'a@b.c';", Command{Verb: VerbExport, Subject: "customer", Key: Key{"email", []string{"a@b.c"}}}, "PRIVACY EXPORT customer WHERE email = ?"},
		{`PRIVACY ERASE customer WHERE "E ""Mail"='' DRY RUN`, Command{Verb: VerbErase, Subject: "customer", Key: Key{`E "Mail`, []string{""}}, DryRun: true}, `PRIVACY ERASE customer WHERE "E ""Mail" = ? DRY RUN`},
		{"PRIVACY ERASE customer 42 dry run", Command{Verb: VerbErase, Subject: "customer", Key: byKey("42"), DryRun: true}, "PRIVACY ERASE customer ? DRY RUN"},
		{"PRIVACY ERASE customer 42 BECAUSE 'x'", Command{Verb: VerbErase, Subject: "customer", Key: byKey("42"), Because: "x"}, "PRIVACY ERASE customer ? BECAUSE ?"},
		{"PRIVACY HELP;", Command{Verb: VerbHelp}, "PRIVACY HELP"},
		{"PRIVACY MFA 123456", code("123456"), "PRIVACY MFA ?"},
		{"privacy mfa '12345678' ;", code("12345678"), "PRIVACY MFA ?"},
		{"PRIVACY MFA 1234-5678-9012-3456", code("1234567890123456"), "PRIVACY MFA ?"},
		{"PRIVACY MFA $1", Command{Verb: VerbMFA, Parameter: true}, "PRIVACY MFA $1"},
		{"SELECT pgveil.mfa('123456')", code("123456"), "PRIVACY MFA ?"},
		{"select PGVEIL.MFA(123456);", code("123456"), "PRIVACY MFA ?"},
		{"/* a */ SELECT -- b\n pgveil\t. /**/ mfa ( '1234-5678-9012-3456' ) ; -- c", code("1234567890123456"), "PRIVACY MFA ?"},
		{`SELECT"pgveil"."mfa"($1)`, Command{Verb: VerbMFA, Parameter: true}, "PRIVACY MFA $1"},
		{"PRIVACY QUARANTINE Alice BECAUSE 'secret'", Command{Verb: VerbQuarantine, Whom: Whom{policy.TargetUser, "alice"}, Because: "secret"}, "PRIVACY QUARANTINE USER alice BECAUSE ?"},
		{"privacy quarantine login \"Crm App\" for '24h' because 'x';", Command{Verb: VerbQuarantine, Whom: Whom{policy.TargetLogin, "Crm App"}, For: 24 * time.Hour, Because: "x"}, "PRIVACY QUARANTINE LOGIN \"Crm App\" FOR '24h0m0s' BECAUSE ?"},
		{"PRIVACY QUARANTINE user login FOR 30m BECAUSE 'x'", Command{Verb: VerbQuarantine, Whom: Whom{policy.TargetUser, "login"}, For: 30 * time.Minute, Because: "x"}, "PRIVACY QUARANTINE USER login FOR '30m0s' BECAUSE ?"},
		{"PRIVACY RELEASE ADDRESS '10.0.0.0/8'", Command{Verb: VerbRelease, Whom: Whom{policy.TargetAddress, "10.0.0.0/8"}}, "PRIVACY RELEASE ADDRESS '10.0.0.0/8'"},
		{"PRIVACY RELEASE \"address\" BECAUSE 'x'", Command{Verb: VerbRelease, Whom: Whom{policy.TargetUser, "address"}, Because: "x"}, "PRIVACY RELEASE USER address BECAUSE ?"},
		{"PRIVACY KILL 2zzzzzzzzzzzzzza BECAUSE 'x'", Command{Verb: VerbKill, Session: "2zzzzzzzzzzzzzza", Because: "x"}, "PRIVACY KILL 2zzzzzzzzzzzzzza BECAUSE ?"},
		{"PRIVACY KILL USER bob", Command{Verb: VerbKill, Whom: Whom{policy.TargetUser, "bob"}}, "PRIVACY KILL USER bob"},
		{"PRIVACY SHOW SESSIONS", Command{Verb: VerbSessions}, "PRIVACY SHOW SESSIONS"},
		{"PRIVACY SHOW QUARANTINES", Command{Verb: VerbQuarantines}, "PRIVACY SHOW QUARANTINES"},
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

func TestParseCommandErrors(t *testing.T) {
	for sql, want := range map[string]string{
		"PRIVACY":                                          "expected one of: APPROVE, CANCEL, CONSENT",
		"PRIVACY EXPROT customer 42":                       "did you mean EXPORT?",
		"PRIVACY 'EXPORT'":                                 "did you mean EXPORT?",
		"PRIVACY EXPORT":                                   "expected a kind of subject",
		"PRIVACY EXPORT 42":                                "expected a kind of subject",
		"PRIVACY EXPORT customer":                          "expected a value",
		"PRIVACY EXPORT customer secret":                   "write an integer, a uuid, or a string in single quotes",
		"PRIVACY EXPORT customer 4.2":                      "only PRETTY may follow",
		"PRIVACY EXPORT customer E'secret'":                "no prefix here",
		"PRIVACY EXPORT customer $$secret$$":               "expected a value",
		"PRIVACY EXPORT customer 'secret":                  "unterminated string",
		"PRIVACY EXPORT customer 42 /* secret":             "unterminated comment",
		"PRIVACY EXPORT customer 42,":                      "expected a value",
		"PRIVACY EXPORT customer 42 43":                    "expected the end",
		"PRIVACY EXPORT customer 42; SELECT 1":             "stands alone",
		"PRIVACY EXPORT customer WHERE":                    "expected a column",
		"PRIVACY EXPORT customer WHERE id > 1":             "only WHERE column = value",
		"PRIVACY EXPORT customer WHERE id = 1 OR 1":        "expected the end",
		"PRIVACY ERASE customer 42 DRY":                    "expected RUN",
		"PRIVACY ERASE customer 42 PRETTY":                 "expected BECAUSE",
		"PRIVACY QUARANTINE":                               "expected the name of a user",
		"PRIVACY QUARANTINE alice":                         "expected BECAUSE",
		"PRIVACY QUARANTINE alice BECAUSE ''":              "expected a reason",
		"PRIVACY QUARANTINE alice BECAUSE '\xff'":          "the reason is not text",
		"PRIVACY QUARANTINE \"\xff\" BECAUSE 'x'":          "expected the name of a user",
		"PRIVACY QUARANTINE alice FOR '0s' BECAUSE 'x'":    "expected for how long",
		"PRIVACY QUARANTINE alice FOR '9999h' BECAUSE 'x'": "expected for how long",
		"PRIVACY QUARANTINE ADDRESS secret BECAUSE 'x'":    "expected an address or network in single quotes",
		"PRIVACY QUARANTINE LOGIN BECAUSE 'secret'":        "expected BECAUSE",
		"PRIVACY RELEASE alice FOR '1h'":                   "only BECAUSE",
		"PRIVACY KILL alice":                               "expected the id of a session",
		"PRIVACY KILL USER":                                "expected the name of a user",
		"PRIVACY SHOW SESSIONS secret":                     "nothing follows SHOW SESSIONS",
		"PRIVACY HELP me":                                  "nothing follows HELP",
		"PRIVACY MFA":                                      "expected a one-time code",
		"PRIVACY MFA 1234567":                              "expected a one-time code",
		"PRIVACY MFA secret":                               "expected a one-time code",
		"PRIVACY MFA 123456 now":                           "nothing follows the code",
		"PRIVACY MFA $2":                                   "expected a one-time code or $1",
		"PRIVACY MFA $ 1":                                  "expected a one-time code or $1",
		"SELECT pgveil.mfa(":                               "expected a one-time code",
		"SELECT pgveil.mfa()":                              "expected a one-time code",
		"SELECT pgveil.mfa('secret')":                      "expected a one-time code",
		"SELECT pgveil.mfa('123456'":                       "expected ) after the code",
		"SELECT pgveil.mfa('123456', 'secret')":            "expected ) after the code",
		"SELECT pgveil.mfa('123456'::text)":                "expected ) after the code",
		"SELECT pgveil.mfa(E'123456')":                     "no prefix here",
		"SELECT pgveil.mfa('123456') AS secret":            "nothing follows the code",
		"SELECT pgveil.mfa('123456'), 1":                   "nothing follows the code",
		"SELECT pgveil.mfa('123456'); SELECT 1":            "stands alone",
		"SELECT pgveil.mfa($1) FROM secret":                "nothing follows the code",
	} {
		t.Run(sql, func(t *testing.T) {
			cmd, ok, err := ParseCommand(sql)
			var e *Error
			if !ok || !errors.As(err, &e) || e.Code != Syntax || e.Position < 1 || e.Position > len(sql)+1 {
				t.Fatalf("ParseCommand = %+v, %v, %v", cmd, ok, err)
			}
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error is %q, want %q", err, want)
			}
			if cmd.Right() != "" || cmd.Shape() != "PRIVACY" {
				t.Errorf("what is no command has right %q and shape %q", cmd.Right(), cmd.Shape())
			}
		})
	}
}

func TestOtherStatements(t *testing.T) {
	for _, sql := range []string{
		"", ";", "SELECT 1", "PRIVACYEXPORT customer 1", "PRIVACY_EXPORT", "PRIVACY$1", "PRIVACY1", "PRIVACYé", "PRIV",
		"/* PRIVACY EXPORT customer 42", "-- PRIVACY EXPORT customer 42", "/* */ SELECT 'PRIVACY EXPORT customer 42'",
		"SELECT", "SELECT pgveil", "SELECT pgveil.mfa", "SELECT pgveil.mfas('123456')", "SELECTpgveil.mfa(1)", "SELECT pgveil$.mfa(1)", "SELECT 'pgveil.mfa(1)",
		"SELECT mfa('123456')", "SELECT pgveil.status()", "SELECT pgveil.mfa FROM t AS pgveil (mfa)", "SELECT /* pgveil.mfa('123456')",
		`"PRIVACY" EXPORT customer 42`, "SELECT 1; PRIVACY EXPORT customer 42",
	} {
		if cmd, ok, err := ParseCommand(sql); ok || err != nil {
			t.Errorf("ParseCommand(%q) = %+v, %v, %v; want none", sql, cmd, ok, err)
		}
		if n := testing.AllocsPerRun(10, func() { ParseCommand(sql) }); n != 0 {
			t.Errorf("ParseCommand(%q) allocates %v times", sql, n)
		}
	}
}

// A command's shape is a command that asks for the same with other values, and
// no value is in it.
func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{
		"PRIVACY EXPORT customer 42;", "PRIVACY ERASE customer WHERE \"e\" = 'a''b' DRY RUN", "privacy help",
		"PRIVACY EXPORT x 1c1e3dd0-9531-4f30-b24a-c021ca3b95b8, '', -1 PRETTY", "/*/**/*/PRIVACY EXPORT \"\"\"\" 1--\n;", "SELECT 1",
		"PRIVACY MFA 123456", "PRIVACY MFA $1", "SELECT pgveil.mfa('12345678');", `select/**/"pgveil" . "mfa"($1)`, "SELECT pgveil.mfa(1234-5678-9012-3456)",
		"PRIVACY ELEVATE TO billing FOR 30m BECAUSE 'ticket'", "PRIVACY DENY 17", "PRIVACY REVIEW 17 BECAUSE 'ok'", "PRIVACY SHOW ACCESS",
		"PRIVACY CONSENT c 1 GIVE n BY 'a' WORDING 'b' UNTIL 'c'", "PRIVACY LIFT RESTRICTION c 1 FOR p BECAUSE 'a'", "PRIVACY SHOW RESTRICTIONS c 1",
		"PRIVACY QUARANTINE LOGIN \"user\" FOR 1h BECAUSE 'a'", "PRIVACY RELEASE ADDRESS '::/0'", "PRIVACY KILL abcdefghijklmnop", "PRIVACY KILL USER \"\"\"\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		cmd, ok, err := ParseCommand(sql)
		if !ok || err != nil {
			if !cmp.Equal(cmd, Command{}) {
				t.Fatalf("%+v, though %v, %v", cmd, ok, err)
			}
			return
		}
		again, ok, err := ParseCommand(shapeWithValues(cmd))
		if !ok || err != nil {
			t.Fatalf("shape %q of %q: %v", cmd.Shape(), sql, err)
		}
		if want := withoutValues(cmd); !cmp.Equal(want, withoutValues(again), cmpopts.EquateEmpty()) {
			t.Fatalf("%+v is %+v by its shape", want, again)
		}
	})
}

// placeholders is what is in a command where a value was.
const placeholders = "0"

// withoutValues puts the same value in the place of each.
func withoutValues(cmd Command) Command {
	cmd.Key.Values = slices.Repeat([]string{placeholders}, len(cmd.Key.Values))
	c := &cmd.Consent
	for _, v := range []*string{&cmd.Code, &cmd.Because, &c.Method, &c.Wording, &c.Language, &c.Jurisdiction, &c.Until} {
		if *v != "" {
			*v = placeholders
		}
	}
	return cmd
}

// shapeWithValues puts some value for each that a shape leaves out.
func shapeWithValues(cmd Command) string {
	shape := cmd.Shape()
	for of, present := range map[string]bool{"MFA ?": cmd.Code != "", "BECAUSE ?": cmd.Because != ""} {
		if present {
			shape = strings.TrimSuffix(shape, of) + strings.ReplaceAll(of, "?", "'000000'")
		}
	}
	for _, word := range []string{"BY", "WORDING", "LANGUAGE", "JURISDICTION", "UNTIL"} {
		shape = strings.ReplaceAll(shape, " "+word+" ?", " "+word+" 'x'")
	}
	n := len(cmd.Key.Values)
	if n == 0 {
		return shape
	}
	marks := strings.TrimPrefix(strings.Repeat(", ?", n), ", ")
	at := strings.LastIndex(shape, marks)
	return shape[:at] + strings.ReplaceAll(marks, "?", placeholders) + shape[at+len(marks):]
}

func TestBind(t *testing.T) {
	asked := Command{Verb: VerbMFA, Parameter: true}
	for value, want := range map[string]string{
		"123456": "123456", "12345678": "12345678", "1234-5678-9012-3456": "1234567890123456", "1234567890123456": "1234567890123456",
		"": "", "12345": "", "1234567": "", " 123456": "", "12345a": "", "------123456": "", "\x00\x01\xe2\x40": "", strings.Repeat("1", 1<<20): "",
	} {
		cmd, err := asked.Bind(value)
		if cmd.Code != want || cmd.Parameter || (err != nil) != (want == "") {
			t.Errorf("Bind(%.20q) = %+v, %v; want the code %q", value, cmd, err, want)
		}
	}
	if cmd, err := code("123456").Bind("654321"); err == nil {
		t.Errorf("a command without a parameter takes one: %+v", cmd)
	}
}

func BenchmarkParseCommand(b *testing.B) {
	for name, sql := range map[string]string{
		"other":   "SELECT id, email FROM crm.customers WHERE id = 42",
		"command": "PRIVACY EXPORT customer 42;",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParseCommand(sql)
			}
		})
	}
}
