package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// leash runs pgveil and waits for the end of its input, which comes when the
// tour says so and also when it dies, of whatever cause. Then it ends pgveil
// and removes its folder. The shell is pgveil's parent, so the process it
// signals is pgveil and no later one of the same number.
const leash = `
"$@" 2>&3 3>&- </dev/null &
exec 3>&-
read -r _
kill -TERM $! 2>/dev/null
wait $!
status=$?
rm -rf -- "$PGVEIL_DEMO_DIR"
exit $status
`

// patience is how long pgveil is given to say something.
const patience = 30 * time.Second

// proxy is the running pgveil serve.
type proxy struct {
	shell  *exec.Cmd
	hold   io.WriteCloser
	events chan event // what pgveil says; closed when it has ended

	address string // where it listens
	admin   string // where metrics are
}

// event is one line of pgveil's own log.
type event struct {
	Level   string `json:"level"`
	Message string `json:"msg"`
	Address string `json:"address"`
	Error   string `json:"err"`
	line    string
}

// startProxy starts pgveil in its folder and returns when it serves.
func startProxy(ctx context.Context, binary, dir string) (*proxy, error) {
	p := &proxy{events: make(chan event, 1000)}
	p.shell = exec.Command("/bin/sh", "-c", leash, "sh", binary, "serve", "--config", "pgveil.yaml")
	p.shell.Dir, p.shell.Env = dir, append(os.Environ(), "PGVEIL_DEMO_DIR="+dir)
	p.shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's interrupt is for the tour
	var err error
	if p.hold, err = p.shell.StdinPipe(); err != nil {
		return nil, err
	}
	log, end, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.shell.ExtraFiles = []*os.File{end}
	if err := errors.Join(p.shell.Start(), end.Close()); err != nil {
		return nil, fmt.Errorf("starting pgveil: %w", err)
	}
	go p.listen(log)
	for p.address == "" || p.admin == "" {
		e, err := p.await(ctx, "listening", "admin")
		if err != nil {
			return p, err
		}
		if e.Message == "admin" {
			p.admin = e.Address
		} else {
			p.address = e.Address
		}
	}
	return p, nil
}

// listen reads pgveil's log. It never waits for a reader: what nobody takes is
// dropped, or pgveil would block on writing it.
func (p *proxy) listen(log io.ReadCloser) {
	defer close(p.events)
	defer log.Close()
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		e := event{line: lines.Text()}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			e.Message = e.line
		}
		select {
		case p.events <- e:
		default:
		}
	}
}

// await takes what pgveil says until it is one of the messages.
func (p *proxy) await(ctx context.Context, messages ...string) (event, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var said []string
	for {
		select {
		case <-ctx.Done():
			return event{}, fmt.Errorf("waiting for pgveil to say %q: %w\n%s", messages, ctx.Err(), strings.Join(said, "\n"))
		case e, open := <-p.events:
			if !open {
				return event{}, fmt.Errorf("pgveil ended:\n%s", strings.Join(said, "\n"))
			}
			for _, m := range messages {
				if e.Message == m {
					return e, nil
				}
			}
			said = append(said, e.line)
		}
	}
}

// stop ends pgveil, which takes its folder with it.
func (p *proxy) stop() error {
	err := errors.Join(p.hold.Close(), p.shell.Wait())
	if err != nil {
		return fmt.Errorf("stopping pgveil: %w", err)
	}
	return nil
}

// pgveil runs another verb of pgveil and gives what it prints, also when it
// fails.
func (s *stand) pgveil(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("pgveil %s: %w: %s", strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}
