package main

import (
	"context"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// auditPatience is how long a statement is held back for its outcome when
// following. Most have it by then; of the others the outcome is shown later,
// in a line of its own.
const auditPatience = 500 * time.Millisecond

// followFrom shows what comes, from record next on, after the entries shown
// already.
func (c *auditCommand) followFrom(ctx context.Context, next uint64, p auditPrinter, shown []audit.Entry) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type item struct {
		audit.Record
		err error
	}
	items := make(chan item)
	go func() {
		defer close(items)
		for r, err := range audit.Follow(ctx, c.dir, next) {
			select {
			case items <- item{r, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	v := auditView{joiner: audit.Joiner{Filter: c.filter}, printer: p, open: map[uint64]audit.Entry{}}
	for _, e := range shown {
		v.note(e)
	}
	tick := time.NewTicker(auditPatience)
	defer tick.Stop()
	for {
		var err error
		select {
		case it, ok := <-items:
			if !ok {
				return v.show(0)
			}
			if err = it.err; err == nil {
				err = v.add(it.Record)
			}
		case <-tick.C:
			err = v.show(0)
		}
		if err != nil {
			return err
		}
	}
}

// auditView is what is on the screen when following.
type auditView struct {
	joiner  audit.Joiner
	printer auditPrinter
	open    map[uint64]audit.Entry // shown without an outcome, by seq
}

func (v *auditView) add(r audit.Record) error {
	if e, ok := v.open[r.Ref]; ok && r.Kind == audit.KindOutcome {
		delete(v.open, r.Ref)
		e.Outcome = &r
		if err := v.printer.print(e); err != nil {
			return err
		}
		return v.printer.flush()
	}
	v.joiner.Add(r)
	return v.show(1000)
}

// show prints what is ready, and all but wait entries of what is not.
func (v *auditView) show(wait int) error {
	for _, e := range v.joiner.Take(wait) {
		if err := v.printer.print(e); err != nil {
			return err
		}
		v.note(e)
	}
	return v.printer.flush()
}

func (v *auditView) note(e audit.Entry) {
	if auditOpen(e) {
		v.open[e.Seq] = e
	}
}

// auditOpen tells whether an entry is a statement whose end is not recorded.
func auditOpen(e audit.Entry) bool {
	return e.Kind == audit.KindStatement && e.Decision != "refuse" && e.Outcome == nil
}
