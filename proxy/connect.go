package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/pgveil/pgveil/proxy/auth"
	"github.com/pgveil/pgveil/proxy/wire"
)

// elsewhere is why a host does not serve a login that another host may serve.
type elsewhere struct{ cause error }

func (e *elsewhere) Error() string { return e.cause.Error() }
func (e *elsewhere) Unwrap() error { return e.cause }

// cannotConnectNow is the SQLSTATE of a server that starts or recovers. As in
// libpq it is the one refusal after which the next host is tried.
const cannotConnectNow = "57P03"

// passOver marks an error of a server that cannot take anybody yet.
func passOver(err error) error {
	var refused *auth.ServerError
	if errors.As(err, &refused) && refused.Code() == cannotConnectNow {
		return &elsewhere{err}
	}
	return err
}

// connect logs in as the client to the first host that serves it. A refusal of
// the login itself is final: the hosts hold the same data.
func (srv *Server) connect(ctx context.Context, s *session, st *startup) error {
	e := srv.admission(ctx, s, st)
	var tried []error
	for _, target := range srv.upstream.Target.passes() {
		for _, h := range srv.upstream.order() {
			said, err := srv.connectTo(ctx, s, st, h, target, e)
			var next *elsewhere
			switch {
			case err == nil:
				s.lookup.Use(s.engine, s.plans)
				s.toC.Frame('R', []byte{0, 0, 0, 0})
				s.toC.Copy(said)
				return nil
			case !errors.As(err, &next) || ctx.Err() != nil:
				if said != nil {
					s.toC.Frame('R', []byte{0, 0, 0, 0}) // the login itself was in order
					s.toC.Copy(said)
				}
				return err
			}
			s.log.Info("a host does not serve the login", "host", h.Address, "err", err)
			tried = append(tried, err)
		}
	}
	if t := srv.upstream.Target; t != AnyServer {
		return newFatal("08001", "no server that is %s can be reached: %w", t, errors.Join(tried...))
	}
	return newFatal("08001", "the server cannot be reached: %w", errors.Join(tried...))
}

// sessionParameter tells a login that acts for others which session it is in, as
// one more parameter of the server's: a token can be signed for that session
// alone, by its claim sid.
const sessionParameter = "pgveil.session"

// connectTo logs in to one host, and gives what it said to the client until it
// was ready. On an error it has closed its connection.
func (srv *Server) connectTo(ctx context.Context, s *session, st *startup, h Host, target Target, e entry) (said []byte, err error) {
	s.backend.From = time.Now()
	conn, r, err := srv.upstream.reach(ctx, h, srv.greeting(st.as(s.deputy), e))
	if err != nil {
		return nil, &elsewhere{err}
	}
	stop := context.AfterFunc(ctx, func() { expire(conn) })
	defer func() {
		stop()
		if err != nil {
			srv.closeConn(conn)
			s.upstream = nil
		}
	}()
	s.host, s.upstream, s.fromS, s.toS = h, conn, r, wire.NewWriter(conn)
	s.host.Address = conn.RemoteAddr().String() // a name may stand for several servers
	s.key, s.serverKey = cancelKey{}, nil       // not those of the host before
	err = auth.Login(ctx, authConn{s.fromS, s.toS}, s.deputy.login, s.deputy.secret, auth.LoginOptions{
		Trust: s.deputy.trust, Binding: binding(conn), Private: srv.upstream.private(conn),
		Negotiated: func(body []byte) error { return srv.upstream.settles(h, body, st.minor) },
	})
	if s.method == Passthrough {
		err = srv.judge(s, srv.checkCode(ctx, s, err))
	}
	if err != nil {
		return nil, s.deputy.hide(s, passOver(err))
	}
	if e.denied != nil {
		return nil, e.denied
	}
	s.asker = e.asker
	s.becomes(s.engine, e.who)
	if s.appended.given {
		s.factor = s.gives(s.login)
		if err := s.identify(s.engine, s.asker); err != nil {
			return nil, err
		}
	}
	said, is, err := s.welcome(st.minor)
	if e.who.access.ActsForOthers {
		said = wire.AppendFrame(said, 'S', append(append(wire.CString(sessionParameter), s.id...), 0))
	}
	if err == nil {
		err = s.assume(s.deputy)
	}
	if err == nil && target != AnyServer {
		err = s.checkTarget(target, is)
	}
	return said, passOver(err)
}

