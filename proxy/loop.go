package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// lentBuffer is what a loop reads into, for one session after the other. It is
// as much as a socket gives at once.
const lentBuffer = 64 << 10

// loop serves many sessions from one goroutine, which never waits for one of
// them: it sleeps in epoll_wait, and acts on what has come. That spares the two
// goroutines that each session would have, and waking them for every message.
//
// What has to wait (a plan that is not known yet, a question to the server, a
// record that must be durable) is done by a goroutine of its own, for as long as
// it takes; meanwhile that half of the session is not touched.
type loop struct {
	srv   *Server
	epoll int
	bell  int // an eventfd, which wakes the loop
	socks map[int32]*sock
	lent  []byte
	due   []*looped // to be served in the next round
	spare []*looped // the last round's list, to be used again

	mu     sync.Mutex // guards all below
	posted []*looped  // from outside the loop, to be served as well
	quit   bool
}

func newLoop(srv *Server) (*loop, error) {
	l := &loop{srv: srv, socks: map[int32]*sock{}, lent: make([]byte, lentBuffer), epoll: -1, bell: -1}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make an epoll instance: %w", err)
	}
	if l.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.bell, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(l.bell)})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a loop's eventfd: %w", err), l.close())
	}
	return l, nil
}

func (l *loop) close() error {
	err := unix.Close(l.epoll)
	if l.bell >= 0 {
		err = errors.Join(err, unix.Close(l.bell))
	}
	return err
}

// run serves sessions until it is told to quit.
func (l *loop) run() error {
	// On a thread of its own: handed from one to the next while processors are
	// busy, it would wait for each to have its turn.
	runtime.LockOSThread()
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(l.epoll, events, l.patience())
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, ev := range events[:max(n, 0)] {
			l.note(ev)
		}
		if l.collect() {
			return l.close()
		}
		l.round()
	}
}

// patience is how long to wait for events, as epoll_wait has it: not at all
// when sessions have more to do.
func (l *loop) patience() int {
	if len(l.due) > 0 {
		return 0
	}
	return -1
}

// note takes down what an event says of a socket.
func (l *loop) note(ev unix.EpollEvent) {
	if k := l.socks[ev.Fd]; k != nil {
		k.note(ev.Events)
		l.add(k.of)
	}
}

func (l *loop) add(t *looped) {
	if !t.isDue {
		t.isDue = true
		l.due = append(l.due, t)
	}
}

// collect takes over what was posted. It tells whether the loop is to quit.
func (l *loop) collect() (quit bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.posted) == 0 && !l.quit {
		return false
	}
	var count [8]byte
	_, _ = unix.Read(l.bell, count[:]) // EAGAIN: it has not rung yet, and will once too often
	for i, t := range l.posted {
		l.add(t)
		l.posted[i] = nil
	}
	l.posted = l.posted[:0]
	return l.quit
}

// round serves every session that something has come for, once.
func (l *loop) round() {
	due := l.due
	l.due = l.spare[:0]
	for i, t := range due {
		due[i], t.isDue = nil, false
		t.serve()
	}
	l.spare = due
}

// post asks for a session to be served. It may be called from any goroutine.
func (l *loop) post(t *looped) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.enqueue(t)
}

// enqueue is post for who holds the lock.
func (l *loop) enqueue(t *looped) {
	l.posted = append(l.posted, t)
	if len(l.posted) == 1 {
		l.ring()
	}
}

// stop makes the loop quit. It must have no sessions any more.
func (l *loop) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quit = true
	l.ring()
}

func (l *loop) ring() {
	one := binary.NativeEndian.AppendUint64(nil, 1)
	if _, err := unix.Write(l.bell, one); err != nil {
		l.srv.log.Error("waking a loop", "err", err)
	}
}

// loops are all of a server's.
type loops struct {
	count int

	mu      sync.Mutex
	all     []*loop
	next    int
	running sync.WaitGroup
}

// start starts the loops, the first time.
func (ls *loops) start(srv *Server) error {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for len(ls.all) < ls.count {
		l, err := newLoop(srv)
		if err != nil {
			return err
		}
		ls.all = append(ls.all, l)
		ls.running.Go(func() {
			if err := l.run(); err != nil {
				panic(err) // the system knows no reason for it but a fault of ours
			}
		})
	}
	return nil
}

// choose gives the loop for the next session.
func (ls *loops) choose() *loop {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.next = (ls.next + 1) % len(ls.all)
	return ls.all[ls.next]
}

// stop ends the loops, once no session is left.
func (ls *loops) stop() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.all {
		l.stop()
	}
	ls.running.Wait()
	ls.all = nil
}
