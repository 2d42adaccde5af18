package requests

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/state"
)

// certify makes the certificate of an erasure that has ended, where something
// signs it.
func (w *Worker) certify(ctx context.Context, s *sought) ([]byte, error) {
	if s.failed != nil || w.Notary.Certify == nil {
		return nil, s.failed
	}
	begun, _, _, err := w.Notary.Ledger.Entry(s.known.Intent)
	if err != nil {
		return nil, err
	}
	r := s.request
	var answers []string
	err = w.Service.transact(ctx, pgx.ReadOnly, func(tx pgx.Tx) (err error) {
		answers, err = state.AnswersAbout(ctx, tx, r.Kind, r.Token)
		return err
	})
	if err != nil {
		return nil, err
	}
	c := erasures.Certificate{
		Request: r.ID, Regime: r.Regime, Kind: r.Kind, Token: r.Token, Received: r.Received, Completed: s.outcome.Completed, Plan: r.PlanHash,
		Tables: tables(s.outcome.Erased), Sweep: s.swept, Remains: w.remains(s, answers), Ledger: erasures.Reference(begun, s.ended), DataKeys: s.outcome.Erased.DataKeys,
	}
	if r.Verified != nil && r.Verified.After(r.Received) {
		c.Verified = *r.Verified
	}
	records := []uint64{s.endedAt}
	if s.known.Log == w.Notary.Log { // another process may have begun it, and have a log of its own
		records = append(s.known.Records, s.endedAt)
	}
	return w.Notary.Certify(ctx, c, records, append(s.known.Person.Identifiers, s.known.Person.Key))
}

// tables sums the steps of an erasure up, table by table.
func tables(e dsar.Erased) []erasures.Table {
	var all []erasures.Table
	at := map[string]int{}
	for _, step := range e.Steps {
		i, seen := at[step.Table]
		if !seen {
			i = len(all)
			at[step.Table], all = i, append(all, erasures.Table{Table: step.Table})
		}
		t := &all[i]
		switch step.Action {
		case dsar.Delete:
			t.Deleted += step.Rows
		case dsar.Anonymise:
			t.Anonymised += step.Rows
		case dsar.SetNull:
			t.Unlinked += step.Rows
		case dsar.Keep:
			t.Kept += step.Rows
			t.Because = step.Reason
			if step.Until != nil {
				t.Until = *step.Until
			}
		}
	}
	return all
}

// remains are the places that an erasure does not reach, with the files that
// earlier requests were answered with.
func (w *Worker) remains(s *sought, answers []string) []erasures.Rest {
	var rest []erasures.Rest
	for _, file := range answers {
		rest = append(rest, erasures.Rest{What: "the package " + file, Because: "it lies in the folder of packages, or where it was taken, until somebody removes it"})
	}
	for _, what := range s.outcome.Erased.Tidied.Left {
		rest = append(rest, erasures.Rest{What: what, Because: "an erasure does not reach it"})
	}
	for _, what := range s.unsearched {
		rest = append(rest, erasures.Rest{What: what, Because: "the search at the end does not reach it"})
	}
	set, _ := w.Service.Data.Current()
	backups := erasures.Rest{What: "backups", Because: "backups are not changed; after a restore the ledger of erasures is replayed"}
	if keep := set.Requests().Backups; keep != (policy.Keep{}) {
		backups.Until = keep.After(s.outcome.Completed)
	}
	return append(rest, backups)
}
