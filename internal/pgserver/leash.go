package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// leash ties a server to the life of this process. Its other end is a shell
// that waits for the end of its input, which comes when slip is called and
// also when this process dies, of whatever cause. Then it stops the server, if
// that still runs, and removes its working folder.
//
// The parent-death signal of Linux would be less to write, but it comes when
// the thread that started the child ends, which in Go may be long before the
// process does, and it leaves the files.
type leash struct {
	shell *exec.Cmd
	hold  io.WriteCloser
}

const leashScript = `
read -r _
"$1/pg_ctl" stop -s -D "$2" -m immediate -w 2>/dev/null
rm -rf -- "$3"
`

// tie starts the watcher over the server in data and over the folder work. It
// runs as the server's own user: it can stop nothing else.
func tie(acc account, bin, data, work string) (*leash, error) {
	shell := acc.command(context.Background(), "/", "/bin/sh", "-c", leashScript, "sh", bin, data, work)
	hold, err := shell.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("watching the server: %w", err)
	}
	if err := shell.Start(); err != nil {
		return nil, fmt.Errorf("watching the server: %w", err)
	}
	return &leash{shell, hold}, nil
}

// slip lets the watcher do its work and waits until it has.
func (l *leash) slip() error {
	if err := errors.Join(l.hold.Close(), l.shell.Wait()); err != nil {
		return fmt.Errorf("removing the server's files: %w", err)
	}
	return nil
}
