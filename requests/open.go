package requests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/regime"
	"github.com/pgveil/pgveil/state"
)

// asked is what a rectification is to make of a row.
type asked struct {
	Table   string           `json:"table,omitempty"`
	Row     []string         `json:"row,omitempty"`
	Changes []privacy.Change `json:"changes"`
}

// open writes a new request down. One that is to run at once does so as soon as
// it has what it needs, which may be now.
func (s *Service) open(ctx context.Context, cmd privacy.Command, by By, witness Witness) ([][]string, error) {
	r, err := s.drafted(ctx, cmd, by)
	if err != nil {
		return nil, err
	}
	var planned *Plan
	if !needsPeople(r) {
		if planned, err = s.makePlan(ctx, r); err != nil {
			return nil, err
		}
	}
	err = s.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) error {
		if err := s.times(ctx, tx, &r, cmd.Request.Received); err != nil {
			return err
		}
		if r, err = state.AddRequest(ctx, tx, r); err != nil {
			return err
		}
		if err := note(ctx, tx, r, by.User, openedBy(by), cmd.Because, witness); err != nil {
			return err
		}
		if r.Verified != nil {
			if err := note(ctx, tx, r, by.User, "identity checked: "+r.Identity, cmd.Request.Evidence, witness); err != nil {
				return err
			}
		}
		if planned != nil {
			if err := adopt(ctx, tx, &r, planned, by.User, witness); err != nil {
				return err
			}
		}
		return s.settle(ctx, tx, &r)
	})
	if err != nil {
		return nil, err
	}
	lacks, err := s.lacking(ctx, r)
	return [][]string{s.row(r, lacks)}, err
}

// openedBy is what the event of an opening says.
func openedBy(by By) string {
	if by.Proven {
		return "opened"
	}
	return "opened, in a name that nobody has proven"
}

// needsPeople tells whether what a request would do is for PLAN to say: for an
// erasure that is more work than one who only writes a letter down wants to wait
// for.
func needsPeople(r state.Request) bool { return r.What == policy.Erasure.String() && !r.AtOnce }

// drafted gives the request that a command opens.
func (s *Service) drafted(ctx context.Context, cmd privacy.Command, by By) (state.Request, error) {
	what := cmd.Request.What
	switch cmd.Verb {
	case privacy.VerbErase:
		what = policy.Erasure
	case privacy.VerbRectify:
		what = policy.Rectification
	}
	if err := by.may(what.Right()); err != nil {
		return state.Request{}, err
	}
	if what != policy.Restriction && what != policy.Objection && cmd.Purpose != "" {
		return state.Request{}, privacy.Fail(privacy.Syntax, "", "a purpose is for restrictions and objections")
	}
	set, _ := s.Data.Current()
	r := state.Request{
		What: what.String(), Kind: cmd.Subject, Purpose: cmd.Purpose, Reason: cmd.Because, Regime: cmd.Request.Regime, Channel: cmd.Request.Channel,
		OpenedBy: by.User, Proven: by.Proven, Identity: cmd.Request.Identity.String(), AtOnce: cmd.Verb != privacy.VerbOpen, State: state.RequestOpen,
	}
	if r.Regime == "" {
		r.Regime = set.Requests().Regime
	}
	if r.Regime == "" {
		r.Regime = regime.Default
	}
	if cmd.Request.Identity != 0 {
		r.VerifiedBy = by.User
	}
	found, err := s.Data.Resolve(ctx, cmd.Subject, cmd.Key)
	if err != nil {
		return r, err
	}
	r.Key = found.Key
	tokens, err := s.Tokens(ctx, cmd.Subject, []string{found.Name})
	if err != nil {
		return r, err
	}
	r.Token = tokens[found.Name]
	if what == policy.Rectification {
		err = s.keepAsked(&r, cmd.Request)
	}
	return r, err
}

// keepAsked seals what is to become of a row.
func (s *Service) keepAsked(r *state.Request, c privacy.Request) error {
	if len(c.Changes) == 0 {
		return privacy.Fail(privacy.Syntax, "as in SET email = 'new@example.com'", "it is not said what is to be changed")
	}
	text, err := json.Marshal(asked{c.Table, c.Row, c.Changes})
	if err != nil {
		return err
	}
	r.Asked, err = s.Store.Seal("asked "+r.Token, text)
	return err
}

// askedOf opens what is to become of a row.
func (s *Service) askedOf(r state.Request) (a asked, err error) {
	text, err := s.Store.Unseal("asked "+r.Token, r.Asked)
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	return a, err
}

// times sets when the request was received, and by when it is to be answered.
func (s *Service) times(ctx context.Context, tx pgx.Tx, r *state.Request, received string) error {
	at := "clock_timestamp()"
	args := []any{}
	if received != "" {
		at, args = "$1::text::timestamptz", append(args, received)
	}
	var ahead bool
	var now time.Time
	err := tx.QueryRow(ctx, fmt.Sprintf("SELECT %s, %[1]s > clock_timestamp() + interval '1 minute', clock_timestamp()", at), args...).Scan(&r.Received, &ahead, &now)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.Code[:2] == "22":
		return privacy.Fail(privacy.BadKey, "write it as '2026-05-03', or as '2026-05-03 12:00+01'", "RECEIVED is not followed by a date or time")
	case err != nil && strings.Contains(strings.ToLower(received), "infinity"):
		return privacy.Fail(privacy.BadKey, "write it as '2026-05-03'", "RECEIVED is not followed by a date or time")
	case err != nil:
		return err
	case ahead:
		return privacy.Fail(privacy.BadKey, "", "what was received in the future is not here yet")
	}
	if r.VerifiedBy != "" {
		r.Verified = &now
	}
	law, ok := regime.Named(r.Regime)
	if !ok {
		return privacy.Fail(privacy.NoSubject, privacy.DidYouMean(r.Regime, regime.Names()), "there is no such regime")
	}
	what, _ := policy.RequestTypeNamed(r.What)
	clock, ok := law.Clock(r.Received.UTC(), what.Time())
	if !ok {
		return privacy.Fail(privacy.NotAvailable, "name another with REGIME", "%s sets no time for %s", law.Law, r.What)
	}
	r.Due = clock.Due
	if !clock.Extended.IsZero() {
		r.ExtendTo = &clock.Extended
	}
	if !clock.Confirm.IsZero() {
		r.ConfirmBy = &clock.Confirm
	}
	return nil
}
