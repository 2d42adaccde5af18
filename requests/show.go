package requests

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/regime"
	"github.com/pgveil/pgveil/state"
)

// maxShown bounds how many requests are listed at once.
const maxShown = 10000

// Cut is said of a list that is not all of it.
const Cut = "there are more: only the 10,000 most urgent are listed"

// show answers what is asked about requests: only about those that the caller
// may serve. Whether there are others is not told.
func (s *Service) show(ctx context.Context, cmd privacy.Command, by By, emit func([]string) error) error {
	if cmd.Verb == privacy.VerbShowRequests {
		return s.list(ctx, cmd, by, emit)
	}
	id, err := number(cmd)
	if err != nil {
		return err
	}
	var r state.Request
	var events []state.RequestEvent
	var lacks []string
	err = s.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) error {
		if r, err = state.LockRequest(ctx, tx, id); err != nil {
			return err
		}
		if err := by.serves(r); err != nil {
			return err
		}
		if lacks, err = s.lacks(ctx, tx, r); err != nil {
			return err
		}
		events, err = state.RequestEvents(ctx, tx, id)
		return err
	})
	if err != nil {
		return err
	}
	if cmd.Verb == privacy.VerbShowCertificate {
		if r.Proof == nil {
			return privacy.Fail(privacy.NotFound, "PRIVACY SHOW REQUEST says how it stands", "the request has no certificate: it is %s", r.State)
		}
		return emit([]string{string(r.Proof)})
	}
	return emitHistory(r, events, lacks, emit)
}

func emitHistory(r state.Request, events []state.RequestEvent, lacks []string, emit func([]string) error) error {
	for _, e := range events {
		if err := emit([]string{stamp(e.At), e.Who, e.What, e.Note, hex.EncodeToString(e.Digest)}); err != nil {
			return err
		}
	}
	if hash := short(r); hash != "" {
		if err := emit([]string{"", "", "plan", hash, ""}); err != nil {
			return err
		}
	}
	now := []string{"", "", "now: " + string(r.State), r.Failure, ""}
	if waiting(r) {
		for _, l := range lacks {
			if err := emit([]string{"", "", "lacks", l, ""}); err != nil {
				return err
			}
		}
	}
	if !r.State.Over() {
		if err := emit([]string{"", "", "due", r.Due.Format(time.DateOnly), ""}); err != nil {
			return err
		}
	}
	return emit(now)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000Z") }

// find gives the requests that a word stands for, of those that the caller may
// serve. cut tells whether there are more than are listed.
func find(ctx context.Context, tx pgx.Tx, word string, by By) (found []state.Request, cut bool, err error) {
	f := state.RequestFilter{Types: []string{}, Pressing: strings.EqualFold(word, "due")}
	if f.States, err = listed(word); err != nil {
		return nil, false, err
	}
	for _, t := range policy.RequestTypes() {
		if by.may(t.Right()) == nil {
			f.Types = append(f.Types, t.String())
		}
	}
	if found, err = state.Requests(ctx, tx, maxShown+1, f); err != nil {
		return nil, false, err
	}
	return found[:min(len(found), maxShown)], len(found) > maxShown, nil
}

// list lists requests.
func (s *Service) list(ctx context.Context, cmd privacy.Command, by By, emit func([]string) error) error {
	var rows [][]string
	err := s.transact(ctx, pgx.ReadOnly, func(tx pgx.Tx) error {
		found, cut, err := find(ctx, tx, cmd.Request.Format, by)
		if err != nil {
			return err
		}
		for _, r := range found {
			lacks := ""
			if waiting(r) {
				all, err := s.lacks(ctx, tx, r)
				if err != nil {
					return err
				}
				lacks = words(all)
			}
			rows = append(rows, s.row(r, lacks))
		}
		if cut {
			rest := make([]string, len(requestColumns))
			rest[len(rest)-1] = Cut
			rows = append(rows, rest)
		}
		return nil
	})
	for _, row := range rows {
		if err := emit(row); err != nil {
			return err
		}
	}
	return err
}

// hold keeps rows from being erased.
func (s *Service) hold(ctx context.Context, cmd privacy.Command, by By, witness Witness) ([][]string, error) {
	if err := by.may(cmd.Right()); err != nil {
		return nil, err
	}
	h := state.Hold{Kind: cmd.Subject, Relation: cmd.Request.Table, Matter: cmd.Because, By: by.User}
	if cmd.Subject != "" {
		found, err := s.Data.Resolve(ctx, cmd.Subject, cmd.Key)
		if err != nil {
			return nil, err
		}
		h.Key = found.Name
	} else if err := s.known(cmd.Request.Table); err != nil {
		return nil, err
	}
	var made state.Hold
	err := s.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) (err error) {
		if made, err = state.AddHold(ctx, tx, h, cmd.Before); err != nil {
			return err
		}
		return witness(ctx, made.Digest())
	})
	return [][]string{holdRow(made)}, err
}

// known refuses tables that the catalog does not have, or that nobody governs: a
// hold with a slip of the pen in it would hold nothing.
func (s *Service) known(table string) error {
	_, cat := s.Data.Current()
	for _, r := range cat.Relations() {
		if r.QualifiedName() == table && r.Governed() {
			return nil
		}
	}
	return privacy.Fail(privacy.NotFound, "write schema.table", "there is no such table")
}

func (s *Service) liftHold(ctx context.Context, cmd privacy.Command, by By, witness Witness) ([][]string, error) {
	if err := by.may(cmd.Right()); err != nil {
		return nil, err
	}
	id, err := number(cmd)
	if err != nil {
		return nil, err
	}
	var h state.Hold
	err = s.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) (err error) {
		if h, err = state.LiftHold(ctx, tx, id, by.User, cmd.Because); err != nil {
			return err
		}
		return witness(ctx, h.Digest())
	})
	return [][]string{holdRow(h)}, err
}

func (s *Service) holds(ctx context.Context, emit func([]string) error) error {
	if s.Store == nil {
		return privacy.Fail(privacy.NotAvailable, "", "pgveil remembers nothing here")
	}
	all, err := s.Store.Holds(ctx)
	for _, h := range all {
		if err := emit(holdRow(h)); err != nil {
			return err
		}
	}
	return err
}

func holdRow(h state.Hold) []string {
	until := ""
	if !h.Until.IsZero() {
		until = stamp(h.Until)
	}
	return []string{strconv.FormatInt(h.ID, 10), h.Kind, h.Key, h.Relation, h.Matter, h.By, stamp(h.Made), until}
}

// explain says where the data of a kind of subject lies.
func (s *Service) explain(cmd privacy.Command, emit func([]string) error) error {
	g, err := s.Data.Graph(cmd.Subject)
	if err != nil {
		return err
	}
	e := g.Explain()
	switch cmd.Request.Format {
	case "DOT":
		return emit([]string{e.DOT()})
	case "SVG":
		return emit([]string{e.SVG()})
	default:
		return emit([]string{e.Text()})
	}
}

// clockOf gives the times of a request as they are now.
func clockOf(r state.Request) regime.Clock { return regime.Clock{Due: r.Due} }

func words(all []string) string { return strings.Join(all, ", ") }
