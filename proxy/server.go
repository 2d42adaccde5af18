package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/detect"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/proxy/auth"
	"github.com/pgveil/pgveil/proxy/guard"
	"github.com/pgveil/pgveil/proxy/token"
	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/seal"
	"github.com/pgveil/pgveil/shred"
	"github.com/pgveil/pgveil/state"
)

// Options is what a Server is made of.
type Options struct {
	Database    string // the database that the policy is for
	Upstream    Upstream
	Enforcer    *Enforcer
	Audit       *audit.Log
	Durable     bool              // answers about governed data wait for their records to be durable
	Privacy     *requests.Service // serves data subject requests; nil refuses them
	Names       NameSubjects      // of data subjects in the access log; nil: they have none
	Quarantines *state.Store      // remembers quarantines, and what proxies ask of each other; nil: they are this proxy's alone
	State       *state.Store      // remembers elevations and second factors; nil: nothing is remembered
	Name        string            // of this proxy among those of the database; "": it has one that means nothing
	Tokens      *token.Verifier   // of those who sign who the end user is; nil: nobody does

	TLS       *tls.Config       // towards clients; nil: in clear only
	ClearToo  bool              // with TLS: connections in clear are let in as well
	Certs     Certs             // of clients under TLS
	Method    Method            // of all clients, where there are no rules
	Rules     []Rule            // in place of Certs and Method, unless nil
	CertUsers []CertUser        // who has which certificate; nil: whom its common name says
	Lookup    auth.Lookup       // of SCRAM
	Appended  bool              // of Passthrough: users with a second factor write a code behind their password; needs State
	MockKey   []byte            // of SCRAM: see auth.SCRAM
	MaskKeys  map[string]string // settings that keyed masks read
	Logins    *token.Verifier   // of OIDC and OAuth; nil: none counts
	Provider  auth.Provider     // of OAuth: where clients get tokens

	Credentials Credentials // for the server, in place of the client's own proof; nil: there are none

	Guard   *guard.Guard // of logins that fail; nil: there is none
	Suspect int          // a login that gets in after that many failures is told of; 0: none is

	LoginTimeout    time.Duration
	MaxUnauthorized int // connections that are not logged in yet
	MaxPerAddress   int // of those, from one address; 0: as many
	Sealing         Sealing
	Ring            *seal.Ring  // the keys of sealed columns; nil: those are refused
	DataKeys        *shred.Keys // of values that have a key each; nil: those are refused
	MaskKey         []byte      // the key of keyed masks, for what is opened before it is masked
	KeepAfter       int         // how often an unnamed statement of a caller with restrictions must come until the server keeps it; 0: never
	Loops           int         // goroutines that relay sessions; 0: by the number of processors

	Counters *limits.Book // counts what limits are of; nil: nothing is limited
	CountKey []byte       // by which data subjects are known there

	Held func() string // why statements on governed data are refused now; "": they are not; nil: never

	Watcher *detect.Detector // watches what people do; nil: nobody does
	Habits  *state.Store     // keeps what it is to remember of them; nil: nothing is

	Alerts  alert.Raiser // takes what somebody should look at; nil: Log does
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time
}

// Server accepts clients and serves their sessions.
type Server struct {
	database  string
	upstream  *servers
	enforcer  *Enforcer
	audit     *audit.Log
	sealing   Sealing
	ring      atomic.Pointer[seal.Ring]
	dataKeys  *shred.Keys
	sealers   atomic.Pointer[sealerSet]
	maskKey   []byte
	durable   bool
	privacy   *requests.Service
	state     *state.Store
	name      string
	tokens    *token.Verifier
	nonces    *token.Nonces
	keepAfter int
	front     atomic.Pointer[front] // TLS towards clients; nil: none
	clearToo  bool
	everybody Rule // where there are no rules
	doors     atomic.Pointer[doors]
	lookup    auth.Lookup
	appended  bool
	mockKey   []byte
	maskKeys  map[string]string
	logins    *token.Verifier
	provider  auth.Provider
	deputies  Credentials
	timeout   time.Duration
	guard     *guard.Guard
	suspect   int
	waiting   chan struct{} // one for each connection that is not logged in
	slowed    chan struct{} // one for each login that has to wait
	turnstile turnstile
	held      func() string
	book      *limits.Book
	countKey  []byte
	masked    atomic.Uint64 // counts the limits that were reached at which values are hidden
	watcher   *detect.Detector
	habits    *state.Store
	alerts    alert.Raiser
	log       *slog.Logger
	metrics   *metrics
	now       func() time.Time

	elevations  elevations
	containment containment
	quarantines *state.Store
	curbs       curbs
	namer       *namer
	honey       atomic.Pointer[honey] // planted records; nil: there are none

	backends backends
	cancels  cancels
	tasks    sync.WaitGroup
	loops    loops
	planning chan struct{} // one for each statement that is being planned

	mu       sync.Mutex
	sessions map[*session]struct{}
	draining bool
}

