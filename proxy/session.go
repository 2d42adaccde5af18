package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// session is one client's connection, logged in, and its own to the server.
type session struct {
	srv *Server
	log *slog.Logger
	id  string

	client, upstream net.Conn
	fromC, fromS     *wire.Reader
	toC              *wire.Writer // the server pump's, once both run
	toS              *wire.Writer // the client pump's

	login, database, app, addr string
	foreign                    bool      // in a database without a policy
	key                        cancelKey // what the client must show to cancel
	serverKey                  []byte    // what the server must be shown: process number and secret

	// The client pump's own: what its statements are planned by.
	engine *rewrite.Engine
	plans  rewrite.Session
	lookup rewrite.Lookup
	left   int // bytes of the current message that are still to be read

	reading atomic.Bool // the client pump waits for bytes: nothing that arrived is unanswered but what the queue holds

	mu          sync.Mutex // guards all below
	settled     sync.Cond  // something below changed
	queue       queue
	skipping    bool // the server passes over everything up to the next Sync
	copying     bool // the server takes in data and passes over Sync
	extended    bool // messages of the extended protocol were sent since the last Sync
	batch       int  // counts the messages that end what an error passes over
	tx          byte // the last ReadyForQuery's status
	block       bool // a transaction block is open for certain, after all that was sent
	doubt       bool // settings may have changed since the server was asked
	temporaries bool // it has made temporary tables, or tried to
	unsettled   bool // settings changed in a transaction that is not over
	ddl         bool // the schema changed in a transaction that is not over
	free        bool // nothing is kept from the caller
	parting     bool // the server closes the connection next: the client said Terminate, or it raised a FATAL error
	statements  names
	portals     names
	ended       error

	streaming *flight // the server pump's: whose rows are arriving
	audited   uint64  // the server pump's: highest record that answers in toC wait for, plus one
}

// errTerminated ends a session because the client said so.
var errTerminated = errors.New("client terminated")

// fatal is an error that the client is told before the session ends. Its cause
// is for the log: it may name addresses and files.
type fatal struct {
	Refusal
	cause error
}

func (f *fatal) Error() string {
	if f.cause == nil || f.cause.Error() == f.Message {
		return f.Message
	}
	return f.Message + ": " + f.cause.Error()
}

func (f *fatal) Unwrap() error { return f.cause }

// newFatal makes a fatal error. A format that ends in ": %w" keeps the cause
// from the client.
func newFatal(code, format string, args ...any) *fatal {
	err := fmt.Errorf(format, args...)
	f := &fatal{cause: errors.Unwrap(err)}
	f.Code, f.Message = code, err.Error()
	if f.cause != nil && strings.HasSuffix(format, ": %w") {
		f.Message = strings.TrimSuffix(f.Message, ": "+f.cause.Error())
	}
	return f
}

// run serves the session until it ends, and says how.
func (s *session) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.end(s.guarded(func() error { return s.pumpClient(ctx) })) })
	g.Go(func() error { return s.end(s.guarded(func() error { return s.pumpServer(ctx) })) })
	stop := context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
	defer stop()
	err := g.Wait()
	var f *fatal
	if errors.As(err, &f) {
		return err // whatever caused it, the client is told
	}
	if errors.Is(err, errTerminated) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// guarded turns a panic into the end of the one session that it is in.
func (s *session) guarded(pump func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic in a session", "panic", p, "stack", stack())
			err = newFatal("XX000", "internal error in pgveil: the session ends")
		}
	}()
	return pump()
}

// end records the first reason to end and wakes both pumps.
func (s *session) end(err error) error {
	if err == nil {
		err = io.EOF
	}
	s.mu.Lock()
	first := s.ended == nil
	if first {
		s.ended = err
	}
	s.settled.Broadcast()
	s.mu.Unlock()
	if first {
		// Reads and writes of the pumps return at once; what the server pump
		// still has for the client may leave.
		past := time.Unix(1, 0)
		err = errors.Join(s.upstream.SetDeadline(past), s.client.SetReadDeadline(past), s.client.SetWriteDeadline(time.Now().Add(lastWords)))
		if err != nil && !errors.Is(err, net.ErrClosed) {
			s.log.Debug("ending session", "err", err)
		}
	}
	return s.reason()
}

// lastWords is how long a client may take to read why its session ends.
const lastWords = 2 * time.Second

func (s *session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// goodbye tells the client why the session ends, when that is not its own or
// the server's doing, and closes both connections.
func (s *session) goodbye(err error) {
	var f *fatal
	if errors.As(err, &f) {
		s.toC = wire.NewWriter(s.client)
		s.toC.Frame('E', wire.AppendFields(nil, f.fields("FATAL")))
		if err := s.toC.Flush(); err != nil {
			s.log.Debug("telling the client why its session ends", "err", err)
		}
	}
	for _, c := range []net.Conn{s.client, s.upstream} {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.log.Debug("closing a connection", "err", err)
		}
	}
}

// idle tells whether the session is between transactions with nothing asked.
func (s *session) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.n == 0 && s.tx == 'I' && !s.skipping
}
