package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/rewrite"
)

// request is a data subject request that is being served. It runs ahead as far
// as its first row, so that what cannot be served is refused in order; the rest
// waits until the answer is due.
type request struct {
	cmd    privacy.Command
	rows   chan []string // closed when there are no more
	first  []string      // the row that was waited for, if any
	tag    string        // with err: valid once rows is closed
	err    error
	cancel context.CancelFunc
}

// begin runs a command up to its first row, or its end. The error says that it
// cannot be served at all.
func (srv *Server) begin(ctx context.Context, cmd privacy.Command, by requests.By) (*request, error) {
	ctx, cancel := context.WithCancel(ctx)
	r := &request{cmd: cmd, rows: make(chan []string), cancel: cancel}
	srv.tasks.Go(func() {
		defer close(r.rows)
		defer func() {
			if p := recover(); p != nil {
				srv.log.Error("panic in a data subject request", "panic", p, "stack", stack())
				r.err = errors.New("internal error in pgveil")
			}
		}()
		r.tag, r.err = srv.privacy.Run(ctx, cmd, by, func(row []string) error {
			select {
			case r.rows <- slices.Clone(row):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	first, more := <-r.rows
	if !more && r.err != nil {
		cancel()
		return nil, r.err
	}
	r.first = first
	return r, nil
}

// each gives every row of the answer, and the command tag.
func (r *request) each(emit func([]string) error) (tag string, err error) {
	defer r.cancel()
	if r.first != nil {
		if err := emit(r.first); err != nil {
			return "", err
		}
	}
	for row := range r.rows {
		if err := emit(row); err != nil {
			return "", err
		}
	}
	return r.tag, r.err
}

// parseCommand recognises a PRIVACY command. For any other text it allocates
// nothing.
func parseCommand(text []byte) (cmd privacy.Command, ok bool, err error) {
	if _, ok, _ := privacy.ParseCommand(view(text)); !ok {
		return cmd, false, nil
	}
	return privacy.ParseCommand(string(text)) // text is the read buffer's: the command must not keep it
}

// carrier gives the statement that is sent in a command's place: it has the
// columns of the answer and no row. The rows are put in when it ends.
func (s *session) carrier(text string, cmd privacy.Command, who party, parseErr error) (named, error) {
	plan := &rewrite.Plan{
		Text: text, Shape: cmd.Shape(), Decision: rewrite.Allowed, Changed: true, Governed: true,
		Access: who.access, Steps: []rewrite.Step{{Command: "PRIVACY", Effect: rewrite.Reads}},
	}
	if err := s.mayServe(cmd, who, parseErr); err != nil {
		return named{}, withPlan(err, plan)
	}
	var cols []string
	for _, c := range answerColumns(cmd) {
		cols = append(cols, `NULL::pg_catalog.text AS "`+strings.ReplaceAll(c, `"`, `""`)+`"`)
	}
	plan.SQL = "SELECT " + strings.Join(cols, ", ") + " WHERE false"
	if cmd.Parameter {
		plan.SQL += " AND $1::pg_catalog.text IS NULL"
	}
	return named{plan: plan, privacy: &cmd}, nil
}

// answerColumns names the columns of a command's answer, all of which are text.
func answerColumns(cmd privacy.Command) []string {
	if cols := ownColumns(cmd.Verb); cols != nil {
		return cols
	}
	return requests.Columns(cmd)
}

func withPlan(err error, p *rewrite.Plan) error {
	var r *rewrite.Refusal
	if errors.As(err, &r) {
		r.Plan = p
	}
	return err
}

// mayServe refuses a command that the caller may not give here. What else a
// command about elevations needs is looked at when it runs.
func (s *session) mayServe(cmd privacy.Command, who party, parseErr error) error {
	right := cmd.Right()
	forOthers := right != "" || cmd.Numbered()
	switch {
	case parseErr != nil:
		return refuseRequest(parseErr)
	case s.foreign || forOthers && s.srv.privacy == nil && ownColumns(cmd.Verb) == nil:
		return &rewrite.Refusal{Code: "0A000", Message: "PRIVACY commands are not served here", Hint: "connect to the database that the policy is for"}
	case cmd.Numbered() && !servesAny(who.access):
		return &rewrite.Refusal{Code: "42501", Message: "your roles may not serve data subjects", Hint: "ask for a role with rights under privacy"}
	case right != "":
		return refuseRequest(mayServe(who.access, right))
	default:
		return nil
	}
}

// servesAny tells whether an access has a right of data subjects to serve: which
// one a command needs that is about a request by its number is known when the
// request is.
func servesAny(a *policy.Access) bool {
	return slices.ContainsFunc(policy.RequestTypes(), func(t policy.RequestType) bool { return a.Holds(t.Right()) })
}

// mayServe says why an access may not serve a right; nil: it may.
func mayServe(a *policy.Access, right string) error {
	switch {
	case a.Lacks(right):
		return privacy.Fail(privacy.NotAllowed, "give it for this session: PRIVACY MFA 123456", "to %s needs a second factor", serves(right))
	case !a.May(right):
		return privacy.Fail(privacy.NotAllowed, fmt.Sprintf("ask for a role with the right %q under privacy", right), "your roles may not %s", serves(right))
	default:
		return nil
	}
}

// officer is who gives a command to the service, and what they may.
func officer(a *policy.Access) requests.By {
	return requests.By{User: a.User, Proven: a.Claim.Proven(), May: func(right string) error { return mayServe(a, right) }}
}

// serves says what a right is to.
func serves(right string) string {
	switch right {
	case containRight:
		return right + " users"
	case "hold":
		return "hold rows back from erasure"
	default:
		return right + " data subjects"
	}
}

// refuseRequest turns what the service says into a refusal.
func refuseRequest(err error) error {
	var e *privacy.Error
	if errors.As(err, &e) {
		return &rewrite.Refusal{Code: string(e.Code), Message: e.Message, Hint: e.Hint, Position: e.Position}
	}
	return err
}

// request gives the request that a flight carries, once it is certain that it
// can be served; nil for anything but a request.
func (s *session) request(ctx context.Context, made *named) (*request, error) {
	if made.privacy == nil {
		return nil, nil
	}
	if s.hurriedC {
		return nil, errWaits
	}
	cmd := *made.privacy
	if cmd.Parameter { // there is none in a simple query
		return nil, withPlan(&rewrite.Refusal{Code: "42P02", Message: "there is no parameter $1"}, made.plan)
	}
	if err := s.mayServe(cmd, made.by, nil); err != nil {
		return nil, withPlan(err, made.plan)
	}
	if err := s.curbedCommand(ctx, cmd.Verb, made.by.access); err != nil {
		return nil, withPlan(err, made.plan)
	}
	if ownColumns(cmd.Verb) != nil {
		if err := s.takesTurn(); err != nil {
			return nil, withPlan(err, made.plan)
		}
		rows, err := s.runOwn(ctx, cmd, made.by.access)
		if err != nil {
			return nil, withPlan(refuseRequest(err), made.plan)
		}
		return answered(cmd, rows), nil
	}
	if cmd.Changes() {
		r, err := s.writeDown(ctx, cmd, made)
		return r, withPlan(refuseRequest(err), made.plan)
	}
	r, err := s.srv.begin(ctx, cmd, officer(made.by.access))
	if err != nil {
		return nil, withPlan(refuseRequest(err), made.plan)
	}
	return r, nil
}

// answered is a request whose answer is there.
func answered(cmd privacy.Command, rows [][]string) *request {
	r := &request{cmd: cmd, rows: make(chan []string, len(rows)), tag: cmd.Verb.Tag(), cancel: func() {}}
	for _, row := range rows {
		r.rows <- row
	}
	close(r.rows)
	return r
}

// fulfil puts the rows of a request in before the end of its carrier. An error
// amid the rows ends the session: what was sent cannot be taken back, and must
// not be taken for all of it.
func (s *session) fulfil(ctx context.Context, f *flight) error {
	r := s.privacyRecord(f, "begun")
	if _, err := s.srv.audit.Append(&r); err != nil {
		return newFatal("58030", "the access log cannot be written: %w", err)
	}
	s.asked(f)
	tag, err := f.privacy.each(func(row []string) error {
		f.rows++
		s.toC.Frame('D', dataRow(row))
		return s.flushAnswers(ctx)
	})
	outcome := "done"
	if err != nil {
		outcome = "failed"
	}
	r = s.privacyRecord(f, outcome)
	r.Rows = f.rows
	if _, logErr := s.srv.audit.Append(&r); logErr != nil {
		return newFatal("58030", "the access log cannot be written: %w", logErr)
	}
	if err != nil {
		return newFatal("XX000", "the data subject request could not be completed: what was sent is not all of it: %w", refuseRequest(err))
	}
	f.tag = tag
	s.toC.Frame('C', append([]byte(tag), 0))
	return nil
}

func (s *session) privacyRecord(f *flight, outcome string) audit.Record {
	a := f.by.access
	return audit.Record{
		Kind: audit.KindPrivacy, Ref: f.seq, Session: s.id, Login: s.login, User: a.User, Roles: a.Roles, Purpose: a.Purpose, Ticket: f.by.ticket,
		Client: s.addr, Database: s.database, Command: "PRIVACY", Shape: f.plan.Shape, Message: outcome,
	}
}

func dataRow(row []string) []byte {
	b := bytes.NewBuffer(make([]byte, 0, 256))
	b.Write(binary.BigEndian.AppendUint16(nil, uint16(len(row))))
	for _, v := range row {
		b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(v))))
		b.WriteString(v)
	}
	return b.Bytes()
}
