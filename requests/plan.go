package requests

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// Plan is what answering a request would do, and what is approved.
type Plan struct {
	Hash string // of what would be done to which tables and how; equal for plans that differ in numbers of rows alone; "" where it cannot be done
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
	what := "planned"
	if p.Hash == "" {
		what, r.Failure = "planned: it cannot be done", "what stands against it is in the plan: PRIVACY PLAN REQUEST "+strconv.FormatInt(r.ID, 10)
	}
	return note(ctx, tx, *r, who, what, "", witness)
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
		plan, err := dsar.PlanErasure(ctx, conn, g, privacy.Key{Values: r.Key})
		if err != nil {
			return err
		}
		if p.Todo = plan.Rows(); !plan.Refused() {
			p.Hash = plan.Hash()
		}
		if p.JSON, err = json.Marshal(plan); err != nil {
			return err
		}
		return dsar.EmitSteps(plan.Report(), func(row []string) error { p.rows = append(p.rows, row); return nil })
	})
	return p, err
}
