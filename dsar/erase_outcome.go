package dsar

import (
	"context"
	"errors"
	"slices"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// outcome is what the journal says was done, of all runs of the request. The
// plan says why something was kept, and until when.
func (e *eraser) outcome(ctx context.Context) (Erased, error) {
	steps, err := Journal(ctx, e.conn, e.o.Request)
	if err != nil {
		return Erased{}, err
	}
	done := Erased{Plan: e.o.Plan.Hash()}
	for _, s := range steps {
		done.Digest, done.Batches = s.Digest, s.Batch
		if s.Action == doneAction {
			continue
		}
		step := Step{Table: s.Table, Rows: s.Rows}
		if err := step.Action.UnmarshalText([]byte(s.Action)); err != nil {
			return Erased{}, err
		}
		if step.Action == Keep {
			done.Steps = append(done.Steps, e.kept(step))
			continue
		}
		done.Rows += s.Rows
		done.add(step)
		if !slices.Contains(done.Relations, s.Table) {
			done.Relations = append(done.Relations, s.Table)
		}
	}
	if e.o.LaterTidy {
		return done, nil
	}
	done.Tidied, err = Tidy(ctx, e.conn, e.g, done.Relations)
	return done, err
}

// kept says of rows that stay what the plan does.
func (e *eraser) kept(s Step) Step {
	for _, p := range e.o.Plan.Steps {
		if p.Action == Keep && p.Table == s.Table {
			s.Path, s.Reason, s.Until = p.Path, p.Reason, p.Until
		}
	}
	return s
}

// add counts rows in with those of the same table and action.
func (d *Erased) add(s Step) {
	for i := range d.Steps {
		if d.Steps[i].Table == s.Table && d.Steps[i].Action == s.Action {
			d.Steps[i].Rows += s.Rows
			return
		}
	}
	d.Steps = append(d.Steps, s)
}

// gone gives an error when a journal is over, and its subject is there: it was
// somebody else's, or the subject has come back.
func (e *eraser) gone(ctx context.Context) error {
	if fateSaid(e.g) != policy.FateDelete {
		return nil // the row stays
	}
	_, err := e.g.resolve(ctx, e.conn, e.o.Key)
	var known *privacy.Error
	switch {
	case errors.As(err, &known) && known.Code == privacy.NotFound:
		return nil
	case err != nil:
		return err
	default:
		return privacy.Fail(privacy.NotAllowed, "open another request", "erasure %d is over, and there is such a %s", e.o.Request, e.g.Subject.Name)
	}
}

// fateSaid gives what the policy says of the subject's own row.
func fateSaid(g *Graph) policy.Fate {
	for _, h := range g.Subject.Erase {
		if h.Relation == g.Subject.Relation {
			return h.Do
		}
	}
	return policy.FateDelete
}
