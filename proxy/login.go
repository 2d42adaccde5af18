package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/auth"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// Method is how clients prove who they are. The zero Method lets nobody in.
type Method uint8

// The methods.
const (
	SCRAM       Method = iota + 1 // against the server's verifier; the client key logs in upstream
	Passthrough                   // the password, over TLS or within this machine; the server checks it
	Trust                         // no proof; from this machine only
	Cert                          // the certificate shown under TLS; the server must take pgveil's word for it
	Reject                        // nobody gets in
	OIDC                          // a token in place of the password, over TLS or within this machine
	OAuth                         // a token by SASL, which PostgreSQL 18's clients know; as private as that
)

// authConn carries login messages over a connection.
type authConn struct {
	r *wire.Reader
	w *wire.Writer
}

func (c authConn) Send(typ byte, body []byte) error { c.w.Frame(typ, body); return nil }
func (c authConn) Flush() error                     { return c.w.Flush() }

func (c authConn) Receive(limit int) (byte, []byte, error) {
	frame, err := c.r.Whole(limit + wire.HeadLen)
	if err != nil {
		return 0, nil, err
	}
	return frame[0], frame[wire.HeadLen:], nil
}

// login takes a client from its StartupMessage to a session that is ready, or
// says why not. The caller closes the client's connection.
func (srv *Server) login(ctx context.Context, st *startup) (*session, error) {
	s := &session{
		srv: srv, id: newID(), since: srv.now(), client: st.conn, login: st.get("user"), database: st.get("database"),
		app: st.get("application_name"), addr: address(st.conn.RemoteAddr()),
		fromC: wire.NewReader(st.conn), toC: wire.NewWriter(st.conn), within: map[tokenID]within{},
	}
	s.log = srv.log.With("session", s.id, "login", s.login)
	s.base = policy.Claim{Login: s.login, From: from(st.conn.RemoteAddr())}
	s.settled.L, s.tx, s.doubt = &s.mu, 'I', true
	s.foreign = s.database != srv.database
	s.plans.Foreign = s.foreign
	if srv.containment.now.Load().onAddress(s.base.From, true, srv.now()) != nil {
		return s, newFatal("28000", "connections from this address are refused")
	}
	if srv.needsTLS(st.front, st.conn) {
		return s, newFatal("28000", "connections must be under TLS")
	}
	rule, err := srv.admit(newVisitor(st))
	if err != nil {
		return s, err
	}
	s.method = rule.Method
	if err := srv.vet(ctx, s); err != nil {
		return s, err
	}
	if err := srv.negotiate(ctx, st, s.toC); err != nil {
		return s, err
	}
	if err := srv.checkCert(s, rule.certs()); err != nil {
		return s, err
	}
	secret, err := srv.prove(ctx, s, st.front)
	if err != nil {
		return s, err
	}
	if s.deputy, err = srv.deputize(s, secret); err != nil {
		return s, err
	}
	defer func() { s.deputy.secret = auth.Secret{} }()
	s.engine = srv.enforcer.Engine()
	return s, srv.connect(ctx, s, st)
}

// needsTLS tells whether a connection would have to be under TLS and is not. A
// unix socket does not leave the machine.
func (srv *Server) needsTLS(f *front, c net.Conn) bool {
	_, secured := c.(*tls.Conn)
	return f != nil && !srv.clearToo && !secured && c.LocalAddr().Network() != "unix"
}

// from gives where a connection comes from, for the policy's networks.
func from(a net.Addr) netip.Addr {
	if _, unix := a.(*net.UnixAddr); unix {
		return policy.Unix()
	}
	return origin(a)
}

func address(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.Network()
	}
	return host
}

// prove lets the client prove who it is.
func (srv *Server) prove(ctx context.Context, s *session, f *front) (auth.Secret, error) {
	c := authConn{s.fromC, s.toC}
	switch s.method {
	case SCRAM:
		var bind auth.ChannelBinding
		if _, ok := s.client.(*tls.Conn); ok {
			bind = f.binding
		}
		return auth.JudgedSCRAM(ctx, c, s.login, s.lookupFor(), bind, srv.mockKey, func(err error) error { return srv.judge(s, err) })
	case Passthrough:
		if err := s.confidential("a password"); err != nil {
			return auth.Secret{}, err
		}
		secret, err := auth.Password(ctx, c)
		if err == nil && s.lockedBy != 0 {
			return auth.Secret{}, s.again()
		}
		if err != nil {
			return auth.Secret{}, err
		}
		return srv.splitCode(ctx, s, secret)
	case Trust:
		if err := auth.TrustAllowed(s.client.RemoteAddr()); err != nil {
			return auth.Secret{}, newFatal("28000", "%w", err)
		}
		return auth.Secret{}, nil
	case Cert:
		return auth.Secret{}, nil // checkCert has seen it
	case OIDC:
		return auth.Secret{}, srv.oidc(ctx, s, c)
	case OAuth:
		return auth.Secret{}, srv.oauth(ctx, s, c)
	default:
		return auth.Secret{}, newFatal("28000", "no method of login is configured")
	}
}

// entry is what a login comes to, were it proved: an access, or the reason
// against it. The client learns neither before the server has let it in.
type entry struct {
	asker  asker // what the client said of who asks
	who    party
	denied error
}

