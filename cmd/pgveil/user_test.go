package main

import (
	"bytes"
	"image/color"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp/totp"

	"github.com/pgveil/pgveil/internal/pgtest"
)

// registered makes a site whose database has pgveil's tables, and gives what
// runs the command line there, and its configuration.
func registered(t *testing.T) (pgveil func(wantStatus int, args ...string) (stdout, stderr string), config string) {
	t.Helper()
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	config = filepath.Join(s.dir, "pgveil.yaml")
	pgveil = func(want int, args ...string) (string, string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if got := run(t.Context(), append(args, "--config", config), &stdout, &stderr); got != want {
			t.Fatalf("pgveil %s: status %d, want %d\n%s%s", strings.Join(args, " "), got, want, &stdout, &stderr)
		}
		return stdout.String(), stderr.String()
	}
	if _, said := pgveil(1, "user", "totp", "alice"); !strings.Contains(said, `"pgveil schema --apply"`) {
		t.Errorf("without tables: %s", said)
	}
	pgveil(0, "schema", "--apply")
	return pgveil, config
}

var secretLine = regexp.MustCompile(`(?m)^Secret: ([A-Z2-7]{32})$`)

// listed gives the line of "pgveil user list" about alice, without dates.
func listed(t *testing.T, out string) string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^alice .*$`).FindString(out)
	return strings.Join(strings.Fields(strings.ReplaceAll(line, time.Now().UTC().Format(time.DateOnly), "today")), " ")
}

func TestUserTOTP(t *testing.T) {
	pgveil, _ := registered(t)
	for _, tt := range []struct {
		status int
		args   string
		want   string
	}{
		{1, "mallory", `the policy has no user "mallory"`},
		{1, "alice --digits 7", "no authenticator makes 7 digits"},
		{1, "alice --algorithm MD5", "no authenticator makes 6 digits"},
		{2, "alice --issuer a:b", "--issuer must be without a colon"},
		{2, "alice --reset --remove", "give one of them"},
		{2, "alice bob", "give one name"},
		{1, "alice --remove", "alice has no second factor"},
	} {
		if _, said := pgveil(tt.status, append([]string{"user", "totp"}, strings.Fields(tt.args)...)...); !strings.Contains(said, tt.want) {
			t.Errorf("user totp %s says %q, want %q", tt.args, said, tt.want)
		}
	}
	out, _ := pgveil(0, "user", "list")
	if got := listed(t, out); got != "alice support_agent none" {
		t.Errorf("nobody is enrolled: %s", got)
	}
	out, said := pgveil(0, "user", "totp", "alice", "--text", "--issuer", "Example CRM")
	if !strings.HasPrefix(out, "otpauth://totp/Example%20CRM:alice?algorithm=SHA1&digits=6&issuer=Example%20CRM&period=30&secret=") || !secretLine.MatchString(out) {
		t.Errorf("user totp --text prints\n%s", out)
	}
	if codes := regexp.MustCompile(`(?m)^  \d{4}-\d{4}-\d{4}-\d{4}$`).FindAllString(out, -1); len(codes) != 10 {
		t.Errorf("recovery codes: %q", codes)
	}
	if !strings.Contains(said, "once alice has given a right code") {
		t.Errorf("user totp says %q", said)
	}
	out, _ = pgveil(0, "user", "list")
	if got := listed(t, out); got != "alice support_agent waits for its first code since today, 10 recovery codes" {
		t.Errorf("an enrolment that is not confirmed: %s", got)
	}
	if out, _ := pgveil(0, "user", "totp", "alice"); !strings.Contains(out, blackOnWhite) || strings.Contains(out, "otpauth:") {
		t.Errorf("user totp prints\n%s", out)
	}
	pgveil(0, "user", "totp", "alice", "--remove")
}

func TestConfirm(t *testing.T) {
	pgveil, config := registered(t)
	for name, tt := range map[string]struct {
		input func(right string) string
		ok    bool
	}{
		"at once":          {func(right string) string { return right + "\n" }, true},
		"after two others": {func(right string) string { return "\nabcdef\n " + right + " \n" }, true},
		"too late":         {func(right string) string { return "\n\n\n" + right + "\n" }, false},
		"never":            {func(string) string { return "" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			out, _ := pgveil(0, "user", "totp", "alice", "--text", "--reset")
			right, err := totp.GenerateCode(secretLine.FindStringSubmatch(out)[1], time.Now())
			if err != nil {
				t.Fatal(err)
			}
			r, err := openRegistry(config)
			if err != nil {
				t.Fatal(err)
			}
			e := enrolling{registry: r, user: "alice"}
			err = e.confirm(t.Context(), strings.NewReader(tt.input(right)), t.Output())
			if err := r.process.close(); err != nil {
				t.Error(err)
			}
			out, _ = pgveil(0, "user", "list")
			counts := listed(t, out) == "alice support_agent since today, 10 recovery codes"
			if (err == nil) != tt.ok || counts != tt.ok {
				t.Errorf("confirm: %v\n%s", err, out)
			}
		})
	}
}

// Who was enrolled on the command line gives codes in sessions.
func TestEnrolledServed(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	config := filepath.Join(s.dir, "pgveil.yaml")
	var out bytes.Buffer
	for _, args := range []string{"schema --apply", "user totp alice --text"} {
		if code := run(t.Context(), append(strings.Fields(args), "--config", config), &out, t.Output()); code != 0 {
			t.Fatalf("pgveil %s: status %d", args, code)
		}
	}
	r := s.serve(t, "")
	conn, err := s.connect(t.Context(), r.address(t, listens), "alice")
	if err != nil {
		t.Fatal(err)
	}
	right, err := totp.GenerateCode(secretLine.FindStringSubmatch(out.String())[1], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var what, is string
	if err := conn.QueryRow(t.Context(), "PRIVACY MFA "+right).Scan(&what, &is); err != nil || is != "accepted for this session" {
		t.Errorf("%s %s: %v", what, is, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.stop(t)
}

// What is drawn is what the library made, in a margin of four light modules.
func TestQRCode(t *testing.T) {
	const text = "otpauth://totp/Example%20CRM:alice?algorithm=SHA1&digits=6&issuer=Example%20CRM&period=30&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	drawn, err := qrCode(text)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(text, qr.L, qr.Auto)
	if err != nil {
		t.Fatal(err)
	}
	var grid [][]bool
	for line := range strings.Lines(drawn) {
		body, ok := strings.CutPrefix(line, blackOnWhite)
		if !ok {
			t.Fatalf("line %q", line)
		}
		if body, ok = strings.CutSuffix(body, ownColours+"\n"); !ok {
			t.Fatalf("line %q", line)
		}
		var upper, lower []bool
		for _, r := range body {
			upper, lower = append(upper, strings.ContainsRune("█▀", r)), append(lower, strings.ContainsRune("█▄", r))
		}
		grid = append(grid, upper, lower)
	}
	size := code.Bounds().Dx()
	if len(grid) < size+8 {
		t.Fatalf("%d rows for %d", len(grid), size)
	}
	for y, row := range grid {
		if len(row) != size+8 {
			t.Fatalf("row %d has %d modules for %d", y, len(row), size)
		}
		for x, got := range row {
			at := [2]int{x - 4, y - 4}
			want := min(at[0], at[1]) >= 0 && max(at[0], at[1]) < size && code.At(at[0], at[1]) == color.Black
			if got != want {
				t.Fatalf("module %v is %v", at, got)
			}
		}
	}
}
