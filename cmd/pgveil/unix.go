package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// listenUnix listens on a unix socket. Its file has the mode; an abstract
// socket has no file, and is open to everybody on the machine.
func listenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	ctx := context.Background()
	if path[0] == '@' {
		return new(net.ListenConfig).Listen(ctx, "unix", path)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	ln, err := socketConfig(mode).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	// The umask took bits away from what the socket was made with.
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), ln.Close())
	}
	return ln, nil
}

// socketConfig makes the file of a socket with no more than its mode from the
// first moment: bind gives it that of the socket itself, less the umask.
func socketConfig(mode fs.FileMode) *net.ListenConfig {
	return &net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), uint32(mode)) })
		return errors.Join(failed, err)
	}}
}

// removeStale removes the socket of a process that ended without doing so.
// Where somebody listens, or where the file is no socket, it stays.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen: %s is there and is no socket", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("listen: somebody listens on %s", path), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen: %s is there, and whether somebody listens cannot be found out: %w", path, err)
	}
	return os.Remove(path)
}
