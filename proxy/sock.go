package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sock is a connected stream socket of a looped session.
type sock struct {
	fd int
	of *looped

	// The loop's own.
	readable bool // there may be something to read
	over     bool // the peer has said all: the rest is to be read to its end
	pending  bool // of secured: it may hold something that was read before

	secured *tls.Conn // above the socket, where it is under TLS

	blocked atomic.Bool // the peer takes no more for now
	mu      sync.Mutex  // guards backlog
	backlog []byte      // what waits to be sent
}

// take makes k the socket of a descriptor, below what c has above the system.
func (k *sock) take(t *looped, fd int, c net.Conn) {
	k.of, k.fd = t, fd
	plain, secured, between := unplug(c)
	if secured != nil {
		between.Conn = below{plain, k}
		k.secured, k.pending = secured, true
	}
}

// always is what is waited for on every socket. Each event is told of once.
const always = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

// note takes down what an event says.
func (k *sock) note(events uint32) {
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		k.readable = true
	}
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		k.over = true
	}
}

// mayRead tells whether there may be something to read.
func (k *sock) mayRead() bool { return k.readable || k.pending }

// read reads what is there, without waiting: n is 0 when nothing is.
func (k *sock) read(b []byte) (n int, err error) {
	if k.secured == nil {
		return k.receive(b)
	}
	n, err = k.secured.Read(b)
	_, nothing := err.(nothingYet)
	if k.pending = !nothing || n > 0; n > 0 || nothing {
		return n, nil // an error that came with data comes again
	}
	return n, err
}

// upper is what to write to: the socket, or TLS above it.
func (k *sock) upper() io.Writer {
	if k.secured != nil {
		return k.secured
	}
	return k
}

// receive reads from the socket itself. An answer shorter than asked for means
// that there is no more; the next will be told of.
func (k *sock) receive(b []byte) (n int, err error) {
	for {
		// The socket does not block, so the scheduler need not know.
		r, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(k.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			k.readable = false
			return 0, nil
		case errno != 0:
			return 0, fmt.Errorf("read: %w", errno)
		case r == 0:
			return 0, io.EOF
		}
		k.readable = int(r) == len(b) || k.over
		return int(r), nil
	}
}

// Write sends b, or keeps what the peer does not take at once. It does not wait.
func (k *sock) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.backlog) > 0 {
		k.backlog = append(k.backlog, b...)
		return len(b), nil
	}
	n, err := k.send(b)
	if err != nil {
		return n, err
	}
	if n < len(b) {
		k.backlog = slices.Clone(b[n:])
		k.blocked.Store(true)
		return len(b), k.watch(always | unix.EPOLLOUT)
	}
	return n, nil
}

// push sends what was kept. It tells whether there is nothing left of it.
func (k *sock) push() (done bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.backlog) == 0 {
		return true, nil
	}
	n, err := k.send(k.backlog)
	if err != nil {
		return false, err
	}
	if n < len(k.backlog) {
		k.backlog = k.backlog[n:]
		return false, nil
	}
	k.backlog = nil
	k.blocked.Store(false)
	return true, k.watch(always)
}

// send sends as much as the peer takes.
func (k *sock) send(b []byte) (sent int, err error) {
	for sent < len(b) {
		r, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(k.fd), uintptr(unsafe.Pointer(&b[sent])), uintptr(len(b)-sent), syscall.MSG_NOSIGNAL, 0, 0)
		switch {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			return sent, nil
		case errno != 0:
			return sent, fmt.Errorf("write: %w", errno)
		default:
			sent += int(r)
		}
	}
	return sent, nil
}

// discardArrived reads what the peer has sent and nobody will: were it left, the
// system would reset the connection, and the last words be lost.
func (k *sock) discardArrived() {
	buf := make([]byte, lentBuffer)
	for range maxReads { // who goes on sending does not want to hear
		if n, err := k.receive(buf); n == 0 || err != nil {
			return
		}
	}
}

func (k *sock) watch(events uint32) error {
	return unix.EpollCtl(k.of.loop.epoll, unix.EPOLL_CTL_MOD, k.fd, &unix.EpollEvent{Events: events, Fd: int32(k.fd)})
}

// last sends what is left and says, waiting for the peer as long as that may
// take at the end of a session.
func (k *sock) last(words []byte) error {
	defer k.discardArrived()
	if _, err := k.upper().Write(words); err != nil {
		return err
	}
	for end := time.Now().Add(lastWords); ; {
		done, err := k.push()
		if err != nil || done {
			return err
		}
		wait := time.Until(end)
		if wait <= 0 {
			return errors.New("the client does not read")
		}
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(k.fd), Events: unix.POLLOUT}}, int(wait.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// detach gives a descriptor of its own for a connection that a loop can serve;
// ok is false for others: what is no stream of the system's.
func detach(c net.Conn) (fd int, ok bool, err error) {
	var raw syscall.RawConn
	switch c := c.(type) {
	case *net.TCPConn:
		raw, err = c.SyscallConn()
	case *net.UnixConn:
		if c.LocalAddr().Network() != "unix" {
			return -1, false, nil
		}
		raw, err = c.SyscallConn()
	default:
		return -1, false, nil
	}
	if err != nil {
		return -1, false, err
	}
	ctlErr := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(ctlErr, err); err != nil {
		return -1, false, err
	}
	return fd, true, nil
}
