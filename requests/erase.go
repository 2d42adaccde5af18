package requests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
	"github.com/pgveil/pgveil/sweep"
)

// Notary is what erasures are written down in besides the database.
type Notary struct {
	Ledger *erasures.Ledger
	Log    string // names the access log that Record writes into: numbers of records are of that one

	// Record writes an entry of the ledger into the access log, durably.
	Record func(ctx context.Context, e erasures.Entry) (seq uint64, err error)

	// Certify fills in and signs a certificate once the access log's records are
	// under a signed checkpoint. nil: nothing signs, and there are no certificates.
	Certify func(ctx context.Context, c erasures.Certificate, records []uint64, secrets []string) ([]byte, error)
}

// known is what a subject was known by, from before the erasure to the search at
// its end. It is kept sealed.
type known struct {
	Person  erasures.Person `json:"person"`
	Needles []sweep.Needle  `json:"needles"`
	Intent  uint64          `json:"intent"`  // seq of the ledger's entry
	Log     string          `json:"log"`     // the access log that Records are in
	Records []uint64        `json:"records"` // that a certificate is to prove
}

// outcome is what an erasure has done: what a certificate is made of.
type outcome struct {
	Erased    dsar.Erased `json:"erased"`
	Own       string      `json:"own"` // the subject's own table
	Completed time.Time   `json:"completed"`

	Seen map[string]int64 `json:"seen,omitempty"` // rows of each column that something was left in when people were asked to decide
}

// erase erases a subject, or goes on where another worker was stopped. What is
// done twice by that is done once: each step finds what it has done before.
func (w *Worker) erase(ctx context.Context, conn *pgx.Conn, r *state.Request) error {
	if w.Notary == nil {
		return privacy.Fail(privacy.NotAvailable, "", "there is no ledger of erasures here")
	}
	if r.Outcome != nil { // it was searched for what is left, and is to be again
		r.State = state.RequestErased
		return nil
	}
	var plan dsar.ErasurePlan
	if err := json.Unmarshal(r.Plan, &plan); err != nil {
		return fmt.Errorf("reading the plan of request %d: %w", r.ID, err)
	}
	g, err := w.Service.Data.Graph(r.Kind)
	if err != nil {
		return err
	}
	k, err := w.intend(ctx, conn, g, r, plan)
	if err != nil {
		return err
	}
	if err := w.keepAway(ctx, r, k); err != nil {
		return err
	}
	done, err := dsar.Erase(ctx, conn, g, dsar.EraseOptions{
		Request: r.ID, Key: privacy.Key{Values: r.Key}, Plan: plan, LaterTidy: true, Shred: w.Service.Data.Shred,
		Record:   func(ctx context.Context, s dsar.ErasureStep) error { return w.recordStep(ctx, r, s) },
		Progress: w.progress(ctx, r),
	})
	if err != nil {
		return err
	}
	begun, _, ok, err := w.Notary.Ledger.Entry(k.Intent)
	if err != nil || !ok {
		return errors.Join(err, fmt.Errorf("the ledger of erasures has no entry %d", k.Intent))
	}
	if err := w.Notary.Ledger.See(ctx, conn, begun); err != nil {
		return err
	}
	o := outcome{Erased: done, Own: g.Subject.Relation.QualifiedName()}
	if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&o.Completed); err != nil {
		return err
	}
	r.Outcome, err = json.Marshal(o)
	r.State, r.Key, r.Done = state.RequestErased, nil, r.Todo
	return err
}

