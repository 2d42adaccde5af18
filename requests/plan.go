package requests

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

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
	if err := by.serves(r); err != nil {
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
		for i := range made.rows {
			made.rows[i] = append(made.rows[i], short(*r))
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
	switch what {
	case policy.Erasure:
		return s.planErasure(ctx, r)
	case policy.Rectification:
		return s.planRectification(r)
	default:
		return planOf(r, map[string]any{"what": r.What, "purpose": r.Purpose}, []string{"", "0", r.What, "", r.Purpose})
	}
}

// planOf makes a plan of what it says, and of what was asked for, sealed as it is.
func planOf(r state.Request, says map[string]any, row []string) (*Plan, error) {
	text, err := json.Marshal(says)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append(slices.Clip(text), r.Asked...))
	return &Plan{Hash: hex.EncodeToString(sum[:]), JSON: text, rows: [][]string{row}}, nil
}

// planRectification names the table and the columns that are to be changed, so that
// others see what they agree to; values are nobody's to read.
func (s *Service) planRectification(r state.Request) (*Plan, error) {
	a, err := s.askedOf(r)
	if err != nil {
		return nil, err
	}
	set, _ := s.Data.Current()
	table := a.Table
	for _, subject := range set.Subjects() {
		if a.Table == "" && subject.Name == r.Kind {
			table = subject.Relation.QualifiedName()
		}
	}
	var columns []string
	for _, c := range a.Changes {
		columns = append(columns, c.Column)
	}
	says := map[string]any{"what": r.What, "purpose": r.Purpose, "table": table, "columns": columns}
	return planOf(r, says, []string{table, "1", r.What, "", "columns: " + strings.Join(columns, ", ")})
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
