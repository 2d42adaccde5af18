package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// pumps serve a session by two goroutines, one for each direction, which wait
// wherever they have to. They are for connections that a loop cannot serve.
type pumps struct {
	s      *session
	ctx    context.Context
	cancel context.CancelFunc
	run    atomic.Int32 // how many of them do
}

func newPumps(ctx context.Context, s *session) *pumps {
	p := &pumps{s: s}
	p.ctx, p.cancel = context.WithCancel(ctx)
	return p
}

// start has the session served until it ends. It does not wait for that: the
// stack of the goroutine that did the login has grown by handshakes, and would be
// kept as long.
func (p *pumps) start() {
	s := p.s
	forget := context.AfterFunc(p.ctx, func() { s.end(context.Cause(p.ctx)) })
	p.run.Store(2)
	for _, pump := range []func(context.Context) error{s.pumpClient, s.pumpServer} {
		s.srv.tasks.Go(func() {
			s.end(s.guarded(func() error { return pump(p.ctx) }))
			if p.run.Add(-1) == 0 {
				forget()
				p.finish()
			}
		})
	}
}

// finish tells the client why the session has ended, and closes its connections.
func (p *pumps) finish() {
	s := p.s
	reason := s.verdict()
	if words := s.lastWord(reason); words != nil {
		if _, err := s.client.Write(words); err != nil {
			s.log.Debug("telling the client why its session ends", "err", err)
		}
		discardArrived(s.client)
	}
	p.cancel()
	s.srv.closeConn(s.client)
	s.srv.closeConn(s.upstream)
	s.srv.leave(s, reason)
}

// discardArrived reads what the client has sent and nobody will: were it left,
// the system would reset the connection, and the last words be lost.
func discardArrived(conn net.Conn) {
	if c, ok := conn.(*tls.Conn); ok {
		conn = c.NetConn()
	}
	if conn.SetReadDeadline(time.Now().Add(time.Millisecond)) == nil {
		_, _ = io.Copy(io.Discard, conn) // it ends by the deadline, at the latest
	}
}

// stop makes reads and writes return at once; what the server pump still has
// for the client may leave.
func (p *pumps) stop() error {
	p.cancel()
	past := time.Unix(1, 0)
	err := errors.Join(p.s.upstream.SetDeadline(past), p.s.client.SetReadDeadline(past), p.s.client.SetWriteDeadline(time.Now().Add(lastWords)))
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// drained has nothing to wait for: the pumps' writes wait themselves.
func (p *pumps) drained() error { return nil }

// pumpClient reads what the client sends and forwards what may be.
func (s *session) pumpClient(ctx context.Context) error {
	for {
		need, err := s.stepClient(ctx)
		if errors.Is(err, errTerminated) {
			return s.terminated()
		}
		if err != nil {
			return err
		}
		if need == 0 {
			continue
		}
		if err := s.toS.Flush(); err != nil {
			return s.serverGone(err)
		}
		s.reading.Store(true)
		err = s.fromC.Fill(need)
		s.reading.Store(false)
		if err == io.EOF {
			if err := s.clientEnds(); !errors.Is(err, errTerminated) {
				return err
			}
			return s.terminated()
		}
		if err != nil {
			return err
		}
		s.srv.metrics.fromClient.Add(float64(s.fromC.Arrived()))
	}
}

// terminated waits until the server has closed the connection.
func (s *session) terminated() error {
	if err := s.toS.Flush(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.ended == nil {
		s.settled.Wait()
	}
	return errTerminated
}

// pumpServer reads the server's answers and passes them on.
func (s *session) pumpServer(ctx context.Context) error {
	for {
		need, err := s.stepServer(ctx)
		if err != nil {
			return err
		}
		if need == 0 {
			continue
		}
		if err := s.flushAnswers(ctx); err != nil {
			return err
		}
		if err := s.fromS.Fill(need); err != nil {
			return s.serverGone(err)
		}
		s.srv.metrics.fromServer.Add(float64(s.fromS.Arrived()))
	}
}