// New makes a server.
func New(o Options) (*Server, error) {
	if o.Enforcer == nil || o.Audit == nil || o.Log == nil {
		return nil, errors.New("proxy: an enforcer, an audit log and a logger are needed")
	}
	if o.Appended && o.State == nil {
		return nil, errors.New("proxy: codes behind passwords need what is remembered of second factors")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Alerts == nil {
		o.Alerts = alert.Logger{Log: o.Log}
	}
	srv := &Server{
		database: o.Database, upstream: newServers(o.Upstream), enforcer: o.Enforcer, audit: o.Audit, sealing: o.Sealing, durable: o.Durable,
		privacy: o.Privacy, state: o.State, appended: o.Appended,
		tokens: o.Tokens, logins: o.Logins, provider: o.Provider, deputies: o.Credentials,
		clearToo: o.ClearToo, everybody: everybody(o.Method, o.Certs), lookup: o.Lookup, mockKey: o.MockKey,
		maskKeys: o.MaskKeys, maskKey: o.MaskKey, timeout: o.LoginTimeout, waiting: make(chan struct{}, max(1, o.MaxUnauthorized)),
		guard: o.Guard, suspect: o.Suspect, slowed: make(chan struct{}, max(1, o.MaxUnauthorized/4)),
		turnstile: turnstile{most: o.MaxPerAddress, inside: map[netip.Prefix]int{}},
		book:      o.Counters, countKey: o.CountKey, held: o.Held,
		quarantines: o.Quarantines, name: strings.TrimSpace(o.Name + " " + newID()[:8]),
		watcher: o.Watcher, habits: o.Habits,
		alerts: o.Alerts, log: o.Log, metrics: newMetrics(o.Metrics), now: o.Now, sessions: map[*session]struct{}{},
		containment: containment{soon: make(chan struct{}, 1)},
		namer:       newNamer(o.Names, o.Log, o.Now), keepAfter: o.KeepAfter, loops: loops{count: o.Loops}, planning: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)),
	}
	if srv.loops.count <= 0 {
		srv.loops.count = (runtime.GOMAXPROCS(0) + 1) / 2
	}
	if srv.timeout <= 0 {
		srv.timeout = time.Minute
	}
	srv.nonces = token.NewNonces(maxTokens, srv.now())
	srv.SetRules(o.Rules, o.CertUsers)
	srv.front.Store(newFront(o.TLS))
	srv.ring.Store(o.Ring)
	srv.dataKeys = o.DataKeys
	tellForgotten(o.Metrics, o.Watcher)
	return srv, nil
}

// maxTokens bounds the tokens that are remembered until they expire: a thousand
// a second for five minutes.
const maxTokens = 300_000

// Serve accepts clients until the listener is closed or the context ends. It
// does not wait for their sessions: Shutdown does.
func (srv *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv.tasks.Add(1) // Shutdown waits: what is accepted until the end is in its count
	defer srv.tasks.Done()
	if err := srv.loops.start(srv); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { srv.closeListener(ln) })
	defer stop()
	for {
		conn, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			// Out of file descriptors, say: what is there must end first.
			srv.log.Error("accepting a connection", "err", err)
			if !pause(ctx, 50*time.Millisecond) {
				return nil
			}
			continue
		}
		leave := srv.place(conn)
		if leave == nil {
			srv.metrics.logins.WithLabelValues("too_many").Inc()
			goodbyeTo(conn, newFatal("53300", "sorry, too many clients already"))
			srv.closeConn(conn)
			continue
		}
		srv.tasks.Go(func() { srv.serve(ctx, conn, leave) })
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (srv *Server) closeListener(ln net.Listener) {
	if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		srv.log.Error("closing the listener", "err", err)
	}
}

func (srv *Server) closeConn(c net.Conn) {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		srv.log.Debug("closing a connection", "err", err)
	}
}

