package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/pgveil/pgveil/rewrite/cases"
)

// runExplain runs "pgveil explain".
func runExplain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("explain", "SQL",
		"Says what becomes of a statement for a user: what is shown of each column and by\nwhich rule, which rows, and what is sent; of a refused one, what would be allowed.\nExit status 1 means refused. \"-\" reads the statement from the standard input.",
		"pgveil explain 'SELECT email FROM crm.customers' --as alice --for support --policy policy/ --schema schema.sql",
		"pgveil explain 'SELECT card FROM crm.orders' --as crm_app --user alice --vouched roles:support_agent --from 10.1.2.3 --at 2026-11-22T19:12Z --policy policy/ --schema schema.sql")
	var s policySource
	var as, path string
	s.flags(c)
	c.flags.StringVar(&as, "as", "", "`login` who asks")
	more := asFlags(c)
	c.flags.StringVar(&path, "path", "", "the session's search_path, as a `list`")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	switch missing := s.missing(); {
	case missing != "":
		return c.misused(stderr, "%s", missing)
	case as == "":
		return c.misused(stderr, "--as is needed: who asks?")
	case len(c.args) != 1:
		return c.misused(stderr, "give one statement, in quotes")
	}
	sql, err := statement(c.args[0])
	if err != nil {
		return c.failed(stderr, err)
	}
	claim, at, err := cases.ParseAs(append([]string{as}, more()...))
	if err != nil {
		return c.misused(stderr, "%v", err)
	}
	s.at = at
	engine, err := s.engine(ctx)
	if err != nil {
		return c.failed(stderr, err)
	}
	if err := engine.Policy.CheckNames(claim); err != nil {
		return c.failed(stderr, err)
	}
	access, err := engine.Policy.Decide(claim)
	if err != nil {
		return c.failed(stderr, err)
	}
	session, err := engine.Session(access, path)
	if err != nil {
		return c.misused(stderr, "%v", err)
	}
	refused, err := engine.Explain(stdout, session, sql)
	switch {
	case err != nil:
		return c.failed(stderr, err)
	case refused:
		return 1
	default:
		return 0
	}
}

// asFlags adds the flags that say more of who asks. Once they are parsed, what
// it gives is that in the words of .case files.
func asFlags(c *command) func() []string {
	values := map[string]*string{}
	for _, f := range []struct{ flag, word, usage string }{
		{"for", "purpose", "`purpose`; else the one that the user's roles imply"},
		{"user", "user", "`user` behind the login"},
		{"vouched", "vouched", "what a signed token says of the user: `claims` as roles:R,R;groups:G;ATTRIBUTE:VALUE"},
		{"elevated", "elevated", "an elevation in force, as `role:purpose`"},
		{"from", "from", "`address` of the connection, or unix; else it is unknown, and in no network"},
		{"at", "at", "the `time` of asking, as 2026-11-22T19:12Z; else now"},
	} {
		values[f.word] = c.flags.String(f.flag, "", f.usage)
	}
	second := c.flags.Bool("second-factor", false, "a second factor was given")
	beyond := c.flags.Bool("beyond", false, "a limit was reached that hides values")
	return func() []string {
		var words []string
		for _, word := range slices.Sorted(maps.Keys(values)) {
			if value := *values[word]; value != "" {
				words = append(words, word+"="+value)
			}
		}
		if *second {
			words = append(words, "second_factor")
		}
		if *beyond {
			words = append(words, "beyond")
		}
		return words
	}
}

// statement gives the text to explain.
func statement(arg string) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return "", fmt.Errorf("read the statement: %w", err)
	}
	return string(text), nil
}
