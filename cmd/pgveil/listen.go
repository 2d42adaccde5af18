package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgveil/pgveil/config"
)

// door is a listener that another process may listen beside, or after us.
type door struct {
	net.Listener
	kind doorKind
}

// doorKind says what becomes of connections that are queued when we leave.
type doorKind uint8

const (
	own       doorKind = iota // nobody else has it: they are refused
	inherited                 // the queue is shared with whoever gave it to us, and waits there
	reused                    // others listen on the port with queues of their own: ours is emptied first
)

// lameDuck is how long sessions go on as before once others take the new
// connections. Who was about to log in gets in, and a statement through.
const lameDuck = time.Second

// doors opens the addresses that are listened on: those of the service manager
// where it hands any over, else those of the configuration.
func doors(cfg *config.Config) ([]*door, error) {
	handed, err := inherit()
	if err != nil || len(handed) > 0 {
		return handed, err
	}
	mode, err := cfg.SocketMode()
	if err != nil {
		return nil, err
	}
	var all []*door
	for _, a := range cfg.Listen {
		d, err := open(a, mode, cfg.Overlap)
		if err != nil {
			for _, open := range all {
				err = errors.Join(err, open.Close())
			}
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// open listens on an address. overlap lets other processes of the same user
// listen on the same port.
func open(address string, mode fs.FileMode, overlap bool) (*door, error) {
	network, addr, err := config.Network(address)
	if err != nil {
		return nil, err
	}
	d := &door{kind: own}
	if network == "unix" {
		d.Listener, err = listenUnix(addr, mode)
		return d, err
	}
	var c net.ListenConfig
	if overlap {
		d.kind = reused
		c.Control = func(_, _ string, raw syscall.RawConn) error {
			return control(raw, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		}
	}
	d.Listener, err = c.Listen(context.Background(), network, addr)
	return d, err
}

func control(raw syscall.RawConn, f func(fd int) error) error {
	var err error
	return errors.Join(raw.Control(func(fd uintptr) { err = f(int(fd)) }), err)
}

// firstHanded is the first of the files that a service manager hands over, as
// sd_listen_fds(3) has it.
const firstHanded = 3

// inherit takes the sockets over that a service manager listens on for us.
func inherit() ([]*door, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 1 {
		return nil, fmt.Errorf("LISTEN_FDS %q is not a number of sockets", os.Getenv("LISTEN_FDS"))
	}
	var all []*door
	for fd := firstHanded; fd < firstHanded+n; fd++ {
		file := os.NewFile(uintptr(fd), "socket "+strconv.Itoa(fd))
		ln, err := net.FileListener(file) // a copy, which programs that we start do not get
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("socket %d of the service manager: %w", fd, err)
		}
		all = append(all, &door{ln, inherited})
	}
	return all, nil
}

// Accept closes the listener once the time of leave is over: at once, for what
// the system queues from then on is lost.
func (d *door) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errors.Join(net.ErrClosed, d.Close())
	}
	return conn, err
}

// leave ends the listener. Of a port that others listen on as well it goes on
// taking what the system gives to us, for a while and to the end of the queue.
func (d *door) leave() error {
	tcp, ok := d.Listener.(*net.TCPListener)
	if d.kind != reused || !ok {
		return d.Close()
	}
	return tcp.SetDeadline(time.Now().Add(lameDuck / 2))
}

// tell lets a service manager know how far we are, as sd_notify(3) has it.
func tell(state string) error {
	addr := os.Getenv("NOTIFY_SOCKET")
	if addr == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", addr)
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	_, err = conn.Write([]byte(state))
	return errors.Join(err, conn.Close())
}