// serve takes one connection from its first byte to its end. A panic ends the
// session that it is in, and no other. leave is called once it is logged in, or
// is not going to be.
func (srv *Server) serve(ctx context.Context, conn net.Conn, leave func()) {
	attended := false
	defer func() {
		if p := recover(); p != nil {
			srv.log.Error("panic in a session", "panic", p, "stack", stack())
		}
		if !attended {
			srv.closeConn(conn)
		}
	}()
	s, err := func() (*session, error) {
		defer leave()
		return srv.enter(ctx, conn)
	}()
	if err != nil || s == nil {
		return
	}
	srv.attend(ctx, s)
	attended = true
}

// enter does everything up to the session's first ReadyForQuery, within the
// time that a login may take.
func (srv *Server) enter(ctx context.Context, conn net.Conn) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, srv.timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { expire(conn) })
	defer stop()
	st, at, err := srv.greet(ctx, conn)
	if err != nil {
		srv.deny(at, err)
		return nil, err
	}
	s, err := srv.login(ctx, st)
	began := err == nil
	if recErr := s.recordLogin(err); recErr != nil && began {
		began, err = false, newFatal("58030", "the access log cannot be written: %w", recErr)
	}
	if err == nil {
		s.watchLogin()
		s.toC.Frame('Z', []byte{'I'})
		err = s.toC.Flush()
	}
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		srv.refusedLogin(s, err)
		s.deny(err)
		if s.upstream != nil {
			srv.closeConn(s.upstream)
		}
		if began {
			srv.recordEnd(s)
		}
		return nil, err
	}
	srv.metrics.logins.WithLabelValues("ok").Inc()
	return s, nil
}

// attend has a session served from now on, by a loop or by pumps, which close
// its connections in the end.
func (srv *Server) attend(ctx context.Context, s *session) {
	t, err := srv.newLooped(ctx, s)
	if err != nil {
		s.log.Warn("a session is served without a loop", "err", err)
	}
	var p *pumps
	if t != nil {
		s.via = t
		srv.tasks.Add(1)
	} else {
		p = newPumps(ctx, s)
		s.via = p
	}
	if !srv.enroll(s) {
		s.end(newFatal("57P03", "pgveil is shutting down"))
	}
	srv.stands(s)
	s.log.Debug("session begins", "addr", s.addr)
	if t != nil {
		t.loop.post(t)
		return
	}
	p.start()
}

// leave is the end of a session whose connections are closed. It may take the time
// that names take, where the session owes them; it counts until its end is
// recorded, but nothing is cancelled for it any more.
func (srv *Server) leave(s *session, reason error) {
	defer srv.dismiss(s)
	srv.cancels.remove(s)
	s.nameUnanswered()
	if f := s.first(); f != nil {
		s.tellLeaks(f)
	}
	if reason != nil {
		s.log.Info("session ended", "err", reason)
	}
	srv.recordEnd(s)
}

func (srv *Server) recordEnd(s *session) {
	if err := srv.recordSession(audit.Record{Session: s.id, Login: s.login, User: s.plans.Access.User, Client: s.addr, Database: s.database, Message: "end"}); err != nil {
		s.log.Error("recording the end of a session", "err", err)
	}
}

func (srv *Server) enroll(s *session) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.draining {
		return false
	}
	srv.sessions[s] = struct{}{}
	srv.cancels.add(s)
	srv.metrics.sessions.Inc()
	return true
}

func (srv *Server) dismiss(s *session) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if _, ok := srv.sessions[s]; !ok {
		return
	}
	delete(srv.sessions, s)
	srv.cancels.remove(s)
	srv.metrics.sessions.Dec()
}

// Sessions tells how many sessions are logged in.
func (srv *Server) Sessions() int {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return len(srv.sessions)
}

// Shutdown ends every session once its transaction is over, and waits for
// that. When the context ends first, the rest end at once, and the error says
// how many those were. The listener must be closed already.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.mu.Lock()
	srv.draining = true
	srv.mu.Unlock()
	over := make(chan struct{})
	go func() {
		srv.tasks.Wait()
		close(over)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		srv.endSessions(func(s *session) bool {
			s.leaving.Store(true)
			return s.idle()
		})
		select {
		case <-over:
			srv.loops.stop()
			return nil
		case <-ctx.Done():
			n := srv.endSessions(func(*session) bool { return true })
			<-over
			srv.loops.stop()
			return fmt.Errorf("%d sessions were ended amid a transaction", n)
		case <-tick.C:
		}
	}
}

func (srv *Server) endSessions(which func(*session) bool) (n int) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for s := range srv.sessions {
		if which(s) {
			s.end(errShutdown)
			n++
		}
	}
	return n
}
