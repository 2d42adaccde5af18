package wirescript

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Target is where a block runs.
type Target struct {
	Dial       func(ctx context.Context) (net.Conn, error)
	Parameters map[string]string                           // of the StartupMessage: user, database, …
	Asleep     func(ctx context.Context, pid uint32) error // waits until that server process is in pg_sleep
	Brief      bool                                        // of errors and notices show severity and SQLSTATE only
}

// patience is how long a block may take before something is stuck.
const patience = 30 * time.Second

// Run runs a block and gives its transcript. On an error the transcript tells
// how far it came.
func (b *Block) Run(ctx context.Context, t Target) (transcript string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := &run{target: t, sessions: map[string]*session{}}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.on(ctx, "main"); err != nil {
		return "", err
	}
	for _, st := range b.steps {
		if err := r.step(ctx, st); err != nil {
			return r.out.String(), fmt.Errorf("line %d: %s: %w", st.line, st.verb, err)
		}
	}
	return r.out.String(), nil
}

// run is one run of a block.
type run struct {
	target   Target
	sessions map[string]*session
	name     string // of the session that directives are about
	out      strings.Builder
}

// session is one session of a run.
type session struct {
	conn net.Conn
	f    *pgproto3.Frontend
	key  pgproto3.BackendKeyData
	sent chan error // the outcome of what was sent last, and before
}

func (r *run) step(ctx context.Context, st step) error {
	s := r.sessions[r.name]
	if s == nil && st.verb != "on" {
		return errors.New("the session is closed")
	}
	switch st.verb {
	case "send":
		return r.send(s, st)
	case "until":
		return r.until(s, st.args)
	case "receive":
		return r.receive(s, st.args)
	case "end":
		return r.end(s)
	case "on":
		return r.on(ctx, st.args[0])
	case "cancel":
		if len(st.args) > 0 {
			s = r.sessions[st.args[0]]
		}
		return r.cancel(ctx, s)
	case "asleep":
		return r.target.Asleep(ctx, s.key.ProcessID)
	case "drop":
		delete(r.sessions, r.name)
		return errors.Join(s.written(), s.conn.Close())
	default:
		return fmt.Errorf("internal error: no such directive")
	}
}

// send writes beside the steps that follow: a server that sends may read no
// more until somebody reads what it sends.
func (r *run) send(s *session, st step) error {
	var b []byte
	for range st.n {
		for _, m := range st.send {
			var err error
			if b, err = m.Encode(b); err != nil {
				return err
			}
		}
	}
	before, sent := s.sent, make(chan error, 1)
	s.sent = sent
	go func() {
		var err error
		if before != nil {
			err = <-before
		}
		if err == nil {
			_, err = s.conn.Write(b)
		}
		sent <- err
	}()
	return nil
}

// written waits until what was sent is written.
func (s *session) written() error {
	if s.sent == nil {
		return nil
	}
	err := <-s.sent
	s.sent = nil
	return err
}

func (r *run) until(s *session, types []string) error {
	for _, typ := range types {
		for {
			got, _, err := r.take(s)
			if err != nil {
				return fmt.Errorf("waiting for %s: %w", typ, err)
			}
			if got == typ {
				break
			}
		}
	}
	return nil
}

func (r *run) receive(s *session, args []string) error {
	got, code, err := r.take(s)
	switch {
	case err != nil:
		return err
	case got != args[0]:
		return fmt.Errorf("%s came, want %s", got, args[0])
	case len(args) > 1 && code != args[1]:
		return fmt.Errorf("SQLSTATE %s came, want %s", code, args[1])
	default:
		return nil
	}
}

func (r *run) end(s *session) error {
	for {
		_, _, err := r.take(s)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
			fmt.Fprintf(&r.out, "%s: end\n", r.name)
			delete(r.sessions, r.name)
			return s.conn.Close()
		case err != nil:
			return err
		}
	}
}

