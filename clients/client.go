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
	"syscall"
	"time"
)

const (
	unrestricted  = "dora"
	notInstalled  = 77 // what a client exits with, as automake's tests do when skipped
	clientTimeout = 3 * time.Minute
)

// client is a program that uses PostgreSQL.
type client struct {
	dir             string
	update, verbose bool
}

func (c client) name() string { return filepath.Base(c.dir) }

var (
	errNotInstalled = errors.New("not installed")
	errNotTried     = errors.New("not tried")
)

// result is the outcome of one column of the table: nil when it went well. The
// two errors above are no failures, and no successes either.
type result struct{ err error }

func (r result) String() string {
	switch {
	case r.err == nil:
		return "ok"
	case r.failed():
		return "FAIL"
	}
	return r.err.Error()
}

func (r result) failed() bool {
	return r.err != nil && !errors.Is(r.err, errNotInstalled) && !errors.Is(r.err, errNotTried)
}

// try runs the client in all ways. What cannot be compared is not tried.
func (c client) try(ctx context.Context, s *stage) [3]result {
	if c.has(endUsers) {
		return [3]result{{errNotTried}, {errNotTried}, {c.restricted(ctx, s)}}
	}
	if c.seals() {
		return c.trySealed(ctx, s)
	}
	want, err := c.direct(ctx, s)
	if errors.Is(err, errNotInstalled) {
		return [3]result{{err}, {err}, {err}}
	}
	if err != nil {
		return [3]result{{err}, {errNotTried}, {errNotTried}}
	}
	return [3]result{{}, {c.through(ctx, s, want)}, {c.restricted(ctx, s)}}
}

func (c client) direct(ctx context.Context, s *stage) (string, error) {
	if err := s.fresh(ctx, "shop"); err != nil {
		return "", err
	}
	return c.run(ctx, s.env(s.server.Port(), unrestricted, "shop"), unrestricted)
}

func (c client) through(ctx context.Context, s *stage, want string) error {
	return s.behind(ctx, "shop", "", func(port int) error {
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
		if !c.has(l.want) {
			continue
		}
		tried = true
		if err := c.as(ctx, s, l); errors.Is(err, errNotInstalled) {
			return errNotInstalled
		} else if err != nil {
			return fmt.Errorf("as %s: %w", l.name, err)
		}
	}
	if !tried {
		return errNotTried
	}
	return nil
}

// has tells whether the client has expectations of the name.
func (c client) has(want string) bool {
	_, err := os.Stat(filepath.Join(c.dir, want))
	return !errors.Is(err, fs.ErrNotExist)
}

func (c client) as(ctx context.Context, s *stage, l login) error {
	path := filepath.Join(c.dir, l.want)
	return s.behind(ctx, l.database, l.policy, func(port int) error {
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

// run gives what the client prints. What it says on standard error matters
// only when it fails: warnings there come and go with versions.
func (c client) run(ctx context.Context, env []string, login string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./run", login)
	cmd.Dir, cmd.Env = c.dir, env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// The shell that a client starts with is not all there is to end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if c.verbose {
		fmt.Fprint(os.Stderr, stderr.String())
	}
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
