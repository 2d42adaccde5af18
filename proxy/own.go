package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// ownColumns names the columns of the answer to a command about sessions, the
// caller's own or others', and about elevations; nil for every other command.
func ownColumns(v privacy.Verb) []string {
	switch v {
	case privacy.VerbMFA, privacy.VerbAccess:
		return []string{"what", "is"}
	case privacy.VerbLimits:
		return []string{"limit", "of", "used", "left", "free_again", "then"}
	case privacy.VerbElevate, privacy.VerbApprove, privacy.VerbDeny, privacy.VerbRevoke, privacy.VerbReview, privacy.VerbElevations:
		return []string{"number", "user", "purpose", "state", "asked", "left", "reason", "decided_by", "decision", "reviewed_by", "review"}
	default:
		return ContainmentColumns(v)
	}
}

// runOwn runs such a command for who.
func (s *session) runOwn(ctx context.Context, cmd privacy.Command, who *policy.Access) ([][]string, error) {
	if cmd.Verb == privacy.VerbAccess {
		return s.describeAccess(who), nil
	}
	if cmd.Verb == privacy.VerbLimits {
		return s.describeLimits(ctx, who)
	}
	if ContainmentColumns(cmd.Verb) != nil {
		return s.srv.RunContainment(ctx, cmd, Officer{Access: who, From: s.base.From, Session: s.id})
	}
	if s.srv.state == nil {
		return nil, privacy.Fail(privacy.NotAvailable, "", "pgveil remembers nothing here")
	}
	switch cmd.Verb {
	case privacy.VerbMFA:
		return s.takeFactor(ctx, cmd.Code, who)
	case privacy.VerbElevate:
		return s.elevate(ctx, cmd, who)
	case privacy.VerbElevations:
		return s.listElevations(ctx, who)
	default:
		return s.judge(ctx, cmd, who)
	}
}

// describeAccess says who asks, and what that comes to.
func (s *session) describeAccess(who *policy.Access) [][]string {
	rows := [][]string{
		{"login", who.Login},
		{"user", who.User},
		{"roles", strings.Join(who.Roles, ", ")},
		{"purpose", who.Purpose},
		{"permitted purposes", strings.Join(who.Purposes, ", ")},
	}
	if !who.Until.IsZero() {
		rows = append(rows, []string{"until", who.Until.UTC().Format(time.DateTime) + " UTC"})
	}
	factor := "not given"
	if who.Claim.Second {
		factor = "given"
	}
	rows = append(rows, []string{"second factor", factor}, []string{"session", s.id})
	for _, o := range who.Offers() {
		rows = append(rows, []string{"elevation to", o.String()})
	}
	for _, why := range who.Why() {
		rows = append(rows, []string{"because", why})
	}
	return rows
}

// takeFactor checks a one-time code of whoever acts. It counts in this session,
// for that user.
func (s *session) takeFactor(ctx context.Context, code string, who *policy.Access) ([][]string, error) {
	if !who.Claim.Proven() {
		return nil, privacy.Fail(privacy.NotAllowed, "sign a token for the user", "a second factor needs a user who is known for certain")
	}
	if err := s.srv.state.CheckFactor(ctx, who.User, code, s.srv.now()); err != nil {
		return nil, err
	}
	s.factor = s.gives(who.User)
	counts := "for this session"
	if !s.factor.until.IsZero() {
		counts = "for " + s.engine.Policy.SecondFactor().String()
	}
	return [][]string{{"second factor", "accepted " + counts}}, s.identify(s.engine, s.asker)
}

// elevate asks for a purpose for whoever acts.
func (s *session) elevate(ctx context.Context, cmd privacy.Command, who *policy.Access) ([][]string, error) {
	if !who.Claim.Proven() {
		return nil, privacy.Fail(privacy.NotAllowed, "sign a token for the user", "an elevation needs a user who is known for certain")
	}
	offers := who.Offers()
	i := slices.IndexFunc(offers, func(o policy.Offer) bool { return o.Purpose == cmd.Purpose })
	switch {
	case i < 0:
		return nil, privacy.Fail(privacy.NotAllowed, offered(offers), "your roles cannot be elevated to purpose %q", cmd.Purpose)
	case offers[i].Second:
		return nil, privacy.Fail(privacy.NotAllowed, "give it for this session: PRIVACY MFA 123456", "an elevation to %s needs a second factor", cmd.Purpose)
	case cmd.For > offers[i].Longest:
		return nil, privacy.Fail(privacy.NotAllowed, "ask for less", "an elevation to %s lasts %s at most", cmd.Purpose, offers[i].Longest)
	}
	made, err := s.srv.state.Elevate(ctx, state.Elevation{
		Login: s.login, User: who.User, Role: offers[i].Role, Purpose: cmd.Purpose, Reason: cmd.Because,
		Approval: offers[i].Approval.String(), For: cmd.For,
	})
	if err != nil {
		return nil, err
	}
	s.srv.alert(s, alert.Event{
		Name: "elevation", Severity: alert.Warning, Message: "an elevation was asked for", User: made.User,
		Details: []slog.Attr{slog.Int64("number", made.ID), slog.String("purpose", made.Purpose), slog.String("state", made.State)},
	})
	return elevationRows(made), s.reread(ctx)
}

