package veil

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// stopTimeout is how long pgveil may take to end before it is killed.
const stopTimeout = 20 * time.Second

// Veil is a running pgveil.
type Veil struct {
	cmd    *exec.Cmd
	port   int
	done   chan error // what it logged as errors, when it has ended
	alerts []string   // what it raised, once it has ended
}

// Start starts the binary with the pgveil.yaml of the folder, and returns when
// it listens. It ends by Stop, or with the context.
func Start(ctx context.Context, binary, dir string) (*Veil, error) {
	v := &Veil{
		cmd:  exec.CommandContext(ctx, binary, "serve", "--config", filepath.Join(dir, "pgveil.yaml")),
		done: make(chan error, 1),
	}
	log, err := v.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("starting pgveil: %w", err)
	}
	if err := v.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting pgveil: %w", err)
	}
	listening := make(chan int, 1)
	go func() { v.done <- v.watch(log, listening) }()
	select {
	case v.port = <-listening:
		return v, nil
	case err := <-v.done:
		return nil, fmt.Errorf("starting pgveil: %w", errors.Join(err, v.cmd.Wait()))
	}
}

// Port gives the port of the address that pgveil listens on.
func (v *Veil) Port() int { return v.port }

// Stop ends pgveil and tells whether it had anything to complain of.
func (v *Veil) Stop() error {
	if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping pgveil: %w", err)
	}
	late := time.AfterFunc(stopTimeout, func() { _ = v.cmd.Process.Kill() })
	defer late.Stop()
	err := <-v.done // the pipe must be read to its end before Wait closes it
	if exit := v.cmd.Wait(); exit != nil {
		err = errors.Join(err, fmt.Errorf("stopping pgveil: %w", exit))
	}
	return err
}

// Kill ends pgveil at once, as the system may. What it complained of before is
// lost with it.
func (v *Veil) Kill() error {
	if err := v.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("killing pgveil: %w", err)
	}
	<-v.done
	_ = v.cmd.Wait() // it was killed
	return nil
}

// Alerts gives the lines by which pgveil raised alerts, once it was stopped.
func (v *Veil) Alerts() []string { return v.alerts }

// watch reads pgveil's log to its end. It tells the port once, keeps alerts, and
// gives the lines that somebody would have to act on.
func (v *Veil) watch(log io.Reader, listening chan<- int) error {
	var errs []error
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var entry struct{ Level, Msg, Address, Alert string }
		err := json.Unmarshal(lines.Bytes(), &entry)
		if entry.Alert != "" {
			v.alerts = append(v.alerts, lines.Text())
			continue
		}
		if err != nil || entry.Level == "ERROR" {
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
