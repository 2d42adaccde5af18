package state

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
)

//go:embed requests.sql
var requestsSchema string

// RequestsChannel is notified whenever a request may be run.
const RequestsChannel = "pgveil_requests"

// RequestState is how far a request is.
type RequestState string

// The states of a request. Those from RequestCompleted on are its end.
const (
	RequestOpen      RequestState = "open"    // it lacks something: a check of the identity, a plan, approvals
	RequestReady     RequestState = "ready"   // it has all that it needs, and somebody must say RUN
	RequestQueued    RequestState = "queued"  // the next worker takes it
	RequestRunning   RequestState = "running" // a worker is at it, or was when it ended
	RequestErased    RequestState = "erased"  // the rows are gone; the database is still to be searched
	RequestReview    RequestState = "review"  // something is left that only people can decide about
	RequestFailed    RequestState = "failed"  // it could not be done: RUN tries again
	RequestCompleted RequestState = "completed"
	RequestDenied    RequestState = "denied"
	RequestCancelled RequestState = "cancelled"
)

// Over tells whether nothing more happens to the request.
func (s RequestState) Over() bool {
	return s == RequestCompleted || s == RequestDenied || s == RequestCancelled
}

// Request is what a data subject asked for.
type Request struct {
	ID         int64
	What, Kind string
	Key        []string // the subject's, each column as text; nil once nobody needs it any more
	Token      string   // what the access log calls the subject
	Purpose    string   // of restrictions and objections
	Reason     string
	Asked      []byte // of rectifications, sealed: see Store.Seal
	Needles    []byte // of erasures that are under way, sealed: what to search for at their end
	Regime     string
	Channel    string
	Received   time.Time
	Opened     time.Time
	OpenedBy   string
	Proven     bool // it is certain that OpenedBy opened it
	Due        time.Time
	ExtendTo   *time.Time
	ConfirmBy  *time.Time
	Extended   bool
	Identity   string
	VerifiedBy string
	Verified   *time.Time
	AtOnce     bool // it runs as soon as it has what it needs
	State      RequestState
	Plan       json.RawMessage
	PlanHash   string
	Done, Todo int64 // rows
	Attempts   int
	Failure    string // why it is in review, or failed; of a queued one, why it was put off
	Despite    string // why it ends though something is left: in review, as far as others agree
	DespiteBy  string // who said so
	Known      bool   // it is certain that it was they
	Warned     int    // how much of its time was over when that was last said, in percent
	Code       string // why it was denied
	Ended      *time.Time
	Outcome    json.RawMessage
	Proof      []byte // the certificate
}

const requestColumns = `id, what, kind, key, token, purpose, reason, asked, needles, regime, channel, received_at, opened_at, opened_by, opener_proven,
	due_on, extend_to, confirm_by, extended, identity, verified_by, verified_at, at_once, state, plan, plan_hash, done, todo, attempts,
	failure, despite, despite_by, despite_proven, warned, code, ended_at, outcome, certificate`

func scanRequest(row pgx.CollectableRow) (r Request, err error) {
	err = row.Scan(&r.ID, &r.What, &r.Kind, &r.Key, &r.Token, &r.Purpose, &r.Reason, &r.Asked, &r.Needles, &r.Regime, &r.Channel, &r.Received,
		&r.Opened, &r.OpenedBy, &r.Proven, &r.Due, &r.ExtendTo, &r.ConfirmBy, &r.Extended, &r.Identity, &r.VerifiedBy, &r.Verified, &r.AtOnce, &r.State,
		&r.Plan, &r.PlanHash, &r.Done, &r.Todo, &r.Attempts, &r.Failure, &r.Despite, &r.DespiteBy, &r.Known, &r.Warned, &r.Code, &r.Ended, &r.Outcome, &r.Proof)
	return r, err
}

