package proxy

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// looped carries a session that a loop serves.
type looped struct {
	s      *session
	loop   *loop
	ctx    context.Context
	cancel context.CancelFunc

	client, server sock

	// The loop's own.
	isDue    bool // among those to be served in this round
	watched  bool // its sockets are known to the loop
	finished bool
	parted   bool // the client has said that it wants nothing more

	// Who owns a half while it waits; the loop looks after it again when done.
	clientWaits, serverWaits waiting
	parked                   parked // the half that answers the client
}

// maxReads is how often a half may read before it is others' turn.
const maxReads = 16

// newLooped takes a session's connections over, when a loop can serve both.
// Otherwise, and after an error, they are as they were.
func (srv *Server) newLooped(ctx context.Context, s *session) (*looped, error) {
	near, _, _ := unplug(s.client)
	far, _, _ := unplug(s.upstream)
	client, ok, err := detach(near)
	if err != nil || !ok {
		return nil, err
	}
	server, ok, err := detach(far)
	if err != nil || !ok {
		return nil, errors.Join(err, unix.Close(client))
	}
	t := &looped{s: s, loop: srv.loops.choose()}
	t.ctx, t.cancel = context.WithCancel(ctx)
	t.client.take(t, client, s.client)
	t.server.take(t, server, s.upstream)
	srv.closeConn(near)
	srv.closeConn(far)
	s.client, s.upstream = nil, nil
	s.toC.To(t.client.upper())
	s.toS.To(t.server.upper())
	s.hurriedC, s.hurriedS = true, true
	return t, nil
}

// stop makes the loop look at the session, which has ended.
func (t *looped) stop() error {
	t.cancel()
	t.loop.post(t)
	return nil
}

// drained returns when the client has taken what was flushed, or the session
// has ended. It is for a half that waits.
func (t *looped) drained() error {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for t.client.blocked.Load() && s.ended == nil {
		s.settled.Wait()
	}
	return s.ended
}

// serve does all that can be done for the session now.
func (t *looped) serve() {
	if t.finished {
		return
	}
	err := t.s.guarded(t.proceed)
	if err != nil {
		t.s.end(err)
	}
	if t.s.reason() != nil && !t.clientWaits.busy() && !t.serverWaits.busy() && !t.parked.holds() {
		t.finish()
	}
}

func (t *looped) proceed() error {
	if err := t.watch(); err != nil {
		return err
	}
	if err := t.pushBacklogs(); err != nil {
		return err
	}
	if t.s.reason() != nil {
		return nil
	}
	if err := t.serveServer(); err != nil {
		return err
	}
	return t.serveClient()
}

// watch makes the sockets known to the loop, the first time.
func (t *looped) watch() error {
	if t.watched {
		return nil
	}
	t.watched = true
	for _, k := range []*sock{&t.client, &t.server} {
		t.loop.socks[int32(k.fd)] = k
		if err := unix.EpollCtl(t.loop.epoll, unix.EPOLL_CTL_ADD, k.fd, &unix.EpollEvent{Events: always, Fd: int32(k.fd)}); err != nil {
			return err
		}
	}
	return nil
}

func (t *looped) pushBacklogs() error {
	for _, k := range []*sock{&t.client, &t.server} {
		if !k.blocked.Load() {
			continue
		}
		done, err := k.push()
		if err != nil && k == &t.server {
			return t.serverLost(err)
		}
		if err != nil {
			return err
		}
		if done {
			t.s.mu.Lock()
			t.s.settled.Broadcast()
			t.s.mu.Unlock()
		}
	}
	return nil
}

// serveClient acts on what the client has sent, as far as the server takes it.
func (t *looped) serveClient() error {
	if busy, err := t.clientWaits.over(); busy || err != nil {
		return err
	}
	s := t.s
	for reads := 0; !t.parted && !t.server.blocked.Load(); {
		need, err := s.stepClient(t.ctx)
		switch {
		case errors.Is(err, errSoon):
			return t.expectServer()
		case errors.Is(err, errWaits):
			return t.waitClient()
		case errors.Is(err, errTerminated):
			t.parted = true
		case err != nil:
			return err
		case need == 0:
			continue
		}
		if err := s.toS.Flush(); err != nil {
			return t.serverLost(err)
		}
		s.fromC.Keep()
		s.reading.Store(!t.client.mayRead())
		if t.parted || t.server.blocked.Load() || !t.client.mayRead() {
			return nil
		}
		if reads++; reads > maxReads {
			t.loop.add(t)
			return nil
		}
		if err := t.readClient(); err != nil {
			return err
		}
	}
	return nil
}

func (t *looped) readClient() error {
	n, err := t.client.read(t.s.fromC.Room(t.loop.lent))
	if err == io.EOF {
		if err := t.s.clientEnds(); !errors.Is(err, errTerminated) {
			return err
		}
		t.parted = true
		if err := t.s.toS.Flush(); err != nil {
			return t.serverLost(err)
		}
		return nil
	}
	t.s.fromC.Added(n)
	t.s.srv.metrics.fromClient.Add(float64(n))
	return err
}

