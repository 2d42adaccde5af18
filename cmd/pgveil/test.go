package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/rewrite/cases"
)

// testCommand is one call of "pgveil test".
type testCommand struct {
	*command
	runner cases.Runner
	server string
	stdout io.Writer
}

// runTest runs "pgveil test".
func runTest(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := &testCommand{stdout: stdout, command: newCommand("test", "PATH…",
		"Runs .case files, and those in directories. Cases that need a server are skipped,\nand counted, unless there is one. With one, every statement also runs on the\nfixture's twin, to see that its outcome tells nothing of what the policy hides.\n\nThe server is for tests only: databases and roles are made on it.",
		"pgveil test policy/tests",
		"pgveil test --fixtures testdata/fixtures -v testdata/cases/mask",
		"pgveil test --server 'host=127.0.0.1 user=postgres' policy/tests")}
	c.flags.StringVar(&c.runner.Fixtures, "fixtures", "", "`folder` of the fixtures that cases use; else the one that the case's file is in")
	c.flags.StringVar(&c.server, "server", "", "`connection` string of a superuser on a PostgreSQL for tests")
	c.flags.BoolVar(&c.runner.Verbose, "v", false, "report cases that pass as well")
	c.flags.BoolVar(&c.runner.Rewrite, "rewrite", false, "write what was found into the files, in place of what they expect")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if len(c.args) == 0 {
		return c.misused(stderr, "name files or directories of cases")
	}
	tally, err := c.run(ctx)
	if err != nil {
		return c.failed(stderr, err)
	}
	if tally.Failed > 0 {
		return 1
	}
	return 0
}

func (c *testCommand) run(ctx context.Context) (tally cases.Tally, err error) {
	paths, err := caseFiles(c.args)
	if err != nil {
		return tally, err
	}
	if c.server != "" {
		server, err := cases.NewServer(c.server)
		if err != nil {
			return tally, err
		}
		defer func() { err = errors.Join(err, server.Close(context.WithoutCancel(ctx))) }()
		c.runner.Execute, c.runner.Twin = server.Execute, server.Twin
	}
	for _, path := range paths {
		f, err := cases.Load(path)
		if err != nil {
			return tally, err
		}
		t, err := c.runner.Run(ctx, f, c.stdout)
		tally = tally.Add(t)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return tally, err
		}
	}
	_, err = fmt.Fprintln(c.stdout, summary(tally))
	return tally, err
}

func summary(t cases.Tally) string {
	parts := []string{fmt.Sprintf("%d passed", t.Passed)}
	if t.Rewritten > 0 {
		parts = append(parts, fmt.Sprintf("%d rewritten", t.Rewritten))
	}
	if t.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d FAILED", t.Failed))
	}
	if t.Skipped > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped: no server", t.Skipped))
	}
	if t.Older > 0 {
		parts = append(parts, fmt.Sprintf("%d not run: the server is older", t.Older))
	}
	if t.Compared > 0 {
		parts = append(parts, fmt.Sprintf("%d compared with the twin", t.Compared))
	}
	return strings.Join(parts, ", ")
}

// caseFiles gives the files named, and every .case file in directories named.
func caseFiles(args []string) ([]string, error) {
	var paths []string
	for _, arg := range args {
		found := len(paths)
		err := filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && (path == arg || filepath.Ext(path) == ".case") {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("find cases: %w", err)
		}
		if len(paths) == found {
			return nil, fmt.Errorf("find cases: %s holds no .case file: %w", arg, os.ErrNotExist)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}
