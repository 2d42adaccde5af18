package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/privacy"
)

// eraseAgain erases a subject as the policy has it now, under an entry of the
// ledger's own. The journal of an erasure is kept by its request's number: that of
// the request may be in the restored database and say that all is done, so another
// one is taken that no request has.
func (r *replaying) eraseAgain(ctx context.Context, kind, key string, e erasures.Entry) error {
	g, err := dsar.NewGraph(r.engine.Policy, r.engine.Catalog, kind)
	if err != nil {
		return err
	}
	g.Values = r.process.values()
	person, err := erasures.Find(ctx, r.conn, g.Subject, g.OpenOwn, key)
	if err != nil {
		return err
	}
	where, err := erasures.Locate(ctx, r.conn)
	if err != nil {
		return err
	}
	by := privacy.Key{Column: g.Subject.Key, Values: []string{key}}
	plan, err := dsar.PlanErasure(ctx, r.conn, g, by)
	if err != nil {
		return err
	}
	for _, s := range plan.Steps {
		if s.Action == dsar.Refuse {
			return fmt.Errorf("%s: %s", s.Table, s.Reason)
		}
	}
	begun, err := r.ledger.Intend(erasures.Intention{
		Request: e.Request, Person: person, Plan: plan.Hash(), Database: where, By: operator(), Again: e.Seq,
	})
	if err != nil {
		return err
	}
	erased, err := dsar.Erase(ctx, r.conn, g, dsar.EraseOptions{Request: -int64(begun.Seq), Key: by, Plan: plan, LaterTidy: true, Shred: r.process.shredder()})
	if err != nil {
		return err
	}
	r.touched[kind] = union(r.touched[kind], erased.Relations)
	if err := r.ledger.See(ctx, r.conn, begun); err != nil {
		return err
	}
	_, gone := erasures.Find(ctx, r.conn, g.Subject, g.OpenOwn, key)
	if gone != nil && !errors.Is(gone, erasures.ErrNobody) {
		return gone
	}
	_, err = r.ledger.Done(begun.Seq, erasures.Outcome{Stays: gone == nil, Database: where})
	return err
}

// finish writes down that what an earlier run had begun is done, and died before it
// said so: nobody was found any more.
func (r *replaying) finish(ctx context.Context, where erasures.Database) error {
	open, err := r.ledger.Open()
	if err != nil {
		return err
	}
	for _, e := range open {
		if e.Again == 0 {
			continue // a request's, which goes on with it
		}
		if err := r.ledger.See(ctx, r.conn, e); err != nil {
			return err
		}
		if _, err := r.ledger.Done(e.Seq, erasures.Outcome{Database: where}); err != nil {
			return err
		}
	}
	return nil
}

func union(all, more []string) []string {
	for _, s := range more {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// tidy takes what is left of the erased out of statistics and dead rows, once for
// all of them.
func (r *replaying) tidy(ctx context.Context) error {
	for kind, relations := range r.touched {
		g, err := dsar.NewGraph(r.engine.Policy, r.engine.Catalog, kind)
		if err != nil {
			return err
		}
		tidied, err := dsar.Tidy(ctx, r.conn, g, relations)
		if err != nil {
			return err
		}
		for _, w := range tidied.Left {
			fmt.Fprintln(r.stderr, "may still be found:", w)
		}
	}
	return nil
}
