package requests

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// act does what a command says about a request that is there.
func (s *Service) act(ctx context.Context, cmd privacy.Command, by By, witness Witness) ([][]string, error) {
	var r state.Request
	err := s.locked(ctx, cmd, by, func(tx pgx.Tx, locked *state.Request) error {
		defer func() { r = *locked }()
		switch cmd.Verb {
		case privacy.VerbVerify:
			return s.verify(ctx, tx, locked, cmd, by, witness)
		case privacy.VerbApproveRequest:
			return s.approve(ctx, tx, locked, cmd, by, witness)
		case privacy.VerbDenyRequest, privacy.VerbCancelRequest:
			return s.end(ctx, tx, locked, cmd, by, witness)
		case privacy.VerbExtendRequest:
			return s.extend(ctx, tx, locked, cmd, by, witness)
		case privacy.VerbRunRequest:
			return s.run(ctx, tx, locked, cmd, by, witness)
		default:
			return fmt.Errorf("internal error: no change to a request: verb %d", cmd.Verb)
		}
	})
	if err != nil {
		return nil, err
	}
	lacks, err := s.lacking(ctx, r)
	return [][]string{s.row(r, lacks)}, err
}

// locked calls f with a request that is not over, and that the caller may serve.
func (s *Service) locked(ctx context.Context, cmd privacy.Command, by By, f func(pgx.Tx, *state.Request) error) error {
	id, err := number(cmd)
	if err != nil {
		return err
	}
	return s.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) error {
		r, err := state.LockRequest(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := by.may(rightOf(r)); err != nil {
			return err
		}
		done := r.State == state.RequestCompleted && cmd.Verb == privacy.VerbRunRequest
		if r.State.Over() && !done {
			return privacy.Fail(privacy.SchemaChanged, "open another", "the request is over: it was %s", r.State)
		}
		return f(tx, &r)
	})
}

// rightOf names the right that a request needs. A type that is not known needs
// one that nobody has.
func rightOf(r state.Request) string {
	what, _ := policy.RequestTypeNamed(r.What)
	return what.Right()
}

// verify writes down how it was checked that the data subject asks.
func (s *Service) verify(ctx context.Context, tx pgx.Tx, r *state.Request, cmd privacy.Command, by By, witness Witness) error {
	if cmd.Request.Identity == 0 {
		return privacy.Fail(privacy.Syntax, "one of "+strings.Join(policy.Identities(), ", "), "it is not said how the identity was checked")
	}
	if err := waits(r, "the identity is"); err != nil {
		return err
	}
	var now time.Time
	if err := tx.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return err
	}
	r.Identity, r.VerifiedBy, r.Verified = cmd.Request.Identity.String(), by.User, &now
	if err := note(ctx, tx, *r, by.User, "identity checked: "+r.Identity, cmd.Request.Evidence, witness); err != nil {
		return err
	}
	return s.settle(ctx, tx, r)
}

// waits refuses what comes too late: the work has begun.
func waits(r *state.Request, what string) error {
	if r.State == state.RequestOpen || r.State == state.RequestReady || r.State == state.RequestFailed {
		return nil
	}
	return privacy.Fail(privacy.SchemaChanged, "PRIVACY SHOW REQUEST says how it stands", "%s looked at before a request runs, and this one is %s", what, r.State)
}

// approve counts one more person who agrees to what was planned.
func (s *Service) approve(ctx context.Context, tx pgx.Tx, r *state.Request, cmd privacy.Command, by By, witness Witness) error {
	if err := waits(r, "approvals are"); err != nil {
		return err
	}
	if r.PlanHash == "" {
		return privacy.Fail(privacy.SchemaChanged, "PRIVACY PLAN REQUEST "+cmd.ID, "nothing is planned yet: there is nothing to agree to")
	}
	if !by.Proven {
		return privacy.Fail(privacy.NotAllowed, "log in as yourself, or bring a signed token", "who approves must be known for certain")
	}
	if by.User == r.OpenedBy {
		return privacy.Fail(privacy.NotAllowed, "a second person does", "nobody approves what they opened")
	}
	who, err := approvers(ctx, tx, *r)
	if err != nil {
		return err
	}
	if slices.Contains(who, by.User) {
		return privacy.Fail(privacy.NotAllowed, "", "you have approved this plan already")
	}
	if err := note(ctx, tx, *r, by.User, approved, cmd.Because, witness); err != nil {
		return err
	}
	return s.settle(ctx, tx, r)
}

// approved is what the event of an approval says.
const approved = "approved"

// approvers gives who agreed to the plan as it stands.
func approvers(ctx context.Context, tx pgx.Tx, r state.Request) (who []string, err error) {
	events, err := state.RequestEvents(ctx, tx, r.ID)
	for _, e := range events {
		if e.What == approved && e.Plan == r.PlanHash && !slices.Contains(who, e.Who) {
			who = append(who, e.Who)
		}
	}
	return who, err
}