// AddRequest writes a new request down, and gives its number and its times.
func AddRequest(ctx context.Context, tx pgx.Tx, r Request) (Request, error) {
	rows, err := tx.Query(ctx, `INSERT INTO pgveil.requests (what, kind, key, token, purpose, reason, asked, regime, channel, received_at, opened_by,
			due_on, extend_to, confirm_by, identity, verified_by, verified_at, at_once, state, opener_proven)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) RETURNING `+requestColumns,
		r.What, r.Kind, r.Key, r.Token, r.Purpose, r.Reason, r.Asked, r.Regime, r.Channel, r.Received, r.OpenedBy,
		r.Due, r.ExtendTo, r.ConfirmBy, r.Identity, r.VerifiedBy, r.Verified, r.AtOnce, r.State, r.Proven)
	if err != nil {
		return r, err
	}
	return pgx.CollectExactlyOneRow(rows, scanRequest)
}

// LockRequest gives a request that nobody else changes until the transaction
// ends.
func LockRequest(ctx context.Context, tx pgx.Tx, id int64) (Request, error) {
	rows, err := tx.Query(ctx, "SELECT "+requestColumns+" FROM pgveil.requests WHERE id = $1 FOR UPDATE", id)
	if err != nil {
		return Request{}, err
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanRequest)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, NoRequest()
	}
	return r, err
}

// NoRequest is the error for a number that no request has, and for one whose
// request the caller may not serve: which of the two it is is not told.
func NoRequest() *privacy.Error {
	return privacy.Fail(privacy.NotFound, "PRIVACY SHOW REQUESTS lists those that you may serve, some only with a second factor", "there is no such request")
}

// SaveRequest writes down what became of a locked request. One that may be run
// is told to those who run requests; whom one was about that is over, only its token
// tells.
func SaveRequest(ctx context.Context, tx pgx.Tx, r Request) error {
	_, err := tx.Exec(ctx, `UPDATE pgveil.requests SET key = CASE WHEN NOT $21::boolean THEN $2::text[] END, asked = $3, needles = $4, due_on = $5, extended = $6, identity = $7, verified_by = $8,
			verified_at = $9, at_once = $10, state = $11, plan = $12, plan_hash = $13, done = $14, todo = $15, attempts = $16, failure = $17,
			despite = $18, warned = $19, code = $20, ended_at = CASE WHEN $21 THEN clock_timestamp() END, outcome = $22, certificate = $23, despite_by = $24, despite_proven = $25
		WHERE id = $1`,
		r.ID, r.Key, r.Asked, r.Needles, r.Due, r.Extended, r.Identity, r.VerifiedBy,
		r.Verified, r.AtOnce, r.State, r.Plan, r.PlanHash, r.Done, r.Todo, r.Attempts, r.Failure,
		r.Despite, r.Warned, r.Code, r.State.Over(), r.Outcome, r.Proof, r.DespiteBy, r.Known)
	if err == nil && r.State == RequestQueued {
		_, err = tx.Exec(ctx, "SELECT pg_notify($1, '')", RequestsChannel)
	}
	return err
}

// SaveProgress writes down how many rows of a request are done.
func SaveProgress(ctx context.Context, tx pgx.Tx, id, done, of int64) error {
	_, err := tx.Exec(ctx, "UPDATE pgveil.requests SET done = $2, todo = $3 WHERE id = $1 AND state = 'running'", id, done, of)
	return err
}

// PutOff keeps a request from being run for a while.
func PutOff(ctx context.Context, tx pgx.Tx, id int64, wait time.Duration) error {
	_, err := tx.Exec(ctx, "UPDATE pgveil.requests SET run_after = clock_timestamp() + $2 WHERE id = $1", id, wait)
	return err
}

// RequestEvent is something that somebody did about a request.
type RequestEvent struct {
	Seq    int
	At     time.Time
	Who    string
	What   string
	Note   string
	Plan   string // the hash of the plan that it was about
	Digest []byte
}

