package requests

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// Plan is what answering a request would do, and what is approved.
type Plan struct {
	Hash string // of what would be done to which tables and how; equal for plans that differ in numbers of rows alone
	JSON json.RawMessage
	Todo int64 // rows
	rows [][]string
}

// plan finds out what a request would do, and writes it down with the request.
func (s *Service) plan(ctx context.Context, cmd privacy.Command, by By, witness Witness) ([][]string, error) {
	id, err := number(cmd)
	if err != nil {
		return nil, err
	}
	var r state.Request
	err = s.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) error {
		r, err = state.LockRequest(ctx, tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := by.may(rightOf(r)); err != nil {
		return nil, err
	}
	if err := waits(&r, "plans are"); err != nil {
		return nil, err
	}
	made, err := s.makePlan(ctx, r)
	if err != nil {
		return nil, err
	}
	err = s.locked(ctx, cmd, by, func(tx pgx.Tx, r *state.Request) error {
		if err := waits(r, "plans are"); err != nil {
			return err
		}
		if err := adopt(ctx, tx, r, made, by.User, witness); err != nil {
			return err
		}
		return s.settle(ctx, tx, r)
	})
	return made.rows, err
}

// adopt makes a plan that of a request. Approvals of another count no more.
func adopt(ctx context.Context, tx pgx.Tx, r *state.Request, p *Plan, who string, witness Witness) error {
	r.Plan, r.PlanHash, r.Todo, r.Failure = p.JSON, p.Hash, p.Todo, ""
	if r.State == state.RequestFailed {
		r.State = state.RequestOpen
	}
	return note(ctx, tx, *r, who, "planned", p.Hash, witness)
}

// makePlan finds out what answering a request would do, and changes nothing.
func (s *Service) makePlan(ctx context.Context, r state.Request) (*Plan, error) {
	what, ok := policy.RequestTypeNamed(r.What)
	if !ok {
		return nil, errors.New("internal error: a request for nothing")
	}
	if what != policy.Erasure {
		text, err := json.Marshal(map[string]string{"what": r.What, "purpose": r.Purpose})
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(append(text, r.Asked...))
		return &Plan{Hash: hex.EncodeToString(sum[:]), JSON: text, rows: [][]string{{"", "0", r.What, "", r.Purpose}}}, nil
	}
	return s.planErasure(ctx, r)
}

func (s *Service) planErasure(ctx context.Context, r state.Request) (*Plan, error) {
	p := &Plan{}
	err := s.Data.With(ctx, r.Kind, func(conn *pgx.Conn, g *dsar.Graph) error {
		report, err := dsar.DryRun(ctx, conn, g, privacy.Key{Values: r.Key})
		if err != nil {
			return err
		}
		for _, step := range report.Steps {
			p.Todo += step.Rows
		}
		if p.JSON, err = json.Marshal(report); err != nil {
			return err
		}
		sum := sha256.Sum256(p.JSON)
		p.Hash = hex.EncodeToString(sum[:])
		return dsar.EmitSteps(report, func(row []string) error { p.rows = append(p.rows, row); return nil })
	})
	return p, err
}