// settles takes a NegotiateProtocolVersion during a login.
func (u *servers) settles(h Host, body []byte, asked int) error {
	minor, err := negotiated(body, asked)
	if err == nil {
		u.speaks(h, minor)
	}
	return err
}

// welcome takes what the server says between AuthenticationOk and its first
// ReadyForQuery, and gives it as the client shall hear it; also before an error
// of the server's. The cancel key that the client gets has a secret of our own.
func (s *session) welcome(minor int) (said []byte, is role, err error) {
	said = []byte{}
	for {
		frame, err := s.fromS.Whole(maxAnswer)
		if err != nil {
			return nil, is, newFatal("08006", "the connection to the server was lost: %w", err)
		}
		switch frame[0] {
		case 'S':
			if err := s.parameter(frame); err != nil {
				return nil, is, err
			}
			is.hear(frame)
			said = append(said, frame...)
		case 'N':
			said = append(said, frame...)
		case 'K':
			key := frame[wire.HeadLen:]
			if len(key) < 4+shortSecret || len(key) > 4+maxSecret {
				return nil, is, newFatal("08P01", "the server: malformed BackendKeyData")
			}
			s.serverKey = append([]byte(nil), key...)
			s.noteBackend(binary.BigEndian.Uint32(key))
			s.key = cancelKey{pid: binary.BigEndian.Uint32(key), secret: newSecret(minor)}
			said = append(said, 'K')
			said = binary.BigEndian.AppendUint32(said, uint32(8+len(s.key.secret)))
			said = append(append(said, key[:4]...), s.key.secret...)
		case 'E':
			return said, is, &auth.ServerError{Body: append([]byte(nil), frame[wire.HeadLen:]...)}
		case 'Z':
			return said, is, nil // the client is told once its login is recorded
		default:
			return nil, is, newFatal("08P01", "the server sent a message of type %q before it was ready", frame[0])
		}
	}
}

// hear takes what a ParameterStatus says of the server's role.
func (r *role) hear(frame []byte) {
	b := wire.BodyOf(frame)
	switch name, value := string(b.String()), string(b.String()); name {
	case "in_hot_standby":
		r.standby = value
	case "default_transaction_read_only":
		r.readOnly = value
	}
}

// checkTarget tells whether the session is on a server that is looked for. What
// the server does not report by itself, a proxy before it say, it is asked.
func (s *session) checkTarget(target Target, is role) error {
	if is.standby == "" || is.readOnly == "" {
		recovery, err := s.inquire("SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'on' ELSE 'off' END")
		if err != nil {
			return err
		}
		readOnly, err := s.inquire("SHOW default_transaction_read_only")
		if err != nil {
			return err
		}
		is = role{recovery, readOnly}
	}
	if !target.fits(is) {
		return &elsewhere{fmt.Errorf("the session on %s is not %s", s.host.Address, target)}
	}
	return nil
}

// inquire runs a query of one value before the session begins.
func (s *session) inquire(sql string) (value string, err error) {
	s.toS.Frame('Q', wire.CString(sql))
	if err := s.toS.Flush(); err != nil {
		return "", newFatal("08006", "the connection to the server was lost: %w", err)
	}
	for {
		frame, err := s.fromS.Whole(maxAnswer)
		if err != nil {
			return "", newFatal("08006", "the connection to the server was lost: %w", err)
		}
		switch frame[0] {
		case 'D':
			b := wire.BodyOf(frame)
			b.Int16()
			if value = string(b.Bytes(b.Int32())); b.Err() != nil {
				return "", b.Err()
			}
		case 'E':
			return "", &auth.ServerError{Body: append([]byte(nil), frame[wire.HeadLen:]...)}
		case 'Z':
			return value, nil
		case 'T', 'C', 'N', 'S':
		default:
			return "", newFatal("08P01", "the server sent a message of type %q before it was ready", frame[0])
		}
	}
}