// end denies a request, or ends it because it was taken back.
func (s *Service) end(ctx context.Context, tx pgx.Tx, r *state.Request, cmd privacy.Command, by By, witness Witness) error {
	if r.State == state.RequestRunning || r.State == state.RequestErased || r.Done > 0 {
		return privacy.Fail(privacy.SchemaChanged, "what was erased cannot be brought back: let it run to its end", "the request has begun")
	}
	what := "cancelled"
	r.State = state.RequestCancelled
	if cmd.Verb == privacy.VerbDenyRequest {
		r.State, r.Code = state.RequestDenied, cmd.Request.Code
		what = "denied: " + r.Code
	}
	r.Asked, r.Needles = nil, nil
	if err := note(ctx, tx, *r, by.User, what, cmd.Because, witness); err != nil {
		return err
	}
	return state.SaveRequest(ctx, tx, *r)
}

// extend takes the extension that the law allows, once and in time.
func (s *Service) extend(ctx context.Context, tx pgx.Tx, r *state.Request, cmd privacy.Command, by By, witness Witness) error {
	var late bool
	if err := tx.QueryRow(ctx, "SELECT current_date > $1::date", r.Due).Scan(&late); err != nil {
		return err
	}
	switch {
	case r.ExtendTo == nil:
		return privacy.Fail(privacy.NotAllowed, "", "the law of regime %s knows no extension", r.Regime)
	case r.Extended:
		return privacy.Fail(privacy.NotAllowed, "", "the request was extended already, and is once")
	case late:
		return privacy.Fail(privacy.NotAllowed, "the data subject has to be told within the first time", "the request is late: it cannot be extended any more")
	}
	r.Extended, r.Due, r.Warned = true, *r.ExtendTo, 0
	if err := note(ctx, tx, *r, by.User, "extended to "+r.Due.Format(time.DateOnly), cmd.Because, witness); err != nil {
		return err
	}
	return state.SaveRequest(ctx, tx, *r)
}

// run lets a request run that has what it needs.
func (s *Service) run(ctx context.Context, tx pgx.Tx, r *state.Request, cmd privacy.Command, by By, witness Witness) error {
	switch r.State {
	case state.RequestQueued, state.RequestRunning, state.RequestErased, state.RequestCompleted:
		return nil // it does, or has
	case state.RequestReview:
		r.Despite = cmd.Request.Despite
	case state.RequestOpen, state.RequestReady, state.RequestFailed:
		if cmd.Request.Despite != "" {
			return privacy.Fail(privacy.SchemaChanged, "leave DESPITE out", "nothing is known to be left")
		}
	default:
		return fmt.Errorf("internal error: a request is %q", r.State)
	}
	lacks, err := s.lacks(ctx, tx, *r)
	if err != nil {
		return err
	}
	if lacks != nil {
		return privacy.Fail(privacy.SchemaChanged, "PRIVACY SHOW REQUEST says how it stands", "the request lacks %s", strings.Join(lacks, ", "))
	}
	r.State, r.Failure, r.Attempts = state.RequestQueued, "", 0
	if err := note(ctx, tx, *r, by.User, "told to run", r.Despite, witness); err != nil {
		return err
	}
	if err := state.PutOff(ctx, tx, r.ID, 0); err != nil {
		return err
	}
	return state.SaveRequest(ctx, tx, *r)
}

// settle lets a request be what it is: open while it lacks something, else ready
// or, where it runs at once, queued.
func (s *Service) settle(ctx context.Context, tx pgx.Tx, r *state.Request) error {
	lacks, err := s.lacks(ctx, tx, *r)
	if err != nil {
		return err
	}
	switch {
	case r.State == state.RequestFailed:
	case lacks != nil:
		r.State = state.RequestOpen
	case r.AtOnce:
		r.State = state.RequestQueued
	default:
		r.State = state.RequestReady
	}
	return state.SaveRequest(ctx, tx, *r)
}

// lacks says what a request still needs before it may run.
func (s *Service) lacks(ctx context.Context, tx pgx.Tx, r state.Request) (lacks []string, err error) {
	set, _ := s.Data.Current()
	what, _ := policy.RequestTypeNamed(r.What)
	need := set.Requests().Need(what)
	if level, _ := policy.IdentityNamed(r.Identity); level < need.Identity {
		lacks = append(lacks, "a check of the identity by "+need.Identity.String())
	}
	if r.PlanHash == "" {
		lacks = append(lacks, "a plan")
	}
	who, err := approvers(ctx, tx, r)
	if missing := need.Approvals - len(who); missing > 0 {
		lacks = append(lacks, fmt.Sprintf("approvals: %d", missing))
	}
	return lacks, err
}

// lacking is lacks in words, of a request that is not over.
func (s *Service) lacking(ctx context.Context, r state.Request) (text string, err error) {
	if r.State != state.RequestOpen {
		return "", nil
	}
	err = s.transact(ctx, pgx.ReadOnly, func(tx pgx.Tx) error {
		lacks, err := s.lacks(ctx, tx, r)
		text = strings.Join(lacks, ", ")
		return err
	})
	return text, err
}
