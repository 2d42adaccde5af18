package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	unrestricted  = "dora"
	notInstalled  = 77 // what a client exits with, as automake's tests do when skipped
	clientTimeout = 3 * time.Minute
)

// client is a program that uses PostgreSQL.
type client struct {
	dir    string
	update bool
}

func (c client) name() string { return filepath.Base(c.dir) }

var (
	errNotInstalled = errors.New("not installed")
	errNotTried     = errors.New("not tried")
)

// result is the outcome of one column of the table. The zero result is none,
// and prints as such.
type result struct {
	ran bool
	err error // why it failed
	why error // why it was not run
}

func (r result) String() string {
	switch {
	case r.why != nil:
		return r.why.Error()
	case r.err != nil:
		return "FAIL"
	case r.ran:
		return "ok"
	}
	return "-"
}

func outcome(err error) result {
	if errors.Is(err, errNotInstalled) || errors.Is(err, errNotTried) {
		return result{why: err}
	}
	return result{ran: err == nil, err: err}
}

// try runs the client in all ways. What cannot be compared is not tried.
func (c client) try(ctx context.Context, s *stage) [3]result {
	want, err := c.direct(ctx, s)
	if err != nil {
		r := outcome(err)
		return [3]result{r, {why: cause(r)}, {why: cause(r)}}
	}
	return [3]result{
		{ran: true},
		outcome(c.through(ctx, s, want)),
		outcome(c.restricted(ctx, s)),
	}
}

func cause(r result) error {
	if r.why != nil {
		return r.why
	}
	return errNotTried
}

func (c client) direct(ctx context.Context, s *stage) (string, error) {
	if err := s.fresh(ctx, "shop"); err != nil {
		return "", err
	}
	return c.run(ctx, s.env(s.server.Port(), unrestricted, "shop"), unrestricted)
}

func (c client) through(ctx context.Context, s *stage, want string) error {
	return s.behind(ctx, "shop", func(port int) error {
		got, err := c.run(ctx, s.env(port, unrestricted, "shop"), unrestricted)
		if err != nil {
			return err
		}
		return differ("PostgreSQL", want, "pgveil", got)
	})
}

// restricted runs the client as each restricted login that it has expectations
// for.
func (c client) restricted(ctx context.Context, s *stage) error {
	tried := false
	for _, l := range logins {
		path, err := c.expectation(l.name)
		if err != nil {
			return err
		}
		if path == "" {
			continue
		}
		tried = true
		if err := c.as(ctx, s, l, path); err != nil {
			return fmt.Errorf("as %s: %w", l.name, err)
		}
	}
	if !tried {
		return errNotTried
	}
	return nil
}

func (c client) as(ctx context.Context, s *stage, l login, path string) error {
	return s.behind(ctx, l.database, func(port int) error {
		before, err := s.protected(ctx, l)
		if err != nil {
			return err
		}
		got, err := c.run(ctx, s.env(port, l.name, l.database), l.name)
		if err != nil {
			return err
		}
		after, err := s.protected(ctx, l)
		if err != nil {
			return err
		}
		if err := errors.Join(l.leaks(got, before), unchanged(before, after)); err != nil {
			return err
		}
		if c.update {
			return os.WriteFile(path, []byte(got), 0o644)
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return differ(path, string(want), c.name(), got)
	})
}

// expectation gives the file of what the client should print as a login: its
// own, or the drivers'; "" when there is none.
func (c client) expectation(login string) (string, error) {
	own := filepath.Join(c.dir, login+".want")
	_, err := os.Stat(own)
	if err == nil {
		return own, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	_, err = os.Stat(filepath.Join(c.dir, "driver"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return filepath.Join("clients", "want", login), err
}

// run gives what the client prints. What it says on standard error matters
// only when it fails: warnings there come and go with versions.
func (c client) run(ctx context.Context, env []string, login string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./run", login)
	cmd.Dir, cmd.Env = c.dir, env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err == nil {
		return stdout.String(), nil
	}
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == notInstalled {
		return "", errNotInstalled
	}
	return "", fmt.Errorf("run %s: %w\n%s%s", login, err, tail(stdout.String(), 5), tail(stderr.String(), 20))
}

func tail(s string, n int) string {
	lines := strings.SplitAfter(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