// admission decides what a login comes to. With a schema that the policy does
// not fit, those without restrictions still get in: they are who can repair it.
func (srv *Server) admission(ctx context.Context, s *session, st *startup) entry {
	settings, err := st.settings()
	e := entry{asker: startupAsker(settings)}
	e.who, e.denied = srv.identify(s, e.asker)
	if e.denied == nil && free(e.who.access) {
		return e
	}
	engine, stale := srv.enforcer.current(ctx)
	if stale != nil {
		return entry{denied: newFatal("57P03", "%w", stale)}
	}
	if engine != s.engine {
		s.engine = engine
		e.who, e.denied = srv.identify(s, e.asker)
	}
	switch {
	case e.denied != nil || free(e.who.access):
	case err != nil:
		e.denied = err
	default:
		e.denied = errors.Join(s.deputy.checkSettings(settings), checkStartup(st, settings))
	}
	return e
}

// free tells whether nothing is kept from a caller: its role says so, or
// decisions are only recorded.
func free(a *policy.Access) bool { return a.Unrestricted || a.Observe }

// greeting gives the StartupMessage for the server: what the client asked for,
// with the keys of keyed masks where there are masks. A login that will be
// denied asks for nothing but to be checked.
func (srv *Server) greeting(st *startup, e entry) []byte {
	switch {
	case e.denied != nil:
		return st.bare().message(nil)
	case e.who.access.Unrestricted && !e.who.access.ActsForOthers:
		return st.message(nil)
	default:
		return st.message(srv.maskKeys)
	}
}

// identify finds what the policy says of a login. The client learns it only
// once it has proved who it is.
func (srv *Server) identify(s *session, a asker) (party, error) {
	who, err := s.decide(s.engine, a)
	switch {
	case err != nil:
		return who, newFatal("28000", "%w", err)
	case s.foreign && !free(who.access):
		return who, newFatal("42501", "database %q is not open to callers with restrictions", s.database)
	default:
		return who, nil
	}
}

// checkStartup decides what a caller with restrictions asks for at startup.
func checkStartup(st *startup, settings []param) error {
	if st.get("replication") != "" {
		return newFatal("42501", "replication is not open to callers with restrictions")
	}
	for _, p := range settings {
		if err := rewrite.CheckStartup(p.name, p.value); err != nil {
			return newFatal("42501", "%w", err)
		}
	}
	return nil
}

// deny tells a client why it does not get in, in the words that it may hear.
func (s *session) deny(err error) {
	var f *fatal
	var l *auth.LoginError
	var server *auth.ServerError
	switch {
	case errors.As(err, &server):
		s.toC.Frame('E', server.Body)
	case errors.As(err, &f):
		s.toC.Frame('E', wire.AppendFields(nil, f.fields("FATAL")))
	case errors.As(err, &l):
		s.toC.Frame('E', wire.AppendFields(nil, (&Refusal{Refusal: rewrite.Refusal{Code: l.Code, Message: l.Message}}).fields("FATAL")))
	default:
		s.toC.Frame('E', wire.AppendFields(nil, (&Refusal{Refusal: rewrite.Refusal{Code: "08006", Message: "the login could not be completed"}}).fields("FATAL")))
	}
	if err := s.toC.Flush(); err != nil {
		s.log.Debug("telling a client why it does not get in", "err", err)
	}
}

// recordLogin writes how a login ended.
func (s *session) recordLogin(err error) error {
	r := audit.Record{Session: s.id, Login: s.login, User: s.login, Client: s.addr, App: s.app, Database: s.database, Message: "login"}
	if a := s.plans.Access; err == nil {
		r.User, r.Ticket = a.User, s.ticket
		r.Roles, r.Purpose, r.Generation = a.Roles, a.Purpose, s.engine.Policy.Generation()
		if t := s.identity; t != nil {
			r.Reasons = []string{fmt.Sprintf("token of %s for %s", t.Issuer, t.Subject)}
		}
	} else {
		r.Decision, r.Message = string(rewrite.Refused), "login refused"
		if s.lockedBy != 0 {
			r.Message = "login refused, whatever its proof: too many have failed"
		}
		var l *auth.LoginError
		var server *auth.ServerError
		var f *fatal
		switch {
		case errors.As(err, &l):
			r.SQLState = l.Code
		case errors.As(err, &server):
			r.SQLState = server.Code()
		case errors.As(err, &f):
			r.SQLState = f.Code
		}
		if why := new(ruled); errors.As(err, &why) {
			r.Reasons = []string{why.rule}
		}
	}
	return s.srv.recordSession(r)
}

func (srv *Server) refusedLogin(s *session, err error) {
	if s.lockedBy != 0 {
		srv.metrics.logins.WithLabelValues("locked").Inc()
		s.log.Info("login refused", "addr", s.addr, "err", err, "locked", s.lockedBy.String())
		return
	}
	srv.metrics.logins.WithLabelValues("refused").Inc()
	s.log.Info("login refused", "addr", s.addr, "err", err)
}

// deny ends a connection that did not get as far as a login.
func (srv *Server) deny(conn net.Conn, err error) {
	if errors.Is(err, errCancelled) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return
	}
	srv.metrics.logins.WithLabelValues("malformed").Inc()
	srv.log.Info("connection refused", "addr", address(conn.RemoteAddr()), "err", err)
	var f *fatal
	if errors.As(err, &f) {
		goodbyeTo(conn, f)
	}
}

func expire(c net.Conn) {
	if err := c.SetDeadline(time.Unix(1, 0)); err != nil && !errors.Is(err, net.ErrClosed) {
		_ = c.Close() // a connection whose deadline cannot be set can only be closed
	}
}
