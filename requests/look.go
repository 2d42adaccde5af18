package requests

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// View is a request as other programs are shown it: as the Data Rights Protocol
// 1.0 has it in the first fields, and as it is here in the others. It holds no
// key of a data subject.
type View struct {
	RequestID string    `json:"request_id"`
	Status    string    `json:"status"`           // open, in_progress, fulfilled, revoked or denied
	Reason    string    `json:"reason,omitempty"` // of a status, in the protocol's words
	Received  time.Time `json:"received_at"`
	Expected  string    `json:"expected_by"`
	Details   string    `json:"processing_details,omitempty"`

	Number     int64              `json:"number"`
	What       string             `json:"what"`
	Subject    string             `json:"subject"` // kind:token, as in the access log
	Purpose    string             `json:"purpose,omitempty"`
	State      state.RequestState `json:"state"`
	Lacks      []string           `json:"lacks,omitempty"`
	Late       bool               `json:"late"`
	Regime     string             `json:"regime"`
	Channel    string             `json:"channel,omitempty"`
	Because    string             `json:"because,omitempty"`
	Opened     time.Time          `json:"opened_at"`
	OpenedBy   string             `json:"opened_by"`
	Proven     bool               `json:"opener_proven"` // it is certain that opened_by opened it
	ConfirmBy  string             `json:"confirm_by,omitempty"`
	ExtendTo   string             `json:"extend_to,omitempty"` // the last day of an extension that is left
	Extended   bool               `json:"extended,omitempty"`
	Identity   string             `json:"identity"`
	VerifiedBy string             `json:"verified_by,omitempty"`
	Verified   *time.Time         `json:"verified_at,omitempty"`
	PlanHash   string             `json:"plan_hash,omitempty"`
	Done       int64              `json:"done"`
	Todo       int64              `json:"todo"`
	Failure    string             `json:"failure,omitempty"`
	Despite    string             `json:"despite,omitempty"`
	Code       string             `json:"code,omitempty"`
	Ended      *time.Time         `json:"ended_at,omitempty"`
	Certified  bool               `json:"certified"`

	// Of one request that is asked for by its number.
	Plan    json.RawMessage `json:"plan,omitempty"`
	Outcome json.RawMessage `json:"outcome,omitempty"`
	Events  []EventView     `json:"events,omitempty"`
}

// EventView is something that somebody did about a request.
type EventView struct {
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	What   string    `json:"what"`
	Note   string    `json:"note,omitempty"`
	Digest string    `json:"digest"`
}

