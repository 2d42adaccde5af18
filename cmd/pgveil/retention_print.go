package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/pgveil/pgveil/retention"
)

// printRetentionPlan writes a plan: a line for each rule, and below what is to be
// known about it.
func printRetentionPlan(out io.Writer, plan retention.Plan) error {
	fmt.Fprintf(out, "policy %s, as of %s by the server's clock\n", plan.Generation, plan.AsOf.UTC().Format(time.RFC3339))
	if len(plan.Rules) == 0 {
		_, err := fmt.Fprintln(out, "the policy has no retention rules")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "due\theld\tawaiting\twould go\tundated\t  rule\t")
	for i, p := range plan.Rules {
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t  %d.\t\n", p.Due, p.Held, p.Awaiting, wouldGo(p), p.Undated, i+1)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i, p := range plan.Rules {
		fmt.Fprintf(out, "\n%d. %s (%s)\n", i+1, p.Rule, p.Place)
		say := func(format string, args ...any) { fmt.Fprintf(out, "   "+format+"\n", args...) }
		say("due is what was over before %s; the oldest row: %s", p.Before, orNone(p.Oldest))
		for _, h := range p.Hanging {
			say("%d rows of %s refer by %s: %s", h.Rows, h.Table, h.By, hangingWords[h.Does])
		}
		for _, s := range p.Refused {
			say("REFUSED: %s", s)
		}
		for _, s := range p.Warnings {
			say("warning: %s", s)
		}
	}
	return nil
}

// hangingWords say what becomes of rows that refer to rows that are due.
var hangingWords = map[string]string{
	"goes": "they go as well", "loosens": "they stay, without the reference", "waits": "the rows wait until these are gone", "blocks": "nothing takes them",
}

// wouldGo is how many rows of a rule's table a run would take now.
func wouldGo(p retention.RulePlan) int64 {
	if len(p.Refused) > 0 {
		return 0
	}
	return p.Free()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func printRetentionResult(out io.Writer, r retention.Result) error {
	for _, one := range r.Rules {
		fmt.Fprintf(out, "%s: %d rows in %d batches; %d are still due, %d of which nothing keeps\n", one.Rule, one.Rows, one.Batches, one.Due, one.Left)
		for _, s := range one.Refused {
			fmt.Fprintf(out, "   REFUSED: %s\n", s)
		}
		if one.Error != "" {
			fmt.Fprintf(out, "   FAILED: %s\n", one.Error)
		}
	}
	_, err := fmt.Fprintf(out, "run %d: %s, %d rows\n", r.Run, r.State, r.Rows())
	return err
}

// progressMeter tells how far a run is, once a second at most.
type progressMeter struct {
	w        io.Writer
	terminal bool
	last     time.Time
}

func (m *progressMeter) batch(b retention.Batch, all int64) {
	if time.Since(m.last) < progressAfter {
		return
	}
	m.last = time.Now()
	if m.terminal {
		fmt.Fprintf(m.w, "\r\x1b[K%s: %d rows", b.Rule, all)
	} else {
		fmt.Fprintf(m.w, "%s: %d rows, batch %d\n", b.Rule, all, b.N)
	}
}

func (m *progressMeter) end() {
	if m.terminal {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
}
