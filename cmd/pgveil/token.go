package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/proxy/token"
)

const tokenUsage = `Usage: pgveil token <verb> [flags]

Signed tokens tell pgveil which end user a shared login works for, or who logs in.

  key      make a key to sign tokens with
  sign     make a token, for trying things out: applications sign their own
  check    say what a token says, and whether pgveil would take it

"pgveil token <verb> --help" lists the flags of a verb.
`

// runToken runs "pgveil token".
func runToken(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, tokenUsage)
		return 2
	}
	switch verb, rest := args[0], args[1:]; verb {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, tokenUsage)
		return 0
	case "key":
		return runTokenKey(rest, stdout, stderr)
	case "sign":
		return runTokenSign(rest, stdout, stderr)
	case "check":
		return runTokenCheck(ctx, rest, stdout, stderr)
	default:
		fmt.Fprintf(stderr, "pgveil token: unknown verb %q; there are key, sign and check\n", verb)
		return 2
	}
}

// runTokenCheck runs "pgveil token check".
func runTokenCheck(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("token check", "[FILE]",
		"Says what the token in FILE, or on standard input, says, and whether the issuers\nof the configuration stand for it now. Exit status 0 means that they do. Whether\na session has used it already is not known here.",
		"pgveil token check --config /etc/pgveil/pgveil.yaml anna.jwt",
		"pgveil token sign --key crm.key --issuer crm --user anna | pgveil token check")
	var path string
	c.flags.StringVar(&path, "config", "pgveil.yaml", "the `file` that serve is started with")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if len(c.args) > 1 {
		return c.misused(stderr, "unknown argument %q", c.args[1])
	}
	text, err := readToken(c.args)
	if err != nil {
		return c.failed(stderr, err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		return c.failed(stderr, err)
	}
	printToken(stdout, text)
	verdict, err := checkToken(ctx, cfg, text, time.Now())
	if err != nil {
		return c.failed(stderr, err)
	}
	fmt.Fprintln(stdout, verdict)
	return 0
}

// readToken reads a token from a file, or from standard input. Other users of
// the machine could see it among the arguments.
func readToken(args []string) (string, error) {
	in := os.Stdin
	if len(args) > 0 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, token.MaxLength+2))
	return strings.TrimSpace(string(text)), err
}

// checkToken verifies a token as a configured process would.
func checkToken(ctx context.Context, cfg *config.Config, text string, now time.Time) (string, error) {
	is, err := newIssuers(cfg.Tokens)
	if err != nil {
		return "", err
	}
	if err := is.load(); err != nil {
		return "", err
	}
	for _, i := range is.all {
		if i.client == nil {
			continue
		}
		if err := i.renew(ctx); err != nil {
			return "", fmt.Errorf("keys of %s: %w", i.Issuer, err)
		}
	}
	c, asContext := is.context.Verify(text, now)
	if asContext == nil {
		return fmt.Sprintf("accepted as context: the end user is %q, until %s", c.User, c.Until.UTC().Format(time.RFC3339)), nil
	}
	c, asLogin := is.logins.Verify(text, now)
	if asLogin == nil {
		return fmt.Sprintf("accepted as a login of %q, until %s", c.User, c.Until.UTC().Format(time.RFC3339)), nil
	}
	return "", fmt.Errorf("refused: %w", nearer(asContext, asLogin))
}

// nearer gives the reason of the use that the token is for.
func nearer(asContext, asLogin error) error {
	var e *token.Error
	if errors.As(asContext, &e) && (e.Reason == token.UnknownIssuer || e.Reason == token.Elsewhere) {
		return asLogin
	}
	return asContext
}

// printToken prints what a token says, of which nothing is verified. What is no
// JSON is not printed: it could be anything.
func printToken(w io.Writer, text string) {
	parts := strings.Split(text, ".")
	for i, name := range []string{"header", "claims"} {
		if i >= len(parts) {
			return
		}
		var members map[string]json.RawMessage
		decoded, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(decoded, &members) != nil {
			fmt.Fprintf(w, "%s: not readable\n", name)
			continue
		}
		fmt.Fprintf(w, "%s:\n", name)
		for _, key := range slices.Sorted(maps.Keys(members)) {
			fmt.Fprintf(w, "  %-12s %s%s\n", printable(key), printable(string(members[key])), moment(key, members[key]))
		}
	}
}

// printable keeps a terminal from being told anything but text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// moment puts a time as people write it beside one in seconds.
func moment(key string, value json.RawMessage) string {
	var seconds float64
	if key != "iat" && key != "exp" && key != "nbf" || json.Unmarshal(value, &seconds) != nil || seconds < 0 || seconds > 1e11 {
		return ""
	}
	return "  " + time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
}