// intend finds out what the subject is known by, and writes down, outside the
// database, that it is about to be erased. Both are done once for a request.
func (w *Worker) intend(ctx context.Context, conn *pgx.Conn, g *dsar.Graph, r *state.Request, plan dsar.ErasurePlan) (k known, err error) {
	if r.Needles != nil {
		if k, err = w.unseal(r); err != nil {
			return k, err
		}
		if _, _, stands, err := w.Notary.Ledger.Entry(k.Intent); stands || err != nil {
			return k, err
		}
		k = known{} // it was given up, and the worker died before it could say so
	}
	found, err := w.Service.Data.Resolve(ctx, r.Kind, privacy.Key{Values: r.Key})
	if err != nil {
		return k, err
	}
	if k.Person, err = erasures.Find(ctx, conn, g.Subject, g.OpenOwn, found.Key...); err != nil {
		return k, err
	}
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		k.Needles, err = g.Identifiers(ctx, tx, privacy.Key{Values: r.Key})
		return err
	})
	if err != nil {
		return k, err
	}
	if own := g.Subject.Relation.QualifiedName(); stays(plan.Steps, own) {
		// Its key stays as well, for what refers to it, and tells of nobody.
		k.Needles = slices.DeleteFunc(k.Needles, func(n sweep.Needle) bool { return n.Name == own+"."+g.Subject.Key })
	}
	where, err := erasures.Locate(ctx, conn)
	if err != nil {
		return k, err
	}
	begun, err := w.Notary.Ledger.Intend(erasures.Intention{Request: r.ID, Person: k.Person, Plan: r.PlanHash, Database: where, By: r.OpenedBy})
	if err != nil {
		return k, err
	}
	seq, err := w.Notary.Record(ctx, begun)
	if err != nil {
		return k, err
	}
	k.Intent, k.Log, k.Records = begun.Seq, w.Notary.Log, []uint64{seq}
	return k, w.seal(ctx, r, k)
}

// stays tells whether the subject's own row is there still after some steps,
// without what told of the subject.
func stays(steps []dsar.Step, own string) bool {
	return slices.ContainsFunc(steps, func(s dsar.Step) bool {
		return s.Table == own && s.Rows > 0 && (s.Action == dsar.Anonymise || s.Action == dsar.Keep)
	})
}

// seal keeps what a subject is known by with the request.
func (w *Worker) seal(ctx context.Context, r *state.Request, k known) error {
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if r.Needles, err = w.Service.Store.Seal("needles "+r.Token, text); err != nil {
		return err
	}
	return w.Service.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) error {
		if err := still(ctx, tx, r); err != nil {
			return err
		}
		return state.SaveRequest(ctx, tx, *r)
	})
}

// giveUp takes back what the ledger of erasures was told of one that failed before
// anything was erased: people decide about it now, and may deny it, and what is in
// the ledger is erased again after a restore. One that has begun stays there, as
// does the restriction, and the request says so.
func (w *Worker) giveUp(ctx context.Context, conn *pgx.Conn, r *state.Request) error {
	if r.What != policy.Erasure.String() || r.Outcome != nil || w.Notary == nil {
		return nil
	}
	begun, err := hasBegun(ctx, conn, *r)
	switch {
	case err != nil:
		return err
	case begun:
		r.Failure += "; a part is erased, and the processing of what is left stays restricted until it is, where pgveil keeps a ledger of that"
		return nil
	case r.Needles == nil:
		return nil
	}
	k, err := w.unseal(r)
	if err != nil {
		w.Log.Warn("requests: the ledger of erasures still has what was given up", "request", r.ID, "err", err)
		return nil
	}
	if _, _, stands, err := w.Notary.Ledger.Entry(k.Intent); err != nil || !stands {
		r.Needles = nil
		return err
	}
	failed, err := w.Notary.Ledger.Fail(k.Intent, erasures.Outcome{})
	if err != nil {
		return err
	}
	_, err = w.Notary.Record(ctx, failed)
	r.Needles = nil
	return err
}

func (w *Worker) unseal(r *state.Request) (k known, err error) {
	text, err := w.Service.Store.Unseal("needles "+r.Token, r.Needles)
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	return k, err
}

// recordStep records a step of an erasure, durably, before it is committed.
func (w *Worker) recordStep(ctx context.Context, r *state.Request, s dsar.ErasureStep) error {
	_, err := w.Record(ctx, Deed{Request: r.ID, Kind: r.Kind, Token: r.Token, By: w.Name, What: "erasure: " + s.Action, Table: s.Table, Rows: s.Rows, Digest: s.Digest})
	return err
}

// progressEvery is how often it is written down how far an erasure is.
const progressEvery = time.Second

// progress writes down how far an erasure is that takes its time. That it could
// not be is no reason to stop: it is for people to look at.
func (w *Worker) progress(ctx context.Context, r *state.Request) func(done, of int64) {
	last := time.Now()
	return func(done, of int64) {
		r.Done, r.Todo = done, of
		if time.Since(last) < progressEvery {
			return
		}
		last = time.Now()
		err := w.Service.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) error { return state.SaveProgress(ctx, tx, r.ID, done, of) })
		if err != nil && ctx.Err() == nil {
			w.Log.Debug("requests: progress", "request", r.ID, "err", err)
		}
	}
}