// serveServer acts on what the server has sent, as far as the client takes it.
func (t *looped) serveServer() error {
	if busy, err := t.serverWaits.over(); busy || err != nil {
		return err
	}
	if stays, err := t.unpark(); stays || err != nil {
		return err
	}
	s := t.s
	for reads := 0; !t.client.blocked.Load(); {
		need, err := s.stepServer(t.ctx)
		switch {
		case err == nil && need == 0:
			continue
		case errors.Is(err, errWaits):
			return t.waitServer()
		case err == nil:
			err = s.flushAnswers(t.ctx)
		}
		if errors.Is(err, errWaits) {
			t.park()
			return nil
		}
		if err != nil {
			return err
		}
		s.fromS.Keep()
		if t.client.blocked.Load() || !t.server.mayRead() {
			return nil
		}
		if reads++; reads > maxReads {
			t.loop.add(t)
			return nil
		}
		n, err := t.server.read(s.fromS.Room(t.loop.lent))
		if err != nil {
			return s.serverGone(err)
		}
		s.fromS.Added(n)
		s.srv.metrics.fromServer.Add(float64(n))
	}
	return nil
}

// serverLost ends the session because the server takes no more. What it has said
// before, its reason perhaps, the client still gets.
func (t *looped) serverLost(err error) error {
	t.parted = true
	t.server.readable, t.server.over = true, true
	if err := t.serveServer(); err != nil {
		return err
	}
	return t.s.serverGone(err)
}

// expectServer leaves the next message of the client's until the server has said
// something, after which the loop serves the session again.
func (t *looped) expectServer() error {
	if err := t.s.toS.Flush(); err != nil {
		return t.serverLost(err)
	}
	t.s.fromC.Keep()
	t.s.reading.Store(false)
	return nil
}

// waitClient has the next message of the client's acted on by somebody who may
// wait.
func (t *looped) waitClient() error {
	s := t.s
	if err := s.toS.Flush(); err != nil {
		return t.serverLost(err)
	}
	s.fromC.Keep()
	s.reading.Store(false)
	s.hurriedC = false
	t.clientWaits.begin(t, func() error {
		defer func() { s.hurriedC = true }()
		_, err := s.stepClient(t.ctx)
		if err != nil {
			return err
		}
		if err := s.toS.Flush(); err != nil {
			return s.serverGone(err)
		}
		return nil
	})
	return nil
}

// waitServer has the next message of the server's acted on, and what was said
// before it sent, by somebody who may wait.
func (t *looped) waitServer() error {
	s := t.s
	s.toC.Keep()
	s.fromS.Keep()
	s.hurriedS = false
	t.serverWaits.begin(t, func() error {
		defer func() { s.hurriedS = true }()
		if err := s.flushAnswers(t.ctx); err != nil {
			return err
		}
		if _, err := s.stepServer(t.ctx); err != nil {
			return err
		}
		return s.flushAnswers(t.ctx)
	})
	return nil
}

// park leaves the answers until the records that they wait for are durable. The
// loop serves the session again then.
func (t *looped) park() {
	t.s.toC.Keep()
	t.s.fromS.Keep()
	t.parked.on = true
	t.parked.due.Store(false)
	t.parked.cancel = t.s.srv.audit.Notice(t.s.audited-1, func() {
		t.loop.mu.Lock()
		defer t.loop.mu.Unlock() // not before it is posted: then the loop may be gone
		t.parked.due.Store(true)
		t.loop.enqueue(t)
	})
}

// unpark sends the answers that were left, once they may leave. stays tells that
// there is more to wait for.
func (t *looped) unpark() (stays bool, err error) {
	if !t.parked.on {
		return false, nil
	}
	if !t.parked.due.Load() {
		return true, nil
	}
	t.parked.on = false
	if err = t.s.flushAnswers(t.ctx); errors.Is(err, errWaits) { // they never will be
		return true, t.waitServer()
	}
	return false, err
}

// finish lets go of the session, once nobody works for it any more.
func (t *looped) finish() {
	t.finished = true
	delete(t.loop.socks, int32(t.client.fd))
	delete(t.loop.socks, int32(t.server.fd))
	s, err := t.s, t.s.verdict()
	words := s.lastWord(err)
	silent := len(words) == 0 && !t.client.blocked.Load()
	if silent && !s.owesNames() {
		t.leave(err)
		return
	}
	go func() {
		if silent {
			t.leave(err)
			return
		}
		if err := t.client.last(words); err != nil {
			s.log.Debug("telling the client why its session ends", "err", err)
		}
		t.leave(err)
	}()
}

func (t *looped) leave(reason error) {
	defer t.s.srv.tasks.Done()
	defer t.s.srv.leave(t.s, reason)
	t.cancel()
	for _, k := range []*sock{&t.client, &t.server} {
		if k.secured != nil {
			_ = k.secured.Close() // says goodbye, where the peer still listens
		}
	}
	if err := errors.Join(unix.Close(t.client.fd), unix.Close(t.server.fd)); err != nil {
		t.s.log.Debug("closing a connection", "err", err)
	}
}
