package dsar

import (
	"context"
	"slices"
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