// Look gives a request that the caller may serve, with its plan, its outcome and
// all that happened to it.
func (s *Service) Look(ctx context.Context, id int64, by By) (v View, err error) {
	err = s.transact(ctx, pgx.ReadOnly, func(tx pgx.Tx) error {
		r, err := state.ReadRequest(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := by.serves(r); err != nil {
			return err
		}
		if v, err = s.view(ctx, tx, r); err != nil {
			return err
		}
		v.Plan, v.Outcome = r.Plan, r.Outcome
		events, err := state.RequestEvents(ctx, tx, id)
		for _, e := range events {
			v.Events = append(v.Events, EventView{e.At.UTC(), e.Who, e.What, e.Note, hex.EncodeToString(e.Digest)})
		}
		return err
	})
	return v, err
}

// Views gives the requests that the caller may serve of those that a word stands
// for: one of PRIVACY SHOW REQUESTS, or a state. The most urgent are first; cut
// tells whether there are more than are given.
func (s *Service) Views(ctx context.Context, word string, by By) (all []View, cut bool, err error) {
	err = s.transact(ctx, pgx.ReadOnly, func(tx pgx.Tx) error {
		var found []state.Request
		if found, cut, err = find(ctx, tx, word, by); err != nil {
			return err
		}
		all = make([]View, 0, len(found))
		for _, r := range found {
			v, err := s.view(ctx, tx, r)
			if err != nil {
				return err
			}
			all = append(all, v)
		}
		return nil
	})
	return all, cut, err
}

// ByChannel gives the number of the request that came by a channel, what it asks
// for and the kind of its subject; 0: there is none that the caller may serve.
func (s *Service) ByChannel(ctx context.Context, channel string, by By) (id int64, what, kind string, err error) {
	err = s.transact(ctx, pgx.ReadOnly, func(tx pgx.Tx) error {
		r, ok, err := state.RequestByChannel(ctx, tx, channel)
		if ok && by.serves(r) == nil {
			id, what, kind = r.ID, r.What, r.Kind
		}
		return err
	})
	return id, what, kind, err
}

// Report counts requests that were received from one moment on and before
// another, and gives those among them that somebody should look at.
func (s *Service) Report(ctx context.Context, since, until time.Time) (counts []state.RequestCount, denials []state.RequestDenials, look []View, err error) {
	err = s.transact(ctx, pgx.ReadOnly, func(tx pgx.Tx) error {
		if counts, denials, err = state.CountRequests(ctx, tx, since, until); err != nil {
			return err
		}
		found, err := state.RequestsToLookAt(ctx, tx, since, until, maxShown)
		if err != nil {
			return err
		}
		for _, r := range found {
			v, err := s.view(ctx, tx, r)
			if err != nil {
				return err
			}
			look = append(look, v)
		}
		return nil
	})
	return counts, denials, look, err
}

func (s *Service) view(ctx context.Context, tx pgx.Tx, r state.Request) (v View, err error) {
	v = View{
		Received: r.Received.UTC(), Expected: r.Due.Format(time.DateOnly), Number: r.ID, What: r.What, Subject: r.Kind + ":" + r.Token,
		Purpose: r.Purpose, State: r.State, Regime: r.Regime, Channel: r.Channel, Because: r.Reason, Opened: r.Opened.UTC(), OpenedBy: r.OpenedBy, Proven: r.Proven,
		ConfirmBy: dayOf(r.ConfirmBy), Extended: r.Extended, Identity: r.Identity, VerifiedBy: r.VerifiedBy, Verified: r.Verified,
		PlanHash: matter(r), Done: r.Done, Todo: r.Todo, Failure: r.Failure, Despite: r.Despite, Code: r.Code, Ended: r.Ended, Certified: r.Proof != nil,
	}
	v.RequestID = strconv.FormatInt(r.ID, 10)
	if !r.Extended {
		v.ExtendTo = dayOf(r.ExtendTo)
	}
	until := time.Now()
	if r.Ended != nil {
		until = *r.Ended
	}
	v.Late = !until.Before(r.Due.AddDate(0, 0, 1))
	if waiting(r) {
		if v.Lacks, err = s.lacks(ctx, tx, r); err != nil {
			return v, err
		}
	}
	set, _ := s.Data.Current()
	what, _ := policy.RequestTypeNamed(r.What)
	level, _ := policy.IdentityNamed(r.Identity)
	v.Status, v.Reason = protocolStatus(r, level >= set.Requests().Need(what).Identity)
	v.Details = details(v)
	return v, nil
}

// protocolStatus says how a request stands in the words of the Data Rights
// Protocol 1.0, section 3.02. Nothing here expires: what is late is late. A
// denial for a legal obligation has no word of its own there.
func protocolStatus(r state.Request, identified bool) (status, reason string) {
	switch r.State {
	case state.RequestOpen:
		level, _ := policy.IdentityNamed(r.Identity)
		switch {
		case level == 0: // nobody has looked at who asks
			return "open", ""
		case !identified:
			return "in_progress", "need_user_verification"
		}
		return "in_progress", ""
	case state.RequestReady, state.RequestQueued, state.RequestRunning, state.RequestErased, state.RequestReview, state.RequestFailed:
		return "in_progress", ""
	case state.RequestCompleted:
		return "fulfilled", ""
	case state.RequestCancelled:
		return "revoked", ""
	case state.RequestDenied:
		if r.Code == "legal_obligation" {
			return "denied", "other"
		}
		return "denied", r.Code
	default:
		return "", ""
	}
}

// details says how a request stands in words for whoever asked: nothing of why
// something failed inside.
func details(v View) string {
	switch v.State {
	case state.RequestOpen:
		return "waits for " + strings.Join(v.Lacks, ", ")
	case state.RequestReady:
		return "waits to be run"
	case state.RequestQueued, state.RequestRunning:
		return "is being answered"
	case state.RequestErased:
		return "is being searched for what is left"
	case state.RequestReview, state.RequestFailed:
		return "waits for a decision"
	default:
		return ""
	}
}

func dayOf(d *time.Time) string {
	if d == nil {
		return ""
	}
	return d.Format(time.DateOnly)
}

// pending are the states of requests that are not over.
func pending() []state.RequestState {
	return []state.RequestState{state.RequestOpen, state.RequestReady, state.RequestQueued, state.RequestRunning, state.RequestErased,
		state.RequestReview, state.RequestFailed}
}

// Lists tells whether a word stands for requests, for Views.
func Lists(word string) error {
	_, err := listed(word)
	return err
}

// listed gives the states that a word stands for: one of PRIVACY SHOW REQUESTS,
// or a state that is not called like one.
func listed(word string) ([]state.RequestState, error) {
	switch is := state.RequestState(strings.ToLower(word)); is {
	case "", state.RequestOpen, "due":
		return pending(), nil
	case state.RequestFailed:
		return []state.RequestState{state.RequestFailed, state.RequestReview}, nil
	case "done":
		return []state.RequestState{state.RequestCompleted, state.RequestDenied, state.RequestCancelled}, nil
	case "all":
		return nil, nil
	case state.RequestReady, state.RequestQueued, state.RequestRunning, state.RequestErased, state.RequestReview,
		state.RequestCompleted, state.RequestDenied, state.RequestCancelled:
		return []state.RequestState{is}, nil
	default:
		return nil, privacy.Fail(privacy.Syntax, "open, due, failed, done, all, or a state", "no requests are called that")
	}
}

// PackageName is what the answer to a request for access or portability is
// called in the folder of packages; encrypted, .age follows.
func PackageName(id int64) string { return fmt.Sprintf("request-%d.zip", id) }

// OpenPackage opens the answer to a request for access or portability, which the
// caller closes. Whether the caller may have it is looked at before.
func (s *Service) OpenPackage(id int64) (*os.File, error) {
	if s.Packages == "" {
		return nil, privacy.Fail(privacy.NotAvailable, "set dsar.packages", "no packages are made here")
	}
	for _, suffix := range []string{"", ".age"} {
		f, err := os.Open(filepath.Join(s.Packages, PackageName(id)+suffix))
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, privacy.Fail(privacy.NotFound, "it may have been removed, or lie on the machine of the worker that made it", "there is no package of the request here")
}
