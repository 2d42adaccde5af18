package main

import (
	"context"
	"fmt"
	"io"
	"os"
)

// runExplain runs "pgveil explain".
func runExplain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("explain", "SQL",
		"Says what becomes of a statement for a user: what is shown of each column and by\nwhich rule, which rows, and what is sent; of a refused one, what would be allowed.\nExit status 1 means refused. \"-\" reads the statement from the standard input.",
		"pgveil explain 'SELECT email FROM crm.customers' --as alice --for support --policy policy/ --schema schema.sql")
	var s policySource
	var as, purpose, path string
	s.flags(c)
	c.flags.StringVar(&as, "as", "", "`user` who asks")
	c.flags.StringVar(&purpose, "for", "", "`purpose`; else the one that the user's roles imply")
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
	engine, err := s.engine(ctx)
	if err != nil {
		return c.failed(stderr, err)
	}
	access, err := engine.Policy.Access(as, purpose)
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
