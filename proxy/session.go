package proxy

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/guard"
	"github.com/pgveil/pgveil/proxy/token"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/recognise"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/state"
)

// session is one client's connection, logged in, and its own to the server.
type session struct {
	srv *Server
	log *slog.Logger
	id  string

	client, upstream net.Conn  // until a loop takes them over
	via              transport // how its bytes come and go, once it is logged in

	fromC, fromS *wire.Reader
	toC          *wire.Writer // the server half's
	toS          *wire.Writer // the client half's

	login, database, app, addr string
	method                     Method        // of the login
	base                       policy.Claim  // what is known of the login itself
	foreign                    bool          // in a database without a policy
	key                        cancelKey     // what the client must show to cancel
	serverKey                  []byte        // what the server must be shown: process number and secret
	host                       Host          // the very server that it is on
	backend                    state.Backend // its connection there
	lockedBy                   guard.Scope   // whose failures refuse the login
	shown                      guard.Shown   // what the client saw of a verifier or the server
	deputy                     deputy        // who is logged in to the server
	identity                   *token.Claims // what the token said that it logged in by; nil: none did

	// The client half's own.
	engine     *rewrite.Engine // what its statements are planned by
	plans      rewrite.Session
	lookup     rewrite.Lookup
	left       int  // bytes of the current message that are still to come
	dropping   bool // they are to be dropped
	hit        bool // the current message's text was planned before
	hurriedC   bool // it must not wait: see errWaits
	caller     caller
	keeper     keeper
	asker      asker          // what the settings said when the server was asked
	ticket     string         // of the party
	alone      *policy.Access // the login, of which it is not known for whom it works
	saying     bool           // it has just said who asks
	ahead      *probe         // what the server was asked after that; nil: nothing, or more has changed since
	unsure     bool           // what the settings say of who asks was changed since
	until      time.Time      // when who asks must be decided anew; zero: never
	elevated   uint64         // which elevations were in force then
	holds      *holds         // and which quarantines
	vouched    vouched
	within     map[tokenID]within // of tokens for one transaction
	factor     given
	appended   appended
	quota      *quota             // of who asked last
	masked     uint64             // how many limits had been reached by then at which values are hidden
	asking     limits.Taking      // of the statement at hand
	intakes    []*intake          // of the COPY statements whose data is to come
	sealIntake *sealIntake        // of the COPY whose data is to come and to be sealed; nil: none
	aside      rewrite.Lookup     // of texts whose comments say who asks
	scanner    *recognise.Scanner // of the last that was scanned
	exemptC    exempted

	// The server half's own.
	streaming *flight       // whose rows are arriving
	staging   *flight       // whose rows wait to be counted
	rest      int           // bytes of the current message that are still to come
	passing   bool          // the client gets them
	tag       string        // the last one: mostly the next is the same
	audited   uint64        // highest record that answers in toC wait for, plus one
	gated     time.Time     // since when they wait; zero: they do not
	hurriedS  bool          // it must not wait
	answered  audit.Encoded // what outcomes say of the session
	exemptS   exempted
	hashes    []uint64 // of subjects, for who watches

	since time.Time
	sent  atomic.Int64 // rows of the answer that is being given

	doomed error // why it ends as soon as it is logged in; the login's own

	leaving atomic.Bool  // it ends as soon as it is idle
	calling atomic.Bool  // the server is being told to cancel: nothing new is sent
	tally   limits.Tally // what it got

	reading atomic.Bool // the client half waits for bytes: nothing that arrived is unanswered but what the queue holds

	recodes atomic.Bool // client_encoding is another than UTF8

	mu          sync.Mutex // guards all below
	settled     sync.Cond  // something below changed
	queue       queue
	skipping    bool   // the server passes over everything up to the next Sync
	copying     bool   // the server takes in data, whose end was not sent
	extended    bool   // messages of the extended protocol were sent since the last Sync
	batch       int    // counts the messages that end what an error passes over
	tx          byte   // the last ReadyForQuery's status
	block       bool   // a transaction block is open for certain, after all that was sent
	doubt       bool   // settings may have changed since the server was asked
	probeLeft   bool   // the last question to the server failed, and may have left its statement
	oneShot     bool   // who asks is known by a token for one transaction
	temporaries bool   // it has made temporary tables, or tried to
	unsettled   bool   // settings changed in a transaction that is not over
	ddl         bool   // the schema changed in a transaction that is not over
	free        bool   // nothing is kept from the caller
	strings     string // standard_conforming_strings as the server last reported it; "": it did not
	encoding    string // client_encoding, the same
	who         *policy.Access
	parting     bool  // the server closes the connection next: the client said Terminate, or it raised a FATAL error
	misspoke    names // holds "" while whom it works for was refused
	statements  names
	portals     names
	ended       error
}

// transport carries a session's bytes, and calls its two halves: stepClient and
// what that calls, stepServer and what that calls. Each half runs in one
// goroutine at a time; both may run at once.
type transport interface {
	stop() error    // ends the transport soon; may be called from any goroutine, once
	drained() error // returns when the client has been sent what was flushed, or the session ends
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

// errShutdown ends sessions because the process ends.
var errShutdown = newFatal("57P01", "terminating connection because pgveil is shutting down")

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

// verdict gives how a session ended: nil when that was its own or the server's
// doing.
func (s *session) verdict() error {
	err := s.reason()
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
func (s *session) guarded(half func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic in a session", "panic", p, "stack", stack())
			err = newFatal("XX000", "internal error in pgveil: the session ends")
		}
	}()
	return half()
}

// end records the first reason to end, and sees to it that both halves do.
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
		if err := s.via.stop(); err != nil {
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

// lastWord gives the message that tells the client why its session ended; nil
// when it knows, or would not understand it, amid another message.
func (s *session) lastWord(err error) []byte {
	var f *fatal
	if !errors.As(err, &f) || s.rest > 0 && s.passing {
		return nil
	}
	return wire.AppendFrame(nil, 'E', wire.AppendFields(nil, f.fields("FATAL")))
}

// idle tells whether the session is between transactions with nothing asked.
func (s *session) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.n == 0 && s.tx == 'I' && !s.skipping
}
