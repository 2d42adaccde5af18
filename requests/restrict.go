package requests

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// keptAway is why an erasure restricts the processing of a subject's data.
func keptAway(request int64) string { return fmt.Sprintf("request %d erases it", request) }

// keepAway restricts the processing of a subject's data, where pgveil keeps a
// ledger of that: nobody is to see half of a person. One who is gone already
// needs none.
func (w *Worker) keepAway(ctx context.Context, r *state.Request, k known) error {
	set, _ := w.Service.Data.Current()
	for _, s := range set.Subjects() {
		if s.Name != r.Kind || s.Ledger == nil {
			continue
		}
		cmd := privacy.Command{Verb: privacy.VerbRestrict, Subject: r.Kind, Key: privacy.Key{Values: []string{k.Person.Key}},
			Because: keptAway(r.ID)}
		_, err := w.Service.Data.Change(ctx, cmd, w.Name, w.witness(*r, "kept away"))
		var said *privacy.Error
		if errors.As(err, &said) && said.Code == privacy.NotFound {
			return nil
		}
		return err
	}
	return nil
}

// letGo ends the restriction that an erasure has set, once it is not to be carried
// out any more. What somebody else wants, or another erasure still, stays.
func (s *Service) letGo(ctx context.Context, tx pgx.Tx, r state.Request, by By, witness Witness) error {
	if r.What != policy.Erasure.String() {
		return nil
	}
	found, err := s.Data.Resolve(ctx, r.Kind, privacy.Key{Values: r.Key})
	var said *privacy.Error
	if errors.As(err, &said) && (said.Code == privacy.NotFound || said.Code == privacy.NoSubject) {
		return nil // there is nobody to be restricted, or no such kind any more
	}
	if err != nil {
		return err
	}
	lifted, err := s.Data.Unrestrict(ctx, dsar.Unrestriction{
		Kind: r.Kind, Key: found.Name, By: by.User, Because: fmt.Sprintf("request %d was ended before anything was erased", r.ID),
		Ours: func(reason string) (bool, error) { return ours(ctx, tx, r.ID, reason) },
	}, witness)
	if err != nil || !lifted {
		return err
	}
	return note(ctx, tx, r, by.User, "let go", "the restriction that the erasure began with is lifted", witness)
}

// ours tells whether a restriction was set by an erasure that needs it no more:
// the one that is being ended, or another that is over.
func ours(ctx context.Context, tx pgx.Tx, ending int64, reason string) (bool, error) {
	var of int64
	if _, err := fmt.Sscanf(reason, "request %d erases it", &of); err != nil || reason != keptAway(of) {
		return false, nil // somebody's words
	}
	if of == ending {
		return true, nil
	}
	other, err := state.ReadRequest(ctx, tx, of)
	var said *privacy.Error
	if errors.As(err, &said) {
		return false, nil // there is no such request
	}
	return other.State.Over(), err
}

// hasBegun tells whether an erasure has erased something.
func hasBegun(ctx context.Context, conn *pgx.Conn, r state.Request) (bool, error) {
	if r.Done > 0 || r.Outcome != nil {
		return true, nil
	}
	steps, err := dsar.Journal(ctx, conn, r.ID)
	return len(steps) > 0, err
}
