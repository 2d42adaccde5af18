package requests

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// By is who gives a command.
type By struct {
	User   string
	Proven bool                     // it is certain that it is this person: only such count as a second pair of eyes
	May    func(right string) error // nil: they may serve the right; never nil itself but for commands without a right
}

// may tells whether they may serve a right. Whoever says nothing of it may not.
func (b By) may(right string) error {
	if b.May == nil {
		return privacy.Fail(privacy.NotAllowed, "", "it is not known who asks")
	}
	return b.May(right)
}

// serves tells whether they may serve a request. To whoever may not, it is one that
// is not there.
func (b By) serves(r state.Request) error {
	var said *privacy.Error
	err := b.may(rightOf(r))
	if errors.As(err, &said) && said.Code == privacy.NotAllowed {
		return state.NoRequest()
	}
	return err
}

// Witness is told the digest of what is about to be written down, and can keep it
// from being written: nothing is done without a durable record of it.
type Witness func(ctx context.Context, digest string) error

// Service answers commands about data subjects: those about requests itself, and
// all others through Data.
type Service struct {
	Data   *dsar.Service
	Store  *state.Store
	Tokens func(ctx context.Context, kind string, keys []string) (map[string]string, error) // what the access log calls subjects

	// Packages is the directory that answers to requests for access are written
	// into; "" where nobody said.
	Packages string
}

// changeTime bounds how long a change may take once it has begun.
const changeTime = time.Minute

// Columns names the columns of a command's answer, all of which are text.
func Columns(cmd privacy.Command) []string {
	switch cmd.Verb {
	case privacy.VerbShowRequest:
		return []string{"time", "who", "what", "note", "digest"}
	case privacy.VerbShowCertificate:
		return []string{"certificate"}
	case privacy.VerbHold, privacy.VerbLiftHold, privacy.VerbShowHolds:
		return []string{"number", "subject", "key", "table", "matter", "by", "made", "until"}
	case privacy.VerbExplain:
		return []string{"graph"}
	case privacy.VerbPlan:
		return append(dsar.Columns(privacy.Command{Verb: privacy.VerbErase}), "plan")
	case privacy.VerbErase:
		if cmd.DryRun {
			return dsar.Columns(cmd)
		}
		return requestColumns
	case privacy.VerbOpen, privacy.VerbRectify, privacy.VerbVerify, privacy.VerbApproveRequest, privacy.VerbDenyRequest,
		privacy.VerbCancelRequest, privacy.VerbExtendRequest, privacy.VerbRunRequest, privacy.VerbShowRequests:
		return requestColumns
	default:
		return dsar.Columns(cmd)
	}
}

var requestColumns = []string{"number", "what", "subject", "state", "due", "lacks", "identity", "plan", "progress", "opened_by", "note"}

// Run runs a command that changes nothing, hands the rows of its answer to emit,
// one by one, and gives the command's tag. A row must not be kept.
func (s *Service) Run(ctx context.Context, cmd privacy.Command, by By, emit func(row []string) error) (tag string, err error) {
	switch cmd.Verb {
	case privacy.VerbHelp: // whoever serves nothing else serves this
		return (&dsar.Service{}).Run(ctx, cmd, by.User, emit)
	case privacy.VerbShowRequests, privacy.VerbShowRequest, privacy.VerbShowCertificate:
		return cmd.Verb.Tag(), s.show(ctx, cmd, by, emit)
	case privacy.VerbShowHolds:
		return cmd.Verb.Tag(), s.holds(ctx, emit)
	case privacy.VerbExplain:
		return cmd.Verb.Tag(), s.explain(cmd, emit)
	default:
		if err := s.direct(cmd); err != nil {
			return "", err
		}
		return s.Data.Run(ctx, cmd, by.User, emit)
	}
}

// Change runs a command that writes something down. Once it has begun it is done
// to its end, whether or not the caller still waits.
func (s *Service) Change(ctx context.Context, cmd privacy.Command, by By, witness Witness) ([][]string, error) {
	if err := cmd.Requested(); err != nil {
		return nil, err
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), changeTime)
	defer done()
	switch cmd.Verb {
	case privacy.VerbOpen, privacy.VerbErase, privacy.VerbRectify:
		return s.open(ctx, cmd, by, witness)
	case privacy.VerbHold:
		return s.hold(ctx, cmd, by, witness)
	case privacy.VerbLiftHold:
		return s.liftHold(ctx, cmd, by, witness)
	case privacy.VerbPlan:
		return s.plan(ctx, cmd, by, witness)
	case privacy.VerbVerify, privacy.VerbApproveRequest, privacy.VerbDenyRequest, privacy.VerbCancelRequest, privacy.VerbExtendRequest, privacy.VerbRunRequest:
		return s.act(ctx, cmd, by, witness)
	default:
		if err := s.direct(cmd); err != nil {
			return nil, err
		}
		row, err := s.Data.Change(ctx, cmd, by.User, witness)
		if err != nil {
			return nil, err
		}
		return [][]string{row}, nil
	}
}

// transact runs f in a transaction on the tables of requests.
func (s *Service) transact(ctx context.Context, mode pgx.TxAccessMode, f func(pgx.Tx) error) error {
	if s.Store == nil {
		return privacy.Fail(privacy.NotAvailable, "", "pgveil remembers nothing here")
	}
	err := s.Store.Use(ctx, func(c *pgx.Conn) error {
		return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: mode}, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL search_path = pg_catalog; SET LOCAL TimeZone = 'UTC'"); err != nil {
				return err
			}
			return f(tx)
		})
	})
	return state.Explain("writing requests down", err)
}

// note writes down that somebody did something about a request, and lets the
// witness have its digest.
func note(ctx context.Context, tx pgx.Tx, r state.Request, who, what, text string, witness Witness) error {
	e, err := state.AddEvent(ctx, tx, r.ID, state.RequestEvent{Who: who, What: what, Note: text, Plan: matter(r)})
	if err != nil {
		return err
	}
	return witness(ctx, hex.EncodeToString(e.Digest))
}

// number reads the number of a request or a hold.
func number(cmd privacy.Command) (int64, error) {
	id, err := strconv.ParseInt(cmd.ID, 10, 64)
	if err != nil {
		return 0, privacy.Fail(privacy.Syntax, "", "it is not said which one is meant")
	}
	return id, nil
}

// row shows a request.
func (s *Service) row(r state.Request, lacks string) []string {
	progress := ""
	if r.Todo > 0 {
		progress = fmt.Sprintf("%d of %d rows", r.Done, r.Todo)
	}
	text := r.Failure
	if text == "" {
		text = r.Reason
	}
	return []string{strconv.FormatInt(r.ID, 10), r.What, r.Kind + ":" + r.Token, string(r.State), r.Due.Format(time.DateOnly), lacks, r.Identity, short(r), progress, r.OpenedBy, text}
}