func offered(offers []policy.Offer) string {
	if len(offers) == 0 {
		return "they cannot be elevated at all"
	}
	words := make([]string, len(offers))
	for i, o := range offers {
		words[i] = o.String()
	}
	return "there is " + strings.Join(words, "; ")
}

// judge decides an elevation: approves, denies, revokes or reviews it. Nobody
// approves or reviews their own; to give up one's own is free.
func (s *session) judge(ctx context.Context, cmd privacy.Command, who *policy.Access) ([][]string, error) {
	e, err := s.srv.state.Elevation(ctx, cmd.ID)
	if err != nil {
		return nil, err
	}
	own := e.User == who.User && who.Claim.Proven()
	gives := cmd.Verb == privacy.VerbApprove || cmd.Verb == privacy.VerbReview
	switch {
	case own && gives:
		return nil, privacy.Fail(privacy.NotAllowed, "a second person does", "nobody approves or reviews what they asked for")
	case !own && !who.Decides(e.Role, e.Purpose):
		// Whether it exists is for those who may decide it.
		return nil, privacy.Fail(privacy.NotFound, "PRIVACY SHOW ELEVATIONS lists those that you may decide", "there is no such elevation")
	}
	switch cmd.Verb {
	case privacy.VerbApprove:
		err = s.srv.state.Approve(ctx, e.ID, who.User, cmd.Because)
	case privacy.VerbDeny:
		err = s.srv.state.Deny(ctx, e.ID, who.User, cmd.Because)
	case privacy.VerbRevoke:
		err = s.srv.state.Revoke(ctx, e.ID, who.User, cmd.Because)
	case privacy.VerbReview:
		err = s.srv.state.Review(ctx, e.ID, who.User, cmd.Because)
	default:
		err = fmt.Errorf("internal error: no decision: verb %d", cmd.Verb)
	}
	if err != nil {
		return nil, err
	}
	if e, err = s.srv.state.Elevation(ctx, cmd.ID); err != nil {
		return nil, err
	}
	return elevationRows(e), s.reread(ctx)
}

// reread puts in force at once what the session itself has changed.
func (s *session) reread(ctx context.Context) error {
	if err := s.srv.ReadElevations(ctx); err != nil {
		s.log.Error("an elevation was decided and cannot be read again", "err", err)
		return privacy.Fail(privacy.SchemaChanged, "PRIVACY SHOW ELEVATIONS says how it stands", "it is written down, but it is not certain that it is in force")
	}
	return nil
}

// listElevations gives the caller's own, and those that the caller may decide.
func (s *session) listElevations(ctx context.Context, who *policy.Access) ([][]string, error) {
	all, err := s.srv.state.Elevations(ctx)
	if err != nil {
		return nil, err
	}
	return elevationRows(slices.DeleteFunc(all, func(e state.Elevation) bool {
		return !(e.User == who.User && who.Claim.Proven()) && !who.Decides(e.Role, e.Purpose)
	})...), nil
}

func elevationRows(all ...state.Elevation) [][]string {
	rows := make([][]string, len(all))
	for i, e := range all {
		how, left := e.State, ""
		switch {
		case e.State != "granted":
		case e.Left > 0:
			left = e.Left.Round(time.Second).String()
		case e.Approval == "after" && e.Reviewed == "":
			how = "over, not reviewed"
		default:
			how = "over"
		}
		rows[i] = []string{
			strconv.FormatInt(e.ID, 10), e.User, e.Purpose, how, e.Asked.UTC().Format(time.DateTime), left, e.Reason,
			e.Decided, e.Decision, e.Reviewed, e.Review,
		}
	}
	return rows
}
