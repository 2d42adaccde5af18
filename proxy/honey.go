package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// honey is the planted records as they were last read from the database, which
// all proxies share. It is not changed once it is in force.
type honey struct{ keys map[subject]struct{} }

// ReadHoney reads which records are planted. It is called every second or so.
// What was read last counts until something else can be read: a trap does not
// open because the database is slow.
func (srv *Server) ReadHoney(ctx context.Context) error {
	if srv.state == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	all, err := srv.state.Honey(ctx)
	var said *privacy.Error
	if errors.As(err, &said) && !srv.enforcer.Engine().Policy.Honey().Wants() {
		return nil // no table, and nobody asked for one
	}
	var unreadable *state.UnreadableError
	if err == nil || errors.As(err, &unreadable) { // a row that somebody else wrote does not disarm the others
		srv.setHoney(all)
	}
	if err != nil {
		return fmt.Errorf("planted records: %w", err)
	}
	return nil
}

func (srv *Server) setHoney(all []state.Honey) {
	if len(all) == 0 {
		srv.honey.Store(nil)
		return
	}
	h := &honey{keys: make(map[subject]struct{}, len(all))}
	for _, planted := range all {
		h.keys[subject{planted.Kind, planted.Key}] = struct{}{}
	}
	srv.honey.Store(h)
}

// trap looks at the subjects of one flight. nil is for when nothing is planted.
type trap struct {
	session *session
	honey   *honey
	sprung  []string // the kinds of which it was told
}

// newTrap gives the trap for a flight that is about to be sent.
func (s *session) newTrap() *trap {
	if h := s.srv.honey.Load(); h != nil {
		return &trap{session: s, honey: h}
	}
	return nil
}

// look springs the trap where a subject is a planted record. It is called before
// the row leaves.
func (t *trap) look(kind string, key []byte) {
	if t == nil || slices.Contains(t.sprung, kind) {
		return
	}
	if _, planted := t.honey.keys[subject{kind, string(key)}]; !planted {
		return
	}
	t.sprung = append(t.sprung, kind)
	f := t.session.first()
	t.session.touched(kind, f.by.access, f.seq)
}

// over is why the row in hand must not be sent on: what sprang the trap has ended
// the session. nil while it goes on.
func (t *trap) over() error {
	if t == nil || len(t.sprung) == 0 {
		return nil
	}
	return t.session.reason()
}

// asked springs the trap where a data subject request is about a planted record
// by its key: nobody who is not there asks for their data.
func (s *session) asked(f *flight) {
	t, cmd := s.newTrap(), f.privacy.cmd
	if t != nil && cmd.Key.Column == "" && len(cmd.Key.Values) == 1 {
		t.look(cmd.Subject, []byte(cmd.Key.Values[0]))
	}
}

// touched tells of a planted record that somebody reads or changes, and does what
// the policy says about it. seq is the record of the statement, in the access log.
func (s *session) touched(kind string, by *policy.Access, seq uint64) {
	honey := s.srv.enforcer.Engine().Policy.Honey()
	if by == nil {
		by = policy.Nobody(policy.Claim{Login: s.login})
	}
	if honey.Excepts(by) {
		return
	}
	s.srv.metrics.honey.Inc()
	s.srv.respond(s, alert.Event{
		Name: "honey_touched", Severity: alert.Critical, User: by.User, Message: "a planted record was read or changed",
		Details: []slog.Attr{
			slog.String("kind", kind), slog.Uint64("record", seq),
			slog.String("roles", strings.Join(by.Roles, " ")), slog.String("purpose", by.Purpose),
		},
	}, honey.Then)
}
