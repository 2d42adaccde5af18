package requests

import (
	"context"
	"fmt"
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
		if err := by.serves(r); err != nil {
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

// end denies a request, or ends it because it was taken back.
func (s *Service) end(ctx context.Context, tx pgx.Tx, r *state.Request, cmd privacy.Command, by By, witness Witness) error {
	if err := endable(ctx, tx, *r); err != nil {
		return err
	}
	if err := s.letGo(ctx, tx, *r, by, witness); err != nil {
		return err
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

// endable refuses to end a request that has begun. One that waits for another attempt
// is in the ledger of erasures as one that is to be, until it has failed.
func endable(ctx context.Context, tx pgx.Tx, r state.Request) error {
	begun := r.State == state.RequestRunning || r.State == state.RequestErased || r.Done > 0
	if r.What == policy.Erasure.String() && !begun {
		var err error
		if begun, err = hasBegun(ctx, tx.Conn(), r); err != nil {
			return err
		}
	}
	switch {
	case begun:
		return privacy.Fail(privacy.SchemaChanged, "what was erased cannot be brought back: let it run to its end", "the request has begun")
	case r.State == state.RequestQueued && r.Needles != nil:
		return privacy.Fail(privacy.SchemaChanged, "once its attempts have failed, it can be", "the request has begun, and is tried again")
	}
	return nil
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
		r.Despite, r.DespiteBy, r.Known = cmd.Request.Despite, by.User, by.Proven
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
	switch {
	case lacks != nil && undecided(*r):
		if err := note(ctx, tx, *r, by.User, "to end despite what is left, where others agree", r.Despite, witness); err != nil {
			return err
		}
		return state.SaveRequest(ctx, tx, *r)
	case lacks != nil:
		return privacy.Fail(privacy.SchemaChanged, "PRIVACY SHOW REQUEST says how it stands", "the request lacks %s", strings.Join(lacks, ", "))
	}
	if err := note(ctx, tx, *r, by.User, "told to run", r.Despite, witness); err != nil {
		return err
	}
	if err := queue(ctx, tx, r); err != nil {
		return err
	}
	return state.SaveRequest(ctx, tx, *r)
}

// queue lets the next worker have a request, now.
func queue(ctx context.Context, tx pgx.Tx, r *state.Request) error {
	r.State, r.Failure, r.Attempts = state.RequestQueued, "", 0
	return state.PutOff(ctx, tx, r.ID, 0)
}

// settle lets a request be what it is: open while it lacks something, else ready
// or, where it runs at once, queued.
func (s *Service) settle(ctx context.Context, tx pgx.Tx, r *state.Request) error {
	lacks, err := s.lacks(ctx, tx, *r)
	if err != nil {
		return err
	}
	switch {
	case r.State == state.RequestFailed, r.State == state.RequestReview && lacks != nil:
	case r.State == state.RequestReview:
		if err := queue(ctx, tx, r); err != nil {
			return err
		}
	case lacks != nil:
		r.State = state.RequestOpen
	case r.AtOnce:
		r.State = state.RequestQueued
	default:
		r.State = state.RequestReady
	}
	return state.SaveRequest(ctx, tx, *r)
}