// take takes one message and writes it down.
func (r *run) take(s *session) (typ, code string, err error) {
	m, err := s.f.Receive()
	if err != nil {
		return "", "", err
	}
	typ = strings.TrimPrefix(reflect.TypeOf(m).String(), "*pgproto3.")
	text, code, err := show(m)
	fmt.Fprintf(&r.out, "%s: %s%s\n", r.name, typ, text)
	return typ, code, err
}

// on goes on in the named session, which the first call opens.
func (r *run) on(ctx context.Context, name string) error {
	r.name = name
	if r.sessions[name] != nil {
		return nil
	}
	conn, err := r.target.Dial(ctx)
	if err != nil {
		return err
	}
	s := &session{conn: conn, f: pgproto3.NewFrontend(conn, conn)}
	r.sessions[name] = s
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	return s.login(r.target.Parameters)
}

// login waits until the server is ready.
func (s *session) login(parameters map[string]string) error {
	s.f.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: parameters})
	if err := s.f.Flush(); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	for {
		m, err := s.f.Receive()
		if err != nil {
			return fmt.Errorf("log in: %w", err)
		}
		switch m := m.(type) {
		case *pgproto3.AuthenticationOk, *pgproto3.ParameterStatus, *pgproto3.NoticeResponse:
		case *pgproto3.BackendKeyData:
			s.key = *m
			s.key.SecretKey = append([]byte(nil), m.SecretKey...)
		case *pgproto3.ReadyForQuery:
			return nil
		case *pgproto3.ErrorResponse:
			return fmt.Errorf("log in: %s %s", m.Code, m.Message)
		default:
			return fmt.Errorf("log in: unexpected %T", m)
		}
	}
}

// cancel returns when the server has acted on the request.
func (r *run) cancel(ctx context.Context, s *session) error {
	if s == nil {
		return errors.New("no such session")
	}
	conn, err := r.target.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	request, err := (&pgproto3.CancelRequest{ProcessID: s.key.ProcessID, SecretKey: s.key.SecretKey}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

func (r *run) close() error {
	var errs []error
	for _, s := range r.sessions {
		errs = append(errs, s.conn.Close())
		_ = s.written() // what is not written by now, no step waits for
	}
	return errors.Join(errs...)
}

// firstObject is FirstNormalObjectId in PostgreSQL's access/transam.h: objects
// from there on are not the system's own.
const firstObject = 16384

// show writes a message down in one line, without what differs from session to
// session. code is the SQLSTATE of errors and notices.
func show(m pgproto3.BackendMessage) (text, code string, err error) {
	switch m := m.(type) {
	case *pgproto3.ErrorResponse:
		return fields(m), m.Code, nil
	case *pgproto3.NoticeResponse:
		return fields((*pgproto3.ErrorResponse)(m)), m.Code, nil
	case *pgproto3.NotificationResponse:
		m.PID = 0
	case *pgproto3.RowDescription:
		for i := range m.Fields {
			f := &m.Fields[i]
			f.TableOID, f.DataTypeOID = erase(f.TableOID), erase(f.DataTypeOID)
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		return "", "", err
	}
	if len(b) > 2000 {
		return fmt.Sprintf(" %d bytes, SHA-256 %x", len(b), sha256.Sum256(b)), "", nil
	}
	return " " + string(b), "", nil
}

// Brief takes out of a transcript what errors and notices say beyond their
// severity and SQLSTATE.
func Brief(transcript string) string {
	var b strings.Builder
	for line := range strings.Lines(transcript) {
		line, _, _ = strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		b.WriteString(line + "\n")
	}
	return b.String()
}

func erase(oid uint32) uint32 {
	if oid >= firstObject {
		return firstObject
	}
	return oid
}

func fields(e *pgproto3.ErrorResponse) string {
	s := fmt.Sprintf(" %s %s", e.SeverityUnlocalized, e.Code)
	return s + fmt.Sprintf("\t%q detail=%q hint=%q position=%d internal=%q:%d where=%q object=%q,%q,%q,%q,%q",
		e.Message, e.Detail, e.Hint, e.Position, e.InternalQuery, e.InternalPosition, e.Where, e.SchemaName, e.TableName, e.ColumnName, e.DataTypeName, e.ConstraintName)
}