// AddEvent writes an event down, and gives it with its digest, which is over all
// of it and the number of the request.
func AddEvent(ctx context.Context, tx pgx.Tx, id int64, e RequestEvent) (RequestEvent, error) {
	err := tx.QueryRow(ctx, "SELECT coalesce(max(seq), 0) + 1, clock_timestamp() FROM pgveil.request_events WHERE request = $1", id).Scan(&e.Seq, &e.At)
	if err != nil {
		return e, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %s %q %q %q %q", id, e.Seq, e.At.UTC().Format(time.RFC3339Nano), e.Who, e.What, e.Note, e.Plan)
	e.Digest = h.Sum(nil)
	_, err = tx.Exec(ctx, "INSERT INTO pgveil.request_events (request, seq, at, who, what, note, plan, digest) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		id, e.Seq, e.At, e.Who, e.What, e.Note, e.Plan, e.Digest)
	return e, err
}

// RequestEvents gives what happened to a request, the oldest first.
func RequestEvents(ctx context.Context, tx pgx.Tx, id int64) ([]RequestEvent, error) {
	rows, err := tx.Query(ctx, "SELECT seq, at, who, what, note, plan, digest FROM pgveil.request_events WHERE request = $1 ORDER BY seq", id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[RequestEvent])
}

// RequestFilter says which requests are listed. The zero RequestFilter is for all.
type RequestFilter struct {
	States   []RequestState // nil: all
	Types    []string       // what they ask for; nil: anything
	Pressing bool           // less than a fifth of their time is left
}

// Requests gives those that a filter lets pass, the most urgent first.
func Requests(ctx context.Context, tx pgx.Tx, most int, f RequestFilter) ([]Request, error) {
	rows, err := tx.Query(ctx, "SELECT "+requestColumns+` FROM pgveil.requests
		WHERE ($1::text[] IS NULL OR state = ANY ($1)) AND ($2::text[] IS NULL OR what = ANY ($2))
			AND (NOT $3 OR ended_at IS NULL AND clock_timestamp() >= received_at + 0.8 * ((due_on + 1)::timestamp AT TIME ZONE 'UTC' - received_at))
		ORDER BY ended_at DESC NULLS FIRST, due_on, id LIMIT $4`, f.States, f.Types, f.Pressing, most)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanRequest)
}

// PendingRequests gives requests that are not over, from after a number on.
func PendingRequests(ctx context.Context, tx pgx.Tx, after int64, most int) ([]Request, error) {
	rows, err := tx.Query(ctx, "SELECT "+requestColumns+" FROM pgveil.requests WHERE ended_at IS NULL AND id > $1 ORDER BY id LIMIT $2", after, most)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanRequest)
}

// Runnable gives the numbers of requests that a worker may take, the most urgent
// first: those that wait, and those whose worker may be gone.
func Runnable(ctx context.Context, c *pgx.Conn, most int) ([]int64, error) {
	rows, err := c.Query(ctx, `SELECT id FROM pgveil.requests WHERE state IN ('queued', 'running') AND run_after <= clock_timestamp()
		ORDER BY due_on, id LIMIT $1`, most)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// Erased tells whether erasures wait for their search, that have for some time.
func Erased(ctx context.Context, c *pgx.Conn, since time.Duration) (waiting bool, err error) {
	err = c.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pgveil.requests WHERE state = 'erased'
		AND coalesce((outcome ->> 'completed')::timestamptz, '-infinity') <= clock_timestamp() - $1::interval)`, since).Scan(&waiting)
	return waiting, err
}

// Seal hides what a request holds of a data subject from whoever reads the table.
func (s *Store) Seal(what string, plain []byte) ([]byte, error) {
	aead, err := s.requestSealer()
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plain, []byte(what)), nil
}

// Unseal gives what Seal hid.
func (s *Store) Unseal(what string, sealed []byte) ([]byte, error) {
	aead, err := s.requestSealer()
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, sealed, []byte(what))
	if err != nil {
		return nil, errors.New("what a request holds does not open under pgveil's key: it is another key, or the row was changed")
	}
	return plain, nil
}

func (s *Store) requestSealer() (cipher.AEAD, error) {
	secret, err := s.subkey("data of requests")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
