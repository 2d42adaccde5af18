package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// configuration is a pgveil as one would run it: SCRAM and TLS on both sides.
const configuration = `listen: ["127.0.0.1:0"]
database: %[1]s
policy: %[2]s
tls: {cert: %[3]s/server.crt, key: %[3]s/server.key}
server: {host: 127.0.0.1, port: %[4]d, tls: verify-full, ca: %[3]s/ca.crt, login: %[5]s, password_file: password}
auth: {method: scram}
audit: {dir: audit}
key: key
log: {format: json}
`

// key is always the same, so that keyed masks are.
var key = strings.Repeat("5e", 32)

// behind makes the fixture's database anew, starts pgveil before it, and calls
// use with pgveil's port.
func (s *stage) behind(ctx context.Context, fixture string, use func(port int) error) error {
	if err := s.fresh(ctx, fixture); err != nil {
		return err
	}
	v, err := s.startVeil(ctx, fixture)
	if err != nil {
		return fmt.Errorf("start pgveil: %w", err)
	}
	return errors.Join(use(v.port), v.stop())
}

// veil is a running pgveil.
type veil struct {
	cmd  *exec.Cmd
	port int
	done chan error // what it logged as errors, when it has ended
}

func (s *stage) startVeil(ctx context.Context, fixture string) (*veil, error) {
	dir, err := os.MkdirTemp(s.work, fixture+"-")
	if err != nil {
		return nil, err
	}
	policy := filepath.Join(s.fixture(fixture), "policy")
	if _, err := os.Stat(policy); err != nil {
		policy += ".yaml"
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "pgveil.yaml"), fmt.Appendf(nil, configuration, fixture, policy, filepath.Dir(s.server.CAFile()), s.server.Port(), pgserver.Superuser), 0o600),
		os.WriteFile(filepath.Join(dir, "key"), []byte(key), 0o600),
		os.WriteFile(filepath.Join(dir, "password"), []byte(s.server.Password()), 0o600))
	if err != nil {
		return nil, err
	}
	v := &veil{cmd: exec.CommandContext(ctx, s.pgveil, "serve", "--config", filepath.Join(dir, "pgveil.yaml")), done: make(chan error, 1)}
	log, err := v.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	listening := make(chan int, 1)
	go func() { v.done <- watch(log, listening) }()
	select {
	case v.port = <-listening:
		return v, nil
	case err := <-v.done:
		return nil, errors.Join(err, v.cmd.Wait())
	}
}

// stop ends pgveil and tells whether it had anything to complain of.
func (v *veil) stop() error {
	if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop pgveil: %w", err)
	}
	late := time.AfterFunc(20*time.Second, func() { _ = v.cmd.Process.Kill() })
	defer late.Stop()
	err := <-v.done // the pipe must be read to its end before Wait closes it
	if exit := v.cmd.Wait(); exit != nil {
		err = errors.Join(err, fmt.Errorf("stop pgveil: %w", exit))
	}
	return err
}

// watch reads pgveil's log to its end. It tells the port once, and gives the
// lines that somebody would have to act on.
func watch(log io.Reader, listening chan<- int) error {
	var errs []error
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var entry struct{ Level, Msg, Address string }
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil || entry.Level == "ERROR" {
			errs = append(errs, fmt.Errorf("pgveil says: %s", lines.Text()))
			continue
		}
		if entry.Msg == "listening" {
			_, port, err := net.SplitHostPort(entry.Address)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(port)
			if err != nil {
				return err
			}
			listening <- n
		}
	}
	return errors.Join(append(errs, lines.Err())...)
}
